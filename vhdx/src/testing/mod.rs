//! Storages that only unit tests use. Those of the other tests are in the crate `vhdx-testkit`.

pub(crate) mod torn;
