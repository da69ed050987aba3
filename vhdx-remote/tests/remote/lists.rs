//! Lists of prefixes, whatever a server answers.

use std::time::{Duration, Instant};

use vhdx_remote::{MAX_LISTED, Remote};
use vhdx_testkit::http::{Body, Bucket, HttpServer, Response};

use crate::{s3 as remote, s3_options as options};

fn names(remote: &Remote, prefix: &str, is_recursive: bool) -> Vec<String> {
    let name = remote.add(prefix).unwrap();
    let entries = remote.list(&name, is_recursive).unwrap();
    entries.into_iter().map(|entry| entry.name.display().to_string()).collect()
}

#[test]
fn a_prefix_is_a_folder() {
    let bucket = Bucket::default();
    for key in ["vm/b.avhdx", "vm/a disk.vhdx", "vm/deep/c.vhdx", "vm2/d.vhdx", "top.vhdx"] {
        bucket.put(key, vec![0; 10]);
    }
    let server = bucket.start();
    let remote = remote(&server);
    for prefix in ["s3://bucket/vm", "s3://bucket/vm/"] {
        assert_eq!(names(&remote, prefix, false), ["s3://bucket/vm/a disk.vhdx", "s3://bucket/vm/b.avhdx"]);
        assert_eq!(names(&remote, prefix, true).len(), 3);
    }
    assert_eq!(names(&remote, "s3://bucket", false), ["s3://bucket/top.vhdx"]);
    assert_eq!(names(&remote, "s3://bucket/none", true), [""; 0]);
}

#[test]
fn a_million_objects_are_an_error() {
    let bucket = Bucket::default();
    bucket.list_only((0..1_000_000).map(|number| format!("vm/{number:07}.avhdx")));
    let server = bucket.start();
    let mut options = options(&server);
    options.list_timeout = Duration::from_secs(100);
    let remote = Remote::new(options);
    let name = remote.add("s3://bucket/vm/").unwrap();
    let error = remote.list(&name, false).unwrap_err().to_string();
    assert!(error.contains(&MAX_LISTED.to_string()), "{error}");
    assert!(server.take_requests().len() <= MAX_LISTED / 1000 + 1);
}

/// Lists this answer, which must be an error, soon.
#[track_caller]
fn fails(response: Response, expected: &str) {
    let server = HttpServer::start(move |_: &_| response.clone());
    let mut options = options(&server);
    options.list_timeout = Duration::from_secs(2);
    let remote = Remote::new(options);
    let name = remote.add("s3://bucket/vm/").unwrap();
    let start = Instant::now();
    let error = remote.list(&name, false).unwrap_err();
    assert!(error.to_string().contains(expected), "{error}");
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
}

#[test]
fn hostile_lists_end() {
    let again = "<ListBucketResult><NextContinuationToken>x</NextContinuationToken></ListBucketResult>";
    fails(Response::new(200, again), "again and again");
    let token = "x".repeat(70_000);
    let long = format!(
        "<ListBucketResult><NextContinuationToken>{token}</NextContinuationToken></ListBucketResult>"
    );
    fails(Response::new(200, long), "a token of 70000 bytes");
    fails(Response { body: Body::Endless, ..Response::new(200, "") }, "more than");
    fails(Response::new(200, "no XML"), "");
    fails(Response::new(404, ""), "the server answered 404");
    let absent = "<Error><Code>NoSuchBucket</Code></Error>";
    fails(Response::new(404, absent), "the server answered 404 (NoSuchBucket)");
    fails(Response { body: Body::Stall(vec![b'x'; 100].into(), 10), ..Response::new(200, "") }, "in time");
    let echo = "<Error><Code>SignatureDoesNotMatch</Code><StringToSign>secret</StringToSign></Error>";
    fails(Response::new(403, echo), "403 (SignatureDoesNotMatch)");
}

/// New parts of a list without end, all of them empty.
#[test]
fn a_list_of_ever_new_empty_parts_ends() {
    let count = std::sync::atomic::AtomicU64::new(0);
    let server = HttpServer::start(move |_: &_| {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Response::new(
            200,
            format!(
                "<ListBucketResult><NextContinuationToken>{number}</NextContinuationToken></ListBucketResult>"
            ),
        )
    });
    let mut options = options(&server);
    options.list_timeout = Duration::from_millis(500);
    let remote = Remote::new(options);
    let name = remote.add("s3://bucket/vm/").unwrap();
    let error = remote.list(&name, false).unwrap_err().to_string();
    assert!(error.contains("in time"), "{error}");
}

/// Entries outside of the prefix, as only a hostile server sends them.
#[test]
fn entries_outside_of_the_prefix_are_ignored() {
    let entry = |key: &str| {
        format!(
            "<Contents><Key>{key}</Key><Size>1</Size><LastModified>2020-01-01T00:00:00.000Z</LastModified></Contents>"
        )
    };
    let keys = ["other/x.vhdx", "vm", "vm/", "vm/ok.vhdx", "vm/deep/x.vhdx"].map(entry).concat();
    let server = HttpServer::start(move |_: &_| {
        Response::new(200, format!("<ListBucketResult>{keys}</ListBucketResult>"))
    });
    assert_eq!(names(&remote(&server), "s3://bucket/vm/", false), ["s3://bucket/vm/ok.vhdx"]);
}

/// Keys that cannot be opened do not hide the others.
#[test]
fn odd_keys_do_not_fail_a_list() {
    let bucket = Bucket::default();
    bucket.list_only(
        ["vm//x.vhdx", "vm/a.vhdx", "vm/../b.vhdx", "vm/c&#10;.vhdx", "vm/d.vhdx"].map(str::to_owned),
    );
    let server = bucket.start();
    let expected = ["s3://bucket/vm/a.vhdx", "s3://bucket/vm/d.vhdx"];
    assert_eq!(names(&remote(&server), "s3://bucket/vm/", true), expected);
}

/// 33 MiB of names, in fewer objects than a list may have.
#[test]
fn a_list_of_long_names_is_an_error() {
    let bucket = Bucket::default();
    let long = "x".repeat(3500);
    bucket.list_only((0..10_000).map(|number| format!("vm/{number:07}-{long}.avhdx")));
    let server = bucket.start();
    let remote = remote(&server);
    let name = remote.add("s3://bucket/vm/").unwrap();
    let error = remote.list(&name, false).unwrap_err().to_string();
    assert!(error.contains("there are more than"), "{error}");
}

#[test]
fn a_web_server_has_no_lists() {
    let (_, server) = crate::served(vec![0; 10]);
    let remote = crate::remote();
    let name = remote.add(&server.url("/")).unwrap();
    assert_eq!(remote.list(&name, false).unwrap_err().kind(), std::io::ErrorKind::Unsupported);
}
