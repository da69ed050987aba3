//! Situations from practice that went wrong once. The collection `../shared/cases` makes the files. Each module runs
//! the commands of one case and checks the values that its README expects.

mod crossed_blocks;
mod empty_locator_path;
mod expanded_parent;
mod gz_taken_for_raw;
mod lost_middle_link;
mod misnamed_image_blocks_merge;
#[cfg(target_os = "linux")]
mod no_space_step_by_step;
mod rescue;
mod same_name_in_other_folders;

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use vhdx_testkit::shared;

/// Returns a folder with the files of a case, and the output of its generator; `None` if the collection is missing.
pub(crate) fn make(case: &str) -> Option<(TempDir, String)> {
    let folder = shared::folder("cases")?.join(case);
    shared::program("python3")?;
    let out = tempfile::tempdir().unwrap();
    let printed = generate(&folder, out.path());
    Some((out, printed))
}

/// Runs the generator in `case`, which writes into `out`, and returns its output.
pub(crate) fn generate(case: &Path, out: &Path) -> String {
    // The collection is read-only, so Python must not cache compiled files there.
    let ran =
        Command::new("python3").arg("-B").arg(case.join("make.py")).arg(out).output().expect("python3 runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

#[test]
fn every_case_has_a_test() {
    let Some(folder) = shared::folder("cases") else { return };
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/cases");
    for case in folder.read_dir().unwrap().map(|entry| entry.unwrap()) {
        if !case.path().join("make.py").exists() {
            continue;
        }
        let name = case.file_name().into_string().unwrap().replace('-', "_");
        assert!(tests.join(format!("{name}.rs")).exists(), "{name} has no test");
    }
}
