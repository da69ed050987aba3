//! Plain copies, which end with a sync of the target.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use anyhow::{Result, anyhow, bail};
use rustix::fs::{copy_file_range, fdatasync};

use super::read::{in_threads, read_each};
use super::request::requests;
use super::{Piece, Way, open, open_sources, pieces};

/// The number of bytes between early syncs.
const EARLY: u64 = 16 << 20;

/// Copies the pieces in a list into an existing file, and syncs it.
///
/// Without a list, copies the data of the only source, without its holes, into an existing or a new file.
pub(crate) fn copy(list: Option<&Path>, sources: &[PathBuf], target: &Path, way: &Way) -> Result<()> {
    let sources = open_sources(sources, way.reads_directly())?;
    let mut options = File::options();
    options.read(true).write(true).create(list.is_none()).truncate(false);
    let target = open(&mut options, target, way.writes_directly())?;
    if let (None, [source]) = (list, &sources[..]) {
        target.set_len(source.metadata()?.len())?;
    }
    let pieces = pieces(list, &sources)?;
    let copy = |written: &(dyn Fn(u64) + Sync)| copy_pieces(&sources, &target, &pieces, way, written);
    if way.early {
        with_early_syncs(&target, copy)?
    } else {
        copy(&|_| ())?
    }
    Ok(fdatasync(&target)?)
}

/// Copies the pieces. Calls `written` with the number of bytes of each write.
fn copy_pieces(
    sources: &[File],
    target: &File,
    pieces: &[Piece],
    way: &Way,
    written: &(dyn Fn(u64) + Sync),
) -> Result<()> {
    let (pieces, requests) = requests(pieces, way);
    if way.in_kernel {
        return in_threads(way.threads, pieces.len(), || {
            Box::new(|number| {
                let piece = &pieces[number];
                copy_in_kernel(&sources[piece.source as usize], target, piece)?;
                written(piece.len);
                Ok(())
            })
        });
    }
    read_each(sources, &requests, way, &|request, bytes| {
        for piece in &pieces[request.pieces.clone()] {
            let start = (piece.from - request.from) as usize;
            target.write_all_at(&bytes[start..start + piece.len as usize], piece.to)?;
            written(piece.len);
        }
        Ok(())
    })
}

fn copy_in_kernel(source: &File, target: &File, piece: &Piece) -> Result<()> {
    let (mut from, mut to, mut rest) = (piece.from, piece.to, piece.len);
    while rest > 0 {
        match copy_file_range(source, Some(&mut from), target, Some(&mut to), usize::try_from(rest)?)? {
            0 => bail!("the source ends too early"),
            copied => rest -= copied as u64,
        }
    }
    Ok(())
}

/// Syncs the target in a thread while `copy` writes to it.
fn with_early_syncs(target: &File, copy: impl FnOnce(&(dyn Fn(u64) + Sync)) -> Result<()>) -> Result<()> {
    let (begin, begun): (SyncSender<()>, _) = sync_channel(1);
    let sum = AtomicU64::new(0);
    thread::scope(|scope| {
        let syncs = scope.spawn(move || begun.iter().try_for_each(|()| fdatasync(target)));
        let copied = copy(&|bytes| {
            let before = sum.fetch_add(bytes, Ordering::Relaxed);
            if before / EARLY < (before + bytes) / EARLY {
                // If a sync is waiting already, it includes these bytes.
                let _ = begin.try_send(());
            }
        });
        drop(begin);
        let synced = syncs.join().map_err(|_| anyhow!("the thread that syncs panicked"))?;
        copied.and(Ok(synced?))
    })
}
