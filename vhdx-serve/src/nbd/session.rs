//! The life of a client: the handshake, its requests and its end.

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::connection::{Connection, Request};
use super::handshake::{Negotiated, negotiate};
use super::incoming::Incoming;
use super::offer::Agreement;
use super::outbox::Outbox;
use super::protocol::{Code, REQUEST_HEADER};
use super::request::{Header, Message, Refusal, validate};
use super::shared::Shared;
use super::socket::{SharedSocket, Socket, Waiting};
use super::transfer::wait_time;
use crate::events::{Client, ConnectionEnd};

/// The bytes of small replies that are sent together.
const BATCH: usize = 128 << 10;

/// Serves a client until it leaves. Calls `on_chosen` when it has chosen an export.
pub(super) fn serve(
    shared: &Arc<Shared>,
    socket: &Arc<Socket>,
    number: u64,
    peer: String,
    on_chosen: impl FnOnce(),
) {
    let agreement = match shake_hands(shared, socket) {
        Ok(Negotiated::Chosen(agreement)) => agreement,
        Ok(Negotiated::Left) => return,
        Ok(Negotiated::Failed(reason)) => return shared.events.handshake_failed(&peer, &reason),
        Err(_) if shared.is_stopping() => return,
        Err(error) => return shared.events.handshake_failed(&peer, &in_handshake(&error)),
    };
    let client = Client { number, peer, export: agreement.export.name().to_owned() };
    on_chosen();
    shared.events.opened(&client);
    let end = match serve_export(shared, socket, client.clone(), agreement) {
        Ok(end) => end,
        Err(_) if shared.is_stopping() => ConnectionEnd::Stopped,
        Err(error) => ConnectionEnd::Failed(in_requests(&error)),
    };
    shared.events.closed(&client, &end);
}

fn shake_hands(shared: &Shared, socket: &Socket) -> io::Result<Negotiated> {
    let (limits, until) = (&shared.limits, Instant::now() + shared.limits.handshake_time);
    socket.prepare()?;
    let negotiated = negotiate(&mut Timed { socket, until }, &shared.offer, limits)?;
    let wait = wait_time(limits.message_time);
    socket.set_read_timeout(wait)?;
    // On Windows a socket cannot be used after a time-out.
    socket.set_write_timeout(if cfg!(windows) { limits.message_time } else { wait })?;
    Ok(negotiated)
}

/// A socket that can be used until a certain time.
struct Timed<'a> {
    socket: &'a Socket,
    until: Instant,
}

impl Timed<'_> {
    fn left(&self) -> io::Result<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        // A socket takes zero as no limit.
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(self.left()?)?;
        let mut socket = self.socket;
        socket.read(buf)
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(self.left()?)?;
        let mut socket = self.socket;
        socket.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Serves the requests of a client. A second thread sends the replies.
fn serve_export(
    shared: &Arc<Shared>,
    socket: &Arc<Socket>,
    client: Client,
    agreement: Agreement,
) -> io::Result<ConnectionEnd> {
    let limits = &shared.limits;
    // A client that does not read its replies leaves room for the others.
    let most_bytes = (limits.bytes_in_flight / 4).max(limits.request_payload.into());
    let stream = Box::new(SharedSocket(Arc::clone(socket)));
    let (of_outbox, account) = (Arc::clone(socket), shared.budget.account());
    // The thread that reads requests notices the end of the stream then.
    let on_failure = Box::new(move || of_outbox.shut_down(Shutdown::Both));
    let outbox =
        Outbox::new(stream, on_failure, limits.message_time, limits.requests_in_flight, most_bytes, account);
    let connection = Connection::new(Arc::clone(shared), client, agreement, outbox);
    let sender = {
        let outbox = Arc::clone(&connection.outbox);
        let send = move || outbox.send_all();
        thread::Builder::new().name("nbd-send".to_owned()).spawn(send)?
    };
    // A panic is a bug. It must not keep the other thread from ending.
    let end = catch_unwind(AssertUnwindSafe(|| {
        serve_requests(Waiting { socket, time: wait_time(limits.message_time) }, &connection)
    }));
    connection.outbox.end();
    let _ = sender.join(); // it has no result
    let end = end.map_err(|_| io::Error::other("the server panicked; this is a bug"))??;
    match connection.outbox.failure() {
        // The stream ended because replies could not be sent.
        Some(error) if end == ConnectionEnd::Closed => Err(error),
        _ => Ok(end),
    }
}

/// Executes requests until the client leaves or the server stops. Replies may still be on their way then.
///
/// If replies can no longer be sent, the changes that the client has sent already are executed nevertheless.
///
/// # Errors
/// The reason why the connection cannot be used any more.
pub(super) fn serve_requests(stream: impl Read, connection: &Arc<Connection>) -> io::Result<ConnectionEnd> {
    let shared = &connection.shared;
    let mut reader = RequestReader {
        incoming: Incoming::new(stream, shared.limits.message_time, Arc::clone(connection.outbox.account())),
        connection,
        replies: Vec::new(),
        payload: Vec::new(),
    };
    loop {
        if reader.incoming.buffered() < REQUEST_HEADER {
            reader.send_replies();
        }
        let Some(header) = reader.incoming.header(|| shared.is_stopping())? else {
            let is_stopping = shared.is_stopping();
            return Ok(if is_stopping { ConnectionEnd::Stopped } else { ConnectionEnd::Closed });
        };
        match validate(&header, &connection.agreement, shared.limits.request_payload) {
            Ok(Message::Disconnect) => {
                reader.send_replies();
                return Ok(ConnectionEnd::Disconnected);
            }
            Ok(Message::Execute(_)) if shared.is_stopping() => {
                reader.refuse(&header, Refusal::new(Code::ShuttingDown, "the server is shutting down"))?;
            }
            Ok(Message::Execute(command)) => reader.execute(Request { header, command })?,
            Err(refusal) => reader.refuse(&header, refusal)?,
        }
        if reader.replies.len() >= BATCH {
            reader.send_replies();
        }
    }
}

/// The thread that reads the requests of a client.
struct RequestReader<'a, R> {
    incoming: Incoming<R>,
    connection: &'a Arc<Connection>,
    /// Whole replies that are not sent yet. They are sent before this thread waits for the client.
    replies: Vec<u8>,
    /// The payload of a small write.
    payload: Vec<u8>,
}

impl<R: Read> RequestReader<'_, R> {
    fn send_replies(&mut self) {
        if !self.replies.is_empty() {
            self.connection.outbox.send(&mut [IoSlice::new(&self.replies)]);
            self.replies.clear();
        }
    }

    fn refuse(&mut self, header: &Header, refusal: Refusal) -> io::Result<()> {
        if self.incoming.buffered() < header.payload() as usize {
            self.send_replies();
        }
        self.incoming.skip_payload(header.payload())?;
        self.connection.refuse(header, refusal, &mut self.replies);
        Ok(())
    }

    /// Executes a small request here if that is faster, and passes every other one on.
    fn execute(&mut self, request: Request) -> io::Result<()> {
        if self.connection.is_pointless(&request) {
            return Ok(());
        }
        let payload = request.header.payload() as usize; // at most the greatest payload
        if self.incoming.buffered() < payload {
            self.send_replies();
        }
        if request.is_small() && self.connection.is_fast() {
            self.payload.resize(payload, 0);
            self.incoming.payload(&mut self.payload)?;
            self.connection.answer_small(&request, &self.payload, &mut self.replies);
            return Ok(());
        }
        // The client may wait for a reply before it takes others, whose slots are needed here.
        self.send_replies();
        let shared = &self.connection.shared;
        let content = self.connection.memory(&request);
        let mut slot = self.connection.outbox.begin(content);
        slot.permit = (content > 0).then(|| self.connection.outbox.account().take(content));
        let payload = match payload {
            0 => None,
            len => {
                let mut payload = shared.buffers.take(len);
                self.incoming.payload(&mut payload)?;
                Some(payload)
            }
        };
        if request.is_soon_done() && self.connection.is_fast() {
            let reply = self.connection.answer(&request, payload.as_deref().unwrap_or(&[]));
            self.connection.outbox.send(&mut reply.slices());
            return Ok(());
        }
        self.connection.pass_on(request, payload, slot);
        Ok(())
    }
}

fn in_handshake(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => "the handshake took too long".to_owned(),
        io::ErrorKind::UnexpectedEof => "the client left in the handshake".to_owned(),
        _ => format!("the handshake failed: {error}"),
    }
}

fn in_requests(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
            "the client was too slow to send a request or to take a reply".to_owned()
        }
        io::ErrorKind::UnexpectedEof => "the client left in the middle of a request".to_owned(),
        io::ErrorKind::InvalidData => "the client sent something that is not a request".to_owned(),
        _ => format!("the connection failed: {error}"),
    }
}
