//! Quotes untrusted paths and names for messages.

use std::fmt;
use std::path::Path;

/// A path or a name in quotation marks. Characters that could manipulate a terminal are escaped; `\`
/// and `'` are not.
pub(crate) struct Quoted<T>(pub(crate) T);

impl<T: AsRef<Path>> fmt::Display for Quoted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for c in self.0.as_ref().to_string_lossy().chars() {
            if c == '\\' || c == '\'' { write!(f, "{c}") } else { write!(f, "{}", c.escape_debug()) }?;
        }
        f.write_str("\"")
    }
}
