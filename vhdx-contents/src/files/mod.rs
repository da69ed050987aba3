//! Files and folders inside a file system, read-only.

mod file_system;

pub use file_system::{Attributes, Entry, FileSystem, Kind, Node, Range};
