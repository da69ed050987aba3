//! Work that runs in its own process: making chains, the limits, and this library as a program would use it.

use std::path::PathBuf;

use anyhow::Result;

use super::{chain, estate, files, metadata, readers};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Worker {
    /// Make a chain
    MakeChain {
        folder: PathBuf,
        #[command(flatten)]
        spec: chain::Spec,
    },
    /// Make a large disk, and a child that touches one block in a hundred
    MakeTouched { folder: PathBuf, size: u64 },
    /// Make families of sparse disks, and a list of their paths
    MakeFamilies { folder: PathBuf, families: u64, members: u64 },
    /// Make families of sparse disks with their machines, and lists of the disks and configurations
    MakeEstate { folder: PathBuf, families: usize },
    /// Open each disk and configuration of an estate; print the seconds
    OpenEstate { folder: PathBuf },
    /// Make a chain of two empty disks of this many bytes with blocks of 1 MiB
    MakeLarge { folder: PathBuf, size: u64 },
    /// Make the map of a disk; print the seconds
    MakeMap { leaf: PathBuf },
    /// Allocate this many bytes of memory and free them, so that the next timed process does not wait until the host of
    /// a virtual machine provides memory
    TakeMemory { bytes: usize },
    /// Copy runs into an existing file, and sync it
    CopyExtents {
        list: PathBuf,
        source: PathBuf,
        target: PathBuf,
        #[arg(long)]
        in_kernel: bool,
    },
    /// Copy the data of a file
    CopySparse {
        source: PathBuf,
        target: PathBuf,
        #[arg(long)]
        sync: bool,
    },
    /// Read the data of a file
    ScanData { file: PathBuf },
    /// Read a file from its first byte to its last, 1 MiB at a time; print the seconds
    Read { file: PathBuf },
    /// Read 4 KiB from many places of a file; print the seconds
    Random { file: PathBuf },
    /// Read a disk through the library, like `read` or `random` read a file; print the seconds
    ReadDisk {
        #[arg(value_enum)]
        way: readers::Way,
        leaf: PathBuf,
        #[arg(long)]
        random: bool,
    },
    /// Open a chain and read from it, many times; print the seconds of one
    OpenChain { leaf: PathBuf },
    /// Read the bytes that are needed to open the files in a list, so many times; print the seconds of one time
    ReadHeaders {
        list: PathBuf,
        #[arg(long, default_value_t = 1)]
        times: u32,
    },
    /// Iterate over the extents of a child with a bitmap of long runs; print the seconds
    ScanBitmap,
    /// Read the bitmap that `scan-bitmap` uses; print the seconds
    ReadBitmap,
    /// Make a disk of this many bytes with blocks of 1 MiB; one in 64 is present, and is a hole in the file
    MakeSpread { file: PathBuf, size: u64 },
    /// Validate the placement of a disk's blocks; print the seconds
    ValidatePlacement { leaf: PathBuf },
    /// Plan a merge; print the seconds
    MakePlan { leaf: PathBuf },
    /// Read the block allocation tables and bitmaps that `make-plan` needs; print the seconds
    ReadBitmapFile { leaf: PathBuf },
}

impl Worker {
    pub(crate) fn run(&self) -> Result<()> {
        match self {
            Self::MakeChain { folder, spec } => chain::make(spec, folder),
            Self::MakeTouched { folder, size } => chain::make_touched(*size, folder),
            Self::MakeFamilies { folder, families, members } => {
                metadata::make_families(folder, *families, *members)
            }
            Self::MakeEstate { folder, families } => estate::make(folder, *families),
            Self::OpenEstate { folder } => print(estate::open_all(folder)?),
            Self::MakeLarge { folder, size } => estate::make_large(folder, *size),
            Self::MakeMap { leaf } => print(estate::map(leaf)?),
            Self::TakeMemory { bytes } => {
                std::hint::black_box(vec![1u8; *bytes]);
                Ok(())
            }
            Self::CopyExtents { list, source, target, in_kernel } => {
                files::copy_extents(list, source, target, *in_kernel)
            }
            Self::CopySparse { source, target, sync } => files::copy_sparse(source, target, *sync),
            Self::ScanData { file } => readers::scan(file),
            Self::Read { file } => print(readers::read_file(file)?),
            Self::Random { file } => print(readers::random_file(file)?),
            Self::ReadDisk { way, leaf, random } => print(readers::read_disk(*way, leaf, *random)?),
            Self::OpenChain { leaf } => print(readers::open_chain(leaf)?),
            Self::ReadHeaders { list, times } => print(metadata::read_headers(list, *times)?),
            Self::ScanBitmap => print(metadata::scan_bitmap()?),
            Self::ReadBitmap => print(metadata::read_bitmap()?),
            Self::MakeSpread { file, size } => metadata::make_spread(file, *size),
            Self::ValidatePlacement { leaf } => print(metadata::validate_placement(leaf)?),
            Self::MakePlan { leaf } => print(metadata::plan(leaf)?),
            Self::ReadBitmapFile { leaf } => print(metadata::read_bitmap_file(leaf)?),
        }
    }
}

fn print(seconds: f64) -> Result<()> {
    println!("{seconds}");
    Ok(())
}
