//! Pointing a child at its parent: what is refused, with which evidence, and that power may fail at any time.

use std::path::{Path, PathBuf};

use crate::common::{Folder, MIB, assert_same, read_all};
use vhdx::format::parent_locator::{ABSOLUTE_WIN32_PATH, ParentLocator, VOLUME_PATH};
use vhdx::ops::{ParentCheck, ReparentOptions, ReparentPlan, check_chain, check_parent};
use vhdx::{
    Chain, ChainError, ChainErrorKind, Error, ErrorKind, FileStorage, FolderResolver, Guid, InvalidArgument,
    LogState, NoProgress, OnWriter, OpenOptions, Result, Vhdx,
};
use vhdx_testkit::crash::{Calls, CrashWorld, Fault, Images, Sweep, for_each_failure};
use vhdx_testkit::{Block, DirtyLog, ExtraItem, Image, SparseImage, windows_locator};

const STRICT: ReparentOptions = ReparentOptions { ignore_id_mismatch: false };
const FORCED: ReparentOptions = ReparentOptions { ignore_id_mismatch: true };

struct Family {
    folder: Folder,
    base: Image,
    child: Image,
}

impl Family {
    /// A base, and a child that has half of its content.
    fn new() -> Self {
        let mut base = Image::dynamic(4 * MIB, 1 << 20);
        base.blocks.insert(0, Block::full(vec![1; 1 << 20]));
        base.blocks.insert(1, Block::full(vec![2; 1 << 20]));
        let mut child = Image::child_of(&base, "base.vhdx", 1 << 20);
        child.blocks.insert(1, Block::full(vec![3; 1 << 20]));
        let family = Self { folder: Folder::new(), base, child };
        family.folder.put("base.vhdx", &family.base);
        family.folder.put("child.avhdx", &family.child);
        family
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path(name)
    }

    fn rename(&self, from: &str, to: &str) {
        std::fs::create_dir_all(self.path(to).parent().unwrap()).unwrap();
        std::fs::rename(self.path(from), self.path(to)).unwrap();
    }

    fn check(&self, child: &str, candidate: &str) -> Result<ParentCheck> {
        check_parent(&self.path(child), &self.path(candidate), &[], &NoProgress)
    }

    fn plan(&self, candidate: &str, options: &ReparentOptions) -> Result<ReparentPlan> {
        ReparentPlan::new(&self.check("child.avhdx", candidate)?, options)
    }

    fn locator(&self) -> ParentLocator {
        Vhdx::open(self.path("child.avhdx")).unwrap().parent_locator().unwrap().clone()
    }
}

fn open(path: &Path) -> Chain {
    Chain::open(path, &FolderResolver::default()).unwrap()
}

fn chain_error(error: &Error) -> &ChainError {
    error.chain_error().unwrap_or_else(|| panic!("{error}"))
}

#[test]
fn a_parent_that_was_moved_and_renamed() {
    let family = Family::new();
    let before = read_all(&open(&family.path("child.avhdx")));
    family.rename("base.vhdx", "else/where/gold.vhdx");
    Chain::open(family.path("child.avhdx"), &FolderResolver::default()).unwrap_err();
    let guids = |vhdx: &Vhdx| (vhdx.data_write_guid(), vhdx.file_write_guid());
    let (data, file) = guids(&Vhdx::open(family.path("child.avhdx")).unwrap());

    let plan = family.plan("else/where/gold.vhdx", &STRICT).unwrap();
    assert!(plan.changes_anything() && !plan.ignores_id_mismatch());
    assert_eq!(&family.locator(), plan.old_locator(), "a plan writes nothing");
    plan.execute().unwrap();
    assert_eq!(&family.locator(), plan.new_locator());
    assert_eq!(plan.new_locator().get("relative_path"), Some(r".\else\where\gold.vhdx"));
    assert_eq!(plan.new_locator().linkages(), [family.base.data_write_guid]);
    assert_eq!(plan.new_locator().parent_linkage2(), Some(Guid::nil()));
    assert_eq!(plan.new_locator().get(ABSOLUTE_WIN32_PATH).is_some(), cfg!(windows));
    assert_eq!(plan.new_locator().get(VOLUME_PATH), None);
    let chain = open(&family.path("child.avhdx"));
    assert_same(&read_all(&chain), &before, "the child");
    let (data_after, file_after) = guids(chain.leaf());
    assert_eq!(data_after, data, "its own children still know it");
    assert_ne!(file_after, file);
    assert!(check_chain(&family.path("child.avhdx"), &FolderResolver::default(), OnWriter::Fail).is_valid());

    let again = family.plan("else/where/gold.vhdx", &STRICT).unwrap();
    assert!(!again.changes_anything());
    let bytes = std::fs::read(family.path("child.avhdx")).unwrap();
    again.execute().unwrap();
    assert!(std::fs::read(family.path("child.avhdx")).unwrap() == bytes, "nothing to write");
}

/// They say that a merge into the parent was begun.
#[test]
fn a_parent_that_is_known_by_the_second_linkage_alone_stays_so() {
    let mut family = Family::new();
    let (before, guid) = (Guid::from_u128(9), family.base.data_write_guid);
    family.child.parent_locator = Some(windows_locator(before, guid, "base.vhdx"));
    family.folder.put("child.avhdx", &family.child);
    family.rename("base.vhdx", "moved/base.vhdx");
    let locator = family.plan("moved/base.vhdx", &STRICT).unwrap().new_locator().clone();
    assert_eq!(locator.linkages(), [before, guid]);
    // Same name: these may be right still.
    assert!(cfg!(windows) || locator.get(ABSOLUTE_WIN32_PATH) == Some(r"C:\VMs\base.vhdx"));
    assert!(locator.get(VOLUME_PATH).is_some());
}

/// The first linkage names the parent of the parent: the child would be read through that, past the parent.
#[test]
fn a_child_that_was_relinked_is_taken_back_by_its_old_parent_alone() {
    let family = Family::new();
    let mut top = Image::child_of(&family.child, "child.avhdx", 1 << 20);
    let (base, child) = (family.base.data_write_guid, family.child.data_write_guid);
    top.parent_locator = Some(windows_locator(base, child, "base.vhdx"));
    family.folder.put("top.avhdx", &top);
    let check = family.check("top.avhdx", "child.avhdx").unwrap();
    assert_eq!(ReparentPlan::new(&check, &STRICT).unwrap().new_locator().linkages(), [child]);
}

/// The second linkage may prove that an interrupted merge is complete.
#[test]
fn the_second_linkage_stays_if_only_the_paths_change() {
    let mut family = Family::new();
    let (guid, merged) = (family.base.data_write_guid, Guid::from_u128(9));
    family.child.parent_locator = Some(windows_locator(guid, merged, "base.vhdx"));
    family.folder.put("child.avhdx", &family.child);
    family.rename("base.vhdx", "gold.vhdx");
    family.plan("gold.vhdx", &STRICT).unwrap().execute().unwrap();
    assert_eq!(family.locator().linkages(), [guid, merged]);
    assert_eq!(family.locator().get("relative_path"), Some(r".\gold.vhdx"));

    // The second linkage would prove nothing about another parent.
    let other = Image { data_write_guid: Guid::from_u128(5), ..family.base.clone() };
    family.folder.put("other.vhdx", &other);
    family.plan("other.vhdx", &FORCED).unwrap().execute().unwrap();
    assert_eq!(family.locator().parent_linkage2(), Some(Guid::nil()));
}

#[test]
fn a_parent_that_somebody_writes_to() {
    let family = Family::new();
    family.rename("base.vhdx", "gold.vhdx");
    let plan = family.plan("gold.vhdx", &STRICT).unwrap();
    let before = std::fs::read(family.path("child.avhdx")).unwrap();
    let is_refused = |held: &str| {
        for result in [plan.ensure_not_in_use(), plan.execute()] {
            let error = result.unwrap_err();
            assert_eq!(
                (error.kind(), error.path()),
                (ErrorKind::Conflict, Some(&*family.path(held))),
                "{error}"
            );
        }
    };
    let held = FileStorage::open_exclusive(&family.path("gold.vhdx")).unwrap();
    is_refused("gold.vhdx");
    drop(held);
    let held = FileStorage::open_exclusive(&family.path("child.avhdx")).unwrap();
    is_refused("child.avhdx");
    drop(held);
    assert!(std::fs::read(family.path("child.avhdx")).unwrap() == before);
    let _reader = FileStorage::open_shared(&family.path("gold.vhdx")).unwrap();
    plan.ensure_not_in_use().unwrap();
    assert!(std::fs::read(family.path("child.avhdx")).unwrap() == before);
    plan.execute().unwrap();
}

/// Not even its log is replayed.
#[test]
fn a_child_that_changed_since_is_left_as_it_is() {
    let mut family = Family::new();
    family.rename("base.vhdx", "gold.vhdx");
    let plan = family.plan("gold.vhdx", &STRICT).unwrap();
    family.child.log = Some(DirtyLog { seed: 5, entries: 3, stale: 1, runs: 4, closed: false });
    family.child.parent_locator.as_mut().unwrap().push(("vendor".into(), "x".into()));
    family.child.sparse().write_to(&family.path("child.avhdx")).unwrap();
    let before = std::fs::read(family.path("child.avhdx")).unwrap();
    assert_ne!(Vhdx::open(family.path("child.avhdx")).unwrap().log(), LogState::Clean);
    for result in [plan.ensure_not_in_use(), plan.execute()] {
        assert!(result.unwrap_err().to_string().contains("after it was checked"));
    }
    let storage = FileStorage::open_exclusive(&family.path("child.avhdx")).unwrap();
    plan.execute_on(std::sync::Arc::new(storage)).unwrap_err();
    assert!(std::fs::read(family.path("child.avhdx")).unwrap() == before);
}

#[test]
fn a_mismatch_is_refused_with_evidence() {
    let family = Family::new();
    let mut changed = family.base.clone();
    changed.data_write_guid = Guid::from_u128(5);
    family.rename("base.vhdx", "copy-of-base.vhdx");
    family.folder.put("base.vhdx", &changed);
    std::fs::write(family.path("broken.vhdx"), "vhdxfile").unwrap();
    let check = family.check("child.avhdx", "base.vhdx").unwrap();
    assert!(!check.fits());
    assert_eq!(check.expected, [family.base.data_write_guid]);
    assert_eq!(check.candidate.data_write_guid, changed.data_write_guid);
    assert_eq!(check.candidate.virtual_disk_id, check.child.virtual_disk_id);
    assert_eq!(check.others, [family.path("copy-of-base.vhdx")]);
    assert_eq!(
        check.folders,
        [family.path("").parent().unwrap().join(family.folder.0.path().file_name().unwrap())]
    );
    assert_eq!((check.undetermined.len(), check.candidate_children.len(), check.level), (1, 0, None));
    assert!(check.child.modified.is_some() && check.candidate.modified.is_some());
    let error = ReparentPlan::new(&check, &STRICT).unwrap_err();
    assert_eq!(chain_error(&error).kind(), ChainErrorKind::Mismatch, "{error}");

    let plan = ReparentPlan::new(&check, &FORCED).unwrap();
    assert!(plan.ignores_id_mismatch());
    plan.execute().unwrap();
    assert_eq!(family.locator().linkages(), [changed.data_write_guid]);
    assert_eq!(open(&family.path("child.avhdx")).layers().len(), 2);
}

#[test]
fn an_ancestor_that_would_skip_a_layer() {
    let family = Family::new();
    let leaf = Image::child_of(&family.child, "child.avhdx", 1 << 20);
    family.folder.put("leaf.avhdx", &leaf);
    let check = family.check("leaf.avhdx", "base.vhdx").unwrap();
    assert_eq!((check.fits(), check.level), (false, Some(2)));
    ReparentPlan::new(&check, &STRICT).unwrap_err();
    let child = [family.path("child.avhdx")];
    assert_eq!([&check.others[..], &check.candidate_children], [&child, &child]);
    assert_eq!(family.check("leaf.avhdx", "child.avhdx").unwrap().level, Some(1));
}

#[test]
fn a_cycle_is_refused_always() {
    let family = Family::new();
    let leaf = Image::child_of(&family.child, "child.avhdx", 1 << 20);
    family.folder.put("leaf.avhdx", &leaf);
    std::fs::hard_link(family.path("child.avhdx"), family.path("same.avhdx")).unwrap();
    for candidate in ["child.avhdx", "same.avhdx", "leaf.avhdx"] {
        let error = family.check("child.avhdx", candidate).unwrap_err();
        assert_eq!(chain_error(&error).kind(), ChainErrorKind::Cycle, "{candidate}: {error}");
    }
    // Also when the child's own parent is missing, so that no chain opens.
    std::fs::remove_file(family.path("base.vhdx")).unwrap();
    let error = family.check("child.avhdx", "leaf.avhdx").unwrap_err();
    assert_eq!(chain_error(&error).kind(), ChainErrorKind::Cycle, "{error}");
}

#[test]
fn what_can_never_be_a_parent() {
    let family = Family::new();
    let sectors = Image { logical_sector_size: 4096, ..family.base.clone() };
    family.folder.put("sectors.vhdx", &sectors);
    let error = family.plan("sectors.vhdx", &FORCED).unwrap_err();
    assert_eq!(chain_error(&error).kind(), ChainErrorKind::SectorSize, "{error}");
    let zero = Image { data_write_guid: Guid::nil(), ..family.base.clone() };
    family.folder.put("zero.vhdx", &zero);
    let error = family.plan("zero.vhdx", &FORCED).unwrap_err();
    let is_nil = matches!(error.without_path(), Error::InvalidArgument(InvalidArgument::ParentWithoutGuid));
    assert!(is_nil, "{error}");
    // Its own parent is not there.
    let orphan = Image::child_of(&Image::dynamic(8 * MIB, 1 << 20), "nowhere.vhdx", 1 << 20);
    family.folder.put("orphan.avhdx", &orphan);
    let error = family.plan("orphan.avhdx", &FORCED).unwrap_err();
    assert_eq!(chain_error(&error).kind(), ChainErrorKind::MissingParent, "{error}");
    let error = family.check("base.vhdx", "child.avhdx").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert_eq!(family.plan("nowhere.vhdx", &FORCED).unwrap_err().kind(), ErrorKind::Io);
}

#[test]
fn a_plan_for_files_that_changed_since() {
    let family = Family::new();
    family.rename("base.vhdx", "gold.vhdx");
    let plan = family.plan("gold.vhdx", &STRICT).unwrap();
    let is_stale = |result: Result<()>| {
        let error = result.unwrap_err();
        assert!(error.to_string().contains("after it was checked"), "{error}");
    };
    let bytes = std::fs::read(family.path("child.avhdx")).unwrap();
    let changed = Image { data_write_guid: Guid::from_u128(1), ..family.base.clone() };
    family.folder.put("gold.vhdx", &changed);
    is_stale(plan.execute());
    std::fs::remove_file(family.path("gold.vhdx")).unwrap();
    family.folder.put("gold.vhdx", &family.base);
    let plan = family.plan("gold.vhdx", &STRICT).unwrap();
    assert!(std::fs::read(family.path("child.avhdx")).unwrap() == bytes);

    let mut other = family.child.clone();
    other.parent_locator.as_mut().unwrap().push(("vendor".into(), "x".into()));
    other.sparse().write_to(&family.path("child.avhdx")).unwrap();
    is_stale(plan.execute());
    std::fs::remove_file(family.path("child.avhdx")).unwrap();
    family.folder.put("child.avhdx", &family.child);
    let same_place = family.plan("gold.vhdx", &STRICT).unwrap();
    same_place.execute().unwrap();
}

/// The child, its file, and the locators that it may have after a power failure.
struct Relinking {
    image: SparseImage,
    base: Image,
    plan: ReparentPlan,
    expected: Vec<u8>,
}

fn relinkings() -> Vec<Relinking> {
    let clean = Family::new();
    let mut dirty = Family::new();
    dirty.child.log = Some(DirtyLog { seed: 5, entries: 3, stale: 1, runs: 4, closed: false });
    // No gap in the metadata region is long enough: it has to move.
    let mut full = Family::new();
    let item = ExtraItem {
        id: Guid::from_u128(8),
        is_user: true,
        is_virtual_disk: false,
        is_required: false,
        bytes: vec![8; (1 << 20) - (64 << 10) - 1100],
    };
    full.child.extra_items.push(item);
    let relinking = |family: &Family| {
        family.folder.put("child.avhdx", &family.child);
        let expected = read_all(&open(&family.path("child.avhdx")));
        family
            .rename("base.vhdx", "a folder with a long name/and a file with a longer name than it had.vhdx");
        let plan = family
            .plan("a folder with a long name/and a file with a longer name than it had.vhdx", &STRICT)
            .unwrap();
        Relinking { image: family.child.sparse(), base: family.base.clone(), plan, expected }
    };
    [clean, dirty, full].iter().map(relinking).collect()
}

impl Relinking {
    fn files(&self) -> Images {
        Images::from([(PathBuf::from("child"), self.image.clone())])
    }

    /// The old link or the new one, and the same bytes. Whether it is the new one.
    fn assert_old_or_new(&self, images: &Images) -> bool {
        let child = Vhdx::open_with(images[Path::new("child")].clone(), &OpenOptions::default()).unwrap();
        assert_eq!(child.data_write_guid(), self.plan.child().data_write_guid);
        let locator = child.parent_locator().unwrap();
        let is_new = locator == self.plan.new_locator();
        assert!(is_new || locator == self.plan.old_locator(), "{locator:?}");
        let base = Vhdx::open_with(self.base.sparse(), &OpenOptions::default()).unwrap();
        let chain = Chain::from_layers(vec![child, base]).unwrap();
        assert_same(&read_all(&chain), &self.expected, "the child");
        is_new
    }

    fn run(&self, world: &CrashWorld) -> Result<()> {
        self.plan.execute_on(world.storage("child"))
    }
}

#[test]
fn a_power_failure_leaves_the_old_link_or_the_new_one() {
    for relinking in relinkings() {
        let world = CrashWorld::new(relinking.files());
        relinking.run(&world).unwrap();
        assert!(relinking.assert_old_or_new(&world.images()));
        let found = std::cell::Cell::new([0_usize; 2]);
        let swept = world.recording().crash(&Sweep { exhaustive: 8, ..Sweep::default() }, |image| {
            let is_new = relinking.assert_old_or_new(image.files());
            let mut counts = found.get();
            counts[usize::from(is_new)] += 1;
            found.set(counts);
            if !is_new {
                let again = image.world();
                relinking.run(&again).unwrap();
                assert!(relinking.assert_old_or_new(&again.images()));
            }
        });
        eprintln!("reparent: {swept:?}, {:?} with the old and the new link", found.get());
        assert!(swept.forged > 400 && found.get().iter().all(|&count| count > 0), "{swept:?}");
    }
}

#[test]
fn a_call_that_fails_leaves_the_old_link_or_the_new_one() {
    for relinking in relinkings() {
        for fault in [Fault::full, |n| Fault::once(Calls::Any, n)] {
            let calls = for_each_failure(&relinking.files(), fault, |world| {
                let result = relinking.run(world);
                let is_new = relinking.assert_old_or_new(&world.images());
                // A header that cannot be read is as good as a damaged one: that may be worked around.
                assert!(is_new || result.is_err());
            });
            assert!(calls > 8, "{calls}");
        }
    }
}
