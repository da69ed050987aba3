//! Makes many small families in seconds, for benchmarks and bounds of time and memory.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::image::{Image, MIB};
use crate::machine::ConfiguredMachine;
use crate::random::Random;
use crate::sparse::SparseImage;

/// How many files to make.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BulkOptions {
    /// Different seeds give different files.
    pub seed: u64,
    /// The number of families, each with a machine in a folder of its own.
    pub families: usize,
    /// The number of images in each family.
    pub images: usize,
    /// One image in so many is damaged; 0 for none.
    pub damaged_one_in: usize,
}

impl Default for BulkOptions {
    fn default() -> Self {
        Self { seed: 1, families: 500, images: 20, damaged_one_in: 20 }
    }
}

/// The files that [`generate_bulk`] made.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Bulk {
    /// All images, each parent before its children.
    pub images: Vec<PathBuf>,
    /// The damaged ones among them.
    pub damaged: Vec<PathBuf>,
    /// The configurations of the machines.
    pub configurations: Vec<PathBuf>,
}

/// Writes families of images without content, and the configurations of their machines.
///
/// Each image takes about 32 KiB. Every fifth image of a family begins a branch.
///
/// # Errors
/// The operating system's error.
pub fn generate_bulk(root: &Path, options: &BulkOptions) -> io::Result<Bulk> {
    let mut random = Random::new(options.seed);
    let mut bulk = Bulk::default();
    for family in 0..options.families {
        let folder = root.join(format!("vm{family:05}"));
        for part in ["Virtual Hard Disks", "Virtual Machines"] {
            fs::create_dir_all(folder.join(part))?;
        }
        let newest = write_family(&folder, &mut random, options, &mut bulk)?;
        bulk.configurations.push(write_configuration(&folder, &mut random, newest)?);
    }
    Ok(bulk)
}

/// Returns the name of the newest disk.
fn write_family(
    folder: &Path,
    random: &mut Random,
    options: &BulkOptions,
    bulk: &mut Bulk,
) -> io::Result<String> {
    let mut files: Vec<(String, Image)> = Vec::new();
    for number in 0..options.images {
        let parent = if number % 5 == 4 { number / 2 } else { number.saturating_sub(1) };
        let (name, mut image) = match files.get(parent) {
            None => ("disk.vhdx".to_owned(), Image::dynamic(64 * MIB, 1 << 20)),
            Some((parent, of)) => {
                let name = format!("disk_{}.avhdx", random.guid().to_string().to_uppercase());
                (name, Image::child_of(of, parent, 1 << 20))
            }
        };
        image.litter = false;
        (image.file_write_guid, image.data_write_guid) = (random.guid(), random.guid());
        if number == 0 {
            image.virtual_disk_id = random.guid();
        }
        let path = folder.join("Virtual Hard Disks").join(&name);
        let mut file = image.sparse();
        bulk.images.push(path.clone());
        if options.damaged_one_in > 0 && bulk.images.len().is_multiple_of(options.damaged_one_in) {
            file.zero(64 << 10, 128 << 10); // both headers
            bulk.damaged.push(path.clone());
        }
        write_parts(&file, &path)?;
        files.push((name, image));
    }
    Ok(files.pop().map_or_else(String::new, |(name, _)| name))
}

/// Writes only the sectors of 4 KiB that have content.
fn write_parts(image: &SparseImage, path: &Path) -> io::Result<()> {
    const PART: usize = 4096;
    let mut file = File::create(path)?;
    for (offset, page) in image.pages() {
        for (part, bytes) in page.chunks(PART).enumerate() {
            if bytes.iter().any(|&byte| byte != 0) {
                file.seek(SeekFrom::Start(offset + (part * PART) as u64))?;
                file.write_all(bytes)?;
            }
        }
    }
    file.set_len(image.size())
}

fn write_configuration(folder: &Path, random: &mut Random, newest: String) -> io::Result<PathBuf> {
    let name = folder.file_name().expect("a folder has a name").to_string_lossy().into_owned();
    let id = random.guid().to_string().to_uppercase();
    let disk = format!(r"D:\Hyper-V\{name}\Virtual Hard Disks\{newest}");
    let machine = ConfiguredMachine {
        name,
        id: id.clone(),
        instance: random.guid().to_string().to_uppercase(),
        disks: vec![(0, disk)],
        ..ConfiguredMachine::default()
    };
    let path = folder.join("Virtual Machines").join(format!("{id}.vmcx"));
    fs::write(&path, machine.container().build())?;
    Ok(path)
}
