//! Damaged file systems: no panic, no endless loop, and no more reads than the image is worth.

use std::fs;
use std::ops::{ControlFlow, Range};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use vhdx::{Disk, DiskOffset, Extent, FileIdentity, FileOffset, Source};
use vhdx_contents::Window;
use vhdx_contents::files::ext::Ext;
use vhdx_contents::files::{FileSystem, Kind};
use vhdx_testkit::Random;

use super::image;

/// Opening, or one call, must not read more often than this from an image of a few MiB.
const MAX_READS: u64 = 20_000;
/// How many files of one image are visited: a damaged folder may contain itself.
const MAX_FILES: usize = 400;

/// An image with changed bytes.
struct Damaged {
    bytes: Arc<Vec<u8>>,
    changes: Vec<(usize, u8)>,
    reads: AtomicU64,
}

impl Disk for Damaged {
    fn virtual_size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn logical_sector_size(&self) -> u32 {
        512
    }

    fn extents(
        &self,
        range: Range<DiskOffset>,
    ) -> Box<dyn Iterator<Item = vhdx::Result<Extent>> + Send + '_> {
        let source = Source::Data { layer: 0, offset: FileOffset::new(range.start.get()) };
        let len = range.end.get() - range.start.get();
        Box::new(std::iter::once(Ok(Extent { start: range.start, len, source })))
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: DiskOffset) -> vhdx::Result<()> {
        let reads = self.reads.fetch_add(1, Ordering::Relaxed);
        assert!(reads < MAX_READS, "too many reads");
        let start = offset.get() as usize;
        buf.copy_from_slice(&self.bytes[start..start + buf.len()]);
        for (at, byte) in &self.changes {
            if let Some(changed) = at.checked_sub(start).and_then(|at| buf.get_mut(at)) {
                *changed = *byte;
            }
        }
        Ok(())
    }

    fn validate_placement(&self) -> vhdx::Result<()> {
        Ok(())
    }

    fn ensure_unchanged(&self) -> vhdx::Result<()> {
        Ok(())
    }

    fn identities(&self) -> Vec<FileIdentity> {
        Vec::new()
    }
}

impl Damaged {
    /// Visits all files, and returns how many calls failed; `None` if the file system cannot be opened.
    fn visit(&self) -> Option<usize> {
        let files = Ext::open(Window::whole(self)).ok()?;
        self.ensure_ended();
        let mut folders = vec![files.root()];
        let (mut seen, mut failed) = (0, 0);
        while let Some(folder) = folders.pop() {
            let mut entries = Vec::new();
            let listed = files.list(folder, &mut |entry| {
                entries.push(entry);
                seen += 1;
                Ok(if seen < MAX_FILES { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
            });
            failed += usize::from(listed.is_err());
            self.ensure_ended();
            for entry in entries {
                let Ok(attributes) = files.attributes(entry.node) else {
                    failed += 1;
                    continue;
                };
                let result = match attributes.kind {
                    Kind::Folder => {
                        folders.push(entry.node);
                        Ok(())
                    }
                    Kind::Link => files.link_target(entry.node).map(|_| ()),
                    Kind::File => read(&files, entry.node, attributes.size),
                    Kind::Other(_) => Ok(()),
                };
                failed += usize::from(result.is_err());
                self.ensure_ended();
            }
            if seen >= MAX_FILES {
                break;
            }
        }
        Some(failed)
    }

    /// Counts reads from the beginning.
    fn ensure_ended(&self) {
        self.reads.store(0, Ordering::Relaxed);
    }
}

/// Reads the start and the end of a file, and asks for some of its ranges.
fn read(files: &Ext<'_>, file: vhdx_contents::files::Node, size: u64) -> vhdx_contents::Result<()> {
    let mut bytes = vec![0; 100_000];
    files.read(file, 0, &mut bytes)?;
    files.read(file, size.saturating_sub(50_000), &mut bytes)?;
    files.read(file, size / 2, &mut bytes)?;
    let mut at = 0;
    for _ in 0..50 {
        let Some(range) = files.range_at(file, at)? else { break };
        assert!(range.len > 0 && range.start == at && at + range.len <= size);
        at += range.len;
    }
    Ok(())
}

fn fill(folder: &Path) {
    super::source::fill_large_folder(&folder.join("large"), 150);
    fs::write(folder.join("file"), [7; 70_000]).unwrap();
    fs::write(folder.join("small"), [7; 100]).unwrap();
    for index in 0..3 {
        let file = fs::File::create(folder.join(format!("sparse {index}"))).unwrap();
        file.set_len(80 << 20).unwrap();
        for at in (0..index * 20 + 8).map(|at| at * 3_333_333 / (index + 1)) {
            std::os::unix::fs::FileExt::write_all_at(&file, b"data", at).unwrap();
        }
    }
    symlink("short", folder.join("short link")).unwrap();
    symlink("long".repeat(30), folder.join("long link")).unwrap();
}

/// Changes 1 to 6 bytes where the image has metadata, most of them in its first blocks.
fn changes(bytes: &[u8], places: &[usize], random: &mut Random) -> Vec<(usize, u8)> {
    (0..1 + random.below(6))
        .map(|_| {
            let at = match random.below(4) {
                0 => 1024 + random.below(1024),
                _ => places[random.below(places.len())] + random.below(64),
            };
            let byte = match random.below(5) {
                0 => 0,
                1 => 0xFF,
                2 => bytes[at].wrapping_add(1),
                3 => bytes[at] ^ 1 << random.below(8),
                _ => random.number() as u8,
            };
            (at, byte)
        })
        .collect()
}

#[test]
fn damage_ends_in_errors_and_never_in_panics_or_endless_loops() {
    let Some(()) = image::tools() else { return };
    let temporary = tempfile::tempdir().unwrap();
    let source = temporary.path().join("source");
    fs::create_dir(&source).unwrap();
    fill(&source);
    let path = temporary.path().join("image");
    let journal = format!("jw -b 100,101,102,5000 {}", source.join("small").display());
    // How many damaged images are made of each file system.
    let images = std::env::var("VHDX_DAMAGED_IMAGES").map_or(1000, |count| count.parse().unwrap());
    let (mut opened, mut failed) = (0, 0);
    for (options, commands) in [
        (&["-t", "ext2", "-b", "1024"][..], &[][..]),
        (
            &["-t", "ext4", "-b", "1024", "-O", "^metadata_csum"],
            &["jo", &journal, "jw -r 5000", &journal, "jc"][..],
        ),
        (&["-t", "ext4", "-O", "^metadata_csum,inline_data"], &[]),
        (&["-t", "ext4", "-b", "2048"], &["jo -c", &journal, "jc"]),
    ] {
        image::make(&path, 12, options, Some(&source));
        image::check(&path, &["-D"]);
        image::debugfs(&path, commands);
        let bytes = Arc::new(fs::read(&path).unwrap());
        let places: Vec<usize> = (0..bytes.len() - 64)
            .step_by(64)
            .filter(|at| bytes[*at..*at + 64].iter().any(|byte| !matches!(byte, 0 | 7 | 0xFF)))
            .collect();
        let intact = Damaged { bytes: Arc::clone(&bytes), changes: Vec::new(), reads: AtomicU64::new(0) };
        assert_eq!(intact.visit(), Some(0), "{options:?}");
        let mut random = Random::new(5);
        for index in 0..images {
            let changes = changes(&bytes, &places, &mut random);
            let damaged =
                Damaged { bytes: Arc::clone(&bytes), changes: changes.clone(), reads: AtomicU64::new(0) };
            let visited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| damaged.visit()));
            let visited = visited.unwrap_or_else(|_| panic!("{options:?}, image {index}: {changes:?}"));
            opened += usize::from(visited.is_some());
            failed += visited.unwrap_or(0);
        }
    }
    // The damage is not so large that nothing is opened, and not so small that nobody sees it.
    assert!(opened > 2 * images && failed > images, "{opened} opened, {failed} calls failed");
}
