//! Headers and region tables with sound checksums and numbers that make no sense.

use std::sync::Arc;

use vhdx::ops::check_storage;
use vhdx::{
    ErrorKind, FileOffset, Guid, Memory, OpenOptions, ReadAt, Rule, Severity, Structure, Vhdx, VhdxMut,
};
use vhdx_testkit::{ExtraRegion, Image, Part, Random, RegionTables, SparseImage};

use super::bat::base;
use super::{assert_listed, assert_refused, patch, patch_headers, patch_regions, sample, violation};
use crate::common::{MIB, assert_same, at, read_all};

const FIRST_HEADER: u64 = 64 << 10;
const SECOND_HEADER: u64 = 128 << 10;
const FIRST_TABLE: u64 = 192 << 10;

const LOG_GUID: usize = 48;
const LOG_VERSION: usize = 64;
const VERSION: usize = 66;
const LOG_LENGTH: usize = 68;
const LOG_OFFSET: usize = 72;

fn with_header(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = sample().build();
    patch_headers(&mut file, at, bytes);
    file
}

#[test]
fn numbers_in_the_header() {
    let header = |rule| (rule, Structure::Header(1), FIRST_HEADER);
    assert_refused(with_header(VERSION, &2u16.to_le_bytes()), header(Rule::HeaderVersion));
    for offset in [0, 4096, MIB + 4096, u64::MAX] {
        assert_refused(dirty(LOG_OFFSET, &offset.to_le_bytes()), header(Rule::LogOffset));
    }
    for length in [1u32, 4096, (1 << 20) + 1, u32::MAX] {
        assert_refused(dirty(LOG_LENGTH, &length.to_le_bytes()), header(Rule::LogLength));
    }
}

/// A file whose log may hold something.
fn dirty(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = with_header(at, bytes);
    patch_headers(&mut file, LOG_GUID, &[7; 16]);
    file
}

/// The place is not used: a log that is needed is made elsewhere, clear of everything in the file.
#[test]
fn the_place_of_a_log_that_holds_nothing_is_not_used() {
    let bat = sample().layout().offset(Part::Bat);
    let places: [(u64, u32); 8] = [
        (0, 0),
        (0, 1 << 20),
        (4096, 1 << 20),
        (bat, 0),
        (bat + 4096, 1 << 20),
        (MIB, 4096),
        (u64::MAX, u32::MAX),
        (1 << 40, 1 << 20),
    ];
    for (offset, length) in places {
        let mut file = with_header(LOG_OFFSET, &offset.to_le_bytes());
        patch_headers(&mut file, LOG_LENGTH, &length.to_le_bytes());
        assert!(check_storage(Arc::new(file.clone())).is_valid(), "{offset:x} {length:x}");
        let before = read_all(&base(file.clone()));
        let storage = Arc::new(Memory::new(file));
        let mut disk = VhdxMut::open_with(Arc::clone(&storage) as _, &OpenOptions::default()).unwrap();
        disk.write_all_at(&[0x5a; 512], at(MIB)).unwrap();
        disk.close().unwrap();

        let mut file = vec![0; usize::try_from(ReadAt::size(&*storage).unwrap()).unwrap()];
        storage.read_exact_at(&mut file, FileOffset::new(0)).unwrap();
        let report = check_storage(Arc::new(file.clone()));
        assert!(report.files[0].violations.as_slice().is_empty(), "{offset:x} {length:x}: {report:?}");
        let mut expected = before;
        expected[MIB as usize..][..512].fill(0x5a);
        assert_same(&read_all(&base(file)), &expected, "the disk after a session");
    }
}

#[test]
fn a_log_that_nobody_needs_may_be_odd() {
    let file = with_header(LOG_VERSION, &1u16.to_le_bytes());
    Vhdx::open_with(file, &OpenOptions::default()).unwrap();
    let file = with_header(LOG_OFFSET, &(1u64 << 40).to_le_bytes());
    let log = (Rule::LogPastEnd, Structure::Log, 1 << 40);
    let vhdx = Vhdx::open_with(file.clone(), &OpenOptions::default()).unwrap();
    assert_eq!(vhdx.tolerated().iter().map(super::summary).collect::<Vec<_>>(), [log]);
    assert_listed(file, log);
}

#[test]
fn a_log_that_must_be_replayed_may_not() {
    let log = sample().layout().offset(Part::Log);
    let no_sequence = (Rule::LogNoActiveSequence, Structure::Log, log);
    assert_refused(dirty(LOG_GUID, &[7; 16]), no_sequence);
    let file = dirty(LOG_VERSION, &1u16.to_le_bytes());
    assert_refused(file.clone(), (Rule::LogVersion, Structure::Header(1), FIRST_HEADER));
    assert_eq!(Vhdx::open_with(file, &OpenOptions::default()).unwrap_err().kind(), ErrorKind::Unsupported);
    let file = dirty(LOG_LENGTH, &0xfff0_0000u32.to_le_bytes());
    assert_refused(file.clone(), (Rule::Truncated, Structure::Log, log));
    assert_refused(dirty(LOG_LENGTH, &0u32.to_le_bytes()), no_sequence);

    let mut long = SparseImage::new(5 << 30);
    long.write(0, &file);
    assert_refused(long, (Rule::LogTooLarge, Structure::Log, log));
}

#[test]
fn broken_copies() {
    let sound = sample().build();
    let flip = |places: &[u64]| {
        let mut file = sound.clone();
        places.iter().for_each(|&at| file[at as usize] ^= 1);
        file
    };
    let first_broken = flip(&[FIRST_HEADER + 100]);
    Vhdx::open_with(first_broken.clone(), &OpenOptions::default()).unwrap();
    assert_listed(first_broken, (Rule::HeaderChecksum, Structure::Header(1), FIRST_HEADER));
    let second_broken = flip(&[SECOND_HEADER]);
    Vhdx::open_with(second_broken.clone(), &OpenOptions::default()).unwrap();
    assert_listed(second_broken, (Rule::HeaderSignature, Structure::Header(2), SECOND_HEADER));
    let both = flip(&[FIRST_HEADER, SECOND_HEADER + 8]);
    assert_refused(both, (Rule::NoCurrentHeader, Structure::Header(1), FIRST_HEADER));
    for (number, at) in [(1, FIRST_TABLE), (2, FIRST_TABLE + (64 << 10))] {
        let broken = flip(&[at + 100]);
        Vhdx::open_with(broken.clone(), &OpenOptions::default()).unwrap();
        assert_listed(broken, (Rule::RegionTableChecksum, Structure::RegionTable(number), at));
    }
    let both = flip(&[FIRST_TABLE, FIRST_TABLE + (64 << 10) + 100]);
    assert_refused(both, (Rule::NoRegionTable, Structure::RegionTable(1), FIRST_TABLE));

    let mut ambiguous = sound.clone();
    patch(&mut ambiguous, FIRST_HEADER + 32, &[9; 16]);
    vhdx::format::bytes::seal(&mut ambiguous[FIRST_HEADER as usize..][..4096]);
    assert_refused(ambiguous, (Rule::HeadersAmbiguous, Structure::Header(1), FIRST_HEADER));
}

#[test]
fn region_tables_that_differ_are_told() {
    let image = Image { region_tables: RegionTables::FirstIsSound, ..sample() };
    let mut file = image.build();
    vhdx::format::bytes::seal(&mut file[FIRST_TABLE as usize + (64 << 10)..][..64 << 10]);
    Vhdx::open_with(file.clone(), &OpenOptions::default()).unwrap();
    let listed = vhdx::ops::check_storage(Arc::new(file.clone()));
    let rules: Vec<Rule> = listed.files[0].violations.as_slice().iter().map(|v| v.rule()).collect();
    assert_eq!(rules, [Rule::RegionTablesDiffer]);
    let error = VhdxMut::open_with(Arc::new(Memory::new(file)), &OpenOptions::default()).unwrap_err();
    assert_eq!(violation(&error).0, Rule::RegionTablesDiffer);
}

/// The BAT is entry 0, the metadata entry 1 of both tables.
fn with_region(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = sample().build();
    patch_regions(&mut file, at, bytes);
    file
}

fn entry(rule: Rule, index: u32) -> (Rule, Structure, u64) {
    (rule, Structure::RegionTableEntry(index), FIRST_TABLE + 16 + 32 * u64::from(index))
}

#[test]
fn numbers_in_the_region_table() {
    let (offset, length) = (16 + 16, 16 + 24);
    for count in [2048u32, u32::MAX] {
        let none_is_valid = (Rule::NoRegionTable, Structure::RegionTable(1), FIRST_TABLE);
        assert_refused(with_region(8, &count.to_le_bytes()), none_is_valid);
        let count_is_wrong = (Rule::RegionCount, Structure::RegionTable(1), FIRST_TABLE);
        assert_listed(with_region(8, &count.to_le_bytes()), count_is_wrong);
    }
    for place in [0, 4096, 2 * MIB + 1, u64::MAX] {
        assert_refused(with_region(offset, &place.to_le_bytes()), entry(Rule::RegionOffset, 0));
    }
    for len in [0u32, 4096, u32::MAX] {
        assert_refused(with_region(length, &len.to_le_bytes()), entry(Rule::RegionLength, 0));
    }
    assert_refused(with_region(length, &0xfff0_0000u32.to_le_bytes()), entry(Rule::RegionPastEnd, 0));
    let last = u64::MAX - MIB + 1;
    assert_refused(with_region(offset, &last.to_le_bytes()), entry(Rule::RegionPastEnd, 0));
}

#[test]
fn regions_in_each_others_place() {
    let layout = sample().layout();
    let offset_of = |index: usize| 16 + 32 * index + 16;
    let log = with_region(offset_of(1), &layout.offset(Part::Log).to_le_bytes());
    assert_refused(log, entry(Rule::RegionOverlap, 1));
    let bat = with_region(offset_of(1), &layout.offset(Part::Bat).to_le_bytes());
    assert_listed(bat, entry(Rule::RegionOverlap, 1));
}

#[test]
fn regions_that_are_missing_or_not_known() {
    let table = |rule| (rule, Structure::RegionTable(1), FIRST_TABLE);
    let optional = |at: usize| {
        let mut file = with_region(at, &[3; 16]);
        patch_regions(&mut file, at + 28, &[0]);
        file
    };
    assert_refused(optional(16), table(Rule::BatRegionMissing));
    assert_refused(optional(48), table(Rule::MetadataRegionMissing));

    let id = Random::new(1).guid();
    let region =
        |id, required| Image { extra_regions: vec![ExtraRegion { id, mib: 2, required }], ..sample() };
    Vhdx::open_with(region(id, false).build(), &OpenOptions::default()).unwrap();
    assert_refused(region(id, true).build(), entry(Rule::RegionUnknown, 2));
    assert_eq!(Rule::RegionUnknown.severity(), Severity::Unsupported);
    let bat: Guid = vhdx::format::region_table::BAT_REGION;
    assert_refused(region(bat, true).build(), entry(Rule::RegionDuplicate, 2));
}
