//! Storage Spaces: the signature of the pool's database. Its format is not published.

use super::areas::Areas;
use super::content::Content;
use super::kind::ContentKind;
use crate::error::Result;

/// Where the signature has been seen, in bytes.
const PLACES: &[u64] = &[0, 4096];

pub(super) fn probe(areas: &Areas<'_>) -> Result<Option<Content>> {
    let is_signed = |at: &u64| areas.at(*at, 8).is_some_and(|found| found.has(0, b"SPACEDB "));
    Ok(PLACES.iter().any(is_signed).then(|| Content::new(ContentKind::StorageSpaces)))
}
