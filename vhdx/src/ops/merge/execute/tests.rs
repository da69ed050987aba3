//! A plan that does not fit the files ends the merge, and the merged disk reads as before.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use vhdx_testkit::Image;

use super::*;
use crate::disk::Chain;
use crate::family::Relatives;
use crate::file::OpenOptions;
use crate::format::bat_entry::PayloadBlockState::{self, FullyPresent};
use crate::ops::merge::batches::Totals;
use crate::ops::merge::testing::{base, child, content, full, relatives};
use crate::ops::merge::{MergeOptions, OpenFile};
use crate::progress::NoProgress;
use crate::storage::Memory;
use crate::units::{BlockIndex, FileOffset};

/// The files of a chain, leaf first.
struct Files(Vec<Arc<Memory>>);

impl Files {
    /// A base whose only block is the first one, and a child with three blocks. Each batch holds one block.
    fn new(change: impl FnOnce(&mut Image)) -> Self {
        let mut base = base(8 * MIB);
        base.blocks = [(0, full(1))].into();
        change(&mut base);
        let mut child = child(&base);
        child.blocks = [(0, full(2)), (3, full(3)), (5, full(4))].into();
        Self([&child, &base].map(|image| Arc::new(Memory::new(image.build()))).into())
    }

    fn chain(&self) -> Chain {
        let open = |file| Vhdx::open_with(Arc::clone(file), &OpenOptions::default()).unwrap();
        Chain::from_layers(self.0.iter().map(open).collect()).unwrap()
    }

    fn plan(&self) -> MergePlan {
        let options = MergeOptions { batch_bytes: 1, ..MergeOptions::default() };
        MergePlan::new(&self.chain(), 1, &relatives(Vec::new()), &options).unwrap()
    }

    /// Returns the target's DataWriteGuid and the state of its fourth block.
    fn target(&self) -> (Uuid, PayloadBlockState) {
        let chain = self.chain();
        let target = &chain.layers()[1];
        let entry = target.payload_entry(BlockIndex::new(3)).unwrap();
        (target.data_write_guid(), entry.payload_state().unwrap())
    }

    /// Executes a plan that has become stale, and then a new one.
    ///
    /// Returns what [`target`](Self::target) returns between them.
    fn execute_stale(&self, plan: &MergePlan) -> (Uuid, PayloadBlockState) {
        let expected = content(self.chain().layers());
        let error = plan.execute(self, &NoProgress).unwrap_err();
        assert!(matches!(error.conflict(), Some(Conflict::StalePlan)), "{error:?}");
        assert!(content(self.chain().layers()) == expected, "the merged disk has changed");
        let left = self.target();
        self.plan().execute(self, &NoProgress).unwrap();
        assert!(content(&self.chain().layers()[1..]) == expected, "the target differs");
        left
    }
}

impl MergeFiles for Files {
    fn open(&self, path: &Path) -> Result<OpenFile> {
        let number = path.to_str().and_then(|name| name.strip_prefix("layer "));
        let number: usize = number.unwrap().parse().unwrap();
        Ok(OpenFile { storage: Arc::clone(&self.0[number]) as _, identity: None })
    }

    fn delete(&self, _: &FileState) -> Result<()> {
        unreachable!("nothing is deleted")
    }

    fn relatives(&self, _: &[PathBuf]) -> Result<Relatives> {
        Ok(Relatives::default())
    }
}

fn inputs(plan: &mut MergePlan) -> &mut BatchInputs {
    plan.batch_inputs.as_mut().unwrap()
}

#[test]
fn a_new_log_in_another_place_is_found_before_anything_is_relinked() {
    let files = Files::new(|base| base.log_length = 0);
    let mut plan = files.plan();
    let place = inputs(&mut plan).new_log.as_mut().unwrap();
    *place = place.saturating_add(MIB);
    let before = files.target();
    assert_eq!(files.execute_stale(&plan), before);
}

#[test]
fn space_that_is_not_free_is_found_before_anything_is_relinked() {
    let files = Files::new(|_| ());
    let mut plan = files.plan();
    let len = files.chain().layers()[1].file_len();
    inputs(&mut plan).space.release(FileOffset::new(len - MIB), MIB);
    let before = files.target();
    assert_eq!(files.execute_stale(&plan), before);
}

#[test]
fn batches_that_differ_from_the_planned_ones_are_found_before_the_target_is_complete() {
    let changes: [fn(&mut Totals); 5] = [
        |totals| totals.batches += 1,
        |totals| totals.pages += 1,
        |totals| totals.bytes_to_copy += 1,
        |totals| totals.file_size += 1,
        |totals| totals.blocks.clear(),
    ];
    for change in changes {
        let files = Files::new(|_| ());
        let mut plan = files.plan();
        assert_eq!(plan.batch_count(), 3);
        change(&mut plan.totals);
        let (guid, state) = files.execute_stale(&plan);
        assert!(MergeId::from_guid(guid).is_some_and(|id| id.guid() == guid), "{guid} says complete");
        assert_eq!(state, FullyPresent);
    }
}
