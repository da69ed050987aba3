//! The formats of `report` on stdout: text, JSON, CSV, and the line of a Nagios plugin.

use std::fs;
use std::process::Command;

use serde_json::Value;
use vhdx_testkit::shared;

use super::estate::{EVIL, Estate, evil_machine, machine};
use crate::run;

#[test]
fn text_has_families_checkpoints_and_volumes() {
    let estate = machine();
    let text = run!("report", estate.0.path()).exits(0).text();
    assert!(text.contains(" UTC: 3 disks, 1 family, 1 machine\nfindings: none\n"), "{text}");
    let line =
        |start: &str| text.lines().find(|line| line.contains(start)).unwrap_or_else(|| panic!("{text}"));
    let base = estate.path("vm/base.vhdx").to_str().unwrap().to_owned();
    let family = line("server");
    assert!(family.contains("40 days") && family.ends_with(&base), "{text}");
    // The oldest checkpoint comes first, below the path of the base.
    let (_, checkpoints) = text.split_once(&format!("\n{base}\n")).unwrap_or_else(|| panic!("{text}"));
    let [first, second] = [0, 1].map(|number| checkpoints.lines().nth(number).unwrap());
    assert!(first.starts_with("  \"Before update\" ") && first.contains("  its configuration  "), "{text}");
    assert!(second.starts_with("  (no name) ") && second.contains("  its files  "), "{text}");
    assert!(first.contains("40 days") && first.ends_with("  base.vhdx"), "{text}");
    assert!(second.contains("3 days") && second.ends_with("  mid.avhdx"), "{text}");
    assert!(text.contains("\nvolume of") && !text.contains("critical"), "{text}");
}

/// The other formats have all of a name.
#[test]
fn one_long_name_does_not_widen_a_table() {
    let estate = machine();
    // Each letter takes two columns.
    let (machine, checkpoint) = ("測試".repeat(50), "x".repeat(300));
    estate.configuration("Virtual Machines/1.vmcx", &machine, 100, &["leaf.avhdx"]);
    estate.configuration("Snapshots/2.vmcx", &checkpoint, 40, &["base.vhdx"]);
    let text = run!("report", estate.0.path()).exits(0).text();
    let (folder, widest) = (estate.0.path().as_os_str().len(), text.lines().map(|line| line.chars().count()));
    assert!(widest.max().unwrap() < folder + 130, "{text}");
    assert!(text.contains(&format!("\n\"{}...  ", "測試".repeat(9))), "{text}");
    assert!(text.contains(&format!("\n  \"{}...  ", "x".repeat(36))), "{text}");
    for format in ["--json", "--csv"] {
        let all = run!("report", estate.0.path(), format).exits(0).text();
        assert!(all.contains(&machine) && all.contains(&checkpoint), "{all}");
    }
}

#[test]
fn a_file_outside_of_the_folder_of_its_base_has_its_path() {
    let estate = machine();
    std::fs::create_dir(estate.path("other")).unwrap();
    std::fs::rename(estate.path("vm/mid.avhdx"), estate.path("other/mid.avhdx")).unwrap();
    let text = run!("report", estate.0.path()).exits(0).text();
    let path = estate.path("other/mid.avhdx").to_str().unwrap().to_owned();
    assert!(text.lines().any(|line| line.starts_with("  (no name) ") && line.ends_with(&path)), "{text}");
}

/// A terminal shows the end of a long answer, and a mail its start.
#[test]
fn findings_are_counted_first_and_listed_last() {
    let estate = machine();
    fs::write(estate.path("vm/broken.vhdx"), "no disk").unwrap();
    fs::remove_file(estate.path("vm/mid.avhdx")).unwrap();
    let text = run!("report", estate.0.path()).exits(0).text();
    let counted = text.lines().nth(1).unwrap();
    assert!(counted.starts_with("findings: 2 critical, 1 note; listed at the end"), "{text}");
    let places = ["\nvolume of ", "\nnotes:\n- ", "\ncritical:\n- "].map(|part| text.find(part).unwrap());
    assert!(places.is_sorted(), "{text}");
}

#[test]
fn findings_with_the_same_remedy_stand_together() {
    let estate = Estate::new();
    estate.chain(
        "vm",
        8 << 20,
        &[("base.vhdx", 40), ("mid.avhdx", 30), ("top.avhdx", 20), ("leaf.avhdx", 1)],
    );
    fs::write(estate.path("vm/broken.vhdx"), "no disk").unwrap();
    let text = run!("report", estate.0.path(), "--older-than", "10d").exits(1).text();
    let old: Vec<&str> = text.split_once("\nwarnings:\n").unwrap().1.lines().take(4).collect();
    assert!(
        old[..3].iter().all(|line| line.starts_with("- ") && line.contains("keeps the checkpoint")),
        "{text}"
    );
    assert!(old[3].starts_with("  fix for each of these 3: if the checkpoint is no longer needed"), "{text}");
    assert_eq!(text.matches("if the checkpoint is no longer needed").count(), 1);
}

#[test]
fn text_escapes_names() {
    let text = run!("report", evil_machine().0.path(), "--older-than", "1w").exits(1).text();
    assert!(
        text.contains(r"=a|b\n<script>") && text.contains(r"\u{202e}") && !text.contains('\u{202e}'),
        "{text}"
    );
}

#[test]
fn json_has_the_names_as_stored() {
    let estate = evil_machine();
    let answer = run!("report", estate.0.path(), "--json").exits(0).json();
    let family = &answer["families"][0];
    assert_eq!(family["disks"].as_array().unwrap().len(), 3);
    let base = &family["disks"][0];
    assert_eq!(base["path"], estate.path("vm/base.vhdx").to_str().unwrap());
    assert_eq!(
        (&base["checkpoint"]["names"][0], &base["checkpoint"]["time_source"]),
        (&EVIL.into(), &"configuration".into())
    );
    assert_eq!((&base["depth"], &base["parent"], &base["link"]), (&1.into(), &Value::Null, &"base".into()));
    assert_eq!(family["disks"][2]["checkpoint"], Value::Null);
    assert_eq!(family["machines"][0], estate.path("Virtual Machines/1.vmcx").to_str().unwrap());
    assert_eq!(family["depth"], 3);
    assert!(family["freed_at_most"].as_u64().unwrap() > 0);
    let machine = &answer["machines"][0];
    assert_eq!((&machine["name"], &machine["checkpoints"][0]["name"]), (&EVIL.into(), &EVIL.into()));
    assert_eq!(machine["disks"][0], estate.path("vm/leaf.avhdx").to_str().unwrap());
    let volume = &answer["free_space"][0];
    assert!(volume["free"].as_u64() <= volume["size"].as_u64() && volume["size"].as_u64() > Some(0));
}

/// Python's reader is one that others wrote.
#[test]
fn csv_has_one_line_for_each_disk() {
    let Some(()) = shared::program("python3") else { return };
    let estate = evil_machine();
    let csv = run!("report", estate.0.path(), "--csv").exits(0);
    assert!(csv.text().ends_with("\r\n") && csv.text().starts_with("family,machines,path,"));
    let path = estate.path("out.csv");
    fs::write(&path, &csv.stdout).unwrap();
    let script = "import csv, json, sys\n\
        with open(sys.argv[1], newline='', encoding='utf-8') as file:\n    \
        print(json.dumps(list(csv.DictReader(file, strict=True))))";
    let output = Command::new("python3").args(["-c", script]).arg(path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(rows.len(), 3);
    // Python reads the times, too.
    for column in ["modified", "checkpoint_time"] {
        let base = rows[0][column].as_str().unwrap();
        let script = "import datetime, sys\n\
            print(datetime.datetime.strptime(sys.argv[1], '%Y-%m-%dT%H:%M:%S%z').utcoffset())";
        let read = Command::new("python3").args(["-c", script, base]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&read.stdout).trim(), "0:00:00", "{base}");
    }
    let ages = rows.iter().map(|row| (row["age_days"].as_str(), row["checkpoint_age_days"].as_str()));
    assert!(ages.eq([(Some("40"), Some("40")), (Some("3"), Some("3")), (Some("0"), Some(""))]), "{rows:#?}");
    // A spreadsheet takes no name for a formula.
    let name = format!("'{EVIL}");
    for row in &rows {
        assert_eq!(row.as_object().unwrap().len(), 19, "{row}");
        assert_eq!((&row["machines"], &row["family"]), (&name.clone().into(), &rows[0]["path"]));
        assert!(row["allocated"].as_str().unwrap().parse::<u64>().is_ok());
    }
    assert_eq!(
        (&rows[0]["checkpoint"], &rows[0]["checkpoint_time_source"]),
        (&name.into(), &"configuration".into())
    );
    assert_eq!([&rows[1]["checkpoint"], &rows[2]["checkpoint_size"]], [&Value::from(""), &Value::from("")]);
    assert_eq!(rows[2]["parent"], rows[1]["path"]);
}

/// The performance data follow the guidelines for plugins: `'label'=value[unit];[warn];[crit];[min];[max]`.
fn assert_is_plugin_line(line: &str) {
    let line = line.strip_suffix('\n').unwrap();
    assert!(!line.contains(['\n', '\r']) && line.matches('|').count() == 1, "{line}");
    let (text, data) = line.split_once(" | ").unwrap();
    let (status, _) = text.strip_prefix("VHDX ").unwrap().split_once(" - ").unwrap();
    assert!(["OK", "WARNING", "CRITICAL", "UNKNOWN"].contains(&status), "{line}");
    let Some(()) = shared::program("python3") else { return };
    let script = r"import re, sys
number = r'-?[0-9]+(\.[0-9]+)?'
limit = rf'(@?({number}|~)?(:({number})?)?)?'
one = rf'''('[^'=|]+'|[^\s'=|]+)={number}(us|ms|s|%|B|KB|MB|TB|c)?(;{limit}(;{limit}(;({number})?(;({number})?)?)?)?)?'''
sys.exit(not re.fullmatch(rf'{one}( {one})*', sys.argv[1]))";
    let output = Command::new("python3").args(["-c", script, data]).output().unwrap();
    assert!(output.status.success(), "{data}");
}

#[test]
fn a_plugin_has_its_own_exit_codes() {
    let estate = evil_machine();
    let ok = run!("report", estate.0.path(), "--nagios").exits(0).text();
    assert!(ok.starts_with("VHDX OK - 3 disks in 1 family, checkpoints take "), "{ok}");
    assert_is_plugin_line(&ok);
    let old = run!("report", estate.0.path(), "--nagios", "--older-than", "1w", "--deeper-than", "5")
        .exits(1)
        .text();
    assert!(old.starts_with("VHDX WARNING - ") && old.contains(", 1 old checkpoint, such as "), "{old}");
    assert!(old.contains("s;604800;;0 depth=3;5;;0"), "{old}");
    assert_is_plugin_line(&old);
    let full = run!("report", estate.0.path(), "--nagios", "--min-free", "100%").exits(2).text();
    assert!(
        full.starts_with("VHDX CRITICAL - ") && full.contains("1 volume with little free space"),
        "{full}"
    );
    assert_is_plugin_line(&full);
    let unknown = run!("report", estate.path("a|b\nc"), "--nagios").exits(3).text();
    assert!(unknown.starts_with("VHDX UNKNOWN - ") && unknown.contains(r"a/b\nc: "), "{unknown}");
    assert_eq!((unknown.lines().count(), unknown.contains('|')), (1, false));
}

#[test]
fn a_plugin_prints_usage_errors_on_stdout() {
    let estate = machine();
    for arguments in [&["--older-than", "a|b\nc"][..], &["--csv"], &["--json"], &["--none"]] {
        let folder = estate.0.path().to_str().unwrap();
        let all = ["report", folder, "--nagios"].into_iter().chain(arguments.iter().copied());
        let line = crate::run::vhdx(all).exits(3).text();
        assert!(
            line.starts_with("VHDX UNKNOWN - ") && line.lines().count() == 1 && !line.contains('|'),
            "{line}"
        );
        assert!(line.len() > 30, "{line}");
    }
    run!("report", "--nagios", "--help").exits(0);
}

/// Windows does not allow such names.
#[cfg(unix)]
#[test]
fn a_plugin_stays_on_one_line_whatever_files_are_called() {
    let estate = evil_machine();
    let folder = estate.path("it's a=b|c\nd");
    fs::create_dir(&folder).unwrap();
    fs::rename(estate.path("vm/leaf.avhdx"), folder.join("=leaf|\n.avhdx")).unwrap();
    fs::rename(estate.path("vm/mid.avhdx"), folder.join("mid.avhdx")).unwrap();
    fs::remove_file(estate.path("vm/base.vhdx")).unwrap();
    let line = run!("report", estate.0.path(), "--nagios").exits(2).text();
    assert!(line.contains(r"'free "), "{line}");
    assert_is_plugin_line(&line);
    let csv = run!("report", estate.0.path(), "--csv").exits(0).text();
    assert!(csv.contains("=leaf|\n.avhdx\""), "{csv}");
}
