//! Reads a disk as its virtual machine sees it, through all its parents.
//!
//! ```sh
//! cargo run -p avhdx --example read -- testdata/sample/checkpoint-2.avhdx
//! ```

use vhdx::{Chain, DiskOffset, FolderResolver, OnWriter, Source};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args_os().nth(1).ok_or("usage: read DISK")?;
    // The resolver searches for the parents by the stored paths, and by GUID in the folder of each child. The shared
    // locks keep out other programs that write.
    let chain = Chain::open(&path, &FolderResolver::default())?;
    chain.lock_shared(OnWriter::Fail)?;
    // One read validates only what it uses. Before a whole disk is read, the places of all blocks are validated.
    chain.validate_placement()?;

    let (mut stored, mut zeros) = (0, 0);
    for extent in chain.extents(DiskOffset::new(0)..DiskOffset::new(chain.virtual_size())) {
        let extent = extent?;
        match extent.source {
            Source::Data { .. } => stored += extent.len,
            _ => zeros += extent.len,
        }
    }
    println!(
        "{} bytes: {stored} are stored in {} files, {zeros} read as zeros",
        chain.virtual_size(),
        chain.layers().len()
    );

    let mut sector = vec![0; chain.logical_sector_size() as usize];
    chain.read_exact_at(&mut sector, DiskOffset::new(0))?;
    println!("the first sector begins with {:02x?}", &sector[..16]);

    // No lock keeps out every program, so the end of a long read checks that no file has changed.
    chain.ensure_unchanged()?;
    Ok(())
}
