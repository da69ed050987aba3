use super::super::testing::{for_each_flip, hex, some_guid};
use super::*;

fn entry_header() -> LogEntryHeader {
    LogEntryHeader {
        entry_length: 0,
        tail: 0x3000,
        sequence_number: 0x0102_0304_0506_0708,
        descriptor_count: 0,
        log_guid: some_guid(1),
        flushed_file_offset: 4 << 20,
        last_file_offset: 5 << 20,
    }
}

fn page() -> Box<[u8; SECTOR_SIZE]> {
    Box::new(std::array::from_fn(|n| (n % 251) as u8))
}

fn data(offset: u64) -> LogWrite {
    LogWrite::Data { offset: FileOffset::new(offset), page: page() }
}

fn zero(offset: u64, len: u64) -> LogWrite {
    LogWrite::Zero { offset: FileOffset::new(offset), len }
}

#[test]
fn golden_bytes_that_windows_wrote() {
    let mut bytes = hex("6c6f6765 16961bdd 00100000 00000000 81caa56624430773 00000000 00000000
        7f9db9775d560b4985e9735fd1a35466 0000900000000000 0000900000000000");
    bytes.resize(SECTOR_SIZE, 0);
    let expected = LogEntryHeader {
        entry_length: 4096,
        tail: 0,
        sequence_number: 0x7307_4324_66a5_ca81,
        descriptor_count: 0,
        log_guid: uuid::uuid!("77b99d7f-565d-490b-85e9-735fd1a35466"),
        flushed_file_offset: 9 << 20,
        last_file_offset: 9 << 20,
    };
    assert_eq!(encode_entry(&expected, &[]).unwrap(), bytes);
    assert_eq!(LogEntryHeader::parse(&bytes), Some(expected));

    let bytes = hex("64657363 00000000 0200000000000000 0000300000000000 54e53f0664a21c01");
    let expected = Descriptor::Data {
        file_offset: FileOffset::new(0x30_0000),
        leading: [2, 0, 0, 0, 0, 0, 0, 0],
        trailing: [0; 4],
        sequence_number: 0x011c_a264_063f_e554,
    };
    assert_eq!(expected.encode(), bytes);
    assert_eq!(Descriptor::parse(&bytes), Some(expected));
}

#[test]
fn golden_bytes_of_a_zero_descriptor_and_a_data_sector() {
    let zero = Descriptor::Zero { file_offset: FileOffset::new(0x1000), length: 0x2000, sequence_number: 9 };
    let bytes = hex("7a65726f 00000000 0020000000000000 0010000000000000 0900000000000000");
    assert_eq!(zero.encode(), bytes);
    assert_eq!(Descriptor::parse(&bytes), Some(zero));

    let sector = DataSector { sequence_number: 0x0102_0304_0506_0708, data: [7; DATA_SIZE] };
    let bytes = sector.encode();
    assert_eq!(bytes.len(), SECTOR_SIZE);
    assert_eq!(bytes[..9], hex("64617461 04030201 07"));
    assert_eq!(bytes[4091..], hex("07 08070605"));
    assert_eq!(DataSector::parse(&bytes), Some(sector));
}

#[test]
fn every_field_of_the_header_is_read_as_it_was_written() {
    let header = LogEntryHeader { entry_length: 1, descriptor_count: u32::MAX, ..entry_header() };
    assert_eq!(header.encode().len(), HEADER_SIZE);
    assert_eq!(LogEntryHeader::parse(&header.encode()), Some(header));
}

#[test]
fn short_or_unsigned_structures_are_not_parsed() {
    let entry = encode_entry(&entry_header(), &[data(0x30_0000)]).unwrap();
    let descriptor = &entry[HEADER_SIZE..HEADER_SIZE + DESCRIPTOR_SIZE];
    let sector = &entry[SECTOR_SIZE..];
    assert!(LogEntryHeader::parse(&entry[..HEADER_SIZE - 1]).is_none());
    assert!(Descriptor::parse(&descriptor[..DESCRIPTOR_SIZE - 1]).is_none());
    assert!(DataSector::parse(&sector[..SECTOR_SIZE - 1]).is_none());
    for position in 0..4 {
        let flipped = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            bytes[position] ^= 1;
            bytes
        };
        assert!(LogEntryHeader::parse(&flipped(&entry)).is_none());
        assert!(Descriptor::parse(&flipped(descriptor)).is_none());
        assert!(DataSector::parse(&flipped(sector)).is_none());
    }
}

#[test]
fn a_descriptor_and_its_sector_contain_the_page() {
    let page = page();
    let (descriptor, sector) = split_page(FileOffset::new(0x1000), &page, 5);
    assert_eq!((descriptor.file_offset().get(), descriptor.sequence_number()), (0x1000, 5));
    let sector = DataSector::parse(&sector.encode()).unwrap();
    assert_eq!(Descriptor::parse(&descriptor.encode()).unwrap().apply(&sector), Some(*page));
    let zero = Descriptor::Zero { file_offset: FileOffset::new(0), length: 4096, sequence_number: 5 };
    assert_eq!(zero.apply(&sector), None);
}

#[test]
fn descriptors_take_the_fewest_sectors() {
    let sectors = [(0, 1), (1, 1), (126, 1), (127, 2), (254, 2), (255, 3), (u32::MAX, 33_554_433)];
    for (count, expected) in sectors {
        assert_eq!(descriptor_sectors(count), expected, "{count}");
    }
}

#[test]
fn an_entry_has_its_descriptors_first_and_then_its_data_sectors_in_order() {
    let mut writes = vec![zero(0x40_0000, 8192), data(0x30_0000)];
    writes.extend((0..126).map(|n| data(0x100_0000 + n * 4096)));
    let bytes = encode_entry(&entry_header(), &writes).unwrap();
    let header = LogEntryHeader::parse(&bytes).unwrap();
    assert_eq!((header.entry_length, header.descriptor_count), ((2 + 127) * 4096, 128));
    assert_eq!(LogEntryHeader { entry_length: 0, descriptor_count: 0, ..header }, entry_header());
    assert_eq!(bytes.len(), (2 + 127) * SECTOR_SIZE);

    let mut sectors = bytes[2 * SECTOR_SIZE..].chunks(SECTOR_SIZE);
    for (n, write) in writes.iter().enumerate() {
        let descriptor = Descriptor::parse(&bytes[HEADER_SIZE + n * DESCRIPTOR_SIZE..]).unwrap();
        assert_eq!(descriptor.sequence_number(), header.sequence_number);
        match write {
            LogWrite::Zero { offset, .. } => assert_eq!(descriptor.file_offset(), *offset),
            LogWrite::Data { offset, page } => {
                let sector = DataSector::parse(sectors.next().unwrap()).unwrap();
                assert_eq!(sector.sequence_number, header.sequence_number);
                assert_eq!(descriptor.file_offset(), *offset);
                assert_eq!(descriptor.apply(&sector).as_ref(), Some(&**page));
            }
        }
    }
    assert!(sectors.next().is_none());
}

#[test]
fn a_change_of_any_byte_breaks_the_checksum_or_the_signature() {
    for_each_flip(&encode_entry(&entry_header(), &[data(0x30_0000)]).unwrap(), |position, bytes| {
        let found = bytes::checksum_matches(bytes) && LogEntryHeader::parse(bytes).is_some();
        assert!(!found, "{position}");
    });
}
