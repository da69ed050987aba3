//! A web server in its own process, so that its memory and work are not counted.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use vhdx::FileStorage;
use vhdx_testkit::http::{Body, FileServer, HttpServer, Request, Response};

use super::plain::get;

/// The path that returns the number of requests, and of bytes in the bodies of their responses.
const COUNTS: &str = "/counts";

/// Serves files under their names until the standard input ends. Prints the address.
pub(crate) fn serve(files: &[PathBuf], delay: Duration) -> Result<()> {
    let served = FileServer::default();
    for file in files {
        let name = file.file_name().context("a file has a name")?;
        served.put(&format!("/{}", name.display()), FileStorage::new(File::open(file)?));
    }
    let (answer, requests, bytes) = (served.handler(), AtomicU64::new(0), AtomicU64::new(0));
    let server = HttpServer::start(move |request: &Request| {
        let count = |counter: &AtomicU64, more: u64| counter.fetch_add(more, Ordering::Relaxed) + more;
        if request.path == COUNTS {
            return Response::new(200, format!("{} {}", count(&requests, 0), count(&bytes, 0)));
        }
        let response = answer(request);
        count(&requests, 1);
        if let Body::Bytes(body) = &response.body {
            count(&bytes, body.len() as u64);
        }
        response
    });
    server.set_delay(delay);
    println!("{}", server.url("").trim_start_matches("http://"));
    std::io::stdout().flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// A running server. It ends when it is dropped.
pub(crate) struct Server {
    process: Child,
    address: String,
}

impl Server {
    /// Starts a server of files as a process of `program`, which is this program.
    pub(crate) fn start(program: &Path, files: &[PathBuf], delay: Duration) -> Result<Self> {
        let mut command = Command::new(program);
        command.arg("serve").arg(delay.as_millis().to_string()).args(files);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut address = String::new();
        let stdout = process.stdout.take().context("the server has no standard output")?;
        BufReader::new(stdout).read_line(&mut address)?;
        Ok(Self { process, address: address.trim().to_owned() })
    }

    /// Returns the host and port.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Returns the URL of a file.
    pub(crate) fn url(&self, file: &str) -> String {
        format!("http://{}/{file}", self.address)
    }

    /// Returns the number of requests, and of bytes in the bodies of their responses.
    pub(crate) fn counts(&self) -> Result<(u64, u64)> {
        let text = String::from_utf8(get(&self.address, COUNTS)?)?;
        let (requests, bytes) = text.split_once(' ').context("two counts")?;
        Ok((requests.parse()?, bytes.parse()?))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        if let Err(error) = self.process.wait() {
            eprintln!("cannot wait for the server: {error}");
        }
    }
}
