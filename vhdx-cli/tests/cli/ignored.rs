//! Commands ignore tolerated damage and do not write it back.

use std::fs;
use std::path::Path;

use vhdx::format::bytes::seal;
use vhdx::format::header;
use vhdx::format::parent_locator::{PARENT_LINKAGE, PARENT_LINKAGE2, RELATIVE_PATH};
use vhdx_testkit::Image;

use crate::images::{Family, MIB, family, write};
use crate::run;

const UNRELATED: &str = "{11111111-2222-3333-4444-555555555555}";

fn with_locator(image: &Image, entries: &[(&str, &str)]) -> Image {
    let own = |&(key, value): &(&str, &str)| (key.to_owned(), value.to_owned());
    Image { parent_locator: Some(entries.iter().map(own).collect()), ..image.clone() }
}

fn rules(path: &Path) -> Vec<String> {
    let check = run!("check", path, "--json").exits(0).json();
    let violations = check["violations"].as_array().unwrap().clone();
    // Windows stores plain absolute paths, which is only a note.
    let broken = violations.iter().filter(|found| found["severity"] != "note");
    broken.map(|found| found["rule"].as_str().unwrap().to_owned()).collect()
}

fn assert_reads_as_before(family: &Family, path: &Path) {
    assert_eq!(run!("convert", path, "-").exits(0).stdout, family.content);
}

/// A disk whose `parent_linkage2` is unreadable may depend on the target by that GUID.
#[test]
fn a_merge_is_refused_if_a_lost_linkage_may_name_its_target() {
    let family = family();
    let other = family.path("other.avhdx");
    let path = (RELATIVE_PATH, r".\base.vhdx");
    let with = |second| {
        let entries = [(PARENT_LINKAGE, UNRELATED), (PARENT_LINKAGE2, second), path];
        write(&with_locator(&family.images.mid, &entries), &other);
    };
    with("{22222222}");
    let before = family.files();
    let error = run!("merge", family.leaf(), "--into", family.base(), "--json").exits(5).error();
    assert_eq!(error["undetermined"][0]["path"], other.to_str().unwrap());
    assert_eq!(family.files(), before);

    with(UNRELATED);
    run!("merge", family.leaf(), "--into", family.base()).exits(0);
    assert_reads_as_before(&family, &family.base());
}

/// The damaged linkage does not block the merge of its own disk, and a new locator is written without the damage.
#[test]
fn a_disk_that_has_lost_a_linkage_is_merged_and_relinked() {
    for relinks in [false, true] {
        let family = family();
        let (key, linkage) = family.images.leaf.parent_locator.as_ref().unwrap()[0].clone();
        assert_eq!(key, PARENT_LINKAGE);
        let entries = [
            (PARENT_LINKAGE, linkage.as_str()),
            (PARENT_LINKAGE2, "{}"),
            (RELATIVE_PATH, r".\mid.avhdx"),
            (RELATIVE_PATH, r".\other.avhdx"),
        ];
        write(&with_locator(&family.images.leaf, &entries), &family.leaf());
        assert_eq!(rules(&family.leaf()), ["parent-locator-duplicate", "parent-linkage-lost"]);
        assert_reads_as_before(&family, &family.leaf());
        let merged = match relinks {
            true => {
                run!("reparent", family.leaf(), "--parent", family.mid()).exits(0);
                assert_eq!(rules(&family.leaf()), [""; 0]);
                family.leaf()
            }
            false => {
                run!("merge", family.leaf(), "--delete-merged").exits(0);
                family.mid()
            }
        };
        assert_reads_as_before(&family, &merged);
    }
}

/// The headers of the target name an invalid place for the log: over the BAT, or no place at all.
#[test]
fn a_merge_makes_a_new_log_if_the_place_of_the_log_is_invalid() {
    let bat = family().images.base.layout().offset(vhdx_testkit::Part::Bat);
    for (offset, length) in [(0, 1 << 20), (0, 0), (bat, 0), (bat + 4096, 1 << 20), (MIB as u64, 4096_u32)] {
        let family = family();
        let mut file = fs::read(family.base()).unwrap();
        for place in header::OFFSETS {
            let bytes = &mut file[usize::try_from(place.get()).unwrap()..][..header::SIZE];
            bytes[68..72].copy_from_slice(&length.to_le_bytes());
            bytes[72..80].copy_from_slice(&offset.to_le_bytes());
            seal(bytes);
        }
        fs::write(family.base(), file).unwrap();
        assert_reads_as_before(&family, &family.leaf());
        run!("merge", family.leaf(), "--into", family.base(), "--delete-merged").exits(0);
        assert_reads_as_before(&family, &family.base());
        assert_eq!(rules(&family.base()), [""; 0], "{offset:x} {length:x}");
    }
}
