//! Overlapping blocks: every command that reads the whole disk refuses the file before it writes anything.

use std::fs;
use std::path::Path;

use super::make;
use crate::images::names;
use crate::run;
use crate::run::Ran;

/// The files, each with the two BAT entries that share a place.
const FILES: [(&str, [&str; 2]); 3] = [
    ("dup.vhdx", ["BAT entry 7 ", "BAT entry 0)"]),
    ("bitmap-in-data.avhdx", ["BAT entry 2048 ", "BAT entry 5)"]),
    ("half.avhdx", ["BAT entry 7 ", "BAT entry 5)"]),
];

#[track_caller]
fn is_refused(ran: Ran, entries: [&str; 2]) {
    let ran = ran.exits(3);
    assert!(ran.stdout.is_empty(), "{}", ran.text());
    for word in ["the block overlaps another block"].iter().chain(&entries) {
        assert!(ran.stderr.contains(word), "{word}: {}", ran.stderr);
    }
}

#[test]
fn every_command_that_reads_the_whole_disk_refuses_it() {
    let Some((folder, _)) = make("crossed-blocks") else { return };
    let path = |name: &str| folder.path().join(name);
    let target = path("t");
    fs::write(&target, vec![0; 24 << 20]).unwrap();
    let before = names(folder.path());
    for (name, entries) in FILES {
        let file = path(name);
        assert!(run!("check", file).exits(1).text().contains("overlaps another block"));
        for new in ["o.raw", "o.vhdx", "-"] {
            let new = if new == "-" { new.into() } else { path(new) };
            is_refused(run!("convert", file, new), entries);
            is_refused(run!("convert", file, new, "--dry-run"), entries);
        }
        is_refused(run!("merge", file, "--output", path("n.vhdx")), entries);
        is_refused(run!("compare", file, path("p.vhdx")), entries);
        let map = run!("map", file).exits(3);
        assert!(map.stderr.contains("overlaps another block"), "{}", map.stderr);
        is_refused(run!("compare", path("p.vhdx"), file), entries);
        is_refused(run!("compare", file, file), entries);
        is_refused(run!("convert", file, target, "--in-place"), entries);
        is_refused(run!("convert", file, target, "--in-place", "--dry-run"), entries);
        let error = run!("convert", file, "-", "--json").exits(3).error();
        assert_eq!((&error["kind"], error["path"].as_str()), (&"corrupt".into(), file.to_str()), "{error}");
        assert!(error["hint"].as_str().unwrap().contains("vhdx cannot repair this"), "{error}");
    }
    assert_eq!(names(folder.path()), before);
    assert!(reads_as_zeros(&target));
    run!("convert", path("p.vhdx"), path("o.raw")).exits(0);
}

fn reads_as_zeros(path: &Path) -> bool {
    fs::read(path).unwrap() == vec![0; 24 << 20]
}
