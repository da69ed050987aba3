//! Commands give the same answers about files of a folder, of a web server and of a bucket.

use std::fs;

use serde_json::Value;
use vhdx_testkit::http::{HttpServer, Response};

use crate::run::{output, ran};
use crate::{NAMES, Places};

/// Replaces the prefix of each path, and removes what only files of the host have.
fn normal(json: &Value, prefix: &str) -> Value {
    match json {
        Value::String(text) => text.replace(prefix, "PREFIX/").into(),
        Value::Array(values) => values.iter().map(|value| normal(value, prefix)).collect(),
        Value::Object(object) => {
            let kept = object
                .iter()
                .filter(|(key, _)| !["allocated", "modified", "checkpoint"].contains(&key.as_str()));
            kept.map(|(key, value)| (key.clone(), normal(value, prefix))).collect()
        }
        other => other.clone(),
    }
}

#[test]
fn the_json_is_the_same() {
    let places = Places::new();
    let commands: [&[&str]; 10] = [
        &["info", "PREFIX/leaf.avhdx"],
        &["info", "PREFIX/base.vhdx", "--blocks"],
        &["info", "PREFIX/base.vhdx", "PREFIX/mid.avhdx"],
        &["chain", "PREFIX/leaf.avhdx"],
        &["chain", "PREFIX/leaf.avhdx", "--parent", "PREFIX/mid.avhdx", "--parent", "PREFIX/base.vhdx"],
        &["map", "PREFIX/leaf.avhdx"],
        &["check", "PREFIX/leaf.avhdx", "--chain"],
        &["check", "PREFIX/mid.avhdx"],
        &["compare", "PREFIX/leaf.avhdx", "PREFIX/base.vhdx"],
        &["hash", "PREFIX/leaf.avhdx"],
    ];
    for args in commands {
        let answers = places.prefixes().map(|prefix| {
            let args: Vec<String> = args.iter().map(|arg| arg.replace("PREFIX/", &prefix)).collect();
            let ran = places.vhdx(args.iter().map(String::as_str).chain(["--json"]));
            assert!(ran.code <= 1, "{args:?}: {}", ran.stderr);
            (ran.code, normal(&ran.json(), &prefix))
        });
        assert_eq!(answers[0], answers[1], "{args:?}");
        assert_eq!(answers[0], answers[2], "{args:?}");
    }
}

#[test]
fn a_disk_is_streamed_from_every_place() {
    let places = Places::new();
    for prefix in places.prefixes() {
        let leaf = format!("{prefix}leaf.avhdx");
        for args in [vec!["convert", &leaf, "-"], vec!["convert", &leaf, "-", "--jobs", "1"]] {
            assert!(places.vhdx(args).exits(0).stdout == places.family.content, "{leaf}");
        }
        let mid = places.vhdx(["convert", &format!("{prefix}mid.avhdx"), "-"]).exits(0).stdout;
        assert_ne!(mid, places.family.content);
    }
}

#[test]
fn new_files_are_made_from_every_place() {
    let places = Places::new();
    let folder = tempfile::tempdir().unwrap();
    for (number, prefix) in places.prefixes().iter().enumerate() {
        let path = |name: &str| folder.path().join(format!("{number}-{name}")).display().to_string();
        let leaf = format!("{prefix}leaf.avhdx");
        places.vhdx(["convert", &leaf, &path("disk.raw")]).exits(0);
        assert!(fs::read(path("disk.raw")).unwrap() == places.family.content);
        places.vhdx(["convert", &leaf, &path("disk.vhdx")]).exits(0);
        places.vhdx(["merge", &leaf, "--output", &path("merged.vhdx")]).exits(0);
        fs::write(path("target"), vec![7; places.family.content.len()]).unwrap();
        places.vhdx(["convert", &leaf, &path("target"), "--in-place"]).exits(0);
        assert!(fs::read(path("target")).unwrap() == places.family.content);
        for made in ["disk.raw", "disk.vhdx", "merged.vhdx"] {
            places.vhdx(["compare", &leaf, &path(made)]).exits(0);
        }
    }
}

#[test]
fn a_raw_disk_is_read_from_every_place() {
    let places = Places::new();
    let content = places.family.content.clone();
    places.files.put("/vm/disk.raw", content.clone());
    places.bucket.put("vm/disk.raw", content.clone());
    for prefix in &places.prefixes()[1..] {
        let (raw, leaf) = (format!("{prefix}disk.raw"), format!("{prefix}leaf.avhdx"));
        assert!(places.vhdx(["convert", &raw, "-"]).exits(0).stdout == content);
        places.vhdx(["compare", &raw, &leaf]).exits(0);
        places.vhdx(["compare", &raw, &format!("{prefix}base.vhdx")]).exits(1);
        let failure = places.vhdx(["info", &raw, "--json"]);
        assert_eq!(failure.code, 3, "{}", failure.stderr);
    }
}

/// The whole disk, also where a format is recognized by its last sector.
#[test]
fn other_formats_are_recognized_from_every_place() {
    let places = Places::new();
    places.files.put("/vm/disk.vhd", [vec![0; 1 << 20], b"conectix".to_vec(), vec![0; 504]].concat());
    let url = places.web.url("/vm/disk.vhd");
    for command in ["info", "check"] {
        let ran = places.vhdx([command, &url]).exits(4);
        assert!(ran.stderr.contains("a VHD image"), "{}", ran.stderr);
    }
}

#[test]
fn a_bucket_is_searched() {
    let places = Places::new();
    places.bucket.put("vm/deep/damaged.vhdx", vec![1; 5000]);
    places.bucket.put("vm/deep/notes.txt", vec![1; 5000]);
    let [folder, web, bucket] = places.prefixes();
    fs::create_dir(format!("{folder}deep")).unwrap();
    fs::write(format!("{folder}deep/damaged.vhdx"), [1; 5000]).unwrap();
    let forest = |prefix: &str| {
        let json = normal(&places.vhdx(["tree", prefix, "--json"]).exits(0).json(), prefix);
        (json["disks"].clone(), json["orphans"].clone(), json["problems"][0]["path"].clone())
    };
    assert_eq!(forest(&folder), forest(&bucket));
    let text = places.vhdx(["tree", "s3://bucket"]).exits(0).text();
    assert!(NAMES.iter().all(|name| text.contains(name)), "{text}");
    let ran = places.vhdx(["tree", &web]).exits(6);
    assert!(ran.stderr.contains("a web server cannot list its files"), "{}", ran.stderr);
    places.vhdx(["tree", &folder, &bucket]).exits(2);
    let several = places.vhdx(["info", &bucket, "--json"]);
    assert_eq!(several.code, 3);
    assert_eq!(several.json()["results"].as_array().unwrap().len(), 4);
}

/// A parent under another name, in another prefix, and a child on the host whose parents are in a bucket.
#[test]
fn parents_are_found_in_other_places() {
    let places = Places::new();
    let file = |name: &str| fs::read(places.family.folder.path().join(name)).unwrap();
    places.bucket.put("child/leaf.avhdx", file("leaf.avhdx"));
    places.bucket.put("parents/renamed.avhdx", file("mid.avhdx"));
    places.bucket.put("parents/BASE.vhdx", file("base.vhdx"));
    let leaf = "s3://bucket/child/leaf.avhdx";
    let ran = places.vhdx(["convert", leaf, "-"]).exits(5);
    assert!(ran.stdout.is_empty() && ran.stderr.contains("its parent is missing"), "{}", ran.stderr);
    let with_folder = ["convert", leaf, "-", "--parent-dir", "s3://bucket/parents"];
    let ran = places.vhdx(with_folder).exits(0);
    assert!(ran.stdout == places.family.content);
    assert!(ran.stderr.contains("s3://bucket/parents/renamed.avhdx"), "{}", ran.stderr);

    let host = tempfile::tempdir().unwrap();
    let child = host.path().join("leaf.avhdx").display().to_string();
    fs::write(&child, file("leaf.avhdx")).unwrap();
    places.vhdx(["convert", &child, "-"]).exits(5);
    let ran = places.vhdx(["convert", &child, "-", "--parent-dir", "s3://bucket/parents"]).exits(0);
    assert!(ran.stdout == places.family.content);
    let (mid, base) = (places.web.url("/vm/mid.avhdx?signature=secret"), places.web.url("/vm/base.vhdx"));
    let ran = places.vhdx(["convert", &child, "-", "--parent", &mid, "--parent", &base]).exits(0);
    assert!(ran.stdout == places.family.content);
}

/// A signature is sent, but never printed: neither in an answer nor in an error.
#[test]
fn a_query_is_never_printed() {
    let places = Places::new();
    let leaf = places.web.url("/vm/leaf.avhdx?signature=secret");
    for command in [["info", "--json"], ["chain", "--quiet"], ["map", "--json"], ["check", "--chain"]] {
        places.vhdx([command[0], &leaf, command[1]]).exits(0);
    }
    let requests = places.web.take_requests();
    assert!(requests.iter().any(|request| request.query == "signature=secret"));
    let missing = places.web.url("/vm/none.vhdx?signature=secret");
    for json in ["--json", "--quiet"] {
        let ran = places.vhdx(["info", &missing, json]).exits(6);
        assert!(ran.stderr.contains("the server has no such object"), "{}", ran.stderr);
    }
}

/// A merge that was begun in a bucket is reported, as in a folder.
#[test]
fn an_incomplete_merge_is_noticed() {
    let places = Places::new();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    for name in NAMES {
        fs::copy(places.family.folder.path().join(name), path(name)).unwrap();
    }
    // The middle file is left: the merge is complete, and the file is no longer needed.
    places.vhdx(["merge", &path("mid.avhdx")]).exits(0);
    for name in NAMES {
        places.bucket.put(&format!("merged/{name}"), fs::read(path(name)).unwrap());
    }
    let local = places.vhdx(["check", &path("mid.avhdx"), "--json"]);
    let remote = places.vhdx(["check", "s3://bucket/merged/mid.avhdx", "--json"]);
    assert_eq!(local.code, remote.code);
    let left_over = |ran: &crate::Ran| ran.json()["left_over"].as_array().map(Vec::len);
    assert_eq!((left_over(&local), left_over(&remote)), (Some(1), Some(1)));
}

/// A proxy must not see requests to this machine, which are not encrypted.
#[test]
fn requests_to_this_machine_do_not_go_to_a_proxy() {
    let places = Places::new();
    let proxy = HttpServer::start(|_: &_| Response::new(502, ""));
    for url in [places.web.url("/vm/leaf.avhdx"), "s3://bucket/vm/leaf.avhdx".to_owned()] {
        let mut command = places.command(["info", &url]);
        for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
            command.env(name, proxy.url(""));
        }
        command.env_remove("NO_PROXY").env_remove("no_proxy");
        ran(output(&mut command)).exits(0);
    }
    assert!(proxy.take_requests().is_empty());
}
