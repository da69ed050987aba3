//! Reads a packed file after correcting its checksums, so that the fuzzer gets past them.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut file = vhdx_testkit::unpack(bytes);
    vhdx_testkit::seal_structures(&mut file);
    vhdx_fuzz::exercise(file);
});
