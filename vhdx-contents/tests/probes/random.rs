//! Random bytes, and random changes of valid images: the probes end, and never panic.

use proptest::prelude::*;
use vhdx_testkit::Random;

use crate::cases::CASES;
use crate::disk::TestDisk;
use crate::tools::{TestImage, program};

/// The beginnings of superblocks, so that random bytes reach the code behind the signatures.
const SIGNATURES: &[(usize, &[u8])] = &[
    (0, b"\xeb\x52\x90NTFS    "),
    (0, b"\xeb\x76\x90EXFAT   "),
    (0, b"\0\0\0ReFS\0\0\0\0\0\0\0\0\0FSRS"),
    (0, b"XFSB"),
    (0, b"LUKS\xba\xbe\0\x02"),
    (0, b"hsqs"),
    (0, b"\xeb\x58\x90-FVE-FS-"),
    (32, b"NXSB"),
    (54, b"FAT16   "),
    (82, b"FAT32   "),
    (512, b"LABELONE\x01\0\0\0\0\0\0\0"),
    (536, b"LVM2 001"),
    (1024, b"H+\0\x04"),
    (1024, b"BD"),
    (1024, b"\x10\x20\xf5\xf2"),
    (1080, b"\x53\xef"),
    (4096, b"\xfc\x4e\x2b\xa9\x01\0\0\0"),
    (4086, b"SWAPSPACE2"),
    (16384, b"SKUL\xba\xbe\0\x02"),
    (32768, b"\x01CD001\x01"),
    (34816, b"\0NSR02"),
    (65600, b"_BHRfS_M"),
    (131072, b"\x0c\xb1\xba\0\0\0\0\0"),
    (1048576, b"\x0d\xd0\x01\xc0"),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn random_bytes_end(seed: u64, len in 1usize..(1 << 20) + 8192, chosen: u32, is_sparse: bool) {
        let mut random = Random::new(seed);
        let mut bytes = vec![0; len];
        if is_sparse {
            // Small numbers are valid more often.
            for _ in 0..2000 {
                let at = random.below(len);
                bytes[at] = 1 << random.below(8);
            }
        } else {
            bytes = random.bytes(len);
        }
        for (number, (at, signature)) in SIGNATURES.iter().enumerate() {
            if chosen >> (number % 32) & 1 == 1
                && let Some(place) = bytes.get_mut(*at..at + signature.len())
            {
                place.copy_from_slice(signature);
            }
        }
        let disk = TestDisk::of_bytes(bytes);
        let _ = disk.identify();
        prop_assert!(disk.reads() <= 6);
    }
}

/// Changes random bytes near each superblock of every kind.
#[test]
fn changed_images_end() {
    let mut random = Random::new(17);
    for case in CASES.iter().filter(|case| case.size <= 64 << 20) {
        let Some(()) = program(case.command[0]) else { return };
        let image = TestImage::make(case.size, case.command);
        let mut bytes = image.head((1 << 20) + 8192);
        let places: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
        for _ in 0..25 {
            for _ in 0..1 + random.below(6) {
                let near = places[random.below(places.len())];
                let at = (near + random.below(8)).min(bytes.len() - 1);
                bytes[at] = u8::try_from(random.below(256)).unwrap();
            }
            let disk = TestDisk::of_bytes(bytes.clone());
            let _ = disk.identify();
            assert!(disk.reads() <= 6, "{:?}", case.command);
        }
    }
}
