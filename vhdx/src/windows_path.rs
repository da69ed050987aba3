//! Splits the paths that parent locators store into names that a host can look up. Accesses no files.
//!
//! A stored path is untrusted text. Only plain file names are taken from it: no drives, devices, streams or wildcards.

use std::fmt;

use unicode_normalization::UnicodeNormalization;

use crate::quoted::Quoted;

/// The maximum number of names that are used from one path. A path of 260 characters, the usual limit of Windows,
/// cannot have many more. A higher limit would only make hostile paths expensive.
const MAX_NAMES: usize = 128;
/// The maximum length of a file name on Windows, in UTF-16 code units.
const MAX_NAME_UNITS: usize = 255;
pub(crate) const SEPARATORS: [char; 2] = ['\\', '/'];

/// A path to the parent, as stored in the child ([MS-VHDX] 2.6.2.6.3).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct StoredPath {
    /// The key of the parent locator: `relative_path`, `volume_path` or `absolute_win32_path`.
    pub key: &'static str,
    /// The value, unchanged.
    pub path: String,
}

impl fmt::Display for StoredPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", Quoted(&self.path), self.key)
    }
}

impl StoredPath {
    /// Returns the file name, if the path ends in one.
    pub(crate) fn file_name(&self) -> Option<&str> {
        self.path.rsplit(SEPARATORS).next().filter(|name| is_name(name))
    }
}

/// Splits a relative path into the number of folders to go up and the names to go down; `None` for any other path.
pub(crate) fn relative(path: &str) -> Option<(usize, Vec<&str>)> {
    let (mut up, mut names) = (0_usize, Vec::new());
    for component in path.split(SEPARATORS) {
        match component {
            "." => {}
            ".." if names.pop().is_some() => {}
            ".." => up += 1,
            name if is_name(name) => names.push(name),
            _ => return None,
        }
    }
    let bounded = up <= MAX_NAMES && names.len() <= MAX_NAMES && !names.is_empty();
    bounded.then_some((up, names))
}

/// Returns the trailing parts of a path, from the longest to the bare file name.
///
/// A file that was moved may have one of these paths in its new folder. Only the plain names at the end of the path are
/// used: those after the last drive, volume or `..`.
pub(crate) fn suffixes(path: &str) -> Vec<Vec<&str>> {
    let mut components = path.split(SEPARATORS);
    let device =
        components.next() == Some("") && components.next() == Some("") && components.next() == Some(".");
    if device {
        return Vec::new();
    }
    let mut names: Vec<&str> = path
        .rsplit(SEPARATORS)
        .filter(|&component| component != ".")
        .take_while(|component| is_name(component) && !is_volume(component))
        .take(MAX_NAMES)
        .collect();
    names.reverse();
    (0..names.len()).map(|first| names[first..].to_vec()).collect()
}

/// Returns whether Windows can store a file under this name.
pub(crate) fn is_name(name: &str) -> bool {
    let forbidden = |c: char| c.is_control() || r#"<>:"/\|?*"#.contains(c);
    !name.is_empty()
        && !name.ends_with(['.', ' '])
        && !name.contains(forbidden)
        && name.encode_utf16().count() <= MAX_NAME_UNITS
        && !is_device(name)
}

/// Returns whether Windows reserves the name for a device, in every folder and with any extension.
fn is_device(name: &str) -> bool {
    let stem = name.split_once('.').map_or(name, |(stem, _)| stem).trim_end().to_ascii_uppercase();
    let is_digit = |number: &str| {
        let mut number = number.chars();
        let digit = number.next().is_some_and(|c| c.is_ascii_digit() || "¹²³".contains(c));
        digit && number.next().is_none()
    };
    let is_port = |port: &str| stem.strip_prefix(port).is_some_and(is_digit);
    ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"].contains(&stem.as_str())
        || is_port("COM")
        || is_port("LPT")
}

/// Returns whether a component is the volume of a `volume_path`: `Volume{5e0bd954-…}`.
fn is_volume(name: &str) -> bool {
    let prefix = name.get(..7);
    prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case("volume{")) && name.ends_with('}')
}

/// Returns the form in which names are compared.
///
/// It is equal for names that differ only in letter case, or in whether letters are composed or decomposed (Unicode NFC
/// or NFD). macOS writes decomposed names, Windows composed ones.
pub(crate) fn fold_name(name: &str) -> String {
    // The rest gives the same, but takes much longer.
    if name.is_ascii() {
        return name.to_ascii_lowercase();
    }
    // Decomposed first, because each character is mapped to lower case on its own, and a composed letter must give the
    // same result as a letter and its mark. 'ς' is 'σ' at the end of a word.
    let lower = name.nfd().flat_map(char::to_lowercase).map(|c| if c == 'ς' { 'σ' } else { c });
    lower.nfc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_as_windows_and_others_write_them() {
        assert_eq!(relative(r".\base.vhdx"), Some((0, vec!["base.vhdx"])));
        assert_eq!(relative("base.vhdx"), Some((0, vec!["base.vhdx"])));
        assert_eq!(relative(r"..\..\disks\base.vhdx"), Some((2, vec!["disks", "base.vhdx"])));
        assert_eq!(relative(r"a\..\..\b/c.vhdx"), Some((1, vec!["b", "c.vhdx"])));
    }

    #[test]
    fn other_paths_are_not_relative() {
        for path in [
            "",
            ".",
            "..",
            r"C:\base.vhdx",
            "C:base.vhdx",
            r"\base.vhdx",
            "/etc/passwd",
            r"\\server\share\base.vhdx",
            r".\base.vhdx\",
            r".\a\\base.vhdx",
            "base.vhdx\0",
            r".\base.vhdx:stream",
            r".\CON",
            r"..\nul.vhdx",
        ] {
            assert_eq!(relative(path), None, "{path:?}");
        }
        assert_eq!(relative(&r"..\".repeat(1000)), None);
        assert_eq!(relative(&(r"..\".repeat(1000) + "base.vhdx")), None);
    }

    fn joined(path: &str) -> Vec<String> {
        suffixes(path).iter().map(|names| names.join("/")).collect()
    }

    #[test]
    fn suffixes_are_ordered_from_the_longest_to_the_bare_name() {
        let expected = ["VMs/db/base.vhdx", "db/base.vhdx", "base.vhdx"];
        for prefix in [
            r"C:\",
            r"\\?\C:\",
            "C:",
            r"\\?\Volume{5e0bd954-71b2-4bff-a928-082af7ab0f8f}\",
            r"\??\D:\",
            r"\",
            "../",
        ] {
            assert_eq!(
                joined(&format!(r"{prefix}VMs\db\.\base.vhdx")),
                expected[usize::from(prefix == "C:")..]
            );
        }
        assert_eq!(
            joined(r"\\server\share\base.vhdx"),
            ["server/share/base.vhdx", "share/base.vhdx", "base.vhdx"]
        );
    }

    #[test]
    fn suffixes_contain_only_plain_names() {
        assert_eq!(joined(r"C:\a\..\b\c.vhdx"), ["b/c.vhdx", "c.vhdx"]);
        assert_eq!(joined(r"C:\a\\c.vhdx"), ["c.vhdx"]);
        for path in [
            r"\\.\PhysicalDrive0",
            "//./PhysicalDrive0",
            r"\\.\C:\base.vhdx",
            "C:",
            r"C:\",
            r"C:\NUL",
            r"C:\com1.vhdx",
            r"C:\LPT²",
            r"C:\con .vhdx",
            "C:\\a\0b",
            r"C:\a\..",
            r"C:\what?.vhdx",
            "",
        ] {
            assert_eq!(joined(path), [""; 0], "{path:?}");
        }
        assert!(is_name("console.vhdx") && is_name("com10.vhdx") && is_name("naïve.vhdx"));
    }

    #[test]
    fn names_that_differ_in_case_or_composition_are_equal() {
        for (one, other) in [
            ("Base.VHDX", "bASE.vhdx"),
            ("\u{dc}bung.vhdx", "u\u{308}bung.vhdx"),
            ("\u{1e69}.vhdx", "S\u{307}\u{323}.vhdx"),
            ("\u{212b}.vhdx", "\u{e5}.vhdx"),
            ("\u{130}stanbul", "i\u{307}stanbul"),
            ("\u{ac00}.vhdx", "\u{1100}\u{1161}.vhdx"),
            ("\u{39f}\u{394}\u{39f}\u{3a3}", "\u{3bf}\u{3b4}\u{3bf}\u{3c2}"),
        ] {
            assert_eq!(fold_name(one), fold_name(other), "{one} {other}");
            assert_eq!(fold_name(&fold_name(one)), fold_name(one), "{one}");
        }
        for (one, other) in
            [("u.vhdx", "\u{fc}.vhdx"), ("\u{fb01}.vhdx", "fi.vhdx"), ("stra\u{df}e", "strasse")]
        {
            assert_ne!(fold_name(one), fold_name(other), "{one} {other}");
        }
    }

    #[test]
    fn a_hostile_path_is_cheap() {
        let path = r"a\".repeat(16_000) + "base.vhdx";
        let suffixes = suffixes(&path);
        assert_eq!(suffixes.len(), MAX_NAMES);
        assert_eq!(suffixes[0].len(), MAX_NAMES);
    }

    #[test]
    fn the_file_name_is_the_last_component() {
        let name = |path: &str| {
            StoredPath { key: "relative_path", path: path.to_owned() }.file_name().map(str::to_owned)
        };
        assert_eq!(name(r"C:\VMs\base.vhdx").as_deref(), Some("base.vhdx"));
        assert_eq!(name("base.vhdx").as_deref(), Some("base.vhdx"));
        assert_eq!(name(r"C:\VMs\"), None);
    }
}
