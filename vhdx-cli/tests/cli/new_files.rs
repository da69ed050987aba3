//! New files of `convert` and `merge` are complete or absent, and never replace a source.

use std::path::Path;

use serde_json::json;
use vhdx::{Chain, DiskType, FolderResolver, Vhdx};
use vhdx_testkit::{ExtraItem, ExtraRegion};

#[cfg(unix)]
use crate::images::names;
use crate::images::{MIB, SIZE, family, write};
use crate::run;

pub(crate) fn reads_as(path: &Path) -> Vec<u8> {
    let chain = Chain::open(path, &FolderResolver::default()).unwrap();
    let mut bytes = vec![0; usize::try_from(chain.virtual_size()).unwrap()];
    chain.read_exact_at(&mut bytes, vhdx::DiskOffset::new(0)).unwrap();
    bytes
}

#[test]
fn convert_to_raw() {
    let family = family();
    let before = family.files();
    assert!(run!("convert", family.leaf(), "-").exits(0).stdout == family.content);
    let raw = family.path("disk.raw");
    let answer = run!("convert", family.leaf(), raw, "--json").exits(0).json();
    assert!(std::fs::read(&raw).unwrap() == family.content);
    assert_eq!(answer["bytes_copied"], 4 * MIB);
    assert_eq!((&answer["format"], &answer["type"]), (&json!("raw"), &json!(null)));
    assert_eq!(answer["file_size"], SIZE);
    assert_eq!(answer["destination"], json!(raw));
    std::fs::remove_file(raw).unwrap();
    assert_eq!(family.files(), before);
}

#[test]
fn convert_to_vhdx_and_back() {
    let family = family();
    for (kind, disk_type) in [("dynamic", DiskType::Dynamic), ("fixed", DiskType::Fixed)] {
        let new = family.path(&format!("{kind}.vhdx"));
        let answer = run!("convert", family.leaf(), new, "--type", kind, "--block-size", "2M", "--json")
            .exits(0)
            .json();
        assert!(reads_as(&new) == family.content);
        let vhdx = Vhdx::open(&new).unwrap();
        assert_eq!((vhdx.disk_type(), vhdx.block_size()), (disk_type, 2 << 20));
        assert_ne!(vhdx.virtual_disk_id(), Some(family.images.leaf.virtual_disk_id));
        assert_eq!((&answer["type"], &answer["block_size"]), (&json!(kind), &json!(2 << 20)));
        assert_eq!(answer["file_size"], new.metadata().unwrap().len());
        run!("check", new).exits(0);
        run!("compare", new, family.leaf()).exits(0);
    }
    let default = family.path("default.vhdx");
    run!("convert", family.leaf(), default).exits(0);
    assert_eq!(Vhdx::open(&default).unwrap().block_size(), MIB as u64);
}

#[test]
fn convert_from_raw() {
    let family = family();
    let raw = family.path("disk.img");
    let mut content = family.content.clone();
    content.extend([9; 700]);
    std::fs::write(&raw, &content).unwrap();
    let new = family.path("new.vhdx");
    run!("convert", raw, new).exits(0);
    content.resize((SIZE + 1024) as usize, 0);
    assert!(reads_as(&new) == content);
    assert_eq!(Vhdx::open(&new).unwrap().block_size(), 32 << 20);
    run!("compare", raw, new).exits(0);
}

#[test]
fn merge_makes_one_disk_and_leaves_the_chain_alone() {
    let family = family();
    let before = family.files();
    let elsewhere = tempfile::tempdir().unwrap();
    let new = elsewhere.path().join("new.vhdx");
    let merged = run!("merge", family.leaf(), "--output", new, "--json").exits(0).json();
    assert_eq!(merged["merged"], json!([family.leaf(), family.mid(), family.base()]));
    assert_eq!(merged["into"], json!(new));
    assert_eq!((&merged["bytes_copied"], &merged["blocks"]), (&json!(4 * MIB), &json!(4)));
    assert_eq!((&merged["relinked"], &merged["deleted"]), (&json!([]), &json!([])));
    assert!(reads_as(&new) == family.content);
    let vhdx = Vhdx::open(&new).unwrap();
    assert_eq!(vhdx.virtual_disk_id(), Some(family.images.leaf.virtual_disk_id));
    assert_eq!(vhdx.disk_type(), DiskType::Dynamic);
    run!("compare", family.leaf(), new).exits(0);
    run!("check", new).exits(0);
    assert_eq!(family.files(), before);

    let fixed = elsewhere.path().join("fixed.vhdx");
    std::fs::write(elsewhere.path().join("fixed.vhdx.rct"), b"").unwrap();
    let text = run!("merge", family.leaf(), "--output", fixed, "--type", "fixed").exits(0).text();
    assert_eq!(Vhdx::open(&fixed).unwrap().disk_type(), DiskType::Fixed);
    assert!(reads_as(&fixed) == family.content);
    for word in ["not touched", "point the virtual machine", "fixed.vhdx.rct"] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[test]
fn dropped_regions_and_items_are_reported() {
    let family = family();
    let (region, item) = (uuid::Uuid::from_u128(0x1234), uuid::Uuid::from_u128(0x5678));
    let mut base = family.images.base.clone();
    base.extra_regions.push(ExtraRegion { id: region, mib: 1, required: false });
    base.extra_items.push(ExtraItem {
        id: item,
        is_user: true,
        is_virtual_disk: false,
        is_required: false,
        bytes: vec![1; 8],
    });
    write(&base, &family.base());
    let (new, side_file) = (family.path("new.vhdx"), family.path("new.vhdx.mrt"));
    std::fs::write(&side_file, b"").unwrap();
    let dropped = json!([
        { "path": family.base(), "part": "region", "id": region.to_string() },
        { "path": family.base(), "part": "user metadata item", "id": item.to_string() },
    ]);
    for option in ["--dry-run", "--force"] {
        let merge = run!("merge", family.leaf(), "--output", new, option, "--json").exits(0).json();
        let convert = run!("convert", family.leaf(), new, option, "--json").exits(0).json();
        for answer in [merge, convert] {
            assert_eq!((&answer["dropped"], &answer["stale"]), (&dropped, &json!([side_file])));
        }
    }
    let text = run!("convert", family.leaf(), new, "--force").exits(0).text();
    for line in [format!("not copied: region {region} of "), format!("stale: {} ", side_file.display())] {
        assert!(text.contains(&line), "{line}: {text}");
    }
    let raw = run!("convert", family.leaf(), family.path("new.raw"), "--json").exits(0).json();
    assert_eq!((&raw["dropped"], &raw["stale"]), (&json!([]), &json!([])));
}

#[test]
fn a_dry_run_makes_nothing() {
    let family = family();
    let before = family.files();
    let new = family.path("new.vhdx");
    let merge = run!("merge", family.leaf(), "--output", new, "--dry-run", "--json").exits(0).json();
    assert_eq!(merge["dry_run"], true);
    assert_eq!(merge["bytes_copied"], 4 * MIB);
    assert!(
        run!("merge", family.leaf(), "--output", new, "--dry-run").exits(0).text().starts_with("would make")
    );
    let raw = family.path("new.raw");
    let convert = run!("convert", family.leaf(), raw, "--dry-run", "--json").exits(0).json();
    assert_eq!((&convert["bytes_copied"], &convert["file_size"]), (&json!(4 * MIB), &json!(SIZE)));
    let estimate = run!("convert", family.leaf(), new, "--dry-run", "--json").exits(0).json();
    assert_eq!(family.files(), before);
    let made = run!("convert", family.leaf(), new, "--json").exits(0).json();
    assert_eq!(estimate["file_size"], made["file_size"]);
}

#[test]
fn nothing_is_overwritten_without_force() {
    let family = family();
    let (raw, new) = (family.path("disk.raw"), family.path("new.vhdx"));
    std::fs::write(&raw, b"precious").unwrap();
    std::fs::write(&new, b"precious").unwrap();
    let before = family.files();
    let refused = run!("convert", family.leaf(), raw).exits(6);
    assert!(
        refused.stderr.contains("the destination already exists") && refused.stderr.contains("--force"),
        "{}",
        refused.stderr
    );
    let error = run!("merge", family.leaf(), "--output", new, "--json").exits(6).error();
    assert_eq!((&error["kind"], &error["path"]), (&json!("conflict"), &json!(new)));
    run!("merge", family.leaf(), "--output", new, "--dry-run").exits(6);
    run!("convert", family.leaf(), raw, "--dry-run").exits(6);
    run!("convert", family.leaf(), family.folder.path(), "--to", "raw").exits(2);
    run!("convert", family.leaf(), family.folder.path(), "--to", "raw", "--force").exits(2);
    run!("merge", family.leaf(), "--output", new, "--dry-run", "--force").exits(0);
    assert_eq!(family.files(), before);
    run!("convert", family.leaf(), raw, "--force").exits(0);
    run!("merge", family.leaf(), "--output", new, "--force").exits(0);
    assert!(reads_as(&new) == family.content && std::fs::read(raw).unwrap() == family.content);
}

#[test]
fn a_failed_command_leaves_the_destination_as_it_was() {
    let family = family();
    let image = &family.images.base;
    let mut file = image.sparse();
    file.write(image.layout().bat_entry(image.bat_index(3)), &((1u64 << 40) | 6).to_le_bytes());
    file.write_to(&family.base()).unwrap();
    let (raw, new) = (family.path("disk.raw"), family.path("new.vhdx"));
    std::fs::write(&raw, b"precious").unwrap();
    let before = family.files();
    run!("convert", family.leaf(), raw, "--force").exits(3);
    run!("merge", family.leaf(), "--output", new).exits(3);
    run!("convert", family.leaf(), new, "--type", "fixed").exits(3);
    assert_eq!(family.files(), before);
}

#[test]
fn a_source_is_never_the_destination() {
    let family = family();
    let linked = family.path("hard.vhdx");
    std::fs::hard_link(family.base(), &linked).unwrap();
    let raw = family.path("disk.raw");
    std::fs::write(&raw, &family.content).unwrap();
    let raw_link = family.path("raw.vhdx");
    std::fs::hard_link(&raw, &raw_link).unwrap();
    #[cfg_attr(not(unix), allow(unused_mut))]
    let mut names = vec![family.base(), family.mid(), family.leaf(), linked];
    #[cfg(unix)]
    {
        let soft = family.path("soft.vhdx");
        std::os::unix::fs::symlink(family.mid(), &soft).unwrap();
        names.push(soft);
    }
    let before = family.files();
    for name in names {
        for options in [&[][..], &["--force"], &["--force", "--dry-run"]] {
            let refuse = |args: &[&std::ffi::OsStr]| {
                let ran =
                    crate::run::vhdx(args.iter().copied().chain(options.iter().map(|o| o.as_ref()))).exits(2);
                assert!(ran.stderr.contains("one of the sources"), "{}", ran.stderr);
            };
            let leaf = family.leaf();
            refuse(&["merge".as_ref(), leaf.as_ref(), "--output".as_ref(), name.as_ref()]);
            refuse(&["convert".as_ref(), leaf.as_ref(), name.as_ref()]);
            refuse(&["convert".as_ref(), leaf.as_ref(), name.as_ref(), "--to".as_ref(), "raw".as_ref()]);
        }
    }
    run!("convert", raw, raw_link, "--force").exits(2);
    assert_eq!(family.files(), before);
}

/// Makes a disk whose blocks are holes in the file. Converting it takes long and writes almost nothing.
#[cfg(unix)]
pub(crate) fn endless(path: &Path, size: u64) {
    let block = 256 << 20;
    let mut image = vhdx_testkit::Image::dynamic(size, block);
    image.litter = false;
    image.blocks.insert(0, vhdx_testkit::Block::full(Vec::new()));
    let layout = image.layout();
    let mut file = image.sparse();
    let place = |index: u64| layout.offset(vhdx_testkit::Part::Payload(0)) + index * u64::from(block);
    for index in 0..image.block_count() {
        file.write(layout.bat_entry(image.bat_index(index)), &(place(index) | 6).to_le_bytes());
    }
    file.write_to(path).unwrap();
    std::fs::File::options().write(true).open(path).unwrap().set_len(place(image.block_count())).unwrap();
}

#[cfg(unix)]
#[test]
fn a_new_file_that_may_not_fit_is_refused() {
    let sources = tempfile::tempdir().unwrap();
    let source = sources.path().join("endless.vhdx");
    let free = vhdx::free_space(sources.path()).unwrap().expect("the free space of the folder for tests");
    endless(&source, free.next_multiple_of(256 << 20) + (64 << 30));
    let folder = tempfile::tempdir_in(sources.path()).unwrap();
    let new = folder.path().join("new.vhdx");
    for option in ["--quiet", "--dry-run"] {
        let merge = run!("merge", source, "--output", new, option, "--json").exits(6).error();
        assert_eq!((&merge["kind"], &merge["path"]), (&json!("io"), &json!(new)));
        assert!(merge["message"].as_str().unwrap().contains("are free"), "{merge}");
        run!("convert", source, new, option).exits(6);
    }
    assert_eq!(names(folder.path()), [""; 0]);
}

#[cfg(unix)]
#[test]
fn a_failed_write_names_the_new_file() {
    let family = family();
    for name in ["new.raw", "new.vhdx"] {
        let new = family.path(name);
        let script = "trap '' XFSZ; ulimit -f 1024; exec \"$@\"";
        let output = std::process::Command::new("sh")
            .args(["-c", script, "sh", env!("CARGO_BIN_EXE_vhdx"), "convert", "--json"])
            .args([family.leaf(), new.clone()])
            .output()
            .unwrap();
        let error = crate::run::ran(output).exits(6).error();
        assert_eq!((&error["kind"], &error["path"]), (&json!("io"), &json!(new)));
        assert!(!new.exists());
    }
}

#[cfg(unix)]
#[test]
fn an_interrupted_command_leaves_nothing_behind() {
    use std::process::Stdio;

    let sources = tempfile::tempdir().unwrap();
    let source = sources.path().join("endless.vhdx");
    endless(&source, long_work(sources.path()));
    for name in ["new.raw", "new.vhdx"] {
        let folder = tempfile::tempdir().unwrap();
        let mut child = crate::run::command()
            .args([
                "convert".as_ref(),
                source.as_os_str(),
                folder.path().join(name).as_os_str(),
                "--json".as_ref(),
            ])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        wait_for_a_file(folder.path(), &mut child);
        assert!(names(folder.path()).iter().all(|name| name.ends_with(".part")));
        crate::run::interrupt(&child);
        let ran = crate::run::ran(child.wait_with_output().unwrap()).exits(130);
        assert_eq!(ran.error()["kind"], "cancelled");
        assert_eq!(ran.stdout, b"");
        assert_eq!(names(folder.path()), [""; 0]);
    }
}

/// Returns the size of a disk that fits, and that takes long enough to convert for a busy machine to send a signal.
#[cfg(unix)]
pub(crate) fn long_work(folder: &Path) -> u64 {
    let free = vhdx::free_space(folder).unwrap().expect("the free space of the folder for tests");
    (free / 2).min(64 << 30) >> 28 << 28
}

#[cfg(unix)]
fn wait_for_a_file(folder: &Path, child: &mut std::process::Child) {
    while names(folder).is_empty() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it was told to");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_signal_that_is_ignored_stays_so() {
    use rustix::process::{Pid, Signal, kill_process};
    use std::time::Duration;

    let sources = tempfile::tempdir().unwrap();
    let source = sources.path().join("endless.vhdx");
    endless(&source, long_work(sources.path()));
    let folder = tempfile::tempdir().unwrap();
    let mut child = std::process::Command::new("sh")
        .args(["-c", "trap '' HUP; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_vhdx"), "convert", "--quiet"])
        .args([source, folder.path().join("new.vhdx")])
        .spawn()
        .unwrap();
    wait_for_a_file(folder.path(), &mut child);
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::HUP).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    assert!(child.try_wait().unwrap().is_none(), "the ignored signal ended it");
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(names(folder.path()), [""; 0]);
}
