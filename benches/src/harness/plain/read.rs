//! Plain reads.

use std::fs::File;
use std::hint::black_box;
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Result, anyhow};
use rustix::fs::{Advice, fadvise};

use super::request::{Request, requests};
use super::{Way, open_sources, pieces, uring};
use crate::harness::files::aligned_buffer;

/// The work on the bytes of a read.
pub(super) type Consume<'a> = &'a (dyn Fn(&Request, &[u8]) -> Result<()> + Sync);

/// Reads the pieces in a list, or the data of the only source if there is no list.
pub(crate) fn read(list: Option<&Path>, sources: &[PathBuf], way: &Way) -> Result<()> {
    let sources = open_sources(sources, way.reads_directly())?;
    let (_, requests) = requests(&pieces(list, &sources)?, way);
    read_each(&sources, &requests, way, &|_, bytes| {
        black_box(bytes);
        Ok(())
    })
}

/// Carries out the reads in a way, and hands on the bytes of each, in any order.
pub(super) fn read_each(
    sources: &[File],
    requests: &[Request],
    way: &Way,
    consume: Consume<'_>,
) -> Result<()> {
    if way.is_uring() {
        return uring::read_each(sources, requests, way.uring, consume);
    }
    let announce = |request: &Request| {
        let len = NonZeroU64::new(request.len as u64);
        fadvise(&sources[request.source], request.from, len, Advice::WillNeed)
    };
    requests.iter().take(way.ahead).try_for_each(announce)?;
    let longest = requests.iter().map(|request| request.len).max().unwrap_or(0);
    in_threads(way.threads, requests.len(), || {
        let mut bytes = Vec::new();
        aligned_buffer(&mut bytes, longest);
        Box::new(move |number| {
            if let Some(later) = requests.get(number + way.ahead).filter(|_| way.ahead > 0) {
                announce(later)?;
            }
            let request = &requests[number];
            let buf = &mut aligned_buffer(&mut bytes, longest)[..request.len];
            sources[request.source].read_exact_at(buf, request.from)?;
            consume(request, buf)
        })
    })
}

type Task<'a> = Box<dyn FnMut(usize) -> Result<()> + 'a>;

/// Calls the task of each thread with numbers below `count`, each number once. Stops at the first error.
pub(super) fn in_threads<'a>(threads: usize, count: usize, task: impl Fn() -> Task<'a> + Sync) -> Result<()> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut task = task();
        loop {
            match next.fetch_add(1, Ordering::Relaxed) {
                number if number < count => task(number)?,
                _ => return Ok(()),
            }
        }
    };
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let first = work();
        let others = others.into_iter().map(|one| one.join().map_err(|_| anyhow!("a thread panicked"))?);
        others.fold(first, |all, one| all.and(one))
    })
}
