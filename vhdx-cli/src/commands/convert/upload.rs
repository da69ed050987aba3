//! `vhdx convert SRC URL`: uploads a disk. The object appears complete at the end, or not at all.

use vhdx::ops::{ConvertReport, to_stream};
use vhdx::{Error, InvalidArgument, Progress};

use crate::args::Convert;
use crate::commands::source::Opened;
use crate::exit::Failure;
use crate::output::Output;
use crate::progress::Bar;
use crate::remote;

/// Returns an error if the upload cannot succeed: before anything is read or sent, and also in a dry run.
pub(super) fn check(convert: &Convert, source: &Opened) -> Result<(), Failure> {
    ensure_no_source(convert, source)?;
    let size = source.disk().virtual_size();
    let possible = remote::ensure_uploadable(&convert.destination, size, convert.writing.force);
    Ok(possible.map_err(|error| Error::io("upload", None, error).in_file(&convert.destination))?)
}

/// Returns an error if the destination is one of the sources.
fn ensure_no_source(convert: &Convert, source: &Opened) -> Result<(), Failure> {
    match source.paths().any(|path| path == convert.destination) {
        true => Err(Error::from(InvalidArgument::DestinationIsSource).in_file(&convert.destination).into()),
        false => Ok(()),
    }
}

pub(super) fn execute(output: Output, convert: &Convert, source: &Opened) -> Result<ConvertReport, Failure> {
    let progress = Bar::tidying_up(output, "stopping; no new object is left behind")?;
    // Both the disk and the upload notice that the command was stopped: the upload with an error of its own.
    let stopped = |error: Error| match progress.is_cancelled() {
        true => Error::Cancelled,
        false => error,
    };
    let failed = |error| stopped(Error::io("upload", None, error)).in_file(&convert.destination);
    let disk = source.disk();
    let upload = remote::upload(&convert.destination, disk.virtual_size(), convert.writing.force);
    let mut upload = upload.map_err(failed)?;
    upload.cancel_when(progress.cancellation());
    // An error without a path is one of the stream.
    let made = to_stream(disk, &mut upload, convert.threads.jobs(), &progress)
        .map_err(|error| stopped(error).in_file(&convert.destination))?;
    upload.commit().map_err(failed)?;
    Ok(made)
}
