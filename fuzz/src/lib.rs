//! What the fuzz targets that read do with a file: open it, check it, and read everything, within bounds.

pub mod operations;

use std::sync::Arc;

use vhdx::{Chain, DiskOffset, Extent, ReadAt, Vhdx, Violations, ops};
use vhdx_testkit::Image;

/// Disks with more blocks are not looked at as a whole: it would take seconds, which is no finding.
const MAX_BLOCKS: u64 = 1 << 16;
const MAX_EXTENTS: usize = 4096;
const MAX_READS: usize = 256;

/// Opens, checks and reads a file. Nothing that it holds may do more than give an error.
pub fn exercise(file: impl ReadAt + 'static) {
    let file: Arc<dyn ReadAt> = Arc::new(file);
    let mut violations = Violations::new();
    let Ok(vhdx) = Vhdx::load(Arc::clone(&file), &mut violations) else {
        assert!(!violations.as_slice().is_empty(), "an error without a broken rule");
        return;
    };
    for violation in violations.as_slice() {
        let _ = violation.to_string();
    }
    for entry in vhdx.metadata_entries() {
        let _ = vhdx.read_metadata_item(entry);
    }
    if vhdx.geometry().block_count() <= MAX_BLOCKS {
        let _ = vhdx.block_counts();
        let _ = format!("{:?}", ops::check_storage(file));
    }
    let alone = vhdx.extents(whole(vhdx.virtual_size())).take(MAX_EXTENTS);
    tiles(alone);
    if let Some(chain) = with_base(vhdx) {
        read(&chain);
    }
}

/// A differencing disk gets the parent that it asks for: an empty disk of another size.
fn with_base(vhdx: Vhdx) -> Option<Chain> {
    let Some(locator) = vhdx.parent_locator() else { return Chain::from_layers(vec![vhdx]).ok() };
    let data_write_guid = *locator.linkages().first()?;
    let base = Image {
        data_write_guid,
        logical_sector_size: vhdx.logical_sector_size(),
        ..Image::dynamic(1 << 20, 1 << 20)
    };
    let base = Vhdx::from_storage(base.sparse()).expect("the base is sound");
    Some(Chain::from_layers(vec![vhdx, base]).expect("it is the parent that was asked for"))
}

fn read(chain: &Chain) {
    let extents: Vec<Extent> = tiles(chain.extents(whole(chain.virtual_size())).take(MAX_EXTENTS));
    let mut buf = vec![0; 64 << 10];
    for extent in extents.iter().take(MAX_READS) {
        let len = extent.len.min(buf.len() as u64) as usize;
        let _ = chain.read_exact_at(&mut buf[..len], extent.start);
    }
    let last = chain.virtual_size().saturating_sub(buf.len() as u64);
    let len = (chain.virtual_size() - last) as usize;
    let _ = chain.read_exact_at(&mut buf[..len], DiskOffset::new(last));
}

/// The extents up to the first error, each of which begins where the one before it ends.
fn tiles(extents: impl Iterator<Item = vhdx::Result<Extent>>) -> Vec<Extent> {
    let mut next = DiskOffset::new(0);
    let sound = extents.map_while(Result::ok).inspect(|extent| {
        assert!(extent.start == next && extent.len > 0, "{extent:?} after {next}");
        next = extent.end();
    });
    sound.collect()
}

fn whole(virtual_size: u64) -> std::ops::Range<DiskOffset> {
    DiskOffset::new(0)..DiskOffset::new(virtual_size)
}
