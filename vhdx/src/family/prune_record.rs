//! The record that a prune leaves beside a merge target: where the states of the deleted files are, and how old the kept
//! states are.
//!
//! A prune moves states to other files and changes the times of files, but the configurations of Hyper-V still name the
//! old files. The record keeps both, so that the kept checkpoints have the same names and times as before.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

/// The extension of a record. It follows the name of the target.
pub(crate) const RECORD_EXTENSION: &str = "vhdx-pruned";

/// The first line of a record.
const HEAD: &str = "vhdx pruned 1";
/// The last line. Without it, the record is not whole.
const END: &str = "end\n";
/// The most bytes of a record that are read.
const MAX_RECORD: u64 = 4 << 20;
/// The most deleted files that a record names.
const MAX_DELETED: usize = 1000;

/// What is known about the states of a family after a merge of a prune.
///
/// All paths are relative to the folder of the target, with `/` between names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PruneRecord {
    /// When the prune was planned.
    pub(crate) time: SystemTime,
    /// The files that had the state that the target has now, the latest first.
    pub(crate) state_of: Vec<String>,
    /// When this state was last changed, if known.
    pub(crate) modified: Option<SystemTime>,
    /// The files whose states were deleted, the latest first. The target is one of them.
    pub(crate) deleted: Vec<String>,
    /// When the states of other files were last changed, by DataWriteGuid.
    pub(crate) frozen: Vec<(Uuid, SystemTime)>,
}

impl PruneRecord {
    /// Returns the text, which [`decode`](Self::decode) reads.
    pub(crate) fn encode(&self) -> String {
        let mut text = format!("{HEAD}\ntime {}\n", encode_time(self.time));
        if let Some(modified) = self.modified {
            text += &format!("modified {}\n", encode_time(modified));
        }
        self.state_of.iter().for_each(|path| text += &format!("state-of {}\n", escape(path)));
        self.deleted.iter().take(MAX_DELETED).for_each(|path| text += &format!("deleted {}\n", escape(path)));
        self.frozen
            .iter()
            .for_each(|(guid, time)| text += &format!("frozen {guid} {}\n", encode_time(*time)));
        text + END
    }

    /// Returns the record in a text; `None` if the text is none.
    pub(crate) fn decode(text: &str) -> Option<Self> {
        let lines = text.strip_prefix(HEAD)?.strip_prefix('\n')?.strip_suffix(END)?;
        let (time, lines) = lines.split_once('\n')?;
        let mut record = Self {
            time: decode_time(time.strip_prefix("time ")?)?,
            state_of: Vec::new(),
            modified: None,
            deleted: Vec::new(),
            frozen: Vec::new(),
        };
        for line in lines.lines() {
            let (key, value) = line.split_once(' ')?;
            match key {
                "modified" => record.modified = Some(decode_time(value)?),
                "state-of" => record.state_of.push(unescape(value)?),
                "deleted" => record.deleted.push(unescape(value)?),
                "frozen" => {
                    let (guid, time) = value.split_once(' ')?;
                    record.frozen.push((Uuid::try_parse(guid).ok()?, decode_time(time)?));
                }
                _ => return None,
            }
        }
        Some(record)
    }

    /// Returns the content of the file beside a target with this DataWriteGuid.
    pub(crate) fn file(&self, target: Uuid) -> Vec<u8> {
        format!("target {target}\n{}", self.encode()).into_bytes()
    }
}

/// Returns the path of the record of a target.
pub(crate) fn record_of(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(".");
    name.push(RECORD_EXTENSION);
    name.into()
}

/// Returns the DataWriteGuid of the target and the record in a file; `None` if the file is none.
pub(crate) fn decode_record_file(bytes: &[u8]) -> Option<(Uuid, PruneRecord)> {
    let (target, record) = std::str::from_utf8(bytes).ok()?.strip_prefix("target ")?.split_once('\n')?;
    Some((Uuid::try_parse(target).ok()?, PruneRecord::decode(record)?))
}

fn encode_time(time: SystemTime) -> String {
    // A file that is older than 1970 has no time that is worth keeping.
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}.{:09}", since.as_secs(), since.subsec_nanos())
}

fn decode_time(text: &str) -> Option<SystemTime> {
    let (seconds, nanos) = text.split_once('.')?;
    let nanos = nanos.parse().ok().filter(|nanos: &u32| *nanos < 1_000_000_000)?;
    UNIX_EPOCH.checked_add(Duration::new(seconds.parse().ok()?, nanos))
}

/// Returns a path on one line.
fn escape(path: &str) -> String {
    path.replace('%', "%25").replace('\n', "%0A").replace('\r', "%0D")
}

fn unescape(line: &str) -> Option<String> {
    let mut parts = line.split('%');
    let mut path = parts.next()?.to_owned();
    for part in parts {
        path.push(char::from(u8::from_str_radix(part.get(..2)?, 16).ok().filter(u8::is_ascii)?));
        path += part.get(2..)?;
    }
    Some(path)
}

/// Returns a path as records contain it, relative to the folder of the target.
pub(crate) fn relative_to_target(target: &Path, path: &Path) -> String {
    let real = |path: &Path| {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        // The file may be gone, so its folder is resolved.
        match (absolute.parent().and_then(|folder| folder.canonicalize().ok()), absolute.file_name()) {
            (Some(folder), Some(name)) => folder.join(name),
            _ => absolute,
        }
    };
    let (target, path) = (real(target), real(path));
    let folder: Vec<Component<'_>> = target.parent().into_iter().flat_map(Path::components).collect();
    let names: Vec<Component<'_>> = path.components().collect();
    let common = folder.iter().zip(&names).take_while(|(a, b)| a == b).count();
    if common == 0 {
        // It lies on another drive of Windows.
        return path.to_string_lossy().into_owned();
    }
    let up = std::iter::repeat_n("..".into(), folder.len().saturating_sub(common)); // `common` is at most the length.
    let down = names[common..].iter().map(|name| name.as_os_str().to_string_lossy());
    up.chain(down).collect::<Vec<_>>().join("/")
}

/// Returns the path on this host that a path in a record means.
pub(crate) fn on_host(target: &Path, recorded: &str) -> PathBuf {
    let mut path = target.parent().map(Path::to_owned).unwrap_or_default(); // The current folder.
    if Path::new(recorded).is_absolute() {
        return recorded.into();
    }
    if recorded.starts_with("../") {
        // Without a current folder, the path stays relative.
        path = std::path::absolute(&path).unwrap_or(path);
    }
    for name in recorded.split('/') {
        match name {
            ".." => drop(path.pop()),
            name => path.push(name),
        }
    }
    path
}

/// A record whose target was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FoundRecord {
    /// The target.
    path: PathBuf,
    /// Whether the target still has the state that the merge gave it.
    pub(crate) is_unchanged: bool,
    /// The DataWriteGuid that the merge gave the target.
    pub(crate) guid: Uuid,
    pub(crate) record: PruneRecord,
}

impl FoundRecord {
    /// Returns whether the target has the state of a file that was merged into it.
    pub(crate) fn has_moved_state(&self) -> bool {
        self.is_unchanged && !self.record.state_of.is_empty()
    }
}

/// The records of a forest, by the disk of their target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PruneRecords(BTreeMap<usize, FoundRecord>);

/// A file that a prune deleted.
pub(super) struct DeletedFile {
    pub(super) path: PathBuf,
    /// The disk that has its state, or whose state came after it.
    pub(super) target: usize,
    /// Whether the target has its state.
    pub(super) is_merged: bool,
    /// Whether the target still has the state that the merge gave it.
    pub(super) is_unchanged: bool,
}

impl PruneRecords {
    /// Reads the records among `files`. Records without a target, and files that are none, are ignored.
    ///
    /// `find` returns the index and the DataWriteGuid of the disk at a path.
    pub(super) fn read(files: &[PathBuf], find: impl Fn(&Path) -> Option<(usize, Uuid)>) -> Self {
        let is_record = |path: &&PathBuf| path.extension().is_some_and(|name| name == RECORD_EXTENSION);
        let read = |path: &PathBuf| {
            let path_of_target = path.with_extension("");
            let (target, now) = find(&path_of_target)?;
            let mut bytes = Vec::new();
            File::open(path).ok()?.take(MAX_RECORD).read_to_end(&mut bytes).ok()?;
            let (guid, record) = decode_record_file(&bytes)?;
            Some((target, FoundRecord { path: path_of_target, is_unchanged: now == guid, guid, record }))
        };
        Self(files.iter().filter(is_record).filter_map(read).collect())
    }

    /// Returns the record of a target.
    pub(crate) fn of(&self, target: usize) -> Option<&FoundRecord> {
        self.0.get(&target)
    }

    /// Returns when states were last changed, by DataWriteGuid.
    ///
    /// The merge changed the times of these files, but not their states.
    pub(crate) fn modified(&self) -> HashMap<Uuid, SystemTime> {
        let of_targets = self.0.values().filter_map(|found| Some((found.guid, found.record.modified?)));
        let of_others = self.0.values().flat_map(|found| &found.record.frozen).copied();
        of_targets.chain(of_others).collect()
    }

    /// Returns the deleted files. If several records name one, the state that exists counts.
    ///
    /// `existing` are the paths of files, which are not deleted.
    pub(super) fn deleted(&self, existing: impl IntoIterator<Item = PathBuf>) -> Vec<DeletedFile> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let mut known: HashSet<PathBuf> = existing.into_iter().collect();
        let list = |is_merged: bool| {
            self.0.iter().flat_map(move |(&target, found)| {
                let paths = if is_merged { &found.record.state_of } else { &found.record.deleted };
                paths.iter().map(move |path| DeletedFile {
                    path: on_host(&found.path, path),
                    target,
                    is_merged,
                    is_unchanged: found.is_unchanged,
                })
            })
        };
        list(true).chain(list(false)).filter(|file| known.insert(file.path.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> PruneRecord {
        let time = |seconds| UNIX_EPOCH + Duration::new(seconds, 123_456_789);
        PruneRecord {
            time: time(3),
            state_of: vec!["a\n%b.avhdx".to_owned(), "../x/ü\r.avhdx".to_owned()],
            modified: Some(time(2)),
            deleted: vec!["base.vhdx".to_owned()],
            frozen: vec![(Uuid::from_u128(7), time(1))],
        }
    }

    #[test]
    fn a_record_reads_back() {
        let file = record().file(Uuid::from_u128(5));
        assert_eq!(decode_record_file(&file), Some((Uuid::from_u128(5), record())));
        let bare =
            PruneRecord { state_of: vec![], modified: None, deleted: vec![], frozen: vec![], ..record() };
        assert_eq!(PruneRecord::decode(&bare.encode()), Some(bare));
    }

    #[test]
    fn only_whole_records_are_records() {
        let file = record().file(Uuid::from_u128(5));
        for len in 0..file.len() {
            assert_eq!(decode_record_file(&file[..len]), None, "{len}");
        }
        let text = record().encode();
        for wrong in [
            text.replace("pruned 1", "pruned 2"),
            text.replace("frozen ", "thawed "),
            text.replace("%0A", "%0"),
            text.replace("%0A", "%FF"),
            text.replace(".123456789", ".1000000000"),
            text.replace(".123456789", ""),
            format!("{text}\n"),
            format!("{text}x y"),
            text.replace("end\n", "frozenend\n"),
        ] {
            assert_eq!(PruneRecord::decode(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn paths_are_relative_to_the_target() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("vm/base.vhdx");
        std::fs::create_dir_all(folder.path().join("vm/sub")).unwrap();
        std::fs::create_dir(folder.path().join("other")).unwrap();
        for (path, recorded) in [
            ("vm/base.vhdx", "base.vhdx"),
            ("vm/sub/a.avhdx", "sub/a.avhdx"),
            ("other/a.avhdx", "../other/a.avhdx"),
        ] {
            let path: PathBuf = folder.path().join(path).components().collect();
            assert_eq!(relative_to_target(&target, &path), recorded);
            assert_eq!(on_host(&target, recorded).components().collect::<PathBuf>(), path);
        }
        assert_eq!(on_host(Path::new("base.vhdx"), "a.avhdx"), Path::new("a.avhdx"));
    }
}
