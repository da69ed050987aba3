//! Reads arbitrary bytes as a disk: its partition table and the file systems in it. The bytes are taken as they are,
//! and as the two ends of a larger disk with correct checksums.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    vhdx_fuzz::contents::exercise(bytes.to_vec());
    vhdx_fuzz::contents::exercise(vhdx_fuzz::contents::sealed(bytes));
});
