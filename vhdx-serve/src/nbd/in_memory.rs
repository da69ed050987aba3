//! Both phases of the protocol without sockets, for tests with arbitrary bytes.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::connection::Connection;
use super::context::Context;
use super::handshake::negotiate;
use super::offer::{Agreement, Offer};
use super::outbox::Outbox;
use super::session::serve_requests;
use super::shared::Shared;
use crate::events::{Client, NoEvents};
use crate::export::Export;
use crate::limits::Limits;

/// Longer than any test.
const TIME: Duration = Duration::from_secs(1000);

/// A stream whose input is known, and whose output is kept.
struct Stream<'a> {
    input: &'a [u8],
    output: Vec<u8>,
}

impl Read for Stream<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.input.read(buf)
    }
}

impl Write for Stream<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.output.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Speaks the handshake with a client that sends `bytes`. Returns what the server sends, and the name of the export that
/// the client has chosen.
pub fn answer_options(exports: Vec<Export>, bytes: &[u8]) -> (Vec<u8>, Option<String>) {
    let mut stream = Stream { input: bytes, output: Vec::new() };
    let Some(offer) = Offer::new(exports, 0) else { return (Vec::new(), None) };
    let negotiated = negotiate(&mut stream, &offer, &Limits::default());
    let name = match negotiated {
        Ok(super::handshake::Negotiated::Chosen(agreement)) => Some(agreement.export.name().to_owned()),
        _ => None,
    };
    (stream.output, name)
}

/// The output of a connection.
#[derive(Clone, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

impl Write for Output {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Answers the requests of a client that sends `bytes` and wants all contexts. Returns what the server sends.
pub fn answer_requests(export: Export, is_structured: bool, bytes: &[u8]) -> Vec<u8> {
    let Some(offer) = Offer::new(vec![export.clone()], 0) else { return Vec::new() };
    // All requests are read before the first one that is passed on is executed, so none may wait for a slot.
    let limits = Limits { requests_in_flight: usize::MAX, bytes_in_flight: u64::MAX, ..Limits::default() };
    let shared = Shared::new(offer, limits, Arc::new(NoEvents));
    let contexts = if is_structured { Context::ALL.to_vec() } else { Vec::new() };
    let client = Client { number: 1, peer: String::new(), export: export.name().to_owned() };
    let output = Output::default();
    let outbox = Outbox::new(
        Box::new(output.clone()),
        Box::new(|| {}),
        TIME,
        usize::MAX,
        u64::MAX,
        shared.budget.account(),
    );
    let agreement = Agreement { export, is_structured, contexts };
    let connection = Connection::new(Arc::clone(&shared), client, agreement, Arc::clone(&outbox));
    thread::scope(|scope| {
        scope.spawn(|| outbox.send_all());
        let _ = serve_requests(bytes, &connection);
        shared.jobs.end();
        while let Some(job) = shared.jobs.pop() {
            (job.work)();
            shared.jobs.finish(job.is_long);
        }
        outbox.end();
    });
    std::mem::take(&mut output.0.lock().unwrap_or_else(PoisonError::into_inner))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared_disk::SharedDisk;
    use proptest::prelude::*;

    /// Options whose numbers and lengths mostly fit.
    fn options() -> impl Strategy<Value = Vec<u8>> {
        let option = (0..13_u32, prop::collection::vec(any::<u8>(), 0..40), 0..20_u32);
        let bytes = option.prop_map(|(number, data, longer)| {
            let len = data.len() as u32 + longer.saturating_sub(18);
            [b"IHAVEOPT", &number.to_be_bytes()[..], &len.to_be_bytes(), &data].concat()
        });
        let options = prop::collection::vec(bytes, 0..8);
        (0..5_u8, options).prop_map(|(flags, options)| [vec![0, 0, 0, flags], options.concat()].concat())
    }

    /// Requests whose ranges are mostly on the disk.
    fn requests() -> impl Strategy<Value = Vec<u8>> {
        let flags = prop_oneof![3 => Just(0_u16), 1 => any::<u16>()];
        let len = prop_oneof![0..2000_u32, 0..2_000_000_u32, any::<u32>()];
        let request = (0..9_u16, flags, 0..1_100_000_u64, len).prop_map(|(command, flags, offset, len)| {
            let mut bytes = 0x2560_9513_u32.to_be_bytes().to_vec();
            bytes.extend(flags.to_be_bytes());
            bytes.extend(command.to_be_bytes());
            bytes.extend([9; 8]);
            bytes.extend(offset.to_be_bytes());
            bytes.extend(len.to_be_bytes());
            let payload = if command == 1 { len.min(10_000) } else { 0 };
            bytes.resize(bytes.len() + payload as usize, 3);
            bytes
        });
        prop::collection::vec(request, 0..20).prop_map(|requests| requests.concat())
    }

    proptest! {
        #[test]
        fn any_options_have_short_answers(bytes in prop_oneof![options(), prop::collection::vec(any::<u8>(), 0..200)]) {
            let (output, _) = answer_options(vec![export()], &bytes);
            prop_assert!(output.starts_with(b"NBDMAGICIHAVEOPT"));
            prop_assert!(output.len() <= 200 + 1024 * (1 + bytes.len() / 16));
        }

        #[test]
        fn any_requests_have_whole_replies(bytes in requests()) {
            let mut output = &answer_requests(export(), true, &bytes)[..];
            let mut replies = 0;
            while !output.is_empty() {
                let is_simple = output.starts_with(&[0x67, 0x44, 0x66, 0x98]);
                prop_assert!(is_simple || output.starts_with(&[0x66, 0x8e, 0x33, 0xef]));
                let payload = if is_simple { 0 } else {
                    4 + u32::from_be_bytes(output[16..20].try_into().unwrap()) as usize
                };
                replies += usize::from(is_simple || output[5] & 1 == 1);
                output = &output[16 + payload..];
            }
            prop_assert!(replies <= bytes.len() / 28);
        }
    }

    fn export() -> Export {
        let disk = vhdx::RawDisk::open_with(vhdx::Memory::new(vec![5; 1 << 20]), "memory").unwrap();
        Export::new("memory", "", Arc::new(SharedDisk::read_only(Arc::new(disk), 1))).unwrap()
    }

    #[test]
    fn both_phases_run_in_memory() {
        let bytes = [&[0, 0, 0, 3][..], b"IHAVEOPT", &[0, 0, 0, 1, 0, 0, 0, 6], b"memory"].concat();
        let (output, name) = answer_options(vec![export()], &bytes);
        assert_eq!((output.len(), name.as_deref()), (18 + 10, Some("memory")));
        let mut bytes = 0x2560_9513_u32.to_be_bytes().to_vec();
        bytes.extend([0; 2 + 2 + 8 + 8]);
        bytes.extend([0, 0, 0, 9]);
        assert_eq!(answer_requests(export(), false, &bytes)[16..], [5; 9]);
        assert_eq!(answer_requests(export(), true, &bytes)[28..], [5; 9]);
        // A block status, which a worker executes.
        bytes[7] = 7;
        assert_eq!(answer_requests(export(), true, &bytes).len(), 3 * (20 + 4 + 8));
    }
}
