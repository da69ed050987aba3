//! What the new file holds, and which disks are refused.

use std::path::Path;

use vhdx::format::bat_entry::PayloadBlockState;
use vhdx::ops::{IncrementPlan, check_chain};
use vhdx::{
    Chain, ChainErrorKind, Conflict, DiskOffset, DiskType, Error, FolderResolver, Guid, IfExists, Jobs,
    MAX_CHAIN_LENGTH, Memory, NewFile, NoProgress, OnWriter, OpenOptions, Progress, Vhdx, VhdxMut,
};
use vhdx_testkit::{Block, DirtyLog, ExtraItem, Image};

use super::{INC, chain_of, make};
use crate::common::{Folder, MIB, assert_same, read_all};

const BLOCK: usize = 1 << 20;

fn vhdx(image: &Image, name: &str) -> Vhdx {
    let name = Path::new("/vm").join(name);
    Vhdx::open_with(image.sparse(), &OpenOptions::default().name(name)).unwrap()
}

/// The chains of the base and of the last child. Each image is the child of the one before it.
fn ends(images: &[&Image]) -> (Chain, Chain) {
    let mut layers: Vec<Vhdx> =
        images.iter().enumerate().map(|(layer, image)| vhdx(image, &format!("{layer}.vhdx"))).collect();
    let base = layers[0].clone();
    layers.reverse();
    (Chain::from_layers(vec![base]).unwrap(), Chain::from_layers(layers).unwrap())
}

fn base(blocks: u64) -> Image {
    let mut base = Image::dynamic(blocks * MIB, BLOCK as u32);
    base.blocks.extend((0..blocks).map(|block| (block, Block::full(vec![1; BLOCK]))));
    base
}

fn zero() -> Block {
    Block::empty(PayloadBlockState::Zero, false)
}

/// Returns the number of blocks in each state that has any.
fn states(file: &Vhdx) -> Vec<(PayloadBlockState, u64)> {
    file.block_counts().unwrap().into_iter().collect()
}

#[test]
fn zeros_over_data_take_no_space_and_parts_of_blocks_are_bits() {
    let base = base(8);
    let mut mid = Image::child_of(&base, "0.vhdx", 2 << 20);
    mid.blocks.insert(0, zero()); // blocks 0 and 1
    mid.blocks.insert(1, Block::full([2; BLOCK].repeat(2)));
    let mut leaf = Image::child_of(&mid, "1.vhdx", BLOCK as u32);
    leaf.blocks.insert(1, Block::partial(vec![3; 512], vec![true]));
    leaf.blocks.insert(4, Block::partial(vec![0; 1024], vec![false, true]));
    leaf.blocks.insert(5, Block::full(vec![0; BLOCK]));
    let (old, new) = ends(&[&base, &mid, &leaf]);
    let (file, plan, report) = make(&old, &new);
    let inc = chain_of(file, &old);
    assert_same(&read_all(&inc), &read_all(&new), "the increment");
    // 0 and 5 are zeros, 1 to 3 are whole, 4 is a part. 6 and 7 are those of the parent.
    let expected = [
        (PayloadBlockState::NotPresent, 2),
        (PayloadBlockState::Zero, 2),
        (PayloadBlockState::FullyPresent, 3),
        (PayloadBlockState::PartiallyPresent, 1),
    ];
    let found = states(inc.leaf());
    assert!(expected.iter().all(|state| found.contains(state)) && found.len() == 4, "{found:?}");
    assert_eq!((inc.leaf().block_size(), inc.leaf().disk_type()), (MIB, DiskType::Differencing));
    // The zeros of blocks 4 and 5 were read, but not written.
    assert_eq!((plan.bytes_to_copy(), plan.blocks()), (2 * MIB + 512 + 512 + MIB, 5));
    assert_eq!((report.bytes_copied, report.blocks), (2 * MIB + 512, 4));
}

#[test]
fn a_disk_that_grew_or_shrank() {
    let base = base(4);
    for size in [2 * MIB + 512, 4 * MIB, 7 * MIB + 1024] {
        let mut leaf = Image::child_of(&base, "0.vhdx", 2 << 20);
        leaf.virtual_size = size;
        leaf.blocks.insert(0, Block::partial(vec![2; 4096], vec![true; 8]));
        leaf.blocks.insert(1, Block::partial(vec![3; 512], vec![true]));
        let (old, new) = ends(&[&base, &leaf]);
        let inc = chain_of(make(&old, &new).0, &old);
        assert_eq!(inc.virtual_size(), size);
        assert_same(&read_all(&inc), &read_all(&new), "the increment");
    }
    // A smaller file between cuts off the data of the base, and the newest one is large again.
    let mut small = Image::child_of(&base, "0.vhdx", 1 << 20);
    small.virtual_size = MIB + 512;
    let mut large = Image::child_of(&small, "1.vhdx", 1 << 20);
    large.virtual_size = 4 * MIB;
    let (old, new) = ends(&[&base, &small, &large]);
    let inc = chain_of(make(&old, &new).0, &old);
    let mut expected = vec![0; 4 * BLOCK];
    expected[..BLOCK + 512].fill(1);
    assert_same(&read_all(&inc), &expected, "the increment");
}

/// A chunk has 4 GiB with sectors of 512 bytes.
#[test]
fn each_chunk_has_its_own_sector_bitmap() {
    let mut base = Image::dynamic(16 << 30, 32 << 20);
    base.blocks.insert(0, Block::full(vec![1; 4096]));
    let mut leaf = Image::child_of(&base, "0.vhdx", 2 << 20);
    let per_chunk = leaf.chunk_ratio();
    let part = |byte| Block::partial(vec![byte; 1024], vec![true, false, true]);
    leaf.blocks.insert(0, part(2));
    leaf.blocks.insert(per_chunk - 1, part(3));
    leaf.blocks.insert(per_chunk, zero());
    leaf.blocks.insert(per_chunk + 1, Block::full(vec![4; 512]));
    leaf.blocks.insert(3 * per_chunk + 5, part(5));
    leaf.blocks.insert(3 * per_chunk + 6, part(6));
    let (old, new) = ends(&[&base, &leaf]);
    let (file, plan, report) = make(&old, &new);
    assert_eq!(report.file_size, plan.file_size());
    assert_eq!(report.blocks, 5);
    let inc = chain_of(file, &old);
    assert!(vhdx::ops::compare(&inc, &new, Jobs::default(), &NoProgress).unwrap().equal);
}

#[test]
fn the_newest_disk_is_described_and_the_older_one_is_named() {
    let folder = Folder::new();
    let item = |id: u128, is_virtual_disk| ExtraItem {
        id: Guid::from_u128(id),
        is_user: true,
        is_virtual_disk,
        is_required: false,
        bytes: vec![id as u8; 30],
    };
    let mut base = base(3);
    base.log = Some(DirtyLog { seed: 3, entries: 2, stale: 1, runs: 3, closed: false });
    base.extra_items = vec![item(1, true), item(2, false)];
    let mut mid = Image::child_of(&base, "base.vhdx", 2 << 20);
    mid.extra_items = vec![item(3, false)];
    let mut leaf = Image::child_of(&mid, "mid.avhdx", 1 << 20);
    leaf.log = Some(DirtyLog { seed: 5, entries: 1, stale: 0, runs: 2, closed: false });
    leaf.extra_items = vec![item(4, true)];
    leaf.virtual_disk_id = Guid::from_u128(99);
    leaf.blocks.insert(2, Block::full(vec![7; BLOCK]));
    let paths =
        [("base.vhdx", &base), ("mid.avhdx", &mid), ("leaf.avhdx", &leaf)].map(|(n, i)| folder.put(n, i));
    let before = paths.each_ref().map(|path| std::fs::read(path).unwrap());
    let open = |path: &Path| Chain::open(path, &FolderResolver::default()).unwrap();
    let (old, new) = (open(&paths[0]), open(&paths[2]));

    std::fs::create_dir(folder.path("backup")).unwrap();
    let inc = folder.path("backup/inc.avhdx");
    let plan = IncrementPlan::new(&old, &new, &inc, &NoProgress).unwrap();
    let dropped: Vec<usize> = plan.dropped().iter().map(|part| part.layer).collect();
    assert_eq!(dropped, [1], "only the user item of the file between: {:?}", plan.dropped());
    let file = NewFile::create(&inc, IfExists::Fail).unwrap();
    plan.execute(&old, &new, &file, Jobs::default(), &NoProgress).unwrap();
    file.commit().unwrap();
    drop(plan);

    let made = open(&inc);
    assert_same(&read_all(&made), &read_all(&new), "the increment");
    let locator = made.leaf().parent_locator().unwrap();
    assert_eq!(locator.parent_linkage(), Some(base.data_write_guid));
    assert_eq!(locator.get("relative_path"), Some(r"..\base.vhdx"));
    assert_eq!(made.leaf().virtual_disk_id(), Some(Guid::from_u128(99)));
    let ids = made.leaf().metadata_entries().iter().map(|entry| entry.id.as_u128()).filter(|id| *id < 10);
    assert_eq!(ids.collect::<Vec<_>>(), [4]);
    assert!(check_chain(&inc, &FolderResolver::default(), OnWriter::Fail).is_valid());
    assert!(before == paths.each_ref().map(|path| std::fs::read(path).unwrap()), "a file was changed");
}

fn refused(old: &Chain, new: &Chain) -> Error {
    IncrementPlan::new(old, new, Path::new(INC), &NoProgress).unwrap_err()
}

#[test]
fn disks_that_do_not_follow_from_each_other() {
    let base = base(2);
    let (mut a, mut b) =
        (Image::child_of(&base, "0.vhdx", 1 << 20), Image::child_of(&base, "0.vhdx", 1 << 20));
    a.data_write_guid = Guid::from_u128(1);
    b.data_write_guid = Guid::from_u128(2);
    let shared = vhdx(&base, "0.vhdx");
    let chain = |layers: Vec<Vhdx>| Chain::from_layers(layers).unwrap();
    let old = chain(vec![vhdx(&a, "a.avhdx"), shared.clone()]);
    let new = chain(vec![vhdx(&b, "b.avhdx"), shared.clone()]);
    let error = refused(&old, &new);
    let fault = error.chain_error().unwrap();
    assert_eq!(fault.kind(), ChainErrorKind::Siblings, "{error}");
    assert_eq!(fault.common_ancestor(), Some(Path::new("/vm/0.vhdx")));
    assert!(error.to_string().contains("is not an ancestor of"), "{error}");
    let base = chain(vec![shared]);
    assert_eq!(refused(&new, &base).chain_error().unwrap().kind(), ChainErrorKind::Reversed);
    let other = chain(vec![vhdx(&Image::dynamic(MIB, 1 << 20), "other.vhdx")]);
    assert_eq!(refused(&other, &new).chain_error().unwrap().kind(), ChainErrorKind::Unrelated);
    let guid = error.chain_error().unwrap().path().to_owned();
    assert_eq!(guid, Path::new("/vm/b.avhdx"));
}

#[test]
fn the_same_disk_has_an_empty_increment() {
    let (old, _) = ends(&[&base(2)]);
    let (file, plan, report) = make(&old, &old);
    assert_eq!((plan.merged().len(), report.blocks, report.bytes_copied), (0, 0, 0));
    assert_same(&read_all(&chain_of(file, &old)), &read_all(&old), "the increment");
}

#[test]
fn an_older_disk_at_the_greatest_depth_gets_no_child() {
    let mut image = Image::dynamic(MIB, 1 << 20);
    let mut layers = vec![vhdx(&image, "0")];
    for level in 1..MAX_CHAIN_LENGTH {
        image = Image::child_of(&image, &(level - 1).to_string(), 1 << 20);
        layers.insert(0, vhdx(&image, &level.to_string()));
    }
    let last = Chain::from_layers(layers.clone()).unwrap();
    assert_eq!(refused(&last, &last).chain_error().unwrap().kind(), ChainErrorKind::TooDeep);
    let before = Chain::from_layers(layers[1..].to_vec()).unwrap();
    make(&before, &last);
}

#[test]
fn files_that_changed_after_the_plan() {
    let folder = Folder::new();
    let base = base(3);
    let old = folder.put("base.vhdx", &base);
    let mut leaf = Image::child_of(&base, "base.vhdx", 1 << 20);
    leaf.blocks.insert(0, Block::full(vec![8; BLOCK]));
    let new = folder.put("leaf.avhdx", &leaf);
    let open = |path: &Path| Chain::open(path, &FolderResolver::default()).unwrap();
    let inc = folder.path("inc.avhdx");
    let (old, before) = (open(&old), open(&new));
    let plan = IncrementPlan::new(&old, &before, &inc, &NoProgress).unwrap();
    if let Ok(mut file) = VhdxMut::open(&new) {
        file.write_all_at(&[9; 512], DiskOffset::new(0)).unwrap();
        file.close().unwrap();
        let file = Memory::default();
        let error = plan.execute(&old, &open(&new), &file, Jobs::default(), &NoProgress).unwrap_err();
        assert_eq!(error.conflict(), Some(&Conflict::StalePlan));
        assert!(file.into_inner().is_empty());
        // Without a new look at the file, the change is found at the end.
        let file = Memory::default();
        let error = plan.execute(&old, &before, &file, Jobs::default(), &NoProgress).unwrap_err();
        assert!(matches!(error.conflict(), Some(Conflict::Changed(_))), "{error}");
        assert!(Vhdx::open_with(file, &OpenOptions::default()).is_err());
    }
}

#[test]
fn a_cancelled_increment_leaves_no_disk() {
    struct Stop;
    impl Progress for Stop {
        fn start(&self, _: u64) {}
        fn advance(&self, _: u64) {}
        fn is_cancelled(&self) -> bool {
            true
        }
    }
    let base = base(2);
    let mut leaf = Image::child_of(&base, "0.vhdx", 1 << 20);
    leaf.blocks.insert(0, Block::full(vec![4; BLOCK]));
    let (old, new) = ends(&[&base, &leaf]);
    let cancelled = IncrementPlan::new(&old, &new, Path::new(INC), &Stop);
    assert!(matches!(cancelled, Err(Error::Cancelled)));
    let plan = IncrementPlan::new(&old, &new, Path::new(INC), &NoProgress).unwrap();
    let file = Memory::default();
    assert!(matches!(plan.execute(&old, &new, &file, Jobs::default(), &Stop), Err(Error::Cancelled)));
    assert!(Vhdx::open_with(file, &OpenOptions::default()).is_err());
    let full = Memory::new(vec![1]);
    let error = plan.execute(&old, &new, &full, Jobs::default(), &NoProgress).unwrap_err();
    assert_eq!(error.conflict(), Some(&Conflict::DestinationExists));
}
