//! `config` shows configuration files of Hyper-V.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::TempDir;
use vhdx_testkit::container::{Container, ContainerKey, ROOT, utf16, with_len};
use vhdx_testkit::{ConfiguredMachine, gunzip, shared};

use crate::images::family;
use crate::run;

fn written(folder: &TempDir, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    path
}

fn machine(folder: &TempDir, name: &str) -> PathBuf {
    let notes = "first line\nsecond \u{1b}[2J".to_owned();
    let machine =
        ConfiguredMachine { notes, created: 133_211_269_863_820_540, ..ConfiguredMachine::default() };
    written(folder, name, machine.container().build())
}

#[test]
fn json_has_the_agreed_keys() {
    let folder = tempfile::tempdir().unwrap();
    let path = machine(&folder, "server.vmcx");
    let answer = run!("config", path, "--json").exits(0);
    assert_eq!(answer.stderr, "");
    let expected = json!({
        "path": path,
        "format": "container",
        "name": "server",
        "id": "282874fc-59d6-4f30-bc04-5fdd909c82e0",
        "generation": 2,
        "version": "9.0",
        "created": 1_676_653_386,
        "remark": null,
        "notes": "first line\nsecond \u{1b}[2J",
        "automatic_checkpoints": true,
        "merge_pending": false,
        "drives": [{
            "controller": "SCSI",
            "instance": "5ab50e36-f1bc-4a53-9e81-80d1fcc18237",
            "number": 0,
            "location": 0,
            "type": "VHD",
            "path": r"C:\vm\server.avhdx",
        }],
        "machines": [],
        "log_entries": 0,
        "warnings": [],
        "more_warnings": 0,
    });
    assert_eq!(answer.json(), expected);
}

#[test]
fn text_cannot_control_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let path = machine(&folder, "server.vmcx");
    let text = run!("config", path, "--keys").exits(0).text();
    assert!(!text.contains('\u{1b}'), "{text}");
    for line in [
        "name:                   server",
        "created:                2023-02-17 17:03:06 UTC",
        r"notes:                  first line\nsecond \u{1b}[2J",
        "automatic checkpoints:  yes",
        "merge pending:          no",
        r"drive:                  SCSI 0, location 0: VHD C:\vm\server.avhdx",
        "keys:                   12",
        r#"/configuration/properties/notes = "first line\nsecond \u{1b}[2J""#,
        "/configuration/properties/version = 2304",
        "/configuration/properties/creation_time = hex:fccc4fb4f142d901",
        "/configuration/global_settings/disk_merge_pending = false",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(!run!("config", path).exits(0).text().contains("/configuration"));
}

#[test]
fn every_kind_of_value_is_listed() {
    let folder = tempfile::tempdir().unwrap();
    let mut container = Container::new();
    container.file_objects = vec![utf16("outside"), vec![1; 9]];
    let (text, bytes) = (container.object_offset(0), container.object_offset(1));
    let node = container.add(ContainerKey::node(ROOT, "a\nb"));
    container.add(ContainerKey::object(node, "text", 6, text, 14));
    container.add(ContainerKey::object(node, "bytes", 7, bytes, 9));
    container.add(ContainerKey::new(node, "odd", 6, with_len(&[7])));
    container.add(ContainerKey::new(node, "uint", 4, u64::MAX.to_le_bytes().into()));
    container.add(ContainerKey::new(node, "nan", 5, f64::NAN.to_le_bytes().into()));
    let path = written(&folder, "all.vmcx", container.build());
    let answer = run!("config", path, "--keys").exits(0);
    assert!(answer.stderr.starts_with("vhdx: warning: "), "{}", answer.stderr);
    let expected = [
        r#"/a\nb/text = "outside""#,
        &format!(r"/a\nb/bytes = bytes of 9 bytes at {bytes:#x}"),
        r"/a\nb/odd = malformed text, hex:07",
        r"/a\nb/uint = 18446744073709551615",
        r"/a\nb/nan = NaN",
    ];
    let text = answer.text();
    let listed: Vec<&str> = text.lines().filter(|line| line.starts_with('/')).collect();
    assert_eq!(listed, expected);
    assert_eq!(run!("config", path, "--keys", "--quiet").exits(0).stderr, "");

    let json = run!("config", path, "--keys", "--json").exits(0).json();
    let keys = json["keys"].as_array().unwrap();
    let part = |number: usize, key: &str| keys[number][key].clone();
    assert_eq!(
        (part(0, "path"), part(0, "type"), part(0, "value")),
        (json!("/a\nb"), json!("node"), json!(null))
    );
    assert_eq!(
        (part(1, "value"), part(1, "object")),
        (json!("outside"), json!({ "offset": 0x4000, "length": 14 }))
    );
    assert_eq!((part(2, "value"), part(2, "object")), (json!(null), json!({ "offset": bytes, "length": 9 })));
    assert_eq!((part(3, "value"), part(3, "malformed")), (json!(null), json!("07")));
    assert_eq!((part(4, "value"), part(5, "value")), (json!(u64::MAX), json!(null)));
    let warnings = json["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 1);
    assert_eq!(
        (&warnings[0]["offset"], &warnings[0]["message"]),
        (&part(3, "offset"), &json!("the value of the key \"odd\" is no valid text"))
    );
}

#[test]
fn a_checkpoint_is_marked_as_not_verified() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["Snapshots/x.vmcx", "SNAPSHOTS/x.vmcx"] {
        let path = machine(&folder, name);
        let remark = "as stored; not verified on a real checkpoint file";
        assert_eq!(run!("config", path, "--json").exits(0).json()["remark"], remark);
        assert!(run!("config", path).exits(0).text().contains(remark));
    }
    let path = machine(&folder, "Virtual Machines/x.vmcx");
    assert!(!run!("config", path).exits(0).text().contains("not verified"));
}

#[test]
fn damage_that_was_worked_around_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = ConfiguredMachine::default().container().build();
    bytes[0] ^= 1;
    let path = written(&folder, "server.vmcx", &bytes);
    let answer = run!("config", path).exits(0);
    let expected = format!(
        "vhdx: warning: {}: at 0x0: one of the two headers is damaged; the other one was used\n",
        path.display()
    );
    assert_eq!(answer.stderr, expected);
    assert_eq!(fs::read(path).unwrap(), bytes, "the file is not changed");
}

#[test]
fn failures_have_the_documented_exit_codes() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = ConfiguredMachine::default().container().build();
    bytes[8192] ^= 1;
    let corrupt = written(&folder, "corrupt.vmcx", &bytes);
    let error = run!("config", corrupt, "--json").exits(3).error();
    let expected = json!({
        "kind": "corrupt",
        "message": "the object table is damaged or past the end of the file at 0x2000",
        "path": corrupt,
        "offset": 8192,
    });
    assert_eq!(error, expected);
    let text = run!("config", corrupt).exits(3);
    assert!(
        text.stderr.starts_with(&format!("vhdx: {}: the object table", corrupt.display())),
        "{}",
        text.stderr
    );

    let family = family();
    let disk = run!("config", family.leaf(), "--json").exits(4).error();
    assert_eq!(disk["kind"], "unsupported");
    assert!(disk["hint"].as_str().unwrap().contains("`vhdx info "), "{disk}");
    let packed = written(&folder, "a.vmcx", b"\x1f\x8b\x08");
    let error = run!("config", packed, "--json").exits(4).error();
    assert_eq!(error["hint"], "the file looks like a gzip file: unpack it first");
    run!("config", written(&folder, "empty.vmcx", b"")).exits(4);

    assert_eq!(run!("config", folder.path().join("absent"), "--json").exits(6).error()["kind"], "io");
    assert_eq!(run!("config", folder.path(), "--json").exits(2).error()["kind"], "usage");
    run!("config").exits(2);
}

#[test]
fn the_kept_file_is_listed_completely() {
    let folder = tempfile::tempdir().unwrap();
    let name = "88D07DD7-705E-4A4F-BDAF-3418782784ED";
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/openvmm");
    let path = written(&folder, "state.vmrs", gunzip(&testdata.join(format!("{name}.vmrs.gz"))).unwrap());
    let answer = run!("config", path, "--json", "--keys").exits(0).json();
    assert_eq!((&answer["version"], &answer["name"]), (&json!("12.0"), &json!(null)));
    let keys = answer["keys"].as_array().unwrap().iter().filter(|key| key["type"] != "node");
    let found: Vec<_> = keys.map(|key| json!([key["path"], key["value"]])).collect();
    let expected = fs::read(testdata.join(format!("{name}.allkeys.json"))).unwrap();
    let expected: Vec<serde_json::Value> = serde_json::from_slice(&expected).unwrap();
    let expected: Vec<_> = expected.iter().map(|key| json!([key[0], key[2]])).collect();
    assert_eq!(found, expected);
}

#[test]
fn the_shared_register_and_xml_are_shown() {
    let (Some(fixtures), Some(())) = (shared::folder("fixtures/config"), shared::program("xz")) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let unpacked = |name: &str| {
        let packed = fixtures.join(format!("{name}.xz"));
        let bytes = std::process::Command::new("xz").arg("-dc").arg(packed).output().unwrap().stdout;
        written(&folder, name, bytes)
    };
    let register = run!("config", unpacked("data.vmcx"), "--json").exits(0).json();
    let machines = register["machines"].as_array().unwrap();
    assert_eq!(machines.len(), 4);
    assert_eq!(machines[0]["id"], "ec04f346-db96-4700-af5b-77b3c56c38bd");
    let xml = run!("config", unpacked("B90AC31B-C6F8-479F-9B91-07B894A6A3F6.xml"), "--json").exits(0).json();
    assert_eq!((&xml["format"], &xml["version"]), (&json!("xml"), &json!("5.0")));
    assert_eq!(xml["drives"][0]["path"], r"C:\Disks\Default Generation 1.vhdx");
}
