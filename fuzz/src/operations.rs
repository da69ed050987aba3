//! From the fuzzer's bytes to a workload.

use arbitrary::{Arbitrary, Result, Unstructured};
use vhdx::format::bat_entry::PayloadBlockState;
use vhdx_testkit::{ChainModel, DirtyLog, Headers, LayerModel, Operation, RegionTables, Step, Workload};

/// The largest disk in MiB.
const MAX_MIB: u64 = 4;
const MAX_LAYERS: usize = 5;
const MAX_STEPS: usize = 24;

/// A workload that can be made from any bytes.
#[derive(Debug)]
pub struct Operations(pub Workload);

impl<'a> Arbitrary<'a> for Operations {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let sector_size = if u.ratio(1, 5)? { 4096 } else { 512 };
        let count = u.int_in_range(2..=MAX_LAYERS)?;
        let layers = (0..count).map(|_| layer(u, sector_size)).collect::<Result<Vec<_>>>()?;
        let mut siblings = Vec::new();
        for _ in 0..u.int_in_range(0..=2)? {
            siblings.push((u.int_in_range(1..=count - 1)?, layer(u, sector_size)?));
        }
        let model = ChainModel { seed: u.arbitrary::<u8>()?.into(), sector_size: sector_size as u32, layers };
        let mut steps = Vec::new();
        while steps.len() < MAX_STEPS && !u.is_empty() {
            steps.push(step(u)?);
        }
        Ok(Self(Workload { model, siblings, steps }))
    }
}

fn layer(u: &mut Unstructured<'_>, sector_size: u64) -> Result<LayerModel> {
    let per_mib = (1 << 20) / sector_size;
    let whole = u.int_in_range(1..=MAX_MIB)? * per_mib;
    let sectors = if u.arbitrary()? { whole } else { whole - u.int_in_range(0..=per_mib - 1)? };
    let flags: [bool; 4] = u.arbitrary()?;
    let mut operations = Vec::new();
    for _ in 0..u.int_in_range(0..=5)? {
        operations.push(operation(u, per_mib)?);
    }
    Ok(LayerModel {
        block_mib: 1 << u.int_in_range(0..=2)?,
        sectors,
        operations,
        second_linkage: flags[0],
        shuffled: flags[1],
        headers: *u.choose(&[
            Headers::FirstIsCurrent,
            Headers::SecondIsCurrent,
            Headers::Equal,
            Headers::FirstIsSound,
            Headers::SecondIsSound,
        ])?,
        region_tables: *u.choose(&[
            RegionTables::Both,
            RegionTables::FirstIsSound,
            RegionTables::SecondIsSound,
        ])?,
        log: if flags[2] { None } else { Some(dirty_log(u)?) },
        is_fixed: flags[3],
    })
}

fn dirty_log(u: &mut Unstructured<'_>) -> Result<DirtyLog> {
    Ok(DirtyLog {
        seed: u.arbitrary::<u8>()?.into(),
        entries: u.int_in_range(1..=3)?,
        stale: u.int_in_range(0..=2)?,
        runs: u.int_in_range(0..=12)?,
        closed: u.ratio(1, 5)?,
    })
}

fn operation(u: &mut Unstructured<'_>, per_mib: u64) -> Result<Operation> {
    Ok(match u.int_in_range(0..=3)? {
        0 | 1 => {
            Operation::Write { start: place(u, per_mib)?, count: length(u, per_mib)?, zeros: u.ratio(1, 5)? }
        }
        2 => Operation::Fill { block: u.int_in_range(0..=MAX_MIB)? },
        _ => {
            let states = [PayloadBlockState::Zero, PayloadBlockState::Unmapped, PayloadBlockState::Undefined];
            let state = *u.choose(&states)?;
            let placed = u.arbitrary::<bool>()? && state != PayloadBlockState::Zero;
            Operation::Clear { block: u.int_in_range(0..=MAX_MIB)?, state, placed }
        }
    })
}

fn place(u: &mut Unstructured<'_>, per_mib: u64) -> Result<u64> {
    let mib = u.int_in_range(0..=MAX_MIB)? * per_mib;
    Ok(if u.arbitrary()? { mib } else { mib + u.int_in_range(0..=per_mib - 1)? })
}

fn length(u: &mut Unstructured<'_>, per_mib: u64) -> Result<u64> {
    Ok(match u.int_in_range(0..=3)? {
        0 | 1 => u.int_in_range(1..=64)?,
        2 => u.int_in_range(1..=2 * per_mib)?,
        _ => u64::MAX / 2,
    })
}

fn step(u: &mut Unstructured<'_>) -> Result<Step> {
    const PER_MIB: u64 = 2048;
    let leaf = usize::from(u.arbitrary::<u8>()?);
    Ok(match u.int_in_range(0..=9)? {
        0..=2 => {
            let (start, count) = (place(u, PER_MIB)?, length(u, PER_MIB)?);
            Step::Write { leaf, start, count, fill: u.int_in_range(1..=255)? }
        }
        3 => Step::Zero { leaf, start: place(u, PER_MIB)?, count: length(u, PER_MIB)? },
        4 => Step::Unmap { leaf, start: place(u, PER_MIB)?, count: length(u, PER_MIB)? },
        5 => Step::Flush,
        6 => Step::Close,
        7 | 8 => Step::Merge {
            leaf,
            child: u.int_in_range(0..=3)?,
            levels: u.int_in_range(0..=3)?,
            delete: u.ratio(1, 3)?,
            failure: if u.arbitrary()? { Some(u.arbitrary::<u16>()?.into()) } else { None },
        },
        _ => Step::PowerFailure(u.arbitrary::<u16>()?.into()),
    })
}
