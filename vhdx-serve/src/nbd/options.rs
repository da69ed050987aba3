//! Options of the handshake as values, and the replies to them.

use super::bytes::Fields;
use super::context::Context;
use super::offer::transmission_flags;
use super::protocol::{OPTION_REPLY_MAGIC, info, option, option_reply};
use crate::export::Export;

/// An option that a client has sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ClientOption<'a> {
    ExportName(&'a [u8]),
    Abort,
    List,
    /// `INFO` or `GO`.
    Info {
        name: &'a [u8],
        wants_name: bool,
        wants_description: bool,
        /// Whether the client begins to send requests, as with `GO`.
        is_last: bool,
    },
    StructuredReply,
    /// `LIST_META_CONTEXT` or `SET_META_CONTEXT`.
    Contexts {
        name: &'a [u8],
        /// The contexts that match the queries.
        matching: Vec<Context>,
        is_set: bool,
    },
    StartTls,
    Unknown,
}

/// An option whose data is not as the protocol says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl<'a> ClientOption<'a> {
    /// Parses the data of an option.
    pub(super) fn parse(number: u32, data: &'a [u8]) -> Result<Self, Malformed> {
        let without_data = |option| if data.is_empty() { Ok(option) } else { Err(Malformed) };
        match number {
            option::EXPORT_NAME => Ok(Self::ExportName(data)),
            // Data here is an error of the client, but it leaves in any case.
            option::ABORT => Ok(Self::Abort),
            option::LIST => without_data(Self::List),
            option::INFO => Self::info(Fields::new(data), false).ok_or(Malformed),
            option::GO => Self::info(Fields::new(data), true).ok_or(Malformed),
            option::STRUCTURED_REPLY => without_data(Self::StructuredReply),
            option::LIST_META_CONTEXT => Self::contexts(Fields::new(data), false).ok_or(Malformed),
            option::SET_META_CONTEXT => Self::contexts(Fields::new(data), true).ok_or(Malformed),
            option::STARTTLS => without_data(Self::StartTls),
            _ => Ok(Self::Unknown),
        }
    }

    fn info(mut fields: Fields<'a>, is_last: bool) -> Option<Self> {
        let name = fields.string()?;
        let (mut wants_name, mut wants_description) = (false, false);
        for _ in 0..fields.u16()? {
            match fields.u16()? {
                info::NAME => wants_name = true,
                info::DESCRIPTION => wants_description = true,
                // The others are sent in any case, or unknown.
                _ => {}
            }
        }
        fields.is_empty().then_some(Self::Info { name, wants_name, wants_description, is_last })
    }

    fn contexts(mut fields: Fields<'a>, is_set: bool) -> Option<Self> {
        let name = fields.string()?;
        let count = fields.u32()?;
        // A list without a query is that of all contexts.
        let mut is_chosen = [count == 0 && !is_set; Context::ALL.len()];
        for _ in 0..count {
            let query = fields.string()?;
            for (chosen, context) in is_chosen.iter_mut().zip(Context::ALL) {
                // A namespace is a query for a list only.
                *chosen |= if is_set { query == context.name().as_bytes() } else { context.matches(query) };
            }
        }
        let matching = Context::ALL.into_iter().zip(is_chosen).filter(|(_, chosen)| *chosen);
        let matching = matching.map(|(context, _)| context).collect();
        fields.is_empty().then_some(Self::Contexts { name, matching, is_set })
    }
}

/// The bytes of replies to one option.
#[derive(Debug)]
pub(super) struct Replies {
    option: u32,
    bytes: Vec<u8>,
}

impl Replies {
    pub(super) fn new(option: u32) -> Self {
        Self { option, bytes: Vec::new() }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Adds a reply whose data are the `parts`, which come from this server and are short.
    fn add(&mut self, kind: u32, parts: &[&[u8]]) {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        self.bytes.extend(OPTION_REPLY_MAGIC.to_be_bytes());
        self.bytes.extend(self.option.to_be_bytes());
        self.bytes.extend(kind.to_be_bytes());
        self.bytes.extend(length(len).to_be_bytes());
        parts.iter().for_each(|part| self.bytes.extend(*part));
    }

    pub(super) fn acknowledge(mut self) -> Self {
        self.add(option_reply::ACK, &[]);
        self
    }

    /// Adds an error with a text for people.
    pub(super) fn error(mut self, kind: u32, text: &str) -> Self {
        self.add(kind, &[text.as_bytes()]);
        self
    }

    /// Adds an entry of the list of exports.
    pub(super) fn server(&mut self, export: &Export) {
        let name = export.name().as_bytes();
        self.add(
            option_reply::SERVER,
            &[&length(name.len()).to_be_bytes(), name, export.description().as_bytes()],
        );
    }

    pub(super) fn context(&mut self, id: u32, context: Context) {
        self.add(option_reply::META_CONTEXT, &[&id.to_be_bytes(), context.name().as_bytes()]);
    }

    /// Adds the size, the flags and the block sizes of an export.
    pub(super) fn export(&mut self, export: &Export, is_structured: bool, max_payload: u32) {
        let flags = transmission_flags(export, is_structured);
        let size = export.disk().virtual_size();
        self.info(info::EXPORT, &[&size.to_be_bytes(), &flags.to_be_bytes()]);
        // Every byte can be read and written on its own. Whole pages are faster.
        let sizes = [1, 4096, max_payload].map(u32::to_be_bytes);
        self.info(info::BLOCK_SIZE, &[sizes.as_flattened()]);
    }

    pub(super) fn name(&mut self, export: &Export) {
        self.info(info::NAME, &[export.name().as_bytes()]);
    }

    pub(super) fn description(&mut self, export: &Export) {
        self.info(info::DESCRIPTION, &[export.description().as_bytes()]);
    }

    fn info(&mut self, kind: u16, parts: &[&[u8]]) {
        let data = parts.concat();
        self.add(option_reply::INFO, &[&kind.to_be_bytes(), &data]);
    }
}

/// The length of a part of a reply as a field. Names and descriptions have at most 4096 bytes.
fn length(len: usize) -> u32 {
    debug_assert!(len <= 4 * crate::export::MAX_NAME_LENGTH);
    len as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(number: u32, data: &[u8]) -> Option<ClientOption<'_>> {
        ClientOption::parse(number, data).ok()
    }

    #[test]
    fn lengths_that_do_not_fit_are_malformed() {
        // The name is longer than the data; a request is missing; a byte is left over.
        for data in [&[0, 0, 0, 9, b'a'][..], &[0, 0, 0, 0, 0, 1], &[0, 0, 0, 0, 0, 0, 0], &[0, 0]] {
            assert_eq!(parse(option::GO, data), None, "{data:?}");
            assert_eq!(parse(option::INFO, data), None, "{data:?}");
        }
        assert_eq!(parse(option::LIST, &[0]), None);
        assert_eq!(parse(option::STRUCTURED_REPLY, &[0]), None);
        // 2^32 - 1 queries that are not there.
        let queries = [0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(parse(option::SET_META_CONTEXT, &queries), None);
    }

    #[test]
    fn information_is_asked_for_by_number() {
        let data = [0, 0, 0, 1, b'x', 0, 3, 0, 2, 0xff, 0xff, 0, 3];
        let name = b"x";
        let expected = ClientOption::Info { name, wants_name: false, wants_description: true, is_last: true };
        assert_eq!(parse(option::GO, &data), Some(expected));
    }

    #[test]
    fn contexts_are_chosen_by_queries() {
        let chosen = |number, queries: &[&str]| {
            let mut data = vec![0, 0, 0, 0];
            data.extend((queries.len() as u32).to_be_bytes());
            for query in queries {
                data.extend((query.len() as u32).to_be_bytes());
                data.extend(query.as_bytes());
            }
            match parse(number, &data) {
                Some(ClientOption::Contexts { matching, .. }) => matching,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(chosen(option::LIST_META_CONTEXT, &[]), Context::ALL);
        assert_eq!(chosen(option::SET_META_CONTEXT, &[]), []);
        assert_eq!(chosen(option::LIST_META_CONTEXT, &["qemu:", "other:x"]), [Context::Depth]);
        assert_eq!(chosen(option::SET_META_CONTEXT, &["qemu:"]), []);
        let twice = ["vhdx:layer", "base:allocation", "vhdx:layer"];
        assert_eq!(chosen(option::SET_META_CONTEXT, &twice), [Context::Allocation, Context::Layer]);
    }
}
