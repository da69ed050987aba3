//! Digests of disks and files.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};
use vhdx::{Chain, Source};

use super::at;

const CHUNK: u64 = 1 << 20;
const PAGE: usize = 4096;

/// The SHA-256 of a file.
pub(crate) fn of_file(path: &Path) -> String {
    let mut file = File::open(path).unwrap();
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK as usize];
    loop {
        match file.read(&mut chunk).unwrap() {
            0 => return hex(hash),
            len => hash.update(&chunk[..len]),
        }
    }
}

/// The SHA-256 of a whole disk.
pub(crate) fn of_disk(chain: &Chain) -> String {
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK as usize];
    for start in (0..chain.virtual_size()).step_by(CHUNK as usize) {
        let len = CHUNK.min(chain.virtual_size() - start) as usize;
        chain.read_exact_at(&mut chunk[..len], at(start)).unwrap();
        hash.update(&chunk[..len]);
    }
    hex(hash)
}

/// The SHA-256 of (8-byte little-endian offset + 4096 bytes) of every 4 KiB page that is not all zero, in order; a short
/// last page is padded with zeros. Only what has data is read.
pub(crate) fn of_pages(chain: &Chain) -> String {
    let size = chain.virtual_size();
    let mut hash = Sha256::new();
    let mut done = 0;
    for extent in chain.extents(at(0)..at(size)) {
        let extent = extent.unwrap();
        if !matches!(extent.source, Source::Data { .. }) {
            continue;
        }
        let first = (extent.start.get() / PAGE as u64 * PAGE as u64).max(done);
        let end = extent.end().get().next_multiple_of(PAGE as u64);
        let mut chunk = vec![0; CHUNK as usize];
        for start in (first..end).step_by(CHUNK as usize) {
            let pages = &mut chunk[..CHUNK.min(end - start) as usize];
            let on_disk = (size - start).min(pages.len() as u64) as usize;
            pages[on_disk..].fill(0);
            chain.read_exact_at(&mut pages[..on_disk], at(start)).unwrap();
            for (offset, page) in (start..).step_by(PAGE).zip(pages.chunks(PAGE)) {
                if page.iter().any(|&byte| byte != 0) {
                    hash.update(offset.to_le_bytes());
                    hash.update(page);
                }
            }
        }
        done = done.max(end);
    }
    hex(hash)
}

/// Copies a stream into a file with holes for its zeros.
pub(crate) fn copy_sparse(from: &mut dyn Read, to: &Path) -> io::Result<()> {
    use std::io::{Seek, SeekFrom, Write};
    let mut file = File::create(to)?;
    let mut len = 0;
    let mut chunk = Vec::new();
    while from.take(64 << 10).read_to_end(&mut chunk)? > 0 {
        if chunk.iter().any(|&byte| byte != 0) {
            file.seek(SeekFrom::Start(len))?;
            file.write_all(&chunk)?;
        }
        len += chunk.len() as u64;
        chunk.clear();
    }
    file.set_len(len)
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
