//! Serves virtual disks over NBD (network block device).
