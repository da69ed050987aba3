//! Planted faults: every command ends with an error and the right exit code, and nothing is called complete.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use vhdx_testkit::http::{Body, Fault, Response};

use crate::{NAMES, Places};

/// Faults, each with a part of the message.
fn faults() -> Vec<(Fault, &'static str)> {
    let instead = |response: Response| Fault::Instead(response);
    vec![
        (
            instead(Response::new(403, "<Error><Code>InvalidObjectState</Code></Error>")),
            "403 (InvalidObjectState)",
        ),
        (instead(Response::new(404, "")), "no such object"),
        (instead(Response::new(416, "")), "416"),
        (instead(Response::new(302, "").header("Location", "file:///etc/passwd")), "redirects to"),
        (instead(Response::new(302, "").header("Location", "https://example.org/secret")), "example.org"),
        (instead(Response { body: Body::Endless, ..Response::new(400, "") }), ""),
        (Fault::IgnoreRange, "ignored the requested range"),
        (Fault::WrongRange, "a different range"),
        (Fault::Short(1), "bytes instead of"),
    ]
}

/// From which request on the faults are planted, counted over all files.
const FIRST: [usize; 4] = [0, 1, 4, 7];

#[test]
fn every_command_reports_every_fault() {
    for (fault, says) in faults() {
        for first in FIRST {
            let places = Places::new();
            let (planted, count) = (fault.clone(), AtomicUsize::new(0));
            places.files.spoil(move |_| match count.fetch_add(1, Ordering::Relaxed) >= first {
                true => vec![planted.clone()],
                false => Vec::new(),
            });
            let leaf = places.web.url("/vm/leaf.avhdx");
            let new = places.family.folder.path().join("new.raw").display().to_string();
            let ran = places.vhdx(["convert", &leaf, &new]);
            let what = format!("{fault:?} from request {first}: {}", ran.stderr);
            assert!([5, 6].contains(&ran.code), "{what}");
            // A parent that the server says is missing is a missing parent.
            assert!(ran.stderr.contains(says) || ran.code == 5, "{what}");
            assert!(!fs::exists(&new).unwrap(), "{what}");
            let left: Vec<_> = fs::read_dir(places.family.folder.path()).unwrap().collect();
            assert_eq!(left.len(), 3, "{what}: {left:?}");
        }
    }
}

#[test]
fn every_reading_command_fails_alike() {
    for (fault, _) in faults() {
        let places = Places::new();
        let planted = fault.clone();
        places.files.spoil(move |_| vec![planted.clone()]);
        let leaf = places.web.url("/vm/leaf.avhdx");
        let base = places.web.url("/vm/base.vhdx");
        let commands: [&[&str]; 8] = [
            &["info", &leaf],
            &["chain", &leaf],
            &["map", &leaf],
            &["check", &leaf],
            &["check", "--chain", &leaf],
            &["compare", &leaf, &base],
            &["convert", &leaf, "-"],
            &["merge", &leaf, "--output", "never.vhdx"],
        ];
        for args in commands {
            let ran = places.vhdx(args.iter().copied());
            assert_eq!(ran.code, 6, "{fault:?}, {args:?}: {}", ran.stderr);
        }
        assert!(!fs::exists("never.vhdx").unwrap());
    }
}

/// A VHDX that cannot be opened for a while must not be copied as a raw disk, whatever its name is.
#[test]
fn a_disk_that_fails_for_a_while_is_not_a_raw_disk() {
    let places = Places::new();
    let bytes = fs::read(places.family.folder.path().join("base.vhdx")).unwrap();
    places.files.put("/vm/disk", bytes);
    let (url, base) = (places.web.url("/vm/disk"), places.web.url("/vm/base.vhdx"));
    let right = places.vhdx(["convert", &base, "-"]).exits(0).stdout;
    let mut failed = 0;
    // One request is repeated eight times.
    for most in [9, 18] {
        let count = AtomicUsize::new(0);
        places.files.spoil(move |_| match count.fetch_add(1, Ordering::Relaxed) < most {
            true => vec![Fault::Instead(Response::new(503, ""))],
            false => Vec::new(),
        });
        let ran = places.vhdx(["convert", &url, "-"]);
        match ran.code {
            0 => assert!(ran.stdout == right, "{most}"),
            code => {
                assert!(code == 6 && ran.stdout.is_empty() && ran.stderr.contains("503"), "{}", ran.stderr);
                failed += 1;
            }
        }
    }
    assert!(failed > 0, "no run met the failure");
}

/// Returns the base with other data in all its sectors, and the disk at the leaf with that base.
fn other_base(places: &Places) -> (Vec<u8>, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    for name in NAMES {
        fs::copy(places.family.folder.path().join(name), folder.path().join(name)).unwrap();
    }
    let mut base = fs::read(folder.path().join("base.vhdx")).unwrap();
    for sector in base.chunks_mut(512).filter(|sector| sector.iter().all(|byte| *byte == b'b')) {
        sector.fill(b'x');
    }
    fs::write(folder.path().join("base.vhdx"), &base).unwrap();
    let leaf = folder.path().join("leaf.avhdx").display().to_string();
    (base, places.vhdx(["convert", &leaf, "-"]).exits(0).stdout)
}

/// A layer is replaced while the disk is read: at every request once. A disk that is read is the one or the other.
#[test]
fn a_layer_that_is_replaced_is_an_error() {
    let mut failed = 0;
    let (other, other_disk) = other_base(&Places::new());
    for at in 0..12 {
        for ignores in [false, true] {
            let places = Places::new();
            let (files, count) = (places.files.clone(), AtomicUsize::new(0));
            let other = other.clone();
            places.files.spoil(move |_| {
                if count.fetch_add(1, Ordering::Relaxed) == at {
                    files.put("/vm/base.vhdx", other.clone());
                }
                if ignores { vec![Fault::IgnoreConditions] } else { Vec::new() }
            });
            let ran = places.vhdx(["convert", &places.web.url("/vm/leaf.avhdx"), "-"]);
            if ran.code == 0 {
                // The base was replaced before it was opened, or after it was read.
                let is_whole = ran.stdout == places.family.content || ran.stdout == other_disk;
                assert!(is_whole, "request {at}: a mixture");
            } else {
                // A parent that cannot be opened is a missing parent.
                assert!([5, 6].contains(&ran.code), "{}", ran.stderr);
                assert!(ran.stderr.contains("was replaced while it was read"), "{}", ran.stderr);
                failed += 1;
            }
        }
    }
    assert_ne!(other_disk, Places::new().family.content);
    assert!(failed >= 4, "{failed} of 24 runs noticed the change");
}
