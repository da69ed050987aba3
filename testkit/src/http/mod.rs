//! An HTTP/1.1 server on loopback for tests and benchmarks: it delays, counts and spoils its responses as told.
//!
//! A handler answers each request. [`FileServer`] is one that serves storages with ranges and ETags, and [`Bucket`] one
//! that behaves like S3.

mod bucket;
mod files;
mod message;

use std::io::{self, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

pub use bucket::Bucket;
pub use files::{Fault, FileServer};
pub use message::{Body, Request, Response};

/// A function that answers requests. Several threads call it at the same time.
pub trait Handler: Fn(&Request) -> Response + Send + Sync + 'static {}

impl<T: Fn(&Request) -> Response + Send + Sync + 'static> Handler for T {}

/// A running server. It ends when it is dropped.
pub struct HttpServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    handler: Box<dyn Handler>,
    /// How long each request waits for its answer.
    delay: Mutex<Duration>,
    /// How long the server waits before it reads each 64 KiB of a body.
    pause: Mutex<Duration>,
    requests: Mutex<Vec<Request>>,
    /// The bytes of all bodies sent.
    bytes: AtomicU64,
    is_over: AtomicBool,
}

impl HttpServer {
    /// Starts a server on a free port of this machine.
    pub fn start(handler: impl Handler) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("the port");
        let shared = Arc::new(Shared {
            handler: Box::new(handler),
            delay: Mutex::default(),
            pause: Mutex::default(),
            requests: Mutex::default(),
            bytes: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        });
        let served = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if served.is_over.load(Ordering::Relaxed) {
                    return;
                }
                let (Ok(stream), shared) = (stream, Arc::clone(&served)) else { continue };
                // A client that ends the connection is no failure of the server.
                thread::spawn(move || drop(shared.serve(&stream)));
            }
        });
        Self { address, shared }
    }

    /// Returns the URL of a path, which begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Sets how long each request waits for its answer.
    pub fn set_delay(&self, delay: Duration) {
        *self.shared.delay.lock().unwrap_or_else(PoisonError::into_inner) = delay;
    }

    /// Sets how long the server waits before it reads each 64 KiB of the body of a request.
    pub fn set_pause(&self, pause: Duration) {
        *self.shared.pause.lock().unwrap_or_else(PoisonError::into_inner) = pause;
    }

    /// Returns the requests since the last call.
    pub fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the number of bytes in all bodies that were sent so far.
    pub fn bytes_sent(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(self.address)); // ends the wait for a connection
    }
}

impl Shared {
    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream);
        loop {
            let pause = *self.pause.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(request) = Request::read(&mut reader, pause)? else { break };
            let delay = *self.delay.lock().unwrap_or_else(PoisonError::into_inner);
            self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
            thread::sleep(delay);
            let response = (self.handler)(&request);
            let is_whole = response.write(&request, stream, &self.bytes, &self.is_over)?;
            if !is_whole {
                break;
            }
        }
        Ok(())
    }
}
