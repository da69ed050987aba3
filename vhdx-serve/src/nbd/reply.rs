//! Defines [`Reply`]: the bytes of the answer to one request.

use std::io::IoSlice;

use super::block_status::Statuses;
use super::buffers::Buffer;
use super::protocol::{CHUNK_DONE, Code, SIMPLE_REPLY_MAGIC, STRUCTURED_REPLY_MAGIC, chunk};

/// The longest text in a reply in bytes.
const LONGEST_TEXT: usize = 1024;

/// The answer to one request: headers, and between them parts of a buffer.
#[derive(Debug)]
pub(super) struct Reply {
    /// The bytes of all headers.
    heads: Vec<u8>,
    /// For each header in turn its length, and the length of the part of `content` that follows it.
    parts: Vec<(usize, usize)>,
    content: Option<Buffer>,
}

/// A part of the content of a read, in the order of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The first byte on the disk.
    pub(super) start: u64,
    /// The length in bytes; never 0. A request has a length of 32 bits.
    pub(super) len: u32,
    /// Whether the bytes are zeros, and not in the buffer.
    pub(super) is_hole: bool,
}

impl Reply {
    /// Returns a reply that consists of some bytes.
    pub(super) fn of(heads: Vec<u8>) -> Self {
        Self { parts: vec![(heads.len(), 0)], heads, content: None }
    }

    /// Returns the content of a read for a client that does not understand chunks.
    pub(super) fn simple_read(cookie: u64, content: Buffer) -> Self {
        let mut heads = Vec::new();
        put_simple(&mut heads, cookie, None);
        Self { parts: vec![(heads.len(), content.len())], heads, content: Some(content) }
    }

    /// Returns the content of a read in chunks. The runs that are no holes fill `content`.
    pub(super) fn read(cookie: u64, runs: &[Run], content: Buffer) -> Self {
        let (mut heads, mut parts) = (Vec::new(), Vec::new());
        for (number, run) in runs.iter().enumerate() {
            let flags = if number + 1 == runs.len() { CHUNK_DONE } else { 0 };
            let before = heads.len();
            let in_content = if run.is_hole {
                put_hole(&mut heads, flags, cookie, run)
            } else {
                put_data(&mut heads, flags, cookie, run.start, run.len)
            };
            parts.push((heads.len() - before, in_content));
        }
        if runs.is_empty() {
            put_done(&mut heads, cookie);
            parts.push((heads.len(), 0));
        }
        Self { heads, parts, content: Some(content) }
    }

    /// Returns the lists of a block status, one for each context and at least one.
    pub(super) fn block_status(cookie: u64, lists: &[Statuses]) -> Self {
        let mut heads = Vec::new();
        for (number, list) in lists.iter().enumerate() {
            let flags = if number + 1 == lists.len() { CHUNK_DONE } else { 0 };
            let len = 4 + 8 * list.descriptors.len(); // the number of descriptors is limited
            put_chunk(&mut heads, flags, chunk::BLOCK_STATUS, cookie, len as u32);
            heads.extend(list.context.id().to_be_bytes());
            for (len, status) in &list.descriptors {
                heads.extend(len.to_be_bytes());
                heads.extend(status.to_be_bytes());
            }
        }
        Self::of(heads)
    }

    /// Returns the parts of the reply in their order.
    pub(super) fn slices(&self) -> Vec<IoSlice<'_>> {
        let (mut heads, mut content) = (&self.heads[..], self.content.as_deref().unwrap_or(&[]));
        let mut slices = Vec::with_capacity(2 * self.parts.len());
        for &(of_heads, of_content) in &self.parts {
            for (rest, len) in [(&mut heads, of_heads), (&mut content, of_content)] {
                // The lengths add up to those of both buffers.
                let (now, later) = rest.split_at_checked(len).unwrap_or((rest, &[]));
                if !now.is_empty() {
                    slices.push(IoSlice::new(now));
                }
                *rest = later;
            }
        }
        slices
    }
}

/// Appends a simple reply without content: success, or an error.
pub(super) fn put_simple(out: &mut Vec<u8>, cookie: u64, code: Option<Code>) {
    out.extend(SIMPLE_REPLY_MAGIC.to_be_bytes());
    out.extend(code.map_or(0, Code::number).to_be_bytes());
    out.extend(cookie.to_be_bytes());
}

/// Appends the header of a chunk with `len` bytes of payload.
fn put_chunk(out: &mut Vec<u8>, flags: u16, kind: u16, cookie: u64, len: u32) {
    out.extend(STRUCTURED_REPLY_MAGIC.to_be_bytes());
    out.extend(flags.to_be_bytes());
    out.extend(kind.to_be_bytes());
    out.extend(cookie.to_be_bytes());
    out.extend(len.to_be_bytes());
}

/// Appends a chunk that only says that the request was successful.
pub(super) fn put_done(out: &mut Vec<u8>, cookie: u64) {
    put_chunk(out, CHUNK_DONE, chunk::NONE, cookie, 0);
}

/// Appends the start of the only chunk of a read; its content follows.
pub(super) fn put_only_data(out: &mut Vec<u8>, cookie: u64, start: u64, len: u32) {
    put_data(out, CHUNK_DONE, cookie, start, len);
}

/// Appends the start of a chunk with content. Returns the length of the content.
fn put_data(out: &mut Vec<u8>, flags: u16, cookie: u64, start: u64, len: u32) -> usize {
    // The greatest payload is far less than 2^32 - 8.
    put_chunk(out, flags, chunk::OFFSET_DATA, cookie, len.saturating_add(8));
    out.extend(start.to_be_bytes());
    len as usize
}

fn put_hole(out: &mut Vec<u8>, flags: u16, cookie: u64, run: &Run) -> usize {
    put_chunk(out, flags, chunk::OFFSET_HOLE, cookie, 12);
    out.extend(run.start.to_be_bytes());
    out.extend(run.len.to_be_bytes());
    0
}

/// Appends a chunk that reports an error, with the place of the error on the disk if it is known.
pub(super) fn put_error(out: &mut Vec<u8>, cookie: u64, code: Code, text: &str, offset: Option<u64>) {
    let text = cut(text, LONGEST_TEXT).as_bytes();
    let (kind, end) = match offset {
        Some(_) => (chunk::ERROR_OFFSET, 8),
        None => (chunk::ERROR, 0),
    };
    let len = 6 + text.len() + end; // at most LONGEST_TEXT + 14
    put_chunk(out, CHUNK_DONE, kind, cookie, len as u32);
    out.extend(code.number().to_be_bytes());
    out.extend((text.len() as u16).to_be_bytes());
    out.extend(text);
    if let Some(offset) = offset {
        out.extend(offset.to_be_bytes());
    }
}

/// Returns the start of `text` that has at most `limit` bytes and ends between two characters.
fn cut(text: &str, limit: usize) -> &str {
    let mut end = limit.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nbd::buffers::Buffers;
    use std::sync::Arc;

    #[test]
    fn chunks_come_in_order_with_their_content_and_the_last_one_is_marked() {
        let mut content = Arc::new(Buffers::default()).take(6);
        content.copy_from_slice(b"abcdef");
        let run = |start, len, is_hole| Run { start, len, is_hole };
        let reply = Reply::read(7, &[run(10, 4, false), run(14, 100, true), run(114, 2, false)], content);
        let bytes: Vec<u8> = reply.slices().iter().flat_map(|slice| slice.to_vec()).collect();
        assert_eq!(bytes.len(), (28 + 4) + 32 + (28 + 2));
        assert_eq!(&bytes[28..32], b"abcd");
        assert_eq!(&bytes[92..], b"ef");
        let flags = [bytes[5], bytes[32 + 5], bytes[64 + 5]];
        assert_eq!(flags, [0, 0, 1]);
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        let mut out = Vec::new();
        put_error(&mut out, 1, Code::Io, &"ä".repeat(600), Some(5));
        assert_eq!(out.len(), 20 + 6 + 1024 + 8);
        let mut out = Vec::new();
        put_error(&mut out, 1, Code::Io, &format!("a{}", "ä".repeat(600)), None);
        assert_eq!(out.len(), 20 + 6 + 1023);
    }
}
