//! The report on checkpoints: ages, sizes, space, limits and maps.

use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use vhdx::ops::{
    CellOwner, DiskMap, FindingKind, FindingSeverity, MAX_CELLS, MinFree, Report, ReportLimits, report,
};
use vhdx::{Chain, Error, Forest, MIB, NoProgress, OpenOptions, Progress, TimeSource, Vhdx, discover};
use vhdx_testkit::{Block, ChainModel, ConfiguredMachine, Image, chains};

use proptest::prelude::*;

use crate::common::{Folder, cases, chain};

const DAY: Duration = Duration::from_secs(86_400);
/// The number of days from 1970 to the time of all reports.
const TODAY: u32 = 20_000;

fn today() -> SystemTime {
    UNIX_EPOCH + DAY * TODAY
}

fn set_modified(path: &Path, days_ago: i64) {
    let days = u32::try_from(i64::from(TODAY) - days_ago).unwrap();
    File::options().append(true).open(path).unwrap().set_modified(UNIX_EPOCH + DAY * days).unwrap();
}

/// A configuration that was made some days ago, and names one disk.
fn configuration(name: &str, days_ago: u64, disk: &str) -> Vec<u8> {
    const FROM_1601_TO_1970: u64 = 11_644_473_600;
    let seconds = u64::from(TODAY) * 86_400 - days_ago * 86_400 + FROM_1601_TO_1970;
    let machine = ConfiguredMachine {
        name: name.to_owned(),
        created: seconds * 10_000_000,
        disks: vec![(0, format!(r"C:\vm\{disk}"))],
        ..ConfiguredMachine::default()
    };
    machine.container().build()
}

/// A machine with two checkpoints, of which only the first one has a configuration.
fn machine() -> Folder {
    let folder = Folder::new();
    let base = Image::dynamic(8 * MIB, MIB as u32);
    let mut mid = Image::child_of(&base, "base.vhdx", MIB as u32);
    mid.blocks.insert(1, Block::full(vec![1; MIB as usize]));
    let mut leaf = Image::child_of(&mid, "mid.avhdx", MIB as u32);
    leaf.blocks.insert(2, Block::full(vec![2; MIB as usize]));
    for (name, image, days_ago) in
        [("vm/base.vhdx", &base, 12), ("vm/mid.avhdx", &mid, 3), ("vm/leaf.avhdx", &leaf, 0)]
    {
        set_modified(&folder.put(name, image), days_ago);
    }
    let write = |path: &str, bytes: Vec<u8>| {
        fs::create_dir_all(folder.path(path).parent().unwrap()).unwrap();
        fs::write(folder.path(path), bytes).unwrap();
    };
    write("Virtual Machines/1.vmcx", configuration("server", 20, "leaf.avhdx"));
    write("Snapshots/2.vmcx", configuration("before\nupdate", 10, "base.vhdx"));
    folder
}

fn forest(folder: &Folder) -> Forest {
    discover(&[folder.0.path().to_owned()], &NoProgress).unwrap()
}

fn reported(folder: &Folder, limits: ReportLimits) -> Report {
    report(&forest(folder), &limits, today(), &NoProgress).unwrap()
}

fn kinds(report: &Report) -> Vec<(FindingKind, String)> {
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    report.findings.iter().map(|finding| (finding.kind, name(&finding.path))).collect()
}

#[test]
fn a_family_has_its_machine_its_checkpoints_and_their_space() {
    let folder = machine();
    let report = reported(&folder, ReportLimits::default());
    let [base, leaf, mid] = &report.disks[..] else { panic!("{report:#?}") };
    assert_eq!([base, mid, leaf].map(|disk| disk.depth), [1, 2, 3]);
    let first = base.checkpoint.as_ref().unwrap();
    assert_eq!(
        (first.names.as_slice(), first.time_source),
        (&["before\nupdate".to_owned()][..], TimeSource::Configuration)
    );
    let second = mid.checkpoint.as_ref().unwrap();
    assert_eq!((second.names.len(), second.time_source), (0, TimeSource::File));
    assert_eq!([base.checkpoint_age, mid.checkpoint_age], [Some(DAY * 10), Some(DAY * 3)]);
    assert!(leaf.checkpoint.is_none() && leaf.checkpoint_age.is_none());
    assert_eq!(leaf.age, Some(Duration::ZERO));

    let [family] = &report.families[..] else { panic!("{report:#?}") };
    let taken = |path: &str| vhdx::allocated_bytes(&folder.path(path)).unwrap();
    let differencing = taken("vm/mid.avhdx") + taken("vm/leaf.avhdx");
    assert_eq!((family.bytes_of_checkpoints, family.freed_at_most), (differencing, differencing));
    assert_eq!((family.members.depth, family.members.machines.as_slice()), (3, &[0][..]));
    assert_eq!(report.machines[0].configuration.name.as_deref(), Some("server"));
    let [volume] = &report.volumes[..] else { panic!("{report:#?}") };
    assert_eq!(volume.disks, 3);
    assert!(volume.free.unwrap() <= volume.size.unwrap());
    assert!(report.findings.is_empty() && report.worst().is_none() && !report.passes_limit());
}

#[test]
fn a_checkpoint_with_several_children_frees_nothing() {
    let folder = machine();
    let base = Image::dynamic(8 * MIB, MIB as u32);
    let mut other = Image::child_of(&base, "base.vhdx", MIB as u32);
    other.data_write_guid = vhdx::Guid::from_u128(77);
    folder.put("vm/other.avhdx", &other);
    let report = reported(&folder, ReportLimits::default());
    let taken = |path: &str| vhdx::allocated_bytes(&folder.path(path)).unwrap();
    assert_eq!(report.families[0].freed_at_most, taken("vm/leaf.avhdx"));
    let all = ["vm/mid.avhdx", "vm/leaf.avhdx", "vm/other.avhdx"].map(taken);
    assert_eq!(report.families[0].bytes_of_checkpoints, all.iter().sum::<u64>());
}

#[test]
fn only_limits_that_are_passed_are_findings() {
    let folder = machine();
    let limits = |older_than, larger_than, deeper_than, min_free| ReportLimits {
        older_than: Some(older_than),
        larger_than: Some(larger_than),
        deeper_than: Some(deeper_than),
        min_free: Some(min_free),
    };
    let within = reported(&folder, limits(DAY * 10, 1 << 40, 3, MinFree::Bytes(0)));
    assert!(within.findings.is_empty(), "{:#?}", within.findings);

    let passed = reported(&folder, limits(DAY * 5, 1 << 10, 2, MinFree::Bytes(u64::MAX)));
    let expected = [
        (FindingKind::LowSpace, "vm"),
        (FindingKind::OldCheckpoint, "base.vhdx"),
        (FindingKind::LargeCheckpoint, "base.vhdx"),
        (FindingKind::DeepChain, "leaf.avhdx"),
        (FindingKind::LargeCheckpoint, "mid.avhdx"),
    ];
    assert_eq!(kinds(&passed), expected.map(|(kind, name)| (kind, name.to_owned())));
    assert!(passed.passes_limit());
    assert_eq!(passed.worst(), Some(FindingSeverity::Critical));
    assert_eq!(passed.families[0].findings, [1, 2, 3, 4]);
    let old = passed.findings[1].to_string();
    assert_eq!(
        old,
        "keeps the checkpoint \"before\\nupdate\", which is 10 days old by the configuration of the checkpoint; the \
         limit is 5 days"
    );
    let percent =
        reported(&folder, ReportLimits { min_free: Some(MinFree::Percent(100)), ..Default::default() });
    assert_eq!(kinds(&percent), [(FindingKind::LowSpace, "vm".to_owned())]);
}

#[test]
fn problems_are_findings_of_their_family_but_pass_no_limit() {
    let folder = machine();
    fs::remove_file(folder.path("vm/mid.avhdx")).unwrap();
    fs::write(folder.path("vm/broken.avhdx"), "no disk").unwrap();
    let report = reported(&folder, ReportLimits::default());
    let expected = [(FindingKind::Damaged, "broken.avhdx"), (FindingKind::Orphan, "leaf.avhdx")];
    assert_eq!(kinds(&report), expected.map(|(kind, name)| (kind, name.to_owned())));
    assert!(report.worst() == Some(FindingSeverity::Critical) && !report.passes_limit());
    let findings: Vec<_> = report.families.iter().map(|family| family.findings.as_slice()).collect();
    assert_eq!(findings, [&[][..], &[1]]);
}

#[test]
fn a_time_in_the_future_is_a_finding_and_no_age() {
    let folder = machine();
    set_modified(&folder.path("vm/leaf.avhdx"), -2);
    fs::write(folder.path("Virtual Machines/1.vmcx"), configuration("server", 0, "leaf.avhdx")).unwrap();
    let limits = ReportLimits { older_than: Some(DAY * 30), ..ReportLimits::default() };
    let report = reported(&folder, limits);
    assert_eq!(kinds(&report), [(FindingKind::FutureTime, "leaf.avhdx".to_owned())]);
    assert_eq!(report.disks[1].age, Some(Duration::ZERO));
    assert_eq!(report.findings[0].to_string(), "has a time that lies 2 days in the future");
    let early = vhdx::ops::report(&forest(&folder), &limits, UNIX_EPOCH, &NoProgress).unwrap();
    assert_eq!(kinds(&early).iter().filter(|(kind, _)| *kind == FindingKind::FutureTime).count(), 4);
}

#[test]
fn a_message_names_few_of_many_names() {
    let folder = machine();
    // Of several times, the latest counts.
    for number in 0..9 {
        let path = folder.path(&format!("Snapshots/more-{number}.vmcx"));
        fs::write(path, configuration(&format!("copy {number}"), 11, "base.vhdx")).unwrap();
    }
    let report = reported(&folder, ReportLimits { older_than: Some(DAY), ..ReportLimits::default() });
    let old = report.findings.iter().find(|finding| finding.path.ends_with("base.vhdx")).unwrap();
    assert!(old.to_string().contains("\"copy 2\" and 7 more, which is 10 days old"), "{old}");
}

struct Stop;

impl Progress for Stop {
    fn is_cancelled(&self) -> bool {
        true
    }
}

#[test]
fn a_report_and_a_map_can_be_cancelled() {
    let forest = forest(&machine());
    let cancelled = report(&forest, &ReportLimits::default(), today(), &Stop);
    assert!(matches!(cancelled, Err(Error::Cancelled)));
    let disk = Vhdx::open_with(Image::dynamic(MIB, MIB as u32).sparse(), &OpenOptions::default()).unwrap();
    let chain = Chain::from_layers(vec![disk]).unwrap();
    assert!(matches!(DiskMap::of(&chain, cells(5), &Stop), Err(Error::Cancelled)));
}

#[test]
fn every_kind_has_a_name_of_its_own() {
    let names: std::collections::BTreeSet<_> = FindingKind::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(names.len(), FindingKind::ALL.len());
}

fn cells(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

#[test]
fn the_owner_of_a_cell_is_the_layer_with_most_of_its_data() {
    let mut base = Image::dynamic(8 * MIB, MIB as u32);
    for block in [0, 1, 2] {
        base.blocks.insert(block, Block::full(vec![1; MIB as usize]));
    }
    let mut leaf = Image::child_of(&base, "base.vhdx", MIB as u32);
    leaf.blocks.insert(1, Block::full(vec![2; MIB as usize]));
    leaf.blocks.insert(4, Block::empty(vhdx::PayloadBlockState::Zero, false));
    let layers =
        [&leaf, &base].map(|image| Vhdx::open_with(image.sparse(), &OpenOptions::default()).unwrap());
    let chain = Chain::from_layers(layers.into()).unwrap();
    let map = DiskMap::of(&chain, cells(4), &NoProgress).unwrap();
    assert_eq!((map.virtual_size, map.cell_size), (8 * MIB, 2 * MIB));
    let found: Vec<_> = map.cells.iter().map(|cell| (cell.owner, cell.data / MIB)).collect();
    // The first cell is shared equally, so it belongs to the newer layer.
    let owners = [CellOwner::Layer(0), CellOwner::Layer(1), CellOwner::Zero, CellOwner::Unallocated];
    assert_eq!(found, owners.into_iter().zip([2, 1, 0, 0]).collect::<Vec<_>>());
    let shares: Vec<_> = map.layers.iter().map(|layer| (layer.data / MIB, layer.zero / MIB)).collect();
    assert_eq!((shares, map.unallocated / MIB), (vec![(1, 1), (2, 0)], 4));
    let largest = DiskMap::of(&chain, cells(usize::MAX), &NoProgress).unwrap();
    assert!((MAX_CELLS / 2..=MAX_CELLS).contains(&largest.cells.len()));
}

/// The map, computed from each sector on its own.
fn expected(chain: &Chain, map: &DiskMap) -> Vec<(Option<usize>, u64)> {
    let sector = u64::from(chain.logical_sector_size());
    let cells = map.virtual_size.div_ceil(map.cell_size);
    let mut data = vec![vec![0; chain.layers().len()]; usize::try_from(cells).unwrap()];
    for start in (0..map.virtual_size).step_by(sector as usize) {
        let range = vhdx::DiskOffset::new(start)..vhdx::DiskOffset::new(start + sector);
        for extent in chain.extents(range) {
            if let vhdx::Source::Data { layer, .. } = extent.as_ref().unwrap().source {
                data[(start / map.cell_size) as usize][layer] += extent.unwrap().len;
            }
        }
    }
    let owner = |cell: &Vec<u64>| {
        let most = *cell.iter().max().unwrap();
        (cell.iter().position(|data| *data == most && most > 0), cell.iter().sum())
    };
    data.iter().map(owner).collect()
}

proptest! {
    #![proptest_config(cases(32))]

    #[test]
    fn maps_of_random_chains_are_those_of_their_sectors(model in chains(3), count in 1_usize..40) {
        let model: ChainModel = model;
        let chain = chain(&model);
        let map = DiskMap::of(&chain, cells(count), &NoProgress).unwrap();
        prop_assert!(map.cells.len() <= count);
        let found: Vec<_> = map.cells.iter().map(|cell| match cell.owner {
            CellOwner::Layer(layer) => (Some(layer), cell.data),
            CellOwner::Zero | CellOwner::Unallocated => (None, cell.data),
        }).collect();
        prop_assert_eq!(found, expected(&chain, &map));
        let total: u64 = map.layers.iter().map(|layer| layer.data + layer.zero).sum();
        prop_assert_eq!(total + map.unallocated, map.virtual_size);
    }
}
