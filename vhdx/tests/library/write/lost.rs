//! A sync fails: the host says so once, and forgets what it could not write, which can still be read.

use std::path::Path;

use vhdx::{Chain, OpenOptions, Vhdx, VhdxMut};
use vhdx_testkit::crash::{Calls, CrashWorld, Fault, Images, Sweep};
use vhdx_testkit::{Image, SparseImage};

use crate::common::{MIB, at};

const NAME: &str = "disk.vhdx";
/// The starts of two blocks whose BAT entries lie in different pages.
const FAR_BLOCKS: [u64; 2] = [0, 700 * MIB];

fn far_blocks(file: SparseImage) -> [u8; 2] {
    let chain = Chain::from_layers(vec![Vhdx::open_with(file, &OpenOptions::default()).unwrap()]).unwrap();
    FAR_BLOCKS.map(|start| {
        let mut byte = [0];
        chain.read_exact_at(&mut byte, at(start)).unwrap();
        byte[0]
    })
}

#[test]
fn a_log_that_is_not_durable_is_made_so_before_it_is_replayed() {
    let write = |world: &CrashWorld| -> vhdx::Result<()> {
        let mut disk = VhdxMut::open_with(world.storage(NAME), &OpenOptions::default())?;
        FAR_BLOCKS.iter().try_for_each(|&start| disk.write_all_at(&[7; 4096], at(start)))?;
        disk.close()
    };
    let file = Image::dynamic(1024 * MIB, 1 << 20).sparse();
    let world = || CrashWorld::new(Images::from([(NAME.into(), file.clone())]));
    let undisturbed = world();
    write(&undisturbed).unwrap();
    let mut images = 0;
    for number in 0..undisturbed.calls(Calls::Writes) {
        let world = world();
        world.fail(Fault::losing(number));
        write(&world).unwrap_err();
        world.mend();
        vhdx::ops::replay(world.storage(NAME)).unwrap();
        let whole = far_blocks(world.images().remove(Path::new(NAME)).unwrap());
        let sweep = Sweep { exhaustive: 6, samples: 20, seed: number as u64 };
        let swept = world.recording().crash(&sweep, |image| {
            let found = far_blocks(image.file(NAME).unwrap());
            assert!(found == whole || found == [0, 0], "a sync failed at write {number}: {found:?}");
        });
        images += swept.images;
    }
    eprintln!("{images} images");
    assert!(images > 100, "only {images} images");
}
