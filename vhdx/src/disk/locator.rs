//! Builds the parent locator of a child that is created or relinked ([MS-VHDX] 2.6.2.6): its keys, GUIDs and paths.

use std::ffi::OsStr;
use std::io;
use std::path::{Component, Path, PathBuf};

use uuid::Uuid;

use crate::error::{Error, InvalidArgument, Result};
use crate::format::parent_locator::{
    ABSOLUTE_WIN32_PATH, PARENT_LINKAGE, PARENT_LINKAGE2, ParentLocator, RELATIVE_PATH, VOLUME_PATH,
};
use crate::storage;
use crate::windows_path::{self, SEPARATORS, fold_name};

/// The keys that this library writes, in the order in which Windows writes them.
const KEYS: [&str; 5] = [PARENT_LINKAGE, ABSOLUTE_WIN32_PATH, RELATIVE_PATH, VOLUME_PATH, PARENT_LINKAGE2];

/// A link to store in a child: the input for its new parent locator.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewLink<'a> {
    /// The path of the child, which need not exist yet.
    pub(crate) child: &'a Path,
    /// The path of the parent.
    pub(crate) parent: &'a Path,
    /// The parent's DataWriteGuid.
    pub(crate) linkage: Uuid,
    /// Another DataWriteGuid that the parent may have, or zero.
    pub(crate) linkage2: Uuid,
    /// The current locator of the child, if it has one.
    pub(crate) old: Option<&'a ParentLocator>,
    /// The locator of another child of the same parent, if one is known.
    pub(crate) known: Option<&'a ParentLocator>,
}

impl<'a> NewLink<'a> {
    /// Creates the first link of a child to a parent that keeps the DataWriteGuid `linkage`.
    pub(crate) fn new(child: &'a Path, parent: &'a Path, linkage: Uuid) -> Self {
        Self { child, parent, linkage, linkage2: Uuid::nil(), old: None, known: None }
    }

    /// Returns the new locator.
    ///
    /// - The relative path leads from the child's folder to the parent, after all symbolic links are resolved.
    /// - On Windows, the absolute path is that of the parent. On other hosts it is unknown, and so is the volume path
    ///   on every host. Unknown paths are copied from `known` or `old` if they end in the name of the parent.
    /// - Unknown keys of the old locator are kept.
    ///
    /// # Errors
    /// - [`InvalidArgument::ParentPath`] if the locator cannot store a path to the parent
    /// - [`InvalidArgument::ParentLocator`] if the entries do not fit into a locator
    /// - [`Error::Io`] if the real path of a file cannot be found out
    pub(crate) fn locator(&self) -> Result<ParentLocator> {
        let parent = canonical(self.parent)?;
        let folder = folder_of(self.child)?;
        let paths = Paths::between(&folder, &parent)?;
        // A path without a name, such as a root, is the end of no stored path.
        let name = parent.file_name();
        let stored = |key| {
            let locators = [self.known, self.old].into_iter().flatten();
            let mut paths = locators.filter_map(|locator| locator.get(key));
            paths.find(|path| name.is_some_and(|name| ends_in(path, name))).map(str::to_owned)
        };
        let value = |key| match key {
            PARENT_LINKAGE => Some(braced(self.linkage)),
            ABSOLUTE_WIN32_PATH => paths.absolute.clone().or_else(|| stored(key)),
            RELATIVE_PATH => paths.relative.clone(),
            VOLUME_PATH => stored(key),
            _ => Some(braced(self.linkage2)),
        };
        let known = KEYS.iter().filter_map(|&key| Some((key.to_owned(), value(key)?)));
        let others = self.old.into_iter().flat_map(|old| &old.entries);
        let others = others.filter(|(key, _)| !KEYS.contains(&key.as_str())).cloned();
        ensure_encodable(ParentLocator { entries: known.chain(others).collect() })
    }
}

/// Returns a locator with other linkages. All other entries stay the same.
///
/// # Errors
/// [`InvalidArgument::ParentLocator`] if there is no room for a linkage that the locator does not have yet.
pub(crate) fn with_linkages(old: &ParentLocator, linkage: Uuid, linkage2: Uuid) -> Result<ParentLocator> {
    let mut locator = old.clone();
    for (key, guid) in [(PARENT_LINKAGE, linkage), (PARENT_LINKAGE2, linkage2)] {
        match locator.entries.iter_mut().find(|(found, _)| found == key) {
            Some((_, value)) => *value = braced(guid),
            None => locator.entries.push((key.to_owned(), braced(guid))),
        }
    }
    ensure_encodable(locator)
}

fn ensure_encodable(locator: ParentLocator) -> Result<ParentLocator> {
    match locator.encode_sound() {
        Some(_) => Ok(locator),
        None => Err(InvalidArgument::ParentLocator.into()),
    }
}

fn braced(guid: Uuid) -> String {
    guid.braced().to_string()
}

/// The paths to a parent that the host knows, in the form that Windows writes.
struct Paths {
    relative: Option<String>,
    absolute: Option<String>,
}

impl Paths {
    /// Returns the paths from `folder` to `parent`. Both arguments must be canonical.
    fn between(folder: &Path, parent: &Path) -> Result<Self> {
        let absolute = absolute(parent);
        let relative = relative(folder, parent)?;
        match relative.is_none() && absolute.is_none() {
            true => Err(InvalidArgument::ParentPath(parent.to_owned()).into()),
            false => Ok(Self { relative, absolute }),
        }
    }
}

/// Returns a relative path such as `..\dir\name`; `None` without a common root.
fn relative(folder: &Path, parent: &Path) -> Result<Option<String>> {
    let common = folder.components().zip(parent.components()).take_while(|(a, b)| a == b).count();
    if common == 0 {
        return Ok(None);
    }
    let up = folder.components().skip(common).count();
    let refusal = || InvalidArgument::ParentPath(parent.to_owned());
    let mut path = if up == 0 { String::from(r".\") } else { r"..\".repeat(up) };
    let names: Vec<&str> =
        parent.components().skip(common).map(name).collect::<Option<_>>().ok_or_else(refusal)?;
    path += &names.join(r"\");
    // A reader must find the same names in the path. It does not if a name contains a separator, for example.
    match windows_path::relative(&path) {
        Some(found) if found == (up, names) => Ok(Some(path)),
        _ => Err(refusal().into()),
    }
}

fn name(component: Component<'_>) -> Option<&str> {
    match component {
        Component::Normal(name) => name.to_str(),
        _ => None,
    }
}

/// Returns the path as Windows stores it, without the prefix `\\?\`.
#[cfg(windows)]
fn absolute(parent: &Path) -> Option<String> {
    let path = parent.to_str()?;
    match path.strip_prefix(r"\\?\UNC\") {
        Some(share) => Some(format!(r"\\{share}")),
        None => match path.strip_prefix(r"\\?\") {
            Some(bare) => Some(bare.to_owned()),
            None => Some(path.to_owned()),
        },
    }
}

/// Returns `None`: on this host, the parent has no absolute Windows path.
#[cfg(not(windows))]
fn absolute(_: &Path) -> Option<String> {
    None
}

fn ends_in(path: &str, name: &OsStr) -> bool {
    let last = path.rsplit(SEPARATORS).next();
    name.to_str().zip(last).is_some_and(|(name, last)| fold_name(name) == fold_name(last))
}

/// Returns the real folder of a file, or the folder in its path if it does not exist.
fn folder_of(file: &Path) -> Result<PathBuf> {
    if let Ok(real) = file.canonicalize() {
        // A root is its own folder.
        return Ok(real.parent().unwrap_or(&real).to_owned());
    }
    canonical(storage::folder_of(file))
}

/// Returns the path without symbolic links. A path that does not exist stays the same.
///
/// Such a path is the name of a disk that is not a file of the host.
fn canonical(path: &Path) -> Result<PathBuf> {
    match path.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path.to_owned()),
        result => result.map_err(|error| Error::io("find its real path", None, error).in_file(path)),
    }
}

#[cfg(test)]
mod tests;
