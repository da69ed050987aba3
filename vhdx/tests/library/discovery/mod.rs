//! Finding whole families of disks, and naming what is wrong with them.

mod substitutes;

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::common::Folder;
use vhdx::format::parent_locator::{PARENT_LINKAGE, PARENT_LINKAGE2, RELATIVE_PATH};
use vhdx::{
    DiscoveredDisk, DiskLink, DiskType, Error, Forest, Guid, MAX_CHAIN_LENGTH, MIB, NoProgress, Problem,
    Progress, Remedy, discover,
};
use vhdx_testkit::{Block, DirtyLog, Headers, Image, Part};

trait Discover {
    fn forest(&self) -> Forest;
}

impl Discover for Folder {
    fn forest(&self) -> Forest {
        discover(&[self.0.path().to_owned()], &NoProgress).unwrap()
    }
}

fn guid(number: u128) -> Guid {
    Guid::from_u128(number)
}

fn disk(number: u128) -> Image {
    Image { data_write_guid: guid(number), ..Image::dynamic(4 * MIB, MIB as u32) }
}

fn child(number: u128, parent: u128, path: &str) -> Image {
    let locator = [(PARENT_LINKAGE, guid(parent).braced().to_string()), (RELATIVE_PATH, path.to_owned())];
    let locator = locator.map(|(key, value)| (key.to_owned(), value)).into();
    Image { parent_locator: Some(locator), ..disk(number) }
}

fn disk_at<'a>(forest: &'a Forest, path: &Path) -> &'a DiscoveredDisk {
    forest
        .disks
        .iter()
        .find(|disk| disk.facts.path == path)
        .unwrap_or_else(|| panic!("{path:?} is not in {forest:#?}"))
}

fn parent_of<'a>(forest: &'a Forest, path: &Path) -> Option<&'a Path> {
    disk_at(forest, path).parent.map(|i| forest.disks[i].facts.path.as_path())
}

/// Returns the only problem of a disk.
fn problem_of<'a>(forest: &'a Forest, path: &Path) -> &'a Problem {
    match disk_at(forest, path).problems.as_slice() {
        [problem] => {
            assert!(problem.path() == path && !problem.to_string().is_empty());
            problem
        }
        problems => panic!("{problems:#?}"),
    }
}

fn set_modified(path: &Path, days: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(days * 86_400);
    File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
}

#[test]
fn a_family_is_linked_whatever_its_files_are_called() {
    let folder = Folder::new();
    let base = folder.put("x/photo.jpg", &disk(1));
    let mid = folder.put("y/3f9a", &child(2, 1, r".\base.vhdx"));
    let leaf = folder.put("z/.hidden", &child(3, 2, r".\mid.avhdx"));
    let other = folder.put("other", &child(4, 1, r".\x\photo.jpg"));
    fs::write(folder.path("notes.txt"), "vhdxfil").unwrap();
    let before: Vec<_> = [&base, &mid, &leaf].map(|path| fs::read(path).unwrap()).into();

    let forest = folder.forest();
    let paths: Vec<&Path> = forest.disks.iter().map(|disk| disk.facts.path.as_path()).collect();
    assert_eq!(paths, [&other, &base, &mid, &leaf]);
    assert_eq!(parent_of(&forest, &leaf), Some(mid.as_path()));
    assert_eq!(parent_of(&forest, &mid), Some(base.as_path()));
    assert_eq!(parent_of(&forest, &base), None);
    assert_eq!(forest.disks[1].children, [0, 2]);
    assert_eq!(forest.roots().collect::<Vec<_>>(), [1]);
    assert_eq!(forest.orphans().count(), 0);
    assert!(forest.problems.is_empty() && disk_at(&forest, &other).problems.is_empty());
    assert!(matches!(problem_of(&forest, &leaf), Problem::StalePath { parent, .. } if *parent == mid));
    assert_eq!(forest.all_problems().len(), 2);

    let disk = disk_at(&forest, &base);
    assert_eq!(
        (disk.facts.disk_type, disk.link, disk.facts.dirty_log),
        (DiskType::Dynamic, DiskLink::Base, false)
    );
    assert_eq!(
        (disk.facts.virtual_size, disk.facts.block_size, disk.facts.logical_sector_size),
        (4 * MIB, MIB, 512)
    );
    assert_eq!(disk.facts.file_size, fs::metadata(&base).unwrap().len());
    assert!(disk.facts.allocated.is_some() && disk.facts.modified.is_some());
    assert_eq!([&base, &mid, &leaf].map(|path| fs::read(path).unwrap()).to_vec(), before);
    assert_eq!(format!("{forest:?}"), format!("{:?}", folder.forest()));
}

#[test]
fn a_parent_outside_of_the_search_is_named() {
    let folder = Folder::new();
    let leaf = folder.put("vm/leaf.avhdx", &child(2, 1, r"..\disks\base.vhdx"));
    folder.put("disks/base.vhdx", &disk(1));
    let forest = discover(&[folder.path("vm")], &NoProgress).unwrap();
    let problem = problem_of(&forest, &leaf);
    let Problem::ParentElsewhere { parent, .. } = problem else { panic!("{problem:?}") };
    assert_eq!(parent.canonicalize().unwrap(), folder.path("disks/base.vhdx").canonicalize().unwrap());
}

#[test]
fn of_two_with_one_guid_the_stored_path_decides_or_none_is_the_parent() {
    let folder = Folder::new();
    let copy = folder.put("a/copy.vhdx", &Image { file_write_guid: guid(50), ..disk(1) });
    let base = folder.put("b/base.vhdx", &disk(1));
    let sure = folder.put("b/sure.avhdx", &child(2, 1, r".\base.vhdx"));
    let unsure = folder.put("c/unsure.avhdx", &child(3, 1, r".\base.vhdx"));
    let forest = folder.forest();
    assert_eq!(parent_of(&forest, &sure), Some(base.as_path()));
    assert_eq!((parent_of(&forest, &unsure), disk_at(&forest, &unsure).link), (None, DiskLink::Ambiguous));
    match problem_of(&forest, &unsure) {
        Problem::AmbiguousParent { parents, count: 2, .. } => {
            assert_eq!(*parents, [copy.clone(), base.clone()])
        }
        problem => panic!("{problem:?}"),
    }
    match problem_of(&forest, &copy) {
        Problem::DuplicateGuid { others, count: 1, .. } => assert_eq!(others, std::slice::from_ref(&base)),
        problem => panic!("{problem:?}"),
    }
    assert!(disk_at(&forest, &base).problems.is_empty(), "one report is enough");
}

#[test]
fn of_two_linkages_the_one_counts_that_names_no_left_over() {
    let folder = Folder::new();
    let base = folder.put("disks/base.vhdx", &disk(1));
    let merged = folder.put("vm/merged.avhdx", &child(2, 1, r".\none.vhdx"));
    folder.put("backup/base.vhdx", &disk(3));
    let children = [
        (10, [1, 2], r".\moved.vhdx", &base),
        (11, [1, 2], r"..\gone\merged.avhdx", &base),
        (12, [99, 2], r".\moved.vhdx", &merged),
        (13, [3, 1], r"..\disks\base.vhdx", &base),
        (14, [3, 1], r".\moved.vhdx", &base),
    ];
    let paths = children.map(|(own, [first, second], path, _)| {
        let mut image = child(own, first, path);
        let second = (PARENT_LINKAGE2.to_owned(), guid(second).braced().to_string());
        image.parent_locator.as_mut().unwrap().push(second);
        folder.put(&format!("vm/{own}.avhdx"), &image)
    });
    let parents = paths.each_ref().map(|path| parent_of(&folder.forest(), path).map(Path::to_owned));
    assert_eq!(parents, children.map(|(.., parent)| Some(parent.clone())));
    folder.put("z/copy.vhdx", &Image { file_write_guid: guid(50), ..disk(1) });
    assert!(matches!(problem_of(&folder.forest(), &paths[0]), Problem::AmbiguousParent { count: 2, .. }));
}

#[test]
fn of_exact_copies_any_is_the_parent() {
    let folder = Folder::new();
    let first = folder.put("a/1", &disk(1));
    let beside = folder.put("b/2", &disk(1));
    let sure = folder.put("b/3", &child(2, 1, r".\base.vhdx"));
    let elsewhere = folder.put("c/4", &child(3, 1, r".\base.vhdx"));
    let forest = folder.forest();
    assert_eq!(parent_of(&forest, &sure), Some(beside.as_path()));
    assert_eq!(parent_of(&forest, &elsewhere), Some(first.as_path()));
    assert!(matches!(problem_of(&forest, &first), Problem::DuplicateGuid { .. }));
}

#[test]
fn a_copy_that_was_damaged_is_no_copy() {
    let folder = Folder::new();
    let image = Image { blocks: [(3, Block::full(vec![7; MIB as usize]))].into(), ..disk(1) };
    folder.put("a/1", &image);
    let damaged = folder.put("b/2", &image);
    let leaf = folder.put("b/3", &child(2, 1, r".\base.vhdx"));
    let at = image.layout().offset(Part::Payload(3)) + MIB - 1;
    let mut file = File::options().write(true).open(damaged).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(&[8]).unwrap();
    let forest = folder.forest();
    assert_eq!((parent_of(&forest, &leaf), disk_at(&forest, &leaf).link), (None, DiskLink::Ambiguous));
}

#[test]
fn several_names_of_one_file_are_one_disk() {
    let folder = Folder::new();
    let base = folder.put("b/base.vhdx", &disk(1));
    fs::hard_link(&base, folder.path("b/second.vhdx")).unwrap();
    #[cfg(unix)]
    for (target, link) in [("b/base.vhdx", "a-link.vhdx"), ("b", "b/loop")] {
        std::os::unix::fs::symlink(folder.path(target), folder.path(link)).unwrap();
    }
    let leaf = folder.put("b/leaf.avhdx", &child(2, 1, r".\second.vhdx"));
    let roots = [folder.path("b"), folder.0.path().to_owned(), leaf.clone(), folder.path("b")];
    let forest = discover(&roots, &NoProgress).unwrap();
    let paths: Vec<&Path> = forest.disks.iter().map(|disk| disk.facts.path.as_path()).collect();
    assert_eq!(paths, [&base, &leaf]);
    assert_eq!(forest.all_problems().len(), 0, "{:?}", forest.all_problems());
}

#[test]
fn what_cannot_be_read_is_reported_and_never_fatal() {
    let folder = Folder::new();
    let sound = folder.put("sound.vhdx", &disk(1));
    let cut = folder.put("cut", &disk(2));
    File::options().write(true).open(&cut).unwrap().set_len(MIB).unwrap();
    let empty = folder.path("empty.AVHDX");
    let garbage = folder.path("garbage.vhdx");
    File::create(&empty).unwrap();
    fs::write(&garbage, [0xe5; 100_000]).unwrap();
    fs::write(folder.path("other.bin"), [0xe5; 100_000]).unwrap();
    let absent = folder.path("absent");
    let forest = discover(&[folder.0.path().to_owned(), absent.clone()], &NoProgress).unwrap();
    assert_eq!(forest.disks.len(), 1);
    assert_eq!(forest.disks[0].facts.path, sound);
    assert_eq!(forest.others, 1);
    let found: Vec<(&Path, bool)> =
        forest.problems.iter().map(|p| (p.path(), matches!(p, Problem::Damaged { .. }))).collect();
    assert_eq!(found, [(absent.as_path(), false), (&cut, true), (&empty, true), (&garbage, true)]);
    assert!(matches!(forest.problems[0], Problem::Unreadable { .. }));
    assert!(forest.problems[1..].iter().all(|problem| problem.remedy() == Remedy::Examine));
    assert!(forest.problems[3].to_string().contains("signature"), "{}", forest.problems[3]);
}

/// The kernel answers a read of this file's first byte with an error.
#[test]
#[cfg(target_os = "linux")]
fn a_file_that_cannot_be_read_may_be_a_disk() {
    let memory = std::path::PathBuf::from("/proc/self/mem");
    let forest = discover(std::slice::from_ref(&memory), &NoProgress).unwrap();
    let [problem @ Problem::Unreadable { path, .. }] = forest.problems.as_slice() else {
        panic!("{forest:?}")
    };
    assert_eq!(*path, memory);
    assert!(problem.to_string().contains("so disks may be missing here: cannot read"), "{problem}");
}

#[test]
#[cfg(unix)]
fn the_hint_fits_what_keeps_a_path_from_being_read() {
    let folder = Folder::new();
    let (absent, looped) = (folder.path("absent"), folder.path("looped"));
    std::os::unix::fs::symlink("looped", &looped).unwrap();
    for (path, remedy) in [(absent, Remedy::CorrectPath), (looped, Remedy::RemoveCause)] {
        match discover(&[path], &NoProgress).unwrap().problems.as_slice() {
            [problem @ Problem::Unreadable { .. }] => assert_eq!(problem.remedy(), remedy),
            problems => panic!("{problems:?}"),
        }
    }
}

#[test]
#[cfg(unix)]
fn a_disk_found_by_a_link_finds_its_parent_beside_its_file() {
    let folder = Folder::new();
    let leaf = folder.put("store/leaf.avhdx", &child(2, 1, r".\base.vhdx"));
    folder.put("store/base.vhdx", &disk(1));
    fs::create_dir(folder.path("vm")).unwrap();
    let link = folder.path("vm/leaf.avhdx");
    std::os::unix::fs::symlink(leaf, &link).unwrap();
    let forest = discover(&[folder.path("vm")], &NoProgress).unwrap();
    assert!(matches!(problem_of(&forest, &link), Problem::ParentElsewhere { .. }), "{forest:?}");
}

#[test]
#[cfg(unix)]
fn pipes_and_dead_links_are_reported_if_they_are_called_like_disks() {
    let folder = Folder::new();
    let (pipe, dead) = (folder.path("pipe.vhdx"), folder.path("zz.vhdx"));
    for pipe in [&pipe, &folder.path("pipe")] {
        assert!(std::process::Command::new("mkfifo").arg(pipe).status().unwrap().success());
    }
    std::os::unix::fs::symlink("nowhere", &dead).unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path("dead")).unwrap();
    let forest = folder.forest();
    let found: Vec<&Path> = forest.problems.iter().map(Problem::path).collect();
    assert_eq!(found, [&pipe, &dead]);
    assert!(forest.problems.iter().all(|problem| matches!(problem, Problem::NotARegularFile { .. })));
}

#[test]
#[cfg(target_os = "linux")]
fn names_that_windows_does_not_have_are_reported() {
    use std::os::unix::ffi::OsStrExt;
    let folder = Folder::new();
    let image = disk(1);
    let odd = folder.0.path().join(std::ffi::OsStr::from_bytes(b"odd\xff.vhdx"));
    image.sparse().write_to(&odd).unwrap();
    assert!(matches!(problem_of(&folder.forest(), &odd), Problem::NameNotAllowedOnWindows { .. }));
}

#[test]
fn what_a_file_says_of_itself() {
    let folder = Folder::new();
    let half = folder.put("half.vhdx", &Image { headers: Headers::FirstIsSound, ..disk(1) });
    let tracked = folder.put("tracked.vhdx", &disk(2));
    let rct = folder.path("tracked.vhdx.rct");
    File::create(&rct).unwrap();
    let log = DirtyLog { seed: 1, entries: 3, stale: 0, runs: 0, closed: false };
    let dirty = folder.put("dirty.vhdx", &Image { log: Some(log), ..disk(3) });
    let forest = folder.forest();
    assert!(matches!(problem_of(&forest, &half), Problem::Imperfect { .. }));
    assert!(
        matches!(problem_of(&forest, &tracked), Problem::SideFile { side_file, .. } if *side_file == rct)
    );
    let dirty = disk_at(&forest, &dirty);
    assert!(dirty.facts.dirty_log && dirty.problems.is_empty());
}

#[test]
fn cycles_of_guids_end() {
    let folder = Folder::new();
    let files = [(1, 3), (2, 1), (3, 2), (4, 1), (5, 5)];
    let paths =
        files.map(|(own, parent)| folder.put(&format!("{own}.avhdx"), &child(own, parent, "none.vhdx")));
    let forest = folder.forest();
    for i in [0, 1, 2, 4] {
        assert_eq!(
            (parent_of(&forest, &paths[i]), disk_at(&forest, &paths[i]).link),
            (None, DiskLink::Cycle)
        );
        assert!(matches!(problem_of(&forest, &paths[i]), Problem::Cycle { .. }));
    }
    assert_eq!(parent_of(&forest, &paths[3]), Some(paths[0].as_path()));
}

#[test]
fn other_sectors_and_endless_chains_are_reported() {
    let folder = Folder::new();
    let leaf = folder.put("leaf.avhdx", &child(9000, 9001, "coarse.vhdx"));
    folder.put("coarse.vhdx", &Image { logical_sector_size: 4096, ..disk(9001) });
    folder.put("0", &disk(1));
    for level in 1..=MAX_CHAIN_LENGTH + 1 {
        let path = format!("{}", level - 1);
        folder.put(&level.to_string(), &child(level as u128 + 1, level as u128, &path));
    }
    let forest = folder.forest();
    let sectors = problem_of(&forest, &leaf);
    assert!(matches!(sectors, Problem::SectorSize { child_size: 512, parent_size: 4096, .. }), "{sectors:?}");
    assert!(matches!(problem_of(&forest, &folder.path("256")), Problem::TooDeep { limit: 256, .. }));
    assert_eq!(forest.all_problems().len(), 2);
}

struct Cancelled;

impl Progress for Cancelled {
    fn is_cancelled(&self) -> bool {
        true
    }
}

#[test]
fn a_search_can_be_cancelled() {
    let folder = Folder::new();
    let result = discover(&[folder.0.path().to_owned()], &Cancelled);
    assert!(matches!(result, Err(Error::Cancelled)));
}

#[test]
fn a_child_is_relinked_only_if_the_chain_of_its_parent_is_complete() {
    let folder = Folder::new();
    folder.put("base.vhdx", &disk(1));
    let mid = folder.put("x/mid.avhdx", &child(2, 9, r"..\base.vhdx"));
    let leaf = folder.put("y/leaf.avhdx", &child(3, 2, r".\mid.avhdx"));
    let forest = folder.forest();
    assert_eq!(problem_of(&forest, &leaf).remedy(), Remedy::CompleteChainOf { parent: &mid });

    folder.put("x/mid.avhdx", &child(2, 1, r"..\base.vhdx"));
    let forest = folder.forest();
    assert_eq!(problem_of(&forest, &leaf).remedy(), Remedy::StorePath { parent: &mid });
}

/// A file that cannot be read may be the parent, so the parent is not known to be missing.
#[test]
fn a_damaged_file_with_the_stored_name_may_be_the_parent() {
    let folder = Folder::new();
    let damaged = folder.path("x/BASE.vhdx");
    fs::create_dir_all(damaged.parent().unwrap()).unwrap();
    fs::write(&damaged, b"vhdxfile").unwrap();
    let leaf = folder.put("leaf.avhdx", &child(3, 1, r".\base.vhdx"));
    let forest = folder.forest();
    let problem = problem_of(&forest, &leaf);
    let files = std::slice::from_ref(&damaged);
    assert_eq!(problem.remedy(), Remedy::IdentifyParent { files, count: 1 });
    let message = problem.to_string();
    assert!(
        message.contains("lacks its parent. The parent may be at") && !message.contains("is missing"),
        "{message}"
    );

    for i in 0..9 {
        fs::create_dir(folder.path(&format!("{i}"))).unwrap();
        fs::copy(&damaged, folder.path(&format!("{i}/base.vhdx"))).unwrap();
    }
    let message = problem_of(&folder.forest(), &leaf).to_string();
    assert!(message.contains("could not be read: ") && message.ends_with(" and 2 more"), "{message}");
    for i in 0..9 {
        fs::remove_file(folder.path(&format!("{i}/base.vhdx"))).unwrap();
    }

    fs::rename(&damaged, folder.path("x/other.vhdx")).unwrap();
    assert!(matches!(problem_of(&folder.forest(), &leaf).remedy(), Remedy::FindParent { .. }));
}
