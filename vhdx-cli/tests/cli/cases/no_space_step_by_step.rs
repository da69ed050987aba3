//! Many checkpoints and little free space: one merge of all of them does not fit, merging level by level does.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use vhdx_testkit::shared;

use super::generate;
use crate::fixtures::hex;
use crate::private::Private;
use crate::run::Ran;

const FREE: u64 = 10 << 20;

struct Full {
    private: Private,
    scratch: tempfile::TempDir,
    printed: String,
}

/// Makes the case on its own file system, where only 10 MiB are free.
fn full() -> Option<Full> {
    let case = shared::folder("cases")?.join("no-space-step-by-step");
    shared::program("python3")?;
    let scratch = tempfile::tempdir().unwrap();
    let private = Private::small(160, scratch.path())?;
    let folder = private.seen(scratch.path());
    let printed = generate(&case, &folder);
    let free = vhdx::free_space(&folder).unwrap().unwrap();
    fs::write(folder.join("filler"), vec![1; usize::try_from(free - FREE).unwrap()]).unwrap();
    Some(Full { private, scratch, printed })
}

impl Full {
    fn path(&self, name: &str) -> String {
        self.scratch.path().join(name).to_str().unwrap().to_owned()
    }

    fn merge_all(&self, options: &[&str]) -> Ran {
        let [leaf, base] = ["S_8.avhdx", "S.vhdx"].map(|name| self.path(name));
        let args = ["merge", &leaf, "--into", &base, "--delete-merged"];
        self.private.vhdx(args.iter().chain(options))
    }

    #[track_caller]
    fn base_reads_right(&self) {
        let raw = self.private.vhdx(["convert", &self.path("S.vhdx"), "-", "--quiet"]).exits(0).stdout;
        assert_eq!(hex(Sha256::new_with_prefix(&raw)), *self.printed.split_whitespace().last().unwrap());
    }

    fn is_there(&self, name: &str) -> bool {
        self.private.seen(Path::new(&self.path(name))).exists()
    }
}

#[test]
fn the_refusal_names_the_first_step_and_the_steps_fit() {
    let Some(full) = full() else { return };
    let error = full.merge_all(&["--json"]).exits(6).error();
    assert_eq!((&error["kind"], &error["path"]), (&json!("io"), &json!(full.path("S.vhdx"))));
    let (needed, free) = (error["needed"].as_u64().unwrap(), error["free"].as_u64().unwrap());
    assert!(free <= FREE && needed > free, "{error}");
    let steps: Vec<Value> = error["steps"].as_array().unwrap().clone();
    assert_eq!(steps.len(), 8, "{error}");

    let text = full.merge_all(&[]).exits(6).stderr;
    let first = &steps[0]["bytes_needed"].as_u64().unwrap();
    assert!(*first < free, "{error}");
    for words in [
        &format!("too little space: up to {needed} ("),
        " MiB) are needed, ",
        &format!("{free} ("),
        " MiB) are free",
        &format!("`vhdx merge {} --delete-merged`, which needs up to {first} (", full.path("S_8.avhdx")),
        "--no-space-check",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let planned = full.merge_all(&["--dry-run", "--json"]).exits(6).error();
    assert_eq!(planned, error);

    for step in steps {
        let path = step["path"].as_str().unwrap();
        full.private.vhdx(["merge", path, "--delete-merged", "--quiet"]).exits(0);
    }
    assert!(!full.is_there("S_1.avhdx"));
    full.base_reads_right();
}

/// The content is sparse, so it takes less space than the upper bound.
#[test]
fn the_space_check_can_be_skipped() {
    let Some(full) = full() else { return };
    full.merge_all(&["--dry-run"]).exits(6);
    let plan = full.merge_all(&["--dry-run", "--no-space-check", "--json"]).exits(0).json();
    assert!(plan["bytes_needed"].as_u64().unwrap() > FREE);
    full.merge_all(&["--no-space-check"]).exits(0);
    full.base_reads_right();
}

/// A plan prints the space that is checked: with this space free it fits, and the error names the same number.
#[test]
fn the_plan_prints_the_space_that_is_checked() {
    let Some(full) = full() else { return };
    let error = full.merge_all(&["--json"]).exits(6).error();
    let plan = full.merge_all(&["--dry-run", "--no-space-check", "--json"]).exits(0).json();
    assert_eq!(plan["bytes_needed"], error["needed"]);
    let expected = json!([{ "path": full.path("S.vhdx"), "bytes_needed": error["needed"] }]);
    assert_eq!(plan["space_needed"], expected);
}

/// A fixed disk reserves its space, however sparse its content is.
#[test]
fn the_space_of_a_fixed_disk_is_checked_before_it_is_made() {
    let scratch = tempfile::tempdir().unwrap();
    let Some(private) = Private::small(10, scratch.path()) else { return };
    let [source, new] = ["source.vhdx", "new.vhdx"].map(|name| scratch.path().join(name));
    let [source, new] = [&source, &new].map(|path| path.to_str().unwrap());
    private.vhdx(["create", source, "--size", "64M"]).exits(0);
    let fixed = ["--type", "fixed", "--json"];
    for command in [
        &["convert", source, new][..],
        &["convert", source, new, "--dry-run"],
        &["merge", source, "--output", new],
        &["create", new, "--size", "64M"],
    ] {
        let error = private.vhdx(command.iter().chain(&fixed)).exits(6).error();
        assert!(error["needed"].as_u64() > Some(64 << 20) && error["free"].is_u64(), "{error}");
        let hint = error["hint"].as_str().unwrap();
        assert!(hint.contains("--type dynamic") && !hint.contains("--no-space-check"), "{hint}");
    }
    private.vhdx(["convert", source, new]).exits(0);
}

/// A new disk has no steps, but the hint names `--no-space-check` too.
#[test]
fn a_new_disk_reports_needed_and_free_space() {
    let Some(full) = full() else { return };
    let [leaf, new, raw] = ["S_8.avhdx", "new.vhdx", "new.raw"].map(|name| full.path(name));
    fs::write(full.private.seen(Path::new(&full.path("more"))), vec![1; 9 << 20]).unwrap();
    for args in [["merge", &leaf, "--output", &new], ["convert", &leaf, &raw, "--quiet"]] {
        let error = full.private.vhdx(args.iter().chain(&["--json"])).exits(6).error();
        assert!(error["needed"].as_u64() > error["free"].as_u64(), "{error}");
        assert!(error["hint"].as_str().unwrap().contains("--no-space-check"), "{error}");
        let text = full.private.vhdx(args).exits(6).stderr;
        assert!(text.contains("MiB) are needed"), "{text}");
        full.private.vhdx(args.iter().chain(&["--no-space-check", "--dry-run"])).exits(0);
        // The new file is not sparse: the command runs out of space and removes the file.
        full.private.vhdx(args.iter().chain(&["--no-space-check"])).exits(6);
        assert!(!full.is_there("new.vhdx") && !full.is_there("new.raw"));
    }
}
