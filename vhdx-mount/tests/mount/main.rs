//! Tests that mount disks and read them as other programs do. They need `/dev/fuse`.
#![cfg(target_os = "linux")]

mod content;
mod ending;
mod errors;
mod failing;
mod holes;
mod kernel;
mod mounted;
