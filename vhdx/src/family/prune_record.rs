//! The record that a prune leaves beside a merge target: where the states of the deleted files are, and how old the kept
//! states are.
//!
//! A prune moves states to other files and changes the times of files, but the configurations of Hyper-V still name the
//! old files. The record keeps both, so that the kept checkpoints have the same names and times as before.
//!
//! A revert that deletes the old disk leaves such a record beside the new one. It only names the old disk.

use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

/// The extension of a record. It follows the name of the target.
pub(crate) const RECORD_EXTENSION: &str = "vhdx-pruned";

/// The first line of a record.
const HEAD: &str = "vhdx pruned 1";
/// The last line. Without it, the record is not whole.
const END: &str = "end\n";
/// The most deleted files, and the most files that had the state of the target, that a record names: the latest.
const MAX_PATHS: usize = 256;
/// The most times of states that a record has.
const MAX_TIMES: usize = 1 << 14;

/// What is known about the states of a family after a merge of a prune.
///
/// All paths are relative to the folder of the target, with `/` between names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PruneRecord {
    /// When the prune was planned.
    pub(crate) time: SystemTime,
    /// The VirtualDiskId of the target, if it has one.
    pub(crate) disk: Option<Uuid>,
    /// The files that had the state that the target has now, the latest first. The last one is where it was frozen.
    pub(crate) state_of: Vec<MovedState>,
    /// When this state was last changed, if known.
    pub(crate) modified: Option<SystemTime>,
    /// How many ancestors of this state were merged away, over all prunes.
    pub(crate) levels: usize,
    /// The files whose states were deleted, the latest first. The target is one of them.
    pub(crate) deleted: Vec<String>,
    /// The DataWriteGuids of the merged files, the newest first.
    pub(crate) merged: Vec<Uuid>,
    /// The DataWriteGuids that the target had before this prune and earlier ones, the latest first.
    pub(crate) before: Vec<Uuid>,
    /// When the states of files were last changed before the merge, by DataWriteGuid.
    pub(crate) frozen: Vec<(Uuid, SystemTime)>,
    /// The files that reverts deleted, the latest first. A machine that names one of them must use the target.
    pub(crate) replaces: Vec<String>,
    /// Whether the revert has not yet deleted the latest of these files. Then none of them counts.
    pub(crate) is_pending: bool,
}

/// A file that had the state that the target has now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MovedState {
    pub(crate) path: String,
    /// When an earlier prune gave the file this state, if one did. Until then, it had another one.
    pub(crate) since: Option<SystemTime>,
}

impl PruneRecord {
    /// Returns a record that says nothing.
    pub(crate) fn new(time: SystemTime) -> Self {
        Self {
            time,
            disk: None,
            state_of: Vec::new(),
            modified: None,
            levels: 0,
            deleted: Vec::new(),
            merged: Vec::new(),
            before: Vec::new(),
            frozen: Vec::new(),
            replaces: Vec::new(),
            is_pending: false,
        }
    }

    /// Returns the path that the target had when the files were merged into it; `None` if none were.
    pub(crate) fn target(&self) -> Option<&str> {
        // `deleted` starts with the merged files except the newest. The target follows.
        self.deleted.get(self.merged.len().checked_sub(1)?).map(String::as_str)
    }

    /// Returns the merged files, the newest first: their DataWriteGuids and paths.
    pub(crate) fn merged_files(&self) -> impl Iterator<Item = (Uuid, &str)> {
        // `deleted` starts with the merged files except the newest, which is in `state_of`. Files of earlier prunes
        // follow.
        let newest = self.state_of.first().map(|state| &state.path);
        let paths = newest.into_iter().chain(&self.deleted).map(String::as_str);
        self.merged.iter().copied().zip(paths)
    }

    /// Returns the text, which [`decode`](Self::decode) reads.
    pub(crate) fn encode(&self) -> String {
        let mut text = format!("{HEAD}\ntime {}\nlevels {}\n", encode_time(self.time), self.levels);
        if let Some(disk) = self.disk {
            text += &format!("disk {disk}\n");
        }
        if let Some(modified) = self.modified {
            text += &format!("modified {}\n", encode_time(modified));
        }
        for MovedState { path, since } in self.state_of.iter().take(MAX_PATHS) {
            let since = since.map_or_else(|| "-".to_owned(), encode_time);
            text += &format!("state-of {since} {}\n", escape(path));
        }
        self.deleted.iter().take(MAX_PATHS).for_each(|path| text += &format!("deleted {}\n", escape(path)));
        self.merged.iter().for_each(|guid| text += &format!("merged {guid}\n"));
        self.before.iter().take(MAX_PATHS).for_each(|guid| text += &format!("before {guid}\n"));
        for (guid, time) in self.frozen.iter().take(MAX_TIMES) {
            text += &format!("frozen {guid} {}\n", encode_time(*time));
        }
        if self.is_pending {
            text += "pending revert\n";
        }
        self.replaces.iter().take(MAX_PATHS).for_each(|path| text += &format!("replaces {}\n", escape(path)));
        text + END
    }

    /// Returns the record in a text; `None` if the text is none.
    pub(crate) fn decode(text: &str) -> Option<Self> {
        let lines = text.strip_prefix(HEAD)?.strip_prefix('\n')?.strip_suffix(END)?;
        let (time, lines) = lines.split_once('\n')?;
        let mut record = Self::new(decode_time(time.strip_prefix("time ")?)?);
        for line in lines.lines() {
            let (key, value) = line.split_once(' ')?;
            match key {
                "levels" => record.levels = value.parse().ok()?,
                "disk" => record.disk = Some(Uuid::try_parse(value).ok()?),
                "modified" => record.modified = Some(decode_time(value)?),
                "state-of" => record.state_of.push(decode_state(value)?),
                "merged" => record.merged.push(Uuid::try_parse(value).ok()?),
                "before" => record.before.push(Uuid::try_parse(value).ok()?),
                "deleted" => record.deleted.push(unescape(value)?),
                "pending" if value == "revert" => record.is_pending = true,
                "replaces" => record.replaces.push(unescape(value)?),
                "frozen" => {
                    let (guid, time) = value.split_once(' ')?;
                    record.frozen.push((Uuid::try_parse(guid).ok()?, decode_time(time)?));
                }
                _ => return None,
            }
        }
        Some(record)
    }

    /// Returns the record with which a longer text ends.
    pub(crate) fn at_end_of(text: &str) -> Option<Self> {
        // Paths are escaped, so that no line of another kind begins so.
        Self::decode(text.get(text.find(&format!("\n{HEAD}\n"))?.checked_add(1)?..)?)
    }

    /// Returns the content of the file beside a target with this DataWriteGuid.
    pub(crate) fn file(&self, target: Uuid) -> Vec<u8> {
        format!("target {target}\n{}", self.encode()).into_bytes()
    }
}

fn decode_state(text: &str) -> Option<MovedState> {
    let (since, path) = text.split_once(' ')?;
    let since = match since {
        "-" => None,
        since => Some(decode_time(since)?),
    };
    Some(MovedState { path: unescape(path)?, since })
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
    // No VHDX is older than 1970: such a time means nothing.
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}.{:09}", since.as_secs(), since.subsec_nanos())
}

fn decode_time(text: &str) -> Option<SystemTime> {
    let (seconds, nanos) = text.split_once('.')?;
    let nanos = nanos.parse().ok().filter(|nanos: &u32| *nanos < 1_000_000_000)?;
    UNIX_EPOCH.checked_add(Duration::new(seconds.parse().ok()?, nanos))
}

/// Returns a path on one line, which [`unescape`] reads.
pub(crate) fn escape(path: &str) -> String {
    path.replace('%', "%25").replace('\n', "%0A").replace('\r', "%0D")
}

/// Returns the path that was [`escape`]d; `None` if it was not.
pub(crate) fn unescape(line: &str) -> Option<String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> PruneRecord {
        // Windows counts in 100 nanoseconds.
        let time = |seconds| UNIX_EPOCH + Duration::new(seconds, 123_456_700);
        PruneRecord {
            time: time(3),
            disk: Some(Uuid::from_u128(9)),
            state_of: vec![
                MovedState { path: "a\n%b.avhdx".to_owned(), since: Some(time(2)) },
                MovedState { path: "../x/ü \r.avhdx".to_owned(), since: None },
            ],
            modified: Some(time(2)),
            levels: 3,
            merged: vec![Uuid::from_u128(11), Uuid::from_u128(14)],
            before: vec![Uuid::from_u128(12), Uuid::from_u128(13)],
            deleted: vec!["base.vhdx".to_owned()],
            frozen: vec![(Uuid::from_u128(7), time(1))],
            replaces: vec!["old\n.avhdx".to_owned()],
            is_pending: true,
        }
    }

    #[test]
    fn a_record_reads_back() {
        let file = record().file(Uuid::from_u128(5));
        assert_eq!(decode_record_file(&file), Some((Uuid::from_u128(5), record())));
        let bare = PruneRecord::new(record().time);
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
            text.replace(".123456700", ".1000000000"),
            text.replace(".123456700", ""),
            text.replace("state-of - ", "state-of "),
            format!("{text}\n"),
            format!("{text}x y"),
            text.replace("end\n", "frozenend\n"),
        ] {
            assert_eq!(PruneRecord::decode(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_target_follows_the_merged_files() {
        let mut record = PruneRecord::new(UNIX_EPOCH);
        assert_eq!(record.target(), None);
        record.state_of.push(MovedState { path: "leaf".to_owned(), since: None });
        record.deleted = ["mid", "base", "earlier"].map(str::to_owned).to_vec();
        record.merged = vec![Uuid::from_u128(1), Uuid::from_u128(2)];
        assert_eq!(record.target(), Some("base"));
        assert_eq!(record.merged_files().map(|(_, path)| path).collect::<Vec<_>>(), ["leaf", "mid"]);
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
