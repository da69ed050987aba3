//! The option `--force-share` of commands that read whole disks.

use clap::Args as ClapArgs;
use vhdx::Sharing;

#[derive(Debug, ClapArgs)]
pub(crate) struct Share {
    /// Also read files that another program has open for writing: the result may be a mix of old and new data
    #[arg(long)]
    pub(crate) force_share: bool,
}

impl Share {
    pub(crate) fn sharing(&self) -> Sharing {
        if self.force_share { Sharing::Forced } else { Sharing::Locked }
    }
}
