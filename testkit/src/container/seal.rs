//! Corrects the checksums of a container that a fuzzer has changed.

use super::{FREE, LOG, OBJECT_TABLE, PAGE, seal_crc32};

/// The largest number of object tables that are followed.
const MAX_TABLES: usize = 8;

/// Writes the right checksums into every structure that can be found. Bytes that are no container stay as they are.
pub fn seal_container(bytes: &mut [u8]) {
    for at in [0, PAGE] {
        seal_part(bytes, at, 46, 4);
    }
    seal_log(bytes);
    let mut table = Some(OBJECT_TABLE);
    for _ in 0..MAX_TABLES {
        let Some(at) = table else { break };
        table = seal_object_table(bytes, at);
    }
}

fn seal_part(bytes: &mut [u8], at: usize, len: usize, checksum: usize) -> Option<()> {
    seal_crc32(bytes.get_mut(at..at.checked_add(len)?)?, checksum);
    Some(())
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let mut number = [0; 8];
    number[..N].copy_from_slice(bytes.get(at..at.checked_add(N)?)?);
    Some(u64::from_le_bytes(number))
}

fn place(bytes: &[u8], at: usize) -> Option<usize> {
    number::<8>(bytes, at)?.try_into().ok()
}

fn seal_log(bytes: &mut [u8]) -> Option<()> {
    let log = place(bytes, 26).unwrap_or(LOG);
    seal_part(bytes, log, 34, 4)?;
    let count = number::<4>(bytes, log + 8)?.min(145) as usize;
    for number_of_entry in 0..count {
        let entry = log + 34 + 28 * number_of_entry;
        let start = log.checked_add(place(bytes, entry + 12)?)?;
        let end = start.checked_add(number::<4>(bytes, entry + 8)? as usize)?;
        if let Some(data) = bytes.get(start..end) {
            let sum = crc32fast::hash(data);
            bytes.get_mut(entry + 24..entry + 28)?.copy_from_slice(&sum.to_le_bytes());
        }
        seal_part(bytes, entry, 28, 20)?;
    }
    Some(())
}

/// Returns the place of the next object table.
fn seal_object_table(bytes: &mut [u8], table: usize) -> Option<usize> {
    let count = number::<4>(bytes, table.checked_add(4)?)?.min(1 << 12) as usize;
    let mut next = None;
    for entry in (0..count).map(|number| table + 8 + 18 * number) {
        seal_part(bytes, entry, 18, 1)?;
        let (object_type, at) = (bytes[entry], place(bytes, entry + 5));
        match object_type {
            1 => next = at,
            2 => drop(at.and_then(|at| seal_key_table(bytes, at, number::<4>(bytes, entry + 13)? as usize))),
            _ => next = None,
        }
    }
    next
}

fn seal_key_table(bytes: &mut [u8], table: usize, size: usize) -> Option<()> {
    seal_part(bytes, table, 10, 6)?;
    let end = table.checked_add(size)?.min(bytes.len());
    let mut key = table + 10;
    while key + 22 <= end {
        let size = number::<4>(bytes, key + 2)? as usize;
        if size == 0 || size > end - key {
            break;
        }
        let entry = &mut bytes[key..key + size];
        if entry[0] == FREE {
            entry.get_mut(12..16).into_iter().for_each(|sum| sum.fill(0));
        } else if let Some(used) = used(entry) {
            seal_crc32(&mut entry[..used], 12);
        }
        key += size;
    }
    Some(())
}

/// Returns the number of bytes of a key without its slack.
fn used(key: &[u8]) -> Option<usize> {
    let value = 21 + usize::from(*key.get(20)?);
    let len = match (key[0], key[1] & 1) {
        (6 | 7, 1) | (9, _) => 12,
        (6 | 7, _) => 4 + number::<4>(key, value)? as usize,
        (8, _) => 4,
        _ => 8,
    };
    value.checked_add(len).filter(|used| *used <= key.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ConfiguredMachine;
    use crate::container::{ContainerKey, ROOT};

    #[test]
    fn sealing_restores_every_checksum() {
        let mut container = ConfiguredMachine::default().container();
        container.object_slots = 3;
        let free = container.add(ContainerKey { key_type: FREE, ..ContainerKey::int(ROOT, "", 0) });
        container.log = vec![(container.table_offset(0), vec![3; 100])];
        container.log_count = 1;
        let sound = container.build();
        let mut sealed = sound.clone();
        seal_container(&mut sealed);
        assert!(sealed == sound, "sound checksums stay");
        for at in [
            4,
            PAGE + 4,
            LOG + 4,
            LOG + 34 + 20,
            LOG + 34 + 24,
            OBJECT_TABLE + 9,
            10 + 12 + container.table_offset(0) as usize,
            free.1 as usize + 12 + container.table_offset(usize::from(free.0) - 1) as usize,
        ] {
            let mut changed = sound.clone();
            changed[at] ^= 1;
            seal_container(&mut changed);
            assert!(changed == sound, "{at}");
        }
        seal_container(&mut []);
    }
}
