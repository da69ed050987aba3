//! The asynchronous runtime of all requests, hidden behind blocking calls.

use std::future::Future;
use std::io;
use std::sync::{LazyLock, mpsc};

use tokio::runtime::{Builder, Runtime};
use tokio::task::AbortHandle;

/// The runtime lives as long as the process: to end one in an asynchronous caller would panic.
static RUNTIME: LazyLock<io::Result<Runtime>> = LazyLock::new(|| {
    Builder::new_multi_thread().worker_threads(2).thread_name("remote").enable_all().build()
});

/// Starts a task that sends its result to a channel, which must have room for it.
///
/// A task that panics sends an error, and so does one that is ended by the handle that is returned.
///
/// # Errors
/// The runtime could not be started.
pub(crate) fn begin<T: Send + 'static>(
    results: mpsc::SyncSender<io::Result<T>>,
    task: impl Future<Output = io::Result<T>> + Send + 'static,
) -> io::Result<AbortHandle> {
    let runtime = RUNTIME.as_ref().map_err(|error| io::Error::new(error.kind(), error.to_string()))?;
    let task = runtime.spawn(task);
    let handle = task.abort_handle();
    runtime.spawn(async move {
        let result = task.await.unwrap_or_else(|_| Err(lost()));
        drop(results.try_send(result)); // an error means that nobody waits any more
    });
    Ok(handle)
}

/// Runs a task and waits for it. This works in any thread, also in one of another runtime.
///
/// # Errors
/// Those of the task. A task that panicked is an error too.
pub(crate) fn wait<T: Send + 'static>(
    task: impl Future<Output = io::Result<T>> + Send + 'static,
) -> io::Result<T> {
    let (send, receive) = mpsc::sync_channel(1);
    begin(send, task)?;
    receive.recv().map_err(|_| lost())?
}

/// Returns the error about a task that ended without a result.
pub(crate) fn lost() -> io::Error {
    io::Error::other("a request ended without a result: this is a bug")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_panics_is_an_error() {
        let task = async { if true { panic!("as planned") } else { Ok(()) } };
        assert_eq!(wait(task).unwrap_err().to_string(), lost().to_string());
    }

    #[test]
    fn waiting_inside_another_runtime_works() {
        let other = Builder::new_current_thread().build().unwrap();
        assert_eq!(other.block_on(async { wait(async { Ok(7) }) }).unwrap(), 7);
    }
}
