//! Names the ways in which a parent is found.

/// How the parent of a file was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum FoundBy {
    /// By the stored relative path, or by at least its last two names in one of the folders.
    RelativePath,
    /// By at least the last two names of the stored volume path in one of the folders.
    VolumePath,
    /// By at least the last two names of the stored absolute path in one of the folders.
    AbsoluteWin32Path,
    /// Only by the file name, directly in one of the folders.
    Name,
    /// By its DataWriteGuid, because no stored path leads to it.
    Guid,
    /// The caller named the file.
    Named,
}

impl FoundBy {
    /// Returns the name in reports: `relative_path`, `volume_path`, `absolute_win32_path`, `name`, `guid` or `named`.
    pub const fn name(self) -> &'static str {
        match self {
            FoundBy::RelativePath => "relative_path",
            FoundBy::VolumePath => "volume_path",
            FoundBy::AbsoluteWin32Path => "absolute_win32_path",
            FoundBy::Name => "name",
            FoundBy::Guid => "guid",
            FoundBy::Named => "named",
        }
    }
}
