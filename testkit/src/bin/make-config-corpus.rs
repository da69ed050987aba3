//! Writes the seeds of the fuzz target `config` into a folder: small containers and XML files that together use every
//! structure.

use std::path::PathBuf;

use vhdx_testkit::ConfiguredMachine;
use vhdx_testkit::container::{Container, ContainerKey, KeyTable, ROOT, utf16};

fn main() -> std::io::Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).expect("the folder for the seeds"));
    std::fs::create_dir_all(&folder)?;
    for (name, bytes) in seeds() {
        std::fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}

const XML: &str = "<?xml version=\"1.0\"?><configuration><properties><name type=\"string\">a &amp; b</name>\
    <subtype type=\"integer\">1</subtype></properties><n><b type=\"bool\">True</b><c type=\"bytes\">AAEC</c>\
    <d type=\"string\"><![CDATA[x]]>&#65;</d></n></configuration>";

fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let machine = ConfiguredMachine::default().container();
    let marked: Vec<u8> = [0xff, 0xfe].into_iter().chain(utf16(XML)).collect();
    vec![
        ("machine", machine.build()),
        ("rich", rich().build()),
        ("dirty", dirty(machine).build()),
        ("xml", XML.into()),
        ("xml-utf16", marked),
        ("empty", Vec::new()),
    ]
}

/// Values of every type, file objects, two versions of one key table, and a chain of object tables.
fn rich() -> Container {
    let mut container = Container { object_slots: 3, ..Container::new() };
    container.file_objects = vec![utf16("outside"), vec![1; 9]];
    let (text, bytes) = (container.object_offset(0), container.object_offset(1));
    let root = container.add(ContainerKey::node(ROOT, "Configurations"));
    let node = container.add(ContainerKey::node(root, "VirtualMachines"));
    container.add(ContainerKey::text(node, "_282874FC-59D6-4F30-BC04-5FDD909C82E0_", r"C:\a.vmcx"));
    container.add(ContainerKey::object(node, "text", 6, text, 14));
    container.add(ContainerKey::object(node, "bytes", 7, bytes, 9));
    container.add(ContainerKey::new(node, "uint", 4, vec![1; 8]));
    container.add(ContainerKey::new(node, "double", 5, vec![2; 8]));
    container.add(ContainerKey { key_type: 1, ..ContainerKey::int(node, "free", 0) });
    let old = KeyTable { sequence: 0, keys: Vec::new(), ..container.tables[0].clone() };
    container.tables.push(old);
    container
}

/// The first key table is in the log, and half of it again.
fn dirty(mut container: Container) -> Container {
    let table = container.table_offset(0);
    let bytes = container.build()[table as usize..][..4096].to_vec();
    container.log = vec![(table, bytes.clone()), (table + 2048, bytes[2048..].to_vec())];
    container.log_count = 2;
    container
}
