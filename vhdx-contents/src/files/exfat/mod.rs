//! Reads exFAT.

mod boot;
mod entries;

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::sync::Arc;

use self::boot::Boot;
use self::entries::{File, Place};
use super::clusters::{Chain, Content, Table};
use super::fields::units;
use super::file_system::{Attributes, Entry, FileSystem, Kind, Node, Range};
use super::names::{self, UpperCase};
use super::source::Source;
use crate::error::{Error, Result};

pub(super) use boot::is_exfat;

/// The most bytes of a folder.
const MAX_FOLDER: u64 = 256 << 20;
/// The most bytes of a table of upper-case letters.
const MAX_UPPER_CASE: u64 = 2 * 65536;
const ROOT: Node = Node(0);

/// An open exFAT volume.
///
/// A node is the place of the file's first entry, divided by the length of an entry, times two; plus one if the clusters of its folder
/// follow each other.
pub(super) struct ExFat<'a> {
    source: Source<'a>,
    table: Table,
    root: u32,
    upper_case: UpperCase,
    notes: Vec<String>,
    /// The file that was read last.
    last: RefCell<Option<(Node, Arc<Content>)>>,
}

impl<'a> ExFat<'a> {
    pub(super) fn open(source: Source<'a>) -> Result<Self> {
        let Boot { table, root, is_dirty } = Boot::parse(&source.structure(0, 512)?)?;
        let mut notes = Vec::new();
        if is_dirty {
            let note =
                "the exFAT volume was not unmounted cleanly: the newest changes may be missing or incomplete";
            notes.push(note.to_owned());
        }
        let mut fs =
            Self { source, table, root, upper_case: UpperCase::Unicode, notes, last: RefCell::default() };
        match fs.read_upper_case() {
            Ok(table) => fs.upper_case = UpperCase::Table(table),
            Err(error) => {
                let note = format!("the exFAT volume's table of upper-case letters is not used: {error}");
                fs.notes.push(note);
            }
        }
        Ok(fs)
    }

    fn read_upper_case(&self) -> Result<Vec<u16>> {
        let folder = self.folder(ROOT)?;
        let mut found = None;
        folder.entries(self, 0, &mut |_, entry| {
            match entry.first() {
                Some(&entries::UPPER_CASE) => found = Some(entries::upper_case(entry)?),
                _ => return Ok(ControlFlow::Continue(())),
            }
            Ok(ControlFlow::Break(()))
        })?;
        let what = "the table of upper-case letters";
        let place = found.ok_or_else(|| Error::damaged(what, "it is missing"))?;
        let len = usize::try_from(place.size).ok().filter(|_| place.size <= MAX_UPPER_CASE);
        let mut bytes = vec![0; len.ok_or_else(|| Error::damaged(what, "it is too long"))?];
        let content =
            Content { chain: self.chain(place, MAX_UPPER_CASE)?, size: place.size, initialized: place.size };
        content.read(&self.source, &self.table.heap, 0, &mut bytes)?;
        expanded(&units(&bytes)).ok_or_else(|| Error::damaged(what, "it is too long"))
    }

    /// Returns the clusters of a file of at most `limit` bytes.
    fn chain(&self, place: Place, limit: u64) -> Result<Chain> {
        let clusters = place.size.min(limit).div_ceil(self.table.heap.cluster);
        match place.is_successive {
            _ if clusters == 0 => Ok(Chain::default()),
            true => Chain::successive(&self.table.heap, place.first, clusters),
            false => self.table.chain(&self.source, place.first, clusters),
        }
    }

    fn folder(&self, folder: Node) -> Result<Folder> {
        if folder == ROOT {
            // Its size is not stored.
            let limit = MAX_FOLDER.div_ceil(self.table.heap.cluster);
            let chain = self.table.whole_chain(&self.source, self.root, limit)?;
            let clusters = chain.len;
            return Ok(Folder { chain, clusters, is_successive: false });
        }
        let file = self.file(folder)?;
        if !file.is_folder {
            return Err(Error::damaged("a folder", "its entry is that of a file"));
        }
        if file.place.size > MAX_FOLDER {
            return Err(Error::damaged("a folder", format!("it has {} bytes", file.place.size)));
        }
        let chain = self.chain(file.place, MAX_FOLDER)?;
        let clusters = file.place.size.div_ceil(self.table.heap.cluster);
        Ok(Folder { chain, clusters, is_successive: file.place.is_successive })
    }

    /// Returns what the set of entries of a file says.
    fn file(&self, node: Node) -> Result<File> {
        let heap = self.table.heap;
        let offset = (node.0 / 2).saturating_mul(entries::LEN as u64);
        let within =
            offset.checked_sub(heap.start).ok_or_else(|| Error::damaged("a folder", "it is not a folder"))?;
        let cluster = u32::try_from(within / heap.cluster).ok().and_then(|index| index.checked_add(2));
        let cluster = cluster.ok_or_else(|| Error::damaged("a folder", "it is not a folder"))?;
        // A set has at most 256 entries, which may be in as many clusters as their bytes need, and one more.
        let clusters = 1 + (256 * entries::LEN as u64).div_ceil(heap.cluster);
        let chain = match node.0 % 2 {
            0 => self.table.chain(&self.source, cluster, clusters)?,
            _ => {
                let left = u64::from(heap.count).saturating_sub(within / heap.cluster);
                Chain::successive(&heap, cluster, clusters.min(left))?
            }
        };
        let (mut set, mut len) = (Vec::new(), 0);
        let folder = Folder { clusters: chain.len, chain, is_successive: false };
        folder.entries(self, within % heap.cluster, &mut |_, entry| {
            if set.is_empty() {
                len = entries::len_of_set(entry)?;
            }
            set.extend_from_slice(entry);
            let is_whole = set.len() >= len.saturating_mul(entries::LEN);
            Ok(if is_whole { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        File::parse(&set)
    }

    fn content(&self, node: Node) -> Result<Arc<Content>> {
        if let Some((_, content)) = self.last.borrow().as_ref().filter(|(last, _)| *last == node) {
            return Ok(Arc::clone(content));
        }
        let file = self.file(node)?;
        if file.is_folder {
            return Err(Error::damaged("a file", "its entry is that of a folder"));
        }
        if file.place.size.div_ceil(self.table.heap.cluster) > self.table.heap.count.into() {
            return Err(Error::damaged("a file", "it is larger than the volume"));
        }
        let chain = self.chain(file.place, u64::MAX)?;
        let content = Content { chain, size: file.place.size, initialized: file.initialized };
        let content = Arc::new(content);
        *self.last.borrow_mut() = Some((node, Arc::clone(&content)));
        Ok(content)
    }
}

/// The clusters of a folder.
struct Folder {
    chain: Chain,
    /// The number of clusters that it should have.
    clusters: u64,
    is_successive: bool,
}

type EachEntry<'e> = dyn FnMut(u64, &[u8]) -> Result<ControlFlow<()>> + 'e;

impl Folder {
    /// Calls `each` for the entries from a byte of the folder on, with their places on the volume, until it breaks.
    fn entries(&self, fs: &ExFat<'_>, from: u64, each: &mut EachEntry<'_>) -> Result<()> {
        const PIECE: u64 = 64 * 1024;
        let heap = fs.table.heap;
        let end = self.chain.len.saturating_mul(heap.cluster);
        let mut at = from;
        while at < end {
            let Some((cluster, _)) = self.chain.at(at / heap.cluster) else { break };
            let within = at % heap.cluster;
            let place = heap.place(cluster)?.saturating_add(within);
            // At most 64 KiB.
            let len = heap.cluster.saturating_sub(within).min(PIECE);
            let bytes = fs.source.structure(place, len as usize)?;
            for (number, entry) in bytes.chunks_exact(entries::LEN).enumerate() {
                let place = place.saturating_add((number * entries::LEN) as u64);
                if each(place, entry)?.is_break() {
                    return Ok(());
                }
            }
            at = at.saturating_add(len);
        }
        Ok(())
    }
}

/// Returns a table of upper-case letters without compression: 0xffff stands for as many letters as the next number, which
/// are their own upper case.
fn expanded(stored: &[u16]) -> Option<Vec<u16>> {
    let mut table: Vec<u16> = Vec::with_capacity(65536);
    let mut stored = stored.iter().copied();
    while let Some(unit) = stored.next() {
        match unit {
            0xffff if table.len() < 65535 => {
                let same = stored.next()?;
                let first = u16::try_from(table.len()).ok()?;
                table.extend((0..same).map(|more| first.saturating_add(more)));
            }
            _ => table.push(unit),
        }
        if table.len() > 65536 {
            return None;
        }
    }
    Some(table)
}

impl FileSystem for ExFat<'_> {
    fn root(&self) -> Node {
        ROOT
    }

    fn attributes(&self, node: Node) -> Result<Attributes> {
        if node == ROOT {
            return Ok(Attributes { kind: Kind::Folder, size: 0, modified: None, mode: None });
        }
        let file = self.file(node)?;
        let kind = if file.is_folder { Kind::Folder } else { Kind::File };
        let size = if file.is_folder { 0 } else { file.place.size };
        Ok(Attributes { kind, size, modified: file.modified, mode: None })
    }

    fn list(&self, folder: Node, each: &mut dyn FnMut(Entry) -> Result<ControlFlow<()>>) -> Result<()> {
        let folder = self.folder(folder)?;
        // The set that is being collected, its length in entries, and its place.
        let (mut set, mut len, mut start) = (Vec::new(), 0, 0);
        let mut damage = None;
        let mut has_ended = false;
        let cut_off = || Error::damaged("a folder", "the entries of a file in it are incomplete");
        folder.entries(self, 0, &mut |place, entry| {
            let kind = entry.first().copied().unwrap_or(entries::END);
            if len > 0 && matches!(kind, entries::FILE | entries::END) {
                damage.get_or_insert_with(cut_off);
            }
            if kind == entries::FILE {
                set.clear();
                len = entries::len_of_set(entry)?;
                start = place;
            }
            if kind == entries::END {
                (has_ended, len) = (true, 0);
                return Ok(ControlFlow::Break(()));
            }
            if len == 0 {
                return Ok(ControlFlow::Continue(()));
            }
            set.extend_from_slice(entry);
            if set.len() < len.saturating_mul(entries::LEN) {
                return Ok(ControlFlow::Continue(()));
            }
            len = 0;
            let file = match File::parse(&set) {
                Ok(file) => file,
                // The other sets can be read.
                Err(error) => {
                    damage.get_or_insert(error);
                    return Ok(ControlFlow::Continue(()));
                }
            };
            let node = Node((start / entries::LEN as u64 * 2) | u64::from(folder.is_successive));
            let kind = if file.is_folder { Kind::Folder } else { Kind::File };
            let flow = each(Entry { name: names::to_utf8(&file.name), node, kind })?;
            has_ended |= flow.is_break();
            Ok(flow)
        })?;
        if !has_ended && len > 0 {
            damage.get_or_insert_with(cut_off);
        }
        if !has_ended && folder.chain.len < folder.clusters {
            damage.get_or_insert_with(|| Error::damaged("a folder", "it is longer than its clusters"));
        }
        damage.map_or(Ok(()), Err)
    }

    fn folder_identity(&self, folder: Node) -> Result<u64> {
        match folder {
            ROOT => Ok(self.root.into()),
            _ => Ok(self.file(folder)?.place.first.into()),
        }
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    fn is_same_name(&self, one: &[u8], other: &[u8]) -> bool {
        self.upper_case.is_same(one, other)
    }

    fn range_at(&self, file: Node, offset: u64) -> Result<Option<Range>> {
        Ok(self.content(file)?.range_at(offset))
    }

    fn read(&self, file: Node, offset: u64, buf: &mut [u8]) -> Result<usize> {
        self.content(file)?.read(&self.source, &self.table.heap, offset, buf)
    }

    fn link_target(&self, _: Node) -> Result<Vec<u8>> {
        Err(Error::Unsupported("exFAT has no links".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Window;
    use crate::files::guarded::Budget;
    use vhdx::{Memory, RawDisk};

    const CLUSTER: usize = 512;
    /// The byte of cluster 2, which is the root folder.
    const HEAP: usize = 2 * CLUSTER;

    /// Returns a volume with this root folder, whose clusters from 3 on are followed by themselves.
    fn volume(root: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; HEAP + 100 * CLUSTER];
        bytes[3..11].copy_from_slice(b"EXFAT   ");
        for (at, number) in [(80, 1), (84, 1), (88, 2), (92, 100), (96, 2_u32)] {
            bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
        }
        bytes[108..111].copy_from_slice(&[9, 0, 1]);
        for cluster in 0..102_u32 {
            let next = if cluster > 4 { cluster } else { u32::MAX };
            let at = CLUSTER + cluster as usize * 4;
            bytes[at..at + 4].copy_from_slice(&next.to_le_bytes());
        }
        bytes[HEAP..HEAP + root.len()].copy_from_slice(root);
        bytes
    }

    /// Returns the set of entries of the file `a`.
    fn set(attributes: u8, first: u32, size: u64) -> Vec<u8> {
        let mut set = vec![0; 3 * entries::LEN];
        (set[0], set[1], set[4]) = (entries::FILE, 2, attributes);
        (set[32], set[33], set[35]) = (0xc0, 1, 1);
        set[40..48].copy_from_slice(&size.to_le_bytes());
        set[52..56].copy_from_slice(&first.to_le_bytes());
        set[56..64].copy_from_slice(&size.to_le_bytes());
        (set[64], set[66]) = (0xc1, b'a');
        let sum = entries::checksum(&set);
        set[2..4].copy_from_slice(&sum.to_le_bytes());
        set
    }

    fn with<T>(bytes: Vec<u8>, with: impl FnOnce(&ExFat<'_>) -> T) -> T {
        let disk = RawDisk::open_with(Memory::new(bytes), "image").unwrap();
        with(&ExFat::open(Source::new(Window::whole(&disk), Budget::new())).unwrap())
    }

    /// Lists the root folder. Returns how many entries there are, and whether it is damaged.
    fn listed(root: &[u8]) -> (usize, bool) {
        with(volume(root), |fs| {
            let mut count = 0;
            let result = fs.list(ROOT, &mut |_| {
                count += 1;
                Ok(ControlFlow::Continue(()))
            });
            (count, result.is_err())
        })
    }

    #[test]
    fn sets_that_are_cut_off_are_damage() {
        let whole = set(0, 3, 5);
        assert_eq!(listed(&whole), (1, false));
        assert_eq!(listed(&whole[..64]), (0, true));
        assert_eq!(listed(&[&whole[..64], &whole].concat()), (1, true));
        // The folder ends in the sixth set.
        assert_eq!(listed(&whole.repeat(6)[..CLUSTER]), (5, true));
    }

    #[test]
    fn a_folder_that_is_longer_than_its_clusters_is_damaged() {
        let sub = set(0x10, 3, 2 * CLUSTER as u64);
        let mut bytes = volume(&sub);
        // Entries that are not in use fill the only cluster.
        bytes[HEAP + CLUSTER..HEAP + 2 * CLUSTER].fill(1);
        with(bytes, |fs| {
            let found = fs.lookup(ROOT, b"a").unwrap().unwrap();
            let list = fs.list(found.node, &mut |_| Ok(ControlFlow::Continue(())));
            assert!(matches!(list, Err(Error::Damaged { .. })), "{list:?}");
        });
    }

    #[test]
    fn circles_of_clusters_are_damage() {
        for (first, size) in [(5, 1 << 62), (5, 2 * CLUSTER as u64), (5, 50 * CLUSTER as u64), (3, 1 << 62)] {
            with(volume(&set(0, first, size)), |fs| {
                let found = fs.lookup(ROOT, b"a").unwrap().unwrap();
                let read = fs.read(found.node, 0, &mut [0; 16]);
                assert!(matches!(read, Err(Error::Damaged { .. })), "{first} {size}: {read:?}");
            });
        }
    }

    #[test]
    fn tables_of_upper_case_letters_are_expanded() {
        assert_eq!(expanded(&[0xffff, 97, 65, 66]).unwrap()[95..], [95, 96, 65, 66]);
        assert_eq!(expanded(&[0xffff]), None);
        assert_eq!(expanded(&[0xffff; 10]), None);
    }
}
