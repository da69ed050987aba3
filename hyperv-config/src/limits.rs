//! Limits of what is read from one file. They are far beyond every real file, and bound memory and time.

/// The largest number of keys in one configuration.
pub const MAX_KEYS: usize = 1_000_000;
/// The largest number of names in the path of a key. Keys that are deeper are not reachable.
pub const MAX_DEPTH: usize = 128;
/// The largest text in bytes that is read from a file object.
pub const MAX_TEXT: u32 = 1 << 20;
/// The largest number of warnings that are kept for one file.
pub const MAX_WARNINGS: usize = 1000;

/// The largest length of all keys' paths together in bytes.
pub(crate) const MAX_PATHS: u64 = 256 << 20;
/// The largest total size of the key tables in bytes.
pub(crate) const MAX_KEY_TABLES: u64 = 64 << 20;
/// The largest number of entries in all object tables.
pub(crate) const MAX_OBJECTS: u64 = 4 << 20;
/// The largest number of objects that say that they are key tables. An index has 16 bits, and a table may have an
/// older version.
pub(crate) const MAX_KEY_TABLE_OBJECTS: usize = 1 << 17;
/// The largest alignment that the container permits, and the largest header of the replay log.
pub(crate) const MAX_ALIGNMENT: u32 = 65536;
/// The largest total size in bytes of the data in a replay log.
pub(crate) const MAX_REPLAYED: u64 = 64 << 20;
/// The largest XML file in bytes.
pub(crate) const MAX_XML: u64 = 16 << 20;
/// The largest name of a key in bytes. The container stores the length in one byte.
pub(crate) const MAX_NAME: usize = 255;
