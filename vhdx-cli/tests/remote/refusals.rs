//! URLs that cannot be used, and commands that take none.

use crate::Places;
use crate::run::{output, ran};

#[test]
fn commands_that_change_files_take_no_urls() {
    let places = Places::new();
    let url = "s3://bucket/vm/leaf.avhdx";
    let commands: [&[&str]; 15] = [
        &["merge", url],
        &["merge", "x.avhdx", "--into", url],
        &["merge", "x.avhdx", "--parent-dir", "s3://bucket"],
        &["merge", url, "--output", "s3://bucket/new.vhdx"],
        &["merge", url, "--since", "x.vhdx", "--output", "new.avhdx"],
        &["convert", url, "target", "--in-place", "--since", "x.vhdx"],
        &["convert", "x.avhdx", "target", "--in-place", "--since", "y.vhdx", "--parent-dir", "s3://bucket"],
        &["create", "new.avhdx", "--parent", url],
        &["create", url, "--size", "1G"],
        &["reparent", url, "--parent", "x.vhdx"],
        &["replay", url],
        &["revert", url, "--to", "x"],
        &["prune", "s3://bucket/", "--all"],
        &["report", "s3://bucket/"],
        &["config", "s3://bucket/x.vmcx"],
    ];
    for args in commands {
        let ran = places.vhdx(args.iter().copied()).exits(2);
        assert!(ran.stderr.contains("this command takes no URL here"), "{args:?}: {}", ran.stderr);
    }
    assert!(places.s3.take_requests().is_empty());
}

#[test]
fn urls_that_cannot_be_used_are_usage_errors() {
    let places = Places::new();
    for (url, says) in [
        ("ftp://host/secret", "URLs of this kind are not supported"),
        ("file:///etc/secret", "URLs of this kind are not supported"),
        ("https://user:secret@host/x.vhdx", "a user name or password in a URL is not supported"),
        ("http://example.org/secret.vhdx", "not encrypted"),
        ("s3:///secret.vhdx", "must begin with the name of a bucket"),
    ] {
        let ran = places.vhdx(["info", url]).exits(2);
        assert!(ran.stderr.contains(says), "{}", ran.stderr);
    }
}

/// A key that cannot be read is named, but never shown.
#[test]
fn settings_are_named_and_not_shown() {
    let places = Places::new();
    for (name, value, url) in [
        ("GOOGLE_SERVICE_ACCOUNT_KEY", "\"-----BEGIN PRIVATE KEY-----secret\"", "gs://bucket/x.vhdx"),
        ("AWS_ENDPOINT", "secret.example.org:9000", "s3://bucket/x.vhdx"),
        ("AWS_SESSION_TOKEN", "secret\n", "s3://bucket/x.vhdx"),
    ] {
        let ran = ran(output(places.command(["info", url]).env(name, value))).exits(6);
        assert!(ran.stderr.contains(name) && !ran.stderr.contains("secret"), "{}", ran.stderr);
    }
}
