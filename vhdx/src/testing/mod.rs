//! Storages for unit tests only. The crate `vhdx-testkit` has the other tests' storages.

pub(crate) mod torn;
