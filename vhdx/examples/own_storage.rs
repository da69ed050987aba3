//! Reads a disk from a storage that the library does not know: here, one that counts its requests.
//!
//! An object store, a backup archive or an encrypted file is read in the same way: implement [`ReadAt`] for it.
//!
//! ```sh
//! cargo run -p avhdx --example own_storage -- testdata/sample/base.vhdx
//! ```

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use vhdx::{Chain, DiskOffset, FileOffset, FileStorage, OpenOptions, ReadAt, Vhdx};

struct Counting<S> {
    storage: S,
    requests: Arc<AtomicU64>,
}

impl<S: ReadAt> ReadAt for Counting<S> {
    fn size(&self) -> io::Result<u64> {
        self.storage.size()
    }

    /// May be called from several threads at once.
    fn read_exact_at(&self, buf: &mut [u8], offset: FileOffset) -> io::Result<()> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.storage.read_exact_at(buf, offset)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args_os().nth(1).ok_or("usage: own_storage BASE")?;
    let requests = Arc::new(AtomicU64::new(0));
    let storage = Counting { storage: FileStorage::open(path.as_ref())?, requests: requests.clone() };

    // A chain of one file. With parents, open each with `Vhdx::open_with`, and list them leaf first.
    let chain = Chain::from_layers(vec![Vhdx::open_with(storage, &OpenOptions::default())?])?;
    let opening = requests.swap(0, Ordering::Relaxed);
    let mut first = vec![0; 65536];
    chain.read_exact_at(&mut first, DiskOffset::new(0))?;
    println!("{opening} requests to open the file, {} to read 64 KiB", requests.load(Ordering::Relaxed));
    Ok(())
}
