//! Requests and responses.

use std::io::{self, BufRead, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// A request.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The path without the query, decoded.
    pub path: String,
    /// The query without the question mark.
    pub query: String,
    /// The headers, with lower-case names.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Arc<[u8]>,
}

impl Request {
    /// Returns the value of a header, whose name is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    /// Returns the requested range of bytes. Only `bytes=FIRST-LAST` is supported.
    pub fn range(&self) -> Option<Range<u64>> {
        let (first, last) = self.header("range")?.strip_prefix("bytes=")?.split_once('-')?;
        Some(first.parse().ok()?..last.parse::<u64>().ok()?.checked_add(1)?)
    }

    /// Sends this request to a server, and returns the status of the answer.
    ///
    /// # Errors
    /// The operating system's error; [`io::ErrorKind::InvalidData`] if the answer has no status.
    pub fn send(&self, address: impl ToSocketAddrs) -> io::Result<u16> {
        let mut stream = TcpStream::connect(address)?;
        let mut head =
            format!("{} {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        stream.write_all(format!("{head}Content-Length: {}\r\n\r\n", self.body.len()).as_bytes())?;
        stream.write_all(&self.body)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let status =
            String::from_utf8_lossy(&answer).split(' ').nth(1).and_then(|status| status.parse().ok());
        status.ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Reads a request. Before each piece of its body, the server pauses.
    pub(super) fn read(reader: &mut impl BufRead, pause: Duration) -> io::Result<Option<Self>> {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split_whitespace().map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let mut request = Self { method, path: decoded(path), query: query.into(), ..Self::default() };
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            match line.trim_end().split_once(':') {
                Some((name, value)) => {
                    request.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
                }
                None => break,
            }
        }
        request.body = request.read_body(reader, pause)?.into();
        Ok(Some(request))
    }

    fn read_body(&self, reader: &mut impl BufRead, pause: Duration) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        if self.header("transfer-encoding") == Some("chunked") {
            loop {
                let mut line = String::new();
                reader.read_line(&mut line)?;
                let len = usize::from_str_radix(line.trim(), 16).unwrap_or(0);
                let mut chunk = vec![0; len + 2]; // with the line end
                reader.read_exact(&mut chunk)?;
                body.extend_from_slice(&chunk[..len]);
                if len == 0 {
                    return Ok(body);
                }
            }
        }
        let len = self.header("content-length").and_then(|len| len.parse().ok()).unwrap_or(0);
        body.resize(len, 0);
        for piece in body.chunks_mut(64 << 10) {
            thread::sleep(pause);
            reader.read_exact(piece)?;
        }
        Ok(body)
    }
}

/// Replaces the `%20` of a path by the bytes that they stand for.
fn decoded(path: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code =
            after.get(..2).and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok());
        let coded = code.filter(|_| first == b'%');
        bytes.push(coded.unwrap_or(first));
        rest = if coded.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The body of a response.
#[derive(Clone, Debug)]
pub enum Body {
    /// These bytes.
    Bytes(Arc<[u8]>),
    /// As many of these bytes as said, although all are announced. Then the connection ends.
    Cut(Arc<[u8]>, usize),
    /// As many of these bytes as said. Then nothing more comes, but the connection stays.
    Stall(Arc<[u8]>, usize),
    /// Chunks without end, until the client ends the connection.
    Endless,
    /// The connection ends without an answer.
    Nothing,
}

/// A response.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The headers. `Content-Length` is added if it is missing.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Body,
}

impl Response {
    /// Returns a response with a body.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: Body::Bytes(body.into().into()) }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Writes the response. Returns whether the connection can be used again.
    pub(super) fn write(
        &self,
        request: &Request,
        mut stream: &TcpStream,
        sent: &AtomicU64,
        is_over: &AtomicBool,
    ) -> io::Result<bool> {
        let mut head = format!("HTTP/1.1 {} Status\r\n", self.status);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        let (bytes, len) = match &self.body {
            Body::Nothing => return Ok(false),
            Body::Bytes(bytes) => (&bytes[..], bytes.len()),
            Body::Cut(bytes, len) | Body::Stall(bytes, len) => (&bytes[..*len], bytes.len()),
            Body::Endless => (&[][..], 0),
        };
        let is_endless = matches!(self.body, Body::Endless);
        let has_length = self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        match is_endless {
            true => head += "Transfer-Encoding: chunked\r\n",
            false if has_length => {}
            false => head += &format!("Content-Length: {len}\r\n"),
        }
        stream.write_all((head + "\r\n").as_bytes())?;
        if request.method == "HEAD" {
            return Ok(true);
        }
        stream.write_all(bytes)?;
        sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        while is_endless && !is_over.load(Ordering::Relaxed) {
            stream.write_all(&[b"10000\r\n", &[b'x'; 0x10000][..], b"\r\n"].concat())?;
            sent.fetch_add(0x10000, Ordering::Relaxed);
        }
        while matches!(self.body, Body::Stall(..)) && !is_over.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(10));
        }
        Ok(matches!(self.body, Body::Bytes(_)) && !has_length)
    }
}
