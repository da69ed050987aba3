//! A small S3 server. It keeps objects and unfinished uploads in memory, and checks no signatures.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vhdx::ReadAt;

use super::files::FileServer;
use super::message::{Request, Response};
use super::{Handler, HttpServer};

/// A bucket called `bucket`.
#[derive(Clone, Default)]
pub struct Bucket {
    /// Serves the objects, and can spoil the answers about them and about parts of uploads.
    pub files: FileServer,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// The lengths of the objects, by key.
    objects: BTreeMap<String, u64>,
    uploads: BTreeMap<String, BTreeMap<u32, Vec<u8>>>,
    completed: BTreeMap<String, Vec<u8>>,
    parts_seen: usize,
}

impl Bucket {
    /// Adds an object, or replaces it.
    pub fn put(&self, key: &str, storage: impl ReadAt + 'static) {
        self.state().objects.insert(key.to_owned(), storage.size().unwrap_or(0));
        self.files.put(&format!("/bucket/{key}"), storage);
    }

    /// Adds an entry to lists, without an object.
    pub fn list_only(&self, keys: impl IntoIterator<Item = String>) {
        self.state().objects.extend(keys.into_iter().map(|key| (key, 1)));
    }

    /// Starts a server with this bucket.
    pub fn start(&self) -> HttpServer {
        HttpServer::start(self.handler())
    }

    /// Returns a handler for this bucket.
    pub fn handler(&self) -> impl Handler + use<> {
        let (bucket, files) = (self.clone(), self.files.handler());
        move |request: &Request| bucket.answer(request, &files)
    }

    /// Returns the objects that uploads have completed.
    pub fn completed(&self) -> BTreeMap<String, Vec<u8>> {
        self.state().completed.clone()
    }

    /// Returns the number of uploads that were neither completed nor aborted.
    pub fn unfinished(&self) -> usize {
        self.state().uploads.len()
    }

    /// Returns the number of parts that were uploaded.
    pub fn parts_seen(&self) -> usize {
        self.state().parts_seen
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, request: &Request, files: &impl Handler) -> Response {
        let query: BTreeMap<String, String> = request
            .query
            .split('&')
            .map(|pair| {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                (key.to_owned(), value.replace("%2F", "/"))
            })
            .collect();
        let key = request.path.trim_start_matches("/bucket").trim_start_matches('/').to_owned();
        let spoiled = || {
            let response = files(request);
            (response.status >= 400 && response.status != 404).then_some(response)
        };
        if query.contains_key("list-type") {
            return self.list(&query);
        }
        let mut state = self.state();
        match (request.method.as_str(), query.get("uploadId")) {
            ("POST", None) if query.contains_key("uploads") => {
                state.uploads.insert("one".to_owned(), BTreeMap::new());
                xml("<InitiateMultipartUploadResult><UploadId>one</UploadId></InitiateMultipartUploadResult>")
            }
            ("PUT", Some(id)) => {
                if let Some(response) = spoiled() {
                    return response;
                }
                state.parts_seen += 1;
                let Some(parts) = state.uploads.get_mut(id) else { return Response::new(404, "") };
                let number = query.get("partNumber").and_then(|number| number.parse().ok());
                parts.insert(number.unwrap_or(0), request.body.to_vec());
                Response::new(200, "").header("ETag", "\"part\"")
            }
            ("POST", Some(id)) => {
                if let Some(response) = spoiled() {
                    return response;
                }
                let must_be_new = request.header("if-none-match") == Some("*");
                if must_be_new && (state.objects.contains_key(&key) || state.completed.contains_key(&key)) {
                    return Response::new(412, "<Error><Code>PreconditionFailed</Code></Error>");
                }
                let Some(parts) = state.uploads.remove(id) else { return Response::new(404, "") };
                state.completed.insert(key, parts.into_values().collect::<Vec<_>>().concat());
                xml("<CompleteMultipartUploadResult><ETag>\"whole\"</ETag></CompleteMultipartUploadResult>")
            }
            ("DELETE", Some(id)) => {
                state.uploads.remove(id);
                Response::new(204, "")
            }
            ("GET" | "HEAD", None) => {
                drop(state);
                files(request)
            }
            _ => Response::new(400, ""),
        }
    }

    fn list(&self, query: &BTreeMap<String, String>) -> Response {
        const PAGE: usize = 1000;
        let prefix = query.get("prefix").cloned().unwrap_or_default();
        let after = query.get("continuation-token").cloned().unwrap_or_default();
        let state = self.state();
        let keys = state.objects.iter().filter(|(key, _)| key.starts_with(&prefix) && **key > after);
        let keys =
            keys.filter(|(key, _)| !query.contains_key("delimiter") || !key[prefix.len()..].contains('/'));
        let mut body = "<ListBucketResult>".to_owned();
        let mut keys = keys.peekable();
        for (number, (key, size)) in keys.by_ref().take(PAGE).enumerate() {
            body += &format!(
                "<Contents><Key>{key}</Key><Size>{size}</Size><ETag>\"x\"</ETag>\
                 <LastModified>2020-01-01T00:00:00.000Z</LastModified></Contents>"
            );
            if number + 1 == PAGE {
                body += &format!("<NextContinuationToken>{key}</NextContinuationToken>");
            }
        }
        xml(&(body + "</ListBucketResult>"))
    }
}

fn xml(body: &str) -> Response {
    Response::new(200, body).header("Content-Type", "application/xml")
}
