//! Other programs that a user could use: finds them, and makes the same disks in formats that they read.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::chain::Files;
use super::measure::Step;

/// Returns the path of a program, if it is installed.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// Returns the path of a Python that has a module.
pub(crate) fn python_with(module: &str) -> Option<PathBuf> {
    let python = program("python3")?;
    let mut import = Command::new(&python);
    import.args(["-c", &format!("import {module}")]).stdout(Stdio::null()).stderr(Stdio::null());
    import.status().ok()?.success().then_some(python)
}

/// Reads a disk and its ancestors with libvhdi: `seq`, `rand`, or once (`open`).
///
/// Its arguments are the files, leaf first, because libvhdi does not find these parents itself. Prints the seconds
/// without opening.
const PYVHDI: &str = r"
import random, sys, time
import pyvhdi
files = []
for path in sys.argv[2:]:
    file = pyvhdi.file(); file.open(path); files.append(file)
for child, parent in reversed(list(zip(files, files[1:]))):
    child.set_parent(parent)
file = files[0]; size = file.get_media_size()
count = 200000
begin = time.monotonic()
if sys.argv[1] == 'seq':
    for at in range(0, size, 1 << 20):
        file.read_buffer_at_offset(min(1 << 20, size - at), at)
    taken = time.monotonic() - begin
elif sys.argv[1] == 'rand':
    part = count // 100
    for _ in range(part):
        file.read_buffer_at_offset(4096, random.randrange(size // 4096) * 4096)
    taken = (time.monotonic() - begin) * 100
else:
    file.read_buffer_at_offset(4096, size // 8192 * 4096)
    taken = time.monotonic() - begin
print(taken)
";

pub(crate) fn pyvhdi(python: &Path, way: &str, chain: &Files) -> Step {
    let files = (0..=chain.depth).rev().map(|layer| chain.layer(layer));
    files.fold(Step::new(python, ["-c", PYVHDI, way]), Step::arg)
}

/// A form of qcow2.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Qcow2 {
    /// The part of the file names for this form.
    pub(crate) name: &'static str,
    options: &'static str,
}

/// The default: a write of 4 KiB takes a whole cluster.
pub(crate) const CLUSTERS: Qcow2 = Qcow2 { name: "64k", options: "cluster_size=64k" };
/// Subclusters of 4 KiB.
pub(crate) const SUBCLUSTERS: Qcow2 =
    Qcow2 { name: "subclusters", options: "cluster_size=128k,extended_l2=on" };

/// Makes the same chain in qcow2, in the same folder, and verifies the leaf.
///
/// Returns the paths, base first.
pub(crate) fn qcow2_chain(qemu_img: &Path, chain: &Files, form: Qcow2) -> Result<Vec<PathBuf>> {
    let path = |layer: usize| chain.folder.join(qcow2_name(layer, form));
    let made: Vec<PathBuf> = (0..=chain.depth).map(path).collect();
    if made.last().is_some_and(|leaf| leaf.exists()) {
        return Ok(made);
    }
    for (layer, target) in made.iter().enumerate() {
        let create = match layer.checked_sub(1) {
            None => {
                let size = chain.expected().metadata()?.len().to_string();
                Step::new(qemu_img, ["create", "-q", "-f", "qcow2", "-o", form.options]).arg(target).arg(size)
            }
            Some(parent) => Step::new(qemu_img, ["create", "-q", "-f", "qcow2", "-o", form.options])
                .arg("-F")
                .arg("qcow2")
                .arg("-b")
                .arg(qcow2_name(parent, form))
                .arg(target),
        };
        create.run()?;
        let convert = ["convert", "-n", "--target-is-zero", "-f", "raw", "-O", "qcow2"];
        Step::new(qemu_img, convert).arg(chain.delta(layer)).arg(target).run()?;
    }
    verify_image(qemu_img, "qcow2", &made[chain.depth], &chain.expected())?;
    Ok(made)
}

pub(crate) fn qcow2_name(layer: usize, form: Qcow2) -> String {
    format!("q{layer:02}.{}.qcow2", form.name)
}

/// Checks that QEMU reads the expected content from an image.
pub(crate) fn verify_image(qemu_img: &Path, format: &str, image: &Path, expected: &Path) -> Result<()> {
    let mut compare = Command::new(qemu_img);
    compare.args(["compare", "-q", "-f", format, "-F", "raw"]).arg(image).arg(expected);
    match compare.status().context("qemu-img compare")?.success() {
        true => Ok(()),
        false => bail!("{} differs from {}", image.display(), expected.display()),
    }
}

/// Returns a process that syncs the data of a file.
pub(crate) fn sync_data(path: &Path) -> Step {
    Step::new("sync", ["-d"]).arg(path)
}
