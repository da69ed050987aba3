//! `vhdx serve`: serves the disks of chains to NBD clients.

mod address;
mod disks;
mod in_place;
mod lines;
mod log;
mod signals;
mod started;
mod written;

use std::sync::Arc;

use vhdx_serve::{Address, Export, Limits, ServeError, Server, Stop};

use self::disks::{Disks, Served};
use self::log::Log;
use self::started::Started;
use super::reading::Reading;
use crate::args::Serve;
use crate::exit::{Failure, Outcome};
use crate::output::Output;

pub(super) fn run(output: Output, serve: &Serve) -> Result<Outcome, Failure> {
    address::ensure_allowed(serve)?;
    let mut reading = Reading::new(output, &serve.parents.parent_dir).on_writer(serve.share.on_writer());
    if serve.dry_run {
        let disks = Disks::planned(&mut reading, serve)?;
        let started = Started { serve, disks: &disks, addresses: &[] };
        reading.answer(|| started.json(), |out| started.text(out))?;
        return Ok(Outcome::Done);
    }
    // A signal must not leave a snapshot or a dirty log behind.
    let stop = Stop::new();
    signals::watch(stop.clone())?;
    // The sockets first: if an address is in use, no child has been made yet.
    let listeners = address::listen(serve)?;
    let addresses: Vec<Address> = listeners.iter().map(|listener| listener.address().clone()).collect();
    let disks = Disks::open(&mut reading, serve)?;
    let started = server(output, serve, &disks).and_then(|server| {
        let started = Started { serve, disks: &disks, addresses: &addresses };
        reading.answer(|| started.json(), |out| started.text(out))?;
        Ok(server)
    });
    let server = match started {
        Ok(server) => server,
        Err(failure) => {
            disks.abandon()?;
            return Err(failure);
        }
    };
    let served = server.run(listeners, &stop);
    drop(server); // and with it the log, after its last line
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

fn failure(error: ServeError) -> Failure {
    Failure::failed_io(error.to_string())
}
