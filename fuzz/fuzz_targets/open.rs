//! Reads arbitrary bytes, both as a file and as a packed file, without correcting checksums.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    vhdx_fuzz::exercise(bytes.to_vec());
    vhdx_fuzz::exercise(vhdx_testkit::unpack(bytes));
});
