//! Uploads: complete or absent.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use vhdx_remote::{Remote, Upload};
use vhdx_testkit::http::{Bucket, Fault, HttpServer, Request, Response};

use crate::content;
use crate::s3 as remote;

const MIB: usize = 1 << 20;

fn begin(server: &HttpServer, size: usize) -> std::io::Result<Upload> {
    let remote: Remote = remote(server);
    let name = remote.add("s3://bucket/new.raw")?;
    remote.upload(&name, size as u64, false)
}

#[test]
fn an_upload_appears_when_it_is_committed() {
    for len in [1, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 50 * MIB + 7] {
        let (bucket, bytes) = (Bucket::default(), content(len));
        let server = bucket.start();
        let mut upload = begin(&server, len).unwrap();
        for chunk in bytes.chunks(3 * MIB + 1) {
            upload.write_all(chunk).unwrap();
        }
        upload.flush().unwrap();
        assert!(bucket.completed().is_empty());
        upload.commit().unwrap();
        assert!(bucket.completed()["new.raw"] == bytes, "{len}");
        assert_eq!(bucket.unfinished(), 0);
    }
}

#[test]
fn a_dropped_upload_leaves_nothing_behind() {
    let bucket = Bucket::default();
    let server = bucket.start();
    let mut upload = begin(&server, 100 * MIB).unwrap();
    upload.write_all(&content(20 * MIB)).unwrap();
    assert_eq!(bucket.unfinished(), 1);
    drop(upload);
    assert_eq!((bucket.unfinished(), bucket.completed().len()), (0, 0));
    assert_eq!(bucket.parts_seen(), 2);
}

/// The whole part takes longer than a server may send nothing, but it is taken bit by bit.
#[test]
fn a_slow_receiver_is_waited_for() {
    let (bucket, bytes) = (Bucket::default(), content(10 * MIB));
    let server = bucket.start();
    let mut upload = begin(&server, bytes.len()).unwrap();
    server.take_requests();
    server.set_pause(Duration::from_millis(12));
    let start = Instant::now();
    upload.write_all(&bytes).unwrap();
    upload.commit().unwrap();
    assert!(start.elapsed() > Duration::from_secs(1), "{:?}", start.elapsed());
    assert!(bucket.completed()["new.raw"] == bytes);
    let puts = server.take_requests().iter().filter(|request| request.method == "PUT").count();
    assert_eq!(puts, 2, "no part was sent twice");
}

#[test]
fn a_receiver_that_takes_nothing_ends_the_upload() {
    let bucket = Bucket::default();
    let server = bucket.start();
    let mut options = crate::s3_options(&server);
    options.retries = 0;
    options.idle_timeout = Duration::from_millis(200);
    let remote = Remote::new(options);
    let name = remote.add("s3://bucket/new.raw").unwrap();
    let mut upload = remote.upload(&name, 10 * MIB as u64, false).unwrap();
    server.set_pause(Duration::from_secs(60));
    let start = Instant::now();
    let written = upload.write_all(&content(10 * MIB));
    let error = written.and_then(|()| upload.commit()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut, "{error}");
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
}

/// The receiver takes nothing, so that the upload waits when it is cancelled.
#[test]
fn a_cancelled_upload_ends_soon() {
    let bucket = Bucket::default();
    let server = bucket.start();
    let mut options = crate::s3_options(&server);
    options.idle_timeout = Duration::from_secs(100);
    let remote = Remote::new(options);
    let name = remote.add("s3://bucket/new.raw").unwrap();
    for len in [10 * MIB, 100 * MIB] {
        let mut upload = remote.upload(&name, len as u64, false).unwrap();
        server.set_pause(Duration::from_secs(5));
        let start = Instant::now();
        upload.cancel_when(move || start.elapsed() > Duration::from_millis(500));
        let written = upload.write_all(&content(len));
        let error = written.and_then(|()| upload.commit()).unwrap_err();
        assert!(error.to_string().contains("cancelled"), "{error}");
        assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
        assert_eq!((bucket.unfinished(), bucket.completed().len()), (0, 0));
        server.set_pause(Duration::ZERO);
    }
}

#[test]
fn an_upload_that_is_cancelled_at_its_end_is_not_completed() {
    let bucket = Bucket::default();
    let server = bucket.start();
    let mut upload = begin(&server, 10).unwrap();
    upload.write_all(b"0123456789").unwrap();
    upload.cancel_when(|| true);
    upload.commit().unwrap_err();
    assert_eq!((bucket.unfinished(), bucket.completed().len()), (0, 0));
}

#[test]
fn an_upload_whose_parts_fail_leaves_nothing_behind() {
    let bucket = Bucket::default();
    bucket
        .files
        .spoil(|_| vec![Fault::Instead(Response::new(403, "<Error><Code>QuotaExceeded</Code></Error>"))]);
    let server = bucket.start();
    let remote = remote(&server);
    let name = remote.add("s3://bucket/new.raw").unwrap();
    let mut upload = remote.upload(&name, 100 * MIB as u64, true).unwrap();
    let written = upload.write_all(&content(100 * MIB));
    let error = written.and_then(|()| upload.commit()).unwrap_err();
    assert!(error.to_string().contains("403 (QuotaExceeded)"), "{error}");
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    assert_eq!((bucket.unfinished(), bucket.completed().len()), (0, 0));
}

#[test]
fn failures_of_parts_that_pass_are_repeated() {
    let (bucket, bytes) = (Bucket::default(), content(20 * MIB));
    let count = AtomicUsize::new(0);
    bucket.files.spoil(move |request| match request.method.as_str() {
        "PUT" if count.fetch_add(1, Ordering::Relaxed) < 3 => {
            vec![Fault::Instead(Response::new(503, "<Error><Code>SlowDown</Code></Error>"))]
        }
        _ => Vec::new(),
    });
    let server = bucket.start();
    let mut upload = begin(&server, bytes.len()).unwrap();
    upload.write_all(&bytes).unwrap();
    upload.commit().unwrap();
    assert!(bucket.completed()["new.raw"] == bytes);
}

#[test]
fn a_failed_completion_leaves_nothing_behind() {
    let bucket = Bucket::default();
    bucket.files.spoil(|request| match request.method.as_str() {
        "POST" => vec![Fault::Instead(Response::new(403, ""))],
        _ => Vec::new(),
    });
    let server = bucket.start();
    let mut upload = begin(&server, 10).unwrap();
    upload.write_all(b"0123456789").unwrap();
    upload.commit().unwrap_err();
    assert_eq!((bucket.unfinished(), bucket.completed().len()), (0, 0));
}

#[test]
fn an_object_is_replaced_only_if_that_is_asked_for() {
    let bucket = Bucket::default();
    bucket.put("new.raw", vec![0; 10]);
    let server = bucket.start();
    assert_eq!(begin(&server, 10).unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
    let remote = remote(&server);
    let name = remote.add("s3://bucket/new.raw").unwrap();
    let mut upload = remote.upload(&name, 10, true).unwrap();
    upload.write_all(b"new").unwrap();
    upload.commit().unwrap();
    assert_eq!(bucket.completed()["new.raw"], b"new");
}

/// Somebody else makes the object while this one is uploaded.
#[test]
fn an_object_that_appears_meanwhile_is_not_replaced() {
    let bucket = Bucket::default();
    let server = bucket.start();
    let mut upload = begin(&server, 10).unwrap();
    upload.write_all(b"new").unwrap();
    bucket.put("new.raw", vec![0; 10]);
    assert_eq!(upload.commit().unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!((bucket.unfinished(), bucket.completed().len()), (0, 0));
}

/// The object appears after it was looked for for the last time: only the server can notice.
#[test]
fn the_server_is_told_not_to_replace() {
    for (replace, knows_conditions) in [(false, true), (false, false), (true, true)] {
        let bucket = Bucket::default();
        let (handler, other) = (bucket.handler(), bucket.clone());
        let server = HttpServer::start(move |request: &Request| {
            if request.method == "POST" && request.query.contains("uploadId=") {
                other.put("new.raw", vec![0; 10]);
                if !knows_conditions && request.header("if-none-match").is_some() {
                    return Response::new(501, "<Error><Code>NotImplemented</Code></Error>");
                }
            }
            handler(request)
        });
        let remote = remote(&server);
        let name = remote.add("s3://bucket/new.raw").unwrap();
        let mut upload = remote.upload(&name, 10, replace).unwrap();
        upload.write_all(b"new").unwrap();
        let committed = upload.commit();
        if !replace && knows_conditions {
            assert_eq!(committed.unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
            assert!(bucket.completed().is_empty());
        } else {
            committed.unwrap();
            assert_eq!(bucket.completed()["new.raw"], b"new");
        }
        assert_eq!(bucket.unfinished(), 0);
    }
}

#[test]
fn uploads_that_are_not_possible() {
    let bucket = Bucket::default();
    let server = bucket.start();
    let remote = remote(&server);
    let name = remote.add("s3://bucket/new.raw").unwrap();
    let error = remote.upload(&name, 64 << 40, true).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::FileTooLarge);
    let name = remote.add(&server.url("/new.raw")).unwrap();
    assert_eq!(remote.upload(&name, 1, true).unwrap_err().kind(), std::io::ErrorKind::Unsupported);
    for url in ["s3://bucket", "s3://bucket/", "s3://bucket/dir/"] {
        let error = remote.upload(&remote.add(url).unwrap(), 1, true).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{url}");
    }
    assert_eq!(bucket.unfinished(), 0);
}

/// The id becomes a part of URLs, which must not be too long for the client.
#[test]
fn an_upload_with_an_endless_id_does_not_begin() {
    let server = HttpServer::start(|request: &Request| match request.method.as_str() {
        "POST" => {
            let id = "x".repeat(70_000);
            let body = format!(
                "<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
            );
            Response::new(200, body)
        }
        _ => Response::new(404, ""),
    });
    let error = begin(&server, 20 * MIB).unwrap_err().to_string();
    assert!(error.contains("more than the 8192 bytes"), "{error}");
}
