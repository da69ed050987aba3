//! Mounts disks and serves them until they are unmounted.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use fuser::{Config, MountOption, SessionACL, SessionUnmounter};
use rustix::mount::UnmountFlags;

use crate::answers::{Answers, Owner};
use crate::error::{Error, Result};
use crate::file_system::FileSystem;
use crate::mountpoint::validate_mountpoint;
use crate::nodes::Nodes;
use crate::read_ahead;
use crate::report::{Report, Reporter};
use crate::tree::Tree;

/// How often [`Session::wait`] looks at its flag.
const POLL: Duration = Duration::from_millis(50);
/// How long a session waits for the end of its requests after it was unmounted.
const GRACE: Duration = Duration::from_secs(2);
/// The most threads.
const MAX_THREADS: usize = 64;

/// How disks are mounted.
#[derive(Clone)]
pub struct Options {
    /// All users of the host may read the files, not only the one who has mounted them.
    pub allow_other: bool,
    /// The number of requests that are answered at the same time: 1 to 64, and the nearest of them for other values.
    pub threads: usize,
    /// Gets a line about each failed read.
    pub report: Report,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("allow_other", &self.allow_other)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

/// Why a session has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Another program has removed the mount.
    Unmounted,
    /// The caller has asked for the end, and the mount is removed.
    Stopped,
    /// The caller has asked for the end, and the mount is removed. Programs that still have a file of it open get
    /// errors as soon as this process ends.
    StoppedInUse,
}

/// Mounted disks. They are unmounted when the session is dropped.
pub struct Session {
    mountpoint: PathBuf,
    /// The device number of the mount.
    device: u64,
    unmounter: SessionUnmounter,
    /// Gets the result of the threads at their end.
    ended: Receiver<io::Result<()>>,
    is_unmounted: bool,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("mountpoint", &self.mountpoint).finish_non_exhaustive()
    }
}

impl Session {
    /// Mounts disks over an empty folder, and begins to serve them.
    ///
    /// # Errors
    /// - [`Error::Tree`], [`Error::Mountpoint`]
    /// - [`Error::Mount`] if the kernel or `fusermount3` refuses
    pub fn mount(tree: Tree, mountpoint: &Path, options: &Options) -> Result<Self> {
        tree.validate()?;
        validate_mountpoint(mountpoint)?;
        let failed = |source| Error::Mount { path: mountpoint.to_owned(), source };
        let mountpoint = mountpoint.canonicalize().map_err(failed)?;
        let owner = Owner::this_user(options.allow_other);
        let answers = Answers::new(Nodes::new(tree), owner, Reporter::new(options.report.clone()));
        let mut session = fuser::Session::new(FileSystem::new(answers), &mountpoint, &config(options))
            .map_err(|source| Error::Mount { path: mountpoint.clone(), source })?;
        let unmounter = session.unmount_callable();
        let (sender, ended) = channel();
        let serve = move || {
            // The receiver is gone if the session was dropped. Then nobody asks for the result.
            let _ = sender.send(session.run());
        };
        thread::Builder::new().name("mount".to_owned()).spawn(serve).map_err(Error::Session)?;
        let mut session = Self { device: 0, mountpoint, unmounter, ended, is_unmounted: false };
        // From here on, dropping the session unmounts.
        session.device = fs::metadata(&session.mountpoint).map_err(Error::Session)?.dev();
        read_ahead::enlarge(&session.mountpoint);
        Ok(session)
    }

    /// Returns the absolute path of the mountpoint.
    pub fn mountpoint(&self) -> &Path {
        &self.mountpoint
    }

    /// Serves the disks until another program unmounts them, or until `stop` is set. Then unmounts them.
    ///
    /// # Errors
    /// - [`Error::Session`] if the kernel ends the session with an error
    /// - [`Error::Unmount`] if the mount cannot be removed
    pub fn wait(mut self, stop: &AtomicBool) -> Result<End> {
        loop {
            match self.ended.recv_timeout(POLL) {
                Ok(result) => {
                    self.is_unmounted = true;
                    return result.map(|()| End::Unmounted).map_err(Error::Session);
                }
                Err(RecvTimeoutError::Timeout) if stop.load(Ordering::Relaxed) => return self.stop(),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::Session(io::Error::other("the threads have ended without a result")));
                }
            }
        }
    }

    fn stop(&mut self) -> Result<End> {
        self.unmount();
        match self.ended.recv_timeout(GRACE) {
            Ok(_) | Err(RecvTimeoutError::Disconnected) => Ok(End::Stopped),
            Err(RecvTimeoutError::Timeout) if self.is_mounted() => {
                Err(Error::Unmount { path: self.mountpoint.clone() })
            }
            Err(RecvTimeoutError::Timeout) => Ok(End::StoppedInUse),
        }
    }

    /// Removes the mount. If files of it are open, it leaves the tree of folders now, and ends with the last file.
    fn unmount(&mut self) {
        if std::mem::replace(&mut self.is_unmounted, true) {
            return;
        }
        if self.unmounter.unmount().is_err() && self.is_mounted() {
            // Whether it worked is seen from the mountpoint.
            let _ = rustix::mount::unmount(&self.mountpoint, UnmountFlags::DETACH);
        }
    }

    /// Whether the mountpoint still shows this mount.
    fn is_mounted(&self) -> bool {
        fs::metadata(&self.mountpoint).is_ok_and(|metadata| metadata.dev() == self.device)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.unmount();
    }
}

fn config(options: &Options) -> Config {
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::RO,
        MountOption::NoSuid,
        MountOption::NoDev,
        MountOption::NoExec,
        MountOption::NoAtime,
        MountOption::DefaultPermissions,
        // No name of a file: `fusermount3` would take a comma in it for the next option.
        MountOption::FSName("vhdx".to_owned()),
        MountOption::Subtype("vhdx".to_owned()),
    ];
    config.acl = if options.allow_other { SessionACL::All } else { SessionACL::Owner };
    config.n_threads = Some(options.threads.clamp(1, MAX_THREADS));
    config.clone_fd = true;
    config
}
