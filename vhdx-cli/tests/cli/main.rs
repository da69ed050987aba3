//! Tests that run the binary as users and scripts do.

mod answers;
mod cases;
mod config;
mod contents;
mod create;
#[cfg(target_os = "linux")]
mod devices;
mod diff;
mod entries;
mod errors;
mod facts;
mod files;
mod finding;
mod fixtures;
mod foreign;
mod half_merged;
mod hash;
mod hints;
mod ignored;
mod images;
mod in_place;
mod jobs;
#[cfg(unix)]
mod killed;
mod left_over;
mod merge;
#[cfg(target_os = "linux")]
mod mount;
#[cfg(not(target_os = "linux"))]
mod mount_elsewhere;
mod nbd_client;
mod needed;
mod new_files;
mod overwrite;
mod peers;
#[cfg(unix)]
mod permissions;
#[cfg(target_os = "linux")]
mod private;
mod prune;
mod prune_machines;
mod prune_plan;
mod prune_whole;
#[cfg(target_os = "linux")]
mod refusals;
mod relinked;
mod renamed;
mod reparent;
mod replay;
mod report;
mod restored;
mod revert;
mod reverted;
mod run;
#[cfg(target_os = "linux")]
mod serve;
mod serve_tcp;
mod several;
#[cfg(unix)]
mod sharing;
mod since;
mod stdout;
mod tree;
mod tree_machines;
#[cfg(target_os = "linux")]
mod undeleted;
mod undetermined;
mod urls;
