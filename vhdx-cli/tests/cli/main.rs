//! The binary, run as people and scripts run it.

mod answers;
mod create;
mod errors;
mod fixtures;
mod images;
mod merge;
mod new_files;
mod peers;
mod reparent;
mod replay;
mod run;
mod stdout;
mod tree;
