//! `vhdx serve`: serves the disks of chains to NBD clients.

mod address;
mod disks;
mod in_place;
mod log;
mod started;
mod written;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use vhdx_serve::{Export, Limits, Listener, ServeError, Server, Stop};

use self::disks::{Disks, Served};
use self::log::Log;
use self::started::Started;
use super::reading::Reading;
use crate::args::Serve;
use crate::exit::{Failure, Outcome};
use crate::interrupt;
use crate::output::Output;

/// How often the server looks whether a signal has arrived.
const POLL: Duration = Duration::from_millis(50);

pub(super) fn run(output: Output, serve: &Serve) -> Result<Outcome, Failure> {
    address::ensure_allowed(serve)?;
    let mut reading = Reading::new(output, &serve.parents.parent_dir).on_writer(serve.share.on_writer());
    if serve.dry_run {
        let disks = Disks::planned(&mut reading, serve)?;
        let started = Started { serve, disks: &disks, addresses: &[] };
        reading.answer(|| started.json(), |out| started.text(out))?;
        return Ok(Outcome::Done);
    }
    // A signal from now on ends the server in an orderly way: it must not leave a snapshot or a dirty log behind.
    let interrupted = interrupt::watch().map_err(|error| Failure::io("cannot watch for Ctrl-C", &error))?;
    // The sockets first: if an address is in use, no child has been made yet.
    let listeners = address::listen(serve)?;
    let addresses: Vec<_> = listeners.iter().map(|listener| listener.address().clone()).collect();
    let disks = Disks::open(&mut reading, serve)?;
    let server = server(output, serve, &disks)?;
    let started = Started { serve, disks: &disks, addresses: &addresses };
    reading.answer(|| started.json(), |out| started.text(out))?;
    let served = serve_until(&server, listeners, &interrupted);
    drop(server);
    // After an error, too: then as much as possible is durable.
    let closed = disks.close();
    served.map_err(failure)?;
    closed?;
    Ok(Outcome::Done)
}

fn server(output: Output, serve: &Serve, disks: &Disks) -> Result<Server, Failure> {
    let export = |served: &Served| {
        let disk = Arc::clone(&served.disk);
        Export::new(served.name.as_str(), served.description(), disk).map_err(failure)
    };
    let exports = disks.exports.iter().map(export).collect::<Result<Vec<_>, _>>()?;
    let mut limits = Limits::default();
    limits.connections = serve.max_connections.into();
    let server = Server::new(exports, 0, limits, Arc::new(Log::new(output)), serve.threads.jobs);
    let server = server.map_err(failure)?;
    Ok(if serve.once { server.end_after_last_client() } else { server })
}

/// Runs the server until it ends by itself, or a signal arrives.
fn serve_until(
    server: &Server,
    listeners: Vec<Listener>,
    interrupted: &AtomicBool,
) -> Result<(), ServeError> {
    let (stop, has_ended) = (Stop::new(), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !has_ended.load(Ordering::Relaxed) {
                if interrupted.load(Ordering::Relaxed) {
                    return stop.stop();
                }
                thread::sleep(POLL);
            }
        });
        let served = server.run(listeners, &stop);
        has_ended.store(true, Ordering::Relaxed);
        served
    })
}

fn failure(error: ServeError) -> Failure {
    Failure::failed_io(error.to_string())
}
