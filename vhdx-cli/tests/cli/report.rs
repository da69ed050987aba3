//! `report` in all its formats.

pub(crate) mod estate;
mod files;
mod limits;
mod page;
mod stdout;
