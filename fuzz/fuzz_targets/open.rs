//! Arbitrary bytes, both as a file and as a packed one, with checksums as they are.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    vhdx_fuzz::exercise(bytes.to_vec());
    vhdx_fuzz::exercise(vhdx_testkit::unpack(bytes));
});
