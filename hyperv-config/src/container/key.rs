//! One key in a key table.
//!
//! ```text
//!   0 type                                         (1)
//!   1 flags                                        (1)
//!   2 size of the whole entry                      (4)
//!   6 index of the parent's key table, 0: the root (2)
//!   8 offset of the parent in its table            (4)
//!  12 checksum of everything but the slack         (4)
//!  16 insertion sequence                           (4)
//!  20 length of the name with its NUL              (1)
//!  21 name, value, slack
//! ```

use nom::Parser;
use nom::number::complete::{le_f64, le_i32, le_i64, le_u8, le_u16, le_u32, le_u64};

use super::bytes::{Parsed, checksum_matches};
use crate::value::{FileObject, Malformed, Value, ValueType, text_of_utf16};
use crate::warning::{Problem, Warnings};

/// The smallest size of an entry. The rest of a table that is shorter contains none.
pub(super) const MIN_SIZE: usize = 22;

const FREE: u8 = 1;
/// The flag of a value that is stored in a file object.
const IN_FILE_OBJECT: u8 = 1;

/// Where a key is: the index of its key table, and its offset in that table. Both are 0 for the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) table: u16,
    pub(super) at: u32,
}

/// A key whose parent is not looked up yet.
#[derive(Debug)]
pub(super) struct FoundKey {
    pub(super) position: Position,
    /// `None` below the root.
    pub(super) parent: Option<Position>,
    pub(super) name: Box<str>,
    pub(super) value: Value,
    /// The order among siblings.
    pub(super) sequence: u32,
    /// The offset in the file.
    pub(super) offset: u64,
}

struct Fixed {
    key_type: u8,
    flags: u8,
    parent: Position,
    checksum: u32,
    sequence: u32,
    name_len: u8,
}

fn fixed(input: &[u8]) -> Parsed<'_, Fixed> {
    let (input, (key_type, flags, _, table, at)) = (le_u8, le_u8, le_u32, le_u16, le_u32).parse(input)?;
    let (input, (checksum, sequence, name_len)) = (le_u32, le_u32, le_u8).parse(input)?;
    Ok((input, Fixed { key_type, flags, parent: Position { table, at }, checksum, sequence, name_len }))
}

/// Returns the size of the entry that begins with `bytes`.
pub(super) fn size(bytes: &[u8]) -> Option<usize> {
    let size = bytes.get(2..6)?.first_chunk::<4>()?;
    usize::try_from(u32::from_le_bytes(*size)).ok()
}

/// Parses the bytes of one entry. Returns `None` for a free one.
///
/// # Errors
/// The problem because of which the entry must be skipped.
pub(super) fn parse(
    entry: &[u8],
    position: Position,
    offset: u64,
    warnings: &mut Warnings,
) -> Result<Option<FoundKey>, Problem> {
    let (rest, fixed) = fixed(entry).map_err(|_| Problem::Key)?;
    if fixed.key_type == FREE {
        // A checksum other than 0 shows that it was a key when it was written.
        return if fixed.checksum == 0 { Ok(None) } else { Err(Problem::FreeKey) };
    }
    let value_type = value_type(fixed.key_type).ok_or(Problem::KeyType(fixed.key_type))?;
    let (name, rest) = rest.split_at_checked(fixed.name_len.into()).ok_or(Problem::Key)?;
    let (slack, value) = value(rest, value_type, fixed.flags).map_err(|_| Problem::Key)?;
    let used = entry.len().checked_sub(slack.len()).and_then(|used| entry.get(..used)).ok_or(Problem::Key)?;
    if !checksum_matches(used, 12) {
        return Err(Problem::Key);
    }
    let (name, is_sound) = decode_name(name);
    if !is_sound {
        warnings.add(offset, Problem::Name(name.clone()));
    }
    if matches!(value, Value::Malformed(_)) {
        warnings.add(offset, Problem::Value { name: name.clone(), value_type });
    }
    let is_in_root = fixed.parent == Position { table: 0, at: 0 };
    let parent = (!is_in_root).then_some(fixed.parent);
    Ok(Some(FoundKey { position, parent, name: name.into(), value, sequence: fixed.sequence, offset }))
}

const fn value_type(number: u8) -> Option<ValueType> {
    Some(match number {
        3 => ValueType::Int,
        4 => ValueType::Uint,
        5 => ValueType::Double,
        6 => ValueType::Text,
        7 => ValueType::Bytes,
        8 => ValueType::Bool,
        9 => ValueType::Node,
        _ => return None,
    })
}

/// Returns the name without its NUL, and whether it was a name that ends with a NUL and is UTF-8.
fn decode_name(bytes: &[u8]) -> (String, bool) {
    let (bytes, is_terminated) = match bytes.split_last() {
        Some((0, name)) => (name, true),
        _ => (bytes, false),
    };
    let name = String::from_utf8_lossy(bytes);
    let is_utf8 = matches!(name, std::borrow::Cow::Borrowed(_));
    (name.into_owned(), is_terminated && is_utf8)
}

/// Parses a value. The rest of the input is slack.
fn value(input: &[u8], value_type: ValueType, flags: u8) -> Parsed<'_, Value> {
    if flags & IN_FILE_OBJECT != 0 && matches!(value_type, ValueType::Text | ValueType::Bytes) {
        let (input, (len, offset)) = (le_u32, le_u64).parse(input)?;
        return Ok((input, Value::Object(FileObject { value_type, offset, len })));
    }
    match value_type {
        ValueType::Int => le_i64.map(Value::Int).parse(input),
        ValueType::Uint => le_u64.map(Value::Uint).parse(input),
        ValueType::Double => le_f64.map(Value::Double).parse(input),
        ValueType::Bool => le_i32.map(|number| Value::Bool(number != 0)).parse(input),
        // The change sequence, and the insertion sequence of the next child.
        ValueType::Node => (le_u64, le_u32).map(|_| Value::Node).parse(input),
        ValueType::Text => bytes(input).map(|(input, bytes)| (input, text(bytes))),
        ValueType::Bytes => bytes(input).map(|(input, bytes)| (input, Value::Bytes(bytes.to_vec()))),
    }
}

/// Parses bytes after their length.
fn bytes(input: &[u8]) -> Parsed<'_, &[u8]> {
    let (input, len) = le_u32.parse(input)?;
    let len = usize::try_from(len).ok();
    let split = len.and_then(|len| input.split_at_checked(len));
    split.map(|(bytes, rest)| (rest, bytes)).ok_or(nom::Err::Error(()))
}

fn text(bytes: &[u8]) -> Value {
    match text_of_utf16(bytes) {
        Some(text) => Value::Text(text),
        None => Value::Malformed(Malformed { value_type: ValueType::Text, bytes: bytes.to_vec() }),
    }
}
