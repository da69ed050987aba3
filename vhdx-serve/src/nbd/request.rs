//! Requests: the bytes of a header, then a validated [`Command`].

use std::ops::Range;

use vhdx::DiskOffset;

use super::bytes::Fields;
use super::offer::Agreement;
use super::protocol::{Code, REQUEST_HEADER, REQUEST_MAGIC, command, command_flag as flag};

/// The header of a request as the client sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    flags: u16,
    command: u16,
    /// The client's number of the request, which comes back in the reply.
    pub(super) cookie: u64,
    pub(super) offset: u64,
    pub(super) len: u32,
}

/// The start of a message that is not a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotARequest;

impl Header {
    pub(super) fn parse(bytes: &[u8; REQUEST_HEADER]) -> Result<Self, NotARequest> {
        Self::fields(Fields::new(bytes)).ok_or(NotARequest)
    }

    fn fields(mut fields: Fields<'_>) -> Option<Self> {
        (fields.u32()? == REQUEST_MAGIC).then_some(())?;
        Some(Self {
            flags: fields.u16()?,
            command: fields.u16()?,
            cookie: fields.u64()?,
            offset: fields.u64()?,
            len: fields.u32()?,
        })
    }

    /// Returns the number of bytes that follow the header, whether the request is valid or not.
    pub(super) fn payload(&self) -> u32 {
        if self.command == command::WRITE { self.len } else { 0 }
    }

    /// The name of the command for messages.
    pub(super) fn command_name(&self) -> &'static str {
        match self.command {
            command::READ => "read",
            command::WRITE => "write",
            command::DISC => "disconnect",
            command::FLUSH => "flush",
            command::TRIM => "trim",
            command::CACHE => "cache",
            command::WRITE_ZEROES => "write zeroes",
            command::BLOCK_STATUS => "block status",
            _ => "unknown command",
        }
    }
}

/// A request that can be executed: its range is on the disk, and its flags fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// The range is at most the greatest payload.
    Read {
        range: Range<DiskOffset>,
        /// Whether the content must be in one chunk.
        is_whole: bool,
    },
    Write {
        offset: DiskOffset,
        is_durable: bool,
    },
    Flush,
    Trim {
        range: Range<DiskOffset>,
        is_durable: bool,
    },
    Cache(Range<DiskOffset>),
    WriteZeroes {
        range: Range<DiskOffset>,
        is_durable: bool,
        /// Whether the space of the range must be allocated afterwards.
        keeps_space: bool,
    },
    BlockStatus {
        range: Range<DiskOffset>,
        /// Whether each context has one descriptor only.
        is_one: bool,
    },
}

/// A request that cannot be executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: Code,
    pub(super) reason: String,
}

impl Refusal {
    pub(super) fn new(code: Code, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }
}

/// A message of a client that has chosen an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    Execute(Command),
    Disconnect,
}

/// Validates a request.
///
/// # Errors
/// The code is the one that the protocol names for each case: a change of a read-only export is EPERM, a write past the
/// end ENOSPC, and nearly everything else EINVAL.
pub(super) fn validate(header: &Header, agreement: &Agreement, max_payload: u32) -> Result<Message, Refusal> {
    if header.command == command::DISC {
        // The protocol has no reply to it, not even an error because of flags.
        return Ok(Message::Disconnect);
    }
    let disk = agreement.export.disk();
    let invalid = |reason: &str| Err(Refusal::new(Code::Invalid, reason));
    let allowed = match header.command {
        command::READ if agreement.is_structured => flag::DF,
        command::WRITE_ZEROES => flag::NO_HOLE,
        command::BLOCK_STATUS => flag::REQ_ONE,
        command::READ..=command::CACHE => 0,
        number => return invalid(&format!("command {number} is unknown")),
    };
    let is_change = matches!(header.command, command::WRITE | command::TRIM | command::WRITE_ZEROES);
    if is_change && disk.is_read_only() {
        return Err(Refusal::new(Code::NotPermitted, "the export is read-only"));
    }
    // FUA is allowed with every command, once it is announced.
    let announced = if disk.is_read_only() { 0 } else { flag::FUA };
    if header.flags & !(allowed | announced) != 0 {
        return invalid(&format!("the flags {:#x} do not fit the command", header.flags));
    }
    let has = |bit: u16| header.flags & bit != 0;
    let has_payload = matches!(header.command, command::READ | command::WRITE);
    if has_payload && header.len > max_payload {
        let code = if has(flag::DF) { Code::Overflow } else { Code::Invalid };
        return Err(Refusal::new(code, format!("a request may have at most {max_payload} bytes")));
    }
    let range = || range_of(header, disk.virtual_size());
    let is_durable = has(flag::FUA);
    let command = match header.command {
        command::READ => Command::Read { range: range()?, is_whole: has(flag::DF) },
        command::WRITE => Command::Write { offset: range()?.start, is_durable },
        // The range of a flush is reserved.
        command::FLUSH => Command::Flush,
        command::TRIM => Command::Trim { range: range()?, is_durable },
        command::CACHE => Command::Cache(range()?),
        command::WRITE_ZEROES => {
            Command::WriteZeroes { range: range()?, is_durable, keeps_space: has(flag::NO_HOLE) }
        }
        _ if agreement.contexts.is_empty() => return invalid("the client has chosen no context"),
        _ if header.len == 0 => return invalid("the range is empty"),
        _ => Command::BlockStatus { range: range()?, is_one: has(flag::REQ_ONE) },
    };
    Ok(Message::Execute(command))
}

fn range_of(header: &Header, size: u64) -> Result<Range<DiskOffset>, Refusal> {
    let end = header.offset.checked_add(header.len.into()).filter(|&end| end <= size);
    match end {
        Some(end) => Ok(DiskOffset::new(header.offset)..DiskOffset::new(end)),
        None => {
            let is_write = matches!(header.command, command::WRITE | command::WRITE_ZEROES);
            let code = if is_write { Code::NoSpace } else { Code::Invalid };
            Err(Refusal::new(code, format!("the range ends after the disk, which has {size} bytes")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::Export;
    use crate::nbd::context::Context;
    use crate::shared_disk::SharedDisk;
    use std::sync::Arc;

    const SIZE: u64 = 1 << 20;

    fn read_only() -> Agreement {
        let disk = vhdx::RawDisk::open_with(vhdx::Memory::new(vec![0; SIZE as usize]), "memory").unwrap();
        let disk = Arc::new(SharedDisk::read_only(Arc::new(disk), 1));
        let export = Export::new("x", "", disk).unwrap();
        Agreement { export, is_structured: true, contexts: vec![Context::Allocation] }
    }

    fn header(command: u16, flags: u16, offset: u64, len: u32) -> Header {
        Header { flags, command, cookie: 7, offset, len }
    }

    fn code(header: &Header, agreement: &Agreement) -> Option<Code> {
        validate(header, agreement, 65536).err().map(|refusal| refusal.code)
    }

    #[test]
    fn a_header_needs_its_magic_number() {
        let mut bytes = [0; REQUEST_HEADER];
        assert_eq!(Header::parse(&bytes), Err(NotARequest));
        bytes[..4].copy_from_slice(&REQUEST_MAGIC.to_be_bytes());
        bytes[4..].copy_from_slice(&[0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 5]);
        let header = Header::parse(&bytes).unwrap();
        assert_eq!(header, Header { flags: 1, command: 1, cookie: 9, offset: 512, len: 5 });
        assert_eq!(header.payload(), 5);
    }

    #[test]
    fn ranges_past_the_end_and_overflows_are_refused() {
        let agreement = read_only();
        for (offset, len) in [(SIZE, 1), (SIZE - 1, 2), (u64::MAX, 1), (u64::MAX, u32::MAX)] {
            assert_eq!(code(&header(command::BLOCK_STATUS, 0, offset, len), &agreement), Some(Code::Invalid));
            let len = len.min(65536);
            assert_eq!(code(&header(command::READ, 0, offset, len), &agreement), Some(Code::Invalid));
        }
        assert_eq!(code(&header(command::READ, 0, SIZE - 1, 1), &agreement), None);
        assert_eq!(code(&header(command::READ, 0, SIZE, 0), &agreement), None);
    }

    #[test]
    fn flags_must_fit_the_command() {
        let mut agreement = read_only();
        assert_eq!(code(&header(command::READ, flag::DF, 0, 512), &agreement), None);
        assert_eq!(code(&header(command::READ, flag::REQ_ONE, 0, 512), &agreement), Some(Code::Invalid));
        assert_eq!(code(&header(command::READ, flag::FUA, 0, 512), &agreement), Some(Code::Invalid));
        assert_eq!(code(&header(command::READ, 1 << 15, 0, 512), &agreement), Some(Code::Invalid));
        assert_eq!(code(&header(99, 0, 0, 512), &agreement), Some(Code::Invalid));
        let goodbye = header(command::DISC, 1 << 15, 0, 0);
        assert_eq!(validate(&goodbye, &agreement, 65536), Ok(Message::Disconnect));
        agreement.is_structured = false;
        assert_eq!(code(&header(command::READ, flag::DF, 0, 512), &agreement), Some(Code::Invalid));
    }

    #[test]
    fn payloads_are_limited_and_block_status_is_not() {
        let mut agreement = read_only();
        assert_eq!(code(&header(command::READ, 0, 0, 65537), &agreement), Some(Code::Invalid));
        assert_eq!(code(&header(command::READ, flag::DF, 0, 65537), &agreement), Some(Code::Overflow));
        assert_eq!(code(&header(command::BLOCK_STATUS, 0, 0, SIZE as u32), &agreement), None);
        assert_eq!(code(&header(command::BLOCK_STATUS, 0, 0, 0), &agreement), Some(Code::Invalid));
        agreement.contexts.clear();
        assert_eq!(code(&header(command::BLOCK_STATUS, 0, 0, 512), &agreement), Some(Code::Invalid));
    }

    #[test]
    fn changes_of_a_read_only_export_are_not_permitted() {
        let agreement = read_only();
        for command in [command::WRITE, command::TRIM, command::WRITE_ZEROES] {
            assert_eq!(code(&header(command, 0, 0, 512), &agreement), Some(Code::NotPermitted));
        }
        assert_eq!(code(&header(command::FLUSH, 0, 0, 0), &agreement), None);
    }
}
