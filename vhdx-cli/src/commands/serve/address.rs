//! Where `serve` listens.

use std::net::SocketAddr;
use std::path::Path;

#[cfg(unix)]
use vhdx_serve::Address;
use vhdx_serve::Listener;

use crate::args::Serve;
use crate::exit::Failure;
use crate::output::shown;

/// Returns an error if the address would open the disk to other hosts and the options do not allow that.
pub(super) fn ensure_allowed(serve: &Serve) -> Result<(), Failure> {
    match serve.tcp {
        Some(address) if is_for_others(address) && !serve.listen_any => Err(for_others(address)),
        Some(_) if serve.listen_any && !serve.insecure => Err(Failure::usage(
            "--listen-any needs --insecure: the connection is not encrypted, and there is no password",
        )),
        _ => Ok(()),
    }
}

fn is_for_others(address: SocketAddr) -> bool {
    !address.ip().to_canonical().is_loopback()
}

fn for_others(address: SocketAddr) -> Failure {
    Failure::usage(format!("refused to listen on {address}: other hosts could reach it")).with_hint(
        "listen on 127.0.0.1 and let clients come through SSH (`ssh -L`), or allow it with `--listen-any --insecure`: \
         then everybody who reaches the port can read the disk, and write to it if clients can write",
    )
}

/// Opens the socket of the options, or takes those that systemd has opened.
pub(super) fn listen(serve: &Serve) -> Result<Vec<Listener>, Failure> {
    match (&serve.unix, serve.tcp) {
        (Some(path), _) => Ok(vec![unix(path)?]),
        (None, Some(address)) => Ok(vec![tcp(address)?]),
        (None, None) => activated(serve),
    }
}

fn tcp(address: SocketAddr) -> Result<Listener, Failure> {
    Listener::tcp(address).map_err(|error| Failure::io(format!("cannot listen on {address}"), &error))
}

#[cfg(unix)]
fn unix(path: &Path) -> Result<Listener, Failure> {
    Listener::unix(path).map_err(|error| {
        let failure = Failure::io(format!("cannot listen on {}", shown(path)), &error);
        match error.kind() {
            std::io::ErrorKind::AddrInUse => failure
                .with_hint("another server listens there, or the file is not a socket: choose another name"),
            _ => failure,
        }
    })
}

#[cfg(not(unix))]
fn unix(path: &Path) -> Result<Listener, Failure> {
    let message = format!("cannot listen on {}: this system has no Unix sockets", shown(path));
    Err(Failure::unsupported(message).with_hint("listen on a port of this host: `--tcp 127.0.0.1:10809`"))
}

const NO_ADDRESS: &str = "choose where to listen: --unix PATH, or --tcp 127.0.0.1:10809";

/// Takes all sockets that systemd has opened for this process (`LISTEN_FDS`).
#[cfg(unix)]
fn activated(serve: &Serve) -> Result<Vec<Listener>, Failure> {
    let mut sockets = listenfd::ListenFd::from_env();
    let count = sockets.len();
    let listeners: Vec<Listener> =
        (0..count).map(|number| take(&mut sockets, number)).collect::<Result<_, _>>()?;
    for listener in &listeners {
        match listener.address() {
            Address::Tcp(address) if is_for_others(*address) && !serve.insecure => {
                return Err(for_others(*address));
            }
            _ => {}
        }
    }
    match listeners.is_empty() {
        true => Err(Failure::usage(NO_ADDRESS)),
        false => Ok(listeners),
    }
}

#[cfg(unix)]
fn take(sockets: &mut listenfd::ListenFd, number: usize) -> Result<Listener, Failure> {
    let cannot = |error| Failure::io(format!("cannot use socket {number} of systemd"), &error);
    // A socket of another type is an error, and is not taken.
    if let Ok(Some(socket)) = sockets.take_unix_listener(number) {
        return Listener::from_unix(socket).map_err(cannot);
    }
    match sockets.take_tcp_listener(number).map_err(cannot)? {
        Some(socket) => Listener::from_tcp(socket).map_err(cannot),
        None => Err(Failure::failed_io(format!("socket {number} of systemd is used already"))),
    }
}

#[cfg(not(unix))]
fn activated(_: &Serve) -> Result<Vec<Listener>, Failure> {
    Err(Failure::usage(NO_ADDRESS))
}
