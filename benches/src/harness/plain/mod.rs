//! The plain work that limits consist of: reads and copies of listed pieces, done in several ways.

mod copy;
mod http;
mod piece;
mod read;
mod request;
mod uring;
mod way;

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rustix::fs::OFlags;

pub(crate) use copy::copy;
pub(crate) use http::{get, read_http};
pub(crate) use piece::{Piece, data_of, load, save};
pub(crate) use read::read;
pub(crate) use way::{Direct, Way};

/// Opens the sources of a read or copy.
fn open_sources(paths: &[PathBuf], is_direct: bool) -> Result<Vec<File>> {
    paths.iter().map(|path| open(File::options().read(true), path, is_direct)).collect()
}

fn open(options: &mut std::fs::OpenOptions, path: &Path, is_direct: bool) -> Result<File> {
    if is_direct {
        options.custom_flags(OFlags::DIRECT.bits().cast_signed());
    }
    options.open(path).with_context(|| path.display().to_string())
}

/// Returns the pieces in a list, or the data of the only source if there is no list.
fn pieces(list: Option<&Path>, sources: &[File]) -> Result<Vec<Piece>> {
    match (list, sources) {
        (Some(list), _) => load(list),
        (None, [source]) => data_of(source),
        (None, _) => anyhow::bail!("several sources need a list"),
    }
}

/// Returns whether the files of a folder can be opened for direct access.
pub(crate) fn can_be_direct(folder: &Path) -> bool {
    let flags = OFlags::TMPFILE | OFlags::DIRECT;
    File::options().read(true).write(true).custom_flags(flags.bits().cast_signed()).open(folder).is_ok()
}

/// Returns whether the kernel permits io_uring. Containers often forbid it.
pub(crate) fn has_uring() -> bool {
    uring::is_available()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Two sources of 64 KiB, and pieces that overwrite parts of a target in another order.
    fn example(folder: &Path) -> (Vec<PathBuf>, PathBuf, Vec<Piece>, Vec<u8>) {
        let sources = [3_u8, 5].map(|step| {
            let bytes: Vec<u8> = (0..64_u32 << 10).map(|at| ((at / 512) as u8).wrapping_mul(step)).collect();
            let path = folder.join(format!("source{step}"));
            fs::write(&path, &bytes).unwrap();
            (path, bytes)
        });
        let piece = |source, from: u64, to: u64, len: u64| Piece {
            source,
            from: from << 12,
            to: to << 12,
            len: len << 12,
        };
        let pieces = vec![
            piece(0, 8, 0, 2),
            piece(1, 4, 3, 1),
            piece(0, 3, 5, 1),
            piece(1, 0, 6, 3),
            piece(0, 1, 9, 1),
        ];
        let mut expected = vec![1; 16 << 12];
        for piece in &pieces {
            let (from, to, len) = (piece.from as usize, piece.to as usize, piece.len as usize);
            expected[to..to + len].copy_from_slice(&sources[piece.source as usize].1[from..from + len]);
        }
        save(&folder.join("list"), &pieces).unwrap();
        (sources.map(|(path, _)| path).to_vec(), folder.join("list"), pieces, expected)
    }

    #[test]
    fn each_way_copies_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let (sources, list, pieces, expected) = example(folder.path());
        assert_eq!(load(&list).unwrap(), pieces);
        let mut ways = vec![
            Way::threads(1),
            Way::threads(1).early(),
            Way::threads(3).file_order(),
            Way::threads(2).file_order().gaps(8 << 10),
            Way::threads(1).ahead(2),
            Way::threads(4).in_kernel(),
        ];
        if can_be_direct(folder.path()) {
            let all = [Direct::Reads, Direct::Writes, Direct::Both];
            ways.extend(all.map(|direct| Way::threads(2).file_order().gaps(8 << 10).direct(direct)));
        }
        if has_uring() {
            ways.extend([Way::uring(2), Way::uring(64).file_order()]);
        }
        let target = folder.path().join("target");
        for way in ways {
            fs::write(&target, vec![1; 16 << 12]).unwrap();
            copy(Some(&list), &sources, &target, &way).unwrap();
            assert!(fs::read(&target).unwrap() == expected, "{way:?}");
            read(Some(&list), &sources, &way).unwrap();
        }
    }

    #[test]
    fn without_a_list_the_data_of_a_file_is_copied_and_its_holes_are_not() {
        use std::os::unix::fs::FileExt as _;
        let folder = tempfile::tempdir().unwrap();
        let [source, target] = ["a", "b"].map(|name| folder.path().join(name));
        File::create(&source).unwrap().write_all_at(b"x", 1 << 20).unwrap();
        fs::write(&target, b"y").unwrap();
        copy(None, &[source], &target, &Way::threads(2)).unwrap();
        let made = fs::read(&target).unwrap();
        assert_eq!((made.len(), made[0], made[1 << 20]), ((1 << 20) + 1, b'y', b'x'));
    }
}
