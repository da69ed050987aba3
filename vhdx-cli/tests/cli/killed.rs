//! After a merge was killed or interrupted, the merged disk and its child read as before. The next run completes it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tempfile::TempDir;
use vhdx::format::merge_guid::MergeId;
use vhdx::format::parent_locator::ParentLocator;
use vhdx::{Chain, DiskOffset, FolderResolver, Vhdx};
use vhdx_testkit::{Block, Image, Random};

use crate::images::{MIB, write};
use crate::run;
use crate::run::{command, ran};

const SECTOR: usize = 512;

/// Four files, each a child of the one before it. The third is merged into the first.
struct Victims {
    folder: TempDir,
    /// The content of the leaf's disk; in `top`, that of its child.
    leaf: Vec<u8>,
    top: Vec<u8>,
}

const NAMES: [&str; 4] = ["base.vhdx", "mid.avhdx", "leaf.avhdx", "top.avhdx"];

/// Makes a folder in memory, if the system has one. Data that a killed process has written stays there as on a disk.
fn quick_folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let has_room = vhdx::free_space(memory).is_ok_and(|free| free.is_some_and(|free| free > 2 << 30));
    if has_room { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

/// Writes scattered runs of 4 to 64 KiB, about `bytes` in total, to a layer and to the content of its disk.
fn scatter(image: &mut Image, content: &mut [u8], bytes: usize, random: &mut Random) {
    let block_size = image.block_size as usize;
    let mut blocks: BTreeMap<u64, Block> = BTreeMap::new();
    let mut left = bytes;
    while left > 0 {
        let len = (8 << random.below(5)) * SECTOR;
        let start = random.below((content.len() - len) / SECTOR) * SECTOR;
        let data = random.bytes(len);
        content[start..start + len].copy_from_slice(&data);
        for (at, sector) in (start..).step_by(SECTOR).zip(data.chunks(SECTOR)) {
            let block = blocks
                .entry((at / block_size) as u64)
                .or_insert_with(|| Block::partial(vec![0; block_size], vec![false; block_size / SECTOR]));
            block.bytes[at % block_size..][..SECTOR].copy_from_slice(sector);
            block.sectors[at % block_size / SECTOR] = true;
        }
        left = left.saturating_sub(len);
    }
    image.blocks = blocks;
}

impl Victims {
    fn new(mib: usize) -> Self {
        let mut random = Random::new(9);
        let folder = quick_folder();
        let mut content = vec![0; mib * MIB];
        let mut base = Image::dynamic(content.len() as u64, MIB as u32);
        for block in (0..mib).filter(|block| block % 2 == 0) {
            let data = random.bytes(MIB);
            content[block * MIB..][..MIB].copy_from_slice(&data);
            base.blocks.insert(block as u64, Block::full(data));
        }
        let mut mid = Image::child_of(&base, NAMES[0], 2 * MIB as u32);
        scatter(&mut mid, &mut content, mib * MIB / 8, &mut random);
        let mut leaf = Image::child_of(&mid, NAMES[1], 2 * MIB as u32);
        scatter(&mut leaf, &mut content, mib * MIB * 3 / 4, &mut random);
        let leaf_reads = content.clone();
        let mut top = Image::child_of(&leaf, NAMES[2], 2 * MIB as u32);
        scatter(&mut top, &mut content, MIB, &mut random);
        let victims = Self { folder, leaf: leaf_reads, top: content };
        NAMES
            .iter()
            .zip([base, mid, leaf, top])
            .for_each(|(name, image)| write(&image, &victims.pristine(name)));
        victims
    }

    fn pristine(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.pristine"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("vm").join(name)
    }

    /// Restores the original files, with or without the leaf's child.
    fn restore(&self, with_top: bool) {
        let _ = fs::remove_dir_all(self.folder.path().join("vm"));
        fs::create_dir(self.folder.path().join("vm")).unwrap();
        for name in &NAMES[..if with_top { 4 } else { 3 }] {
            fs::copy(self.pristine(name), self.path(name)).unwrap();
        }
    }

    fn merge(&self, options: &[&str]) -> Child {
        command()
            .arg("merge")
            .arg(self.path("leaf.avhdx"))
            .arg("--into")
            .arg(self.path("base.vhdx"))
            .args(options)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn linkages(&self) -> [Option<vhdx::Guid>; 2] {
        let mid = Vhdx::open(self.path("mid.avhdx")).unwrap();
        let locator = mid.parent_locator();
        [locator.and_then(ParentLocator::parent_linkage), locator.and_then(ParentLocator::parent_linkage2)]
    }

    fn moment(&self) -> Moment {
        if !self.path("mid.avhdx").exists() {
            return Moment::After;
        }
        let base = Vhdx::open(self.path("base.vhdx")).unwrap();
        let [Some(first), _] = self.linkages() else { return Moment::Before };
        let Some(merge) = MergeId::from_guid(first) else { return Moment::Before };
        match base.data_write_guid() {
            guid if guid == merge.guid() => Moment::Within,
            guid if guid == merge.complete_guid() => match self.is_top_elsewhere(guid) {
                true => Moment::Within,
                false => Moment::After,
            },
            _ => Moment::Before,
        }
    }

    /// Whether the leaf has a child that is not relinked yet.
    fn is_top_elsewhere(&self, base: vhdx::Guid) -> bool {
        let top = self.path("top.avhdx");
        let linkage = |top: Vhdx| top.parent_locator().and_then(ParentLocator::parent_linkage);
        top.exists() && linkage(Vhdx::open(&top).unwrap()) != Some(base)
    }

    /// Waits until the merge changes the child of the leaf, or has ended.
    fn wait_for_the_top(&self, merge: &mut Child) {
        let modified = || self.path("top.avhdx").metadata().and_then(|metadata| metadata.modified()).ok();
        let before = modified();
        while modified() == before && merge.try_wait().unwrap().is_none() {}
    }

    /// Asserts what must hold at every moment.
    fn assert_alive(&self, when: &str) {
        let (leaf, top) = (self.path("leaf.avhdx"), self.path("top.avhdx"));
        if top.exists() {
            assert_reads(&top, &self.top, when);
        }
        if leaf.exists() {
            assert_reads(&leaf, &self.leaf, when);
        } else {
            assert_reads(&self.path("base.vhdx"), &self.leaf, when);
        }
    }

    fn assert_complete(&self, when: &str) {
        self.assert_alive(when);
        let (base, top) = (self.path("base.vhdx"), self.path("top.avhdx"));
        assert_reads(&base, &self.leaf, when);
        let last = if top.exists() { &top } else { &base };
        let dirty = || {
            let checked = run!("check", last, "--chain", "--json").exits(0).json();
            assert_eq!(checked["valid"], json!(true), "{when}");
            checked["dirty_logs"].clone()
        };
        // A child that was just relinked can have a dirty log. The next run has no reason to write to it.
        if dirty() == json!([top]) {
            run!("replay", top).exits(0);
        }
        assert_eq!(dirty(), json!([]), "{when}");
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    /// The base still has its old content.
    Before,
    /// The merge is changing the content of the base, or the parent of the leaf's child.
    Within,
    /// The merged files are no longer needed.
    After,
}

#[track_caller]
fn assert_reads(disk: &Path, expected: &[u8], when: &str) {
    let chain = Chain::open(disk, &FolderResolver::default()).unwrap_or_else(|e| panic!("{when}: {e}"));
    assert_eq!(chain.virtual_size(), expected.len() as u64, "{when}");
    let mut found = vec![0; 4 * MIB];
    for (at, part) in (0..).step_by(found.len()).zip(expected.chunks(4 * MIB)) {
        let found = &mut found[..part.len()];
        chain.read_exact_at(found, DiskOffset::new(at)).unwrap_or_else(|e| panic!("{when}: {e}"));
        assert!(found == part, "{when}: {} reads otherwise within 4 MiB from {at:#x}", disk.display());
    }
}

#[test]
fn a_merge_that_is_killed_at_any_moment() {
    const KILLS: usize = 50;
    let victims = Victims::new(128); // two batches
    victims.restore(true);
    let start = Instant::now();
    ran(victims.merge(&[]).wait_with_output().unwrap()).exits(0);
    let mut takes = start.elapsed();
    victims.assert_complete("without a kill");

    let mut random = Random::new(u64::from(std::process::id()));
    let mut moments: BTreeMap<Moment, usize> = BTreeMap::new();
    let mut is_fresh = false;
    let mut kills = 0;
    let mut runs = 0;
    while kills < KILLS {
        assert!(runs < 4 * KILLS, "{kills} kills in {runs} runs");
        runs += 1;
        if !is_fresh {
            victims.restore(runs % 4 != 0);
        }
        let options: &[&str] = if runs % 3 == 0 { &["--delete-merged"] } else { &[] };
        let start = Instant::now();
        let mut merge = victims.merge(options);
        let delay = takes.mul_f64(random.below(1100) as f64 / 1000.0);
        // Relinking is so short that a random delay would hardly ever hit it.
        match random.below(4) {
            0 => victims.wait_for_the_top(&mut merge),
            _ => std::thread::sleep(delay),
        }
        let was_running = merge.try_wait().unwrap().is_none();
        merge.kill().unwrap();
        let status = merge.wait().unwrap();
        let when = format!("run {runs}, {options:?}, after {delay:?} of {takes:?}");
        if !was_running || status.success() {
            assert!(status.success(), "{when}: {status}");
            takes = start.elapsed().min(takes.mul_f64(1.5));
            victims.assert_complete(&when);
            is_fresh = false;
            continue;
        }
        kills += 1;
        *moments.entry(victims.moment()).or_default() += 1;
        victims.assert_alive(&when);
        // Every other time, the next kill hits a run that continues this merge.
        is_fresh = kills % 2 == 0 && victims.path("leaf.avhdx").exists();
        if is_fresh {
            continue;
        }
        if victims.path("leaf.avhdx").exists() {
            ran(victims.merge(options).wait_with_output().unwrap()).exits(0);
        }
        victims.assert_complete(&format!("{when}, and another run"));
    }
    eprintln!("{kills} kills in {runs} runs: {moments:?}");
    assert!(moments.get(&Moment::Within).is_some_and(|&within| within >= KILLS / 5), "{moments:?}");
}

/// Makes a chain whose merge takes several batches that are mostly holes.
fn long_merge() -> Victims {
    const BLOCK: usize = 32 * MIB;
    let folder = tempfile::tempdir().unwrap();
    let mut base = Image { litter: false, ..Image::dynamic(16 * BLOCK as u64, BLOCK as u32) };
    base.blocks.insert(3, Block::full(vec![b'b'; 4096]));
    let mid = Image { litter: false, ..Image::child_of(&base, NAMES[0], BLOCK as u32) };
    let mut leaf = Image { litter: false, ..Image::child_of(&mid, NAMES[1], BLOCK as u32) };
    let mut content = vec![0; 16 * BLOCK];
    for block in 0..16_u8 {
        leaf.blocks.insert(block.into(), Block::full(vec![block + 1; 4096]));
        content[usize::from(block) * BLOCK..][..4096].fill(block + 1);
    }
    let top = Image { litter: false, ..Image::child_of(&leaf, NAMES[2], BLOCK as u32) };
    let victims = Victims { folder, leaf: content.clone(), top: content };
    NAMES.iter().zip([base, mid, leaf, top]).for_each(|(name, image)| write(&image, &victims.pristine(name)));
    victims
}

/// Waits until a merge changes its target, and stops the process there. Returns `false` if it has ended.
fn stop_within(victims: &Victims, before: vhdx::Guid, merge: &mut Child) -> bool {
    while Vhdx::open(victims.path("base.vhdx")).is_ok_and(|base| base.data_write_guid() == before) {
        if merge.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    kill_process(Pid::from_child(merge), Signal::STOP).unwrap();
    merge.try_wait().unwrap().is_none()
}

#[test]
fn a_merge_that_is_interrupted() {
    let victims = long_merge();
    victims.restore(true);
    let mut interrupted = 0;
    for options in [&["--json"][..], &["--quiet"], &["--delete-merged"]] {
        let before = Vhdx::open(victims.path("base.vhdx")).unwrap().data_write_guid();
        let mut merge = victims.merge(options);
        assert!(stop_within(&victims, before, &mut merge), "the merge was too fast");
        victims.assert_alive("stopped");
        let other = ran(victims.merge(&["--json"]).wait_with_output().unwrap()).exits(6).error();
        assert!(other["message"].as_str().unwrap().contains("another program"), "{other}");
        crate::run::interrupt(&merge);
        kill_process(Pid::from_child(&merge), Signal::CONT).unwrap();
        let ran = ran(merge.wait_with_output().unwrap()).exits(130);
        assert_eq!(ran.stdout, b"");
        for word in [
            "leaf.avhdx",
            "not merged completely",
            "read as before",
            "same command",
            "do not start a virtual machine",
            "base.vhdx",
        ] {
            assert!(ran.stderr.contains(word), "{word}: {}", ran.stderr);
        }
        let answers = ran.stderr.matches("vhdx: stopping as soon as").count();
        assert_eq!(answers, usize::from(options == ["--delete-merged"]), "{}", ran.stderr);
        if options == ["--json"] {
            assert_eq!(ran.error()["kind"], json!("cancelled"));
        }
        assert_eq!(victims.moment(), Moment::Within, "after a batch");
        victims.assert_alive("interrupted");
        let checked = run!("check", victims.path("top.avhdx"), "--chain", "--json").exits(0).json();
        assert_eq!((&checked["valid"], &checked["dirty_logs"]), (&json!(true), &json!([])));
        interrupted += 1;
    }
    assert_eq!(interrupted, 3);
    ran(victims.merge(&["--delete-merged"]).wait_with_output().unwrap()).exits(0);
    assert!(!victims.path("leaf.avhdx").exists() && !victims.path("mid.avhdx").exists());
    victims.assert_complete("after three interruptions");
}
