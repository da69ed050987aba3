//! Makes an estate: the folders of a Hyper-V host with machines, checkpoints and mishaps, whose truth is known.
//!
//! [`Estate::generate`] writes real files. The same options always give the same estate. All times are whole seconds.

mod bulk;
mod configuration;
mod disk;
mod history;
mod mishaps;
mod names;
mod truth;
mod write;

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use vhdx::Guid;

pub use self::bulk::{Bulk, BulkOptions, generate_bulk};
pub use self::disk::{EstateDisk, EstateFile, EstateLink};
pub use self::truth::EstateProblem;

use self::history::History;

/// How large an estate is, and how many things went wrong in it.
///
/// Each mishap strikes another machine. If there are too few machines, the last mishaps do not happen:
/// [`Estate::happened`] lists those that did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EstateOptions {
    /// Different seeds give different estates.
    pub seed: u64,
    /// The number of machines.
    pub machines: usize,
    /// The number of checkpoints of all machines together.
    pub checkpoints: usize,
    /// The time at which the estate is looked at. No file is newer.
    pub now: SystemTime,
    /// The mishaps.
    pub mishaps: Vec<Mishap>,
    /// The number of disks without children that belong to no machine.
    pub ownerless: usize,
    /// The number of machines whose disks are children of one common base.
    pub clones: usize,
    /// Whether names contain line breaks, HTML, formulas and other dangerous text.
    pub hostile_names: bool,
}

impl Default for EstateOptions {
    fn default() -> Self {
        let twice = [Mishap::Damaged, Mishap::Renamed, Mishap::Lost, Mishap::Legacy];
        Self {
            seed: 1,
            machines: 30,
            checkpoints: 200,
            now: UNIX_EPOCH + Duration::from_secs(1_795_000_000), // 2026-11-18
            mishaps: Mishap::ALL.into_iter().chain(twice).collect(),
            ownerless: 3,
            clones: 3,
            hostile_names: true,
        }
    }
}

impl EstateOptions {
    /// Returns the default options with another seed.
    pub fn with_seed(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// Returns an estate without mishaps.
    pub fn sound(seed: u64, machines: usize, checkpoints: usize) -> Self {
        Self { seed, machines, checkpoints, mishaps: Vec::new(), ownerless: 0, clones: 0, ..Self::default() }
    }
}

/// Something unusual about one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Mishap {
    /// One of its disks is damaged.
    Damaged,
    /// One of its disks was renamed.
    Renamed,
    /// One of its disks was moved to another folder of the estate.
    Moved,
    /// A disk between others was moved away from the estate.
    Lost,
    /// All its disks are missing.
    Missing,
    /// Another machine names its disks, too.
    Shared,
    /// Its configuration names disks that other disks depend on.
    Outdated,
    /// Its clock was wrong: it and its last checkpoint were made in the year 2099.
    Future,
    /// Its configuration is damaged.
    Unreadable,
    /// Its configurations have the legacy format, which stores no time.
    Legacy,
}

impl Mishap {
    /// All mishaps.
    pub const ALL: [Self; 10] = [
        Self::Damaged,
        Self::Renamed,
        Self::Moved,
        Self::Lost,
        Self::Missing,
        Self::Shared,
        Self::Outdated,
        Self::Future,
        Self::Unreadable,
        Self::Legacy,
    ];
}

/// An estate on the file system, and the truth about it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Estate {
    /// The folder that contains everything.
    pub root: PathBuf,
    /// The time at which the estate is looked at.
    pub now: SystemTime,
    /// All machines, in no order. The one with a readable configuration can be found.
    pub machines: Vec<EstateMachine>,
    /// All disks, each parent before its children. Some files are damaged or gone.
    pub disks: Vec<EstateDisk>,
    /// The mishaps that happened, with the index of the machine.
    pub happened: Vec<(Mishap, usize)>,
}

/// A machine of an [`Estate`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EstateMachine {
    /// The name.
    pub name: String,
    /// The GUID.
    pub id: Guid,
    /// 1 or 2.
    pub generation: u8,
    /// Major and minor version.
    pub version: (u8, u8),
    /// The time of creation, if the configuration stores it.
    pub created: Option<SystemTime>,
    /// The notes of the administrator.
    pub notes: Option<String>,
    /// The configuration file.
    pub configuration: PathBuf,
    /// Whether the configuration file is damaged, so that the machine is not found.
    pub is_unreadable: bool,
    /// The drives. Each has the newest disk, unless the configuration is outdated.
    pub drives: Vec<EstateDrive>,
    /// The checkpoints, oldest first.
    pub checkpoints: Vec<EstateCheckpoint>,
    pub(self) folder: String,
    /// The folder on the host.
    pub(self) host: String,
    /// The GUID of the device with the controller.
    pub(self) instance: Guid,
    pub(self) is_legacy: bool,
}

/// A drive of an [`EstateMachine`] or an [`EstateCheckpoint`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EstateDrive {
    /// The location at the only controller.
    pub location: u32,
    /// The path of the disk on the host.
    pub stored_path: String,
    /// The disk that is meant, as an index into [`Estate::disks`]. Its file may have been renamed, damaged or gone.
    pub disk: usize,
}

/// A checkpoint of an [`EstateMachine`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EstateCheckpoint {
    /// The name.
    pub name: String,
    /// The GUID.
    pub id: Guid,
    /// When it was made.
    pub time: SystemTime,
    /// The time that its configuration stores.
    pub created: Option<SystemTime>,
    /// The configuration file.
    pub configuration: PathBuf,
    /// The drives, with the disks that the checkpoint froze.
    pub drives: Vec<EstateDrive>,
}

impl Estate {
    /// Writes an estate into an empty or new folder.
    ///
    /// # Errors
    /// The operating system's error.
    pub fn generate(root: &Path, options: &EstateOptions) -> io::Result<Self> {
        let mut history = History::new(root, options);
        history.happen();
        mishaps::strike(&mut history, options);
        let estate = history.into_estate();
        write::write(&estate)?;
        Ok(estate)
    }
}
