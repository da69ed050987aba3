//! A stdout that its reader has closed, and one that is not open for writing.

use std::ffi::OsStr;

use vhdx_testkit::{Block, Image};

use crate::images::{MIB, family, write};
use crate::run::{Ran, command, output, ran};

fn without_a_reader<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Ran {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    ran(output(command().args(args).stdout(writer)))
}

#[test]
fn closing_stdout_early_is_no_error() {
    let family = family();
    for args in [["map", "--json"], ["map", "--quiet"], ["info", "--quiet"], ["chain", "--quiet"]] {
        let leaf = family.leaf();
        let ran = without_a_reader(args.iter().map(OsStr::new).chain([leaf.as_os_str()])).exits(0);
        assert_eq!(ran.stderr, "", "{args:?}");
    }
    // More ranges than a buffer of stdout holds.
    let mut child = Image::child_of(&family.images.leaf, "leaf.avhdx", 2 << 20);
    let sectors = (0..4096).map(|sector| sector % 2 == 0).collect();
    child.blocks.insert(0, Block::partial(vec![1; 2 * MIB], sectors));
    let path = family.path("child.avhdx");
    write(&child, &path);
    let leaf = family.leaf();
    for option in ["--json", "--lines", "--quiet", "--exact"] {
        let args = ["diff".as_ref(), option.as_ref(), leaf.as_os_str(), path.as_os_str()];
        assert_eq!(without_a_reader(args).exits(0).stderr, "", "{option}");
    }
}

#[test]
fn closing_stdout_before_the_whole_disk_is_an_error() {
    let family = family();
    let ran = without_a_reader(["convert".as_ref(), family.leaf().as_os_str(), "-".as_ref()]);
    assert_eq!(
        ran.exits(6).stderr,
        "vhdx: stdout was closed before the whole disk was written: the output is incomplete\n"
    );
}

#[test]
fn closing_stdout_early_keeps_the_exit_code() {
    let family = family();
    let (leaf, garbage) = (family.leaf(), family.path("garbage.vhdx"));
    std::fs::write(&garbage, vec![7; 4 * MIB]).unwrap();
    let differs =
        without_a_reader(["compare".as_ref(), leaf.as_os_str(), family.base().as_os_str()]).exits(1);
    let corrupt = without_a_reader(["check".as_ref(), garbage.as_os_str()]).exits(1);
    assert_eq!((differs.stderr.as_str(), corrupt.stderr.as_str()), ("", ""));
    std::fs::remove_file(family.base()).unwrap();
    for args in [&["chain"][..], &["check", "--chain"]] {
        let args = args.iter().map(OsStr::new).chain(["--json".as_ref(), leaf.as_os_str()]);
        assert_eq!(without_a_reader(args).exits(5).error()["kind"], "chain");
    }
}

#[cfg(unix)]
#[test]
fn a_stdout_that_is_not_open_for_writing_is_an_error() {
    let family = family();
    let commands: [&[&str]; 6] =
        [&["info"], &["map"], &["chain"], &["check"], &["convert", "--to", "raw"], &["tree", "--json"]];
    for args in commands {
        let stdout = std::fs::File::open("/dev/null").unwrap();
        let mut command = command();
        command.args(args).arg(if args[0] == "tree" {
            family.folder.path().to_owned()
        } else {
            family.leaf()
        });
        if args[0] == "convert" {
            command.arg("-");
        }
        let ran = ran(command.stdout(stdout).output().unwrap()).exits(6);
        assert_ne!(ran.stderr, "", "{args:?}");
    }
}
