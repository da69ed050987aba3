//! The typed views.

use hyperv_config::{Configuration, ControllerKind, Drive, DriveKind, Guid, Machine, Problem, ValueType};
use vhdx_testkit::ConfiguredMachine;
use vhdx_testkit::container::{Container, ContainerKey, ROOT, with_len};

use crate::common::{Views, XML, fixtures, problems, read, read_soundly, unpacked, with_texts};

/// Controller, number, location, kind and path.
fn drive(drive: &Drive) -> (String, u32, u32, &str, Option<&str>) {
    let kind = drive.kind.as_ref().map_or("missing", DriveKind::name);
    (drive.controller.to_string(), drive.number, drive.location, kind, drive.path.as_deref())
}

/// Compares drives in any order.
#[track_caller]
fn has_drives(machine: &Machine, expected: &[(&str, u32, u32, &str, Option<&str>)]) {
    assert!(machine.warnings.is_empty(), "{:?}", machine.warnings);
    let mut found: Vec<_> = machine.drives.iter().map(drive).collect();
    let expected = expected.iter().map(|(controller, number, location, kind, path)| {
        (String::from(*controller), *number, *location, *kind, *path)
    });
    let mut expected: Vec<_> = expected.collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[track_caller]
fn is_generation_1(machine: &Machine, disk: &str) {
    assert_eq!(machine.generation, Some(1));
    let expected = [
        ("IDE", 0, 0, "VHD", Some(disk)),
        ("IDE", 0, 1, "NONE", None),
        ("IDE", 1, 0, "ISO", None),
        ("IDE", 1, 1, "NONE", None),
        ("floppy", 0, 0, "VFD", None),
    ];
    has_drives(machine, &expected);
}

const IDE: &str = "83f8638b-8dca-4152-9eda-2ca8b33039b4";
const FLOPPY: &str = "8f0d2762-0b00-4e04-af4f-19010527cb93";
const UNKNOWN: &str = "deaeeed3-4119-4b44-95cf-a73604b76971";

/// Returns the texts of a drive.
fn drive_texts(place: &str, kind: &str, path: &str) -> Vec<(String, String)> {
    let at = |name: &str| format!("configuration/_{place}/{name}");
    vec![(at("type"), kind.to_owned()), (at("pathname"), path.to_owned())]
}

fn machine_of(texts: &[(String, String)]) -> Machine {
    let texts: Vec<(&str, &str)> = texts.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    read_soundly(&with_texts(&texts)).machine()
}

/// IDE and floppy controllers have their type as instance, so they are known without a manifest.
#[test]
fn generated_drives_of_all_kinds() {
    let drives = [
        drive_texts(&format!("{IDE}_/controller0/drive0"), "VHD", r"C:\a.vhdx"),
        drive_texts(&format!("{IDE}_/controller0/drive1"), "NONE", ""),
        drive_texts(&format!("{IDE}_/controller1/drive0"), "ISO", r"D:\setup.iso"),
        drive_texts(&format!("{IDE}_/controller1/drive1"), "ISO", ""),
        drive_texts(&format!("{}_/Controller0/DRIVE0", FLOPPY.to_uppercase()), "VFD", r"C:\boot.vfd"),
        drive_texts(&format!("{UNKNOWN}_/controller12/drive345"), "new", r"C:\b"),
    ];
    let texts = drives.concat();
    let expected = [
        ("IDE", 0, 0, "VHD", Some(r"C:\a.vhdx")),
        ("IDE", 0, 1, "NONE", None),
        ("IDE", 1, 0, "ISO", Some(r"D:\setup.iso")),
        ("IDE", 1, 1, "ISO", None),
        ("floppy", 0, 0, "VFD", Some(r"C:\boot.vfd")),
        (UNKNOWN, 12, 345, "new", Some(r"C:\b")),
    ];
    let machine = machine_of(&texts);
    has_drives(&machine, &expected);
    let kinds: Vec<_> = machine.drives.iter().map(|drive| drive.kind.clone().unwrap()).collect();
    let (vhd, iso, vfd) = (DriveKind::Vhd, DriveKind::Iso, DriveKind::Vfd);
    assert_eq!(kinds, [vhd, DriveKind::None, iso.clone(), iso, vfd, DriveKind::Other("new".into())]);
    assert_eq!(machine.drives[5].controller, ControllerKind::Other(UNKNOWN.parse().unwrap()));
    // A manifest says the type of an instance.
    let manifest = [("device", IDE), ("instance", UNKNOWN)];
    let manifest =
        manifest.map(|(name, text)| (format!("configuration/manifest/vdev007/{name}"), text.to_owned()));
    let machine = machine_of(&[manifest.to_vec(), texts].concat());
    assert_eq!(machine.drives[5].controller, ControllerKind::Ide);
}

#[test]
fn keys_that_are_no_drives_are_ignored() {
    for place in [
        format!("{IDE}_/controller0/drive"),
        format!("{IDE}_/controller0/drive+1"),
        format!("{IDE}_/controller0/drive4294967296"),
        format!("{IDE}_/controller/drive0"),
        format!("{IDE}_/port0/drive0"),
        format!("{IDE}/controller0/drive0"),
        format!("{{{IDE}}}_/controller0/drive0"),
    ] {
        assert_eq!(machine_of(&drive_texts(&place, "VHD", "a")).drives, [], "{place}");
    }
    // Neither a type nor a path is needed.
    let texts = [(format!("configuration/_{IDE}_/controller0/drive4294967295/other"), String::new())];
    has_drives(&machine_of(&texts), &[("IDE", 0, u32::MAX, "missing", None)]);
}

#[test]
fn machines_of_the_shared_files() {
    let Some(folder) = fixtures() else { return };
    let machine = |name| read(unpacked(&folder, name)).machine();
    let first = machine("EC04F346-DB96-4700-AF5B-77B3C56C38BD.vmcx");
    is_generation_1(&first, r"C:\Disks\Default Generation 1.vhdx");
    assert_eq!(first.name.as_deref(), Some("Default Generation 1"));
    assert_eq!(first.id, "EC04F346-DB96-4700-AF5B-77B3C56C38BD".parse().ok());
    assert_eq!(first.version.unwrap().to_string(), "9.0");
    assert_eq!(first.created, Some(1_676_653_386)); // 2023-02-17T17:03:06Z
    assert_eq!(first.notes.as_deref(), Some(""));
    assert_eq!((first.automatic_checkpoints, first.merge_pending), (Some(false), Some(false)));
    let second = machine("test.vmcx");
    is_generation_1(&second, r"C:\Users\Public\Documents\Hyper-V\Virtual Hard Disks\Other Location.vhdx");
    assert_eq!(second.created, Some(1_629_668_460)); // 2021-08-22T21:41:00Z
    let xml = machine(XML);
    is_generation_1(&xml, r"C:\Disks\Default Generation 1.vhdx");
    assert_eq!(xml.id, "B90AC31B-C6F8-479F-9B91-07B894A6A3F6".parse().ok());
    assert_eq!((xml.version.unwrap().to_string().as_str(), xml.created), ("5.0", None));
    let state = machine("test.VMRS");
    assert_eq!((state.version.unwrap().major, state.name), (9, None));
}

#[test]
fn the_register_of_a_host() {
    let Some(folder) = fixtures() else { return };
    let register = read(unpacked(&folder, "data.vmcx")).register();
    assert!(register.warnings.is_empty());
    let ids: Vec<String> = register.machines.iter().map(|machine| machine.id.to_string()).collect();
    let starts: Vec<&str> = ids.iter().map(|id| &id[..8]).collect();
    assert_eq!(starts, ["ec04f346", "993f7b33", "a5b56431", "4c57771a"]);
    let expected = r"C:\VM\Other Generation 1\Virtual Machines\A5B56431-CA94-482A-B70A-F1F2B12373BE.vmcx";
    assert_eq!(register.machines[2].path, expected);
}

#[test]
fn a_generated_machine() {
    let wanted = ConfiguredMachine {
        name: "a\nb".to_owned(),
        version: (12, 3),
        disks: vec![(0, r"C:\a.vhdx".to_owned()), (63, r"\\server\share\b.avhdx".to_owned())],
        ..ConfiguredMachine::default()
    };
    let configuration = read_soundly(&wanted.container());
    let machine = configuration.machine();
    assert!(machine.warnings.is_empty(), "{:?}", machine.warnings);
    assert_eq!(machine.name.as_deref(), Some("a\nb"));
    assert_eq!(machine.generation, Some(2));
    assert_eq!(machine.version.unwrap().to_string(), "12.3");
    assert_eq!((machine.automatic_checkpoints, machine.merge_pending), (Some(true), Some(false)));
    let expected = [
        ("SCSI".to_owned(), 0, 0, "VHD", Some(r"C:\a.vhdx")),
        ("SCSI".to_owned(), 0, 63, "VHD", Some(r"\\server\share\b.avhdx")),
    ];
    assert_eq!(machine.drives.iter().map(drive).collect::<Vec<_>>(), expected);
    let instance: Guid = "5ab50e36-f1bc-4a53-9e81-80d1fcc18237".parse().unwrap();
    assert_eq!((machine.drives[0].controller, machine.drives[0].instance), (ControllerKind::Scsi, instance));
    assert!(configuration.register().machines.is_empty());
}

fn with_property(key: impl Fn((u16, u32)) -> Vec<ContainerKey>) -> Configuration {
    let mut container = Container::new();
    let root = container.add(ContainerKey::node(ROOT, "configuration"));
    let properties = container.add(ContainerKey::node(root, "properties"));
    for key in key(properties) {
        container.add(key);
    }
    read_soundly(&container)
}

#[test]
fn values_that_are_not_understood_are_warnings() {
    let cases: [fn((u16, u32)) -> ContainerKey; 9] = [
        |node| ContainerKey::int(node, "name", 1),
        |node| ContainerKey::text(node, "global_id", "no GUID"),
        |node| ContainerKey::text(node, "global_id", "{282874FC-59D6-4F30-BC04-5FDD909C82E}"),
        |node| ContainerKey::int(node, "subtype", 2),
        |node| ContainerKey::int(node, "subtype", -1),
        |node| ContainerKey::int(node, "version", 65536),
        |node| ContainerKey::text(node, "version", "9.0"),
        |node| ContainerKey::bytes(node, "creation_time", &[1; 7]),
        |node| ContainerKey::int(node, "creation_time", 1),
    ];
    for case in cases {
        let configuration = with_property(|node| vec![case(node)]);
        let machine = configuration.machine();
        let key = configuration.tree().keys().last().unwrap();
        assert_eq!(machine.warnings.listed.len(), 1);
        assert_eq!(machine.warnings.listed[0].problem, Problem::Unexpected(key.path()));
        assert_eq!(machine.warnings.listed[0].offset, key.offset());
        let mut without_warnings = machine;
        without_warnings.warnings = Default::default();
        assert_eq!(without_warnings, read(Container::new().build()).machine());
    }
}

#[test]
fn times_at_their_limits() {
    for (filetime, expected) in [
        (0u64, None),
        (1, Some(-11_644_473_600)),
        (116_444_736_000_000_000, Some(0)),
        (u64::MAX, Some(1_833_029_933_770)),
    ] {
        let configuration =
            with_property(|node| vec![ContainerKey::bytes(node, "creation_time", &filetime.to_le_bytes())]);
        let machine = configuration.machine();
        assert_eq!(machine.created, expected);
        assert!(machine.warnings.is_empty());
    }
}

#[test]
fn repeated_keys_with_other_values_are_reported() {
    let configuration = with_property(|node| {
        vec![ContainerKey::text(node, "name", "first"), ContainerKey::text(node, "NAME", "second")]
    });
    let machine = configuration.machine();
    assert_eq!(machine.name.as_deref(), Some("first"));
    let expected = Problem::Repeated("/configuration/properties/name".into());
    assert_eq!(machine.warnings.listed[0].problem, expected);
}

#[test]
fn a_generated_register_of_a_host() {
    let container = with_texts(&[
        ("Configurations/RegID", "A4F9FA6C-ACDE-42F0-9A9E-B2222CF7ED42"),
        ("Configurations/ResourceTypes/_03CE9A94-E887-40F3-A166-D9E54C42A5BF_", r"C:\type.vmcx"),
        ("Configurations/VirtualMachines/_EC04F346-DB96-4700-AF5B-77B3C56C38BD_", r"C:\VMs\a.vmcx"),
        ("Configurations/VirtualMachinesCache/_EC04F346-DB96-4700-AF5B-77B3C56C38BD_", r"C:\cache\a.vmcx"),
        ("Configurations/VirtualMachines/_993f7b33-6057-4d1e-a1fe-a1a1d77be974_", r"\\server\b.vmcx"),
    ]);
    let register = read_soundly(&container).register();
    assert!(register.warnings.is_empty());
    let found: Vec<(String, &str)> =
        register.machines.iter().map(|machine| (machine.id.to_string(), machine.path.as_str())).collect();
    let expected = [
        ("ec04f346-db96-4700-af5b-77b3c56c38bd".to_owned(), r"C:\VMs\a.vmcx"),
        ("993f7b33-6057-4d1e-a1fe-a1a1d77be974".to_owned(), r"\\server\b.vmcx"),
    ];
    assert_eq!(found, expected);
}

/// The configuration has a warning about each malformed text, so the typed views add none.
#[test]
fn malformed_texts_have_one_warning() {
    let mut container = Container::new();
    for path in [["configuration", "properties", "name"], ["Configurations", "VirtualMachines", MALFORMED]] {
        let root = container.add(ContainerKey::node(ROOT, path[0]));
        let node = container.add(ContainerKey::node(root, path[1]));
        container.add(ContainerKey::new(node, path[2], 6, with_len(&[0, 0xd8])));
    }
    let configuration = read(container.build());
    let expected =
        ["name", MALFORMED].map(|name| Problem::Value { name: name.to_owned(), value_type: ValueType::Text });
    assert_eq!(problems(&configuration), expected.iter().collect::<Vec<_>>());
    let (machine, register) = (configuration.machine(), configuration.register());
    assert_eq!((machine.name, register.machines.len()), (None, 0));
    assert_eq!((machine.warnings.listed, register.warnings.listed), (vec![], vec![]));
}

const MALFORMED: &str = "_282874FC-59D6-4F30-BC04-5FDD909C82E0_";

#[test]
fn registers_with_other_keys() {
    let mut container = Container::new();
    let root = container.add(ContainerKey::node(ROOT, "Configurations"));
    let machines = container.add(ContainerKey::node(root, "VirtualMachines"));
    container.add(ContainerKey::text(machines, "_282874FC-59D6-4F30-BC04-5FDD909C82E0_", r"C:\a.vmcx"));
    container.add(ContainerKey::text(machines, "no GUID", r"C:\b.vmcx"));
    container.add(ContainerKey::int(machines, "_282874FC-59D6-4F30-BC04-5FDD909C82E1_", 1));
    let register = read_soundly(&container).register();
    let path = |name| Problem::Unexpected(format!("/Configurations/VirtualMachines/{name}"));
    let expected = [path("no GUID"), path("_282874FC-59D6-4F30-BC04-5FDD909C82E1_")];
    let found: Vec<_> = register.warnings.listed.iter().map(|warning| warning.problem.clone()).collect();
    assert_eq!((register.machines.len(), &found[..]), (1, &expected[..]));
}
