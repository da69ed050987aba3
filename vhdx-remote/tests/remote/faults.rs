//! Servers that fail, lie, or are slow. Every answer is the right bytes or an error, and ends.

use std::error::Error;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use vhdx_remote::{Remote, RemoteFile};
use vhdx_testkit::http::{Fault, FileServer, HttpServer, Request, Response};

use crate::{content, open, read, remote, served};

const LEN: usize = 6 << 20;
/// Where the reads of these tests begin. Opening has not fetched it.
const AT: u64 = 3 << 20;

struct Case {
    files: FileServer,
    server: HttpServer,
    file: RemoteFile,
    bytes: Vec<u8>,
}

fn case() -> Case {
    let bytes = content(LEN);
    let (files, server) = served(bytes.clone());
    let file = open(&remote(), &server.url("/disk")).unwrap();
    server.take_requests();
    Case { files, server, file, bytes }
}

impl Case {
    /// Spoils the first answers after opening.
    fn spoil(&self, first: usize, fault: Fault) {
        spoil(&self.files, first, fault);
    }

    /// Reads metadata and bulk data. Both are right, or both return this error.
    #[track_caller]
    fn reads(&self) -> io::Result<()> {
        let at = AT as usize;
        assert!(read(&self.file, AT, 4096)? == self.bytes[at..at + 4096]);
        assert!(read(&self.file, AT, 1 << 20)? == self.bytes[at..at + (1 << 20)]);
        Ok(())
    }

    #[track_caller]
    fn fails(&self, expected: &str) {
        let start = Instant::now();
        for len in [4096, 1 << 20] {
            let error = read(&self.file, AT, len).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    }
}

fn spoil(files: &FileServer, first: usize, fault: Fault) {
    let count = AtomicUsize::new(0);
    files.spoil(move |_| match count.fetch_add(1, Ordering::Relaxed) < first {
        true => vec![fault.clone()],
        false => Vec::new(),
    });
}

/// Opening a file with this fault returns this error.
#[track_caller]
fn does_not_open(fault: Fault, expected: &str) {
    let (files, server) = served(content(LEN));
    spoil(&files, usize::MAX, fault);
    let error = open(&remote(), &server.url("/disk?signature=secret")).unwrap_err();
    assert!(error.to_string().contains(expected), "{error}");
    ensure_no_secret(&error);
}

/// Fails if an error shows a secret, in any form.
#[track_caller]
fn ensure_no_secret(error: &io::Error) {
    let mut shown = format!("{error} {error:?}");
    let mut next = error.source();
    while let Some(source) = next {
        shown += &format!("{source} {source:?}");
        next = source.source();
    }
    assert!(!shown.contains("secret"), "{shown}");
}

fn status(status: u16, body: &str) -> Fault {
    Fault::Instead(Response::new(status, body))
}

#[test]
fn failures_that_pass_are_repeated() {
    for fault in [
        status(503, "<Error><Code>SlowDown</Code></Error>"),
        status(429, ""),
        status(500, ""),
        Fault::Cut(1000),
        Fault::Cut(0),
        Fault::Short(1),
        Fault::Stall(1000),
    ] {
        let case = case();
        case.spoil(2, fault.clone());
        case.reads().unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        assert!(case.server.take_requests().len() <= 6, "{fault:?}");
    }
}

/// For example while a server starts again.
#[test]
fn a_server_may_fail_eight_times() {
    let case = case();
    case.spoil(8, status(503, ""));
    assert!(read(&case.file, AT, 4096).unwrap() == case.bytes[AT as usize..][..4096]);
    case.spoil(9, status(503, ""));
    assert!(read(&case.file, 2 * AT - 4096, 4096).is_err());
}

/// Without an ETag, `object_store` does not fetch the rest of a body that was cut.
#[test]
fn a_cut_body_without_an_etag_is_fetched_again() {
    let bytes = content(LEN);
    let (files, server) = served(bytes.clone());
    let count = AtomicUsize::new(0);
    files.spoil(move |_| match count.fetch_add(1, Ordering::Relaxed) {
        1 => vec![Fault::NoEtag, Fault::Cut(100)],
        _ => vec![Fault::NoEtag],
    });
    let file = open(&remote(), &server.url("/disk")).unwrap();
    assert!(read(&file, AT, 4096).unwrap() == bytes[AT as usize..][..4096]);
}

#[test]
fn failures_that_do_not_pass_end() {
    for (fault, expected) in [
        (status(503, "<Error><Code>SlowDown</Code></Error>"), "the server answered 503 (SlowDown)"),
        (status(429, "quota"), "the server answered 429"),
        (Fault::Cut(1000), "the connection ended early"),
        (Fault::Short(1), "bytes instead of"),
        (Fault::Stall(1000), "did not answer in time"),
        (
            Fault::Instead(Response { body: vhdx_testkit::http::Body::Nothing, ..Response::new(200, "") }),
            "connection",
        ),
    ] {
        let case = case();
        case.spoil(usize::MAX, fault);
        case.fails(expected);
        let requests = case.server.take_requests().len();
        assert!(requests <= 40, "{expected}: {requests} requests");
    }
}

#[test]
fn lies_about_ranges_are_errors() {
    for (fault, expected) in [
        (Fault::IgnoreRange, "ignored the requested range"),
        (Fault::WrongRange, "a different range"),
        (Fault::ContentRange("bytes 0-18446744073709551615/18446744073709551615"), "a different range"),
        (Fault::ContentRange("bytes 3145728-18446744073709551615/*"), "a different range"),
        (Fault::ContentRange("lines 1-2/3"), "a different range"),
        (Fault::Header("Content-Encoding", "gzip"), "Content-Encoding"),
        (Fault::Endless, "server"),
        (status(416, ""), "cannot send a part"),
        (status(404, ""), "no such object"),
        (status(403, "<Error><Code>InvalidObjectState</Code></Error>"), "403 (InvalidObjectState)"),
        (status(401, "secret"), "denied access"),
        (status(403, &"x".repeat(1 << 20)), "denied access"),
        (Fault::Instead(Response { body: vhdx_testkit::http::Body::Endless, ..Response::new(400, "") }), ""),
    ] {
        let case = case();
        case.spoil(usize::MAX, fault.clone());
        case.fails(expected);
        does_not_open(fault, expected);
    }
}

#[test]
fn an_endless_body_is_not_read_to_its_end() {
    let case = case();
    case.spoil(usize::MAX, Fault::Endless);
    case.fails("server");
    assert!(case.server.bytes_sent() < 64 << 20, "{} bytes", case.server.bytes_sent());
}

#[test]
fn redirects_to_other_places_are_not_followed() {
    let (_, other) = served(content(LEN));
    let redirect = |to: &str| Fault::Instead(Response::new(302, "").header("Location", to));
    for to in ["file:///etc/passwd", "https://example.org/disk?secret", "ftp://host/x"] {
        does_not_open(redirect(to), "redirects to");
    }
    // The same machine, but another port.
    does_not_open(redirect(&other.url("/disk")), &format!("redirects to {}", other.url("")));
    assert!(other.take_requests().is_empty());
    does_not_open(redirect("/disk"), "redirects to itself");
    does_not_open(Fault::Instead(Response::new(302, "")), "");
}

#[test]
fn a_redirect_within_the_server_is_followed() {
    let bytes = content(LEN);
    let (files, server) = served(bytes.clone());
    files.spoil(|request: &Request| match request.path.as_str() {
        "/old" => vec![Fault::Instead(Response::new(301, "").header("Location", "/disk"))],
        _ => Vec::new(),
    });
    let file = open(&remote(), &server.url("/old")).unwrap();
    assert!(read(&file, AT, 1 << 20).unwrap() == bytes[AT as usize..][..1 << 20]);
}

/// The object changes between two reads. The server honours conditions, or ignores them.
#[test]
fn a_replaced_object_is_an_error_and_never_a_mixture() {
    for faults in [
        vec![],
        vec![Fault::IgnoreConditions],
        vec![Fault::WeakEtag],
        vec![Fault::WeakEtag, Fault::IgnoreConditions],
        vec![Fault::NoEtag],
        vec![Fault::NoEtag, Fault::IgnoreConditions],
    ] {
        let bytes = content(LEN);
        let (files, server) = served(bytes);
        let spoiled = faults.clone();
        files.spoil(move |_| spoiled.clone());
        let file = open(&remote(), &server.url("/disk")).unwrap();
        read(&file, AT, 4096).unwrap();
        files.put("/disk", vec![7; LEN]);
        for (at, len) in [(AT + (1 << 20), 4096), (AT, 1 << 20)] {
            let error = read(&file, at, len).unwrap_err();
            assert!(error.to_string().contains("was replaced while it was read"), "{faults:?}: {error}");
        }
    }
}

/// The bytes change under the same weak ETag while one answer is sent: the rest of the body is of the new object.
#[test]
fn a_body_that_was_cut_is_not_continued_by_a_weak_etag() {
    let (files, count) = (FileServer::default(), AtomicUsize::new(0));
    files.put("/disk", content(LEN));
    let handler = files.handler();
    let server = HttpServer::start(move |request: &Request| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        if number == 2 {
            files.put("/disk", vec![7; LEN]);
        }
        files.spoil(move |_| if number == 1 { vec![Fault::Cut(1000)] } else { Vec::new() });
        let mut response = handler(request);
        response.headers.retain(|(name, _)| name != "ETag");
        response.header("ETag", "W/\"same\"")
    });
    let file = open(&remote(), &server.url("/disk")).unwrap();
    let error = read(&file, AT, 4096).unwrap_err();
    assert!(error.to_string().contains("was replaced while it was read"), "{error}");
}

/// The object changes while one answer is sent: the rest of a cut body is fetched from the new object.
#[test]
fn an_object_that_is_replaced_in_the_middle_of_an_answer_is_an_error() {
    for ignores in [false, true] {
        let case = case();
        let (files, count) = (case.files.clone(), AtomicUsize::new(0));
        case.files.spoil(move |_| match count.fetch_add(1, Ordering::Relaxed) {
            0 => vec![Fault::Cut(1000)],
            _ => {
                files.put("/disk", vec![7; LEN]);
                if ignores { vec![Fault::IgnoreConditions] } else { Vec::new() }
            }
        });
        read(&case.file, AT, 4096).unwrap_err();
    }
}

#[test]
fn a_deleted_or_shorter_object_is_an_error() {
    let case = case();
    case.files.put("/disk", content(4096));
    case.fails("was replaced while it was read");
}

#[test]
fn without_any_validator_nothing_is_read() {
    does_not_open(Fault::NoValidator, "neither an ETag nor a modification time");
}

#[test]
fn a_server_that_is_not_there() {
    // Nothing listens at this port, and no other test can be given it.
    let error = open(&remote(), "http://127.0.0.1:1/disk").unwrap_err();
    assert!(error.to_string().contains("connect"), "{error}");
    let (_, server) = served(Vec::new());
    let error = open(&remote(), &server.url("/disk")).unwrap_err();
    assert!(error.to_string().contains("empty"), "{error}");
    let error = open(&remote(), &server.url("/none?secret")).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    ensure_no_secret(&error);
}

#[test]
fn a_query_is_sent_but_not_shown() {
    let (_, server) = served(content(LEN));
    let remote = remote();
    let file = open(&remote, &server.url("/disk?signature=secret")).unwrap();
    assert!(!format!("{file:?} {remote:?} {}", file.name().display()).contains("secret"));
    assert_eq!(server.take_requests()[0].query, "signature=secret");
    // The name leads to the same object.
    remote.open(file.name()).unwrap();
    assert!(server.take_requests().is_empty());
    let error = remote.add(&server.url("/disk?signature=other")).unwrap_err();
    assert!(!error.to_string().contains("other="), "{error}");
}

/// A file that cannot be opened is asked for once in a session, however often it is tried.
#[test]
fn a_failed_open_is_not_repeated() {
    let (files, server) = served(content(LEN));
    files.spoil(|_| vec![status(403, "")]);
    let remote = remote();
    for _ in 0..3 {
        let error = open(&remote, &server.url("/disk")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }
    assert_eq!(server.take_requests().len(), 1);
}

/// As paths, these names are equal.
#[test]
fn names_that_differ_in_a_slash_are_different_objects() {
    let (_, server) = served(content(LEN));
    let remote = remote();
    open(&remote, &server.url("/disk")).unwrap();
    for path in ["//disk", "/disk/", "/disk//"] {
        let error = open(&remote, &server.url(path)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound, "{path}");
    }
}

#[test]
fn plain_http_to_other_machines_is_refused() {
    let error = Remote::new(crate::options()).add("http://example.org/disk?secret").unwrap_err();
    assert!(error.to_string().contains("VHDX_ALLOW_HTTP"), "{error}");
    ensure_no_secret(&error);
}
