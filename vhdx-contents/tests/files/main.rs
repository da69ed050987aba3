//! Reads files out of file systems that real tools have made, and compares them with the originals.

#![cfg(target_os = "linux")]

mod exfat;
mod fat;
mod hostile;
mod image;
mod ntfs;
mod originals;
mod walk;
