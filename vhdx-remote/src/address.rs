//! URLs of objects, and the names that messages show for them.

use std::ffi::OsStr;
use std::io;

use object_store::path::Path;
use url::Url;

use crate::failure::Failure;
use crate::scheme::{SCHEMES, Scheme};

/// The longest accepted key or URL in bytes. A request with more than 64 KiB after encoding would be a panic.
const MAX_LEN: usize = 8 << 10;

/// Returns whether a path is written as a URL: a scheme of at least two letters, and `://`.
pub fn is_url(path: impl AsRef<OsStr>) -> bool {
    let Some((scheme, _)) = path.as_ref().to_str().and_then(|text| text.split_once("://")) else {
        return false;
    };
    scheme.len() > 1 && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// The place of an object, or of a prefix.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) scheme: Scheme,
    /// The scheme and the bucket, or the scheme, host and port, without a slash at the end.
    pub(crate) origin: String,
    /// The key in the bucket, or the path on the server as it is in the URL. Without a slash at the start.
    pub(crate) key: String,
    /// The query of a URL for a web server. It may be a signature, so it is never shown.
    query: Option<String>,
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Address").field(&self.name()).finish()
    }
}

impl Address {
    /// Parses a URL.
    ///
    /// Keys of object stores are taken as they are: nothing in them is decoded.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`]. The message has no part of the URL that may be secret.
    pub(crate) fn parse(url: &str) -> io::Result<Self> {
        let (scheme, rest) = url.split_once("://").ok_or_else(|| invalid("this is not a URL"))?;
        let found = SCHEMES.into_iter().find(|known| scheme.eq_ignore_ascii_case(known.name()));
        let Some(scheme) = found else {
            return Err(invalid("URLs of this kind are not supported: use s3://, az://, gs:// or https://"));
        };
        match scheme {
            Scheme::Https | Scheme::Http => Self::of_web_server(scheme, url),
            _ => {
                let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
                if bucket.is_empty() || bucket.contains(['@', '?', '#', ':']) {
                    return Err(invalid("the URL must begin with the name of a bucket: s3://BUCKET/KEY"));
                }
                if !is_key(key) {
                    return Err(invalid(
                        "this key is not supported: it is longer than 8 KiB, or has empty parts (//), the parts . or .., \
                         or control characters",
                    ));
                }
                Ok(Self {
                    scheme,
                    origin: format!("{}://{bucket}", scheme.name()),
                    key: key.to_owned(),
                    query: None,
                })
            }
        }
    }

    fn of_web_server(scheme: Scheme, url: &str) -> io::Result<Self> {
        if url.len() > MAX_LEN {
            return Err(invalid("the URL is longer than 8 KiB"));
        }
        let url = Url::parse(url).map_err(|error| invalid(&format!("this is not a URL: {error}")))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid("a user name or password in a URL is not supported"));
        }
        let key = url.path().strip_prefix('/').unwrap_or_default().to_owned();
        let query = url.query().map(str::to_owned);
        Ok(Self { scheme, origin: url.origin().ascii_serialization(), key, query })
    }

    /// Returns the name in messages: the URL without its query.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.origin, self.key)
    }

    /// Returns the whole URL. It may contain a signature.
    pub(crate) fn url(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.name()),
            None => self.name(),
        }
    }

    /// Returns whether the store can list its objects.
    pub(crate) fn can_list(&self) -> bool {
        !matches!(self.scheme, Scheme::Https | Scheme::Http)
    }

    /// Returns the address of another object in the same bucket.
    pub(crate) fn with_key(&self, key: String) -> Self {
        Self { key, query: None, ..self.clone() }
    }

    /// Returns the prefix that contains this object, with a slash at the end of its key unless it is the whole bucket.
    pub(crate) fn folder(&self) -> Self {
        let end = self.key.rfind('/').map_or(0, |slash| slash + 1);
        self.with_key(self.key[..end].to_owned())
    }

    /// Returns whether the URL has a query, such as a signature.
    pub(crate) fn has_query(&self) -> bool {
        self.query.is_some()
    }

    /// Returns this address as a prefix: with a slash at the end of its key unless it is the whole bucket.
    pub(crate) fn as_folder(&self) -> Self {
        let key = self.key.trim_end_matches('/');
        let key = if key.is_empty() { String::new() } else { format!("{key}/") };
        self.with_key(key)
    }

    /// Returns the address of an object in a prefix. `names` are the names of folders and last that of the object.
    ///
    /// `None` if the names lead out of the bucket, cannot be names, or are too long.
    pub(crate) fn join<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let folder = self.key.strip_suffix('/').unwrap_or(&self.key);
        let mut parts: Vec<&str> = if self.key.is_empty() { Vec::new() } else { folder.split('/').collect() };
        let encoded: Vec<String> = names.into_iter().map(|name| self.encoded(name)).collect();
        for name in &encoded {
            match name.as_str() {
                "." => {}
                ".." => drop(parts.pop()?),
                name if name.is_empty() || name.contains('/') => return None,
                name => parts.push(name),
            }
        }
        let key = parts.join("/");
        // Longer keys and those that a store cannot have are not even looked for.
        let is_possible = if self.can_list() { is_key(&key) } else { key.len() <= MAX_LEN };
        is_possible.then(|| self.with_key(key))
    }

    /// Returns a file name as it is in a URL of this scheme.
    fn encoded(&self, name: &str) -> String {
        if self.can_list() {
            return name.to_owned();
        }
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&()*+,;=:@".contains(byte);
        let encode =
            |byte: u8| if is_plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
        name.bytes().map(encode).collect()
    }

    /// Returns whether this object is in a prefix, or in one inside it.
    pub(crate) fn is_inside(&self, folder: &Self) -> bool {
        self.origin == folder.origin && self.key.starts_with(&folder.key)
    }

    /// Returns the last part of the key.
    pub(crate) fn file_name(&self) -> &str {
        self.key.rsplit('/').next().unwrap_or_default()
    }

    /// Returns an error for a `http://` URL to another machine, unless that is allowed.
    pub(crate) fn ensure_encrypted(&self, allow_http: bool) -> io::Result<()> {
        let host = || Url::parse(&self.origin).ok()?.host_str().map(str::to_owned);
        match self.scheme == Scheme::Http && !allow_http && !host().is_some_and(|host| is_loopback(&host)) {
            true => Err(Failure::PlainHttp.into()),
            false => Ok(()),
        }
    }
}

/// Returns whether the key of an object or prefix is sent to a store as it is.
pub(crate) fn is_key(key: &str) -> bool {
    let key = key.strip_suffix('/').unwrap_or(key);
    key.len() <= MAX_LEN && Path::parse(key).is_ok_and(|path| path.as_ref() == key)
}

/// Returns whether a host is this machine, without asking a name server.
pub(crate) fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_address = host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    is_address || host.eq_ignore_ascii_case("localhost")
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_no_query() {
        let address = Address::parse("https://host:8443/a%20b/disk.vhdx?signature=secret").unwrap();
        assert_eq!(address.name(), "https://host:8443/a%20b/disk.vhdx");
        assert_eq!(address.url(), "https://host:8443/a%20b/disk.vhdx?signature=secret");
        assert!(!format!("{address:?}").contains("secret"));
        assert_eq!(address.folder().url(), "https://host:8443/a%20b/");
    }

    #[test]
    fn errors_have_no_secrets() {
        for url in
            ["https://user:secret@host/x", "s3://secret@bucket/x", "ftp://secret@host/x", "https://:secret"]
        {
            let error = Address::parse(url).unwrap_err();
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn names_beside_an_object() {
        let disk = Address::parse("s3://bucket/vm/snapshots/child #1.avhdx").unwrap();
        assert_eq!(disk.file_name(), "child #1.avhdx");
        let folder = disk.folder();
        let name = |names: &[&str]| folder.join(names.iter().copied()).map(|address| address.name());
        assert_eq!(name(&["..", "base.vhdx"]).as_deref(), Some("s3://bucket/vm/base.vhdx"));
        assert_eq!(name(&[".", "base.vhdx"]).as_deref(), Some("s3://bucket/vm/snapshots/base.vhdx"));
        assert_eq!(name(&["..", "..", "..", "base.vhdx"]), None);
        assert_eq!(name(&["a/b"]), None);
        let web = Address::parse("https://host/vm/child.avhdx").unwrap().folder();
        assert_eq!(web.join(["a disk?.vhdx"]).unwrap().url(), "https://host/vm/a%20disk%3F.vhdx");
    }

    #[test]
    fn keys_are_never_changed() {
        let long = format!("s3://b/{}", "x".repeat(9000));
        for url in
            ["s3://b//x", "s3://b/x//", "s3://b/a//b", "s3://b/../x", "s3://b/./x", "s3://b/a\nb", &long]
        {
            assert!(Address::parse(url).is_err(), "{url}");
        }
        for url in ["s3://b", "s3://b/x", "s3://b/x/", "gs://b/a b%20c/\u{e4}"] {
            assert!(Address::parse(url).is_ok(), "{url}");
        }
        let name = |url: &str| Address::parse(url).unwrap().name();
        assert_eq!(name("http://h//b//disk/"), "http://h//b//disk/");
        assert!(Address::parse(&format!("https://h/{}", "x".repeat(9000))).is_err());
        let folder = Address::parse("https://h//b//child").unwrap().folder();
        assert_eq!(folder.join(["base"]).unwrap().name(), "https://h//b//base");
        for folder in [folder, Address::parse("s3://b/vm/").unwrap()] {
            assert_eq!(folder.join(["\u{e4}".repeat(9000).as_str()]), None);
        }
        assert_eq!(Address::parse("s3://b/vm/").unwrap().join(["a\nb"]), None);
    }

    #[test]
    fn urls_are_told_from_paths() {
        for url in ["s3://bucket/key", "HTTPS://host", "unknown://x"] {
            assert!(is_url(url), "{url}");
        }
        for path in ["disk.vhdx", "C:\\disk.vhdx", "./s3://bucket", "c://x", "/a/b://c"] {
            assert!(!is_url(path), "{path}");
        }
    }

    #[test]
    fn plain_http_is_for_this_machine() {
        let check = |url: &str| Address::parse(url).unwrap().ensure_encrypted(false);
        for url in ["http://127.0.0.1:80/x", "http://[::1]/x", "http://localhost/x", "https://host/x"] {
            assert!(check(url).is_ok(), "{url}");
        }
        for url in ["http://host/x", "http://127.0.0.1.example.org/x", "http://192.168.0.1/x"] {
            assert!(check(url).is_err(), "{url}");
        }
    }
}
