//! Writes, merges, crashes and reopens disks in any order, and compares them with plain arrays.
#![no_main]

use vhdx_fuzz::operations::Operations;

libfuzzer_sys::fuzz_target!(|operations: Operations| {
    operations.0.run();
});
