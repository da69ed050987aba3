//! The bar on the terminal, and Ctrl-C.

use std::io::{IsTerminal, stderr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use vhdx::Progress;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

const TEMPLATE: &str =
    "{bar:30} {percent:>3}% {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta} left";

/// Progress on stderr if that is a terminal, else silent.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// A bar for work that makes nothing, so that Ctrl-C may end it at once.
    pub(crate) fn new(quiet: bool) -> Self {
        if quiet || !stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style.progress_chars("=> "));
        }
        Self(bar)
    }

    /// A bar for work that makes a file: from now on Ctrl-C (and on Unix SIGTERM and SIGHUP) asks the operation to
    /// stop and tidy up, instead of ending the process.
    pub(crate) fn tidying_up(quiet: bool) -> anyhow::Result<Self> {
        ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::Relaxed))
            .context("cannot watch for Ctrl-C")?;
        Ok(Self::new(quiet))
    }
}

impl Progress for Bar {
    fn start(&self, total: u64) {
        self.0.set_length(total);
        self.0.enable_steady_tick(Duration::from_millis(200));
    }

    fn advance(&self, bytes: u64) {
        self.0.inc(bytes);
    }

    fn is_cancelled(&self) -> bool {
        INTERRUPTED.load(Ordering::Relaxed)
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
