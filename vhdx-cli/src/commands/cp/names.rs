//! Decides whether a name from a disk can be the name of a file of the host. The names are untrusted.

use std::ffi::OsString;

/// Returns a name from a disk as a name of this host.
///
/// # Errors
/// Why it cannot be one: it would be another place, or the host reserves it.
pub(super) fn of_host(name: &[u8]) -> Result<OsString, String> {
    ensure_one_name(name)?;
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStringExt;
        Ok(OsString::from_vec(name.to_vec()))
    }
    #[cfg(windows)]
    {
        use std::os::windows::ffi::OsStringExt;
        let units = vhdx_contents::files::to_utf16(name).ok_or("the name is no Unicode")?;
        ensure_windows(&units)?;
        Ok(OsString::from_wide(&units))
    }
}

/// Ensures that a name stays in its folder.
fn ensure_one_name(name: &[u8]) -> Result<(), String> {
    let why = match name {
        b"" => "the name is empty",
        b"." | b".." => "the name stands for another folder",
        _ if name.contains(&b'/') => "the name contains a slash",
        _ if name.contains(&0) => "the name contains a zero byte",
        _ => return Ok(()),
    };
    Err(why.to_owned())
}

/// Ensures that Windows takes a name as it is, and for a file.
#[cfg(any(windows, test))]
fn ensure_windows(name: &[u16]) -> Result<(), String> {
    const DEVICES: [&str; 8] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "COM", "LPT"];
    let text = String::from_utf16_lossy(name);
    if let Some(letter) = text.chars().find(|letter| r#"\/:*?"<>|"#.contains(*letter) || *letter < ' ') {
        return Err(format!("the name contains {letter:?}, which Windows does not allow"));
    }
    if text.ends_with(['.', ' ']) {
        return Err("the name ends with a dot or space, which Windows does not keep".to_owned());
    }
    let base = text.split('.').next().unwrap_or_default().trim_end_matches(' ').to_uppercase();
    let is_numbered = |device: &str| {
        let number = base.strip_prefix(device).map(|number| number.chars().collect::<Vec<_>>());
        matches!(number.as_deref(), Some(['0'..='9' | '¹' | '²' | '³']))
    };
    if DEVICES[..6].contains(&base.as_str()) || DEVICES[6..].iter().any(|device| is_numbered(device)) {
        return Err("Windows reserves the name for a device".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in [&b""[..], b".", b"..", b"/etc", b"a/b", b"../a", b"a\0b"] {
            assert!(of_host(name).is_err(), "{name:?}");
        }
        for name in [&b"a"[..], b"...", b"..a", b"-", "ü".as_bytes()] {
            assert!(of_host(name).is_ok() || cfg!(windows), "{name:?}");
        }
    }

    #[test]
    fn names_of_windows() {
        let ensure = |name: &str| ensure_windows(&name.encode_utf16().collect::<Vec<_>>());
        for name in [
            "a:b",
            "C:",
            r"a\b",
            r"\\host\share",
            "a*",
            "a?",
            "a\"",
            "a|b",
            "a<",
            "a\n",
            "a.",
            "a ",
            "..",
            "con",
            "NUL.txt",
            "nul .txt",
            "aux",
            "COM1",
            "com9.log",
            "LPT¹",
            "CONIN$",
        ] {
            assert!(ensure(name).is_err(), "{name}");
        }
        for name in ["a", "a.b", "console", "COM", "COM10", "lpt", "null", " a", "日本"] {
            assert!(ensure(name).is_ok(), "{name}");
        }
    }
}
