//! Who may use a file: its owner, group, mode, access control list and SELinux label.
//!
//! A file that replaces another one takes these over. What cannot be kept makes the new file narrower, never wider.

use std::fs::File;
use std::io;
use std::path::Path;

/// Who may use a file that is about to be replaced.
#[cfg(unix)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Access {
    owner: u32,
    group: u32,
    /// Permissions of the owner, the group and others. A set-user-ID bit is not taken over: the content is new.
    mode: u32,
    /// The POSIX access control list, as the kernel encodes it. The group's permissions in `mode` are its mask then.
    acl: Option<Vec<u8>>,
    label: Option<Vec<u8>>,
}

#[cfg(unix)]
impl Access {
    /// Reads who may use the file at `path`, which is followed if it is a link; `None` if there is no file.
    ///
    /// # Errors
    /// Those of the host, for a file that is there.
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

    /// Gives `file`, which only its owner may use, to those who may use the other file.
    ///
    /// Only a privileged user can keep another owner, and only a member of a group can keep that group.
    ///
    /// # Errors
    /// Those of the host; [`io::ErrorKind::PermissionDenied`] if the file system gives more permissions than asked for.
    pub(super) fn apply_to(&self, file: &File) -> io::Result<()> {
        use std::fs::Permissions;
        use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};

        if fchown(file, Some(self.owner), Some(self.group)).is_err() {
            let _ = fchown(file, None, Some(self.group));
        }
        let keeps_group = file.metadata()?.gid() == self.group;
        // A list that the folder handed down would count from the moment at which the mode allows it.
        let keeps_acl = match &self.acl {
            Some(acl) if keeps_group && attributes::set(file, attributes::ACL, acl).is_ok() => true,
            acl => {
                attributes::remove(file, attributes::ACL)?;
                acl.is_none()
            }
        };
        if let Some(label) = &self.label {
            let _ = attributes::set(file, attributes::LABEL, label); // the policy decides
        }
        let mode = self.mode_that_remains(keeps_group, keeps_acl);
        // Some file systems have one mode for all files and refuse to change it: the mode found below decides.
        let _ = file.set_permissions(Permissions::from_mode(mode));
        match file.metadata()?.mode() & PERMISSIONS {
            found if found & !mode == 0 => Ok(()),
            found => {
                let what = format!(
                    "the permissions of the file that it replaces cannot be kept: the mode is {found:03o} instead of {mode:03o}"
                );
                Err(io::Error::new(io::ErrorKind::PermissionDenied, what))
            }
        }
    }

    /// The mode that lets nobody in whom the old file kept out.
    fn mode_that_remains(&self, keeps_group: bool, keeps_acl: bool) -> u32 {
        let owner = self.mode & 0o700;
        // A list can deny to single users what it allows to all others.
        if !keeps_acl {
            return owner;
        }
        if keeps_group {
            return self.mode;
        }
        // Members of the old group are others now, and members of the new group were others.
        let common = (self.mode >> 3) & self.mode & 0o7;
        owner | common << 3 | common
    }
}

#[cfg(unix)]
const PERMISSIONS: u32 = 0o777;

/// Extended attributes that say who may use a file.
#[cfg(target_os = "linux")]
mod attributes {
    use std::fs::File;
    use std::io;
    use std::path::Path;

    use rustix::fs::{XattrFlags, fremovexattr, fsetxattr, getxattr};
    use rustix::io::Errno;

    pub(super) const ACL: &str = "system.posix_acl_access";
    pub(super) const LABEL: &str = "security.selinux";
    /// The kernel allows no attribute to be larger.
    const LARGEST: usize = 64 << 10;

    /// `None` if the file has no such attribute, or its file system has none.
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

/// No safe crate reads the lists of these hosts.
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

/// Windows gives a file the permissions that its folder hands down. Keeping the security descriptor of a replaced file
/// takes `ReplaceFile`, which can fail after the old file is gone.
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
