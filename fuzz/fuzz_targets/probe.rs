//! Looks for a file system in arbitrary bytes of a partition.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vhdx_fuzz::identify(vhdx_testkit::unpack(bytes)));
