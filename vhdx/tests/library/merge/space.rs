//! A merge takes no more space than its plan has said, if every page that it writes has been a hole.

use std::collections::{BTreeMap, BTreeSet};

use vhdx::format::bytes::seal;
use vhdx::format::header;
use vhdx::{NoProgress, Violations};
use vhdx_testkit::crash::CrashWorld;

use super::cases;
use super::scene::Scene;

const PAGE: u64 = 4096;
/// No file has a hole where its headers are.
const HEADERS_END: u64 = 192 << 10;
/// The offset of the log's length in a header.
const LOG_LENGTH: usize = 68;

/// The pages that were written in files as long as they were before, and the bytes that the files grew by.
fn taken(world: &CrashWorld, before: &BTreeMap<String, u64>) -> u64 {
    let number = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap();
    let (mut pages, mut lens) = (BTreeSet::new(), before.clone());
    for line in world.recording().lines() {
        let [name, what, place] = line.split(' ').collect::<Vec<_>>()[..] else { continue };
        let (start, end) = match (what, place.split_once('+')) {
            ("write" | "zero" | "punch", Some((start, len))) => (number(start), number(start) + number(len)),
            ("set_len", None) => (0, number(place)),
            _ => panic!("{line}"),
        };
        let len = lens.get_mut(name).unwrap();
        *len = end.max(*len);
        if what != "set_len" {
            let inside = start.max(HEADERS_END)..end.min(before[name]);
            pages
                .extend((inside.start / PAGE..inside.end.div_ceil(PAGE)).map(|page| (name.to_owned(), page)));
        }
    }
    let grown: u64 = lens.iter().map(|(name, len)| len - before[name]).sum();
    pages.len() as u64 * PAGE + grown
}

pub(crate) fn assert_enough(scene: &Scene) {
    let world = scene.world();
    let lens = world.images().into_iter().map(|(path, image)| (path.display().to_string(), image.size()));
    let lens = lens.collect();
    let plan = world.plan_merge(scene.child(), scene.target(), &scene.options).unwrap();
    plan.execute(&world, &NoProgress).unwrap();
    let (taken, needed) = (taken(&world, &lens), plan.bytes_needed());
    eprintln!("{}: {taken} bytes of {needed} taken", scene.name);
    assert!(taken <= needed, "{}: {taken} bytes of {needed} taken", scene.name);
    assert!(taken >= plan.growth_bytes(), "{}: {taken} bytes of {needed} taken", scene.name);
}

#[test]
fn no_merge_takes_more_than_was_said() {
    for case in cases::ALL {
        assert_enough(&case().scene());
    }
}

/// Files that end anywhere and whose headers name no log: each gets one.
#[test]
fn nor_with_files_that_have_no_log() {
    for case in cases::ALL {
        let mut scene = case().scene();
        for image in scene.images.values_mut() {
            image.set_len(image.size() + 100);
            for (offset, number) in header::OFFSETS.into_iter().zip(1..) {
                let mut bytes = image.read(offset.get(), header::SIZE);
                let found = header::validate_copy(&bytes, number, &mut Violations::new());
                if found.is_some_and(|header| header.log_guid.is_nil()) {
                    bytes[LOG_LENGTH..][..4].fill(0);
                    seal(&mut bytes);
                    image.write(offset.get(), &bytes);
                }
            }
        }
        assert_enough(&scene);
    }
}
