//! Shows the progress of an operation on the terminal, and tells the operation when to stop.

use std::fmt;
use std::io::{IsTerminal, Write, stderr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use vhdx::Progress;

use crate::exit::Failure;
use crate::interrupt;
use crate::output::Output;

const TEMPLATE: &str =
    "{bar:30} {percent:>3}% {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {left}";

/// A progress bar on stderr, hidden if stderr is not a terminal.
pub(crate) struct Bar {
    bar: ProgressBar,
    interrupted: Arc<AtomicBool>,
    /// The message to print once, as soon as the operation is asked to stop.
    answer: Mutex<Option<&'static str>>,
}

impl Bar {
    /// Returns a bar for work that writes nothing: Ctrl-C ends the process at once.
    pub(crate) fn new(quiet: bool) -> Self {
        Self { bar: Self::shown(quiet), interrupted: Arc::default(), answer: Mutex::new(None) }
    }

    fn shown(quiet: bool) -> ProgressBar {
        if quiet || !stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        in_style(bar)
    }

    /// Returns a bar for work that writes files: from now on, Ctrl-C (on Unix also SIGTERM and SIGHUP) asks the
    /// operation to stop and clean up, instead of ending the process.
    ///
    /// Prints `answer` as soon as the operation is asked to stop, because stopping can take some time.
    pub(crate) fn tidying_up(output: Output, answer: &'static str) -> Result<Self, Failure> {
        let interrupted =
            interrupt::watch().map_err(|error| Failure::io("cannot watch for Ctrl-C", &error))?;
        let answer = Mutex::new(Some(answer).filter(|_| output.has_notes()));
        Ok(Self { bar: Self::shown(output.quiet), interrupted, answer })
    }

    /// Returns a function that tells whether the operation was asked to stop, for a thread or object of its own.
    pub(crate) fn cancellation(&self) -> impl Fn() -> bool + Send + use<> {
        let interrupted = Arc::clone(&self.interrupted);
        move || interrupted.load(Ordering::Relaxed)
    }

    /// Prints something on the terminal while the bar is hidden.
    pub(crate) fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }

    /// Whether the operation was asked to stop. Prints the answer the first time.
    fn is_interrupted(&self) -> bool {
        let is_interrupted = self.interrupted.load(Ordering::Relaxed);
        if is_interrupted && let Some(answer) = self.take_answer() {
            self.bar.suspend(|| {
                let _ = writeln!(stderr(), "vhdx: {answer}");
            });
        }
        is_interrupted
    }

    fn take_answer(&self) -> Option<&'static str> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

fn in_style(bar: ProgressBar) -> ProgressBar {
    if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
        bar.set_style(style.with_key("left", time_left).progress_chars("=> "));
    }
    bar
}

/// Writes the estimated time left. Before the first step the estimate is zero, and nothing is written.
fn time_left(state: &ProgressState, out: &mut dyn fmt::Write) {
    if !state.eta().is_zero() {
        let _ = write!(out, "{:#} left", HumanDuration(state.eta()));
    }
}

impl Progress for Bar {
    fn start(&self, total: u64) {
        self.bar.set_length(total);
        self.bar.enable_steady_tick(Duration::from_millis(200));
    }

    fn advance(&self, bytes: u64) {
        self.bar.inc(bytes);
        self.is_interrupted();
    }

    fn is_cancelled(&self) -> bool {
        self.is_interrupted()
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use indicatif::TermLike;

    use super::*;

    /// A terminal that records everything written to it.
    #[derive(Clone, Debug, Default)]
    struct Recorder(Arc<Mutex<String>>);

    impl Recorder {
        fn take(&self) -> String {
            std::mem::take(&mut *self.0.lock().unwrap())
        }
    }

    impl TermLike for Recorder {
        fn width(&self) -> u16 {
            120
        }

        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(text)
        }

        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().push_str(text);
            Ok(())
        }

        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }

        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_first_frame_shows_no_time_left() {
        for total in [0, 1 << 30] {
            let recorder = Recorder::default();
            let target = ProgressDrawTarget::term_like_with_hz(Box::new(recorder.clone()), u8::MAX);
            let bar = in_style(ProgressBar::with_draw_target(None, target));
            bar.set_length(total);
            bar.tick();
            let first = recorder.take();
            assert!(first.contains('%') && !first.contains("left"), "{first}");
        }
    }

    #[test]
    fn later_frames_show_the_time_left() {
        let recorder = Recorder::default();
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(recorder.clone()), u8::MAX);
        let bar = in_style(ProgressBar::with_draw_target(None, target));
        bar.set_length(1 << 40);
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(20));
            bar.inc(1 << 20);
            bar.tick();
        }
        assert!(recorder.take().contains(" left"));
    }

    #[test]
    fn a_request_to_stop_is_answered_once() {
        let mut bar = Bar::new(true);
        bar.answer = Mutex::new(Some("stopping"));
        assert!(!bar.is_cancelled());
        assert!(bar.answer.lock().unwrap().is_some());
        bar.interrupted.store(true, Ordering::Relaxed);
        bar.advance(1);
        assert!(bar.answer.lock().unwrap().is_none());
        assert!(bar.is_cancelled());
    }
}
