//! Compares what the probes say with `blkid` and `file`, on images that the usual tools make.
// The tools are those of Linux.
#![cfg(target_os = "linux")]

mod cases;
mod compare;
mod damaged;
mod disk;
mod free_space;
mod members;
mod random;
mod real;
mod signatures;
mod tools;
