//! ISO 9660, with the Joliet extension.

use super::areas::Areas;
use super::content::Content;
use super::fields::Fields;
use super::kind::ContentKind;
use super::text;
use crate::error::Result;

/// Where the volume descriptors begin, and the length of each.
const DESCRIPTORS: u64 = 32 * 1024;
const DESCRIPTOR_LEN: u64 = 2048;

const MAX_DESCRIPTORS: u64 = 16;

const PRIMARY: u8 = 1;
const SUPPLEMENTARY: u8 = 2;
const END: u8 = 255;

pub(super) fn probe(areas: &Areas<'_>) -> Result<Option<Content>> {
    let offsets =
        (0..MAX_DESCRIPTORS).map(|number| DESCRIPTORS.saturating_add(number.saturating_mul(DESCRIPTOR_LEN)));
    let descriptors = offsets.map_while(|offset| areas.at(offset, 2048));
    let descriptors =
        descriptors.take_while(|descriptor| descriptor.has(1, b"CD001") && descriptor.u8(0) != Some(END));
    let descriptors: Vec<Fields<'_>> = descriptors.collect();
    let of_type = |kind: u8| descriptors.iter().copied().filter(move |one| one.u8(0) == Some(kind));
    let Some(primary) = of_type(PRIMARY).next() else { return Ok(None) };
    let joliet = of_type(SUPPLEMENTARY).find(|one| is_joliet(*one));
    Ok(parse(primary, joliet))
}

fn is_joliet(descriptor: Fields<'_>) -> bool {
    [b"%/@", b"%/C", b"%/E"].iter().any(|escape| descriptor.has(88, *escape))
}

fn parse(primary: Fields<'_>, joliet: Option<Fields<'_>>) -> Option<Content> {
    let block_size = u32::from(primary.le16(128)?);
    let mut content = Content::new(ContentKind::Iso9660);
    content.block_size = Some(block_size);
    content.size = Some(u64::from(primary.le32(80)?).checked_mul(u64::from(block_size))?);
    content.label = text::label(primary.bytes(40, 32)?);
    content.uuid = date(primary.bytes(830, 17)?).or(date(primary.bytes(813, 17)?));
    if let Some(joliet) = joliet {
        content.version = Some("Joliet Extension".to_owned());
        let label = text::label_utf16_be(joliet.bytes(40, 32)?);
        // The label of Joliet has room for 16 characters. It is used unless it is the beginning of the other one.
        let is_beginning = label.as_ref().zip(content.label.as_ref()).is_some_and(|(a, b)| b.starts_with(a));
        if !is_beginning {
            content.label = label.or(content.label);
        }
    }
    Some(content)
}

/// Returns a time as `blkid` prints it in place of a UUID. Returns `None` if it is not set.
fn date(bytes: &[u8]) -> Option<String> {
    let (digits, zone) = bytes.split_at_checked(16)?;
    let is_set = digits.iter().any(|digit| *digit != b'0') || zone != [0];
    if !is_set || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = std::str::from_utf8(digits).ok()?;
    let (year, rest) = digits.split_at_checked(4)?;
    let pairs = rest.as_bytes().chunks(2).filter_map(|pair| std::str::from_utf8(pair).ok());
    Some(std::iter::once(year).chain(pairs).collect::<Vec<_>>().join("-"))
}
