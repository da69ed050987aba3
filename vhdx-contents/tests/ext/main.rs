//! Tests of the reader of ext2, ext3 and ext4 against the tools and the kernel.
#![cfg(target_os = "linux")]

mod damage;
mod image;
mod journal;
mod limits;
mod mounted;
mod source;
mod variants;
mod view;
