//! Plain reads with io_uring: one thread, many reads in flight.

#![expect(unsafe_code, reason = "the kernel writes into the buffers of reads in flight")]

use std::fs::File;
use std::mem::ManuallyDrop;
use std::os::fd::AsRawFd;

use anyhow::{Context as _, Result, ensure};
use io_uring::{IoUring, opcode, types};

use super::read::Consume;
use super::request::Request;
use crate::harness::files::aligned_buffer;

/// Returns whether the kernel permits io_uring.
pub(super) fn is_available() -> bool {
    IoUring::new(2).is_ok()
}

/// Carries out the reads, at most `depth` at a time, and hands on the bytes of each.
pub(super) fn read_each(
    sources: &[File],
    requests: &[Request],
    depth: u32,
    consume: Consume<'_>,
) -> Result<()> {
    let longest = requests.iter().map(|request| request.len).max().unwrap_or(0);
    // While a read is in flight, the kernel writes into its buffer. So the buffers are freed only if all is well.
    let mut memory = ManuallyDrop::new(Vec::new());
    let stride = longest.next_multiple_of(4096).max(4096);
    let buffers: Vec<&mut [u8]> =
        aligned_buffer(&mut memory, stride * depth as usize).chunks_exact_mut(stride).collect();
    let mut flight = Flight { sources, requests, buffers, reading: vec![0; depth as usize] };
    let mut ring = IoUring::new(depth).context("io_uring")?;
    flight.read_all(&mut ring, consume)?;
    drop(ManuallyDrop::into_inner(memory));
    Ok(())
}

struct Flight<'a> {
    sources: &'a [File],
    requests: &'a [Request],
    /// The buffer of each slot.
    buffers: Vec<&'a mut [u8]>,
    /// The request of each slot.
    reading: Vec<usize>,
}

impl Flight<'_> {
    fn read_all(&mut self, ring: &mut IoUring, consume: Consume<'_>) -> Result<()> {
        let mut free: Vec<usize> = (0..self.buffers.len()).collect();
        let (mut next, mut finished) = (0, 0);
        while finished < self.requests.len() {
            while next < self.requests.len() {
                let Some(slot) = free.pop() else { break };
                self.push(ring, slot, next)?;
                next += 1;
            }
            ring.submit_and_wait(1)?;
            let done: Vec<(usize, i32)> =
                ring.completion().map(|entry| (entry.user_data() as usize, entry.result())).collect();
            for (slot, result) in done {
                let request = &self.requests[self.reading[slot]];
                let read = usize::try_from(result)
                    .map_err(|_| std::io::Error::from_raw_os_error(result.saturating_neg()))?;
                ensure!(read == request.len, "a read is short: {read} of {} bytes", request.len);
                consume(request, &self.buffers[slot][..read])?;
                free.push(slot);
                finished += 1;
            }
        }
        Ok(())
    }

    fn push(&mut self, ring: &mut IoUring, slot: usize, number: usize) -> Result<()> {
        let request = &self.requests[number];
        self.reading[slot] = number;
        let buf = &mut self.buffers[slot][..request.len];
        let file = types::Fd(self.sources[request.source].as_raw_fd());
        let len = u32::try_from(buf.len())?;
        let read = opcode::Read::new(file, buf.as_mut_ptr(), len).offset(request.from).build();
        // SAFETY: the buffer is as long as the read, and is used by nothing else until the read is complete. It is
        // freed only after all reads are complete.
        unsafe { ring.submission().push(&read.user_data(slot as u64)) }?;
        Ok(())
    }
}
