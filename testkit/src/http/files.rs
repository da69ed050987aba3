//! Serves storages with ranges and ETags, as a web server does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use vhdx::{FileOffset, ReadAt};

use super::message::{Body, Request, Response};
use super::{Handler, HttpServer};

/// How a response is spoiled.
#[derive(Clone, Debug)]
pub enum Fault {
    /// This response instead.
    Instead(Response),
    /// The body ends after this many bytes, with the connection.
    Cut(usize),
    /// The body stops after this many bytes; the connection stays.
    Stall(usize),
    /// The range is ignored: status 200 and the whole file.
    IgnoreRange,
    /// `Content-Range` has another place than was asked for.
    WrongRange,
    /// `Content-Range` has this text.
    ContentRange(&'static str),
    /// The body has this many bytes less than asked for, and says so.
    Short(usize),
    /// The body has no end.
    Endless,
    /// `If-Match` and `If-Unmodified-Since` are ignored.
    IgnoreConditions,
    /// There is no ETag.
    NoEtag,
    /// There is neither an ETag nor a modification time.
    NoValidator,
    /// The ETag is a weak one.
    WeakEtag,
    /// This header is added.
    Header(&'static str, &'static str),
}

#[derive(Clone)]
struct File {
    storage: Arc<dyn ReadAt>,
    version: u64,
}

type Faults = dyn Fn(&Request) -> Vec<Fault> + Send + Sync;

/// The files of a server.
#[derive(Clone, Default)]
pub struct FileServer(Arc<Shared>);

#[derive(Default)]
struct Shared {
    files: Mutex<BTreeMap<String, File>>,
    faults: Mutex<Option<Arc<Faults>>>,
}

impl FileServer {
    /// Adds a file, or replaces it: then its ETag and its modification time change.
    pub fn put(&self, path: &str, storage: impl ReadAt + 'static) {
        let mut files = self.0.files.lock().unwrap_or_else(PoisonError::into_inner);
        let version = files.get(path).map_or(1, |file| file.version + 1);
        files.insert(path.to_owned(), File { storage: Arc::new(storage), version });
    }

    /// Sets the function that says how each response is spoiled.
    pub fn spoil(&self, faults: impl Fn(&Request) -> Vec<Fault> + Send + Sync + 'static) {
        *self.0.faults.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(faults));
    }

    /// Starts a server with these files. Files can still be changed.
    pub fn start(&self) -> HttpServer {
        HttpServer::start(self.handler())
    }

    /// Returns a handler that serves these files.
    pub fn handler(&self) -> impl Handler + use<> {
        let files = self.clone();
        move |request: &Request| files.answer(request)
    }

    fn answer(&self, request: &Request) -> Response {
        let faults = self.0.faults.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let faults = faults.map_or_else(Vec::new, |faults| faults(request));
        if let Some(Fault::Instead(response)) = faults.iter().find(|fault| matches!(fault, Fault::Instead(_)))
        {
            return response.clone();
        }
        let file = self.0.files.lock().unwrap_or_else(PoisonError::into_inner).get(&request.path).cloned();
        match file {
            Some(file) => file.answer(request, &faults),
            None => Response::new(404, "no such file"),
        }
    }
}

fn has(faults: &[Fault], is_it: fn(&Fault) -> bool) -> bool {
    faults.iter().any(is_it)
}

impl File {
    fn answer(&self, request: &Request, faults: &[Fault]) -> Response {
        let etag = match has(faults, |fault| matches!(fault, Fault::WeakEtag)) {
            true => format!("W/\"v{}\"", self.version),
            false => format!("\"v{}\"", self.version),
        };
        let modified = format!("Wed, 21 Oct 2015 07:28:{:02} GMT", self.version % 60);
        let has_validator = !has(faults, |fault| matches!(fault, Fault::NoValidator));
        let has_etag = has_validator && !has(faults, |fault| matches!(fault, Fault::NoEtag));
        let differs = |header: &str, value: &str| request.header(header).is_some_and(|asked| asked != value);
        let is_other = differs("if-match", &etag) || differs("if-unmodified-since", &modified);
        if is_other && !has(faults, |fault| matches!(fault, Fault::IgnoreConditions)) {
            return Response::new(412, "");
        }
        let size = self.storage.size().unwrap_or(0);
        let ignores_range = has(faults, |fault| matches!(fault, Fault::IgnoreRange));
        let range = request.range().filter(|_| !ignores_range);
        let (status, range) = match range {
            Some(range) if range.start >= size => {
                return Response::new(416, "").header("Content-Range", format!("bytes */{size}"));
            }
            Some(range) => (206, range.start..range.end.min(size)),
            None => (200, 0..size),
        };
        let len = usize::try_from(range.end - range.start).unwrap_or(0);
        let mut bytes = vec![0; if request.method == "HEAD" { 0 } else { len }];
        if self.storage.read_exact_at(&mut bytes, FileOffset::new(range.start)).is_err() {
            return Response::new(500, "cannot read the file");
        }
        let mut response = Response::new(status, bytes).header("Accept-Ranges", "bytes");
        if status == 206 {
            let shift = u64::from(has(faults, |fault| matches!(fault, Fault::WrongRange)));
            let text = format!("bytes {}-{}/{size}", range.start + shift, range.end - 1 + shift);
            let given = faults.iter().find_map(|fault| match fault {
                Fault::ContentRange(text) => Some((*text).to_owned()),
                _ => None,
            });
            response = response.header("Content-Range", given.unwrap_or(text));
        }
        if has_validator {
            response = response.header("Last-Modified", modified);
        }
        if has_etag {
            response = response.header("ETag", etag);
        }
        if request.method == "HEAD" {
            return response.header("Content-Length", len.to_string());
        }
        for fault in faults {
            if let Fault::Header(name, value) = fault {
                response = response.header(name, *value);
            }
        }
        for fault in faults {
            let Body::Bytes(bytes) = &response.body else { break };
            response.body = match fault {
                Fault::Cut(at) => Body::Cut(Arc::clone(bytes), bytes.len().min(*at)),
                Fault::Stall(at) => Body::Stall(Arc::clone(bytes), bytes.len().min(*at)),
                Fault::Short(by) => Body::Bytes(bytes[..bytes.len().saturating_sub(*by)].into()),
                Fault::Endless => Body::Endless,
                _ => continue,
            };
        }
        response
    }
}
