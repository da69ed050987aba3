//! Formats the facts of findings as messages.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use super::fact::FindingFact;
use crate::family::TimeSource;
use crate::quoted::Quoted;

impl fmt::Display for FindingFact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FindingFact::Problem(problem) => problem.fmt(f),
            FindingFact::OldCheckpoint { names, age, limit, time_source } => {
                let source = match time_source {
                    TimeSource::Configuration => "the configuration of the checkpoint",
                    TimeSource::File => "the files",
                    TimeSource::Parent => "a checkpoint that it depends on",
                };
                let (names, age, limit) = (Names(names), Span(*age), Span(*limit));
                write!(f, "keeps the checkpoint{names}, which is {age} old by {source}; the limit is {limit}")
            }
            FindingFact::LargeCheckpoint { names, size, limit } => {
                write!(
                    f,
                    "keeps the checkpoint{}, which takes {size} bytes; the limit is {limit}",
                    Names(names)
                )
            }
            FindingFact::UnknownAge { names } => {
                write!(f, "keeps the checkpoint{}, whose age is not known", Names(names))
            }
            FindingFact::LowSpace { free, size: Some(size), limit } => {
                write!(f, "is on a volume with {free} of {size} bytes free; the limit is {limit}")
            }
            FindingFact::LowSpace { free, size: None, limit } => {
                write!(f, "is on a volume with {free} bytes free; the limit is {limit}")
            }
            FindingFact::UnknownSpace => f.write_str("is on a volume whose free space is not known"),
            FindingFact::DeepChain { depth, limit } => {
                write!(f, "is the newest file of a chain of {depth} files; the limit is {limit}")
            }
            FindingFact::FutureTime { ahead, .. } => {
                write!(f, "has a time that lies {} in the future", Span(*ahead))
            }
        }
    }
}

/// The most names of one checkpoint that a message has. There usually is one.
const MAX_NAMES: usize = 3;

/// Displays the names of a checkpoint, after a space; nothing without names.
struct Names<'a>(&'a [String]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, name) in self.0.iter().take(MAX_NAMES).enumerate() {
            write!(f, "{}{}", if i == 0 { " " } else { ", " }, Quoted(Path::new(name)))?;
        }
        match self.0.len().checked_sub(MAX_NAMES) {
            Some(more @ 1..) => write!(f, " and {more} more"),
            _ => Ok(()),
        }
    }
}

/// Displays a duration in its largest unit, rounded down: `12 days`, `1 hour`.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 3] = [(86_400, "day"), (3600, "hour"), (60, "minute")];
        let seconds = self.0.as_secs();
        // Two days at least: `25 hours` says more than `1 day`.
        let fits = |(length, _): &&(u64, &str)| seconds >= 2 * length || (*length == 60 && seconds >= 60);
        let (length, unit) = UNITS.iter().find(fits).unwrap_or(&(1, "second"));
        let count = seconds / length;
        write!(f, "{count} {unit}{}", if count == 1 { "" } else { "s" })
    }
}
