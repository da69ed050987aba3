//! A server in this process, and the disks that it serves.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use tempfile::TempDir;
use vhdx::{Chain, ChainMut, FolderResolver, OpenOptions, ReadAt, Vhdx};
use vhdx_serve::{
    Client as ServerClient, ConnectionEnd, Events, Export, Limits, Listener, RequestFailure, ServeError,
    Server, SharedDisk, Stop,
};
use vhdx_testkit::{ChainModel, Headers, LayerModel, Operation, RegionTables};

use crate::client::Client;

/// A server that runs until it is dropped.
pub(crate) struct Running {
    pub(crate) socket: PathBuf,
    pub(crate) stop: Stop,
    pub(crate) log: Arc<Log>,
    thread: Option<JoinHandle<Result<(), ServeError>>>,
    _folder: TempDir,
}

/// What a server has reported.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) failures: Mutex<Vec<RequestFailure>>,
    pub(crate) handshakes: Mutex<Vec<String>>,
    pub(crate) ends: Mutex<Vec<ConnectionEnd>>,
}

impl Events for Log {
    fn closed(&self, _: &ServerClient, end: &ConnectionEnd) {
        self.ends.lock().unwrap().push(end.clone());
    }

    fn handshake_failed(&self, _: &str, reason: &str) {
        self.handshakes.lock().unwrap().push(reason.to_owned());
    }

    fn request_failed(&self, _: &ServerClient, failure: &RequestFailure) {
        self.failures.lock().unwrap().push(failure.clone());
    }
}

impl Running {
    pub(crate) fn new(exports: Vec<Export>, limits: Limits) -> Self {
        Self::start(exports, limits, |server| server)
    }

    pub(crate) fn start(exports: Vec<Export>, limits: Limits, change: fn(Server) -> Server) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let log = Arc::new(Log::default());
        let events = Arc::clone(&log) as Arc<dyn Events>;
        let server = change(Server::new(exports, 0, limits, events, None).unwrap());
        let listener = Listener::unix(&socket).unwrap();
        let stop = Stop::new();
        let of_thread = stop.clone();
        let thread = std::thread::spawn(move || server.run(vec![listener], &of_thread));
        Self { socket, stop, log, thread: Some(thread), _folder: folder }
    }

    /// Serves one disk with the default limits.
    pub(crate) fn of(disk: SharedDisk) -> Self {
        Self::new(vec![export("disk", disk)], Limits::default())
    }

    pub(crate) fn connect(&self) -> UnixStream {
        UnixStream::connect(&self.socket).unwrap()
    }

    /// A client that uses structured replies and all contexts.
    pub(crate) fn client(&self) -> Client {
        Client::structured(self.connect(), "")
    }

    pub(crate) fn uri(&self) -> String {
        format!("nbd+unix:///?socket={}", self.socket.display())
    }

    /// Waits until the server has ended.
    pub(crate) fn join(self) -> Result<(), ServeError> {
        self.join_and(|| ())
    }

    /// Waits until the server has ended, and calls `check` while its folder is still there.
    pub(crate) fn join_and(mut self, check: impl FnOnce()) -> Result<(), ServeError> {
        let result = self.thread.take().unwrap().join().unwrap();
        check();
        result
    }

    pub(crate) fn stop(self) -> Result<(), ServeError> {
        self.stop.stop();
        self.join()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

pub(crate) fn wait_until(mut condition: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !condition() {
        assert!(start.elapsed() < std::time::Duration::from_secs(20), "it did not happen");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

pub(crate) fn export(name: &str, disk: SharedDisk) -> Export {
    Export::new(name, format!("the disk {name}"), Arc::new(disk)).unwrap()
}

/// Three layers with data, zeros and gaps in each of them.
pub(crate) fn model(seed: u64) -> ChainModel {
    use vhdx::format::bat_entry::PayloadBlockState;
    let write = |start, count, zeros| Operation::Write { start, count, zeros };
    let state = PayloadBlockState::Zero;
    let layer = |operations| LayerModel {
        block_mib: 1,
        sectors: 6 * 2048 + 7,
        operations,
        second_linkage: false,
        shuffled: seed % 2 == 1,
        headers: Headers::Equal,
        region_tables: RegionTables::Both,
        log: None,
        is_fixed: false,
    };
    let base = vec![Operation::Fill { block: 0 }, Operation::Fill { block: 2 }, write(6 * 2048, 7, false)];
    let middle = vec![
        write(100, 50, false),
        write(5000, 40, false),
        Operation::Clear { block: 2, state, placed: false },
    ];
    let mut leaf = vec![write(110, 5, true), write(3 * 2048 + 1, 3, false)];
    // Every second sector of a part: the greatest fragmentation.
    leaf.extend((0..200).map(|number| write(4 * 2048 + 2 * number, 1, false)));
    ChainModel { seed, sector_size: 512, layers: [base, middle, leaf].map(layer).into() }
}

/// The disk of a chain as its guest sees it.
pub(crate) fn content(model: &ChainModel) -> Vec<u8> {
    model.disks().pop().unwrap()
}

pub(crate) fn chain(model: &ChainModel) -> Chain {
    chain_of(model.files())
}

/// A chain of files in memory, leaf first.
pub(crate) fn chain_of<S: ReadAt + 'static>(files: Vec<S>) -> Chain {
    let open = |(number, file)| {
        Vhdx::open_with(file, &OpenOptions::default().name(format!("layer{number}.vhdx"))).unwrap()
    };
    Chain::from_layers(files.into_iter().enumerate().map(open).collect()).unwrap()
}

pub(crate) fn read_only(chain: Chain) -> SharedDisk {
    let layers = chain.layers().len();
    SharedDisk::read_only(Arc::new(chain), layers)
}

/// The files of a model in a folder, open for writing.
pub(crate) fn writable(model: &ChainModel) -> (TempDir, PathBuf, ChainMut) {
    let folder = tempfile::tempdir().unwrap();
    let leaf = model.write_to(folder.path()).unwrap().remove(0);
    let disk = ChainMut::open(&leaf, &FolderResolver::default()).unwrap();
    (folder, leaf, disk)
}
