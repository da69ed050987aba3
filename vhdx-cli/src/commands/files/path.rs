//! Follows paths inside a disk.

use vhdx_contents::Error;
use vhdx_contents::files::{Attributes, FileSystem, Kind, Node};

use super::failure::failure;
use super::text::shown;
use crate::args::Location;
use crate::exit::Failure;
use crate::output;

/// A file or folder in a disk.
pub(in crate::commands) struct Place {
    pub(in crate::commands) node: Node,
    pub(in crate::commands) attributes: Attributes,
    /// Its name as its folder stores it; `None` for the root folder.
    pub(in crate::commands) name: Option<Vec<u8>>,
}

/// Returns the name of a place for messages: the disk and the path in it.
pub(in crate::commands) fn place(location: &Location) -> String {
    format!("{}:{}", output::shown(&location.file), output::harmless(&location.path))
}

/// Returns the file or folder at a path. Links are not followed.
pub(in crate::commands) fn find(fs: &dyn FileSystem, location: &Location) -> Result<Place, Failure> {
    let name = place(location);
    follow(fs, &location.path).map_err(|error| match error {
        Error::NotFound(_) => {
            failure(error, &name).with_hint("`vhdx ls FILE FOLDER` lists the names in a folder")
        }
        error => failure(error, &name),
    })
}

fn follow(fs: &dyn FileSystem, path: &str) -> Result<Place, Error> {
    // In file systems of Windows, no name contains a backslash.
    let has_backslashes = fs.is_same_name(b"a", b"A");
    let is_separator = |letter: char| letter == '/' || (letter == '\\' && has_backslashes);
    let mut place = Place { node: fs.root(), attributes: fs.attributes(fs.root())?, name: None };
    let mut folders = Vec::new();
    for name in path.split(is_separator).filter(|name| !matches!(*name, "" | ".")) {
        if name == ".." {
            if let Some(parent) = folders.pop() {
                place = parent;
            }
            continue;
        }
        match place.attributes.kind {
            Kind::Folder => {}
            Kind::Link => {
                let target = fs.link_target(place.node)?;
                let target = shown(&target);
                return Err(Error::Unsupported(format!(
                    "links in PATH are not followed; use the target of the link instead: {target:?}"
                )));
            }
            _ => return Err(Error::NotFound(format!("{name:?}"))),
        }
        let entry = fs.lookup(place.node, name.as_bytes())?;
        let entry = entry.ok_or_else(|| Error::NotFound(format!("{name:?}")))?;
        let next = Place { node: entry.node, attributes: fs.attributes(entry.node)?, name: Some(entry.name) };
        folders.push(std::mem::replace(&mut place, next));
    }
    Ok(place)
}
