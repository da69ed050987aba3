//! One differencing disk with everything that changed since an ancestor.

mod cases;
mod crash;
mod random;
mod shared;

use std::path::Path;
use std::sync::Arc;

use vhdx::ops::{IncrementPlan, IncrementReport, check_storage};
use vhdx::{Chain, Jobs, Memory, NoProgress, OpenOptions, Severity, Vhdx};

use crate::common::{assert_same, read_all};
use crate::diff::Point;

const INC: &str = "/vm/inc.avhdx";

/// Returns the new file, after it was checked on its own.
#[track_caller]
fn make(old: &Chain, new: &Chain) -> (Arc<Memory>, IncrementPlan, IncrementReport) {
    let plan = IncrementPlan::new(old, new, Path::new(INC), &NoProgress).unwrap();
    let file = Arc::new(Memory::default());
    let report = plan.execute(old, new, &*file, Jobs::default(), &NoProgress).unwrap();
    assert!(report.blocks <= plan.blocks() && report.file_size <= plan.file_size(), "{plan:?} {report:?}");
    // Zeros between data are written with them, in pages of 4 KiB.
    assert!(report.bytes_copied <= plan.bytes_to_copy() * 8, "{plan:?} {report:?}");
    let checked = check_storage(file.clone());
    let complaints = checked.files[0].violations.as_slice().iter();
    assert_eq!(complaints.filter(|found| found.severity() > Severity::Note).count(), 0, "{checked:?}");
    (file, plan, report)
}

/// The disk of a new file and its parents.
#[track_caller]
fn chain_of(file: Arc<Memory>, old: &Chain) -> Chain {
    let mut layers = vec![Vhdx::open_with(file, &OpenOptions::default().name(INC)).unwrap()];
    layers.extend(old.layers().iter().cloned());
    Chain::from_layers(layers).unwrap()
}

/// Checks that the new file on `old` reads as `new`.
#[track_caller]
fn check(old: &Point, new: &Point) {
    let (file, plan, _) = make(&old.chain, &new.chain);
    assert_eq!(plan.merged().len() + old.chain.layers().len(), new.chain.layers().len());
    let chain = chain_of(file, &old.chain);
    assert_same(&read_all(&chain), &new.bytes, "the increment on the old disk");
}
