//! The binary, run as people and scripts run it.

mod answers;
mod errors;
mod fixtures;
mod images;
mod new_files;
mod peers;
mod replay;
mod run;
mod stdout;
mod tree;
