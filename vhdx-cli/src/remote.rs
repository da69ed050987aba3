//! Disks at URLs. Only the feature `remote` can read them; without it, every URL is an error that says so.
//!
//! URLs become names before a command runs: a name is the URL without its query, which may be a signature.

#[cfg(not(feature = "remote"))]
mod absent;
#[cfg(feature = "remote")]
mod session;

use std::path::Path;

#[cfg(not(feature = "remote"))]
pub(crate) use absent::{add, disks_in, ensure_uploadable, folder_of, names_in, open, resolver, upload};
#[cfg(feature = "remote")]
pub(crate) use session::{add, disks_in, ensure_uploadable, folder_of, names_in, open, resolver, upload};

/// Returns whether a path is written as a URL: a scheme of at least two letters, and `://`.
pub(crate) fn is_url(path: &Path) -> bool {
    let Some((scheme, _)) = path.to_str().and_then(|text| text.split_once("://")) else { return false };
    scheme.len() > 1 && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Returns whether a name stands for a prefix: it ends with a slash.
pub(crate) fn is_prefix(path: &Path) -> bool {
    is_url(path) && path.to_str().is_some_and(|text| text.ends_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_told_from_paths() {
        for url in ["s3://bucket/key", "HTTPS://host", "unknown://x"] {
            assert!(is_url(Path::new(url)), "{url}");
        }
        for path in ["disk.vhdx", "C:\\disk.vhdx", "./s3://bucket", "c://x", "/a/b://c"] {
            assert!(!is_url(Path::new(path)), "{path}");
        }
        assert!(is_prefix(Path::new("s3://bucket/vm/")) && !is_prefix(Path::new("s3://bucket/vm")));
        assert!(!is_prefix(Path::new("vm/")));
    }
}
