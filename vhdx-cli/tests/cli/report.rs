//! `report` in all its formats.

mod estate;
mod files;
mod limits;
mod page;
mod stdout;
