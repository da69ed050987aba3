//! `convert SRC s3://…`.

use std::fs;
#[cfg(unix)]
use std::{
    process::Stdio,
    thread::sleep,
    time::{Duration, Instant},
};

use vhdx_testkit::http::{Fault, Request, Response};

use crate::Places;
#[cfg(unix)]
use crate::run::{interrupt, ran};

const NEW: &str = "s3://bucket/new/disk.raw";

#[test]
fn a_disk_is_uploaded_from_every_place() {
    for number in 0..3 {
        let places = Places::new();
        let leaf = format!("{}leaf.avhdx", places.prefixes()[number]);
        places.vhdx(["convert", &leaf, NEW, "--dry-run"]).exits(0);
        assert_eq!((places.bucket.completed().len(), places.bucket.parts_seen()), (0, 0));
        let json = places.vhdx(["convert", &leaf, NEW, "--json"]).exits(0).json();
        assert_eq!((&json["destination"], &json["format"]), (&NEW.into(), &"raw".into()));
        assert!(places.bucket.completed()["new/disk.raw"] == places.family.content);
        assert_eq!(places.bucket.unfinished(), 0);
    }
}

#[test]
fn an_existing_object_is_replaced_only_with_force() {
    let places = Places::new();
    places.bucket.put("new/disk.raw", vec![0; 10]);
    let leaf = format!("{}leaf.avhdx", places.prefixes()[0]);
    let ran = places.vhdx(["convert", &leaf, NEW]).exits(6);
    assert!(ran.stderr.contains("exists already"), "{}", ran.stderr);
    let ran = places.vhdx(["convert", &leaf, NEW, "--dry-run"]).exits(6);
    assert!(ran.stderr.contains("exists already"), "{}", ran.stderr);
    places.vhdx(["convert", &leaf, NEW, "--force", "--dry-run"]).exits(0);
    places.vhdx(["convert", &leaf, NEW, "--force"]).exits(0);
    assert!(places.bucket.completed()["new/disk.raw"] == places.family.content);
}

#[test]
fn a_source_is_never_the_destination() {
    let places = Places::new();
    for (source, destination) in [("leaf.avhdx", "base.vhdx"), ("leaf.avhdx", "leaf.avhdx")] {
        let (source, destination) =
            (format!("s3://bucket/vm/{source}"), format!("s3://bucket/vm/{destination}"));
        let ran = places.vhdx(["convert", &source, &destination, "--to", "raw", "--force"]).exits(2);
        assert!(ran.stderr.contains("source"), "{}", ran.stderr);
    }
    assert_eq!((places.bucket.completed().len(), places.bucket.unfinished()), (0, 0));
}

/// Every failure leaves nothing behind: a source that fails or is replaced, and parts that are refused.
#[test]
fn a_failed_upload_leaves_nothing_behind() {
    let denied = |_: &Request| vec![Fault::Instead(Response::new(403, ""))];
    let places = Places::new();
    let leaf = places.web.url("/vm/leaf.avhdx");
    places
        .bucket
        .files
        .spoil(move |request| if request.method == "PUT" { denied(request) } else { Vec::new() });
    places.vhdx(["convert", &leaf, NEW]).exits(6);
    assert_eq!((places.bucket.completed().len(), places.bucket.unfinished()), (0, 0));

    let places = Places::new();
    let leaf = places.web.url("/vm/leaf.avhdx");
    places.files.spoil(move |request| match request.range() {
        Some(range) if range.start > 4 << 20 => denied(request),
        _ => Vec::new(),
    });
    places.vhdx(["convert", &leaf, NEW]).exits(6);
    assert_eq!((places.bucket.completed().len(), places.bucket.unfinished()), (0, 0));
}

#[test]
fn only_raw_disks_are_uploaded_and_only_to_stores() {
    let places = Places::new();
    let leaf = format!("{}leaf.avhdx", places.prefixes()[0]);
    for (new, code, says) in [
        ("s3://bucket/new.vhdx", 2, "only a raw disk can be uploaded"),
        ("s3://bucket/new", 2, "does not say which format"),
        ("s3://bucket/new.raw/", 2, "must not end with a slash"),
        ("https://127.0.0.1/new.raw", 6, "an upload to a web server is not supported"),
    ] {
        for dry_run in [&["--dry-run"][..], &[]] {
            let ran =
                places.vhdx(["convert", &leaf, new].into_iter().chain(dry_run.iter().copied())).exits(code);
            assert!(ran.stderr.contains(says), "{}", ran.stderr);
        }
    }
    let prefix = places.vhdx(["convert", &leaf, "s3://bucket/new/", "--to", "raw"]).exits(2);
    assert!(prefix.stderr.contains("must not end with a slash"), "{}", prefix.stderr);
    let in_place = places.vhdx(["convert", &leaf, NEW, "--in-place"]).exits(2);
    assert!(in_place.stderr.contains("takes no URL here"), "{}", in_place.stderr);
    assert!(!fs::exists("s3:").unwrap());
}

/// The server takes almost nothing, so that the command waits when it is stopped.
#[test]
#[cfg(unix)]
fn ctrl_c_stops_an_upload() {
    let places = Places::new();
    let leaf = format!("{}leaf.avhdx", places.prefixes()[0]);
    places.s3.set_pause(Duration::from_secs(5));
    let mut command = places.command(["convert", &leaf, NEW]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while places.bucket.unfinished() == 0 {
        sleep(Duration::from_millis(20));
    }
    sleep(Duration::from_millis(300));
    let stopped = Instant::now();
    interrupt(&child);
    let ran = ran(child.wait_with_output().unwrap()).exits(130);
    assert!(stopped.elapsed() < Duration::from_secs(15), "{:?}: {}", stopped.elapsed(), ran.stderr);
    assert_eq!((places.bucket.completed().len(), places.bucket.unfinished()), (0, 0));
}
