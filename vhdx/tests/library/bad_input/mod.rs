//! Bad input gives an error that says which structure, at which offset, broke which rule; never a panic, a hang, or a
//! wrong byte.

mod bat;
mod damage;
mod headers;
mod locator;
mod log;
mod metadata;
mod overlap;
mod parents;

use std::sync::Arc;

use vhdx::format::bytes::seal;
use vhdx::format::{header, region_table};
use vhdx::{Error, OpenOptions, ReadAt, Rule, Structure, Vhdx, Violation, ops};
use vhdx_testkit::{Block, Headers, Image, Part, content};

use crate::common::MIB;

/// Blocks 0 and 2 of 4 are there; the last one is 4 KiB long.
fn sample() -> Image {
    let mut image = Image::dynamic(3 * MIB + 4096, 1 << 20);
    image.headers = Headers::Equal;
    for index in [0, 2] {
        image.blocks.insert(index, Block::full(block_content(index)));
    }
    image
}

/// A child of [`sample`] whose block 0 is partially and whose block 1 is fully present.
fn child() -> Image {
    let mut image = Image::child_of(&sample(), "base.vhdx", 1 << 20);
    image.headers = Headers::Equal;
    let sectors = (0..2048).map(|sector| sector % 3 == 0).collect();
    image.blocks.insert(0, Block::partial(block_content(0), sectors));
    image.blocks.insert(1, Block::full(block_content(1)));
    image
}

fn block_content(block: u64) -> Vec<u8> {
    let mut bytes = vec![0; MIB as usize];
    content(11, 0, block * MIB, &mut bytes);
    bytes
}

fn patch(file: &mut [u8], at: u64, bytes: &[u8]) {
    file[at as usize..][..bytes.len()].copy_from_slice(bytes);
}

/// Changes both headers at `at`, and makes their checksums right again.
fn patch_headers(file: &mut [u8], at: usize, bytes: &[u8]) {
    for offset in header::OFFSETS {
        let header = &mut file[offset.get() as usize..][..header::SIZE];
        header[at..][..bytes.len()].copy_from_slice(bytes);
        seal(header);
    }
}

/// Changes both region tables at `at`, and makes their checksums right again.
fn patch_regions(file: &mut [u8], at: usize, bytes: &[u8]) {
    for offset in region_table::OFFSETS {
        let table = &mut file[offset.get() as usize..][..region_table::SIZE];
        table[at..][..bytes.len()].copy_from_slice(bytes);
        seal(table);
    }
}

/// The violation that a broken file must have: rule, structure, offset.
type Expected = (Rule, Structure, u64);

fn summary(violation: &Violation) -> Expected {
    (violation.rule(), violation.structure(), violation.offset().get())
}

fn violation(error: &Error) -> Expected {
    summary(error.violation().unwrap_or_else(|| panic!("{error:?} is no broken rule")))
}

/// Opening fails with exactly this violation, and `check` lists it too.
#[track_caller]
fn assert_refused(file: impl ReadAt + 'static, expected: Expected) {
    let file = Arc::new(file);
    let error = Vhdx::open_with(file.clone(), &OpenOptions::default())
        .expect_err(&format!("must be refused: {expected:x?}"));
    assert_eq!(violation(&error), expected, "{error}");
    assert_eq!(error.offset().map(|offset| offset.get()), Some(expected.2));
    assert_listed(file, expected);
}

/// `check` lists this violation.
#[track_caller]
fn assert_listed(file: impl ReadAt + 'static, expected: Expected) {
    let report = ops::check_storage(Arc::new(file));
    let listed: Vec<Expected> = report.files[0].violations.as_slice().iter().map(summary).collect();
    assert!(listed.contains(&expected), "{expected:x?} is not in {listed:x?}");
}

/// Returns the offset of a metadata item in the file, and its position in the table.
fn item_place(image: &Image, id: vhdx::Guid) -> (u64, u16) {
    let items = image.placed_items();
    let index = items.iter().position(|(_, item)| item.id == id).unwrap();
    let offset = image.layout().offset(Part::Metadata) + u64::from(items[index].0);
    (offset, index as u16)
}
