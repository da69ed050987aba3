//! Disks that are not two points in time of one disk are refused, with evidence.

use vhdx::ops::changed_ranges;
use vhdx::{Chain, ChainErrorKind, Conflict, DiskOffset, Error, FolderResolver, VhdxMut};
use vhdx_testkit::{Block, Image};

use crate::common::{Folder, MIB};

fn open(path: &std::path::Path) -> Chain {
    Chain::open(path, &FolderResolver::default()).unwrap()
}

fn refused(old: &Chain, new: &Chain) -> Error {
    match changed_ranges(old, new) {
        Err(error) => error,
        Ok(_) => panic!("it was not refused"),
    }
}

fn base() -> Image {
    let mut base = Image::dynamic(3 * MIB, 1 << 20);
    base.blocks.insert(0, Block::full(vec![1; 512]));
    base
}

#[test]
fn different_families() {
    let folder = Folder::new();
    let (a, mut other) = (base(), base());
    other.data_write_guid = vhdx::Guid::from_u128(77);
    let paths = [folder.put("a.vhdx", &a), folder.put("b.vhdx", &other)];
    let child = folder.put("child.avhdx", &Image::child_of(&other, "b.vhdx", 1 << 20));
    let error = refused(&open(&paths[0]), &open(&child));
    let chain = error.chain_error().unwrap();
    assert_eq!((chain.kind(), chain.path()), (ChainErrorKind::Unrelated, child.as_path()));
    assert_eq!(chain.old(), Some(paths[0].as_path()));
    let bases = chain.bases().unwrap();
    assert_eq!(bases[0], (paths[0].clone(), a.data_write_guid));
    assert_eq!(bases[1], (paths[1].clone(), other.data_write_guid));
    let text = error.to_string();
    for part in [a.data_write_guid, other.data_write_guid] {
        assert!(text.contains(&part.to_string()), "{text}");
    }
    assert!(!text.contains("two files"), "{text}");
}

#[test]
fn a_copy_is_another_file() {
    let folder = Folder::new();
    let base = base();
    let [original, copy] = ["base.vhdx", "copies/base.vhdx"].map(|name| folder.put(name, &base));
    let child = folder.put("child.avhdx", &Image::child_of(&base, "base.vhdx", 1 << 20));
    let error = refused(&open(&copy), &open(&child));
    assert_eq!(error.chain_error().unwrap().kind(), ChainErrorKind::Unrelated);
    assert!(error.to_string().contains("have the same DataWriteGuid, but they are two files"), "{error}");
    assert!(changed_ranges(&open(&original), &open(&child)).is_ok());
}

#[test]
fn an_older_disk_that_is_newer() {
    let folder = Folder::new();
    let base = base();
    let old = folder.put("base.vhdx", &base);
    let mid = Image::child_of(&base, "base.vhdx", 1 << 20);
    folder.put("mid.avhdx", &mid);
    let leaf = folder.put("leaf.avhdx", &Image::child_of(&mid, "mid.avhdx", 1 << 20));
    let error = refused(&open(&leaf), &open(&old));
    let chain = error.chain_error().unwrap();
    assert_eq!((chain.kind(), chain.path()), (ChainErrorKind::Reversed, old.as_path()));
    assert!(
        error.to_string().contains("is a descendant of") && error.to_string().contains("2 levels"),
        "{error}"
    );
}

#[test]
fn a_base_that_was_changed_since() {
    let folder = Folder::new();
    let base = base();
    let path = folder.put("base.vhdx", &base);
    let child = folder.put("child.avhdx", &Image::child_of(&base, "base.vhdx", 1 << 20));
    let before = open(&path);
    if cfg!(not(windows)) {
        let mut file = VhdxMut::open(&path).unwrap();
        file.write_all_at(&[2; 512], DiskOffset::new(0)).unwrap();
        file.close().unwrap();
        let error = Chain::open(&child, &FolderResolver::default()).unwrap_err();
        let chain = error.chain_error().unwrap();
        assert_eq!(chain.kind(), ChainErrorKind::Mismatch, "{error}");
        assert_eq!(chain.expected(), [base.data_write_guid]);
        assert_eq!(chain.parent(), Some(path.as_path()));
        // The same file, opened before and after the change.
        let error = refused(&before, &open(&path));
        assert_eq!((error.conflict(), error.path()), (Some(&Conflict::StalePlan), Some(path.as_path())));
    }
}
