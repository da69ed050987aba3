//! Lists the objects with a prefix, within limits.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use object_store::list::{PaginatedListOptions, PaginatedListStore};

use crate::address::Address;
use crate::failure::{Failure, explained};

/// The most objects that a list may have.
pub const MAX_LISTED: usize = 100_000;
/// The longest accepted key in bytes. Object stores allow 1024.
const MAX_KEY: usize = 4096;

/// The longest accepted token that continues a list, in bytes. It becomes a part of a URL.
const MAX_TOKEN: usize = 8 << 10;
/// The most bytes of all names in a list.
const MAX_BYTES: usize = 32 << 20;

/// An object in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RemoteEntry {
    /// The name by which it is opened.
    pub name: PathBuf,
    /// The length in bytes, as the list says.
    pub size: u64,
}

/// Lists the objects directly in a prefix, or also those in the prefixes inside it. Sorted by name.
///
/// # Errors
/// [`Failure::TooManyListed`], [`Failure::TimedOut`], and those of the server.
pub(crate) async fn list(
    store: &dyn PaginatedListStore,
    folder: &Address,
    is_recursive: bool,
    timeout: Duration,
) -> io::Result<Vec<(Address, u64)>> {
    let listed = tokio::time::timeout(timeout, pages(store, folder, is_recursive)).await;
    let mut entries = listed.map_err(|_| Failure::TimedOut)??;
    entries.sort_by(|(a, _), (b, _)| a.key.cmp(&b.key));
    Ok(entries)
}

async fn pages(
    store: &dyn PaginatedListStore,
    folder: &Address,
    is_recursive: bool,
) -> io::Result<Vec<(Address, u64)>> {
    let prefix = (!folder.key.is_empty()).then_some(folder.key.as_str());
    let (mut entries, mut page_token) = (Vec::new(), None);
    // Prefixes inside the prefix count too: a page may have nothing else.
    let (mut seen, mut bytes) = (0_usize, 0_usize);
    loop {
        let options = PaginatedListOptions {
            delimiter: (!is_recursive).then_some("/".into()),
            page_token: page_token.clone(),
            ..PaginatedListOptions::default()
        };
        let page = store.list_paginated(prefix, options).await.map_err(explained)?;
        seen =
            seen.saturating_add(page.result.objects.len()).saturating_add(page.result.common_prefixes.len());
        if seen > MAX_LISTED {
            return Err(Failure::TooManyListed { limit: MAX_LISTED }.into());
        }
        for object in page.result.objects {
            let key = object.location.to_string();
            // A server may answer with anything.
            let is_inside = key.strip_prefix(folder.key.as_str()).is_some_and(|name| {
                !name.is_empty() && !name.ends_with('/') && (is_recursive || !name.contains('/'))
            });
            if is_inside && key.len() <= MAX_KEY {
                bytes = bytes.saturating_add(key.len()).saturating_add(folder.origin.len());
                if bytes > MAX_BYTES {
                    return Err(Failure::TooManyListed { limit: entries.len() }.into());
                }
                entries.push((folder.with_key(key), object.size));
            }
        }
        match page.page_token {
            None => return Ok(entries),
            Some(token) if page_token.as_ref() == Some(&token) => {
                return Err(io::Error::other("the server sends the same part of a list again and again"));
            }
            Some(token) if token.len() > MAX_TOKEN => {
                return Err(io::Error::other(format!(
                    "the server continues the list with a token of {} bytes, and at most {MAX_TOKEN} are accepted",
                    token.len()
                )));
            }
            Some(token) => page_token = Some(token),
        }
    }
}
