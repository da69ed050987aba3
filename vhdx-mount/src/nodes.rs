//! The files, folders and links of a mount, with their inode numbers.

use std::time::SystemTime;

use crate::tree::{DISK, INFO, LATEST, MountedDisk, Tree};
use crate::view::View;

/// The inode number of the mountpoint.
pub(crate) const ROOT: u64 = 1;

/// A file, a folder or a link.
pub(crate) struct Node {
    /// The path below the mountpoint, for messages.
    pub(crate) path: String,
    pub(crate) content: Content,
    pub(crate) modified: SystemTime,
}

pub(crate) enum Content {
    Folder(Folder),
    Link(String),
    Bytes(Vec<u8>),
    Disk(View),
}

/// A folder. It has its entries and, first, `.` and `..`.
pub(crate) struct Folder {
    entries: Vec<(String, u64)>,
}

impl Folder {
    fn new(own: u64, parent: u64) -> Self {
        Self { entries: vec![(".".to_owned(), own), ("..".to_owned(), parent)] }
    }

    /// Returns the entries, with inode numbers.
    pub(crate) fn entries(&self) -> &[(String, u64)] {
        &self.entries
    }

    /// Returns the inode number of an entry.
    pub(crate) fn find(&self, name: &[u8]) -> Option<u64> {
        self.entries.iter().skip(2).find(|(entry, _)| entry.as_bytes() == name).map(|(_, inode)| *inode)
    }

    /// Returns the number of entries, with `.` and `..`.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

/// All nodes. They do not change while they are mounted.
pub(crate) struct Nodes {
    /// The node with inode number `n` is at `n - ROOT`.
    nodes: Vec<Node>,
}

impl Nodes {
    /// Makes the nodes of a valid tree.
    pub(crate) fn new(tree: Tree) -> Self {
        let newest =
            tree.checkpoints.iter().map(|disk| disk.modified).max().unwrap_or(SystemTime::UNIX_EPOCH);
        let latest = tree.checkpoints.get(tree.latest).map(|disk| disk.name.clone());
        let mut root = Folder::new(ROOT, ROOT);
        let mut nodes = Self { nodes: Vec::new() };
        // The root keeps its place. Its entries are known at the end.
        nodes.add(String::new(), Content::Folder(Folder::new(ROOT, ROOT)), newest);
        for disk in tree.checkpoints {
            root.entries.push((disk.name.clone(), nodes.add_disk(disk)));
        }
        if let Some(latest) = latest {
            root.entries
                .push((LATEST.to_owned(), nodes.add(LATEST.to_owned(), Content::Link(latest), newest)));
        }
        if let Some(first) = nodes.nodes.first_mut() {
            first.content = Content::Folder(root);
        }
        nodes
    }

    fn add_disk(&mut self, disk: MountedDisk) -> u64 {
        let MountedDisk { name: folder_name, disk, partitions, info, modified } = disk;
        let own = self.add(folder_name.clone(), Content::Folder(Folder::new(ROOT, ROOT)), modified);
        let path = |name: &str| format!("{folder_name}/{name}");
        let whole = (DISK.to_owned(), 0..disk.virtual_size());
        let mut folder = Folder::new(own, ROOT);
        for (name, range) in std::iter::once(whole).chain(partitions) {
            let inode = self.add(path(&name), Content::Disk(View::new(disk.clone(), range)), modified);
            folder.entries.push((name, inode));
        }
        folder.entries.push((INFO.to_owned(), self.add(path(INFO), Content::Bytes(info), modified)));
        if let Some(node) = position(own).and_then(|position| self.nodes.get_mut(position)) {
            node.content = Content::Folder(folder);
        }
        own
    }

    /// Adds a node, and returns its inode number.
    fn add(&mut self, path: String, content: Content, modified: SystemTime) -> u64 {
        self.nodes.push(Node { path, content, modified });
        self.nodes.len() as u64
    }

    /// Returns the node with an inode number.
    pub(crate) fn get(&self, inode: u64) -> Option<&Node> {
        self.nodes.get(position(inode)?)
    }

    /// Returns the number of nodes.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Returns the size of all files in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.nodes.iter().fold(0, |sum, node| sum.saturating_add(node.size()))
    }
}

/// Returns the position of the node with an inode number.
fn position(inode: u64) -> Option<usize> {
    usize::try_from(inode.checked_sub(ROOT)?).ok()
}

impl Node {
    /// Returns the size in bytes.
    pub(crate) fn size(&self) -> u64 {
        match &self.content {
            Content::Folder(_) => 0,
            Content::Link(target) => target.len() as u64,
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Disk(view) => view.len(),
        }
    }

    /// Returns the number of allocated blocks of 512 bytes.
    pub(crate) fn blocks(&self) -> u64 {
        match &self.content {
            Content::Folder(_) | Content::Link(_) => 0,
            Content::Bytes(bytes) => (bytes.len() as u64).div_ceil(512),
            Content::Disk(view) => view.blocks(),
        }
    }
}
