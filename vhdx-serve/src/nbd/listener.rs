//! Defines [`Listener`]: a socket that waits for clients.

use std::fmt::{self, Write as _};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use super::ready::wait_readable;
use super::socket::Socket;

#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};

/// The attempts to lock the folder of a socket, one every 10 milliseconds.
#[cfg(unix)]
const LOCK_ATTEMPTS: usize = 100;

/// A socket that waits for clients.
///
/// A Unix socket that [`unix`](Self::unix) has made is removed when the listener is dropped.
#[derive(Debug)]
pub struct Listener {
    socket: ListeningSocket,
    address: Address,
    made: Option<MadeSocket>,
}

#[derive(Debug)]
enum ListeningSocket {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
}

/// Where clients find a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Address {
    /// A TCP address. The IP address is unspecified if the listener has all addresses of the host.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
    /// A Unix socket that another program has opened and that has no path.
    UnnamedUnix,
}

impl Listener {
    /// Listens on the first TCP address of `address` that can be used. Port 0 chooses a free port.
    ///
    /// # Errors
    /// Those of [`TcpListener::bind`].
    pub fn tcp(address: impl ToSocketAddrs) -> io::Result<Self> {
        Self::from_tcp(TcpListener::bind(address)?)
    }

    /// Takes a TCP socket that is open and listens, for example one of systemd.
    ///
    /// # Errors
    /// Those of [`TcpListener::local_addr`].
    pub fn from_tcp(socket: TcpListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let address = Address::Tcp(socket.local_addr()?);
        Ok(Self { socket: ListeningSocket::Tcp(socket), address, made: None })
    }

    /// Makes a Unix socket and listens on it. The umask of the process decides who can connect.
    ///
    /// A socket that a dead server has left at `path` is replaced.
    ///
    /// # Errors
    /// [`AddrInUse`](io::ErrorKind::AddrInUse) if a server listens there, or if `path` is not a socket; those of
    /// [`UnixListener::bind`].
    #[cfg(unix)]
    pub fn unix(path: impl AsRef<std::path::Path>) -> io::Result<Self> {
        let path = path.as_ref();
        let socket = match UnixListener::bind(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_left_over(path) => {
                replace_left_over(path)?
            }
            result => result?,
        };
        let made = MadeSocket::new(path)?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket: ListeningSocket::Unix(socket),
            address: Address::Unix(path.to_owned()),
            made: Some(made),
        })
    }

    /// Takes a Unix socket that is open and listens, for example one of systemd. Its file is not removed at the end.
    ///
    /// # Errors
    /// Those of [`UnixListener::local_addr`].
    #[cfg(unix)]
    pub fn from_unix(socket: UnixListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let address = match socket.local_addr()?.as_pathname() {
            Some(path) => Address::Unix(path.to_owned()),
            None => Address::UnnamedUnix,
        };
        Ok(Self { socket: ListeningSocket::Unix(socket), address, made: None })
    }

    /// Returns where clients find the listener.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Takes the file that is removed with the listener, if it has one, so that it is removed with the result.
    pub(super) fn take_made(&mut self) -> Option<MadeSocket> {
        self.made.take()
    }

    /// Waits for a client, at most for `time`. Returns its socket and its address as text.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if no client came.
    pub(super) fn accept(&self, time: Duration) -> io::Result<(Socket, String)> {
        let is_ready = match &self.socket {
            ListeningSocket::Tcp(socket) => wait_readable(socket, time)?,
            #[cfg(unix)]
            ListeningSocket::Unix(socket) => wait_readable(socket, time)?,
        };
        if !is_ready {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        match &self.socket {
            ListeningSocket::Tcp(socket) => {
                let (stream, peer) = socket.accept()?;
                Ok((Socket::Tcp(stream), peer.to_string()))
            }
            #[cfg(unix)]
            ListeningSocket::Unix(socket) => {
                let (stream, _) = socket.accept()?;
                Ok((Socket::Unix(stream), "unix".to_owned()))
            }
        }
    }
}

impl Address {
    /// Returns the NBD URI of an export, or `None` for a socket without a path and for a path that is not Unicode.
    ///
    /// An unspecified IP address is that of this host (`127.0.0.1`, `[::1]`). The empty name is the default export.
    pub fn uri(&self, export: &str) -> Option<String> {
        let mut uri = String::new();
        match self {
            Self::Tcp(address) => {
                // Port 10809 is the default of the scheme.
                match reachable(*address) {
                    address if address.port() == 10809 && address.is_ipv4() => {
                        write!(uri, "nbd://{}", address.ip())
                    }
                    address => write!(uri, "nbd://{address}"),
                }
                .ok()?;
                if !export.is_empty() {
                    uri.push('/');
                    escape(&mut uri, export);
                }
            }
            Self::Unix(path) => {
                uri.push_str("nbd+unix:///");
                escape(&mut uri, export);
                uri.push_str("?socket=");
                let path = std::path::absolute(path).ok()?;
                escape(&mut uri, path.to_str()?);
            }
            Self::UnnamedUnix => return None,
        }
        Some(uri)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "{path:?}"),
            Self::UnnamedUnix => f.write_str("a Unix socket without a path"),
        }
    }
}

/// Replaces the unspecified address, to which nobody can connect everywhere.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

/// Appends `text` to a URI. All bytes but those that mean themselves everywhere in a URI, and `/`, are escaped.
fn escape(uri: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                uri.push(byte.into())
            }
            _ => {
                const DIGITS: [char; 16] =
                    ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
                uri.push('%');
                uri.extend([byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)]));
            }
        }
    }
}

/// A Unix socket in a folder, removed when this is dropped.
#[cfg(unix)]
#[derive(Debug)]
pub(super) struct MadeSocket {
    path: PathBuf,
    /// The file system and the inode.
    file: (u64, u64),
}

/// No listener has a file.
#[cfg(not(unix))]
#[derive(Debug)]
pub(super) enum MadeSocket {}

#[cfg(unix)]
impl MadeSocket {
    fn new(path: &std::path::Path) -> io::Result<Self> {
        // The process may change its folder later.
        let path = std::path::absolute(path)?;
        let file = file_of(&path)?;
        Ok(Self { path, file })
    }
}

#[cfg(unix)]
impl Drop for MadeSocket {
    fn drop(&mut self) {
        // Another server may have replaced the socket since. If it cannot be removed, the next server replaces it.
        if file_of(&self.path).is_ok_and(|file| file == self.file) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(unix)]
fn file_of(path: &std::path::Path) -> io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Makes a socket in the place of one that is left over.
///
/// Meanwhile the folder is locked: another server that does the same would otherwise remove the new socket.
#[cfg(unix)]
fn replace_left_over(path: &std::path::Path) -> io::Result<UnixListener> {
    let path = std::path::absolute(path)?;
    let folder = std::fs::File::open(path.parent().ok_or(io::ErrorKind::AddrInUse)?)?;
    for _ in 0..LOCK_ATTEMPTS {
        match folder.try_lock() {
            Ok(()) => {
                if is_left_over(&path) {
                    std::fs::remove_file(&path)?;
                }
                return UnixListener::bind(&path);
            }
            Err(std::fs::TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(10)),
            Err(std::fs::TryLockError::Error(error)) => return Err(error),
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

/// Returns whether `path` is a socket on which nobody listens.
#[cfg(unix)]
fn is_left_over(path: &std::path::Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    is_socket && UnixStream::connect(path).err().is_some_and(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_escape_names_and_name_a_reachable_host() {
        let tcp = Address::Tcp("0.0.0.0:10809".parse().unwrap());
        assert_eq!(tcp.uri("").unwrap(), "nbd://127.0.0.1");
        assert_eq!(tcp.uri("a b?/ä").unwrap(), "nbd://127.0.0.1/a%20b%3F/%C3%A4");
        assert_eq!(Address::Tcp("[::]:1".parse().unwrap()).uri("x").unwrap(), "nbd://[::1]:1/x");
        let unix = Address::Unix("/run/a&b.sock".into());
        #[cfg(unix)]
        assert_eq!(unix.uri("x y").unwrap(), "nbd+unix:///x%20y?socket=/run/a%26b.sock");
        drop(unix);
        assert_eq!(Address::UnnamedUnix.uri(""), None);
    }

    #[cfg(unix)]
    #[test]
    fn one_of_many_servers_replaces_a_left_over_socket() {
        for _ in 0..20 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("socket");
            drop(UnixListener::bind(&path).unwrap());
            let barrier = std::sync::Barrier::new(8);
            let listeners: Vec<Listener> = std::thread::scope(|scope| {
                let listen = || {
                    barrier.wait();
                    Listener::unix(&path).ok()
                };
                let threads: Vec<_> = (0..8).map(|_| scope.spawn(listen)).collect();
                threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
            });
            assert_eq!(listeners.len(), 1);
            UnixStream::connect(&path).unwrap();
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_left_over_socket_is_replaced_and_a_living_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        drop(UnixListener::bind(&path).unwrap());
        let listener = Listener::unix(&path).unwrap();
        let error = Listener::unix(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        assert!(!path.exists(), "the socket is removed with its listener");
        std::fs::write(&path, "text").unwrap();
        assert_eq!(Listener::unix(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert!(path.exists());
    }
}
