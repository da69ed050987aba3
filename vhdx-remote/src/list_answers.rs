//! Removes the entries from answers with lists that `object_store` cannot read: one of them would fail the whole list.

use http::header;
use http_body_util::BodyExt;
use object_store::client::{HttpError, HttpResponse};

use crate::address::is_key;
use crate::failure::{Failure, refused};

/// The elements of entries, each with that of its key or prefix: those of S3 and Google, and those of Azure.
const ENTRIES: [(&str, &str); 4] =
    [("Contents", "Key"), ("CommonPrefixes", "Prefix"), ("Blob", "Name"), ("BlobPrefix", "Name")];

/// Returns the answer without the keys that have empty parts, `.` or `..`, or control characters: no object with such
/// a key can be opened.
pub(crate) async fn readable(response: HttpResponse) -> Result<HttpResponse, HttpError> {
    let (mut parts, body) = response.into_parts();
    let bytes = body.collect().await?.to_bytes();
    let Ok(text) = std::str::from_utf8(&bytes) else {
        return Err(refused(Failure::Other {
            reason: "the list that the server sent is not UTF-8".to_owned(),
        }));
    };
    let kept = ENTRIES.iter().fold(text.to_owned(), |text, (entry, key)| without_odd_keys(&text, entry, key));
    parts.headers.remove(header::CONTENT_LENGTH);
    Ok(HttpResponse::from_parts(parts, kept.into_bytes().into()))
}

fn without_odd_keys(text: &str, entry: &str, key: &str) -> String {
    let (begin, end) = (format!("<{entry}>"), format!("</{entry}>"));
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(&begin) {
        let Some(len) = rest[start..].find(&end).map(|at| at + end.len()) else { break };
        let (before, tail) = rest.split_at(start);
        let (one, after) = tail.split_at(len);
        kept += before;
        if has_readable_key(one, key) {
            kept += one;
        }
        rest = after;
    }
    kept + rest
}

/// Returns whether the key of an entry can be read. An entry without a key is an error of the list, which is kept.
fn has_readable_key(entry: &str, key: &str) -> bool {
    let (begin, end) = (format!("<{key}>"), format!("</{key}>"));
    let found = entry.split_once(&begin).and_then(|(_, rest)| Some(rest.split_once(&end)?.0));
    found.is_none_or(|found| is_key(&unescaped(found)))
}

/// Replaces references to characters by number. Others do not matter for whether a key can be read.
fn unescaped(text: &str) -> String {
    let mut pieces = text.split("&#");
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (number, after) = piece.split_once(';').unwrap_or((piece, ""));
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok(),
            None => number.parse().ok(),
        };
        plain.extend(code.and_then(char::from_u32));
        plain += after;
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_with_odd_keys_are_removed() {
        let entry = |key: &str| format!("<Contents><Key>{key}</Key><Size>1</Size></Contents>");
        for odd in ["a//b", "/a", "a/../b", "a&#10;b", "a&#x1;", "a/./b"] {
            let text = format!("<List>{}{}{}</List>", entry("x"), entry(odd), entry("y"));
            let kept = format!("<List>{}{}</List>", entry("x"), entry("y"));
            assert_eq!(without_odd_keys(&text, "Contents", "Key"), kept, "{odd}");
        }
        for text in [
            "",
            "<Contents>",
            "<Contents></Contents>",
            "<Contents><Key>a/</Key></Contents>",
            "</Contents><Contents>",
        ] {
            assert_eq!(without_odd_keys(text, "Contents", "Key"), text);
        }
        let blobs = "<Blobs><Blob><Name>a//b</Name></Blob></Blobs>";
        assert_eq!(without_odd_keys(blobs, "Blob", "Name"), "<Blobs></Blobs>");
    }
}
