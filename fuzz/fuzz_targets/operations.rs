//! Writes, merges, crashes and reopenings in any order, against plain arrays.
#![no_main]

use vhdx_fuzz::operations::Operations;

libfuzzer_sys::fuzz_target!(|operations: Operations| {
    operations.0.run();
});
