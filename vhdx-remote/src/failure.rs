//! Explains why a request failed, without anything that may be secret.

use std::error::Error as StdError;
use std::{fmt, io};

use object_store::client::{HttpError, HttpErrorKind};

use crate::scheme::Scheme;

/// Why a request failed, or why its answer was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The object was replaced after it was opened.
    Replaced,
    /// Whole object instead of the range.
    RangeIgnored,
    /// The bytes are compressed, or encoded in another way.
    Encoded,
    /// The answer has a different range from the one requested.
    WrongRange,
    /// The answer has more or fewer bytes than it must have.
    WrongLength {
        expected: u64,
        found: u64,
    },
    /// The answer has more bytes than are accepted.
    TooLong {
        limit: u64,
    },
    /// No ETag, no version, no time.
    NoValidator,
    /// An object without bytes.
    Empty,
    /// A redirect to another place.
    Redirect {
        to: String,
    },
    /// A URL without encryption.
    PlainHttp,
    /// A status that is not a success.
    Status {
        status: u16,
        code: Option<String>,
    },
    NotFound,
    Denied,
    AlreadyExists,
    /// Neither in the environment nor from a service for virtual machines.
    NoCredentials {
        scheme: Scheme,
    },
    TimedOut,
    Connect {
        reason: String,
    },
    Interrupted {
        reason: String,
    },
    TooManyListed {
        limit: usize,
    },
    /// A setting that cannot be used. Its value may be secret.
    Setting {
        name: String,
        problem: &'static str,
    },
    /// The client of a store cannot be made with these settings. Only their names may be shown.
    Settings {
        scheme: Scheme,
        names: Vec<String>,
    },
    Other {
        reason: String,
    },
}

impl StdError for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Replaced => {
                f.write_str("the object was replaced while it was read: run the command again to read the new one")
            }
            Failure::RangeIgnored => f.write_str(
                "the server ignored the requested range and sent the whole object (status 200 instead of 206): \
                 a disk can only be read from a server that supports range requests",
            ),
            Failure::Encoded => f.write_str(
                "the server sent encoded bytes (Content-Encoding), for example compressed ones: a disk can only be read \
                 as it is stored",
            ),
            Failure::WrongRange => f.write_str("the server sent a different range from the one requested"),
            Failure::WrongLength { expected, found } => {
                write!(f, "the server sent {found} bytes instead of {expected}")
            }
            Failure::TooLong { limit } => {
                write!(f, "the server sent more than the {limit} bytes that this answer may have")
            }
            Failure::NoValidator => f.write_str(
                "the server sends neither an ETag nor a modification time, so a file that is replaced while it is read \
                 could not be detected: copy the file, or use a server that sends an ETag",
            ),
            Failure::Empty => f.write_str("the object is empty, or the server cannot send a part of it (status 416)"),
            Failure::Redirect { to } => {
                write!(f, "the server redirects to {to}, which is not followed: use a URL that needs no redirect")
            }
            Failure::PlainHttp => f.write_str(
                "http:// is not encrypted and only allowed for this machine: use https://, or allow it with \
                 VHDX_ALLOW_HTTP=true in the environment",
            ),
            Failure::Status { status, code: Some(code) } => write!(f, "the server answered {status} ({code})"),
            Failure::Status { status, code: None } => write!(f, "the server answered {status}"),
            Failure::NotFound => f.write_str("the server has no such object"),
            Failure::Denied => f.write_str(
                "the server denied access: check the credentials in the environment (for https://, the signature in the \
                 URL) and the permissions of the object",
            ),
            Failure::NoCredentials { scheme } => {
                write!(f, "there are no credentials: set {} in the environment", scheme.credentials())
            }
            Failure::AlreadyExists => f.write_str(
                "the object exists already, or another program is changing it: choose another name, or replace the \
                 object with --force",
            ),
            Failure::TimedOut => f.write_str("the server did not answer in time"),
            Failure::Connect { reason } => write!(f, "cannot connect to the server: {reason}"),
            Failure::Interrupted { reason } => write!(f, "the connection ended early: {reason}"),
            Failure::TooManyListed { limit } => write!(
                f,
                "there are more than {limit} objects with this prefix: name a longer prefix, or each parent with --parent"
            ),
            Failure::Setting { name, problem } => {
                write!(f, "the setting {name} in the environment cannot be used: {problem}")
            }
            Failure::Settings { scheme, names } if names.is_empty() => write!(
                f,
                "there are no settings for {}://: set {} in the environment",
                scheme.name(),
                scheme.credentials()
            ),
            Failure::Settings { scheme, names } => write!(
                f,
                "the settings for {}:// cannot be used: check {} in the environment",
                scheme.name(),
                names.join(", ")
            ),
            Failure::Other { reason } => f.write_str(reason),
        }
    }
}

impl Failure {
    /// Returns whether the same request may succeed later: the server is busy or cannot be reached.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Failure::TimedOut | Failure::Connect { .. } | Failure::Interrupted { .. } => true,
            Failure::Status { status, .. } => is_temporary(*status),
            _ => false,
        }
    }

    fn kind(&self) -> io::ErrorKind {
        match self {
            Failure::NotFound => io::ErrorKind::NotFound,
            Failure::Denied | Failure::NoCredentials { .. } | Failure::Status { status: 401 | 403, .. } => {
                io::ErrorKind::PermissionDenied
            }
            Failure::AlreadyExists => io::ErrorKind::AlreadyExists,
            Failure::TimedOut => io::ErrorKind::TimedOut,
            Failure::WrongRange | Failure::WrongLength { .. } | Failure::TooLong { .. } => {
                io::ErrorKind::InvalidData
            }
            Failure::Interrupted { .. } => io::ErrorKind::ConnectionAborted,
            _ => io::ErrorKind::Other,
        }
    }

    /// Explains an error of `object_store`.
    pub(crate) fn of(error: &object_store::Error) -> Self {
        if let Some(failure) = Self::inside(error) {
            return failure;
        }
        match error {
            object_store::Error::NotFound { .. } => Failure::NotFound,
            object_store::Error::Precondition { .. } | object_store::Error::NotModified { .. } => {
                Failure::Replaced
            }
            object_store::Error::AlreadyExists { .. } => Failure::AlreadyExists,
            object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
                Failure::Denied
            }
            _ => Failure::Other { reason: redacted(&unquoted(&innermost(error).to_string())) },
        }
    }

    /// Returns the failure that lies inside an error.
    pub(crate) fn inside(error: &(dyn StdError + 'static)) -> Option<Self> {
        let mut transport = None;
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(failure) = error.downcast_ref::<Failure>() {
                return Some(failure.clone());
            }
            if let Some(http) = error.downcast_ref::<HttpError>() {
                transport = Some(http);
            }
            next = error.source();
        }
        let http = transport?;
        let reason = redacted(&innermost(http).to_string());
        Some(match http.kind() {
            HttpErrorKind::Connect => Failure::Connect { reason },
            HttpErrorKind::Timeout => Failure::TimedOut,
            HttpErrorKind::Request | HttpErrorKind::Interrupted => Failure::Interrupted { reason },
            _ => Failure::Other { reason },
        })
    }
}

/// Returns whether a request with this status may succeed a moment later.
pub(crate) fn is_temporary(status: u16) -> bool {
    (500..600).contains(&status) || [408, 429].contains(&status)
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        io::Error::new(failure.kind(), failure)
    }
}

/// Returns an error of a request that is not worth a repetition.
pub(crate) fn refused(failure: Failure) -> HttpError {
    HttpError::new(HttpErrorKind::Unknown, failure)
}

/// Converts an error of `object_store`.
pub(crate) fn explained(error: object_store::Error) -> io::Error {
    Failure::of(&error).into()
}

fn innermost<'a>(error: &'a (dyn StdError + 'static)) -> &'a (dyn StdError + 'static) {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error
}

/// Returns a text without everything from its first quote to its last one. Parsers quote what they could not read, which
/// may be a token.
fn unquoted(text: &str) -> String {
    let is_quote = |c| ['"', '`', '\''].contains(&c);
    match (text.find(is_quote), text.rfind(is_quote)) {
        (Some(first), Some(last)) if first < last => format!("{}...{}", &text[..first], &text[last + 1..]),
        _ => text.to_owned(),
    }
}

/// Returns a text without the queries and user names of the URLs in it, in one line and not too long.
pub(crate) fn redacted(text: &str) -> String {
    const MAX_CHARS: usize = 300;
    let is_end = |c: char| c.is_whitespace() || "\"'<>()`".contains(c);
    let mut shown = String::new();
    for piece in text.split_inclusive(is_end) {
        let end = piece.chars().next_back().filter(|c| is_end(*c));
        let word = piece.trim_end_matches(is_end);
        match word.split_once("://") {
            Some((scheme, rest)) => {
                let rest = rest.split(['?', '#']).next().unwrap_or_default();
                let (host, path) =
                    rest.split_once('/').map_or((rest, None), |(host, path)| (host, Some(path)));
                let host = host.rsplit('@').next().unwrap_or_default();
                shown += &format!("{scheme}://{host}");
                if let Some(path) = path {
                    shown += &format!("/{path}");
                }
            }
            None => shown += word,
        }
        shown.extend(end.map(|c| if c.is_whitespace() { ' ' } else { c }));
    }
    shown.chars().take(MAX_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_and_users_are_removed_from_texts() {
        let text = "GET https://user:secret@host/a/b?X-Amz-Signature=secret#secret failed\n(http://h?secret)";
        assert_eq!(redacted(text), "GET https://host/a/b failed (http://h)");
        assert_eq!(redacted(&"x".repeat(1000)).len(), 300);
    }

    #[test]
    fn quoted_text_is_removed() {
        let text = r#"invalid type: string "secret\" `x` 'y", expected a map"#;
        assert_eq!(unquoted(text), "invalid type: string ..., expected a map");
        assert_eq!(unquoted("it's wrong"), "it's wrong");
    }
}
