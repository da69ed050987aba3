//! Writes the golden file: a packed differencing child as this project writes it.
//!
//! The child is made on a base like one of Windows, and then written to. Random values are replaced by fixed ones.

use std::fs;
use std::path::{Path, PathBuf};

use vhdx::format::file_identifier::FileTypeIdentifier;
use vhdx::format::header::{self, Header};
use vhdx::ops::{self, ChildOptions};
use vhdx::{Chain, DiskOffset, FolderResolver, Guid, IfExists, NewFile, NoProgress, VhdxMut};
use vhdx_testkit::{Block, Image, SparseImage, pack};

const MIB: u64 = 1 << 20;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).unwrap_or_else(|| "testdata/golden".into()));
    fs::create_dir_all(&folder)?;
    let [base, child] = ["base.vhdx", "child.avhdx"].map(|name| folder.join(name));
    image().sparse().write_to(&base)?;
    let made = make(&base, &child);
    let packed = made.and_then(|()| Ok(pack(&with_fixed_values(&child)?)));
    for file in [&base, &child] {
        let _ = fs::remove_file(file);
    }
    let path = folder.join("child.packed");
    fs::write(&path, packed?)?;
    println!("{}", path.display());
    Ok(())
}

/// Returns the base of the Windows 11 child in the collection, as far as a child shows it.
fn image() -> Image {
    let mut image = Image::dynamic(4 * MIB, 1 << 20);
    image.virtual_disk_id = Guid::from_u128(0x6b6d_02aa_8947_490f_aa2d_2e81_bb5c_6b28);
    image.data_write_guid = Guid::from_u128(0x0e38_2594_bdb1_4949_b894_da2d_8231_2c32);
    image.blocks.insert(0, Block::full(vec![1; 4096]));
    image
}

fn make(base: &Path, child: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let chain = Chain::open(base, &FolderResolver::default())?;
    let new = ops::new_child(&chain, child, &ChildOptions::default())?;
    let file = NewFile::create(child, IfExists::Replace)?;
    ops::create(&new.disk, &file, &NoProgress)?;
    file.commit()?;
    let mut disk = VhdxMut::open(child)?;
    for (at, byte) in [(0x2000, 0x0b), (0x10_2000, 0x0d), (0x30_2000, 0x11)] {
        disk.write_all_at(&[byte; 512], DiskOffset::new(at))?;
    }
    Ok(disk.close()?)
}

/// Reads the child, and replaces what differs between runs.
///
/// These are new GUIDs, old bytes in the clean log, and the version.
fn with_fixed_values(child: &Path) -> std::io::Result<SparseImage> {
    let mut file = SparseImage::read_from(child)?;
    for place in header::OFFSETS {
        let mut header =
            Header::parse(&file.read(place.get(), header::SIZE)).ok_or(std::io::ErrorKind::InvalidData)?;
        assert!(header.log_guid.is_nil(), "the log is dirty");
        file.zero(header.log_offset.get(), header.log_length.into());
        header.file_write_guid = Guid::from_u128(1);
        header.data_write_guid = Guid::from_u128(2);
        file.write(place.get(), &header.encode());
    }
    file.write(0, &FileTypeIdentifier { creator: "vhdx".to_owned() }.encode());
    Ok(file)
}
