//! The parent locator of a child that is made or relinked: which keys it has, and how the parent is called in it
//! ([MS-VHDX] 2.6.2.6).

use std::ffi::OsStr;
use std::io;
use std::path::{Component, Path, PathBuf};

use uuid::Uuid;

use crate::error::{Error, InvalidArgument, Result};
use crate::format::parent_locator::{
    ABSOLUTE_WIN32_PATH, PARENT_LINKAGE, PARENT_LINKAGE2, ParentLocator, RELATIVE_PATH, VOLUME_PATH,
};
use crate::windows_path::{self, SEPARATORS, fold_name};

/// The keys that are known, in the order in which Windows writes them.
const KEYS: [&str; 5] = [PARENT_LINKAGE, ABSOLUTE_WIN32_PATH, RELATIVE_PATH, VOLUME_PATH, PARENT_LINKAGE2];

/// A child and the parent that its locator is to name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewLink<'a> {
    /// Where the child is, or will be.
    pub(crate) child: &'a Path,
    /// Where the parent is.
    pub(crate) parent: &'a Path,
    /// The parent's DataWriteGuid.
    pub(crate) linkage: Uuid,
    /// Another DataWriteGuid that the parent may have; zero for none.
    pub(crate) linkage2: Uuid,
    /// The locator that the child has now.
    pub(crate) old: Option<&'a ParentLocator>,
    /// The locator of another child of that parent.
    pub(crate) known: Option<&'a ParentLocator>,
}

impl<'a> NewLink<'a> {
    /// The first link of a child, to a parent that has that DataWriteGuid and will keep it.
    pub(crate) fn new(child: &'a Path, parent: &'a Path, linkage: Uuid) -> Self {
        Self { child, parent, linkage, linkage2: Uuid::nil(), old: None, known: None }
    }

    /// The locator. Its relative path leads from the folder in which the child really is to the file that the parent
    /// really is. Absolute and volume paths cannot be told from here, so they are taken from the locators that are
    /// there, and only if they end in the parent's name. Keys that are not known stay.
    ///
    /// # Errors
    /// [`InvalidArgument::ParentPath`] when the locator cannot hold the path to the parent, [`Error::Io`] when the files
    /// cannot be looked at.
    pub(crate) fn locator(&self) -> Result<ParentLocator> {
        let parent = canonical(self.parent)?;
        let folder = folder_of(self.child)?;
        let paths = Paths::between(&folder, &parent)?;
        let name = parent.file_name().unwrap_or_default();
        let stored = |key| {
            let locators = [self.known, self.old].into_iter().flatten();
            let mut paths = locators.filter_map(|locator| locator.get(key));
            paths.find(|path| ends_in(path, name)).map(str::to_owned)
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
        sound(ParentLocator { entries: known.chain(others).collect() })
    }
}

/// The locator with other linkages; everything else in it stays as it is.
///
/// # Errors
/// [`InvalidArgument::ParentLocator`] when there is no room for a linkage that it does not have yet.
pub(crate) fn with_linkages(old: &ParentLocator, linkage: Uuid, linkage2: Uuid) -> Result<ParentLocator> {
    let mut locator = old.clone();
    for (key, guid) in [(PARENT_LINKAGE, linkage), (PARENT_LINKAGE2, linkage2)] {
        match locator.entries.iter_mut().find(|(found, _)| found == key) {
            Some((_, value)) => *value = braced(guid),
            None => locator.entries.push((key.to_owned(), braced(guid))),
        }
    }
    sound(locator)
}

fn sound(locator: ParentLocator) -> Result<ParentLocator> {
    match locator.encode_sound() {
        Some(_) => Ok(locator),
        None => Err(InvalidArgument::ParentLocator.into()),
    }
}

fn braced(guid: Uuid) -> String {
    guid.braced().to_string()
}

/// The paths to a parent that the host itself can tell, as Windows writes them.
struct Paths {
    relative: Option<String>,
    absolute: Option<String>,
}

impl Paths {
    /// Both paths are canonical.
    fn between(folder: &Path, parent: &Path) -> Result<Self> {
        let absolute = absolute(parent);
        let relative = relative(folder, parent)?;
        match relative.is_none() && absolute.is_none() {
            true => Err(InvalidArgument::ParentPath(parent.to_owned()).into()),
            false => Ok(Self { relative, absolute }),
        }
    }
}

/// `.\name` or `..\dir\name`; `None` if the two have no root in common.
fn relative(folder: &Path, parent: &Path) -> Result<Option<String>> {
    let common = folder.components().zip(parent.components()).take_while(|(a, b)| a == b).count();
    if common == 0 {
        return Ok(None);
    }
    let up = folder.components().count().saturating_sub(common);
    let refusal = || InvalidArgument::ParentPath(parent.to_owned());
    let mut path = if up == 0 { String::from(r".\") } else { r"..\".repeat(up) };
    let names: Vec<&str> =
        parent.components().skip(common).map(name).collect::<Option<_>>().ok_or_else(refusal)?;
    path += &names.join(r"\");
    // Whoever reads the path must find the same names in it.
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

/// The path as Windows itself stores it, without the prefix that makes it literal.
#[cfg(windows)]
fn absolute(parent: &Path) -> Option<String> {
    let path = parent.to_str()?;
    match path.strip_prefix(r"\\?\UNC\") {
        Some(share) => Some(format!(r"\\{share}")),
        None => Some(path.strip_prefix(r"\\?\").unwrap_or(path).to_owned()),
    }
}

/// Nothing here is called as Windows would call it.
#[cfg(not(windows))]
fn absolute(_: &Path) -> Option<String> {
    None
}

fn ends_in(path: &str, name: &OsStr) -> bool {
    let last = path.rsplit(SEPARATORS).next().unwrap_or_default();
    name.to_str().is_some_and(|name| fold_name(name) == fold_name(last))
}

/// The folder in which a file really is, or will be.
fn folder_of(file: &Path) -> Result<PathBuf> {
    if let Ok(real) = file.canonicalize() {
        return Ok(real.parent().unwrap_or(&real).to_owned());
    }
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => canonical(folder),
        _ => canonical(Path::new(".")),
    }
}

/// What the path really names. What is not there is a name for something that is no file of the host.
fn canonical(path: &Path) -> Result<PathBuf> {
    match path.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path.to_owned()),
        result => result.map_err(|error| Error::io("look at it", None, error).in_file(path)),
    }
}

#[cfg(test)]
mod tests;
