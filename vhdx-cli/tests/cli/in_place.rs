//! Merges chains of other programs in place, and reads the results with other programs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use vhdx_testkit::{Random, shared};

use crate::fixtures::{disk_digest, feed, hex, manifest, name, unpack};
use crate::peers::qemu;
use crate::run;

/// Other programs that read the merged disks.
struct References {
    reader: PathBuf,
}

impl References {
    fn all() -> Option<Self> {
        let reader = shared::folder("oracle/dump_vhdx.py")?;
        ["python3", "qemu-img", "7zz"].into_iter().try_for_each(shared::program)?;
        Some(Self { reader })
    }

    /// Asserts that all programs read the expected content from a disk and find no error in it.
    #[track_caller]
    fn agree(&self, disk: &Path, expected: &str) {
        let shown = disk.display();
        assert_eq!(disk_digest(disk), expected, "{shown}");
        let checked = run!("check", disk, "--chain", "--json").exits(0).json();
        assert_eq!((&checked["valid"], &checked["dirty_logs"]), (&json!(true), &json!([])), "{shown}");
        self.oracle("check", disk);
        let read = self.oracle("read-sha256", disk);
        assert_eq!(read.split_whitespace().next(), Some(expected), "the oracle: {shown}");
        let seven = Command::new("7zz").args(["x", "-so", "-tvhdx"]).arg(disk).stderr(Stdio::null()).output();
        let seven = seven.unwrap();
        assert!(seven.status.success(), "7zz: {shown}");
        assert_eq!(hex(Sha256::new_with_prefix(seven.stdout)), expected, "7zz: {shown}");
        let info = run!("info", disk, "--json").exits(0).json();
        if info["parent"].is_null() && info["logical_sector_size"] == json!(512) {
            self.qemu_agrees(disk, expected);
        }
    }

    #[track_caller]
    fn qemu_agrees(&self, disk: &Path, expected: &str) {
        let folder = tempfile::tempdir().unwrap();
        let raw = folder.path().join("disk.raw");
        qemu(&["check", "-f", "vhdx"], &[disk]);
        qemu(&["convert", "-f", "vhdx", "-O", "raw"], &[disk, &raw]);
        let mut digest = Sha256::new();
        feed(&mut File::open(&raw).unwrap(), &mut digest);
        assert_eq!(hex(digest), expected, "qemu-img: {}", disk.display());
        qemu(&["compare", "-f", "raw", "-F", "vhdx"], &[&raw, disk]);
    }

    #[track_caller]
    fn oracle(&self, command: &str, disk: &Path) -> String {
        let out = Command::new("python3").arg(&self.reader).arg(command).arg(disk).output().unwrap();
        let said = [out.stdout, out.stderr].map(|text| String::from_utf8(text).unwrap());
        assert!(out.status.success(), "the oracle: {command} {}: {said:?}", disk.display());
        let [said, _] = said;
        said
    }
}

/// A chain of the fixtures, and sequences of merges. Each sequence runs on new copies.
struct Real {
    folder: &'static str,
    /// Leaf first.
    files: &'static [&'static str],
    /// The sequences of merges: each child with its target, `None` for the parent.
    merges: &'static [&'static [Step]],
}

type Step = (&'static str, Option<&'static str>);

const REAL: [Real; 4] = [
    Real {
        folder: "real/dfvfs",
        files: &["fat-differential.vhdx", "fat-parent.vhdx"],
        merges: &[&[("fat-differential.vhdx", None)]],
    },
    Real {
        folder: "real/virtdisk-crate/windows-11-26200-512",
        files: &["child.vhdx", "base.vhdx"],
        merges: &[&[("child.vhdx", None)]],
    },
    Real {
        folder: "real/virtdisk-crate/windows-process-kill-512",
        files: &["child.vhdx", "base.vhdx"],
        merges: &[&[("child.vhdx", None)]],
    },
    Real {
        folder: "thirdparty/virtdisk",
        files: &["leaf.avhdx", "mid.avhdx", "base.vhdx"],
        merges: &[
            &[("leaf.avhdx", None), ("mid.avhdx", Some("base.vhdx"))],
            &[("leaf.avhdx", Some("base.vhdx"))],
            &[("mid.avhdx", None), ("leaf.avhdx", None)],
            &[("leaf.avhdx", None), ("mid.avhdx", None)],
        ],
    },
];

#[test]
fn real_chains_are_merged_in_place() {
    let Some(fixtures) = shared::folder("fixtures") else { return };
    let (Some(()), Some(references)) = (shared::program("xz"), References::all()) else { return };
    let images = manifest(&fixtures);
    for Real { folder, files, merges } in REAL {
        let found: Vec<&Value> = files.iter().map(|file| find(&images, folder, file)).collect();
        for (number, steps) in merges.iter().enumerate() {
            let scratch = tempfile::tempdir().unwrap();
            found.iter().for_each(|image| unpack(&fixtures, image, scratch.path()));
            let reads = found.iter().map(|image| image["read"]["sha256"].as_str().unwrap().to_owned());
            let mut family = Merges {
                folder: scratch.path().join(folder),
                layers: files.iter().map(|file| (*file).to_owned()).collect(),
                reads: reads.collect(),
                delete: number % 2 == 1,
                left_over: BTreeMap::new(),
            };
            for (child, into) in *steps {
                family.merge(&references, child, *into);
            }
        }
    }
    let differencing = images.iter().filter(|image| image["type"] == "differencing");
    let tested: usize = REAL.iter().map(|real| real.files.len() - 1).sum();
    assert_eq!(differencing.count(), tested + 1, "all but the orphan");
}

fn find<'a>(images: &'a [Value], place: &str, file: &str) -> &'a Value {
    let wanted = Path::new(place).join(file);
    images.iter().find(|image| name(image) == wanted).unwrap_or_else(|| panic!("{}", wanted.display()))
}

/// A chain that becomes shorter with each merge.
struct Merges {
    folder: PathBuf,
    /// Leaf first.
    layers: Vec<String>,
    /// The digest of the disk of each layer.
    reads: Vec<String>,
    delete: bool,
    /// For each target, the left-over layer next to it from the last merge. Layers of earlier merges no longer name the
    /// target.
    left_over: BTreeMap<PathBuf, PathBuf>,
}

impl Merges {
    fn merge(&mut self, references: &References, child: &str, into: Option<&str>) {
        let place = |name: &str| self.layers.iter().position(|layer| layer == name).unwrap();
        let top = place(child);
        let target = into.map_or(top + 1, place);
        let path = |layer: usize| self.folder.join(&self.layers[layer]);
        let mut args = vec!["merge".into(), "--json".into(), path(top).into_os_string()];
        if into.is_some() {
            args.extend(["--into".into(), path(target).into_os_string()]);
        }
        args.extend(self.delete.then(|| "--delete-merged".into()));
        let merged = run::vhdx(args).exits(0).json();
        let layers: Vec<PathBuf> = (top..target).map(path).collect();
        assert_eq!((&merged["merged"], &merged["into"]), (&json!(layers), &json!(path(target))));
        let above = (top > 0).then(|| path(top - 1));
        assert_eq!(merged["relinked"], json!(above.iter().collect::<Vec<_>>()));
        let left_over: BTreeSet<&PathBuf> =
            (top..=target).filter_map(|layer| self.left_over.get(&path(layer))).collect();
        assert_eq!(merged["left_over_children"], json!(left_over));
        if !self.delete {
            self.left_over.insert(path(target), path(target - 1));
        }
        assert!(layers.iter().all(|layer| layer.exists() != self.delete));

        self.layers.drain(top..target);
        self.reads[target] = self.reads[top].clone();
        self.reads.drain(top..target);
        for (position, (layer, expected)) in self.layers.iter().zip(&self.reads).enumerate() {
            let disk = self.folder.join(layer);
            match [0, top].contains(&position) {
                true => references.agree(&disk, expected),
                false => assert_eq!(disk_digest(&disk), *expected, "{}", disk.display()),
            }
        }
        if self.delete {
            let found = run!("tree", self.folder, "--json").exits(0).json();
            assert_eq!((&found["problems"], &found["orphans"]), (&json!([]), &json!([])));
            assert_eq!(found["disks"].as_array().unwrap().len(), self.layers.len());
        }
    }
}

/// Returns the number of random chains to merge: a tenth of `VHDX_ORACLE_CHAINS`, because each chain is checked after
/// each of several merges.
fn wanted_chains() -> u64 {
    let wanted = std::env::var("VHDX_ORACLE_CHAINS");
    wanted.map_or(4, |count| count.parse::<u64>().expect("VHDX_ORACLE_CHAINS is a number").div_ceil(10))
}

#[test]
fn chains_of_another_generator_are_merged_level_by_level() {
    let Some(generator) = shared::folder("oracle/mkchain.py") else { return };
    let Some(references) = References::all() else { return };
    for number in 1..=wanted_chains() {
        let mut random = Random::new(number);
        let folder = tempfile::tempdir().unwrap();
        let depth = 2 + number as usize % 5;
        generate(&generator, folder.path(), number, depth, &mut random);
        let made = fs::read_to_string(folder.path().join("manifest.json")).unwrap();
        let made: Value = serde_json::from_str(&made).unwrap();
        let name = |layer: usize| made["layers"][layer]["name"].as_str().unwrap().to_owned();
        let digest = |layer: usize| made["sha256"][layer.to_string()].as_str().unwrap().to_owned();
        let mut family = Merges {
            folder: folder.path().to_owned(),
            layers: (0..=depth).rev().map(name).collect(),
            reads: (0..=depth).rev().map(digest).collect(),
            delete: number % 2 == 0,
            left_over: BTreeMap::new(),
        };
        while let layers @ 2.. = family.layers.len() {
            let top = random.below(layers - 1);
            let target = top + 1 + random.below((layers - 1 - top).min(3));
            let [child, into] = [top, target].map(|layer| family.layers[layer].clone());
            let into = (target > top + 1 || random.below(2) == 0).then_some(into);
            family.merge(&references, &child, into.as_deref());
        }
    }
}

fn generate(generator: &Path, folder: &Path, number: u64, depth: usize, random: &mut Random) {
    let block_mib = [1, 2, 8, 32][number as usize % 4];
    let sector = ["512", "4096"][random.below(2)];
    let all: Vec<String> = (0..=depth).map(|layer| layer.to_string()).collect();
    let pairs = [
        ("--size", format!("{}M", (block_mib * 2).max(24))),
        ("--block", format!("{block_mib}M")),
        ("--sector", sector.to_owned()),
        ("--depth", depth.to_string()),
        ("--base-fill", ["0", "0.3", "1"][random.below(3)].to_owned()),
        ("--child-bytes", format!("{}M", 1 + random.below(4))),
        ("--run", [format!("{sector}-64K"), "64K-1M".to_owned()][random.below(2)].clone()),
        ("--align", sector.to_owned()),
        ("--full", ["0.0", "0.5"][random.below(2)].to_owned()),
        ("--hash-at", all.join(",")),
        ("--seed", number.to_string()),
    ];
    let args: Vec<String> =
        pairs.into_iter().flat_map(|(option, value)| [option.to_owned(), value]).collect();
    let made = Command::new("python3").arg(generator).arg(folder).args(&args).output().unwrap();
    assert!(made.status.success(), "{args:?}: {}", String::from_utf8_lossy(&made.stderr));
}
