use std::sync::Arc;

use uuid::Uuid;
use vhdx_testkit::Random;

use super::*;
use crate::file::{DiskType, NewDisk, OpenOptions, VhdxWriter};
use crate::format::parent_locator::{PARENT_LINKAGE, ParentLocator};
use crate::storage::{Memory, Storage};

fn bytes(bits: &[bool]) -> Vec<u8> {
    bits.chunks(8).map(|byte| byte.iter().rev().fold(0, |sum, &bit| sum << 1 | u8::from(bit))).collect()
}

#[test]
fn sector_bits_behave_like_a_vector_of_booleans() {
    let mut random = Random::new(18);
    // From few clear bits to few set ones. With few clear bits, most ranges that are not all set lack a single bit.
    for clear in [1, 2, 8, 60, 120] {
        let mut plain = vec![true; 128];
        (0..clear).for_each(|_| plain[random.below(128)] = false);
        let mut bits = SectorBits(bytes(&plain));
        for _ in 0..4 {
            assert_eq!(bits.as_bytes(), bytes(&plain));
            for (from, to) in (0..=128).flat_map(|from| (from..=128).map(move |to| (from, to))) {
                let all = plain[from as usize..to as usize].iter().all(|&bit| bit);
                assert_eq!(bits.are_set(from..to).unwrap(), all, "{from}..{to}");
            }
            let from = random.below(128);
            let to = from + random.below(129 - from).min(9);
            bits.set(from as u64..to as u64).unwrap();
            plain[from..to].fill(true);
        }
    }
}

#[test]
fn sectors_past_the_end_of_a_block_are_an_internal_error() {
    let mut bits = SectorBits(vec![0xff; 8]);
    assert!(bits.are_set(0..64).unwrap() && bits.are_set(64..64).unwrap());
    for range in [63..65, 64..65, u64::MAX - 1..u64::MAX] {
        assert!(matches!(bits.are_set(range.clone()), Err(Error::Internal { .. })), "{range:?}");
        assert!(matches!(bits.set(range.clone()), Err(Error::Internal { .. })), "{range:?}");
    }
}

fn differencing(block_size: u32, blocks: u64, logical_sector_size: u32) -> VhdxMut {
    let entries = vec![(PARENT_LINKAGE.to_owned(), Uuid::from_u128(7).braced().to_string())];
    let disk = NewDisk {
        block_size,
        logical_sector_size,
        disk_type: DiskType::Differencing,
        parent_locator: Some(ParentLocator { entries }),
        ..NewDisk::new(blocks * u64::from(block_size))
    };
    let file = Arc::new(Memory::default());
    VhdxWriter::new(&*file, &disk).unwrap().finish().unwrap();
    VhdxMut::open_with(file as Arc<dyn Storage>, &OpenOptions::default()).unwrap()
}

/// The entries of the block and of its bitmap lie in different pages of the BAT, and all bits of the block change.
#[test]
fn pages_of_block_is_the_exact_upper_bound() {
    let most = [
        (256 << 20, 512, 30 * 16, 18),
        (32 << 20, 512, 3 * 128, 4),
        (1 << 20, 512, 0, 3),
        (256 << 20, 4096, 3 * 128, 4),
    ];
    for (block_size, sector_size, block, pages) in most {
        let mut disk = differencing(block_size, block + 1, sector_size);
        let block = BlockIndex::new(block);
        let geometry = disk.geometry();
        let chunk_end = geometry.bitmap_bat_index(geometry.chunk_of(block)).get();
        assert_ne!(geometry.payload_bat_index(block).get() / 512, chunk_end / 512);
        disk.change(|this| {
            this.begin_content()?;
            this.need_bitmap(block)?;
            let mut bits = this.clear_bits()?;
            bits.set(0..this.sectors_per_block())?;
            this.stage_bits(block, &bits)?;
            this.stage_payload(block, PayloadBlockState::PartiallyPresent, FileOffset::new(9 * MIB))?;
            assert_eq!((this.staged.len(), this.pages_of_block()?), (pages, pages), "{block_size}");
            Ok(())
        })
        .unwrap();
    }
}
