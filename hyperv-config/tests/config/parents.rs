//! Keys and their parents: order, cycles, depth, and many keys.

use std::time::{Duration, Instant};

use hyperv_config::{MAX_DEPTH, Problem, Value};
use vhdx_testkit::container::{Container, ContainerKey, KeyPosition, KeyTable, ROOT};

use crate::common::{Views, paths, problems, read, read_soundly};

/// Readers that need the parent first put such keys at the root.
#[test]
fn a_key_can_come_before_its_parent() {
    let mut container = Container::new();
    let node_size = ContainerKey::node(ROOT, "bank").encode().len() as u32;
    // The parent follows the two keys.
    let leaf = ContainerKey::int((1, 10 + node_size), "size", 512);
    let memory = 10 + node_size + leaf.encode().len() as u32;
    let leaf_parent = container.add(ContainerKey::node((1, memory), "bank"));
    assert_eq!(leaf_parent, (1, 10));
    container.add(ContainerKey { parent: leaf_parent, ..leaf });
    assert_eq!(container.add(ContainerKey::node(ROOT, "memory")), (1, memory));
    assert_eq!(paths(read_soundly(&container).tree()), ["/memory/bank/size"]);
}

#[test]
fn a_key_can_belong_to_a_node_in_a_later_table() {
    let mut container = Container::new();
    container.add(ContainerKey::int((2, 10), "a", 1));
    let mut later = Container::new();
    later.add(ContainerKey::node(ROOT, "node"));
    container.tables.push(KeyTable { index: 2, ..later.tables.remove(0) });
    assert_eq!(paths(read_soundly(&container).tree()), ["/node/a"]);
}

#[test]
fn siblings_with_one_name_are_kept_in_the_order_of_their_sequence() {
    let mut container = Container::new();
    for (name, sequence) in [("c", 3), ("a", 1), ("b", 2), ("a", 4)] {
        container.add(ContainerKey { sequence, ..ContainerKey::int(ROOT, name, sequence.into()) });
    }
    let configuration = read_soundly(&container);
    let names: Vec<&str> = configuration.tree().roots().map(|key| key.name()).collect();
    assert_eq!(names, ["a", "b", "c", "a"]);
    assert_eq!(paths(configuration.tree()), ["/c", "/a", "/b", "/a"], "keys are in file order");
    let found = configuration.tree().find_all("/A");
    assert_eq!(found.iter().map(|key| key.value()).collect::<Vec<_>>(), [&Value::Int(1), &Value::Int(4)]);
}

#[test]
fn cycles_are_skipped_with_a_warning() {
    let mut container = Container::new();
    container.add(ContainerKey::node((1, 10), "own parent"));
    let size = ContainerKey::node(ROOT, "a").encode().len() as u32;
    let next = 10 + container.tables[0].keys.len() as u32;
    let first = container.add(ContainerKey::node((1, next + size), "a"));
    let second = container.add(ContainerKey::node((1, next), "b"));
    assert_eq!((first.1, second.1), (next, next + size));
    container.add(ContainerKey::int(second, "below", 1));
    container.add(ContainerKey::int(first, "below", 1));
    container.add(ContainerKey::int(ROOT, "sound", 1));
    let configuration = read(container.build());
    assert_eq!(paths(configuration.tree()), ["/sound"]);
    let expected =
        [&Problem::Cycle("own parent".into()), &Problem::Cycle("b".into()), &Problem::Descendants(3)];
    assert_eq!(problems(&configuration), expected);
    assert_eq!(configuration.warnings().listed[0].offset, container.table_offset(0) + 10);
}

#[test]
fn a_parent_that_is_no_node_is_reported() {
    let parents = [
        ContainerKey::int(ROOT, "parent", 1),
        ContainerKey::text(ROOT, "parent", "text"),
        ContainerKey::object(ROOT, "parent", 7, 16384, 0),
    ];
    for parent in parents {
        let mut container = Container::new();
        let parent = container.add(parent);
        container.add(ContainerKey::int(parent, "child", 1));
        let configuration = read(container.build());
        assert_eq!(paths(configuration.tree()), ["/parent"]);
        assert_eq!(problems(&configuration).last(), Some(&&Problem::Parent("child".into())));
    }
}

#[test]
fn missing_parents_are_reported() {
    let mut container = Container::new();
    container.add(ContainerKey::int(ROOT, "leaf", 1));
    for (number, parent) in [(9, 10), (1, 11), (1, u32::MAX), (0, 10), (u16::MAX, 0)].into_iter().enumerate()
    {
        container.add(ContainerKey::int(parent, &number.to_string(), 1));
    }
    let lost = container.add(ContainerKey::node((9, 10), "lost"));
    container.add(ContainerKey::int(lost, "below", 1));
    let configuration = read(container.build());
    assert_eq!(paths(configuration.tree()), ["/leaf"]);
    let names = ["0", "1", "2", "3", "4", "lost"];
    let mut expected: Vec<Problem> = names.map(|name| Problem::Parent(name.into())).into();
    expected.push(Problem::Descendants(1));
    assert_eq!(problems(&configuration), expected.iter().collect::<Vec<_>>());
}

#[test]
fn depth_is_bounded() {
    let mut container = Container::new();
    let mut parent = ROOT;
    for _ in 0..MAX_DEPTH + 5 {
        parent = container.add(ContainerKey::node(parent, "n"));
    }
    let configuration = read(container.build());
    assert_eq!(configuration.tree().len(), MAX_DEPTH);
    assert_eq!(problems(&configuration), [&Problem::Depth("n".into()), &Problem::Descendants(4)]);
    let deepest = configuration.tree().keys().last().unwrap();
    assert_eq!(deepest.path(), "/n".repeat(MAX_DEPTH));
}

fn many(container: &mut Container, count: usize, mut parent_of: impl FnMut(&[KeyPosition]) -> KeyPosition) {
    let mut positions = vec![container.add(ContainerKey::node(ROOT, "configuration"))];
    for number in 0..count {
        let parent = parent_of(&positions);
        let is_node = number % 10 == 0;
        let key = match is_node {
            true => ContainerKey::node(parent, &format!("node{number}")),
            false => ContainerKey::text(parent, "same name", "some text"),
        };
        let position = container.add(key);
        if is_node {
            positions.push(position);
        }
    }
}

/// Many siblings, and many nodes: lookups and paths take no quadratic time. They also need several object tables.
#[test]
fn a_hundred_thousand_keys_are_read_in_linear_time() {
    let parents: [fn(&[KeyPosition]) -> KeyPosition; 2] =
        [|positions| positions[0], |positions| positions[positions.len() / 2]];
    for parent_of in parents {
        let mut container = Container::new();
        many(&mut container, 100_000, parent_of);
        assert!(container.tables.len() > 2 * container.object_slots);
        let bytes = container.build();
        let start = Instant::now();
        let configuration = read(bytes);
        assert_eq!(configuration.warnings().listed, []);
        assert_eq!(configuration.tree().len(), 100_001);
        let total: usize = configuration.tree().keys().map(|key| key.path().len()).sum();
        assert!(total > 100_000);
        let nodes = configuration.tree().keys().filter(|key| key.name().starts_with("node"));
        let mut count = 0;
        for node in nodes {
            let mut found = node.parent().unwrap().children_named(&node.name().to_uppercase());
            assert_eq!(found.next().map(|key| key.offset()), Some(node.offset()));
            assert!(found.next().is_none());
            count += 1;
        }
        assert_eq!(count, 10_000);
        assert!(configuration.machine().drives.is_empty());
        let took = start.elapsed();
        assert!(took < Duration::from_secs(20), "{took:?}: far more than the usual second");
    }
}
