//! The bar on the terminal, and being asked to stop.

use std::io::{IsTerminal, stderr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use vhdx::Progress;

use crate::interrupt;

const TEMPLATE: &str =
    "{bar:30} {percent:>3}% {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta} left";

/// Progress on stderr if that is a terminal, else silent.
pub(crate) struct Bar {
    bar: ProgressBar,
    interrupted: Arc<AtomicBool>,
}

impl Bar {
    /// A bar for work that makes nothing, so that Ctrl-C may end it at once.
    pub(crate) fn new(quiet: bool) -> Self {
        Self { bar: Self::shown(quiet), interrupted: Arc::default() }
    }

    fn shown(quiet: bool) -> ProgressBar {
        if quiet || !stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar
    }

    /// A bar for work that makes a file: from now on Ctrl-C (and on Unix SIGTERM and SIGHUP) asks the operation to
    /// stop and tidy up, instead of ending the process.
    pub(crate) fn tidying_up(quiet: bool) -> anyhow::Result<Self> {
        let interrupted = interrupt::watch().context("cannot watch for Ctrl-C")?;
        Ok(Self { bar: Self::shown(quiet), interrupted })
    }
}

impl Progress for Bar {
    fn start(&self, total: u64) {
        self.bar.set_length(total);
        self.bar.enable_steady_tick(Duration::from_millis(200));
    }

    fn advance(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    fn is_cancelled(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
