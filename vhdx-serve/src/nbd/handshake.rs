//! The handshake: fixed newstyle, from the greeting to the choice of an export.

use std::io::{self, Read, Write};

use super::bytes::Fields;
use super::context::Context;
use super::offer::{Agreement, Offer, transmission_flags};
use super::options::{ClientOption, Malformed, Replies};
use super::protocol::{INIT_MAGIC, OPTION_HEADER, OPTION_MAGIC, handshake_flag, option, option_reply};
use crate::export::{Export, MAX_NAME_LENGTH};
use crate::limits::Limits;

/// The longest option that is read and refused. A longer one ends the connection.
const MAX_SKIPPED: u32 = 1 << 20;
/// The zeros after the reply to `EXPORT_NAME`, for a client that does not do without.
const RESERVED: usize = 124;

const NOT_FIXED: &str =
    "the client sent an option that needs the fixed newstyle handshake, which it did not choose";

/// The end of a handshake.
#[derive(Debug)]
pub(super) enum Negotiated {
    /// The client has chosen an export; requests follow.
    Chosen(Agreement),
    /// The client has left, as the protocol allows.
    Left,
    /// The client broke the protocol or a limit.
    Failed(String),
}

/// Speaks with a client until it has chosen an export.
///
/// # Errors
/// Those of `stream`. An end of it within a message is one.
pub(super) fn negotiate(
    stream: &mut (impl Read + Write),
    offer: &Offer,
    limits: &Limits,
) -> io::Result<Negotiated> {
    let flags = handshake_flag::FIXED_NEWSTYLE | handshake_flag::NO_ZEROES;
    let mut greeting = Vec::new();
    greeting.extend(INIT_MAGIC.to_be_bytes());
    greeting.extend(OPTION_MAGIC.to_be_bytes());
    greeting.extend(flags.to_be_bytes());
    stream.write_all(&greeting)?;
    let mut client_flags = [0; 4];
    match stream.read_exact(&mut client_flags) {
        // It may only have tried whether somebody listens.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Negotiated::Left),
        result => result?,
    }
    let client_flags = u32::from_be_bytes(client_flags);
    if client_flags & !u32::from(flags) != 0 {
        return Ok(Negotiated::Failed(format!("the client set unknown flags: {client_flags:#x}")));
    }
    let has = |flag: u16| client_flags & u32::from(flag) != 0;
    let mut handshake = Handshake {
        offer,
        limits,
        is_fixed: has(handshake_flag::FIXED_NEWSTYLE),
        without_zeroes: has(handshake_flag::NO_ZEROES),
        is_structured: false,
        contexts: None,
    };
    for _ in 0..limits.options {
        if let Some(end) = handshake.option(stream)? {
            return Ok(end);
        }
    }
    Ok(Negotiated::Failed(format!("the client sent more than {} options", limits.options)))
}

struct Handshake<'a> {
    offer: &'a Offer,
    limits: &'a Limits,
    is_fixed: bool,
    without_zeroes: bool,
    is_structured: bool,
    /// The contexts that are set, and the name of the export for which they are.
    contexts: Option<(String, Vec<Context>)>,
}

impl Handshake<'_> {
    /// Reads one option and answers it. Returns the end of the handshake if it was the last one.
    fn option(&mut self, stream: &mut (impl Read + Write)) -> io::Result<Option<Negotiated>> {
        let mut header = [0; OPTION_HEADER];
        stream.read_exact(&mut header)?;
        let mut fields = Fields::new(&header);
        let (Some(magic), Some(number), Some(len)) = (fields.u64(), fields.u32(), fields.u32()) else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        if magic != OPTION_MAGIC {
            return failed("the client sent something that is not an option");
        }
        if len > self.limits.option_length {
            if len > MAX_SKIPPED {
                return failed(&format!("the client sent an option of {len} bytes"));
            }
            if !self.is_fixed {
                return failed(NOT_FIXED);
            }
            if number == option::SET_META_CONTEXT {
                self.contexts = None;
            }
            io::copy(&mut stream.take(len.into()), &mut io::sink())?;
            let text = format!("an option may have at most {} bytes", self.limits.option_length);
            stream.write_all(Replies::new(number).error(option_reply::ERR_TOO_BIG, &text).bytes())?;
            return Ok(None);
        }
        let mut data = vec![0; len as usize]; // at most the limit
        stream.read_exact(&mut data)?;
        let parsed = ClientOption::parse(number, &data);
        if !self.is_fixed && !matches!(parsed, Ok(ClientOption::ExportName(_))) {
            // Such a client understands no reply to an option.
            return failed(NOT_FIXED);
        }
        let replies = Replies::new(number);
        match parsed {
            Err(Malformed) => {
                if number == option::SET_META_CONTEXT {
                    self.contexts = None;
                }
                let text = "the data of the option is malformed";
                reply(stream, &replies.error(option_reply::ERR_INVALID, text))
            }
            Ok(option) => self.answer(option, replies, stream),
        }
    }

    fn answer(
        &mut self,
        option: ClientOption<'_>,
        mut replies: Replies,
        stream: &mut impl Write,
    ) -> io::Result<Option<Negotiated>> {
        match option {
            ClientOption::ExportName(name) => return self.export_name(name, stream),
            ClientOption::Abort => {
                // The client may be gone already.
                let _ = stream.write_all(replies.acknowledge().bytes());
                return Ok(Some(Negotiated::Left));
            }
            ClientOption::List => {
                self.offer.exports().iter().for_each(|export| replies.server(export));
                replies = replies.acknowledge();
            }
            ClientOption::Info { name, wants_name, wants_description, is_last } => {
                let Some(export) = self.offer.find(name) else {
                    return reply(stream, &unknown(replies, name));
                };
                replies.export(export, self.is_structured, self.limits.request_payload);
                if wants_name {
                    replies.name(export);
                }
                if wants_description && !export.description().is_empty() {
                    replies.description(export);
                }
                stream.write_all(replies.acknowledge().bytes())?;
                return Ok(is_last.then(|| self.chosen(export)));
            }
            ClientOption::StructuredReply => {
                self.is_structured = true;
                replies = replies.acknowledge();
            }
            ClientOption::Contexts { name, matching, is_set } => {
                replies = self.contexts(name, matching, is_set, replies);
            }
            ClientOption::StartTls => {
                replies = replies.error(option_reply::ERR_POLICY, "this server does not use TLS");
            }
            ClientOption::Unknown => {
                replies = replies.error(option_reply::ERR_UNSUP, "the option is not supported");
            }
        }
        reply(stream, &replies)
    }

    /// Answers `EXPORT_NAME`, which has no way to report an error.
    fn export_name(&self, name: &[u8], stream: &mut impl Write) -> io::Result<Option<Negotiated>> {
        let Some(export) = self.offer.find(name) else {
            return failed(&format!("the client asked for an unknown export: {}", shown(name)));
        };
        let mut bytes = Vec::new();
        bytes.extend(export.disk().virtual_size().to_be_bytes());
        bytes.extend(transmission_flags(export, self.is_structured).to_be_bytes());
        if !self.without_zeroes {
            bytes.extend([0; RESERVED]);
        }
        stream.write_all(&bytes)?;
        Ok(Some(self.chosen(export)))
    }

    fn contexts(
        &mut self,
        name: &[u8],
        matching: Vec<Context>,
        is_set: bool,
        mut replies: Replies,
    ) -> Replies {
        if is_set {
            self.contexts = None;
        }
        if !self.is_structured {
            return replies.error(option_reply::ERR_INVALID, "structured replies must be negotiated first");
        }
        let Some(export) = self.offer.find(name) else { return unknown(replies, name) };
        for &context in &matching {
            // The number has no meaning in a list.
            replies.context(if is_set { context.id() } else { 0 }, context);
        }
        if is_set {
            self.contexts = Some((export.name().to_owned(), matching));
        }
        replies.acknowledge()
    }

    fn chosen(&self, export: &Export) -> Negotiated {
        // Contexts that were set for another export do not count.
        let contexts = self.contexts.iter().filter(|(name, _)| name == export.name());
        Negotiated::Chosen(Agreement {
            export: export.clone(),
            is_structured: self.is_structured,
            contexts: contexts.flat_map(|(_, contexts)| contexts.iter().copied()).collect(),
        })
    }
}

fn failed(reason: &str) -> io::Result<Option<Negotiated>> {
    Ok(Some(Negotiated::Failed(reason.to_owned())))
}

fn reply(stream: &mut impl Write, replies: &Replies) -> io::Result<Option<Negotiated>> {
    stream.write_all(replies.bytes())?;
    Ok(None)
}

fn unknown(replies: Replies, name: &[u8]) -> Replies {
    replies.error(option_reply::ERR_UNKNOWN, &format!("there is no export {}", shown(name)))
}

/// Returns a name of a client for a message.
fn shown(name: &[u8]) -> String {
    let start = name.get(..MAX_NAME_LENGTH.min(256)).unwrap_or(name);
    let end = if start.len() < name.len() { "…" } else { "" };
    format!("{:?}{end}", String::from_utf8_lossy(start))
}
