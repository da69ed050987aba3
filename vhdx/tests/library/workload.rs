//! Writes, merges, crashes and reopenings in any order, against plain arrays. The fuzz target `operations` does the same
//! with inputs that it evolves; what it finds ends up here.

use crate::common::cases;
use proptest::prelude::*;
use vhdx_testkit::workloads;

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn every_disk_reads_what_was_written(workload in workloads(5)) {
        workload.run();
    }
}
