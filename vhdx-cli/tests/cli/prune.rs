//! `prune` as administrators and scripts run it.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use vhdx::{Chain, DiskOffset, FolderResolver};
use vhdx_testkit::estate::{Estate, EstateOptions};

use crate::images::images;
use crate::run;

/// Three files, each a child of the one before it.
fn chain() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let images = images();
    for (name, image) in [("base.vhdx", images.base), ("mid.avhdx", images.mid), ("leaf.avhdx", images.leaf)]
    {
        image.sparse().write_to(&folder.path().join(name)).unwrap();
    }
    folder
}

fn read(path: &Path) -> Vec<u8> {
    let chain = Chain::open(path, &FolderResolver::default()).unwrap();
    let mut bytes = vec![0; usize::try_from(chain.virtual_size()).unwrap()];
    chain.read_exact_at(&mut bytes, DiskOffset::new(0)).unwrap();
    bytes
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn paths(json: &Value) -> Vec<String> {
    json.as_array()
        .unwrap()
        .iter()
        .map(|path| path.as_str().unwrap().rsplit(['/', '\\']).next().unwrap().to_owned())
        .collect()
}

#[test]
fn nothing_happens_without_yes_or_a_selection() {
    let folder = chain();
    let before: Vec<Vec<u8>> =
        names(folder.path()).iter().map(|name| fs::read(folder.path().join(name)).unwrap()).collect();
    let refused = run!("prune", folder.path(), "--all").exits(2);
    assert!(refused.stderr.contains("--yes") && refused.stderr.contains("--dry-run"), "{}", refused.stderr);
    let refused = run!("prune", folder.path(), "--all", "--json").exits(2);
    assert_eq!(refused.error()["kind"], "usage");
    run!("prune", folder.path(), "--yes").exits(2);
    run!("prune", folder.path(), "--all", "--yes", "--dry-run").exits(2);
    run!("prune", folder.path(), "--older-than", "7", "--yes").exits(2);
    run!("prune", folder.path(), "--name", "[", "--yes").exits(2);
    run!("prune", folder.path().join("missing"), "--all", "--yes").exits(6);
    run!("prune", folder.path(), "--all", "--dry-run").exits(0);
    let after: Vec<Vec<u8>> =
        names(folder.path()).iter().map(|name| fs::read(folder.path().join(name)).unwrap()).collect();
    assert!(before == after);
}

#[test]
fn all_but_the_newest_checkpoint() {
    let folder = chain();
    let path = |name: &str| folder.path().join(name);
    let (mid, leaf) = (read(&path("mid.avhdx")), read(&path("leaf.avhdx")));
    let plan = run!("prune", folder.path(), "--keep-last", "1", "--dry-run", "--json").exits(0).json();
    let done = run!("prune", folder.path(), "--keep-last", "1", "--yes", "--json").exits(0).json();
    for json in [&plan, &done] {
        assert_eq!(paths(&json["merges"][0]["merged"]), ["mid.avhdx"]);
        assert_eq!(json["selected"].as_array().unwrap().len(), 1);
        assert_eq!(json["selected"][0]["time_source"], "file");
        assert_eq!(json["kept"].as_array().unwrap().len(), 1);
        assert_eq!(json["kept"][0]["reason"], "newest");
        assert_eq!(json["merges"][0]["is_newest"], false);
        assert_eq!(json["merges"][0]["use_instead_of"], Value::Null);
        assert_eq!(json["needs_another"], false);
    }
    assert_eq!((&plan["dry_run"], &plan["merges"][0]["done"]), (&json!(true), &Value::Null));
    assert_eq!(plan["bytes_to_copy"], done["merges"][0]["done"]["bytes_copied"]);
    assert!(
        plan["bytes_freed"].as_u64().unwrap() > 0 && plan["peak_space"][0]["needed"].as_u64().unwrap() > 0
    );
    assert_eq!(paths(&done["merges"][0]["done"]["deleted"]), ["mid.avhdx"]);
    assert_eq!(paths(&done["merges"][0]["done"]["relinked"]), ["leaf.avhdx"]);
    assert_eq!(names(folder.path()), ["base.vhdx", "base.vhdx.vhdx-pruned", "leaf.avhdx"]);
    assert!(read(&path("base.vhdx")) == mid && read(&path("leaf.avhdx")) == leaf);
    let again = run!("prune", folder.path(), "--keep-last", "1", "--yes").exits(0).text();
    assert!(again.contains("no checkpoint is to be deleted"), "{again}");
}

#[test]
fn the_answer_says_which_file_the_machine_must_use() {
    let folder = chain();
    let leaf = read(&folder.path().join("leaf.avhdx"));
    fs::write(folder.path().join("base.vhdx.rct"), "tracked").unwrap();
    let plan = run!("prune", folder.path(), "--all", "--dry-run").exits(0).text();
    assert!(
        plan.contains(
            "    after this merge: if a virtual machine uses leaf.avhdx,\n      it must use base.vhdx instead\n"
        ),
        "{plan}"
    );
    let text = run!("prune", folder.path(), "--all", "--yes").exits(0).text();
    assert!(text.starts_with(plan.split_once("free space on").unwrap().0), "the plan comes first: {text}");
    assert!(
        text.contains("  Next: if a virtual machine uses ")
            && text.contains("leaf.avhdx, it must use ")
            && text.contains("base.vhdx instead"),
        "{text}"
    );
    assert!(text.contains("stale:") && text.contains("base.vhdx.rct"), "{text}");
    assert_eq!(names(folder.path()), ["base.vhdx", "base.vhdx.rct", "base.vhdx.vhdx-pruned"]);
    assert!(read(&folder.path().join("base.vhdx")) == leaf);
}

#[test]
fn a_child_that_was_made_by_hand_keeps_its_parent() {
    let folder = chain();
    fs::rename(folder.path().join("leaf.avhdx"), folder.path().join("clone.vhdx")).unwrap();
    let json = run!("prune", folder.path(), "--all", "--dry-run", "--json").exits(0).json();
    assert_eq!(paths(&json["merges"][0]["merged"]), ["mid.avhdx"]);
    assert_eq!(json["kept"][0]["reason"], "not_a_checkpoint");
    let json =
        run!("prune", folder.path(), "--all", "--any-extension", "--dry-run", "--json").exits(0).json();
    assert_eq!(paths(&json["merges"][0]["merged"]), ["clone.vhdx", "mid.avhdx"]);
}

/// A damaged file may be a disk that depends on the chain.
#[test]
fn a_checkpoint_that_cannot_be_deleted_is_kept_and_exits_with_1() {
    let folder = chain();
    fs::write(folder.path().join("damaged.avhdx"), "vhdxfile and nothing else").unwrap();
    let before = names(folder.path());
    let refused = run!("prune", folder.path(), "--all", "--yes").exits(1).text();
    assert!(refused.contains("damaged.avhdx") && refused.contains("cannot be deleted"), "{refused}");
    assert_eq!(names(folder.path()), before);
    run!("prune", folder.path(), "--all", "--yes", "--ignore-undetermined").exits(0);
    assert_eq!(names(folder.path()), ["base.vhdx", "base.vhdx.vhdx-pruned", "damaged.avhdx"]);
}

/// One of many families is in use. The others are pruned.
#[test]
fn a_family_in_use_does_not_stop_the_others() {
    let (folder, used, free) = (tempfile::tempdir().unwrap(), chain(), chain());
    for (name, chain) in [("used", &used), ("free", &free)] {
        fs::rename(chain.path(), folder.path().join(name)).unwrap();
    }
    // Hyper-V locks the parents of a disk in use, too.
    let lock = |name| vhdx::FileStorage::open_exclusive(&folder.path().join("used").join(name)).unwrap();
    let _locks = ["base.vhdx", "mid.avhdx", "leaf.avhdx"].map(lock);
    let refused = run!("prune", folder.path(), "--all", "--yes", "--json");
    let json = refused.json();
    assert_eq!(names(&folder.path().join("free")), ["base.vhdx", "base.vhdx.vhdx-pruned"]);
    assert_eq!(names(&folder.path().join("used")), ["base.vhdx", "leaf.avhdx", "mid.avhdx"]);
    // On Windows, a locked disk cannot be read, so nothing is known about it.
    let is_kept = json["kept"].as_array().unwrap().iter().any(|kept| kept["is_failure"] == true);
    assert_eq!((is_kept, refused.code), if cfg!(windows) { (false, 0) } else { (true, 1) }, "{json:#}");
}

/// A file beside a disk that is named like a journal deletes nothing that it does not prove.
#[test]
fn a_forged_journal_deletes_nothing() {
    let folder = chain();
    let leaf = folder.path().join("leaf.avhdx").canonicalize().unwrap();
    let facts = run!("info", leaf, "--json").exits(0).json();
    let facts = facts.as_array().map_or(&facts, |list| &list[0]);
    let guid = |key: &str| facts[key].as_str().unwrap().to_owned();
    let path = leaf.to_str().unwrap();
    let line = format!("{} {} {path}", guid("file_write_guid"), guid("data_write_guid"));
    let base = run!("info", folder.path().join("base.vhdx"), "--json").exits(0).json();
    let base = base.as_array().map_or(&base, |list| &list[0])["data_write_guid"].as_str().unwrap().to_owned();
    let journal = folder.path().join("base.vhdx.vhdx-prune");
    let record = "vhdx pruned 1\ntime 0.000000000\nlevels 0\nend\n";
    for text in [format!("vhdx prune 1\ndeleting {base}\nfile {line}\n{record}"), "my notes".to_owned()] {
        fs::write(&journal, &text).unwrap();
        let is_journal = text.starts_with("vhdx");
        let json = run!("prune", folder.path(), "--keep-last", "9", "--yes", "--json")
            .exits(i32::from(is_journal))
            .json();
        assert_eq!(json["pending"].as_array().unwrap().len(), usize::from(is_journal));
        assert_eq!(names(folder.path()), ["base.vhdx", "base.vhdx.vhdx-prune", "leaf.avhdx", "mid.avhdx"]);
        assert_eq!(fs::read_to_string(&journal).unwrap(), text);
    }
}

/// Who merges without deleting wants to keep the merged files.
#[test]
fn files_that_a_merge_has_kept_stay() {
    let folder = chain();
    let path = |name: &str| folder.path().join(name);
    run!("merge", path("leaf.avhdx"), "--into", path("mid.avhdx")).exits(0);
    run!("prune", folder.path(), "--keep-last", "9", "--yes").exits(0);
    assert_eq!(names(folder.path()), ["base.vhdx", "leaf.avhdx", "mid.avhdx"]);
}

/// Archives and mounts without times show 1970 or 1980.
#[test]
fn impossible_times_select_nothing() {
    let folder = chain();
    for name in ["base.vhdx", "mid.avhdx"] {
        let file = fs::File::options().write(true).open(folder.path().join(name)).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(315_532_800)).unwrap();
    }
    let json = run!("prune", folder.path(), "--older-than", "30d", "--dry-run", "--json").exits(0).json();
    assert_eq!(json["selected"].as_array().unwrap().len(), 0, "{json:#}");
}

#[cfg(unix)]
#[test]
fn a_file_with_several_names_is_kept() {
    let (folder, backup) = (chain(), tempfile::tempdir().unwrap());
    fs::hard_link(folder.path().join("base.vhdx"), backup.path().join("base.vhdx")).unwrap();
    let before = fs::read(folder.path().join("base.vhdx")).unwrap();
    let json = run!("prune", folder.path(), "--all", "--yes", "--json").exits(1).json();
    assert_eq!(json["kept"][0]["reason"], "several_names");
    assert!(fs::read(folder.path().join("base.vhdx")).unwrap() == before);
}

/// A template and a machine that is a child of it, made by hand, in one place of both machines.
#[test]
fn the_disk_of_another_machine_is_no_checkpoint() {
    let folder = chain();
    fs::remove_file(folder.path().join("leaf.avhdx")).unwrap();
    let machine = |id: &str, disk: &str| vhdx_testkit::ConfiguredMachine {
        id: id.to_owned(),
        disks: vec![(0, format!(r"D:\vm\{}\{disk}", folder.path().file_name().unwrap().to_str().unwrap()))],
        ..vhdx_testkit::ConfiguredMachine::default()
    };
    for (file, id, disk) in [
        ("template.vmcx", "11111111-59D6-4F30-BC04-5FDD909C82E0", "base.vhdx"),
        ("clone.vmcx", "22222222-59D6-4F30-BC04-5FDD909C82E0", "mid.avhdx"),
    ] {
        fs::write(folder.path().join(file), machine(id, disk).container().build()).unwrap();
    }
    let json = run!("prune", folder.path(), "--all", "--yes", "--json").exits(0).json();
    assert_eq!(json["kept"][0]["reason"], "used_by_machine", "{json:#}");
    assert_eq!(names(folder.path()), ["base.vhdx", "clone.vmcx", "mid.avhdx", "template.vmcx"]);
}

/// Names from configurations cannot control the terminal or break lines.
#[test]
fn hostile_names_are_harmless() {
    let folder = tempfile::tempdir().unwrap();
    let estate = Estate::generate(&folder.path().join("estate"), &EstateOptions::with_seed(31)).unwrap();
    let plan = run!("prune", estate.root, "--all", "--dry-run");
    assert!(plan.code <= 1, "{}", plan.stderr);
    let text = plan.text();
    assert!(text.contains("<script>") && text.contains("two\\nlines"), "{text}");
    assert!(!text.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{text}");
    let folder = format!("  {}", estate.root.display());
    for line in text.lines() {
        let starts = [
            "to delete: ",
            "  the deleted files free ",
            "machine ",
            "machines ",
            "base ",
            "  delete ",
            "  merge ",
            "    and ",
            "    into ",
            "    after this merge: ",
            "      instead of ",
            "      it must use ",
            "kept: ",
            &folder,
            "    ",
            "free space ",
            "only the named folders ",
            "nothing was changed",
        ];
        assert!(line.is_empty() || starts.iter().any(|start| line.starts_with(start)), "{line}");
    }
}

#[cfg(unix)]
mod killed {
    use std::collections::BTreeMap;
    use std::path::PathBuf;
    use std::process::{Child, Stdio};
    use std::time::{Duration, Instant};

    use vhdx::{NoProgress, discover};
    use vhdx_testkit::Random;

    use super::*;
    use crate::run::{command, interrupt, ran};

    /// The contents of all disks that can be read, by path below the root.
    fn contents(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let forest = discover(&[root.to_owned()], &NoProgress).unwrap();
        let path = |i: usize| forest.disks[i].facts.path.clone();
        let mut contents = BTreeMap::new();
        for i in 0..forest.disks.len() {
            let named = std::iter::successors(forest.disks[i].parent, |&i| forest.disks[i].parent)
                .map(path)
                .collect();
            let resolver = FolderResolver { named, ..FolderResolver::default() };
            let Ok(chain) = Chain::open(path(i), &resolver) else { continue };
            let mut bytes = vec![0; usize::try_from(chain.virtual_size()).unwrap()];
            chain.read_exact_at(&mut bytes, DiskOffset::new(0)).unwrap();
            contents.insert(path(i).strip_prefix(root).unwrap().to_owned(), bytes);
        }
        contents
    }

    const SELECTION: [&str; 3] = ["--keep-last", "1", "--yes"];

    fn copy(from: &Path, to: &Path) {
        for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
            let to = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                fs::create_dir_all(&to).unwrap();
                copy(&entry.path(), &to);
            } else {
                fs::copy(entry.path(), &to).unwrap();
                // By the times of the files, Hyper-V's configurations are current.
                let modified = entry.metadata().unwrap().modified().unwrap();
                fs::File::options().append(true).open(&to).unwrap().set_modified(modified).unwrap();
            }
        }
    }

    fn prune(root: &Path) -> Child {
        let prune = command()
            .arg("prune")
            .arg(root)
            .args(SELECTION)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        prune.unwrap()
    }

    /// Makes an estate, and a copy of it that was pruned.
    struct Pruned {
        folder: TempDir,
        end: BTreeMap<PathBuf, Vec<u8>>,
        takes: Duration,
    }

    impl Pruned {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let estate = folder.path().join("estate");
            Estate::generate(&estate, &EstateOptions::sound(41, 4, 18)).unwrap();
            let mut pruned = Self { folder, end: BTreeMap::new(), takes: Duration::ZERO };
            let root = pruned.restored();
            let start = Instant::now();
            ran(prune(&root).wait_with_output().unwrap()).exits(0);
            pruned.takes = start.elapsed();
            pruned.end = contents(&root);
            assert!(pruned.end.len() + 5 < contents(&estate).len(), "several checkpoints were deleted");
            pruned
        }

        fn restored(&self) -> PathBuf {
            let root = self.folder.path().join("run");
            let _ = fs::remove_dir_all(&root);
            fs::create_dir(&root).unwrap();
            copy(&self.folder.path().join("estate"), &root);
            root
        }

        fn assert_ends_the_same(&self, root: &Path, when: &str) {
            ran(prune(root).wait_with_output().unwrap()).exits(0);
            let end = contents(root);
            assert_eq!(end.keys().collect::<Vec<_>>(), self.end.keys().collect::<Vec<_>>(), "{when}");
            assert!(end == self.end, "{when}: a disk reads otherwise");
        }
    }

    #[test]
    fn at_fifty_random_moments() {
        const KILLS: usize = 50;
        let pruned = Pruned::new();
        let seed = u64::from(std::process::id());
        let mut random = Random::new(seed);
        let (mut kills, mut runs, mut within) = (0, 0, 0);
        let start = contents(&pruned.folder.path().join("estate"));
        while kills < KILLS {
            assert!(runs < 4 * KILLS, "{kills} kills in {runs} runs");
            runs += 1;
            let root = pruned.restored();
            let mut process = prune(&root);
            std::thread::sleep(pruned.takes.mul_f64(random.below(1000) as f64 / 1000.0));
            process.kill().unwrap();
            if process.wait().unwrap().success() {
                continue;
            }
            kills += 1;
            let left = contents(&root);
            within += usize::from(left.len() < start.len() && left.len() > pruned.end.len());
            // Every state that stays is in one file or another.
            for (path, content) in &pruned.end {
                assert!(
                    left.values().any(|read| read == content),
                    "seed {seed}, run {runs}: {} is lost",
                    path.display()
                );
            }
            pruned.assert_ends_the_same(&root, &format!("seed {seed}, run {runs}"));
        }
        eprintln!("{kills} kills in {runs} runs, {within} between the first and the last deletion");
        assert!(within >= KILLS / 10, "{within}");
    }

    #[test]
    fn an_interrupted_prune_goes_on() {
        let pruned = Pruned::new();
        for part in [0.3, 0.5, 0.7] {
            let root = pruned.restored();
            let process = prune(&root);
            std::thread::sleep(pruned.takes.mul_f64(part));
            interrupt(&process);
            let stopped = ran(process.wait_with_output().unwrap());
            assert!([0, 130].contains(&stopped.code), "{}: {}", stopped.code, stopped.stderr);
            if stopped.code == 130 {
                assert!(stopped.stderr.contains("same command"), "{}", stopped.stderr);
            }
            pruned.assert_ends_the_same(&root, &format!("after {part}"));
        }
    }
}
