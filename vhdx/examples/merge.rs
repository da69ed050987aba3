//! Merges a checkpoint into its parent, in place. Without `--yes`, it only says what would happen.
//!
//! Run it on copies of disks: a merge changes files.
//!
//! ```sh
//! cp -r testdata/sample /tmp/sample
//! cargo run -p avhdx --example merge -- /tmp/sample/checkpoint-2.avhdx --yes
//! ```

use std::path::Path;

use vhdx::ops::{HostFiles, MergeOptions, MergePlan, MergeTarget, Planned};
use vhdx::{FolderResolver, NoProgress};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let leaf = Path::new(arguments.first().ok_or("usage: merge CHECKPOINT [--yes]")?);
    let planned = MergePlan::prepare(
        leaf,
        MergeTarget::Parent,
        &FolderResolver::default(),
        &[], // more folders to search for disks that depend on these files
        &MergeOptions::default(),
        &NoProgress,
    )?;
    let plan = match planned {
        Planned::Ready(plan) => plan,
        _ => {
            println!("the checkpoint was merged before");
            return Ok(());
        }
    };
    println!(
        "{} bytes would be copied; up to {} bytes of free space are needed",
        plan.bytes_to_copy(),
        plan.bytes_needed()
    );
    if arguments.get(1).is_some_and(|argument| argument == "--yes") {
        // If this is interrupted, the merged disk and its descendants still read as before. A second run completes the
        // merge. Until then, nothing may start from the target.
        let merged = plan.execute(&HostFiles, &NoProgress)?;
        println!("{} bytes copied", merged.bytes_copied);
    }
    Ok(())
}
