//! Joining Hyper-V's configuration files to the disks that they name.

mod beside;
mod cases;
mod changed;
mod estate;
mod host;
mod moved;
mod unused;
