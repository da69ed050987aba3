//! Defines [`Connection`]: a client that has chosen an export, and the execution of its requests.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use super::block_status::most_bytes;
use super::buffers::{Buffer, Buffers};
use super::execute::{Failure, change, execute, read_small};
use super::offer::Agreement;
use super::outbox::{Outbox, Slot};
use super::pace::Pace;
use super::protocol::Code;
use super::queue::Job;
use super::reply::{Reply, put_error, put_simple};
use super::request::{Command, Header, Refusal};
use super::shared::Shared;
use crate::events::{Client, RequestFailure};

/// The greatest content of a request whose reply is sent together with others, in bytes.
const SMALL: u32 = 32 << 10;
/// The greatest content of a request that may delay the next one of its client, in bytes.
const MEDIUM: u32 = 1 << 20;
/// The greatest range in bytes that is changed without being a long job.
const LONG: u32 = 32 << 20;

/// A client that has chosen an export.
pub(super) struct Connection {
    pub(super) shared: Arc<Shared>,
    pub(super) client: Client,
    pub(super) agreement: Agreement,
    pub(super) outbox: Arc<Outbox>,
    pace: Pace,
}

/// A valid request.
pub(super) struct Request {
    pub(super) header: Header,
    pub(super) command: Command,
}

impl Request {
    /// Returns whether the reply is best sent together with others.
    pub(super) fn is_small(&self) -> bool {
        self.is_soon_done() && self.header.len <= SMALL
    }

    /// Returns whether it may take much longer than a request with the greatest payload.
    fn is_long(&self) -> bool {
        matches!(self.command, Command::WriteZeroes { .. } | Command::Trim { .. }) && self.header.len > LONG
    }

    /// Returns whether it takes little time if the content is in the memory of the host.
    pub(super) fn is_soon_done(&self) -> bool {
        match self.command {
            Command::Read { .. } | Command::Write { is_durable: false, .. } => self.header.len <= MEDIUM,
            _ => false,
        }
    }
}

impl Connection {
    pub(super) fn new(
        shared: Arc<Shared>,
        client: Client,
        agreement: Agreement,
        outbox: Arc<Outbox>,
    ) -> Arc<Self> {
        Arc::new(Self { shared, client, agreement, outbox, pace: Pace::default() })
    }

    /// Returns whether requests that are soon done are executed best by the thread that reads them.
    pub(super) fn is_fast(&self) -> bool {
        self.pace.is_fast()
    }

    /// Returns whether a request need not be executed, because its reply cannot be sent and is all that it is for.
    ///
    /// A change is executed in any case: the client has sent it, and may have left without waiting for replies.
    pub(super) fn is_pointless(&self, request: &Request) -> bool {
        let has_only_reply =
            matches!(request.command, Command::Read { .. } | Command::BlockStatus { .. } | Command::Cache(_));
        has_only_reply && self.outbox.is_broken()
    }

    /// The bytes of memory for the content of a request or of its reply.
    pub(super) fn memory(&self, request: &Request) -> u64 {
        match request.command {
            Command::Read { .. } | Command::Write { .. } => match request.header.len {
                0 => 0,
                len => Buffers::size(len as usize) as u64,
            },
            Command::BlockStatus { is_one: false, .. } => {
                most_bytes(request.header.len, self.agreement.contexts.len()) as u64
            }
            _ => 0,
        }
    }

    /// Passes a request to the workers. The one that executes it puts the reply into the outbox.
    pub(super) fn pass_on(self: &Arc<Self>, request: Request, payload: Option<Buffer>, slot: Slot) {
        let connection = Arc::clone(self);
        let is_long = request.is_long();
        let work = move || {
            if connection.is_pointless(&request) {
                return;
            }
            let reply = connection.answer(&request, payload.as_deref().unwrap_or(&[]));
            // The slot stands for its bytes.
            drop(payload);
            connection.outbox.push(reply, slot);
        };
        self.shared.jobs.push(self.client.number, Job { work: Box::new(work), is_long });
    }

    /// Executes a small request, and appends its reply to `out`.
    pub(super) fn answer_small(&self, request: &Request, payload: &[u8], out: &mut Vec<u8>) {
        let start = Instant::now();
        let Request { header, command } = request;
        let result = match command {
            Command::Read { range, .. } => read_small(&self.agreement, header.cookie, range, out),
            _ => change(&self.agreement, command, payload).map(|()| put_simple(out, header.cookie, None)),
        };
        self.pace.add(start, header.len);
        if let Err(failure) = result {
            self.put_failure(header, failure, out);
        }
    }

    /// Executes a request.
    pub(super) fn answer(&self, request: &Request, payload: &[u8]) -> Reply {
        let (Request { header, command }, start) = (request, Instant::now());
        let execute = || execute(&self.agreement, &self.shared.buffers, header.cookie, command, payload);
        // A panic is a bug. It must end neither the worker nor the other requests.
        let result = catch_unwind(AssertUnwindSafe(execute)).unwrap_or_else(|_| {
            let reason = "the server panicked; this is a bug".to_owned();
            Err(Failure { code: Code::Io, reason, offset: None, is_client_error: false })
        });
        if request.is_soon_done() {
            self.pace.add(start, header.len);
        }
        result.unwrap_or_else(|failure| {
            let mut heads = Vec::new();
            self.put_failure(header, failure, &mut heads);
            Reply::of(heads)
        })
    }

    /// Appends the answer to a request that cannot be executed.
    pub(super) fn refuse(&self, header: &Header, refusal: Refusal, out: &mut Vec<u8>) {
        let Refusal { code, reason } = refusal;
        self.put_failure(header, Failure { code, reason, offset: None, is_client_error: true }, out);
    }

    fn put_failure(&self, header: &Header, failure: Failure, out: &mut Vec<u8>) {
        let Failure { code, reason, offset, is_client_error } = failure;
        // The reason may have paths of this host, which are no business of the client.
        let text =
            if is_client_error { &reason } else { "the disk failed; the server has reported the reason" };
        match self.agreement.is_structured {
            true => put_error(out, header.cookie, code, text, offset),
            false => put_simple(out, header.cookie, Some(code)),
        }
        self.shared.events.request_failed(
            &self.client,
            &RequestFailure {
                command: header.command_name(),
                offset: header.offset,
                len: header.len.into(),
                code: code.name(),
                is_client_error,
                reason,
            },
        );
    }
}
