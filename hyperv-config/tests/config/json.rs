//! The JSON of keys and typed views, with the feature `serde`.

use hyperv_config::{Configuration, Problem};
use serde::Serialize;
use serde_json::{Value as Json, json, to_value};
use vhdx_testkit::ConfiguredMachine;
use vhdx_testkit::container::{Container, ContainerKey, ROOT, utf16, with_len};

use crate::common::{Views, read, read_soundly, with_texts};

fn json_of(value: impl Serialize) -> Json {
    to_value(value).unwrap()
}

#[test]
fn keys() {
    let mut container = Container::new();
    container.file_objects = vec![utf16("outside")];
    let outside = container.object_offset(0);
    let node = container.add(ContainerKey::node(ROOT, "node"));
    container.add(ContainerKey::int(node, "int", -1));
    container.add(ContainerKey::new(node, "uint", 4, u64::MAX.to_le_bytes().into()));
    container.add(ContainerKey::new(node, "double", 5, 0.5f64.to_le_bytes().into()));
    container.add(ContainerKey::text(node, "text", "a\n\u{1f600}"));
    container.add(ContainerKey::bytes(node, "bytes", &[0, 255]));
    container.add(ContainerKey::truth(node, "bool", true));
    container.add(ContainerKey::object(node, "object", 6, outside, 14));
    container.add(ContainerKey::new(node, "malformed", 6, with_len(&[1])));
    let configuration = read(container.build());
    let found = json_of(configuration.tree());
    let expected = [
        ("/node", json!("node")),
        ("/node/int", json!({ "int": -1 })),
        ("/node/uint", json!({ "uint": u64::MAX })),
        ("/node/double", json!({ "double": 0.5 })),
        ("/node/text", json!({ "text": "a\n\u{1f600}" })),
        ("/node/bytes", json!({ "bytes": [0, 255] })),
        ("/node/bool", json!({ "bool": true })),
        ("/node/object", json!({ "object": { "value_type": "text", "offset": outside, "len": 14 } })),
        ("/node/malformed", json!({ "malformed": { "value_type": "text", "bytes": [1] } })),
    ];
    let offsets = configuration.tree().keys().map(|key| key.offset());
    let expected: Vec<Json> = expected
        .iter()
        .zip(offsets)
        .map(|((path, value), offset)| json!({ "path": path, "offset": offset, "value": value }))
        .collect();
    assert_eq!(found, Json::from(expected));
    let offset = configuration.tree().find("/node/malformed").unwrap().offset();
    let problem = json!({ "value": { "name": "malformed", "value_type": "text" } });
    let expected = json!({ "listed": [{ "offset": offset, "problem": problem }], "more": 0 });
    assert_eq!(json_of(configuration.warnings()), expected);
    assert_eq!(json_of(configuration.format()), "container");
    assert_eq!(json_of(Problem::KeyTable), "key_table");
}

#[test]
fn a_machine() {
    let configured = ConfiguredMachine { disks: vec![(63, r"C:\a.vhdx".to_owned())], ..Default::default() };
    let configuration = read_soundly(&configured.container());
    let drive = "/configuration/_5ab50e36-f1bc-4a53-9e81-80d1fcc18237_/controller0/drive63";
    let expected = json!({
        "name": "server",
        "id": "282874fc-59d6-4f30-bc04-5fdd909c82e0",
        "generation": 2,
        "version": { "major": 9, "minor": 0 },
        "created": 1_676_633_158,
        "notes": "",
        "drives": [{
            "controller": "scsi",
            "instance": "5ab50e36-f1bc-4a53-9e81-80d1fcc18237",
            "number": 0,
            "location": 63,
            "kind": "vhd",
            "path": r"C:\a.vhdx",
            "offset": configuration.tree().find(drive).unwrap().offset(),
        }],
        "automatic_checkpoints": true,
        "merge_pending": false,
        "warnings": { "listed": [], "more": 0 },
    });
    assert_eq!(json_of(configuration.machine()), expected);
}

#[test]
fn unknown_controllers_and_kinds() {
    let device = "deaeeed3-4119-4b44-95cf-a73604b76971";
    let path = format!("configuration/_{device}_/controller0/drive0/type");
    let configuration = read_soundly(&with_texts(&[(&path, "new")]));
    let drive = &json_of(configuration.machine())["drives"][0];
    assert_eq!(drive["controller"], json!({ "other": device }));
    assert_eq!((&drive["kind"], &drive["path"]), (&json!({ "other": "new" }), &Json::Null));
}

#[test]
fn a_register() {
    let path = "Configurations/VirtualMachines/_EC04F346-DB96-4700-AF5B-77B3C56C38BD_";
    let register = read_soundly(&with_texts(&[(path, r"C:\a.vmcx")])).register();
    let expected = json!({
        "machines": [{ "id": "ec04f346-db96-4700-af5b-77b3c56c38bd", "path": r"C:\a.vmcx" }],
        "warnings": { "listed": [], "more": 0 },
    });
    assert_eq!(json_of(register), expected);
    let xml = Configuration::read(b"<configuration/>".to_vec()).unwrap();
    assert_eq!(json_of(xml.format()), "xml");
}
