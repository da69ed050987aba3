//! The HTTP clients of a session, and the time limits of each request.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header;
use http_body_util::BodyExt;
use object_store::client::{HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody};
use reqwest::redirect;

use crate::failure::{Failure, refused};
use crate::options::RemoteOptions;
use crate::redirects::follow;

/// The slowest accepted transfer, in bytes per second. The time limit of a request includes its transfer at this rate.
const MIN_RATE: u64 = 16 << 10;
/// The factor by which the idle limit grows after the whole body was handed over: its end may still be in buffers of
/// this host.
const LAST_WAIT: u32 = 4;

/// How a server is reached.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum Route {
    /// Without a proxy.
    Direct,
    /// By the proxies of the environment.
    OfSystem,
    /// By this proxy.
    Proxy(String),
}

/// The clients of a session. They share their connections between all files.
pub(crate) struct Clients {
    idle: Duration,
    request: Duration,
    /// By the route, and whether requests have a body.
    made: Mutex<HashMap<(Route, bool), reqwest::Client>>,
}

impl std::fmt::Debug for Clients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clients").finish_non_exhaustive()
    }
}

impl Clients {
    pub(crate) fn new(options: &RemoteOptions) -> Self {
        Self { idle: options.idle_timeout, request: options.request_timeout, made: Mutex::default() }
    }

    fn get(&self, route: Route, has_body: bool) -> Result<reqwest::Client, HttpError> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (route, has_body);
        if let Some(client) = made.get(&key) {
            return Ok(client.clone());
        }
        let client = self.make(&key.0, has_body).map_err(|error| {
            let problem = match key.0 {
                Route::Proxy(_) => "the proxy in the environment cannot be used",
                Route::Direct | Route::OfSystem => "the client for web servers cannot be made",
            };
            HttpError::new(
                HttpErrorKind::Unknown,
                Failure::Other { reason: format!("{problem}: {}", kind_name(&error)) },
            )
        })?;
        made.insert(key, client.clone());
        Ok(client)
    }

    fn make(&self, route: &Route, has_body: bool) -> reqwest::Result<reqwest::Client> {
        // An error means that the process has chosen a provider already.
        drop(rustls::crypto::ring::default_provider().install_default());
        let mut builder = reqwest::ClientBuilder::new()
            .user_agent(concat!("vhdx/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::custom(follow))
            .connect_timeout(self.idle.min(Duration::from_secs(10)))
            .http1_only();
        if !has_body {
            // With a body, this time would have to suffice for sending all of it.
            builder = builder.read_timeout(self.idle);
        }
        match route {
            Route::Direct => builder = builder.no_proxy(),
            Route::OfSystem => {}
            Route::Proxy(url) => builder = builder.proxy(reqwest::Proxy::all(url)?),
        }
        builder.build()
    }

    /// Sends a request, and waits for the head of the answer. `expected` is the length of the answer, if it is known.
    pub(crate) async fn send(
        &self,
        request: HttpRequest,
        route: Route,
        expected: u64,
    ) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let len = body.content_length() as u64;
        let url = parts.uri.to_string().parse();
        let url = url.map_err(|_| refused(Failure::Other { reason: "this is not a URL".to_owned() }))?;
        let mut request = reqwest::Request::new(parts.method, url);
        *request.headers_mut() = parts.headers;
        let transfer = Duration::from_secs(len.saturating_add(expected) / MIN_RATE);
        *request.timeout_mut() = Some(self.request.saturating_add(transfer));
        let client = self.get(route, len > 0)?;
        let response = if len == 0 {
            *request.body_mut() = Some(Vec::new().into());
            client.execute(request).await.map_err(transport)?
        } else {
            let sent = Arc::new(AtomicU64::new(0));
            let count = Arc::clone(&sent);
            let body = body.map_frame(move |frame| {
                let len = frame.data_ref().map_or(0, |data| data.len() as u64);
                count.fetch_add(len, Ordering::Relaxed);
                frame
            });
            request.headers_mut().insert(header::CONTENT_LENGTH, len.into());
            *request.body_mut() = Some(reqwest::Body::wrap(body));
            let answer = while_progressing(client.execute(request), self.idle, len, &sent);
            answer.await.ok_or_else(timed_out)?.map_err(transport)?
        };
        let (parts, body) = http::Response::<reqwest::Body>::from(response).into_parts();
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body.map_err(transport))))
    }
}

/// Waits for an answer as long as more of the body is taken. `None` if nothing was taken for a while.
async fn while_progressing<T>(
    answer: impl Future<Output = T>,
    idle: Duration,
    len: u64,
    sent: &AtomicU64,
) -> Option<T> {
    let mut answer = std::pin::pin!(answer);
    loop {
        let before = sent.load(Ordering::Relaxed);
        let wait = if before >= len { idle.saturating_mul(LAST_WAIT) } else { idle };
        match tokio::time::timeout(wait, &mut answer).await {
            Ok(answer) => return Some(answer),
            Err(_) if sent.load(Ordering::Relaxed) == before => return None,
            Err(_) => {}
        }
    }
}

fn timed_out() -> HttpError {
    HttpError::new(HttpErrorKind::Timeout, Failure::TimedOut)
}

/// Converts an error of the transport. Its URL may be a secret.
fn transport(error: reqwest::Error) -> HttpError {
    let kind = match () {
        () if error.is_timeout() => HttpErrorKind::Timeout,
        () if error.is_connect() => HttpErrorKind::Connect,
        () if error.is_decode() => HttpErrorKind::Decode,
        () if error.is_redirect() || error.is_builder() => HttpErrorKind::Unknown,
        () => HttpErrorKind::Interrupted,
    };
    HttpError::new(kind, error.without_url())
}

/// Returns what kind of error it is, without any value.
fn kind_name(error: &reqwest::Error) -> &'static str {
    if error.is_builder() { "its settings are not valid" } else { "it cannot be set up" }
}
