//! Storages that fail while their disk is served.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use vhdx::{ChainMut, FileOffset, ReadAt, Source, Storage, VhdxMut};
use vhdx_serve::SharedDisk;
use vhdx_testkit::SparseImage;

use crate::client::{BLOCK_STATUS, DF, EIO, ENOSPC, FLUSH, READ};
use crate::harness::{Running, chain_of, content, model, read_only};

/// Reads fail within a range of the file; writes and syncs fail while a switch is set.
#[derive(Clone)]
struct Failing {
    storage: Arc<std::sync::Mutex<SparseImage>>,
    bad: std::ops::Range<u64>,
    is_full: Arc<AtomicBool>,
    is_slow: bool,
}

impl Failing {
    fn new(storage: SparseImage, bad: std::ops::Range<u64>) -> Self {
        let storage = Arc::new(std::sync::Mutex::new(storage));
        Self { storage, bad, is_full: Arc::default(), is_slow: false }
    }

    fn check(&self) -> io::Result<()> {
        if self.is_full.load(Ordering::Relaxed) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl ReadAt for Failing {
    fn size(&self) -> io::Result<u64> {
        self.storage.lock().unwrap().size_()
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: FileOffset) -> io::Result<()> {
        if self.is_slow {
            std::thread::sleep(Duration::from_millis(2));
        }
        let end = offset.get() + buf.len() as u64;
        if offset.get() < self.bad.end && self.bad.start < end {
            return Err(io::Error::other("bad medium"));
        }
        self.storage.lock().unwrap().read_exact_at(buf, offset)
    }
}

/// Both traits of an image have a method `size`.
trait Size {
    fn size_(&self) -> io::Result<u64>;
}

impl Size for SparseImage {
    fn size_(&self) -> io::Result<u64> {
        ReadAt::size(self)
    }
}

impl Storage for Failing {
    fn write_all_at(&self, buf: &[u8], offset: FileOffset) -> io::Result<()> {
        self.check()?;
        self.storage.lock().unwrap().write(offset.get(), buf);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check()?;
        self.storage.lock().unwrap().set_len(len);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.check()
    }
}

/// The place in its file of the first sector of the disk, and the number of the file.
fn place(model: &vhdx_testkit::ChainModel) -> (u64, usize) {
    let sector = vhdx::DiskOffset::new(0)..vhdx::DiskOffset::new(512);
    let source = chain_of(model.files()).extents(sector).next().unwrap().unwrap().source;
    let Source::Data { offset, layer } = source else { panic!("no data") };
    (offset.get(), layer)
}

#[test]
fn only_the_requests_that_need_a_bad_place_fail() {
    let (model, expected) = (model(3), content(&model(3)));
    let (offset, layer) = place(&model);
    let bad = offset + 8192..offset + 8193;
    let files: Vec<Failing> = model
        .files()
        .into_iter()
        .enumerate()
        .map(|(number, file)| Failing::new(file, if number == layer { bad.clone() } else { 0..0 }))
        .collect();
    let server = Running::of(read_only(chain_of(files)));
    let mut client = server.client();
    for (offset, len, flags) in [(8192, 512, 0), (0, 1 << 20, 0), (0, 1 << 20, DF), (8000, 200, 0)] {
        let answer = client.ask(READ, flags, offset, len, &[]);
        assert_eq!(answer.error, Some(EIO));
        assert!(answer.text.contains("the disk failed") && !answer.text.contains("layer"), "{}", answer.text);
        let place = answer.error_offset.unwrap_or(offset);
        assert!((offset..offset + u64::from(len)).contains(&place));
        assert!(answer.chunks.is_empty());
        assert_eq!(client.read(0, 8192), expected[..8192]);
        assert_eq!(client.read(8193, 50_000), expected[8193..58_193]);
    }
    assert_eq!(client.ask(BLOCK_STATUS, 0, 0, 1 << 20, &[]).error, None);
    let failures = server.log.failures.lock().unwrap();
    assert_eq!(failures.len(), 4);
    for failure in &*failures {
        assert!(!failure.is_client_error && failure.code == "EIO" && failure.command == "read", "{failure}");
        assert!(failure.reason.contains("layer2"), "{failure}");
    }
}

#[test]
fn after_a_full_storage_nothing_is_called_durable() {
    let model = model(3);
    let mut files = model.files().into_iter();
    let leaf = Failing::new(files.next().unwrap(), 0..0);
    let is_full = Arc::clone(&leaf.is_full);
    let parents = chain_of(files.collect()).layers().to_vec();
    let leaf = VhdxMut::open_with(Arc::new(leaf), &vhdx::OpenOptions::default()).unwrap();
    let disk = Arc::new(SharedDisk::writable(ChainMut::from_layers(leaf, parents).unwrap()));
    let export = vhdx_serve::Export::new("disk", "", Arc::clone(&disk)).unwrap();
    let server = Running::new(vec![export], vhdx_serve::Limits::default());
    let (mut client, mut other) = (server.client(), server.client());
    assert_eq!(client.write(0, 0, &[1; 512]), None);
    assert_eq!(client.change(FLUSH, 0, 0, 0), None);
    is_full.store(true, Ordering::Relaxed);
    assert_eq!(client.write(0, 1 << 20, &vec![2; 1 << 20]), Some(ENOSPC));
    is_full.store(false, Ordering::Relaxed);
    for client in [&mut client, &mut other] {
        assert_eq!(client.write(0, 0, &[3; 512]), Some(EIO));
        assert_eq!(client.change(FLUSH, 0, 0, 0), Some(EIO));
        assert_eq!(client.read(0, 512), [1; 512]);
    }
    assert!(matches!(server.stop(), Err(vhdx_serve::ServeError::Flush { .. })));
    assert!(disk.close().is_err());
}

#[test]
fn a_bad_parent_fails_one_write_and_not_the_disk() {
    let model = model(3);
    let (offset, layer) = place(&model);
    assert!(layer > 0);
    let mut files = model.files().into_iter();
    let leaf = Failing::new(files.next().unwrap(), 0..0);
    let copy = leaf.clone();
    let parents = files.enumerate().map(|(number, file)| {
        Failing::new(file, if number + 1 == layer { offset..offset + 512 } else { 0..0 })
    });
    let parents = chain_of(parents.collect()).layers().to_vec();
    let leaf = VhdxMut::open_with(Arc::new(leaf), &vhdx::OpenOptions::default()).unwrap();
    let disk = Arc::new(SharedDisk::writable(ChainMut::from_layers(leaf, parents).unwrap()));
    let export = vhdx_serve::Export::new("disk", "", Arc::clone(&disk)).unwrap();
    let server = Running::new(vec![export], vhdx_serve::Limits::default());
    let mut client = server.client();
    assert_eq!(client.write(0, 1 << 20, &[1; 512]), None);
    // The rest of the sector cannot be read.
    assert_eq!(client.write(0, 3, &[2]), Some(EIO));
    assert_eq!(client.write(0, (1 << 20) + 512, &[3; 512]), None);
    assert_eq!(client.change(FLUSH, 0, 0, 0), None);
    assert_eq!(client.write(0, 0, &[4; 512]), None);
    server.stop().unwrap();
    disk.close().unwrap();
    let leaf = vhdx::Vhdx::open_with(copy, &vhdx::OpenOptions::default()).unwrap();
    assert_eq!(leaf.log(), vhdx::LogState::Clean);
}

#[test]
fn slow_storages_are_read_by_several_workers() {
    let (model, expected) = (model(3), content(&model(3)));
    let slow = |file| Failing { is_slow: true, ..Failing::new(file, 0..0) };
    let server = Running::of(read_only(chain_of(model.files().into_iter().map(slow).collect())));
    let mut client = server.client();
    assert_eq!(client.read(0, 4096), expected[..4096]);
    let start = std::time::Instant::now();
    let lens = (0..200).map(|number| (client.send(READ, 0, number * 4096, 4096, &[]), 4096)).collect();
    assert!(client.answers(&lens).unwrap().values().all(|answer| answer.error.is_none()));
    assert!(start.elapsed() < Duration::from_secs(20));
}
