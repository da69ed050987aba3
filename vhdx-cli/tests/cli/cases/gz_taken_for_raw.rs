//! A compressed VHDX must not be read as a raw disk.

use serde_json::json;

use crate::images::names;
use crate::run;

#[test]
fn a_compressed_disk_is_refused() {
    let Some((folder, _)) = super::make("gz-taken-for-raw") else { return };
    let path = |name: &str| folder.path().join(name);
    let packed = path("d.vhdx.gz");
    let before = names(folder.path()).len();
    for new in ["o.raw", "o.vhdx", "-"] {
        let new = if new == "-" { new.into() } else { path(new) };
        let ran = run!("convert", packed, new, "--json").exits(4);
        let error = ran.error();
        assert_eq!((&error["kind"], &error["path"]), (&json!("unsupported"), &json!(packed)));
        let message = error["message"].as_str().unwrap();
        assert!(
            message.contains("looks like a gzip file, which vhdx cannot read: unpack it first"),
            "{message}"
        );
        assert!(error["hint"].as_str().unwrap().contains("gunzip -k"), "{error}");
        assert_eq!(ran.stdout, b"");
    }
    assert_eq!(names(folder.path()).len(), before);
    let text = run!("convert", packed, path("o.raw")).exits(4).stderr;
    assert!(text.contains("hint: unpack it with `gunzip -k"), "{text}");
    let raw = run!("convert", packed, "-", "--from", "raw").exits(0).stdout;
    assert!(raw == std::fs::read(&packed).unwrap());
}
