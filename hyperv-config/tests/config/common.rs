//! What several tests share.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use hyperv_config::{
    Configuration, Error, ErrorKind, Limit, Machine, Problem, Register, Source, Tree, Value,
};
use serde_json::{Value as Json, json};
use vhdx_testkit::container::{Container, ContainerKey, ROOT};
use vhdx_testkit::{gunzip, shared};

/// The real files in `../shared` that have expected keys.
pub(crate) const WITH_KEYS: [&str; 5] = [
    "88D07DD7-705E-4A4F-BDAF-3418782784ED.VMRS",
    "EC04F346-DB96-4700-AF5B-77B3C56C38BD.vmcx",
    "data.vmcx",
    "test.VMRS",
    "test.vmcx",
];
pub(crate) const XML: &str = "B90AC31B-C6F8-479F-9B91-07B894A6A3F6.xml";

/// Returns the folder of real files, if this checkout has them and they can be unpacked.
pub(crate) fn fixtures() -> Option<PathBuf> {
    let folder = shared::folder("fixtures/config")?;
    shared::program("xz")?;
    Some(folder)
}

/// Returns the bytes of a real file.
pub(crate) fn unpacked(folder: &Path, name: &str) -> Vec<u8> {
    let unpacked = Command::new("xz").arg("-dc").arg(folder.join(format!("{name}.xz"))).output().unwrap();
    assert!(unpacked.status.success() && !unpacked.stdout.is_empty(), "{name}");
    unpacked.stdout
}

pub(crate) fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/openvmm")
}

pub(crate) const KEPT: &str = "88D07DD7-705E-4A4F-BDAF-3418782784ED";

/// Returns the bytes of the real file in this repository.
pub(crate) fn kept() -> Vec<u8> {
    gunzip(&testdata().join(format!("{KEPT}.vmrs.gz"))).unwrap()
}

/// The typed views of a configuration.
pub(crate) trait Views {
    fn machine(&self) -> Machine;
    fn register(&self) -> Register;
}

impl Views for Configuration {
    fn machine(&self) -> Machine {
        Machine::of(self)
    }

    fn register(&self) -> Register {
        Register::of(self)
    }
}

/// Returns a container with texts at paths below `/`, in this order. The nodes are made when they are needed.
pub(crate) fn with_texts(texts: &[(&str, &str)]) -> Container {
    let mut container = Container::new();
    let mut nodes = BTreeMap::from([("", ROOT)]);
    for (path, text) in texts {
        let mut parent = ROOT;
        let ends = path.match_indices('/').map(|(at, _)| at);
        for end in ends {
            let node = &path[..end];
            let name = node.rsplit('/').next().unwrap();
            parent = *nodes.entry(node).or_insert_with(|| container.add(ContainerKey::node(parent, name)));
        }
        container.add(ContainerKey::text(parent, path.rsplit('/').next().unwrap(), text));
    }
    container
}

pub(crate) fn read(bytes: Vec<u8>) -> Configuration {
    Configuration::read(bytes).unwrap()
}

#[track_caller]
pub(crate) fn read_soundly(container: &Container) -> Configuration {
    let configuration = read(container.build());
    assert_eq!(configuration.warnings().listed, []);
    configuration
}

pub(crate) fn error(bytes: Vec<u8>) -> Error {
    Configuration::read(bytes).unwrap_err()
}

/// Returns the limit that a result exceeds, and the offset.
#[track_caller]
pub(crate) fn limit<T: std::fmt::Debug>(result: Result<T, Error>) -> (Limit, Option<u64>) {
    let error = result.unwrap_err();
    match error {
        Error::TooLarge { limit, offset } => {
            assert_eq!((error.kind(), error.offset()), (ErrorKind::Unsupported, offset));
            (limit, offset)
        }
        other => panic!("{other}"),
    }
}

/// A file of any size. Past its content are zeros. It counts the bytes that are read from it.
#[derive(Debug)]
pub(crate) struct Sparse {
    pub(crate) size: u64,
    /// Parts of the file by their offsets.
    pub(crate) parts: Vec<(u64, Vec<u8>)>,
    pub(crate) read: AtomicU64,
}

impl Sparse {
    pub(crate) fn new(size: u64, content: Vec<u8>) -> Self {
        Self { size, parts: vec![(0, content)], read: AtomicU64::new(0) }
    }
}

impl Source for Sparse {
    fn size(&self) -> io::Result<u64> {
        Ok(self.size)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.read.fetch_add(buf.len() as u64, Ordering::Relaxed);
        buf.fill(0);
        let end = offset + buf.len() as u64;
        for (start, part) in &self.parts {
            let (from, to) = (offset.max(*start), end.min(start + part.len() as u64));
            if from < to {
                let place = |start| (from - start) as usize..(to - start) as usize;
                buf[place(offset)].copy_from_slice(&part[place(*start)]);
            }
        }
        Ok(())
    }
}

pub(crate) fn problems(configuration: &Configuration) -> Vec<&Problem> {
    configuration.warnings().listed.iter().map(|warning| &warning.problem).collect()
}

/// Returns the paths of all keys that are not nodes, in file order.
pub(crate) fn paths(tree: &Tree) -> Vec<String> {
    tree.keys().filter(|key| *key.value() != Value::Node).map(|key| key.path()).collect()
}

/// Returns the keys that are not nodes in the form of the expected answers: `[path, value type, value]`.
pub(crate) fn answer(tree: &Tree) -> Json {
    let json = |value: &Value| {
        Some(match value {
            Value::Node => return None,
            Value::Int(number) => (3, json!(number)),
            Value::Uint(number) => (4, json!(number)),
            Value::Double(number) => (5, json!(number)),
            Value::Text(text) => (6, json!(text)),
            Value::Bytes(bytes) => {
                let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                (7, json!(format!("hex:{hex}")))
            }
            Value::Bool(truth) => (8, json!(truth)),
            other => panic!("{other:?}"),
        })
    };
    let keys = tree.keys().filter_map(|key| {
        let (number, value) = json(key.value())?;
        Some(json!([key.path(), number, value]))
    });
    keys.collect()
}
