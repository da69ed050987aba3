//! Checks each request and each response before `object_store` sees it.
//!
//! Requests without encryption and redirects to other places are refused. Bodies are bounded. A status that is not a
//! success becomes a [`Failure`] with the store's error code. The rest of the body is dropped, because servers repeat
//! requests in it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use object_store::ClientOptions;
use object_store::client::{
    ClientConfigKey, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};

use crate::address::is_loopback;
use crate::clients::{Clients, Route};
use crate::failure::{Failure, is_temporary, refused};
use crate::list_answers;
use crate::redirects::place;
use crate::scheme::Scheme;

/// The longest accepted body of an answer that is not part of an object, such as a page of a list.
const MAX_ANSWER: u64 = 16 << 20;
/// The longest accepted answer to the start of an upload. The id in it becomes part of URLs, where encoding can triple its
/// length, and that of the key. A URL has at most 64 KiB.
const MAX_UPLOAD_ID: u64 = 8 << 10;
/// The longest body of an error that is read.
const MAX_ERROR: usize = 64 << 10;
/// The addresses of the services that give credentials to virtual machines and containers. They are not routed.
const METADATA_HOSTS: [&str; 5] =
    ["169.254.169.254", "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]", "metadata.google.internal"];
const METADATA_TIMEOUT: Duration = Duration::from_secs(3);
const METADATA_ATTEMPTS: u32 = 3;
const METADATA_WAIT: Duration = Duration::from_millis(200);

/// How the completion of an upload treats an existing object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Existing {
    Replace,
    /// The upload fails.
    Keep,
}

/// Makes guarded clients.
#[derive(Debug, Clone)]
pub(crate) struct Guarded {
    pub(crate) allow_http: bool,
    pub(crate) scheme: Scheme,
    pub(crate) existing: Existing,
    pub(crate) clients: Arc<Clients>,
}

impl HttpConnector for Guarded {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let has = |key| options.get_config_value(&key).is_some_and(|value| value == "true");
        let allow_http = self.allow_http || has(ClientConfigKey::AllowHttp);
        let proxy = options.get_config_value(&ClientConfigKey::ProxyUrl);
        let route = proxy.map_or(Route::OfSystem, Route::Proxy);
        Ok(HttpClient::new(Guard {
            clients: Arc::clone(&self.clients),
            route,
            allow_http,
            scheme: self.scheme,
            existing: self.existing,
        }))
    }
}

struct Guard {
    clients: Arc<Clients>,
    route: Route,
    allow_http: bool,
    scheme: Scheme,
    existing: Existing,
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").finish_non_exhaustive()
    }
}

#[async_trait]
impl HttpService for Guard {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.ensure_allowed(&request)?;
        let asked = Asked::of(&request);
        let expected = asked.range.map_or(0, |(first, last)| last.saturating_sub(first));
        let host = request.uri().host().unwrap_or_default();
        if is_metadata_service(host) {
            let ask = || self.clients.send(request.clone(), Route::Direct, expected);
            return credentials(self.scheme, ask).await;
        }
        // A proxy must not see requests that are not encrypted because they stay on this machine.
        let is_local = request.uri().scheme_str() == Some("http") && is_loopback(host);
        let route = if is_local { Route::Direct } else { self.route.clone() };
        let response = if self.existing == Existing::Keep && completes_upload(&request) {
            self.send_if_absent(request, route).await?
        } else {
            self.clients.send(request, route, expected).await?
        };
        match asked.is_list {
            true => list_answers::readable(checked(response, &asked).await?).await,
            false => checked(response, &asked).await,
        }
    }
}

impl Guard {
    /// Sends a request on the condition that there is no such object. A server that does not know the condition is asked
    /// without it.
    async fn send_if_absent(&self, request: HttpRequest, route: Route) -> Result<HttpResponse, HttpError> {
        let mut conditional = request.clone();
        conditional.headers_mut().insert(header::IF_NONE_MATCH, HeaderValue::from_static("*"));
        let response = self.clients.send(conditional, route.clone(), 0).await?;
        match response.status() {
            StatusCode::NOT_IMPLEMENTED => self.clients.send(request, route, 0).await,
            _ => Ok(response),
        }
    }

    fn ensure_allowed(&self, request: &HttpRequest) -> Result<(), HttpError> {
        let uri = request.uri();
        let host = uri.host().unwrap_or_default();
        let is_allowed = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => self.allow_http || is_loopback(host) || is_metadata_service(host),
            _ => false,
        };
        if is_allowed { Ok(()) } else { Err(refused(Failure::PlainHttp)) }
    }
}

fn is_metadata_service(host: &str) -> bool {
    METADATA_HOSTS.contains(&host)
}

/// Returns the answer of the service that gives credentials to virtual machines.
///
/// On other hosts there is no such service: then there are no credentials at all, and waiting does not help. A service
/// that fails for a moment is asked again.
async fn credentials<F>(scheme: Scheme, ask: impl Fn() -> F) -> Result<HttpResponse, HttpError>
where
    F: Future<Output = Result<HttpResponse, HttpError>>,
{
    for attempt in 1..=METADATA_ATTEMPTS {
        match tokio::time::timeout(METADATA_TIMEOUT, ask()).await {
            Ok(Ok(response)) if response.status().is_success() => return Ok(bounded(response, MAX_ANSWER)),
            Ok(Ok(response)) if is_temporary(response.status().as_u16()) && attempt < METADATA_ATTEMPTS => {
                tokio::time::sleep(METADATA_WAIT).await;
            }
            _ => break,
        }
    }
    Err(refused(Failure::NoCredentials { scheme }))
}

/// Returns whether a request is the last one of an upload in parts to S3.
fn completes_upload(request: &HttpRequest) -> bool {
    request.method() == Method::POST && has_parameter(request, |name, _| name == "uploadId")
}

fn has_parameter(request: &HttpRequest, is_it: impl Fn(&str, &str) -> bool) -> bool {
    let query = request.uri().query().unwrap_or_default();
    query.split('&').any(|pair| pair.split_once('=').is_some_and(|(name, value)| is_it(name, value)))
}

/// The subject of a request.
struct Asked {
    method: Method,
    /// Whether it asks for a list of objects.
    is_list: bool,
    /// Whether it begins an upload in parts to S3 or Google.
    is_new_upload: bool,
    /// The first and the last byte of a range.
    range: Option<(u64, u64)>,
}

impl Asked {
    fn of(request: &HttpRequest) -> Self {
        let range = request.headers().get(header::RANGE).and_then(|value| value.to_str().ok());
        let range = range.and_then(|text| text.strip_prefix("bytes=")?.split_once('-'));
        let range = range.and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
        let is_list = request.method() == Method::GET
            && has_parameter(request, |name, value| {
                (name, value) == ("list-type", "2") || (name, value) == ("comp", "list")
            });
        let is_new_upload =
            request.method() == Method::POST && has_parameter(request, |name, _| name == "uploads");
        Self { method: request.method().clone(), is_list, is_new_upload, range }
    }
}

async fn checked(mut response: HttpResponse, asked: &Asked) -> Result<HttpResponse, HttpError> {
    let status = response.status();
    if !status.is_success() {
        return failed(response, asked).await;
    }
    // Bytes of the same weak ETag may differ (RFC 9110, 8.8.1), but `object_store` would continue a cut body by it.
    if response.headers().get(header::ETAG).is_some_and(|etag| etag.as_bytes().starts_with(b"W/")) {
        response.headers_mut().remove(header::ETAG);
    }
    let is_encoded = response.headers().get_all(header::CONTENT_ENCODING).iter().any(|encoding| {
        !encoding.as_bytes().is_empty() && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
    });
    if asked.range.is_some() && is_encoded {
        return Err(refused(Failure::Encoded));
    }
    let limit = match asked.range {
        Some(_) if asked.method == Method::GET && status != StatusCode::PARTIAL_CONTENT => {
            return Err(refused(Failure::RangeIgnored));
        }
        Some((first, last)) => {
            let len = len_of_range(&response, first, last).ok_or_else(|| refused(Failure::WrongRange))?;
            // `object_store` needs the header, but a body in chunks does not have it.
            response.headers_mut().entry(header::CONTENT_LENGTH).or_insert(len.into());
            len
        }
        None if asked.is_new_upload => MAX_UPLOAD_ID,
        None => MAX_ANSWER,
    };
    Ok(bounded(response, limit))
}

/// Returns the length of an answer if it has the range that was asked for, or what the object has of it.
fn len_of_range(response: &HttpResponse, first: u64, last: u64) -> Option<u64> {
    let parsed = || {
        let text = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
        let (range, size) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
        let (start, end) = range.split_once('-')?;
        Some((start.parse::<u64>().ok()?, end.parse::<u64>().ok()?, size.parse::<u64>().ok()?))
    };
    let (start, end, size) = parsed()?;
    let is_right = start == first && end < size && end == last.min(size.saturating_sub(1));
    if is_right { end.checked_sub(start)?.checked_add(1) } else { None }
}

fn bounded(response: HttpResponse, limit: u64) -> HttpResponse {
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, usize::try_from(limit).unwrap_or(usize::MAX));
    let body = body.map_err(move |error| match error.downcast::<HttpError>() {
        Ok(error) => *error,
        Err(_) => refused(Failure::TooLong { limit }),
    });
    HttpResponse::from_parts(parts, HttpResponseBody::new(body))
}

/// Turns a status that is not a success into an error, unless `object_store` must see it.
async fn failed(response: HttpResponse, asked: &Asked) -> Result<HttpResponse, HttpError> {
    let (parts, mut body) = response.into_parts();
    let mut bytes = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        let data = frame.into_data().unwrap_or_default();
        let room = MAX_ERROR.saturating_sub(bytes.len());
        bytes.extend_from_slice(&data[..data.len().min(room)]);
        if bytes.len() >= MAX_ERROR {
            break;
        }
    }
    let (status, code) = (parts.status, error_code(&bytes));
    let may_pass = is_temporary(status.as_u16());
    // An object may be absent, but not the bucket of a list.
    let is_no_bucket = asked.is_list && status == StatusCode::NOT_FOUND;
    let is_expected = !is_no_bucket && matches!(status.as_u16(), 304 | 404 | 409 | 412);
    if status == StatusCode::RANGE_NOT_SATISFIABLE {
        return Err(refused(Failure::Empty));
    }
    if may_pass || is_no_bucket || (code.is_some() && !is_expected) {
        let failure = Failure::Status { status: status.as_u16(), code };
        let kind = if may_pass { HttpErrorKind::Request } else { HttpErrorKind::Unknown };
        return Err(HttpError::new(kind, failure));
    }
    // `follow` never sees a redirect whose target is not the URL of a web server.
    if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
        let location = parts.headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
        let to = location.and_then(|text| reqwest::Url::parse(text).ok()).map(|url| place(&url));
        return Err(refused(Failure::Redirect { to: to.unwrap_or_else(|| "an unknown place".to_owned()) }));
    }
    Ok(HttpResponse::from_parts(parts, Vec::new().into()))
}

/// Returns the code in the XML of an error, such as `SlowDown`.
fn error_code(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let code = text.split_once("<Code>")?.1.split_once("</Code>")?.0;
    let is_plain =
        !code.is_empty() && code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_plain.then(|| code.to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::options::RemoteOptions;
    use crate::runtime::wait;

    /// They answer without encryption, and only to this host.
    #[test]
    fn services_for_credentials_are_allowed() {
        let clients = Arc::new(Clients::new(&RemoteOptions::default()));
        let guard = Guard {
            clients,
            route: Route::OfSystem,
            allow_http: false,
            scheme: Scheme::S3,
            existing: Existing::Keep,
        };
        let is_allowed = |url: &str| {
            let request = http::Request::builder().uri(url).body(Vec::new().into()).unwrap();
            guard.ensure_allowed(&request).is_ok()
        };
        for host in ["169.254.169.254", "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]", "127.0.0.1"] {
            assert!(is_allowed(&format!("http://{host}/v1/credentials")), "{host}");
        }
        assert!(!is_allowed("http://169.254.170.24/") && !is_allowed("http://example.org/"));
    }

    /// Without the time limit, a command without credentials would wait for minutes.
    #[test]
    fn a_service_that_gives_no_credentials_ends_the_wait() {
        let failure = |status: u16, asked: &'static AtomicU32| {
            let answer = move || {
                asked.fetch_add(1, Ordering::Relaxed);
                let (mut parts, body) = HttpResponse::new(Vec::new().into()).into_parts();
                parts.status = StatusCode::from_u16(status).unwrap();
                std::future::ready(Ok(HttpResponse::from_parts(parts, body)))
            };
            wait(async move {
                Ok(credentials(Scheme::S3, answer).await.err().and_then(|error| Failure::inside(&error)))
            })
        };
        static DENIED: AtomicU32 = AtomicU32::new(0);
        static FAILING: AtomicU32 = AtomicU32::new(0);
        let none = Some(Failure::NoCredentials { scheme: Scheme::S3 });
        assert_eq!((failure(403, &DENIED).unwrap(), failure(503, &FAILING).unwrap()), (none.clone(), none));
        assert_eq!((DENIED.load(Ordering::Relaxed), FAILING.load(Ordering::Relaxed)), (1, METADATA_ATTEMPTS));
        let endless = wait(async { Ok(credentials(Scheme::S3, std::future::pending).await.is_err()) });
        assert!(endless.unwrap());
    }
}
