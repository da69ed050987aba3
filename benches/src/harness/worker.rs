//! Work that runs in its own process: making chains, the limits, and this library as a program would use it.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::plain::{self, Way};
use super::{chain, estate, metadata, readers, server};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Worker {
    /// Make a chain
    MakeChain {
        folder: PathBuf,
        #[command(flatten)]
        spec: chain::Spec,
    },
    /// Make a large disk, and levels that each touch one block in a hundred
    MakeTouched {
        folder: PathBuf,
        size: u64,
        #[arg(default_value_t = 1)]
        depth: usize,
    },
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
    /// Allocate this many bytes as memory and then in the page cache, and free them, so that the next timed process does
    /// not wait until the host of a virtual machine provides memory
    TakeMemory { bytes: u64, folder: PathBuf },
    /// Copy the pieces in a list, or else the data of a file, into a file, and sync it
    CopyPlain {
        #[command(flatten)]
        way: Way,
        #[arg(long)]
        list: Option<PathBuf>,
        target: PathBuf,
        sources: Vec<PathBuf>,
    },
    /// Read the pieces in a list, or else the data of a file
    ReadPlain {
        #[command(flatten)]
        way: Way,
        #[arg(long)]
        list: Option<PathBuf>,
        sources: Vec<PathBuf>,
        /// Print the seconds
        #[arg(long)]
        seconds: bool,
    },
    /// Serve files over HTTP, and delay each answer by so many ms
    Serve { delay: u64, files: Vec<PathBuf> },
    /// Read the pieces in a list from a web server, with a connection for each thread
    ReadHttp {
        #[command(flatten)]
        way: Way,
        #[arg(long)]
        list: PathBuf,
        /// The host and port of the server
        address: String,
        /// The paths of the files on the server
        sources: Vec<String>,
    },
    /// Read a file from its first byte to its last, 1 MiB at a time; print the seconds
    Read {
        file: PathBuf,
        /// Fill the buffer with zeros where the file has a hole
        #[arg(long)]
        data_only: bool,
    },
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
    /// Read the block allocation tables and the leaf's bitmaps; print the seconds
    ReadBitmapFile {
        leaf: PathBuf,
        /// Read only the leaf's table
        #[arg(long)]
        only_leaf: bool,
    },
}

impl Worker {
    pub(crate) fn run(&self) -> Result<()> {
        match self {
            Self::MakeChain { folder, spec } => chain::make(spec, folder),
            Self::MakeTouched { folder, size, depth } => chain::make_touched(*size, *depth, folder),
            Self::MakeFamilies { folder, families, members } => {
                metadata::make_families(folder, *families, *members)
            }
            Self::MakeEstate { folder, families } => estate::make(folder, *families),
            Self::OpenEstate { folder } => print(estate::open_all(folder)?),
            Self::MakeLarge { folder, size } => estate::make_large(folder, *size),
            Self::MakeMap { leaf } => print(estate::map(leaf)?),
            Self::TakeMemory { bytes, folder } => take_memory(*bytes, folder),
            Self::CopyPlain { way, list, target, sources } => {
                plain::copy(list.as_deref(), sources, target, way)
            }
            Self::ReadPlain { way, list, sources, seconds } => {
                let begin = Instant::now();
                plain::read(list.as_deref(), sources, way)?;
                if *seconds { print(begin.elapsed().as_secs_f64()) } else { Ok(()) }
            }
            Self::Serve { delay, files } => server::serve(files, Duration::from_millis(*delay)),
            Self::ReadHttp { way, list, address, sources } => plain::read_http(list, address, sources, way),
            Self::Read { file, data_only } => print(readers::read_file(file, *data_only)?),
            Self::Random { file } => print(readers::random_file(file)?),
            Self::ReadDisk { way, leaf, random } => print(readers::read_disk(*way, leaf, *random)?),
            Self::OpenChain { leaf } => print(readers::open_chain(leaf)?),
            Self::ReadHeaders { list, times } => print(metadata::read_headers(list, *times)?),
            Self::ScanBitmap => print(metadata::scan_bitmap()?),
            Self::ReadBitmap => print(metadata::read_bitmap()?),
            Self::MakeSpread { file, size } => metadata::make_spread(file, *size),
            Self::ValidatePlacement { leaf } => print(metadata::validate_placement(leaf)?),
            Self::MakePlan { leaf } => print(metadata::plan(leaf)?),
            Self::ReadBitmapFile { leaf, only_leaf } => print(metadata::read_bitmap_file(leaf, *only_leaf)?),
        }
    }
}

fn take_memory(bytes: u64, folder: &Path) -> Result<()> {
    const PART: usize = 1 << 20;
    std::hint::black_box(vec![1_u8; usize::try_from(bytes)?]);
    let (path, part) = (folder.join("memory"), vec![1; PART]);
    let mut file = File::create(&path)?;
    for _ in (0..bytes).step_by(PART) {
        file.write_all(&part)?;
    }
    // Nothing was synced, so nothing is written to the device.
    Ok(fs::remove_file(path)?)
}

fn print(seconds: f64) -> Result<()> {
    println!("{seconds}");
    Ok(())
}
