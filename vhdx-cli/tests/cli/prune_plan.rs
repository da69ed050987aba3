//! The text of the plan of `prune`, which administrators read before they agree.

use std::fs;

use crate::report::estate::Estate;
use crate::run;

const MIB: u64 = 1 << 20;

/// The machines `alpha` with two disks and `Beta` with one disk, and a family whose machine is not known.
fn estate() -> Estate {
    let estate = Estate::new();
    let files = [("z.vhdx", 40), ("z_1.avhdx", 30), ("z_2.avhdx", 20), ("z_3.avhdx", 10)];
    estate.chain("one", 4 * MIB, &files);
    estate.chain("one", 4 * MIB, &[("y.vhdx", 40), ("y_1.avhdx", 30), ("y_2.avhdx", 20)]);
    estate.chain("a", 4 * MIB, &[("b.vhdx", 40), ("b_1.avhdx", 30), ("b_2.avhdx", 20)]);
    estate.chain("lost", 4 * MIB, &[("l.vhdx", 40), ("l_1.avhdx", 30), ("l_2.avhdx", 20)]);
    estate.configuration("Virtual Machines/1.vmcx", "alpha", 50, &[r"one\z_3.avhdx", r"one\y_2.avhdx"]);
    estate.configuration("Snapshots/1.vmcx", "Before \u{202e}update", 40, &[r"one\z.vhdx"]);
    estate.configuration("Virtual Machines/2.vmcx", "Beta", 50, &[r"a\b_2.avhdx"]);
    estate
}

/// Returns the lines of the plan, without dates and sizes, and with the path of the estate as `DIR`.
fn plan(estate: &Estate, arguments: &[&str]) -> Vec<String> {
    let folder = estate.0.path().to_str().unwrap();
    let plan = ["prune", folder, "--dry-run"].into_iter().chain(arguments.iter().copied());
    let text = run::vhdx(plan).text();
    let numbers = |line: &str| match line.split_once(" UTC (time from ") {
        Some((start, end)) => {
            let name = start.split(": ").next().unwrap();
            format!("{name}: {}", end.split("), ").next().unwrap())
        }
        None => line.split(": copies ").next().unwrap().to_owned(),
    };
    text.lines().map(|line| numbers(line).replace(folder, "DIR").replace('\\', "/")).collect()
}

#[test]
fn machines_come_in_alphabetical_order_and_checkpoints_by_age() {
    let lines = plan(&estate(), &["--keep-last", "1"]);
    assert!(
        lines[0].starts_with("to delete: 5 checkpoints in 4 families (2 known machines), to copy: "),
        "{lines:#?}"
    );
    assert!(lines[1].starts_with("  the deleted files free "), "{lines:#?}");
    let expected = r#"
machine "alpha": 3 checkpoints
  delete (no name): its files
  merge y_1.avhdx
    into DIR/one/y.vhdx
  delete "Before /u{202e}update": its configuration
  delete (no name): its files
  merge z_1.avhdx
    and z_2.avhdx
    into DIR/one/z.vhdx

machine "Beta": 1 checkpoint
  delete (no name): its files
  merge b_1.avhdx
    into DIR/a/b.vhdx

base DIR/lost/l.vhdx: 1 checkpoint
  delete (no name): its files
  merge l_1.avhdx
    into DIR/lost/l.vhdx

kept: 4 checkpoints among the newest (--keep-last)"#;
    let expected: Vec<&str> = expected.lines().collect();
    assert_eq!(lines[2..][..expected.len()], expected, "{lines:#?}");
    assert!(lines.last().unwrap() == "nothing was changed");
}

#[test]
fn a_plan_names_the_machine_that_must_use_another_file() {
    let estate = estate();
    let other = estate.path("other");
    fs::create_dir(&other).unwrap();
    fs::rename(estate.path("lost/l_2.avhdx"), other.join("l_2.avhdx")).unwrap();
    let text = plan(&estate, &["--all"]).join("\n");
    for part in [
        "    after this merge: the virtual machine \"alpha\" must use z.vhdx\n      instead of z_3.avhdx\n",
        "    after this merge: the virtual machine \"Beta\" must use b.vhdx\n      instead of b_2.avhdx\n",
        // A file in another folder than the target has its path.
        "  merge l_1.avhdx\n    and DIR/other/l_2.avhdx\n    into DIR/lost/l.vhdx\n",
        "    after this merge: if a virtual machine uses DIR/other/l_2.avhdx,\n      it must use l.vhdx instead\n",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

/// One file that cannot be read stops all merges of its folder.
#[test]
fn a_reason_is_printed_once_with_all_checkpoints_that_it_keeps() {
    let estate = estate();
    fs::write(estate.path("one/damaged.avhdx"), "vhdxfile and nothing else").unwrap();
    let child = estate.chain("two", 4 * MIB, &[("x.vhdx", 40), ("x_1.avhdx", 30)]);
    estate.child(&child[0], "x.vhdx", "two/x_2.avhdx", 5);
    let lines = plan(&estate, &["--all"]);
    let text = lines.join("\n");
    assert_eq!(text.matches("could not be read").count(), 1, "{text}");
    let several = "kept: 1 checkpoint with several children, which `vhdx tree` shows: a checkpoint can be deleted when \
                   only one child is left. No configuration of a machine with these disks was found. Delete a child \
                   only if no machine uses it, no disk depends on it, and its content is not needed\n  \
                   DIR/two/x.vhdx (no name), 2 children\nkept: 5 checkpoints: each cannot be deleted: some files \
                   could not be read";
    assert!(text.contains(several), "{text}");
    let list = "\n  DIR/one:\n    y.vhdx (no name)\n    y_1.avhdx (no name)\n    z.vhdx \"Before /u{202e}update\"\n    \
                z_1.avhdx (no name)\n    z_2.avhdx (no name)\n";
    assert!(text.contains(list), "{text}");
}

/// The lines of the execution come family by family, too.
#[test]
fn merges_run_in_the_order_of_the_families() {
    let text = run!("prune", estate().0.path(), "--all", "--yes").exits(0).text();
    let targets: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("merged into ")).collect();
    let names = ["b.vhdx", "l.vhdx", "y.vhdx", "z.vhdx"];
    assert_eq!(targets.len(), names.len(), "{text}");
    for (target, name) in targets.iter().zip(names) {
        assert!(target.split(": ").next().unwrap().ends_with(name), "{text}");
    }
}
