//! Merges on a file system that shares blocks: an XFS in a file.

use std::fs::File;
use std::path::PathBuf;

use anyhow::Result;

use super::{GIB, MIB, merge};
use crate::harness::chain::Spec;
use crate::harness::measure::Step;
use crate::harness::peers::program;
use crate::harness::plain::Way;
use crate::harness::table::{Goal, Quantity};
use crate::harness::{Comparison, Context};

/// A mounted file system, which is unmounted when this value is dropped. Then its image is deleted.
struct Mount {
    at: PathBuf,
    image: PathBuf,
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Err(error) = Step::new("umount", [&self.at]).run() {
            eprintln!("cannot unmount {}: {error}", self.at.display());
        }
        if let Err(error) = std::fs::remove_file(&self.image) {
            eprintln!("cannot delete {}: {error}", self.image.display());
        }
    }
}

/// Merges whole blocks, which the file system shares.
pub(super) fn merge(context: &Context) -> Result<Option<Comparison<'_>>> {
    let Some(mkfs) = program("mkfs.xfs").filter(|_| rustix::process::geteuid().is_root()) else {
        println!("**MISSING: this row needs root and mkfs.xfs, so it is not measured.**\n");
        return Ok(None);
    };
    let image = context.empty("xfs")?.join("image");
    let mount = Mount { at: context.empty("xfs-mounted")?, image: image.clone() };
    File::create(&image)?.set_len(20 * GIB)?;
    Step::new(mkfs, ["-q", "-m", "reflink=1"]).arg(&image).run()?;
    Step::new("mount", ["-o", "loop"]).arg(&image).arg(&mount.at).run()?;
    let spec = Spec {
        size: context.scaled(4 * GIB),
        block: 32 * MIB,
        depth: 1,
        base_fill: 50,
        child_bytes: context.scaled(2 * GIB),
        run_min: MIB,
        run_max: MIB,
        whole: true,
        same_runs: false,
    };
    let chain = context.chain_in(&spec, &mount.at)?;
    (0..=1).try_for_each(|layer| std::fs::remove_file(chain.delta(layer)))?;
    let run = mount.at.join("merge");
    std::fs::create_dir(&run)?;
    let mut jobs = merge::limits(context, &chain, &run, &[Way::threads(1).in_kernel()])?;
    let ours = merge::ours(context, &chain, &run).keep(mount);
    let goals = vec![Goal::limit(&ours.name, 1.5)];
    jobs.push(ours);
    Ok(Some(Comparison {
        jobs,
        bytes: spec.child_bytes,
        goals,
        quantity: Quantity::Seconds,
        peers_below: 1.0,
    }))
}
