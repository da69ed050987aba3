//! The files that `report` writes: the page, and the metrics for Prometheus.

use std::fs;
use std::process::{Command, Stdio};

use vhdx_testkit::shared;

use super::estate::{Estate, evil_machine, large, machine};
use crate::run;

fn metrics(estate: &Estate) -> String {
    let path = estate.path("vhdx.prom");
    let report = run!("report", estate.0.path(), "--prometheus", path);
    // A folder without disks is reported.
    assert_eq!(report.code, i32::from(report.text().contains("no disks found")), "{}", report.stderr);
    fs::read_to_string(path).unwrap()
}

#[test]
fn two_files_of_a_report_have_two_names_and_metrics_end_in_prom() {
    let estate = machine();
    let (page, other) = (estate.path("r.html"), estate.path("./r.html"));
    let refused = run!("report", estate.0.path(), "--html", &page, "--prometheus", &other).exits(2);
    assert!(refused.stderr.contains("the same file") && !page.exists(), "{}", refused.stderr);
    let noted = run!("report", estate.0.path(), "--prometheus", estate.path("r.txt")).exits(0);
    assert!(noted.stderr.contains("only files named .prom"), "{}", noted.stderr);
    let plain = run!("report", estate.0.path(), "--prometheus", estate.path("r.prom")).exits(0);
    assert!(plain.stderr.is_empty(), "{}", plain.stderr);
}

#[test]
fn metrics_have_help_types_and_escaped_labels() {
    let estate = evil_machine();
    let text = metrics(&estate);
    assert!(text.ends_with('\n') && !text.contains('\r'));
    let label = r#"machines="=a|b\n<script>alert(1)</script>\"'\\,;"#;
    assert_eq!(text.matches(label).count(), 5, "{text}");
    let (mut named, mut samples) = (Vec::new(), 0);
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            named.push(rest.split(' ').next().unwrap());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            assert_eq!(rest, format!("{} gauge", named.last().unwrap()));
        } else {
            assert!(line.starts_with(named.last().unwrap()), "{line}");
            assert!(line.rsplit(' ').next().unwrap().parse::<u64>().is_ok(), "{line}");
            samples += 1;
        }
    }
    assert!(samples > 60 && named.len() == 11, "{text}");
    assert!(
        text.contains("vhdx_disks 3\n")
            && text.contains("vhdx_findings{kind=\"orphan\",severity=\"critical\"} 0\n")
    );
}

#[test]
fn promtool_accepts_the_metrics() {
    let Some(()) = shared::program("promtool") else { return };
    for estate in [machine(), evil_machine(), large(), Estate::new()] {
        let text = metrics(&estate);
        let mut tool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut tool.stdin.take().unwrap(), text.as_bytes()).unwrap();
        let output = tool.wait_with_output().unwrap();
        let says = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && says.is_empty(), "{says}{text}");
    }
}

/// The paths of two bases differ only in bytes that are no valid Unicode.
#[cfg(target_os = "linux")]
#[test]
fn no_two_metrics_have_the_same_labels() {
    use std::os::unix::ffi::OsStrExt;

    let estate = machine();
    for (name, new) in [("leaf.avhdx", b"\xfe.avhdx"), ("mid.avhdx", b"\xff.avhdx")] {
        let bytes = fs::read(estate.path("vm").join(name)).unwrap();
        fs::write(estate.path("vm").join(std::ffi::OsStr::from_bytes(new)), bytes).unwrap();
    }
    for name in ["base.vhdx", "mid.avhdx", "leaf.avhdx"] {
        fs::remove_file(estate.path("vm").join(name)).unwrap();
    }
    let text = metrics(&estate);
    let samples: Vec<&str> = text.lines().filter(|line| line.contains("vhdx_family_depth{")).collect();
    // The leaf may be linked to the renamed file.
    let labels: std::collections::BTreeSet<_> =
        samples.iter().map(|line| line.rsplit_once(' ').unwrap().0).collect();
    assert_eq!(labels.len(), samples.len(), "{text}");
}

#[test]
fn only_an_earlier_report_is_replaced_without_force() {
    let estate = machine();
    let folder = estate.0.path();
    for (option, name) in [("--html", "page.html"), ("--prometheus", "vhdx.prom")] {
        let path = estate.path(name);
        run!("report", folder, option, path).exits(0);
        let first = fs::read(&path).unwrap();
        run!("report", folder, option, path).exits(0);
        fs::write(&path, "something else").unwrap();
        let refused = run!("report", folder, option, path, "--json").exits(6).error();
        assert_eq!(refused["kind"], "conflict");
        assert!(refused["hint"].as_str().unwrap().contains("--force"));
        assert_eq!(fs::read(&path).unwrap(), b"something else");
        run!("report", folder, option, path, "--force").exits(0);
        assert_eq!(fs::read(&path).unwrap()[..64], first[..64]);
        run!("report", folder, option, folder).exits(2);
        run!("report", folder, option, estate.path("vm/leaf.avhdx"), "--force").exits(2);
        run!("report", folder, option, estate.path("new.VHDX")).exits(2);
        run!("report", folder, option, estate.path("absent/x")).exits(6);
    }
    let leaf = estate.path("leaf.html");
    fs::hard_link(estate.path("vm/leaf.avhdx"), &leaf).unwrap();
    let before = fs::read(&leaf).unwrap();
    run!("report", folder, "--html", leaf, "--force").exits(2);
    assert_eq!(fs::read(&leaf).unwrap(), before);
    let left = fs::read_dir(folder)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains(".part"));
    assert_eq!(left.count(), 0);
}

#[test]
fn a_page_escapes_names_and_needs_nothing_else() {
    let estate = evil_machine();
    let path = estate.path("page.html");
    let text = run!("report", estate.0.path(), "--html", path).exits(0).text();
    assert!(text.contains("1 family"), "the text is printed, too: {text}");
    let page = fs::read_to_string(&path).unwrap();
    assert!(
        page.starts_with("<!DOCTYPE html>") && page.contains(r"=a|b\n&lt;script&gt;alert(1)&lt;/script&gt;"),
        "{page}"
    );
    assert!(!page.contains("<script") && !page.contains('\u{202e}') && page.contains(r"\u{202e}"));
    for outside in ["http://", "https://", "src=", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains("prefers-color-scheme: dark") && page.contains("@media print"));
}

#[test]
fn a_map_names_every_layer_and_its_share() {
    let estate = machine();
    let path = estate.path("page.html");
    run!("report", estate.0.path(), "--html", path).exits(0);
    let page = fs::read_to_string(&path).unwrap();
    let map = page.split("<svg class=\"map\"").nth(1).unwrap();
    for name in ["base.vhdx", "mid.avhdx", "leaf.avhdx"] {
        assert!(map.contains(&format!("{name}: ")) && map.matches(name).count() >= 2, "{map}");
    }
    assert!(map.contains("never written") && map.contains(" %"));
}

/// A chain that is too long to be opened is drawn, but has no map.
#[test]
fn a_chain_that_is_too_long_has_a_page_without_a_map() {
    let estate = Estate::new();
    let names: Vec<String> = (0..=vhdx::MAX_CHAIN_LENGTH).map(|layer| format!("{layer}.avhdx")).collect();
    let files: Vec<(&str, u32)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    estate.chain("deep", 4 << 20, &files);
    let path = estate.path("page.html");
    run!("report", estate.0.path(), "--html", path).exits(0);
    let page = fs::read_to_string(&path).unwrap();
    assert!(page.contains("The map cannot be drawn: the chain has more than"), "{}", page.len());
    assert!(page.contains("Broken link") && page.len() < 600_000, "{}", page.len());
}

/// A chain of 300 files: the page stays small, and the drawing is folded.
#[test]
fn a_long_chain_stays_a_small_page() {
    let estate = Estate::new();
    let names: Vec<String> = (0..300).map(|layer| format!("deep_{layer:03}.avhdx")).collect();
    let files: Vec<(&str, u32)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    estate.chain("deep", 16 << 20, &files);
    let path = estate.path("page.html");
    run!("report", estate.0.path(), "--html", path).exits(0);
    let page = fs::read_to_string(&path).unwrap();
    assert!(page.contains("Drawing of 300 files") && page.len() < 400_000, "{}", page.len());
}
