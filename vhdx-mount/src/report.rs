//! Reports failed reads, without flooding a log when a program reads a damaged range again and again.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A function that gets each line about a failed read. Several threads call it.
pub type Report = Arc<dyn Fn(&str) + Send + Sync>;

/// The time in which at most [`MAX_LINES`] are reported.
const PERIOD: Duration = Duration::from_secs(10);
const MAX_LINES: u32 = 20;

/// Passes errors on: each error once in a row, and not too many in a short time.
pub(crate) struct Reporter {
    report: Report,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    since: Option<Instant>,
    lines: u32,
    left_out: u64,
    last: String,
}

impl Reporter {
    pub(crate) fn new(report: Report) -> Self {
        Self { report, state: Mutex::default() }
    }

    /// Reports what failed, and the error. An error that is the same as the last one is not reported again: the kernel
    /// asks for each page of a damaged range.
    pub(crate) fn failure(&self, what: &str, error: &str) {
        let (is_wanted, left_out) = self.note(error, Instant::now());
        if left_out > 0 {
            (self.report)(&format!("{left_out} more errors are not listed"));
        }
        if is_wanted {
            (self.report)(&format!("{what}: {error}"));
        }
    }

    /// Returns whether the error is wanted, and how many others were left out before it.
    fn note(&self, error: &str, now: Instant) -> (bool, u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.last == error {
            return (false, 0);
        }
        let mut left_out = 0;
        if state.since.is_none_or(|since| now.saturating_duration_since(since) >= PERIOD) {
            left_out = std::mem::take(&mut state.left_out);
            (state.since, state.lines) = (Some(now), 0);
        }
        if state.lines >= MAX_LINES {
            state.left_out = state.left_out.saturating_add(1);
            return (false, left_out);
        }
        state.lines = state.lines.saturating_add(1);
        error.clone_into(&mut state.last);
        (true, left_out)
    }
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_errors_and_floods_are_shortened() {
        let reporter = Reporter::new(Arc::new(|_| ()));
        let start = Instant::now();
        assert_eq!(reporter.note("a", start), (true, 0));
        assert_eq!(reporter.note("a", start), (false, 0));
        let wanted = (0..100).filter(|number| reporter.note(&format!("b{number}"), start).0).count();
        assert_eq!(wanted, MAX_LINES as usize - 1);
        assert_eq!(reporter.note("c", start + PERIOD), (true, 81));
        assert_eq!(reporter.note("d", start + PERIOD), (true, 0));
    }
}
