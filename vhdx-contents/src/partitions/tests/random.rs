use vhdx_testkit::Random;

use super::disk::{BASIC_DATA, Bytes, Gpt, mbr, seal};

const DISKS: usize = 4000;
const LEN: usize = 256 << 10;

/// Whatever a few bytes of a table are, every partition is within the disk.
#[test]
fn changed_tables_give_partitions_within_the_disk() {
    let mut random = Random::new(17);
    let mut gpt = Bytes::new(LEN, 512);
    Gpt::of(&[(BASIC_DATA, 64, 127, "data"), (BASIC_DATA, 130, 200, "x")]).put(&mut gpt);
    let mut chain = Bytes::new(LEN, 512);
    chain.put_sector(0, &mbr(&[(0, 7, 40, 20), (0, 5, 64, 300)]));
    for sector in [64, 80, 96] {
        chain.put_sector(sector, &mbr(&[(0, 0x83, 1, 8), (0, 5, sector as u32 - 48, 16)]));
    }
    // Where the fields are: of the primary GPT and its entries, and of the boot records.
    let places = [(0, 512..1280), (0, 446..512), (1, 446..512), (1, 64 * 512 + 446..64 * 512 + 512)];
    let mut partitions = 0;
    for number in 0..DISKS {
        let (table, place) = &places[number % places.len()];
        let mut disk = Bytes::new(0, 512);
        disk.bytes = [&gpt, &chain][*table].bytes.clone();
        for value in random.bytes(8).into_iter().take(1 + random.below(8)) {
            let field = place.start + random.below(place.len());
            disk.bytes[field] = if value < 64 { 0xff } else { value };
        }
        let checksum = crc32fast::hash(&disk.bytes[1024..1024 + 128 * 128]);
        disk.put(512 + 88, &checksum.to_le_bytes());
        seal(&mut disk.bytes[512..]);
        let found = disk.contents();
        for partition in &found.partitions {
            assert!(partition.len > 0 && partition.start < LEN as u64, "{partition:?}");
            assert!(partition.start + partition.len <= LEN as u64, "{partition:?}");
        }
        partitions += found.partitions.len();
    }
    assert!(partitions > DISKS, "{partitions} partitions");
}
