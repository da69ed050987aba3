//! Opens, checks and reads a file completely, within bounds, for the fuzz targets that only read.

pub mod contents;
pub mod operations;

use std::fmt::Write;
use std::sync::{Arc, OnceLock};

use vhdx::format::header::{self, Header};
use vhdx::{Chain, DiskOffset, Extent, Guid, OpenOptions, RawDisk, ReadAt, Vhdx, Violation, Violations, ops};
use vhdx_contents::probe::TypeHint;
use vhdx_testkit::{Headers, Image, UnpackedFile, pack, unpack};

/// Disks with more blocks are not looked at as a whole: it would take seconds, which is no finding.
const MAX_BLOCKS: u64 = 1 << 16;
const MAX_EXTENTS: usize = 4096;
const MAX_READS: usize = 256;

/// Opens, checks and reads a file. Nothing that it holds may do more than give an error.
pub fn exercise(file: impl ReadAt + 'static) {
    let file: Arc<dyn ReadAt> = Arc::new(file);
    let mut violations = Violations::new();
    let Ok(vhdx) = Vhdx::open_collecting(Arc::clone(&file), &mut violations) else {
        assert!(!violations.as_slice().is_empty(), "an error without a broken rule");
        return;
    };
    print(violations.as_slice());
    for entry in vhdx.metadata_entries() {
        let _ = vhdx.read_metadata_item(entry);
    }
    if vhdx.geometry().block_count() <= MAX_BLOCKS {
        let _ = vhdx.block_counts();
        for report in ops::check_storage(file).files {
            print(report.violations.as_slice());
            report.error.iter().for_each(|error| drop(error.to_string()));
        }
    }
    let alone = vhdx.extents(whole(vhdx.virtual_size())).take(MAX_EXTENTS);
    tiles(alone);
    if let Some(chain) = with_base(vhdx) {
        read(&chain);
    }
}

/// Looks for a file system in the bytes of a partition, and makes the message of each finding.
pub fn identify(partition: impl ReadAt + 'static) {
    let disk = RawDisk::open_with(partition, "partition").expect("it is in memory");
    let content = vhdx_contents::probe::identify(&vhdx_contents::Window::whole(&disk), TypeHint::None);
    for finding in content.expect("it can be read").iter().flat_map(|content| &content.findings) {
        drop(finding.to_string());
    }
}

/// Makes the message of each violation.
fn print(violations: &[Violation]) {
    let mut message = String::new();
    for violation in violations {
        message.clear();
        write!(message, "{violation}").expect("a string takes every message");
    }
}

/// A differencing disk gets the parent that it asks for: an empty disk of another size.
fn with_base(vhdx: Vhdx) -> Option<Chain> {
    let Some(locator) = vhdx.parent_locator() else { return Chain::from_layers(vec![vhdx]).ok() };
    let data_write_guid = *locator.linkages().first()?;
    let base = base(data_write_guid, vhdx.logical_sector_size());
    let base = Vhdx::open_with(base, &OpenOptions::default()).expect("the base is sound");
    Some(Chain::from_layers(vec![vhdx, base]).expect("it is the parent that was asked for"))
}

/// An empty disk whose current header holds a GUID. Only that header is made anew for each disk.
fn base(data_write_guid: Guid, logical_sector_size: u32) -> UnpackedFile {
    type Template = (UnpackedFile, Header);
    static TEMPLATES: [OnceLock<Template>; 2] = [const { OnceLock::new() }; 2];
    let place = header::OFFSETS[1];
    let (file, header) = TEMPLATES[usize::from(logical_sector_size == 4096)].get_or_init(|| {
        let image = Image { logical_sector_size, ..Image::dynamic(1 << 20, 1 << 20) };
        let file = unpack(&pack(&Image { headers: Headers::SecondIsCurrent, ..image }.sparse()));
        let mut bytes = vec![0; header::SIZE];
        file.read_exact_at(&mut bytes, place).expect("the file has a header");
        (file, Header::parse(&bytes).expect("the header is sound"))
    });
    let mut file = file.clone();
    file.write(place.get(), &Header { data_write_guid, ..header.clone() }.encode());
    file
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
