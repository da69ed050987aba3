//! Disks that are no files of the host: opened by the caller, checked, linked and listed.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use vhdx::ops::{check_chain, check_chain_in, check_file_in};
use vhdx::{
    Candidate, Candidates, Disk, DiskOffset, Error, FolderResolver, NoProgress, OnWriter, OpenFiles,
    OpenOptions, ParentRequest, ParentResolver, RawDisk, ReadAt, Relatives, Result, Source, Vhdx, discover,
    discover_opened, inspect_leaf,
};
use vhdx_testkit::{Block, Image, SparseImage};

use crate::common::Folder;

const MIB: u32 = 1 << 20;

/// Files in memory, by names that are no paths of the host.
#[derive(Clone)]
struct Store(HashMap<PathBuf, SparseImage>);

impl OpenFiles for Store {
    fn open(&self, path: &Path) -> Result<Box<dyn ReadAt>> {
        match self.0.get(path) {
            Some(file) => Ok(Box::new(file.clone())),
            None => Err(Error::io("open", None, io::ErrorKind::NotFound.into())),
        }
    }
}

impl Store {
    fn disk(&self, path: &Path) -> Result<Vhdx> {
        Vhdx::open_with(OpenFiles::open(self, path)?, &OpenOptions::default().name(path))
    }

    fn disks(&self) -> Vec<(PathBuf, Result<Vhdx>)> {
        self.0.keys().map(|path| (path.clone(), self.disk(path))).collect()
    }
}

impl ParentResolver for Store {
    fn candidates(&self, request: &ParentRequest<'_>) -> Result<Candidates> {
        let path = request.name.with_file_name("base.vhdx");
        let store = self.clone();
        let candidate = Candidate::new(path.clone(), move || store.disk(&path)).at_relative_path();
        Ok(vec![candidate].into())
    }
}

fn images() -> [(&'static str, Image); 2] {
    let mut base = Image::dynamic(4 << 20, MIB);
    base.blocks.insert(1, Block::full(vec![1; MIB as usize]));
    let mut child = Image::child_of(&base, "base.vhdx", MIB);
    child.blocks.insert(2, Block::full(vec![2; MIB as usize]));
    [("base.vhdx", base), ("child.avhdx", child)]
}

fn store() -> Store {
    Store(
        images()
            .into_iter()
            .map(|(name, image)| (Path::new("store://vm").join(name), image.sparse()))
            .collect(),
    )
}

fn child() -> PathBuf {
    "store://vm/child.avhdx".into()
}

#[test]
fn a_chain_is_inspected_from_an_open_leaf() {
    let store = store();
    let layers = inspect_leaf(store.disk(&child()).unwrap(), &store).unwrap();
    let found: Vec<_> =
        layers.iter().map(|layer| (layer.link.name(), layer.found_by.map(vhdx::FoundBy::name))).collect();
    assert_eq!(found, [("ok", None), ("base", Some("relative_path"))]);
}

/// The same damage gives the same report as on the host.
#[test]
fn a_chain_is_checked_as_on_the_host() {
    for damaged in [None, Some("base.vhdx"), Some("child.avhdx")] {
        let (folder, mut store) = (Folder::new(), store());
        for (name, image) in images() {
            let mut file = image.sparse();
            if damaged == Some(name) {
                file.write(2 << 20, b"damage");
                store.0.insert(Path::new("store://vm").join(name), file.clone());
            }
            file.write_to(&folder.path(name)).unwrap();
        }
        let on_host = check_chain(&folder.path("child.avhdx"), &FolderResolver::default(), OnWriter::Fail);
        let elsewhere = check_chain_in(&store, &child(), &store, OnWriter::Fail);
        let rules = |report: &vhdx::ops::CheckReport| -> Vec<_> {
            let rules = |file: &vhdx::ops::FileReport| {
                let name = file.path.as_ref().unwrap().file_name().unwrap().to_owned();
                let rules: Vec<_> = file.violations.as_slice().iter().map(|found| found.rule()).collect();
                (name, rules, file.error.is_some())
            };
            report.files.iter().map(rules).collect()
        };
        assert_eq!(rules(&on_host), rules(&elsewhere), "{damaged:?}");
        assert_eq!(elsewhere.is_valid(), damaged.is_none());
    }
    let missing = check_file_in(&store(), Path::new("store://none"), OnWriter::Fail);
    assert!(missing.files[0].error.as_ref().unwrap().to_string().contains("store://none"));
}

#[test]
fn open_disks_are_linked_by_guid_alone() {
    let (folder, mut store) = (Folder::new(), store());
    for (name, image) in images() {
        folder.put(name, &image);
    }
    store.0.insert("store://vm/broken.vhdx".into(), SparseImage::new(5000));
    let forest = discover_opened(store.disks(), &NoProgress).unwrap();
    let links = |forest: &vhdx::Forest| -> Vec<_> {
        forest.disks.iter().map(|disk| (disk.parent, disk.link.name(), disk.children.clone())).collect()
    };
    assert_eq!(links(&forest), links(&discover(&[folder.0.path().to_owned()], &NoProgress).unwrap()));
    let problems: Vec<_> = forest.all_problems().iter().map(|problem| problem.path().to_owned()).collect();
    assert_eq!(problems, [Path::new("store://vm/broken.vhdx")]);
}

/// A file of the host at the same path as a stored path of a disk elsewhere is not its parent.
#[test]
fn stored_paths_do_not_lead_to_the_host() {
    let folder = Folder::new();
    let [(_, base), (_, child)] = images();
    folder.put("base.vhdx", &base);
    let path = folder.path("child.avhdx"); // this file does not exist
    let disk = Vhdx::open_with(child.sparse(), &OpenOptions::default().name(&path)).unwrap();
    let forest = discover_opened(vec![(path, Ok(disk))], &NoProgress).unwrap();
    assert_eq!(forest.disks[0].link.name(), "missing");
    let problem = forest.all_problems()[0].to_string();
    assert!(!problem.contains(&folder.path("base.vhdx").display().to_string()), "{problem}");
}

#[test]
fn relatives_are_open_disks_and_what_could_not_be_opened() {
    let mut store = store();
    store.0.insert("store://vm/broken.vhdx".into(), SparseImage::new(5000));
    let relatives = Relatives::of_opened(vec!["store://vm".into()], store.disks());
    let base = store.disk(Path::new("store://vm/base.vhdx")).unwrap().data_write_guid();
    let children: Vec<_> = relatives.children_of(base).map(|disk| disk.path.clone()).collect();
    assert_eq!(children, [child()]);
    assert_eq!(relatives.undetermined.len(), 1);
    assert!(relatives.ensure_all_determined(&child()).is_err());
}

#[test]
fn a_raw_disk_in_a_storage_is_data_from_its_start_to_its_end() {
    let disk = RawDisk::open_with(vec![7; 3000], "store://disk.raw").unwrap();
    let range = DiskOffset::new(512)..DiskOffset::new(3000);
    let extents: Vec<_> = disk.extents(range).map(|extent| extent.unwrap()).collect();
    let [extent] = extents.as_slice() else { panic!("{extents:?}") };
    assert_eq!((extent.start.get(), extent.len), (512, 2488));
    assert!(matches!(extent.source, Source::Data { layer: 0, offset } if offset.get() == 512));
    let mut buf = [0; 100];
    disk.read_exact_at(&mut buf, DiskOffset::new(2900)).unwrap();
    assert_eq!(buf, [7; 100]);
    let error = disk.read_exact_at(&mut buf, DiskOffset::new(2901)).unwrap_err();
    assert!(matches!(error.without_path(), Error::InvalidArgument(_)), "{error:?}");
    assert!(disk.identities().is_empty());
    disk.ensure_unchanged().unwrap();
}
