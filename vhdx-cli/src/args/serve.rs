//! Defines the options of `serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::ValueHint;
use clap::{ArgGroup, Args as ClapArgs};

use super::option_groups::{Parents, Share, Threads};

/// Serve disks to NBD clients, such as qemu, libguestfs and nbdcopy
///
/// Each file of the chain is an export of its own: the disk as it was at that checkpoint. The default export is the first
/// FILE. The files are only read, unless --overlay, --snapshot or --writable is given. With --overlay or --snapshot the
/// default export is the new child. One of --unix, --tcp or a socket from systemd is required. Ctrl-C ends the server after it
/// has answered the requests that it has received.
#[derive(Debug, ClapArgs)]
#[command(group = ArgGroup::new("place").args(["unix", "tcp"]))]
#[command(group = ArgGroup::new("written").args(["overlay", "snapshot", "writable"]))]
pub(crate) struct Serve {
    /// VHDX or AVHDX files
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) files: Vec<PathBuf>,
    /// Listen on a Unix socket of this name
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(crate) unix: Option<PathBuf>,
    /// Listen on this IP address and port, such as 127.0.0.1:10809. Port 0 takes a free port
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) tcp: Option<SocketAddr>,
    /// Allow an address that other hosts can reach; also needs --insecure, because connections are never encrypted
    #[arg(long)]
    pub(crate) listen_any: bool,
    /// Serve other hosts without encryption or passwords: everybody who reaches the port can use the disk
    #[arg(long, requires = "listen_any")]
    pub(crate) insecure: bool,
    /// Write to NEW, a new child of FILE, which is kept. FILE must not change while NEW is needed
    #[arg(long, value_name = "NEW", value_hint = ValueHint::FilePath)]
    pub(crate) overlay: Option<PathBuf>,
    /// Write to a new child of FILE in the folder for temporary files, which is deleted at the end
    #[arg(long)]
    pub(crate) snapshot: bool,
    /// Write to FILE itself. No other disk may depend on it
    #[arg(long)]
    pub(crate) writable: bool,
    /// Check what can be checked, show what would be served, and serve nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// End after the last client has left
    #[arg(long)]
    pub(crate) once: bool,
    /// Accept at most this many connections at a time
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) max_connections: u16,
    #[command(flatten)]
    pub(crate) threads: Threads,
    #[command(flatten)]
    pub(crate) share: Share,
    #[command(flatten)]
    pub(crate) parents: Parents,
}

impl Serve {
    /// Whether clients can write to the disk.
    pub(crate) fn allows_writes(&self) -> bool {
        self.overlay.is_some() || self.snapshot || self.writable
    }
}
