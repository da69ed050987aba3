//! Reads FAT12, FAT16 and FAT32, with long names.
//!
//! Times are stored without a zone. They are returned as if they were in UTC.

mod boot;
mod entries;
mod oem;

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::sync::Arc;

use self::boot::{Boot, Root};
use self::entries::{File, Found, Names};
use super::clusters::{Content, Table, Width};
use super::fields::Fields;
use super::file_system::{Attributes, Entry, FileSystem, Kind, Node, Range};
use super::names::UpperCase;
use super::source::Source;
use crate::error::{Error, Result};

pub(super) use boot::is_fat;

/// The most bytes of a folder: 65,536 entries.
const MAX_FOLDER: u64 = 2 << 20;
const ROOT: Node = Node(0);

/// An open FAT volume. A node is the place of the file's entry, divided by its length.
pub(super) struct Fat<'a> {
    source: Source<'a>,
    table: Table,
    root: Root,
    notes: Vec<String>,
    /// The file that was read last.
    last: RefCell<Option<(Node, Arc<Content>)>>,
}

impl<'a> Fat<'a> {
    pub(super) fn open(source: Source<'a>) -> Result<Self> {
        let sector = source.structure(0, 512)?;
        let Boot { table, root } = Boot::parse(&sector, source.len())?;
        let mut notes = Vec::new();
        if is_dirty(&source, &table, Fields::new(&sector, "the boot sector"))? {
            let note =
                "the FAT volume was not unmounted cleanly: the newest changes may be missing or incomplete";
            notes.push(note.to_owned());
        }
        Ok(Self { source, table, root, notes, last: RefCell::default() })
    }

    /// Returns what the entry of a file says.
    fn file(&self, node: Node) -> Result<File> {
        let entry = self.source.structure(node.0.saturating_mul(entries::LEN as u64), entries::LEN)?;
        File::parse(&entry, self.table.width == Width::Bits28)
    }

    /// Returns the ranges of the volume that a folder consists of, each with its length.
    fn folder(&self, folder: Node) -> Result<Vec<(u64, u64)>> {
        let heap = self.table.heap;
        let first = match (folder, self.root) {
            (ROOT, Root::Range { start, len }) => return Ok(vec![(start, len)]),
            (ROOT, Root::Cluster(first)) => first,
            _ => {
                let file = self.file(folder)?;
                if !file.is_folder {
                    return Err(Error::damaged("a folder", "its entry is that of a file"));
                }
                file.first_cluster
            }
        };
        let chain = self.table.whole_chain(&self.source, first, MAX_FOLDER.div_ceil(heap.cluster))?;
        let clusters = (0..chain.len).filter_map(|index| chain.at(index));
        clusters.map(|(cluster, _)| Ok((heap.place(cluster)?, heap.cluster))).collect()
    }

    fn content(&self, node: Node) -> Result<Arc<Content>> {
        if let Some((_, content)) = self.last.borrow().as_ref().filter(|(last, _)| *last == node) {
            return Ok(Arc::clone(content));
        }
        let file = self.file(node)?;
        if file.is_folder || node == ROOT {
            return Err(Error::damaged("a file", "its entry is that of a folder"));
        }
        let clusters = file.size.div_ceil(self.table.heap.cluster);
        let chain = match clusters {
            0 => Default::default(),
            _ => self.table.chain(&self.source, file.first_cluster, clusters)?,
        };
        let content = Arc::new(Content { chain, size: file.size, initialized: file.size });
        *self.last.borrow_mut() = Some((node, Arc::clone(&content)));
        Ok(content)
    }
}

/// Whether the boot sector, or a bit of the second entry of the table, says that the volume was not unmounted cleanly.
fn is_dirty(source: &Source<'_>, table: &Table, boot_sector: Fields<'_>) -> Result<bool> {
    // The flags of Windows follow the number of the drive.
    let flags = boot_sector.u8(if table.width == Width::Bits28 { 65 } else { 37 })?;
    let stored = source.structure(table.start, 8)?;
    let entries = Fields::new(&stored, "the table");
    let is_clean = match table.width {
        Width::Bits28 => entries.u32(4)? & 0x0800_0000 != 0,
        Width::Bits16 => entries.u16(2)? & 0x8000 != 0,
        // The entries of FAT12 have no room for it.
        Width::Bits12 | Width::Bits32 => true,
    };
    Ok(flags & 1 != 0 || !is_clean)
}

impl FileSystem for Fat<'_> {
    fn root(&self) -> Node {
        ROOT
    }

    fn attributes(&self, node: Node) -> Result<Attributes> {
        if node == ROOT {
            return Ok(Attributes { kind: Kind::Folder, size: 0, modified: None, mode: None });
        }
        let file = self.file(node)?;
        let kind = if file.is_folder { Kind::Folder } else { Kind::File };
        Ok(Attributes { kind, size: file.size, modified: file.modified, mode: None })
    }

    fn list(&self, folder: Node, each: &mut dyn FnMut(Entry) -> Result<ControlFlow<()>>) -> Result<()> {
        let mut names = Names::default();
        for (start, len) in self.folder(folder)? {
            // A cluster or the root folder of FAT12 and FAT16: at most 2 MiB.
            let len = usize::try_from(len).map_err(|_| Error::damaged("a folder", "it is too long"))?;
            let bytes = self.source.structure(start, len)?;
            for (number, entry) in bytes.chunks_exact(entries::LEN).enumerate() {
                let name = match names.next(entry)? {
                    Found::Nothing => continue,
                    Found::End => return Ok(()),
                    Found::File(name) => name,
                };
                let kind = match File::parse(entry, false)?.is_folder {
                    true => Kind::Folder,
                    false => Kind::File,
                };
                let place = start.saturating_add((number * entries::LEN) as u64);
                // Sectors begin at multiples of the length of an entry.
                let node = Node(place / entries::LEN as u64);
                if each(Entry { name, node, kind })?.is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn folder_identity(&self, folder: Node) -> Result<u64> {
        // Cluster 0 stands for the root folder.
        match (folder, self.root) {
            (ROOT, Root::Range { .. }) => Ok(0),
            (ROOT, Root::Cluster(first)) => Ok(first.into()),
            _ => Ok(self.file(folder)?.first_cluster.into()),
        }
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    fn is_same_name(&self, one: &[u8], other: &[u8]) -> bool {
        UpperCase::Unicode.is_same(one, other)
    }

    fn range_at(&self, file: Node, offset: u64) -> Result<Option<Range>> {
        Ok(self.content(file)?.range_at(offset))
    }

    fn read(&self, file: Node, offset: u64, buf: &mut [u8]) -> Result<usize> {
        self.content(file)?.read(&self.source, &self.table.heap, offset, buf)
    }

    fn link_target(&self, _: Node) -> Result<Vec<u8>> {
        Err(Error::Unsupported("FAT has no links".to_owned()))
    }
}
