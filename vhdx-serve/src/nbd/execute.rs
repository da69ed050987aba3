//! Executes requests on the disk of an export.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use vhdx::{Disk, DiskOffset, Error, Extent, Source};

use super::block_status::{is_zero, statuses};
use super::buffers::{Buffer, Buffers};
use super::offer::Agreement;
use super::protocol::Code;
use super::reply::{self, Reply, Run};
use super::request::Command;
use crate::shared_disk::DiskError;

/// The shortest hole that has a chunk of its own. A shorter one is sent as zeros.
const SHORTEST_HOLE: u64 = 4096;
/// The most bytes of zeros that are written while the disk is locked.
const ZEROS_AT_ONCE: u64 = 1 << 20;
/// The greatest size of a block in bytes ([MS-VHDX] 2.6.2.1). All sizes divide it.
const GREATEST_BLOCK: u64 = 256 << 20;
/// The most bytes that are announced to the files of a disk because of one request.
const MOST_ANNOUNCED: u64 = 32 << 20;

/// The reason why a request failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) code: Code,
    /// Names the file and the offset in it, if one failed.
    pub(super) reason: String,
    /// The place on the disk, if it is known.
    pub(super) offset: Option<u64>,
    pub(super) is_client_error: bool,
}

impl From<DiskError> for Failure {
    fn from(error: DiskError) -> Self {
        let (code, reason) = match error {
            DiskError::ReadOnly => (Code::NotPermitted, "the export is read-only".to_owned()),
            DiskError::Closed => (Code::ShuttingDown, "the server is shutting down".to_owned()),
            DiskError::FailedBefore => (
                Code::Io,
                "an earlier write or flush of this export failed, so all later ones fail; restart the server"
                    .to_owned(),
            ),
            DiskError::Failed(error) => (code_of(&error), error.to_string()),
        };
        Self { code, reason, offset: None, is_client_error: false }
    }
}

fn code_of(error: &Error) -> Code {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    let is_full = |error: &io::Error| matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge);
    match error.without_path() {
        Error::NoSpace { .. } => Code::NoSpace,
        _ if error.io_error().is_some_and(is_full) => Code::NoSpace,
        _ => Code::Io,
    }
}

/// Executes a request and returns the reply. `payload` is that of a write.
///
/// # Errors
/// A [`Failure`], for which the caller sends an error.
pub(super) fn execute(
    agreement: &Agreement,
    buffers: &Arc<Buffers>,
    cookie: u64,
    command: &Command,
    payload: &[u8],
) -> Result<Reply, Failure> {
    if let Command::Read { range, is_whole } = command {
        return read(agreement, buffers, cookie, range, *is_whole);
    }
    if let Command::BlockStatus { range, is_one } = command {
        let (disk, contexts) = (agreement.export.disk(), &agreement.contexts);
        let lists =
            disk.read(|files| Ok(statuses(files.extents(range.clone()), contexts, disk.layers(), *is_one)?))?;
        return Ok(Reply::block_status(cookie, &lists));
    }
    change(agreement, command, payload)?;
    let mut heads = Vec::new();
    reply::put_simple(&mut heads, cookie, None);
    Ok(Reply::of(heads))
}

/// Executes a request whose reply has no content.
pub(super) fn change(agreement: &Agreement, command: &Command, payload: &[u8]) -> Result<(), Failure> {
    let disk = agreement.export.disk();
    match command {
        Command::Write { offset, is_durable } => disk.write(payload, *offset, *is_durable)?,
        // Nothing is to be done for a read-only disk.
        Command::Flush if disk.is_read_only() => {}
        Command::Flush => disk.change(vhdx::DiskMut::flush)?,
        Command::Trim { range, is_durable } => {
            in_parts(agreement, range, *is_durable, |part| disk.unmap(part, false))?;
        }
        Command::WriteZeroes { range, is_durable, keeps_space: false } => {
            in_parts(agreement, range, *is_durable, |part| disk.write_zeros(part, false))?;
        }
        Command::WriteZeroes { range, is_durable, keeps_space: true } => {
            write_zeros_as_data(agreement, range, *is_durable)?;
        }
        Command::Cache(range) => announce(agreement, range)?,
        // They have content.
        Command::Read { .. } | Command::BlockStatus { .. } => {}
    }
    Ok(())
}

/// Changes a range in parts, so that other requests need not wait for all of them. The parts have whole blocks.
fn in_parts(
    agreement: &Agreement,
    range: &Range<DiskOffset>,
    is_durable: bool,
    change: impl Fn(Range<DiskOffset>) -> Result<(), DiskError>,
) -> Result<(), DiskError> {
    let (mut at, end) = (range.start.get(), range.end.get());
    while at < end {
        // The disk ends below 2^63.
        let part_end = (at / GREATEST_BLOCK + 1).saturating_mul(GREATEST_BLOCK).min(end);
        change(DiskOffset::new(at)..DiskOffset::new(part_end))?;
        at = part_end;
    }
    if is_durable { agreement.export.disk().change(vhdx::DiskMut::flush) } else { Ok(()) }
}

/// Writes zeros in parts, so that other requests need not wait for all of them.
fn write_zeros_as_data(
    agreement: &Agreement,
    range: &Range<DiskOffset>,
    is_durable: bool,
) -> Result<(), DiskError> {
    let disk = agreement.export.disk();
    let (mut at, end) = (range.start.get(), range.end.get());
    let zeros = vec![0; ZEROS_AT_ONCE.min(end - at) as usize];
    while at < end {
        let len = ZEROS_AT_ONCE.min(end - at);
        disk.write(&zeros[..len as usize], DiskOffset::new(at), false)?;
        at += len;
    }
    if is_durable { disk.change(vhdx::DiskMut::flush) } else { Ok(()) }
}

fn announce(agreement: &Agreement, range: &Range<DiskOffset>) -> Result<(), DiskError> {
    let end = range.end.get().min(range.start.get().saturating_add(MOST_ANNOUNCED));
    agreement.export.disk().read(|disk| {
        let extents: Result<Vec<Extent>, Error> = disk.extents(range.start..DiskOffset::new(end)).collect();
        disk.announce(&extents?);
        Ok(())
    })
}

/// Appends the reply to a read of a few bytes. If that fails, `out` is as before.
pub(super) fn read_small(
    agreement: &Agreement,
    cookie: u64,
    range: &Range<DiskOffset>,
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    let (start, before) = (range.start.get(), out.len());
    let len = (range.end.get() - start) as u32; // a request has a length of 32 bits
    match agreement.is_structured {
        true if len == 0 => reply::put_done(out, cookie),
        true => reply::put_only_data(out, cookie, start, len),
        false => reply::put_simple(out, cookie, None),
    }
    let content = out.len();
    out.resize(content + len as usize, 0);
    let read = agreement.export.disk().read(|disk| Ok(disk.read_exact_at(&mut out[content..], range.start)?));
    read.map_err(|error| {
        out.truncate(before);
        error.into()
    })
}

fn read(
    agreement: &Agreement,
    buffers: &Arc<Buffers>,
    cookie: u64,
    range: &Range<DiskOffset>,
    is_whole: bool,
) -> Result<Reply, Failure> {
    let is_structured = agreement.is_structured;
    let mut offset = None;
    let content = agreement.export.disk().read(|disk| {
        let mut plan = Plan::new(is_structured && !is_whole);
        for extent in disk.extents(range.clone()) {
            match extent {
                Ok(extent) => plan.add(extent),
                Err(error) => {
                    offset = Some(plan.end().unwrap_or(range.start.get()));
                    return Err(error.into());
                }
            }
        }
        if is_structured {
            plan.leave_out_only_zeros();
        }
        plan.read(disk, buffers)
            .map_err(|error| {
                offset = place_of(&error, &plan.extents);
                error.into()
            })
            .map(|content| (plan.runs, content))
    });
    let (runs, content) = content.map_err(|error| Failure { offset, ..error.into() })?;
    Ok(match is_structured {
        true => Reply::read(cookie, &runs, content),
        false => Reply::simple_read(cookie, content),
    })
}

/// The runs of a reply, and the extents of those that have content.
struct Plan {
    has_holes: bool,
    runs: Vec<Run>,
    /// The extents whose bytes are sent.
    extents: Vec<Extent>,
    /// The length of `extents` in bytes.
    len: usize,
}

impl Plan {
    fn new(has_holes: bool) -> Self {
        Self { has_holes, runs: Vec::new(), extents: Vec::new(), len: 0 }
    }

    /// Adds the next extent of the range. The length of the range has 32 bits.
    fn add(&mut self, extent: Extent) {
        let is_hole = self.has_holes && is_zero(extent.source) && extent.len >= SHORTEST_HOLE;
        let len = extent.len as u32;
        match self.runs.last_mut() {
            Some(run) if run.is_hole == is_hole => run.len = run.len.saturating_add(len),
            _ => self.runs.push(Run { start: extent.start.get(), len, is_hole }),
        }
        if !is_hole {
            self.len += extent.len as usize;
            self.extents.push(extent);
        }
    }

    /// Makes one hole of a range that is all zeros and was planned as one run of content.
    fn leave_out_only_zeros(&mut self) {
        if let [run] = &mut self.runs[..]
            && self.extents.iter().all(|extent| is_zero(extent.source))
        {
            run.is_hole = true;
            self.extents.clear();
            self.len = 0;
        }
    }

    /// The end on the disk of what was added.
    fn end(&self) -> Option<u64> {
        self.runs.last().map(|run| run.start + u64::from(run.len))
    }

    fn read(&self, disk: &dyn Disk, buffers: &Arc<Buffers>) -> Result<Buffer, Error> {
        let mut content = buffers.take(self.len);
        disk.read_extents(&self.extents, &mut content)?;
        Ok(content)
    }
}

/// Returns the place on the disk of an error, if only one extent can be the one that failed.
fn place_of(error: &Error, extents: &[Extent]) -> Option<u64> {
    let failed = error.offset()?.get();
    let mut places = extents.iter().filter_map(|extent| {
        let Source::Data { offset, .. } = extent.source else { return None };
        let within = failed.checked_sub(offset.get()).filter(|&within| within < extent.len)?;
        Some(extent.start.get() + within)
    });
    let first = places.next()?;
    places.next().is_none().then_some(first)
}
