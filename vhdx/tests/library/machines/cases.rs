//! Paths, names and places that decide which disk and which machine a configuration means.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use vhdx::{MachineProblem, NoProgress, Progress, discover};
use vhdx_testkit::ConfiguredMachine;
use vhdx_testkit::estate::{Estate, EstateOptions};

use super::host::{Host, TIME, disks, filetime, machine, problems};

#[test]
fn drives_and_servers_are_dropped_and_case_is_ignored() {
    for stored in [
        r"C:\vms\web\Disks\System.vhdx",
        r"c:/VMS/web/disks/SYSTEM.VHDX",
        r"\\server\share$\web\Disks\system.vhdx",
        r"\\?\D:\web\Disks\system.vhdx",
        r"\\?\UNC\server\share\web\Disks\system.vhdx",
        r"\\?\Volume{5e0bd954-71b2-4bff-a928-082af7ab0f8f}\web\Disks\system.vhdx",
        r"\\.\D:\disks\system.vhdx",
        r"Disks\system.vhdx",
        r"\Disks\.\system.vhdx",
    ] {
        let host = Host::new();
        let disk = host.base("web/Disks/system.vhdx", 1);
        host.configure("web/Virtual Machines/m.vmcx", &[stored]);
        let forest = host.forest();
        assert_eq!(disks(&forest, &forest.machines[0].configuration), [disk], "{stored}");
        assert_eq!(forest.machines[0].configuration.drives[0].stored_path, stored);
        assert!(problems(&forest).is_empty(), "{stored}: {:?}", problems(&forest));
    }
}

#[test]
fn composed_and_decomposed_letters_are_equal() {
    let host = Host::new();
    let disk = host.base("Pru\u{308}fung/a.vhdx", 1);
    host.configure("m.vmcx", &["C:\\PR\u{dc}FUNG\\A.vhdx"]);
    let forest = host.forest();
    assert_eq!(disks(&forest, &forest.machines[0].configuration), [disk]);
}

#[test]
fn names_alone_count_only_beside_the_configuration() {
    let host = Host::new();
    let beside = host.base("flat/a.vhdx", 1);
    let above = host.base("b.vhdx", 2);
    let far = host.base("far/away/c.vhdx", 3);
    host.configure("flat/m.vmcx", &[r"D:\x\a.vhdx", r"D:\x\b.vhdx", r"D:\x\c.vhdx", "", r"D:\"]);
    let forest = host.forest();
    assert_eq!(disks(&forest, &forest.machines[0].configuration), [beside, above]);
    let missing: Vec<(String, Vec<PathBuf>)> = problems(&forest)
        .into_iter()
        .filter_map(|problem| match problem {
            MachineProblem::MissingDisk { stored, candidates, .. } => {
                Some((stored.clone(), candidates.clone()))
            }
            _ => None,
        })
        .collect();
    let (c, root) = (r"D:\x\c.vhdx".to_owned(), r"D:\".to_owned());
    assert_eq!(missing, [(c, vec![far]), (root, Vec::new())]);
}

#[test]
fn everything_in_one_folder() {
    let host = Host::new();
    let base = host.base("base.vhdx", 1);
    let middle = host.child("middle.avhdx", 2, 1, r".\base.vhdx");
    let leaf = host.child("leaf.avhdx", 3, 2, r".\middle.avhdx");
    let stored = |name: &str| format!(r"D:\Hyper-V\web\Virtual Hard Disks\{name}");
    let checkpoint = |name: &str, disk: &str, created| {
        let created = filetime(created);
        host.configure_as(
            name,
            &ConfiguredMachine { created, name: name.to_owned(), ..machine(&[&stored(disk)]) },
        )
    };
    let second = checkpoint("1.vmcx", "middle.avhdx", TIME + 9);
    let first = checkpoint("2.vmcx", "base.vhdx", TIME);
    let own = checkpoint("3.vmcx", "leaf.avhdx", TIME - 9);
    let forest = host.forest();
    let [found] = &forest.machines[..] else { panic!("{:#?}", forest.machines) };
    assert_eq!(
        (&found.configuration.path, disks(&forest, &found.configuration)),
        (&own, vec![leaf.as_path()])
    );
    let checkpoints: Vec<_> = found.checkpoints.iter().map(|of| (&of.path, disks(&forest, of))).collect();
    assert_eq!(checkpoints, [(&first, vec![base.as_path()]), (&second, vec![middle.as_path()])]);
    assert!(problems(&forest).is_empty() && forest.lone_checkpoints.is_empty());
}

#[test]
fn a_checkpoint_outside_of_snapshots_is_no_machine() {
    let host = Host::new();
    host.base("web/Disks/base.vhdx", 1);
    host.child("web/Disks/leaf.avhdx", 2, 1, r".\base.vhdx");
    host.configure("web/m.vmcx", &[r"D:\web\Disks\leaf.avhdx"]);
    let moved = host.configure("elsewhere/c.vmcx", &[r"D:\web\Disks\base.vhdx"]);
    let forest = host.forest();
    assert_eq!(forest.machines.len(), 1);
    assert_eq!(forest.machines[0].checkpoints[0].path, moved);
    assert!(problems(&forest).is_empty());
    // At another place, it is another machine, which must not be started.
    let mut other = machine(&[r"D:\web\Disks\base.vhdx"]);
    other.disks[0].0 = 7;
    host.configure_as("elsewhere/c.vmcx", &other);
    let forest = host.forest();
    assert_eq!(forest.machines.len(), 2);
    let [MachineProblem::NotTheNewest { path, disk }] = problems(&forest)[..] else {
        panic!("{:?}", problems(&forest))
    };
    assert_eq!((path, disk), (&moved, &host.path("web/Disks/base.vhdx")));
}

#[test]
fn a_machine_whose_checkpoint_has_the_newest_disk_is_a_machine() {
    let host = Host::new();
    host.base("web/Disks/base.vhdx", 1);
    host.child("web/Disks/leaf.avhdx", 2, 1, r".\base.vhdx");
    let own = host.configure("web/Virtual Machines/m.vmcx", &[r"D:\web\Disks\base.vhdx"]);
    let checkpoint = host.configure("web/Snapshots/c.vmcx", &[r"D:\web\Disks\leaf.avhdx"]);
    let forest = host.forest();
    assert_eq!(forest.machines[0].configuration.path, own);
    assert_eq!(forest.machines[0].checkpoints[0].path, checkpoint);
    // The newest disk is that of the checkpoint, so it is used.
    let [MachineProblem::NotTheNewest { path, .. }] = problems(&forest)[..] else {
        panic!("{:?}", problems(&forest))
    };
    assert_eq!(path, &own);
}

#[test]
fn two_copies_of_an_estate_do_not_mix() {
    let host = Host::new();
    let estate = Estate::generate(&host.path("a"), &EstateOptions::sound(5, 4, 12)).unwrap();
    copy(&host.path("a"), &host.path("b"));
    let forest = host.forest();
    assert_eq!(forest.machines.len(), 2 * estate.machines.len());
    for machine in &forest.machines {
        let own = &machine.configuration.path;
        let copy = host.path(if own.starts_with(host.path("a")) { "a" } else { "b" });
        let truth = estate.machines.iter().find(|of| Some(of.id) == machine.configuration.id).unwrap();
        assert_eq!(machine.checkpoints.len(), truth.checkpoints.len());
        for configuration in machine.checkpoints.iter().chain([&machine.configuration]) {
            assert!(configuration.path.starts_with(&copy), "{configuration:#?}");
            assert_eq!(disks(&forest, configuration).len(), truth.drives.len());
            assert!(disks(&forest, configuration).iter().all(|disk| disk.starts_with(&copy)));
        }
    }
    assert!(problems(&forest).is_empty(), "{:#?}", problems(&forest));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
            continue;
        }
        fs::copy(entry.path(), &target).unwrap();
        let modified = entry.metadata().unwrap().modified().unwrap();
        fs::File::options().append(true).open(&target).unwrap().set_modified(modified).unwrap();
    }
}

#[test]
fn a_name_that_fits_two_disks_is_ambiguous() {
    let host = Host::new();
    let a = host.base("a/Disks/disk.vhdx", 1);
    let b = host.base("b/Disks/disk.vhdx", 2);
    host.configure("m.vmcx", &[r"D:\web\Disks\disk.vhdx"]);
    let forest = host.forest();
    let missing = problems(&forest).into_iter().find_map(|problem| match problem {
        MachineProblem::MissingDisk { candidates, .. } => Some(candidates.clone()),
        _ => None,
    });
    assert_eq!(missing, Some(vec![a, b.clone()]));
    // A third name, or a nearer configuration, decides.
    host.configure("m.vmcx", &[r"D:\B\Disks\disk.vhdx"]);
    let forest = host.forest();
    assert_eq!(disks(&forest, &forest.machines[0].configuration), [b.as_path()]);
    fs::remove_file(host.path("m.vmcx")).unwrap();
    host.configure("b/m.vmcx", &[r"D:\web\Disks\disk.vhdx"]);
    let forest = host.forest();
    assert_eq!(disks(&forest, &forest.machines[0].configuration), [b]);
}

/// Hyper-V gives each machine a folder of the same name, and many disks are named alike.
#[test]
fn the_disk_of_another_machine_does_not_replace_a_missing_one() {
    let host = Host::new();
    let theirs = host.base("theirs/Virtual Hard Disks/base.vhdx", 1);
    host.configure("theirs/Virtual Machines/t.vmcx", &[r"D:\theirs\Virtual Hard Disks\base.vhdx"]);
    let stored = r"D:\ours\Virtual Hard Disks\base.vhdx";
    let ours = host.configure("ours/Virtual Machines/o.vmcx", &[stored]);
    let forest = host.forest();
    let [MachineProblem::MissingDisk { path, candidates, .. }] = problems(&forest)[..] else {
        panic!("{:?}", problems(&forest))
    };
    assert_eq!((path, candidates), (&ours, &Vec::new()));
    // Nobody else names this disk, so it was copied into a folder of another name.
    fs::remove_file(host.path("theirs/Virtual Machines/t.vmcx")).unwrap();
    let forest = host.forest();
    assert_eq!(disks(&forest, &forest.machines[0].configuration), [theirs]);
    assert!(problems(&forest).is_empty());
}

#[test]
fn a_damaged_disk_is_not_said_to_be_missing() {
    let host = Host::new();
    let damaged = host.write("web/Disks/a.vhdx", b"vhdxfile");
    host.configure("web/m.vmcx", &[r"D:\web\Disks\A.vhdx"]);
    let forest = host.forest();
    let [problem @ MachineProblem::MissingDisk { damaged: Some(found), .. }] = problems(&forest)[..] else {
        panic!("{:?}", problems(&forest))
    };
    assert_eq!(found, &damaged);
    assert!(problem.to_string().contains("cannot be read"), "{problem}");
}

#[test]
fn files_of_other_programs_are_no_configurations() {
    let host = Host::new();
    host.base("a.vhdx", 1);
    host.write("pom.xml", b"<?xml version=\"1.0\"?><project><name>x</name></project>");
    host.write("settings.xml", b"no XML");
    host.write("m/State.vmrs", b"no container");
    let register = {
        let mut container = vhdx_testkit::container::Container::new();
        container
            .add_text("/Configurations/VirtualMachines/_282874FC-59D6-4F30-BC04-5FDD909C82E0_", r"C:\m.vmcx");
        container.build()
    };
    host.write("data.vmcx", &register);
    let forest = host.forest();
    assert!(forest.machines.is_empty() && forest.lone_checkpoints.is_empty());
    assert!(forest.all_problems().is_empty(), "{:?}", forest.all_problems());
    // A file with the name of a configuration should be one.
    let broken = host.write("282874FC-59D6-4F30-BC04-5FDD909C82E0.xml", b"<project/>");
    let empty = host.write("b.vmcx", b"");
    let forest = host.forest();
    let unreadable: Vec<&Path> = problems(&forest)
        .into_iter()
        .map(|problem| {
            assert!(matches!(problem, MachineProblem::Unreadable { .. }), "{problem:?}");
            problem.path()
        })
        .collect();
    assert_eq!(unreadable, [&broken, &empty]);
}

#[test]
fn a_part_that_was_skipped_is_a_problem_and_the_rest_is_used() {
    let host = Host::new();
    let disk = host.base("a.vhdx", 1);
    let mut bytes = machine(&[r"D:\a.vhdx"]).container().build();
    bytes[14] ^= 1; // one of the headers
    host.write("m.vmcx", &bytes);
    let forest = host.forest();
    assert_eq!(disks(&forest, &forest.machines[0].configuration), [disk]);
    assert!(matches!(problems(&forest)[..], [MachineProblem::Imperfect { more: 0, .. }]));
}

/// Calls `then` when it is asked for the n-th time whether to cancel, and returns its answer.
struct OnCall<F> {
    calls: AtomicUsize,
    n: usize,
    then: F,
}

fn on_call<F: Fn() -> bool + Sync>(n: usize, then: F) -> OnCall<F> {
    OnCall { calls: AtomicUsize::new(0), n, then }
}

impl<F: Fn() -> bool + Sync> Progress for OnCall<F> {
    fn is_cancelled(&self) -> bool {
        self.calls.fetch_add(1, Ordering::Relaxed) + 1 == self.n && (self.then)()
    }
}

#[test]
fn files_that_vanish_during_the_search_stop_nothing() {
    for call in 1..20 {
        let host = Host::new();
        let base = host.base("base.vhdx", 1);
        host.child("leaf.avhdx", 2, 1, r".\base.vhdx");
        let configuration = host.configure("m.vmcx", &[r"D:\leaf.avhdx"]);
        let checkpoint = host.configure("Snapshots/c.vmcx", &[r"D:\base.vhdx"]);
        let stays = host.configure("n.vmcx", &[r"D:\leaf.avhdx"]);
        let progress = on_call(call, || {
            [&base, &configuration, &checkpoint].into_iter().for_each(|file| fs::remove_file(file).unwrap());
            false
        });
        let forest = discover(&[host.0.0.path().to_owned()], &progress).unwrap();
        assert!(forest.machines.iter().any(|machine| machine.configuration.path == stays), "{call}");
        for problem in problems(&forest) {
            let is_unreadable = matches!(problem, MachineProblem::Unreadable { .. });
            assert!(!is_unreadable, "{call}: {problem:?}");
        }
    }
}

#[test]
fn the_search_can_be_cancelled_while_configurations_are_read() {
    let host = Host::new();
    for number in 0..40 {
        host.configure(&format!("{number}.vmcx"), &[r"D:\a.vhdx"]);
    }
    let is_cancelled = |call| discover(&[host.0.0.path().to_owned()], &on_call(call, || true)).is_err();
    assert!(is_cancelled(1) && is_cancelled(30), "while the files are listed");
    assert!(is_cancelled(60), "while they are read");
    assert!(!is_cancelled(1000));
}
/// A legacy configuration, which is small.
fn xml(name: &str, disk: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><configuration><_83f8638b-8dca-4152-9eda-2ca8b33039b4_><controller0><drive0>\
         <pathname type=\"string\">{disk}</pathname><type type=\"string\">VHD</type></drive0></controller0>\
         </_83f8638b-8dca-4152-9eda-2ca8b33039b4_><properties><name type=\"string\">{name}</name></properties>\
         </configuration>"
    )
}

/// The worst estates: all configurations name one disk, or disks of the same name. The time is proportional to their
/// number, so 5 times as many take at most 15 times as long.
#[test]
fn many_configurations_take_linear_time() {
    let time = |count: usize, names_one: bool| {
        let host = Host::new();
        let disks = if names_one { 1 } else { 100 };
        for number in 0..disks {
            host.base(&format!("{number}/Virtual Hard Disks/a.vhdx"), number as u128 + 1);
        }
        for number in 0..count {
            let id = uuid_of(number);
            let folder = if number % 3 == 0 { "Snapshots" } else { "Virtual Machines" };
            let disk = r"D:\x\Virtual Hard Disks\a.vhdx";
            host.write(&format!("{}/{folder}/{id}.xml", number % 500), xml("m", disk).as_bytes());
        }
        let start = std::time::Instant::now();
        let forest = discover(&[host.0.0.path().to_owned()], &NoProgress).unwrap();
        let found: usize = forest.machines.len() + forest.lone_checkpoints.len();
        assert_eq!(found, count);
        start.elapsed()
    };
    for names_one in [true, false] {
        // Another program may need the processor for some time, so the best of three counts.
        let times = (0..3).map(|_| (time(500, names_one), time(2_500, names_one)));
        let is_linear = |(few, many): &(Duration, Duration)| *many < 15 * *few;
        let slow: Vec<_> = times.take_while(|times| !is_linear(times)).collect();
        assert!(slow.len() < 3, "{slow:?}");
    }
}

fn uuid_of(number: usize) -> String {
    vhdx::Guid::from_u128(number as u128 + 1).to_string().to_uppercase()
}
