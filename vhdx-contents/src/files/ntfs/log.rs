//! The journal `$LogFile`: only whether it has changes that are not in the files yet.

use super::mft::{Mft, no_attribute};
use super::record::{Reference, kind, restore_sectors};
use super::stream::By;
use crate::error::{Error, Result};
use crate::files::fields::Fields;

const LOG: Reference = Reference(2);
const WHAT: &str = "the journal";
/// The size of pages if the first one does not tell it.
const PAGE: usize = 4096;
const MAX_PAGE: usize = 64 * 1024;

/// Whether no change in the journal has to be replayed. A volume that is in use has such changes, and does not set the
/// flag of volumes that are not clean.
pub(super) fn is_clean(mft: &Mft<'_>) -> Result<bool> {
    let log = mft.stream(&mft.record(LOG)?, kind::DATA, &[])?;
    let log = log.ok_or_else(|| no_attribute(LOG, kind::DATA))?;
    let mut bytes = vec![0; 2 * MAX_PAGE];
    let len = log.read(&mft.source, 0, &mut bytes, By::Structure)?;
    bytes.truncate(len);
    is_clean_log(&bytes)
}

/// Parses the begin of the journal, which has two restart pages. The newer valid one counts.
fn is_clean_log(log: &[u8]) -> Result<bool> {
    // What the programs that make or mount a volume outside of Windows leave behind.
    if !log.is_empty() && log.iter().all(|byte| *byte == 0xff) {
        return Ok(true);
    }
    let stored = Fields::new(log, WHAT).u32(16)?;
    let size = usize::try_from(stored).ok();
    let is_valid = |size: &usize| size.is_power_of_two() && (512..=MAX_PAGE).contains(size);
    let size = size.filter(is_valid).unwrap_or(PAGE);
    let pages: Vec<Result<Restart>> = log.chunks_exact(size).take(2).map(Restart::parse).collect();
    let mut newest: Option<Restart> = None;
    let mut error = None;
    for page in pages {
        match page {
            Ok(page) if newest.as_ref().is_none_or(|newest| newest.sequence < page.sequence) => {
                newest = Some(page);
            }
            Ok(_) => {}
            Err(why) => error = error.or(Some(why)),
        }
    }
    match (newest, error) {
        (Some(page), _) => Ok(page.is_clean),
        (None, Some(error)) => Err(error),
        (None, None) => Err(Error::damaged(WHAT, "it is too short")),
    }
}

struct Restart {
    sequence: u64,
    is_clean: bool,
}

impl Restart {
    fn parse(page: &[u8]) -> Result<Self> {
        const NO_CLIENT: u16 = 0xffff;
        const IS_CLEAN: u16 = 2;
        let mut page = page.to_vec();
        // A check of the disk replaces the signature.
        let is_checked = page.starts_with(b"CHKD");
        restore_sectors(&mut page, if is_checked { b"CHKD" } else { b"RSTR" }, WHAT)?;
        let fields = Fields::new(&page, WHAT);
        let area = usize::from(fields.u16(24)?);
        let at = |offset: usize| area.saturating_add(offset);
        let has_no_client = fields.u16(at(12))? == NO_CLIENT;
        let is_clean = is_checked || has_no_client || fields.u16(at(14))? & IS_CLEAN != 0;
        Ok(Self { sequence: fields.u64(area)?, is_clean })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a restart page.
    fn page(sequence: u64, client: u16, flags: u16) -> Vec<u8> {
        let mut page = vec![0; PAGE];
        page[..4].copy_from_slice(b"RSTR");
        (page[4], page[6], page[17], page[24]) = (30, 9, 16, 48);
        page[48..56].copy_from_slice(&sequence.to_le_bytes());
        page[60..62].copy_from_slice(&client.to_le_bytes());
        page[62..64].copy_from_slice(&flags.to_le_bytes());
        page
    }

    #[test]
    fn the_newer_restart_page_tells_whether_the_journal_is_clean() {
        let (busy, clean, unused) = (page(7, 0, 0), page(8, 0, 2), page(6, 0xffff, 0));
        let both = |one: &[u8], other: &[u8]| is_clean_log(&[one, other].concat());
        assert!(!both(&busy, &unused).unwrap());
        assert!(!both(&unused, &busy).unwrap());
        assert!(both(&busy, &clean).unwrap());
        assert!(both(&unused, &unused).unwrap());
        assert!(!both(&[0; PAGE], &busy).unwrap());
        assert!(both(&[0; PAGE], &[0; PAGE]).is_err());
        assert!(is_clean_log(&[]).is_err());
        assert!(is_clean_log(&[0xff; 3 * PAGE]).unwrap());
    }
}
