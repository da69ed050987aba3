//! Defines [`Socket`]: a connection to a client of any kind.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

use super::ready::wait_readable;

/// The time after which the system asks whether a silent client is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// A connection to a client. Several threads may use it at the same time through references.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

/// Calls a method that both kinds of streams have.
macro_rules! each {
    ($socket:expr, $stream:ident => $call:expr) => {
        match $socket {
            Socket::Tcp($stream) => $call,
            #[cfg(unix)]
            Socket::Unix($stream) => $call,
        }
    };
}

impl Socket {
    /// Sets up a socket for requests and replies.
    pub(super) fn prepare(&self) -> io::Result<()> {
        each!(self, stream => stream.set_nonblocking(false))?;
        match self {
            Self::Tcp(stream) => {
                // A client whose host is gone would otherwise keep its connection for ever.
                SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEP_ALIVE))?;
                // A reply is complete when it is written: nothing follows that could be joined with it.
                stream.set_nodelay(true)
            }
            #[cfg(unix)]
            Self::Unix(_) => Ok(()),
        }
    }

    /// Sets the longest time that a read waits.
    pub(super) fn set_read_timeout(&self, time: Duration) -> io::Result<()> {
        each!(self, stream => stream.set_read_timeout(Some(time)))
    }

    /// Sets the longest time that a write waits.
    pub(super) fn set_write_timeout(&self, time: Duration) -> io::Result<()> {
        each!(self, stream => stream.set_write_timeout(Some(time)))
    }

    /// Ends one or both directions. Threads that wait for them return. A socket that is closed already is no error.
    pub(super) fn shut_down(&self, how: Shutdown) {
        let _ = each!(self, stream => stream.shutdown(how));
    }
}

impl Read for &Socket {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        each!(*self, stream => { let mut stream = stream; stream.read(buf) })
    }
}

impl Write for &Socket {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        each!(*self, stream => { let mut stream = stream; stream.write(buf) })
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        each!(*self, stream => { let mut stream = stream; stream.write_vectored(bufs) })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A socket whose reads end with a time-out after some time without bytes, after which it can be used further.
pub(super) struct Waiting<'a> {
    pub(super) socket: &'a Socket,
    /// On Unix it must also be the read time-out of the socket.
    pub(super) time: Duration,
}

impl Read for Waiting<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        // On Windows a read time-out leaves a socket in a state that is not defined. Elsewhere this call is left out,
        // because it takes time.
        if cfg!(windows) && !each!(self.socket, stream => wait_readable(stream, self.time))? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut socket = self.socket;
        socket.read(buf)
    }
}

/// A socket as a stream of its own.
#[derive(Debug)]
pub(super) struct SharedSocket(pub(super) Arc<Socket>);

impl Write for SharedSocket {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self.0).write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self.0).write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
