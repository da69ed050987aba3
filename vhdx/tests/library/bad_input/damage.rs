//! Files that were cut off, or in which single bytes changed.

use std::io;
use std::sync::Arc;

use proptest::prelude::*;
use vhdx::format::bytes::seal;
use vhdx::{Chain, FileOffset, OpenOptions, ReadAt, Rule, Structure, Vhdx, Violations, ops};
use vhdx_testkit::{DirtyLog, Headers, Image, Part, Random};

use super::{assert_refused, block_content, child, sample};
use crate::common::{MIB, assert_same, at, cases, read_all};

/// A file with one byte changed, or cut off, without copying it.
#[derive(Clone)]
struct Damaged {
    file: Arc<Vec<u8>>,
    flipped: Option<(u64, u8)>,
    len: u64,
}

impl Damaged {
    fn new(file: Vec<u8>) -> Self {
        let len = file.len() as u64;
        Self { file: Arc::new(file), flipped: None, len }
    }

    fn flip(&self, at: u64, mask: u8) -> Self {
        Self { flipped: Some((at, mask)), ..self.clone() }
    }

    fn cut(&self, len: u64) -> Self {
        Self { len, ..self.clone() }
    }
}

impl ReadAt for Damaged {
    fn size(&self) -> io::Result<u64> {
        Ok(self.len)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: FileOffset) -> io::Result<()> {
        self.file[..self.len as usize].read_exact_at(buf, offset)?;
        if let Some((at, mask)) = self.flipped
            && let Some(byte) = at.checked_sub(offset.get()).and_then(|i| buf.get_mut(i as usize))
        {
            *byte ^= mask;
        }
        Ok(())
    }
}

/// Reads a page at the start and one in the middle of each block: each is right or an error.
fn assert_right_or_refused(file: &Damaged, expected: &[u8], what: &str) -> bool {
    let Ok(vhdx) = Vhdx::open_with(file.clone(), &OpenOptions::default()) else { return false };
    let chain = Chain::from_layers(vec![vhdx]).unwrap();
    assert_eq!(chain.virtual_size(), expected.len() as u64, "{what}");
    let mut all_right = true;
    for start in (0..chain.virtual_size()).step_by(MIB as usize / 2) {
        let mut page = [0; 4096];
        match chain.read_exact_at(&mut page, at(start)) {
            Ok(()) => assert_same(&page, &expected[start as usize..][..4096], what),
            Err(_) => all_right = false,
        }
    }
    all_right
}

fn content_of(image: &Image) -> Vec<u8> {
    read_all(
        &Chain::from_layers(vec![Vhdx::open_with(image.build(), &OpenOptions::default()).unwrap()]).unwrap(),
    )
}

#[test]
fn nothing_and_noise() {
    let identifier = Structure::FileTypeIdentifier;
    assert_refused(Vec::new(), (Rule::Truncated, identifier, 0));
    assert_refused(vec![0; 3 * MIB as usize], (Rule::FileSignature, identifier, 0));
    for seed in 0..64 {
        let mut noise = Random::new(seed).bytes(2 * MIB as usize);
        assert_refused(noise.clone(), (Rule::FileSignature, identifier, 0));
        noise[..8].copy_from_slice(b"vhdxfile");
        assert_refused(noise, (Rule::NoCurrentHeader, Structure::Header(1), 64 << 10));
    }
    assert_refused(b"vhdxfile".to_vec(), (Rule::Truncated, identifier, 0));
}

#[test]
fn any_length_is_right_or_refused() {
    let image = sample();
    let expected = content_of(&image);
    let file = Damaged::new(image.build());
    let layout = image.layout();
    let mut lengths: Vec<u64> = (0..MIB).step_by(4096 - 1).chain((0..layout.len).step_by(65_537)).collect();
    let edges = layout.parts().flat_map(|(_, offset, len)| [offset, offset + 32, offset + len]);
    let edges = edges.chain([520, 64 << 10, 68 << 10, 132 << 10, 256 << 10, 320 << 10, layout.len]);
    lengths.extend(edges.flat_map(|edge| [edge - 1, edge, (edge + 1).min(layout.len)]));
    let mut right = 0;
    for len in lengths {
        right += u64::from(assert_right_or_refused(&file.cut(len), &expected, &format!("cut to {len:#x}")));
        ops::check_storage(Arc::new(file.cut(len)));
    }
    assert!(right > 0, "the whole file reads right");
    assert!(!assert_right_or_refused(&file.cut(layout.len - 1), &expected, "one byte short"));
}

#[test]
fn every_length_says_what_is_missing() {
    let image = sample();
    let layout = image.layout();
    let file = Damaged::new(image.build());
    let truncated = |structure, at| (Rule::Truncated, structure, at);
    let (header, table) = (Structure::Header, Structure::RegionTable);
    for (len, expected) in [
        (519, truncated(Structure::FileTypeIdentifier, 0)),
        ((68 << 10) - 1, truncated(header(1), 64 << 10)),
        ((132 << 10) - 1, truncated(header(2), 128 << 10)),
        ((256 << 10) - 1, truncated(table(1), 192 << 10)),
        ((320 << 10) - 1, truncated(table(2), 256 << 10)),
    ] {
        assert_refused(file.cut(len), expected);
    }
    // The BAT is entry 0 of the region table, the metadata entry 1; the BAT lies behind the metadata.
    let entry = |index| {
        (Rule::RegionPastEnd, Structure::RegionTableEntry(index), (192 << 10) + 16 + 32 * u64::from(index))
    };
    assert_refused(file.cut(layout.offset(Part::Bat) + MIB - 1), entry(0));
    assert_refused(file.cut(layout.offset(Part::Bat)), entry(0));
}

#[test]
fn a_flipped_byte_in_a_header_or_region_table_changes_nothing() {
    let image = sample();
    let expected = content_of(&image);
    let file = Damaged::new(image.build());
    for (start, len) in
        [(64u64 << 10, 4096u64), (128 << 10, 4096), (192 << 10, 64 << 10), (256 << 10, 64 << 10)]
    {
        for at in (start..start + 256).chain((start + 256..start + len).step_by(61)) {
            let flipped = file.flip(at, 1 << (at % 8));
            let what = format!("flipped {at:#x}");
            assert!(assert_right_or_refused(&flipped, &expected, &what), "{what}: the other copy answers");
        }
    }
}

#[test]
fn a_flipped_byte_in_the_only_sound_copy_is_an_error() {
    let image = Image { headers: Headers::FirstIsSound, ..sample() };
    let file = Damaged::new(image.build());
    for at in (64 << 10)..(68 << 10) {
        let error = Vhdx::open_with(file.flip(at, 0x80), &OpenOptions::default()).unwrap_err();
        assert_eq!(error.violation().unwrap().rule(), Rule::NoCurrentHeader);
    }
}

/// A crash may tear any entry but the first, which is then the end of the log; the first one must be whole.
#[test]
fn a_flipped_byte_in_a_log_entry_is_an_error() {
    for (entries, seed) in [(1, 1), (1, 200), (3, 9)] {
        let log = DirtyLog { seed, entries, stale: 0, runs: 12, closed: false };
        let image = Image { log: Some(log), ..sample() };
        let (start, len) = (image.layout().offset(Part::Log), u64::from(image.log_length));
        let file = image.build();
        let starts = entry_starts(&file[start as usize..][..len as usize]);
        assert_eq!(starts.len(), entries + 1, "and one that is torn already");
        let file = Damaged::new(file);
        assert!(assert_right_or_refused(&file, &content_of(&sample()), "replayed"));
        let (_, at, sectors) = starts[0];
        for sector in 0..sectors {
            let sector = start + (at + sector * 4096) % len;
            for byte in (sector..sector + 128).chain((sector + 128..sector + 4096).step_by(13)) {
                let error = Vhdx::open_with(file.flip(byte, 4), &OpenOptions::default())
                    .expect_err(&format!("flipped {byte:#x}"));
                assert_eq!(error.violation().unwrap().rule(), Rule::LogNoActiveSequence);
            }
        }
    }
}

/// (sequence number, place in the log, sectors) of each entry.
fn entry_starts(log: &[u8]) -> Vec<(u64, u64, u64)> {
    let mut starts = Vec::new();
    for (at, sector) in (0u64..).step_by(4096).zip(log.chunks(4096)) {
        if sector.starts_with(b"loge") {
            let number = u64::from_le_bytes(sector[16..24].try_into().unwrap());
            let len = u32::from_le_bytes(sector[8..12].try_into().unwrap());
            starts.push((number, at, u64::from(len) / 4096));
        }
    }
    starts.sort_unstable();
    starts
}

#[derive(Clone, Debug)]
struct Change {
    part: usize,
    at: u16,
    bytes: Vec<u8>,
}

fn change() -> impl Strategy<Value = Change> {
    let interesting = prop_oneof![
        Just(vec![0xff; 8]),
        Just(vec![0; 8]),
        Just(vec![0xf0, 0xff, 0xff, 0xff]),
        prop::collection::vec(any::<u8>(), 1..24),
    ];
    let place = prop_oneof![0..256u16, any::<u16>()];
    (0..8usize, place, interesting).prop_map(|(part, at, bytes)| Change { part, at, bytes })
}

proptest! {
    #![proptest_config(cases(768))]

    /// Whatever is in the file, behind checksums that are right: no panic, no hang, and `check` comes to its end.
    #[test]
    fn changed_structures_never_panic(changes in prop::collection::vec(change(), 1..6), differencing: bool, dirty: bool) {
        let mut image = if differencing { child() } else { sample() };
        image.log = dirty.then_some(DirtyLog { seed: 5, entries: 2, stale: 1, runs: 6, closed: false });
        let layout = image.layout();
        let mut file = image.build();
        let mut parts = vec![64 << 10, 128 << 10, 192 << 10, 256 << 10];
        parts.extend([Part::Log, Part::Metadata, Part::Bat].map(|part| layout.offset(part)));
        parts.push(layout.offset(Part::Metadata) + (64 << 10));
        for change in &changes {
            let at = parts[change.part] + u64::from(change.at);
            super::patch(&mut file, at, &change.bytes);
        }
        for (start, len) in [(64 << 10, 4096), (128 << 10, 4096), (192 << 10, 64 << 10), (256 << 10, 64 << 10)] {
            seal(&mut file[start..start + len]);
        }
        let file = Arc::new(file);
        ops::check_storage(file.clone());
        if let Ok(vhdx) = Vhdx::open_with(file, &OpenOptions::default()) {
            vhdx.extents(at(0)..at(vhdx.virtual_size())).take(10_000).for_each(drop);
            if let Ok(chain) = Chain::from_layers(vec![vhdx]) {
                for block in [0, 1, 2, chain.virtual_size() / MIB] {
                    let _ = chain.read_exact_at(&mut [0; 4096], at(block * MIB));
                }
            }
        }
    }
}

#[test]
fn the_sample_reads_right() {
    let disk = content_of(&sample());
    assert_same(&disk[..MIB as usize], &block_content(0), "block 0");
    assert_same(&disk[2 * MIB as usize..][..MIB as usize], &block_content(2), "block 2");
}

/// Fails at one place, as a medium with a bad sector does.
pub(crate) struct BadSector<S>(pub(crate) S, pub(crate) u64);

impl<S: ReadAt> ReadAt for BadSector<S> {
    fn size(&self) -> io::Result<u64> {
        ReadAt::size(&self.0)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: FileOffset) -> io::Result<()> {
        if (offset.get()..offset.get() + buf.len() as u64).contains(&self.1) {
            return Err(io::Error::other("bad sector"));
        }
        self.0.read_exact_at(buf, offset)
    }
}

#[test]
fn a_bad_sector_in_one_copy_is_survived() {
    for (at, rule) in [
        (64 << 10, Rule::HeaderUnreadable),
        (128 << 10, Rule::HeaderUnreadable),
        (192 << 10, Rule::RegionTableUnreadable),
        (256 << 10, Rule::RegionTableUnreadable),
    ] {
        let file = Arc::new(BadSector(sample().build(), at));
        let vhdx = Vhdx::open_with(Arc::clone(&file), &OpenOptions::default()).unwrap();
        // The second region table is read only where it is needed, or checked.
        let found: Vec<_> = vhdx.tolerated().iter().map(|violation| violation.rule()).collect();
        assert_eq!(found.contains(&rule), at != 256 << 10, "{at:#x}: {found:?}");
        let report = ops::check_storage(file);
        let checked = report.files[0].violations.as_slice().iter().filter(|found| found.rule() == rule);
        assert_eq!(checked.count(), 1, "{at:#x}: {report:?}");
    }
}

#[test]
fn violations_of_one_file_do_not_affect_the_next() {
    let mut violations = Violations::new();
    let load = |bytes: Vec<u8>, violations: &mut _| Vhdx::open_collecting(Arc::new(bytes), violations);
    assert!(load(vec![1; 4096], &mut violations).is_err());
    assert!(load(sample().build(), &mut violations).is_ok());
    assert_eq!(violations.as_slice().len(), 1, "the first file's");
}
