//! Keeps the owner, group, mode, access control list and SELinux label of a file that is replaced.
//!
//! If one of them cannot be kept, fewer users may use the new file, never more.

use std::fs::File;
use std::io;
use std::path::Path;

/// The owner and the permissions of a file that is about to be replaced.
#[cfg(unix)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Access {
    owner: u32,
    group: u32,
    /// The permissions of the owner, the group and others. A set-user-ID bit is dropped, because the content is new.
    mode: u32,
    /// The POSIX access control list, as the kernel encodes it. With a list, the group bits of `mode` are its mask.
    acl: Option<Vec<u8>>,
    /// The SELinux label.
    label: Option<Vec<u8>>,
}

#[cfg(unix)]
impl Access {
    /// Reads the permissions of the file at `path`, or returns `None` if there is no file.
    ///
    /// Follows links.
    ///
    /// # Errors
    /// The host's error, if the file exists.
    pub(super) fn of(path: &Path) -> io::Result<Option<Self>> {
        use std::os::unix::fs::MetadataExt;
        let metadata = match path.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            metadata => metadata?,
        };
        Ok(Some(Self {
            owner: metadata.uid(),
            group: metadata.gid(),
            mode: metadata.mode() & PERMISSIONS,
            acl: attributes::get(path, attributes::ACL)?,
            label: attributes::get(path, attributes::LABEL)?,
        }))
    }

    /// Applies the permissions to `file`, which only its owner may use so far.
    ///
    /// Only a privileged user can keep another owner. Only a member of the group, or a privileged user, can keep the
    /// group.
    ///
    /// # Errors
    /// The host's error; [`io::ErrorKind::PermissionDenied`] if the file system grants more than was requested.
    pub(super) fn apply_to(&self, file: &File) -> io::Result<()> {
        use std::fs::Permissions;
        use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};

        if fchown(file, Some(self.owner), Some(self.group)).is_err() {
            let _ = fchown(file, None, Some(self.group));
        }
        let keeps_group = file.metadata()?.gid() == self.group;
        // A list inherited from the folder is removed, because it would take effect as soon as the mode permits.
        let keeps_acl = match &self.acl {
            Some(acl) if keeps_group && attributes::set(file, attributes::ACL, acl).is_ok() => true,
            acl => {
                attributes::remove(file, attributes::ACL)?;
                acl.is_none()
            }
        };
        if let Some(label) = &self.label {
            let _ = attributes::set(file, attributes::LABEL, label); // the SELinux policy may forbid it
        }
        let mode = self.mode_that_remains(keeps_group, keeps_acl);
        // Some file systems have one mode for all files and refuse to change it, so the resulting mode is checked.
        let _ = file.set_permissions(Permissions::from_mode(mode));
        match file.metadata()?.mode() & PERMISSIONS {
            found if found & !mode == 0 => Ok(()),
            found => {
                let what = format!(
                    "the file system sets mode {found:03o} instead of {mode:03o}, so more users could open the file; \
                     use another file system, or a file name that does not exist yet"
                );
                Err(io::Error::new(io::ErrorKind::PermissionDenied, what))
            }
        }
    }

    /// Returns the mode, narrowed so that nobody gains access that the old file denied.
    fn mode_that_remains(&self, keeps_group: bool, keeps_acl: bool) -> u32 {
        let owner = self.mode & 0o700;
        // A lost list may have denied single users what it granted to all others.
        if !keeps_acl {
            return owner;
        }
        if keeps_group {
            return self.mode;
        }
        // Members of the old group count as others now, and members of the new group were others before.
        // Both get only what the group and others had in common.
        let common = (self.mode >> 3) & self.mode & 0o7;
        owner | common << 3 | common
    }
}

#[cfg(unix)]
const PERMISSIONS: u32 = 0o777;

/// Extended attributes that control access to a file.
#[cfg(target_os = "linux")]
mod attributes {
    use std::fs::File;
    use std::io;
    use std::path::Path;

    use rustix::fs::{XattrFlags, fremovexattr, fsetxattr, getxattr};
    use rustix::io::Errno;

    pub(super) const ACL: &str = "system.posix_acl_access";
    pub(super) const LABEL: &str = "security.selinux";
    /// The largest attribute that the kernel allows, in bytes.
    const LARGEST: usize = 64 << 10;

    /// Returns an attribute of a file.
    ///
    /// Returns `None` if the file does not have it or its file system has no attributes.
    pub(super) fn get(path: &Path, name: &str) -> io::Result<Option<Vec<u8>>> {
        let mut value = vec![0; LARGEST];
        match getxattr(path, name, value.as_mut_slice()) {
            Ok(len) => {
                value.truncate(len);
                Ok(Some(value))
            }
            Err(error) if is_absent(error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn set(file: &File, name: &str, value: &[u8]) -> io::Result<()> {
        Ok(fsetxattr(file, name, value, XattrFlags::empty())?)
    }

    pub(super) fn remove(file: &File, name: &str) -> io::Result<()> {
        match fremovexattr(file, name) {
            Err(error) if !is_absent(error) => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn is_absent(error: Errno) -> bool {
        matches!(error, Errno::NODATA | Errno::OPNOTSUPP | Errno::NOSYS)
    }
}

/// Does nothing, because no safe crate reads the access control lists of these hosts.
#[cfg(all(unix, not(target_os = "linux")))]
mod attributes {
    use std::fs::File;
    use std::io;
    use std::path::Path;

    pub(super) const ACL: &str = "";
    pub(super) const LABEL: &str = "";

    pub(super) fn get(_: &Path, _: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(None)
    }

    pub(super) fn set(_: &File, _: &str, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn remove(_: &File, _: &str) -> io::Result<()> {
        Ok(())
    }
}

/// Empty, because a new file on Windows inherits the permissions of its folder.
///
/// Keeping the security descriptor of a replaced file takes `ReplaceFile`, which can fail after the old file is gone.
#[cfg(not(unix))]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Access;

#[cfg(not(unix))]
impl Access {
    pub(super) fn of(_: &Path) -> io::Result<Option<Self>> {
        Ok(None)
    }

    pub(super) fn apply_to(&self, _: &File) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(all(test, unix))]
mod tests;
