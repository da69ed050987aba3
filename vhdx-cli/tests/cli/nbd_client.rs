//! A small NBD client with simple replies and one request at a time.

#![cfg_attr(not(target_os = "linux"), allow(dead_code))]

use std::io::{self, Read, Write};

/// A stream to a server.
pub(crate) trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

pub(crate) struct Client {
    stream: Box<dyn Stream>,
    pub(crate) size: u64,
    cookie: u64,
}

const FUA: u16 = 1;

const READ: u16 = 0;
const WRITE: u16 = 1;
const DISCONNECT: u16 = 2;
const FLUSH: u16 = 3;
const TRIM: u16 = 4;
const WRITE_ZEROES: u16 = 6;

impl Client {
    /// Opens an export of the server on a Unix socket.
    #[cfg(unix)]
    pub(crate) fn connect(socket: &std::path::Path, export: &str) -> io::Result<Self> {
        Self::over(std::os::unix::net::UnixStream::connect(socket)?, export)
    }

    /// Opens an export by the option EXPORT_NAME.
    pub(crate) fn over(stream: impl Stream + 'static, export: &str) -> io::Result<Self> {
        let mut stream = Box::new(stream);
        let mut greeting = [0; 18];
        stream.read_exact(&mut greeting)?;
        assert_eq!(&greeting[..16], b"NBDMAGICIHAVEOPT");
        let mut hello = 3_u32.to_be_bytes().to_vec(); // fixed newstyle, no zeroes
        hello.extend(b"IHAVEOPT");
        hello.extend(1_u32.to_be_bytes());
        hello.extend(u32::try_from(export.len()).unwrap().to_be_bytes());
        hello.extend(export.as_bytes());
        stream.write_all(&hello)?;
        let mut answer = [0; 10];
        stream.read_exact(&mut answer)?;
        let size = u64::from_be_bytes(answer[..8].try_into().unwrap());
        Ok(Self { stream, size, cookie: 0 })
    }

    /// Sends a request and waits for its reply. An error of the server is `Err` with its number.
    fn request(
        &mut self,
        (flags, command): (u16, u16),
        offset: u64,
        len: u32,
        payload: &[u8],
    ) -> io::Result<()> {
        self.cookie += 1;
        let mut request = 0x2560_9513_u32.to_be_bytes().to_vec();
        request.extend(flags.to_be_bytes());
        request.extend(command.to_be_bytes());
        request.extend(self.cookie.to_be_bytes());
        request.extend(offset.to_be_bytes());
        request.extend(len.to_be_bytes());
        request.extend(payload);
        self.stream.write_all(&request)?;
        if command == DISCONNECT {
            return Ok(());
        }
        let mut reply = [0; 16];
        self.stream.read_exact(&mut reply)?;
        assert_eq!(reply[..4], 0x6744_6698_u32.to_be_bytes());
        assert_eq!(reply[8..], self.cookie.to_be_bytes());
        match u32::from_be_bytes(reply[4..8].try_into().unwrap()) {
            0 => Ok(()),
            code => Err(io::Error::from_raw_os_error(code.cast_signed())),
        }
    }

    pub(crate) fn read(&mut self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.request((0, READ), offset, u32::try_from(len).unwrap(), &[])?;
        let mut bytes = vec![0; len];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    pub(crate) fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.request((0, WRITE), offset, u32::try_from(bytes.len()).unwrap(), bytes)
    }

    /// Writes with the flag FUA: the reply says that the write is durable.
    pub(crate) fn write_durably(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.request((FUA, WRITE), offset, u32::try_from(bytes.len()).unwrap(), bytes)
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.request((0, FLUSH), 0, 0, &[])
    }

    pub(crate) fn trim(&mut self, offset: u64, len: u32) -> io::Result<()> {
        self.request((0, TRIM), offset, len, &[])
    }

    pub(crate) fn write_zeroes(&mut self, offset: u64, len: u32) -> io::Result<()> {
        self.request((0, WRITE_ZEROES), offset, len, &[])
    }

    pub(crate) fn disconnect(mut self) {
        self.request((0, DISCONNECT), 0, 0, &[]).unwrap();
    }
}
