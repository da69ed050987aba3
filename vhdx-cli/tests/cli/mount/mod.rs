//! `mount`: files that show a disk at each checkpoint.

mod background;
mod ending;
mod failing;
mod mounted;
mod partitions;
