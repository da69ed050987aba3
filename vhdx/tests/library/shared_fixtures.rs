//! The real images in `../shared/fixtures`: made by Windows, QEMU and others, with a manifest of what is in them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use crate::common::digest;
use serde_json::Value;
use vhdx::format::parent_locator::ParentLocator;
use vhdx::ops::{self, FlattenOptions, FlattenPlan};
use vhdx::{
    BlockIndex, Chain, ChainErrorKind, DiskLink, DiskType, Error, FileStorage, FolderResolver, Jobs,
    LogState, NewDisk, NoProgress, OnWriter, Vhdx, discover,
};
use vhdx_testkit::{Random, shared};

/// Larger disks are not converted to fixed ones: that would write all of them.
const MAX_FIXED: u64 = 2 << 30;
/// Larger disks are compared by the digest of their pages alone.
const MAX_WHOLE: u64 = 4 << 30;

struct Fixture {
    path: PathBuf,
    manifest: Value,
}

impl Fixture {
    fn text(&self, key: &str) -> &str {
        self.manifest[key].as_str().unwrap_or_else(|| panic!("{key} of {}", self.path.display()))
    }

    fn number(&self, key: &str) -> u64 {
        self.manifest[key].as_u64().unwrap_or_else(|| panic!("{key} of {}", self.path.display()))
    }

    /// Returns the expected content of the disk, and the files of its chain; `None` for the orphan.
    fn read(&self) -> Option<&Value> {
        Some(&self.manifest["read"]).filter(|read| !read.is_null())
    }

    fn chain(&self) -> Chain {
        Chain::open(&self.path, &FolderResolver::default()).unwrap()
    }
}

/// All images, unpacked once and kept for later runs.
static FIXTURES: LazyLock<Option<Vec<Fixture>>> = LazyLock::new(|| {
    let folder = shared::folder("fixtures")?;
    shared::program("xz")?;
    let manifest = fs::read_to_string(folder.join("manifest.json")).unwrap();
    let Value::Array(entries) = serde_json::from_str(&manifest).unwrap() else { panic!("a list of images") };
    assert!(entries.len() >= 20, "a part of the manifest is missing");
    Some(entries.into_iter().map(|manifest| unpack(&folder, manifest)).collect())
});

fn unpack(folder: &Path, manifest: Value) -> Fixture {
    let packed = folder.join(manifest["file"].as_str().unwrap());
    let path =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join("fixtures").join(manifest["file"].as_str().unwrap());
    let path = path.with_extension(""); // .xz
    let fixture = Fixture { path, manifest };
    let is_there = fixture.path.metadata().is_ok_and(|file| file.len() == fixture.number("size"));
    if !is_there || digest::of_file(&fixture.path) != fixture.text("sha256") {
        fs::create_dir_all(fixture.path.parent().unwrap()).unwrap();
        let mut xz = Command::new("xz").arg("-dc").arg(&packed).stdout(Stdio::piped()).spawn().unwrap();
        digest::copy_sparse(xz.stdout.as_mut().unwrap(), &fixture.path).unwrap();
        assert!(xz.wait().unwrap().success(), "{}", packed.display());
        assert_eq!(digest::of_file(&fixture.path), fixture.text("sha256"), "{}", packed.display());
    }
    fixture
}

/// Runs a test, and then makes sure that every file is byte for byte what it was.
fn with_fixtures(test: impl FnOnce(&[Fixture])) {
    let Some(fixtures) = FIXTURES.as_deref() else { return };
    test(fixtures);
    for fixture in fixtures {
        assert_eq!(
            digest::of_file(&fixture.path),
            fixture.text("sha256"),
            "{} was changed",
            fixture.path.display()
        );
    }
}

#[test]
fn facts_are_those_of_the_manifest() {
    with_fixtures(|fixtures| {
        for fixture in fixtures {
            let vhdx = Vhdx::open(&fixture.path).unwrap();
            assert_eq!(vhdx.creator(), fixture.text("creator"));
            assert_eq!(vhdx.disk_type().name(), fixture.text("type"));
            assert_eq!(vhdx.virtual_size(), fixture.number("virtual_size"));
            assert_eq!(vhdx.block_size(), fixture.number("block_size"));
            assert_eq!(u64::from(vhdx.logical_sector_size()), fixture.number("logical_sector_size"));
            assert_eq!(u64::from(vhdx.physical_sector_size()), fixture.number("physical_sector_size"));
            assert_eq!(vhdx.virtual_disk_id().unwrap().to_string(), fixture.text("virtual_disk_id"));
            let header = &fixture.manifest["headers"][fixture.number("current_header") as usize - 1];
            assert_eq!(vhdx.data_write_guid().to_string(), header["data_write_guid"].as_str().unwrap());
            assert_eq!(vhdx.file_write_guid().to_string(), header["file_write_guid"].as_str().unwrap());
            assert_eq!(vhdx.header().sequence_number, header["sequence"].as_u64().unwrap());

            let entries = vhdx.parent_locator().map(|ParentLocator { entries }| entries.clone());
            let stored: Vec<(String, String)> =
                serde_json::from_value(fixture.manifest["parent_locator"].clone()).unwrap();
            assert_eq!(entries.unwrap_or_default(), stored);
            assert_log_and_blocks(&vhdx, fixture);
        }
    });
}

fn assert_log_and_blocks(vhdx: &Vhdx, fixture: &Fixture) {
    let log = &fixture.manifest["log"];
    let expected = match log["state"].as_str().unwrap() {
        "clean" => LogState::Clean,
        _ => LogState::Dirty { entries: log["active_entries"].as_u64().unwrap() as usize },
    };
    assert_eq!(vhdx.log(), expected, "{}", fixture.path.display());
    let states = fixture.manifest["block_states"].as_object().unwrap();
    let counts = vhdx.block_counts().unwrap();
    for (state, count) in &counts {
        assert_eq!(states[state.name()].as_u64(), Some(*count), "{state:?} of {}", fixture.path.display());
    }
    assert_eq!(counts.len(), states.len());
    let last = BlockIndex::new(vhdx.geometry().block_count() - 1);
    assert!(vhdx.payload_entry(last).unwrap().payload_state().is_some());
    let report = ops::check_file(&fixture.path, OnWriter::Fail);
    assert!(report.is_valid(), "{}: {report:?}", fixture.path.display());
}

#[test]
fn disks_read_as_expected() {
    with_fixtures(|fixtures| {
        let mut count = 0;
        for (fixture, read) in fixtures.iter().filter_map(|fixture| Some((fixture, fixture.read()?))) {
            let chain = fixture.chain();
            let what = fixture.path.display();
            let names = chain
                .layers()
                .iter()
                .map(|layer| layer.path().unwrap().file_name().unwrap().to_str().unwrap());
            let expected: Vec<&str> =
                read["chain"].as_array().unwrap().iter().map(|n| n.as_str().unwrap()).collect();
            assert_eq!(names.collect::<Vec<_>>(), expected, "{what}");
            assert_eq!(digest::of_pages(&chain), read["pages_sha256"].as_str().unwrap(), "pages of {what}");
            if chain.virtual_size() < MAX_WHOLE {
                assert_eq!(digest::of_disk(&chain), read["sha256"].as_str().unwrap(), "{what}");
            }
            count += 1;
        }
        assert!(count >= 20, "{count} disks were read");
    });
}

/// Disks above 2 GiB are converted to dynamic disks only, since a fixed copy is as long as the disk.
#[test]
fn copies_read_as_expected() {
    with_fixtures(|fixtures| {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        for (fixture, read) in fixtures.iter().filter_map(|fixture| Some((fixture, fixture.read()?))) {
            let chain = fixture.chain();
            let pages = read["pages_sha256"].as_str().unwrap();
            for disk_type in [DiskType::Dynamic, DiskType::Fixed] {
                if disk_type == DiskType::Fixed && chain.virtual_size() > MAX_FIXED {
                    continue;
                }
                let path = folder.path().join("converted.vhdx");
                let new = NewDisk {
                    block_size: 2 << 20,
                    logical_sector_size: chain.logical_sector_size(),
                    disk_type,
                    ..NewDisk::new(chain.virtual_size())
                };
                ops::to_vhdx(&chain, &new, &writable(&path), Jobs::default(), &NoProgress).unwrap();
                assert_copy(&path, disk_type, pages, fixture);

                let path = folder.path().join("merged.vhdx");
                let plan = FlattenPlan::new(&chain, &FlattenOptions { disk_type }).unwrap();
                plan.execute(&chain, &writable(&path), Jobs::default(), &NoProgress).unwrap();
                assert_copy(&path, disk_type, pages, fixture);
                let merged = Vhdx::open(&path).unwrap();
                assert_eq!(merged.block_size(), chain.base().block_size());
                assert_eq!(merged.virtual_disk_id(), chain.leaf().virtual_disk_id());
            }
        }
    });
}

fn writable(path: &Path) -> FileStorage {
    FileStorage::new(File::options().read(true).write(true).create(true).truncate(true).open(path).unwrap())
}

#[track_caller]
fn assert_copy(path: &Path, disk_type: DiskType, pages: &str, fixture: &Fixture) {
    let copy = Chain::open(path, &FolderResolver::default()).unwrap();
    assert_eq!(copy.leaf().disk_type(), disk_type);
    assert_eq!(copy.virtual_size(), fixture.number("virtual_size"));
    assert_eq!(digest::of_pages(&copy), pages, "{disk_type:?} copy of {}", fixture.path.display());
    let report = ops::check_file(path, OnWriter::Fail);
    assert!(report.files[0].violations.as_slice().is_empty() && report.is_valid(), "{report:?}");
}

#[test]
fn the_orphan_says_what_is_missing() {
    with_fixtures(|fixtures| {
        let orphan = fixtures.iter().find(|fixture| fixture.read().is_none()).unwrap();
        assert!(orphan.path.ends_with("dissect.hypervisor/differencing.avhdx"));
        let error = Chain::open(&orphan.path, &FolderResolver::default()).unwrap_err();
        let message = error.to_string();
        let Error::Chain(error) = error else { panic!("{error:?}") };
        assert_eq!(error.kind(), ChainErrorKind::MissingParent, "{error:?}");
        let (expected, names) = (error.expected(), error.stored_paths());
        let (looked_for, folders) = (error.looked_for(), error.folders());
        let guid = "ff34003b-11ed-4cf8-a166-b2be05e20b80";
        let name = "Generation 1_49C4BAF3-4B25-4406-8C4B-D39E65C32385.avhdx";
        let own_folder = orphan.path.parent().unwrap();
        assert_eq!(error.path(), orphan.path);
        assert_eq!(expected.iter().map(ToString::to_string).collect::<Vec<_>>(), [guid]);
        assert_eq!(names.len(), 3);
        assert!(names.iter().all(|stored| stored.path.ends_with(name)), "{names:?}");
        assert!(looked_for.contains(&own_folder.join(name)), "{looked_for:?}");
        assert_eq!(folders, [own_folder]);
        for part in [guid, name, own_folder.to_str().unwrap()] {
            assert!(message.contains(part), "{part:?} is not in {message:?}");
        }
    });
}

#[test]
fn renamed_files_are_linked_to_their_parents() {
    with_fixtures(|fixtures| {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut random = Random::new(0x7ee);
        let renamed: Vec<PathBuf> = fixtures
            .iter()
            .map(|fixture| {
                let path = folder.path().join(format!("{:016x}", random.number()));
                fs::hard_link(&fixture.path, &path).unwrap();
                path
            })
            .collect();
        let forest = discover(&[folder.path().to_owned()], &NoProgress).unwrap();
        assert_eq!(forest.disks.len(), fixtures.len(), "{:?}", forest.problems);
        let mut links = 0;
        for (fixture, path) in fixtures.iter().zip(&renamed) {
            let disk = forest.disks.iter().find(|disk| disk.facts.path == *path).unwrap();
            let files = fixture.read().map(|read| read["chain"].as_array().unwrap());
            let expected = files.and_then(|files| files.get(1)).map(|name| {
                let beside = fixture.path.with_file_name(name.as_str().unwrap());
                fixtures.iter().find(|other| other.path == beside).unwrap()
            });
            let link = match (fixture.read(), expected) {
                (None, _) => DiskLink::Missing,
                (_, None) => DiskLink::Base,
                (_, Some(_)) => DiskLink::Ok,
            };
            assert_eq!(disk.link, link, "{}", fixture.path.display());
            // One base is there twice, and either copy will do.
            let parent = disk
                .parent
                .map(|parent| renamed.iter().position(|path| *path == forest.disks[parent].facts.path));
            let found = parent.map(|parent| fixtures[parent.unwrap()].text("sha256"));
            assert_eq!(found, expected.map(|parent| parent.text("sha256")), "{}", fixture.path.display());
            links += usize::from(expected.is_some());
        }
        assert_eq!(links, 5, "children with parents");
    });
}
