//! Reads hand-made partition tables.

mod disk;
mod gpt;
mod mbr;
mod others;
mod random;
