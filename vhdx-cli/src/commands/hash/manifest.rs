//! Writes and reads manifests: the digests of the blocks of a disk, as JSON lines.
//!
//! The last line has a digest of all lines before it, so a manifest that was cut or edited is recognized. A manifest is
//! not trusted: its lines are bounded, only one line is in memory, and every block must be listed exactly once.

use std::io::{self, BufRead, Read, Write};
use std::path::Path;

use serde_json::json;
use vhdx::ops::{DigestRun, Hasher};

use super::line::{End, Fault, Header, Line};
use crate::exit::Failure;

/// The most bytes of a line with its end. The longest one has fewer than 200.
const MAX_LINE: u64 = 512;

pub(super) struct Writer<W> {
    out: W,
    header: Header,
    hasher: Hasher,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(out: W, header: Header) -> io::Result<Self> {
        let mut writer = Self { out, header, hasher: Hasher::new(header.algorithm) };
        writer.put_line(&header.encode())?;
        Ok(writer)
    }

    pub(super) fn put(&mut self, run: DigestRun) -> io::Result<()> {
        self.put_line(&Line::Run(run).encode())
    }

    fn put_line(&mut self, line: &str) -> io::Result<()> {
        self.hasher.update(line.as_bytes());
        self.out.write_all(line.as_bytes())
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        let end = End { blocks: self.header.blocks(), digest: self.hasher.finish() };
        self.out.write_all(Line::End(end).encode().as_bytes())?;
        self.out.flush()
    }
}

/// Why a manifest cannot be used.
#[derive(Debug)]
pub(super) enum Unusable {
    Io(io::Error),
    Line { number: u64, fault: Fault },
}

impl Unusable {
    /// Returns the failure of a command that reads the manifest at `path`.
    pub(super) fn in_file(self, path: &Path) -> Failure {
        let failure = match self {
            Self::Io(error) => Failure::io("cannot read the manifest", &error),
            Self::Line { number, fault } => match fault {
                Fault::Invalid(reason) => Failure::corrupt(format!("line {number} of the manifest: {reason}"))
                    .with_hint("the manifest was cut or edited, or is another file: use the original manifest"),
                Fault::Version(version) => Failure::unsupported(format!(
                    "line {number} of the manifest: its format has version {version}, which this program does not know"
                ))
                .with_hint("use the version of vhdx that wrote it, or a later one"),
            }
            .with_details([("line", json!(number))]),
        };
        failure.in_file(path)
    }
}

pub(super) struct Reader<R> {
    input: R,
    pub(super) header: Header,
    /// The number of lines that were read.
    lines: u64,
    /// The number of blocks that were listed.
    listed: u64,
    /// The lines that were read.
    hasher: Hasher,
    /// Whether the last line was read, and the manifest is intact.
    is_complete: bool,
    line: Vec<u8>,
}

impl<R: BufRead> Reader<R> {
    /// Reads the first line.
    pub(super) fn new(mut input: R) -> Result<Self, Unusable> {
        let mut line = Vec::new();
        let faulty = |fault| Unusable::Line { number: 1, fault };
        read_line(&mut input, &mut line).map_err(Unusable::Io)?.map_err(faulty)?;
        let header = Header::decode(&line).map_err(faulty)?;
        let mut hasher = Hasher::new(header.algorithm);
        hasher.update(&line);
        Ok(Self { input, header, lines: 1, listed: 0, hasher, is_complete: false, line })
    }

    /// Returns the digests of the next blocks. `None` if all blocks were listed and the manifest is intact.
    pub(super) fn next(&mut self) -> Result<Option<DigestRun>, Unusable> {
        if self.is_complete {
            return Ok(None);
        }
        self.lines += 1;
        let read = read_line(&mut self.input, &mut self.line).map_err(Unusable::Io)?;
        let line = read.and_then(|()| Line::decode(&self.line));
        match line.map_err(|fault| self.at_line(fault))? {
            Line::Run(run) => {
                self.listed = self.end_of(&run).map_err(|fault| self.at_line(fault))?;
                self.hasher.update(&self.line);
                Ok(Some(run))
            }
            Line::End(end) => {
                self.ensure_complete(&end).map_err(|fault| self.at_line(fault))?;
                if !self.input.fill_buf().map_err(Unusable::Io)?.is_empty() {
                    self.lines += 1;
                    return Err(self.at_line("the manifest ended before this line".into()));
                }
                self.is_complete = true;
                Ok(None)
            }
        }
    }

    /// Returns the error for the line that was read last.
    pub(super) fn at_line(&self, fault: Fault) -> Unusable {
        Unusable::Line { number: self.lines, fault }
    }

    /// Reads the rest, to find out whether the manifest is intact.
    pub(super) fn read_to_end(&mut self) -> Result<(), Unusable> {
        while self.next()?.is_some() {}
        Ok(())
    }

    /// Returns the number of blocks up to the end of a run, which must follow the last one.
    fn end_of(&self, run: &DigestRun) -> Result<u64, Fault> {
        let DigestRun { first, count, .. } = *run;
        if first < self.listed {
            return Err(Fault::Invalid(format!("block {first} is listed twice")));
        }
        if first > self.listed {
            return Err(Fault::Invalid(format!(
                "block {} is missing: the line has block {first}",
                self.listed
            )));
        }
        if count == 0 {
            return Err("`count` is 0".into());
        }
        let blocks = self.header.blocks();
        let end = first.checked_add(count).filter(|end| *end <= blocks);
        end.ok_or_else(|| {
            Fault::Invalid(format!("the blocks reach past the end of the disk, which has {blocks} blocks"))
        })
    }

    fn ensure_complete(&self, end: &End) -> Result<(), Fault> {
        let blocks = self.header.blocks();
        if self.listed != blocks {
            let listed = self.listed;
            return Err(Fault::Invalid(format!(
                "only {listed} of the {blocks} blocks of the disk are listed"
            )));
        }
        if end.blocks != blocks {
            return Err(Fault::Invalid(format!("`blocks` is {}, but the disk has {blocks}", end.blocks)));
        }
        match self.hasher.clone().finish() == end.digest {
            true => Ok(()),
            false => Err("`manifest_digest` is not the digest of the lines before".into()),
        }
    }
}

/// Reads one line with its end into `line`.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Result<(), Fault>> {
    line.clear();
    input.take(MAX_LINE).read_until(b'\n', line)?;
    Ok(match line.last() {
        Some(b'\n') => Ok(()),
        None => Err("the manifest is cut before this line".into()),
        Some(_) if line.len() as u64 == MAX_LINE => Err("the line is too long".into()),
        Some(_) => Err("the manifest is cut in this line".into()),
    })
}

#[cfg(test)]
mod tests;
