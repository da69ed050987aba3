//! Shows virtual disks as read-only files, with FUSE. Linux only: the crate is empty on other systems.
