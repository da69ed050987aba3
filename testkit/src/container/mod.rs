//! Makes HyperV Storage containers: the format of `.vmcx`, `.vmrs` and `data.vmcx`.
//!
//! The writer shares no code with the reader in `hyperv-config`. Tests damage the bytes that it returns.

mod seal;

pub use seal::seal_container;

/// The size of pages, and of key tables unless they say otherwise.
const PAGE: usize = 4096;
const OBJECT_TABLE: usize = 2 * PAGE;
const LOG: usize = 3 * PAGE;
const FILE_OBJECTS: usize = 4 * PAGE;
/// The number of entries in each object table.
const OBJECT_SLOTS: usize = (PAGE - 8) / 18;

/// The type of a key table's entry that is not used.
const FREE: u8 = 1;

/// The position of a key: the index of its table, and its offset in the table.
pub type KeyPosition = (u16, u32);

/// The parent of the keys at the root.
pub const ROOT: KeyPosition = (0, 0);

/// One key of a container. Every field is written as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerKey {
    /// 1 free, 3 int, 4 uint, 5 double, 6 text, 7 bytes, 8 bool, 9 node.
    pub key_type: u8,
    /// 1: the value lies in a file object.
    pub flags: u8,
    /// The node to which the key belongs.
    pub parent: KeyPosition,
    /// The order among siblings; 0 stands for the number of keys added before, and 1.
    pub sequence: u32,
    /// The name with its NUL.
    pub name: Vec<u8>,
    /// The bytes of the value, with the length of a text or of bytes.
    pub value: Vec<u8>,
    /// The number of unused bytes after the value.
    pub slack: usize,
}

impl ContainerKey {
    /// Returns a key with a value in this form.
    pub fn new(parent: KeyPosition, name: &str, key_type: u8, value: Vec<u8>) -> Self {
        let name = [name.as_bytes(), b"\0"].concat();
        Self { key_type, flags: 0, parent, sequence: 0, name, value, slack: 0 }
    }

    /// Returns a node.
    pub fn node(parent: KeyPosition, name: &str) -> Self {
        Self::new(parent, name, 9, vec![0; 12])
    }

    /// Returns a signed number.
    pub fn int(parent: KeyPosition, name: &str, number: i64) -> Self {
        Self::new(parent, name, 3, number.to_le_bytes().into())
    }

    /// Returns a truth value.
    pub fn truth(parent: KeyPosition, name: &str, truth: bool) -> Self {
        Self::new(parent, name, 8, i32::from(truth).to_le_bytes().into())
    }

    /// Returns a text without a NUL.
    pub fn text(parent: KeyPosition, name: &str, text: &str) -> Self {
        Self { slack: 12, ..Self::new(parent, name, 6, with_len(&utf16(text))) }
    }

    /// Returns bytes.
    pub fn bytes(parent: KeyPosition, name: &str, bytes: &[u8]) -> Self {
        Self::new(parent, name, 7, with_len(bytes))
    }

    /// Returns a key of type 6 or 7 whose value lies at an offset in the file.
    pub fn object(parent: KeyPosition, name: &str, key_type: u8, offset: u64, len: u32) -> Self {
        let value = [len.to_le_bytes().as_slice(), &offset.to_le_bytes()].concat();
        Self { flags: 1, ..Self::new(parent, name, key_type, value) }
    }

    /// Returns the bytes of the entry, with their checksum, which is 0 if the entry is free.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![self.key_type, self.flags];
        let size = 21 + self.name.len() + self.value.len() + self.slack;
        bytes.extend((size as u32).to_le_bytes());
        bytes.extend(self.parent.0.to_le_bytes());
        bytes.extend(self.parent.1.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(self.sequence.to_le_bytes());
        bytes.push(self.name.len() as u8);
        bytes.extend(&self.name);
        bytes.extend(&self.value);
        if self.key_type != FREE {
            seal_crc32(&mut bytes, 12);
        }
        bytes.resize(size, 0xcc);
        bytes
    }
}

/// Returns the length of the bytes, and the bytes.
pub fn with_len(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_le_bytes(), bytes].concat()
}

/// Returns text as UTF-16LE.
pub fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// Writes the CRC-32 of the bytes, with zeros at the place of the checksum, into the 4 bytes at `at`.
pub fn seal_crc32(bytes: &mut [u8], at: usize) {
    bytes[at..at + 4].fill(0);
    let sum = crc32fast::hash(bytes);
    bytes[at..at + 4].copy_from_slice(&sum.to_le_bytes());
}

/// A key table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyTable {
    /// From 1.
    pub index: u16,
    /// The table with the highest number is the current one of its index.
    pub sequence: u16,
    /// The size of the table in bytes.
    pub size: usize,
    /// The bytes of its keys.
    pub keys: Vec<u8>,
}

impl KeyTable {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![2, 0];
        bytes.extend(self.index.to_le_bytes());
        bytes.extend(self.sequence.to_le_bytes());
        bytes.extend([0; 4]);
        seal_crc32(&mut bytes, 6);
        bytes.extend(&self.keys);
        assert!(bytes.len() <= self.size, "the keys do not fit");
        bytes.resize(self.size, 0);
        bytes
    }
}

/// A container under construction.
#[derive(Clone, Debug)]
pub struct Container {
    /// The sequence numbers of the two headers.
    pub headers: [u16; 2],
    /// The key tables, in the order of the object table and of the file.
    pub tables: Vec<KeyTable>,
    /// The contents of the file objects.
    pub file_objects: Vec<Vec<u8>>,
    /// Entries of the replay log: a destination in the file, and the data.
    pub log: Vec<(u64, Vec<u8>)>,
    /// How many of these entries are not yet at their destinations.
    pub log_count: u32,
    /// The number of entries in each object table that are used, with the last one, which names the next table. All
    /// others are empty.
    pub object_slots: usize,
    /// The number of keys that were added so far.
    pub added: u32,
}

impl Default for Container {
    fn default() -> Self {
        Self {
            headers: [5, 4],
            tables: Vec::new(),
            file_objects: Vec::new(),
            log: Vec::new(),
            log_count: 0,
            object_slots: OBJECT_SLOTS,
            added: 0,
        }
    }
}

impl Container {
    /// Returns a container without keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a key to the last key table, or to a new one if it does not fit, and returns its position.
    pub fn add(&mut self, mut key: ContainerKey) -> KeyPosition {
        self.added += 1;
        if key.sequence == 0 {
            key.sequence = self.added;
        }
        let bytes = key.encode();
        let fits = |table: &KeyTable| 10 + table.keys.len() + bytes.len() <= table.size;
        if !self.tables.last().is_some_and(fits) {
            let index = self.tables.last().map_or(1, |table| table.index + 1);
            let size = (10 + bytes.len()).next_multiple_of(PAGE);
            self.tables.push(KeyTable { index, sequence: 1, size, keys: Vec::new() });
        }
        let table = self.tables.last_mut().expect("there is a table");
        let position = (table.index, 10 + table.keys.len() as u32);
        table.keys.extend(bytes);
        position
    }

    /// Adds nodes and keys of text: `add_text("/a/b", "c")` makes a new node `a` with the text `b`.
    pub fn add_text(&mut self, path: &str, text: &str) {
        let mut names: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let name = names.pop().expect("a path has a name");
        let parent = names.into_iter().fold(ROOT, |parent, name| self.add(ContainerKey::node(parent, name)));
        self.add(ContainerKey::text(parent, name, text));
    }

    /// Returns the offset of a file object. It depends on the file objects before it.
    pub fn object_offset(&self, number: usize) -> u64 {
        let before = self.file_objects[..number].iter();
        (FILE_OBJECTS + before.map(|bytes| bytes.len().next_multiple_of(PAGE)).sum::<usize>()) as u64
    }

    /// Returns the offset of a key table. It depends on everything but the log.
    pub fn table_offset(&self, number: usize) -> u64 {
        let before: usize = self.tables[..number].iter().map(|table| table.size).sum();
        self.object_offset(self.file_objects.len()) + (self.more_object_tables() * PAGE + before) as u64
    }

    /// Returns the offset of an object table.
    pub fn object_table_offset(&self, number: usize) -> u64 {
        match number.checked_sub(1) {
            None => OBJECT_TABLE as u64,
            Some(more) => self.object_offset(self.file_objects.len()) + (more * PAGE) as u64,
        }
    }

    /// Returns the offset of the replay log.
    pub const fn log_offset() -> u64 {
        LOG as u64
    }

    /// The number of object tables after the first one.
    fn more_object_tables(&self) -> usize {
        let objects = self.tables.len() + self.file_objects.len();
        objects.div_ceil(self.object_slots - 1).saturating_sub(1)
    }

    /// Returns the bytes of the file.
    pub fn build(&self) -> Vec<u8> {
        let mut bytes = vec![0; FILE_OBJECTS];
        for (sequence, at) in self.headers.into_iter().zip([0, PAGE]) {
            bytes[at..at + 46].copy_from_slice(&header(sequence));
        }
        for object in &self.file_objects {
            bytes.extend(object);
            bytes.resize(bytes.len().next_multiple_of(PAGE), 0);
        }
        bytes.resize(bytes.len() + self.more_object_tables() * PAGE, 0);
        for table in &self.tables {
            bytes.extend(table.encode());
        }
        self.put_object_tables(&mut bytes);
        self.put_log(&mut bytes);
        bytes
    }

    fn put_object_tables(&self, bytes: &mut [u8]) {
        let tables = self.tables.iter().enumerate();
        let tables = tables.map(|(number, table)| (2, self.table_offset(number), table.size));
        let objects = self.file_objects.iter().enumerate();
        let objects =
            objects.map(|(n, object)| (3, self.object_offset(n), object.len().next_multiple_of(PAGE)));
        let all: Vec<(u8, u64, usize)> = tables.chain(objects).collect();
        for number in 0..=self.more_object_tables() {
            let at_a_time = self.object_slots - 1;
            let mut entries: Vec<_> = all.iter().skip(number * at_a_time).take(at_a_time).copied().collect();
            entries.resize(OBJECT_SLOTS - 1, (0, 0, 0));
            entries.push(match number < self.more_object_tables() {
                true => (1, self.object_table_offset(number + 1), PAGE),
                false => (0, 0, 0),
            });
            let at = self.object_table_offset(number) as usize;
            let table = object_table(&entries);
            bytes[at..at + table.len()].copy_from_slice(&table);
        }
    }

    fn put_log(&self, bytes: &mut Vec<u8>) {
        let mut log = vec![3, 0, 0x11, 1, 0, 0, 0, 0];
        log.extend(self.log_count.to_le_bytes());
        log.push(0);
        log.extend(145u32.to_le_bytes());
        log.extend([0; 17]);
        seal_crc32(&mut log, 4);
        for (destination, data) in &self.log {
            let mut entry = destination.to_le_bytes().to_vec();
            entry.extend((data.len() as u32).to_le_bytes());
            entry.extend(((bytes.len() - LOG) as u64).to_le_bytes());
            entry.extend([0; 4]);
            entry.extend(crc32fast::hash(data).to_le_bytes());
            seal_crc32(&mut entry, 20);
            log.extend(entry);
            bytes.extend(data);
        }
        assert!(log.len() <= PAGE, "the log has too many entries");
        bytes[LOG..LOG + log.len()].copy_from_slice(&log);
    }
}

/// Returns the 46 bytes of a header.
pub fn header(sequence: u16) -> Vec<u8> {
    let mut bytes = 0x0128_2014u32.to_le_bytes().to_vec();
    bytes.extend([0; 4]);
    bytes.extend(sequence.to_le_bytes());
    for number in [0x400u32, 0, 0, PAGE as u32] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend((LOG as u64).to_le_bytes());
    bytes.extend((PAGE as u64).to_le_bytes());
    bytes.extend((PAGE as u32).to_le_bytes());
    seal_crc32(&mut bytes, 4);
    bytes
}

/// Returns an object table of entries: type, offset and size.
pub fn object_table(entries: &[(u8, u64, usize)]) -> Vec<u8> {
    let mut bytes = 0x0111_0001u32.to_le_bytes().to_vec();
    bytes.extend((entries.len() as u32).to_le_bytes());
    for (object_type, offset, size) in entries {
        let mut entry = vec![*object_type, 0, 0, 0, 0];
        entry.extend(offset.to_le_bytes());
        entry.extend((*size as u32).to_le_bytes());
        entry.push(u8::from(*object_type != 0));
        seal_crc32(&mut entry, 1);
        bytes.extend(entry);
    }
    bytes
}
