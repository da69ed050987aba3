//! Finds what is inside a virtual disk: partitions, file systems and files.
