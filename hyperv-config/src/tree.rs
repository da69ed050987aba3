//! The keys of a configuration.
//!
//! Names are not unique: a node can have several children with one name. They all are kept, in the order in which they
//! were inserted. Paths are not stored, because that would be quadratic in the depth.

use std::cmp::Ordering;

use crate::error::{Error, Limit, Result};
use crate::limits::MAX_PATHS;
use crate::value::Value;

/// One key: what the file says about it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) name: Box<str>,
    /// The index of the parent in the list of all entries; `None` below the root.
    pub(crate) parent: Option<usize>,
    pub(crate) value: Value,
    /// The offset in the file.
    pub(crate) offset: u64,
    /// The order among siblings.
    pub(crate) sequence: u32,
}

/// The keys of a configuration.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// In file order.
    entries: Vec<Entry>,
    /// Indices of entries, sorted by parent, insertion sequence and place in the file.
    children: Vec<usize>,
    /// Indices of entries, sorted by parent and folded name; those with one name as in `children`.
    by_name: Vec<usize>,
}

impl Tree {
    /// Creates a tree of entries whose parents are other entries, without cycles, and at most
    /// [`MAX_DEPTH`](crate::MAX_DEPTH) deep.
    ///
    /// # Errors
    /// [`Error::TooLarge`] if the paths of all keys together are longer than [`MAX_PATHS`].
    pub(crate) fn new(entries: Vec<Entry>) -> Result<Self> {
        ensure_paths_are_bounded(&entries)?;
        let entry = |id: &usize| entries.get(*id);
        let parent = |id: &usize| entry(id).map(|entry| entry.parent);
        let mut children: Vec<usize> = (0..entries.len()).collect();
        children.sort_by_key(|id| (parent(id), entry(id).map(|entry| entry.sequence)));
        let mut by_name = children.clone();
        by_name.sort_by(|a, b| {
            parent(a).cmp(&parent(b)).then_with(|| match (entry(a), entry(b)) {
                (Some(a), Some(b)) => compare_names(&a.name, &b.name),
                _ => Ordering::Equal,
            })
        });
        Ok(Self { entries, children, by_name })
    }

    /// Returns the number of keys, nodes included.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns all keys, nodes included, in the order of their offsets in the file.
    pub fn keys(&self) -> impl Iterator<Item = Key<'_>> {
        self.entries.iter().enumerate().map(|(id, entry)| Key { tree: self, id, entry })
    }

    /// Returns the keys that have no parent, in insertion order.
    pub fn roots(&self) -> impl Iterator<Item = Key<'_>> {
        self.children_of(None)
    }

    /// Returns the first key with a path, such as `/configuration/properties/name`.
    ///
    /// The case of ASCII letters does not matter. A name that contains `/` is found only through [`Key::children`].
    pub fn find(&self, path: &str) -> Option<Key<'_>> {
        self.find_all(path).into_iter().next()
    }

    /// Returns all keys with a path, in insertion order.
    ///
    /// There can be several, because names are not unique. The time grows with the number of keys that match a
    /// beginning of the path, and not with the number of their siblings.
    pub fn find_all(&self, path: &str) -> Vec<Key<'_>> {
        let mut names = path.strip_prefix('/').unwrap_or(path).split('/');
        let first = names.next().into_iter().flat_map(|name| self.named(None, name));
        names.fold(first.collect(), |found, name| {
            found.iter().flat_map(|key| key.children_named(name)).collect()
        })
    }

    fn children_of(&self, parent: Option<usize>) -> impl Iterator<Item = Key<'_>> {
        let start = self.children.partition_point(|id| self.parent(*id) < parent);
        let rest = self.children.get(start..).into_iter().flatten();
        rest.map_while(|id| self.key(*id)).take_while(move |key| key.entry.parent == parent)
    }

    fn named<'a>(&'a self, parent: Option<usize>, name: &str) -> impl Iterator<Item = Key<'a>> + use<'a> {
        let order = |id: &usize| {
            // Every id is that of an entry.
            let of_name = self.entries.get(*id).map(|entry| compare_names(&entry.name, name));
            self.parent(*id).cmp(&parent).then(of_name.unwrap_or(Ordering::Equal))
        };
        let start = self.by_name.partition_point(|id| order(id) == Ordering::Less);
        let end = self.by_name.partition_point(|id| order(id) != Ordering::Greater);
        self.by_name.get(start..end).into_iter().flatten().filter_map(|id| self.key(*id))
    }

    fn key(&self, id: usize) -> Option<Key<'_>> {
        self.entries.get(id).map(|entry| Key { tree: self, id, entry })
    }

    fn parent(&self, id: usize) -> Option<usize> {
        self.entries.get(id)?.parent
    }
}

/// Ensures that a list of all paths has a bounded size. Few long names can be in the paths of many keys.
fn ensure_paths_are_bounded(entries: &[Entry]) -> Result<()> {
    let mut lengths: Vec<Option<u64>> = vec![None; entries.len()];
    let (mut total, mut path) = (0u64, Vec::new());
    for start in 0..entries.len() {
        // Up to the first ancestor whose length is known, and down again.
        let mut next = Some(start);
        while let Some(id) = next.filter(|id| lengths.get(*id).is_some_and(Option::is_none)) {
            path.push(id);
            next = entries.get(id).and_then(|entry| entry.parent);
        }
        // A key below the root has no ancestor, whose path would be empty.
        let mut length = next.and_then(|id| lengths.get(id).copied().flatten()).unwrap_or(0);
        while let Some(id) = path.pop() {
            let Some(entry) = entries.get(id) else { continue };
            let too_long = || Error::too_large(Limit::Paths, entry.offset);
            let name = u64::try_from(entry.name.len()).ok();
            let longer = name.and_then(|name| length.checked_add(name)?.checked_add(1));
            length = longer.ok_or_else(too_long)?;
            total = total.checked_add(length).filter(|sum| *sum <= MAX_PATHS).ok_or_else(too_long)?;
            if let Some(known) = lengths.get_mut(id) {
                *known = Some(length);
            }
        }
    }
    Ok(())
}

/// Compares names without the case of ASCII letters.
fn compare_names(a: &str, b: &str) -> Ordering {
    let folded_b = b.bytes().map(|byte| byte.to_ascii_lowercase());
    a.bytes().map(|byte| byte.to_ascii_lowercase()).cmp(folded_b)
}

/// One key of a [`Tree`].
#[derive(Clone, Copy)]
pub struct Key<'a> {
    tree: &'a Tree,
    id: usize,
    entry: &'a Entry,
}

impl<'a> Key<'a> {
    /// Returns the name. It can contain any character.
    pub fn name(&self) -> &'a str {
        &self.entry.name
    }

    /// Returns the names of all ancestors and of the key, each after a `/`.
    ///
    /// Names are not unique, so several keys can have the same path.
    pub fn path(&self) -> String {
        let mut names = vec![self.name()];
        let mut next = self.parent();
        while let Some(key) = next {
            names.push(key.name());
            next = key.parent();
        }
        let mut path = String::new();
        for name in names.into_iter().rev() {
            path.push('/');
            path.push_str(name);
        }
        path
    }

    /// Returns the value.
    pub fn value(&self) -> &'a Value {
        &self.entry.value
    }

    /// Returns the offset of the key in the file.
    pub fn offset(&self) -> u64 {
        self.entry.offset
    }

    /// Returns the node to which the key belongs; `None` at the root.
    pub fn parent(&self) -> Option<Key<'a>> {
        self.tree.key(self.entry.parent?)
    }

    /// Returns the keys that belong to this node, in insertion order. Several can have the same name.
    pub fn children(&self) -> impl Iterator<Item = Key<'a>> + use<'a> {
        self.tree.children_of(Some(self.id))
    }

    /// Returns the children with a name, in insertion order. The case of ASCII letters does not matter.
    pub fn children_named(&self, name: &str) -> impl Iterator<Item = Key<'a>> + use<'a> {
        self.tree.named(Some(self.id), name)
    }
}

impl std::fmt::Debug for Key<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("path", &self.path()).field("value", self.value()).finish()
    }
}

/// As a list of `{path, offset, value}`.
#[cfg(feature = "serde")]
impl serde::Serialize for Tree {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_seq(self.keys())
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Key<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;

        let mut key = serializer.serialize_struct("Key", 3)?;
        key.serialize_field("path", &self.path())?;
        key.serialize_field("offset", &self.offset())?;
        key.serialize_field("value", self.value())?;
        key.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, parent: Option<usize>, sequence: u32) -> Entry {
        let value = Value::Int(sequence.into());
        Entry { name: name.into(), parent, value, offset: 0, sequence }
    }

    /// Node 3 is the parent of keys that come before it.
    fn tree() -> Tree {
        Tree::new(vec![
            entry("b", Some(3), 2),
            entry("B", Some(3), 1),
            entry("other", None, 9),
            entry("Node", None, 1),
            entry("a/b", Some(3), 3),
            entry("node", None, 2),
            entry("b", Some(5), 7),
        ])
        .unwrap()
    }

    fn values(keys: impl IntoIterator<Item = Value>) -> Vec<i64> {
        let number = |value| if let Value::Int(number) = value { number } else { panic!("{value:?}") };
        keys.into_iter().map(number).collect()
    }

    #[test]
    fn children_are_in_insertion_order_and_may_share_a_name() {
        let tree = tree();
        let node = tree.find("/node").unwrap();
        assert_eq!(values(node.children().map(|key| key.value().clone())), [1, 2, 3]);
        assert_eq!(values(tree.roots().map(|key| key.value().clone())), [1, 2, 9]);
        assert_eq!(values(tree.find_all("NODE/B").iter().map(|key| key.value().clone())), [1, 2, 7]);
        assert_eq!(tree.find("/node/b").unwrap().path(), "/Node/B");
        assert_eq!(node.children_named("a/b").count(), 1);
        assert!(tree.find("/node/a/b").is_none() && tree.find("").is_none() && tree.find("/").is_none());
        let paths: Vec<String> = tree.keys().map(|key| key.path()).collect();
        assert_eq!(paths, ["/Node/b", "/Node/B", "/other", "/Node", "/Node/a/b", "/node", "/node/b"]);
    }

    /// A few long names in the paths of many keys would make a list of all paths much larger than the file.
    #[test]
    fn the_length_of_all_paths_is_bounded() {
        let entry = |offset, parent, name: String| Entry {
            name: name.into(),
            parent,
            value: Value::Node,
            offset,
            sequence: 0,
        };
        let with = |leaves: usize| {
            let nodes = (0..100).map(|i| entry(0, usize::checked_sub(i, 1), "n".repeat(254)));
            let leaves = (0..leaves).map(|i| entry(i as u64, Some(99), "leaf".to_owned()));
            Tree::new(nodes.chain(leaves).collect())
        };
        // The nodes have 1,287,750 bytes of paths, and each leaf 25,505.
        let most = ((256 << 20) - 1_287_750) / 25_505;
        assert_eq!(with(most).unwrap().len(), 100 + most);
        let error = with(most + 1).unwrap_err();
        let offset = Some(most as u64);
        assert!(
            matches!(error, Error::TooLarge { limit: Limit::Paths, offset: o } if o == offset),
            "{error}"
        );
    }
}
