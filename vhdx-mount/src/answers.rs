//! Finds the answers to the requests of the kernel.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use fuser::{Errno, FileAttr, FileType, INodeNo};

use crate::nodes::{Content, Folder, Node, Nodes, ROOT};
use crate::report::Reporter;
use crate::view::View;

/// The most bytes of one read. The kernel asks for at most 16 MiB.
const MAX_READ: usize = 16 << 20;
/// The size in which the kernel should read, in bytes.
const BLOCK_SIZE: u32 = 4096;

/// The values of `whence`, as the kernel sends them.
const SEEK_DATA: i32 = 3;
const SEEK_HOLE: i32 = 4;

/// An answer, or the error that is the answer.
pub(crate) type Result<T> = std::result::Result<T, Errno>;

/// Who may read the files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    uid: u32,
    gid: u32,
    /// The permission bits that remain of `r-xr-xr-x`. They are as few as possible, because copies often get them.
    mask: u16,
}

impl Owner {
    /// Returns the user of this process.
    pub(crate) fn this_user(allow_other: bool) -> Self {
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        Self { uid, gid, mask: if allow_other { 0o555 } else { 0o500 } }
    }
}

/// Files that do not change, and the answers about them.
pub(crate) struct Answers {
    nodes: Nodes,
    owner: Owner,
    reporter: Reporter,
}

impl Answers {
    pub(crate) fn new(nodes: Nodes, owner: Owner, reporter: Reporter) -> Self {
        Self { nodes, owner, reporter }
    }

    pub(crate) fn reporter(&self) -> &Reporter {
        &self.reporter
    }

    /// Returns the number of nodes and the size of all files in bytes.
    pub(crate) fn totals(&self) -> (u64, u64) {
        (self.nodes.len() as u64, self.nodes.size())
    }

    pub(crate) fn node(&self, inode: INodeNo) -> Result<&Node> {
        self.nodes.get(inode.0).ok_or(Errno::ENOENT)
    }

    pub(crate) fn folder(&self, inode: INodeNo) -> Result<&Folder> {
        match &self.node(inode)?.content {
            Content::Folder(folder) => Ok(folder),
            _ => Err(Errno::ENOTDIR),
        }
    }

    pub(crate) fn attributes(&self, inode: u64) -> Result<FileAttr> {
        let node = self.nodes.get(inode).ok_or(Errno::ENOENT)?;
        let (kind, mode, nlink) = match &node.content {
            Content::Folder(folder) => {
                // Each folder in the root has a link to it.
                let folders = if inode == ROOT { folder.len().saturating_sub(3) } else { 0 };
                (FileType::Directory, 0o555, u32::try_from(folders).unwrap_or(u32::MAX).saturating_add(2))
            }
            Content::Link(_) => (FileType::Symlink, 0o777, 1),
            Content::Bytes(_) | Content::Disk(_) => (FileType::RegularFile, 0o444, 1),
        };
        let is_link = kind == FileType::Symlink;
        Ok(FileAttr {
            ino: INodeNo(inode),
            size: node.size(),
            blocks: node.blocks(),
            atime: node.modified,
            mtime: node.modified,
            ctime: node.modified,
            crtime: node.modified,
            kind,
            perm: if is_link { mode } else { mode & self.owner.mask },
            nlink,
            uid: self.owner.uid,
            gid: self.owner.gid,
            rdev: 0,
            blksize: BLOCK_SIZE,
            flags: 0,
        })
    }

    /// Finds an entry, and returns its attributes.
    pub(crate) fn find(&self, parent: INodeNo, name: &OsStr) -> Result<FileAttr> {
        let inode = self.folder(parent)?.find(name.as_bytes()).ok_or(Errno::ENOENT)?;
        self.attributes(inode)
    }

    /// Reads into `buf`, and returns how much of it is the answer.
    pub(crate) fn read(&self, inode: INodeNo, offset: u64, size: u32, buf: &mut Vec<u8>) -> Result<usize> {
        match &self.node(inode)?.content {
            Content::Folder(_) => Err(Errno::EISDIR),
            Content::Link(_) => Err(Errno::EINVAL),
            Content::Bytes(bytes) => {
                let rest = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)).unwrap_or(&[]);
                buf.clear();
                buf.extend(rest.iter().take(usize::try_from(size).unwrap_or(usize::MAX)));
                Ok(buf.len())
            }
            Content::Disk(view) => self.read_view(inode, view, offset, size, buf),
        }
    }

    fn read_view(
        &self,
        inode: INodeNo,
        view: &View,
        offset: u64,
        size: u32,
        buf: &mut Vec<u8>,
    ) -> Result<usize> {
        let len = view.readable(offset, size);
        if len > MAX_READ {
            return Err(Errno::EINVAL); // fewer bytes would be taken for the end of the file
        }
        if buf.len() < len {
            buf.resize(len, 0);
        }
        let buf = buf.get_mut(..len).ok_or(Errno::EIO)?;
        let name = &self.node(inode)?.path;
        view.read(buf, offset).map_err(|error| {
            let what = format!("cannot read {len} bytes of {name} from {offset} on");
            self.reporter.failure(&what, &error.to_string());
            Errno::EIO
        })?;
        Ok(len)
    }

    /// Finds data or a hole. `offset` at or past the end is always `ENXIO`: `cp` would loop for ever otherwise.
    pub(crate) fn seek(&self, inode: INodeNo, offset: i64, whence: i32) -> Result<i64> {
        let offset = u64::try_from(offset).map_err(|_| Errno::ENXIO)?;
        let node = self.node(inode)?;
        let found = match (&node.content, whence) {
            (Content::Disk(view), SEEK_DATA) => view.next_data(offset),
            (Content::Disk(view), SEEK_HOLE) => view.next_hole(offset),
            (Content::Bytes(_), SEEK_DATA) => (offset < node.size()).then_some(offset),
            (Content::Bytes(_), SEEK_HOLE) => (offset < node.size()).then_some(node.size()),
            _ => return Err(Errno::EINVAL),
        };
        found.and_then(|found| i64::try_from(found).ok()).ok_or(Errno::ENXIO)
    }

    /// Returns the entries of a folder from a position on, each with the position after it.
    pub(crate) fn entries(
        &self,
        inode: INodeNo,
        position: u64,
    ) -> Result<impl Iterator<Item = (u64, &str, FileAttr)>> {
        let skipped = usize::try_from(position).map_err(|_| Errno::EINVAL)?;
        let entries = self.folder(inode)?.entries().iter();
        let numbered = (1..).zip(entries).skip(skipped);
        Ok(numbered.filter_map(|(next, (name, inode))| {
            Some((next, name.as_str(), self.attributes(*inode).ok()?)) // every entry has a node
        }))
    }
}
