//! Plain reads from a web server: each thread has one connection, and asks for one range after the other.

use std::hint::black_box;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};

use super::Way;
use super::piece::load;
use super::read::in_threads;
use super::request::requests;

/// Reads the pieces in a list. The sources are paths on a server at `address`.
pub(crate) fn read_http(list: &Path, address: &str, sources: &[String], way: &Way) -> Result<()> {
    let (_, requests) = requests(&load(list)?, way);
    let requests = &requests;
    in_threads(way.threads, requests.len(), || {
        let mut connection: Option<BufReader<TcpStream>> = None;
        let mut body = Vec::new();
        Box::new(move |number| {
            let request = &requests[number];
            let server = match &mut connection {
                Some(server) => server,
                None => connection.insert(connect(address)?),
            };
            let (path, last) = (&sources[request.source], request.from + request.len as u64 - 1);
            let head = format!(
                "GET {path} HTTP/1.1\r\nHost: {address}\r\nRange: bytes={}-{last}\r\n\r\n",
                request.from
            );
            server.get_mut().write_all(head.as_bytes())?;
            body.resize(request.len, 0);
            ensure!(response_len(server)? == request.len, "the server sends another range");
            server.read_exact(&mut body)?;
            black_box(&body);
            Ok(())
        })
    })
}

/// Returns a file of a web server.
pub(crate) fn get(address: &str, path: &str) -> Result<Vec<u8>> {
    let mut server = connect(address)?;
    server.get_mut().write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes())?;
    let mut body = vec![0; response_len(&mut server)?];
    server.read_exact(&mut body)?;
    Ok(body)
}

fn connect(address: &str) -> Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    Ok(BufReader::new(stream))
}

/// Reads the head of a response, and returns the length of its body.
fn response_len(server: &mut impl BufRead) -> Result<usize> {
    let mut line = String::new();
    server.read_line(&mut line)?;
    if !matches!(line.split(' ').nth(1), Some("200" | "206")) {
        bail!("the server answers {}", line.trim());
    }
    let mut len = None;
    loop {
        line.clear();
        server.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                len = Some(value.trim().parse()?);
            }
            Some(_) => {}
            None => return len.context("the server does not say how long its answer is"),
        }
    }
}

#[cfg(test)]
mod tests {
    use vhdx_testkit::http::FileServer;

    use super::super::{Piece, save};
    use super::*;

    #[test]
    fn ranges_are_read_over_several_connections() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("list");
        let piece = |source, from, len| Piece { source, from, to: from, len };
        save(&list, &[piece(0, 10, 5), piece(1, 0, 7), piece(1, 9, 1)]).unwrap();
        let files = FileServer::default();
        files.put("/a", vec![1; 20]);
        files.put("/b", vec![2; 10]);
        let server = files.start();
        let address = server.url("").trim_start_matches("http://").to_owned();
        let sources = ["/a", "/b"].map(str::to_owned);
        read_http(&list, &address, &sources, &Way::threads(3).file_order()).unwrap();
        assert_eq!(server.take_requests().len(), 3);
        read_http(&list, &address, &sources, &Way::threads(1).file_order().gaps(2)).unwrap();
        assert_eq!(server.take_requests().len(), 2);
        assert_eq!(get(&address, "/b").unwrap(), [2; 10]);
        assert!(get(&address, "/c").is_err());
        assert!(read_http(&list, &address, &["/a", "/a"].map(str::to_owned), &Way::threads(2)).is_ok());
        assert!(read_http(&list, &address, &["/c", "/b"].map(str::to_owned), &Way::threads(2)).is_err());
    }
}
