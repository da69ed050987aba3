//! BAT entries that break a tolerated rule: every command that reads a whole disk warns of them once.

use serde_json::json;

use crate::images::{BLOCKS, family};
use crate::run;

#[test]
fn places_past_the_end_of_the_file_are_counted_in_one_warning() {
    let family = family();
    let image = &family.images.base;
    let layout = image.layout();
    let past_end = layout.len + (1 << 40);
    let mut file = image.sparse();
    // No layer has data in block 4. The leaf has block 5.
    for (block, state) in [(BLOCKS as u64 - 2, 3), (BLOCKS as u64 - 1, 1)] {
        let entry = (past_end + (block << 20)) | state;
        file.write(layout.bat_entry(image.bat_index(block)), &entry.to_le_bytes());
    }
    file.write_to(&family.base()).unwrap();
    let warning = format!(
        "vhdx: warning: {}: 2 BAT entries break a rule of the format: the block has no data, but its reserved space \
         reaches past the end of the file",
        family.base().display()
    );
    let facts = json!([{
        "path": family.base(), "rule": "block-place-past-end", "count": 2,
        "message": "the block has no data, but its reserved space reaches past the end of the file",
    }]);
    let (leaf, base, new) = (family.leaf(), family.base(), family.path("new.vhdx"));
    let commands: [&[&std::ffi::OsStr]; 6] = [
        &[
            "convert".as_ref(),
            leaf.as_ref(),
            new.as_ref(),
            "--to".as_ref(),
            "raw".as_ref(),
            "--dry-run".as_ref(),
        ],
        &["convert".as_ref(), leaf.as_ref(), "-".as_ref()],
        &["compare".as_ref(), leaf.as_ref(), leaf.as_ref()],
        &["map".as_ref(), leaf.as_ref()],
        &["merge".as_ref(), leaf.as_ref(), "--into".as_ref(), base.as_ref(), "--dry-run".as_ref()],
        &["merge".as_ref(), leaf.as_ref(), "--output".as_ref(), new.as_ref(), "--dry-run".as_ref()],
    ];
    for command in commands {
        let text = crate::run::vhdx(command).exits(0);
        assert_eq!(text.stderr.matches(&warning).count(), 1, "{command:?}: {}", text.stderr);
        let ran = crate::run::vhdx(command.iter().copied().chain(["--json".as_ref()])).exits(0);
        let document = match command[0].to_str() {
            Some("map") => serde_json::from_str(&ran.stderr).unwrap(),
            _ if command.contains(&std::ffi::OsStr::new("-")) => serde_json::from_str(&ran.stderr).unwrap(),
            _ => ran.json(),
        };
        let found: &serde_json::Value = &document["bat_entries"];
        assert_eq!(*found, facts, "{command:?}: {document}");
    }
    assert_eq!(run!("convert", family.leaf(), "-").exits(0).stdout, family.content);
    run!("check", family.base()).exits(0);
}
