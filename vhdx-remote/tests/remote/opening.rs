//! Opens chains, finds parents, and counts requests.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use vhdx::{Chain, Disk, DiskOffset, OpenOptions, ParentResolver, Vhdx};
use vhdx_remote::{Remote, RemoteOptions, RemoteResolver};
use vhdx_testkit::http::{Bucket, FileServer, Handler, HttpServer, Request};
use vhdx_testkit::{ChainModel, Headers, LayerModel, Operation, RegionTables, name};

use crate::s3;

/// A chain of eight disks. Each writes some sectors of all blocks.
pub(crate) fn model() -> ChainModel {
    let layer = |number: u64| LayerModel {
        block_mib: 1,
        sectors: 8 * 2048,
        operations: (0..8)
            .map(|block| Operation::Write { start: block * 2048 + number * 17, count: 40, zeros: false })
            .collect(),
        second_linkage: false,
        shuffled: number % 2 == 1,
        headers: Headers::FirstIsCurrent,
        region_tables: RegionTables::Both,
        log: None,
        is_fixed: false,
    };
    ChainModel { seed: 1, sector_size: 512, layers: (0..8).map(layer).collect() }
}

fn open(remote: &Remote, leaf: &Path, resolver: &dyn ParentResolver) -> vhdx::Result<Chain> {
    let options = OpenOptions::default().name(leaf);
    let file = remote.open(leaf).map_err(|error| vhdx::Error::io("open", None, error))?;
    Chain::from_leaf(Vhdx::open_with(file, &options)?, resolver)
}

fn content(chain: &Chain) -> Vec<u8> {
    let mut bytes = vec![0; chain.virtual_size() as usize];
    Disk::read_exact_at(chain, &mut bytes, DiskOffset::new(0)).unwrap();
    bytes
}

fn bucket(model: &ChainModel, prefix: &str) -> Bucket {
    let bucket = Bucket::default();
    for (number, image) in model.images().iter().enumerate() {
        bucket.put(&format!("{prefix}{}", name(number)), image.sparse());
    }
    bucket
}

fn web(model: &ChainModel) -> FileServer {
    let files = FileServer::default();
    for (number, image) in model.images().iter().enumerate() {
        files.put(&format!("/vm/{}", name(number)), image.sparse());
    }
    files
}

const DELAY: Duration = Duration::from_millis(400);

/// Options for a server that is slow, but not broken.
fn with_patience(mut options: RemoteOptions) -> RemoteOptions {
    options.idle_timeout = Duration::from_secs(20);
    options
}

/// A server whose answers take a while, and when each request came and was answered.
struct Slow {
    server: HttpServer,
    times: Arc<Mutex<Vec<(Instant, Instant)>>>,
}

impl Slow {
    fn start(handler: impl Handler) -> Self {
        let times: Arc<Mutex<Vec<(Instant, Instant)>>> = Arc::default();
        let kept = Arc::clone(&times);
        let server = HttpServer::start(move |request: &Request| {
            let begin = Instant::now();
            thread::sleep(DELAY);
            let response = handler(request);
            kept.lock().unwrap().push((begin, Instant::now()));
            response
        });
        Self { server, times }
    }

    /// Returns how many requests waited for one another: the most that do not overlap in time.
    fn round_trips(&self) -> usize {
        let mut times = self.times.lock().unwrap().clone();
        times.sort_by_key(|(_, end)| *end);
        let (mut count, mut free) = (0, None);
        for (begin, end) in times {
            if free.is_none_or(|free| begin >= free) {
                (count, free) = (count + 1, Some(end));
            }
        }
        count
    }
}

/// Opens a chain after `prepare`, and checks the requests and the round trips.
fn is_opened_fast(remote: &Remote, resolver: &RemoteResolver, leaf: &Path, slow: &Slow) -> Chain {
    resolver.prepare(leaf);
    let chain = open(remote, leaf, resolver).unwrap();
    assert_eq!(chain.layers().len(), 8);
    let (requests, round_trips) = (slow.server.take_requests(), slow.round_trips());
    let lists = requests.iter().filter(|request| request.query.contains("list-type")).count();
    eprintln!("8 layers: {} requests in {round_trips} round trips", requests.len());
    assert!(lists <= 1, "{lists} lists");
    assert!(requests.len() - lists <= 3 * 8, "{} requests", requests.len());
    assert!(round_trips <= 4, "{round_trips} round trips");
    chain
}

#[test]
fn a_chain_in_a_bucket_opens_in_four_round_trips() {
    let model = model();
    let slow = Slow::start(bucket(&model, "vm/").handler());
    let remote = Remote::new(with_patience(crate::s3_options(&slow.server)));
    let leaf = remote.add("s3://bucket/vm/layer-7.avhdx").unwrap();
    let chain = is_opened_fast(&remote, &RemoteResolver::new(&remote), &leaf, &slow);
    assert!(content(&chain) == *model.disks().last().unwrap());
    let paths: Vec<_> = chain.layers().iter().map(|layer| layer.path().unwrap().to_owned()).collect();
    assert_eq!(paths[7], Path::new("s3://bucket/vm/base.vhdx"));
}

#[test]
fn a_chain_whose_layers_are_named_opens_in_four_round_trips() {
    let model = model();
    let slow = Slow::start(web(&model).handler());
    let remote = Remote::new(with_patience(crate::options()));
    let add = |layer: usize| remote.add(&slow.server.url(&format!("/vm/{}", name(layer)))).unwrap();
    let named: Vec<PathBuf> = (0..7).rev().map(add).collect();
    let mut resolver = RemoteResolver::new(&remote);
    resolver.named = named;
    let chain = is_opened_fast(&remote, &resolver, &add(7), &slow);
    assert!(content(&chain) == *model.disks().last().unwrap());
}

/// A web server has no lists: each parent is found when its child was read.
#[test]
fn parents_beside_a_file_of_a_web_server_are_found_by_name() {
    let model = model();
    let server = web(&model).start();
    let remote = crate::remote();
    let leaf = remote.add(&server.url("/vm/layer-7.avhdx")).unwrap();
    let chain = open(&remote, &leaf, &RemoteResolver::new(&remote)).unwrap();
    assert!(content(&chain) == *model.disks().last().unwrap());
}

/// Names in another letter case, in another prefix, and names that tell nothing.
#[test]
fn parents_are_found_in_other_prefixes_and_by_guid() {
    let model = model();
    let bucket = Bucket::default();
    let names = [
        "parents/BASE.VHDX",
        "parents/layer-1.AVHDX",
        "parents/renamed.vhdx",
        "vm/Layer-3.avhdx",
        "vm/other name.avhdx",
        "vm/layer-5.avhdx",
        "vm/layer-6.avhdx",
        "vm/layer-7.avhdx",
    ];
    for (key, image) in names.iter().zip(model.images()) {
        bucket.put(key, image.sparse());
    }
    // Another disk under the right name, and something that is no disk.
    let mut other = model.clone();
    other.seed = 2;
    bucket.put("vm/layer-1.avhdx", other.images()[1].sparse());
    bucket.put("vm/garbage.vhdx", vec![1; 5000]);
    let server = bucket.start();
    let remote = s3(&server);
    let leaf = remote.add("s3://bucket/vm/layer-7.avhdx").unwrap();
    let mut resolver = RemoteResolver::new(&remote);
    let error = open(&remote, &leaf, &resolver).unwrap_err();
    assert!(error.chain_error().is_some(), "{error}");
    resolver.folders = vec![remote.add("s3://bucket/parents").unwrap()];
    let chain = open(&remote, &leaf, &resolver).unwrap();
    assert!(content(&chain) == *model.disks().last().unwrap());
}

#[test]
fn a_missing_parent_names_the_places() {
    let model = model();
    let bucket = Bucket::default();
    bucket.put("vm/layer-7.avhdx", model.images()[7].sparse());
    let server = bucket.start();
    let remote = s3(&server);
    let leaf = remote.add("s3://bucket/vm/layer-7.avhdx").unwrap();
    let error = open(&remote, &leaf, &RemoteResolver::new(&remote)).unwrap_err().to_string();
    assert!(error.contains("layer-6.avhdx") && error.contains("s3://bucket/vm/"), "{error}");
}

#[test]
fn a_named_parent_that_is_not_used_is_an_error() {
    let model = model();
    let bucket = bucket(&model, "");
    let server = bucket.start();
    let remote = s3(&server);
    let leaf = remote.add("s3://bucket/layer-1.avhdx").unwrap();
    let mut resolver = RemoteResolver::new(&remote);
    resolver.named = ["base.vhdx", "layer-2.avhdx"].map(|name| format!("s3://bucket/{name}").into()).into();
    assert!(open(&remote, &leaf, &resolver).is_err());
    resolver.named.pop();
    assert_eq!(open(&remote, &leaf, &resolver).unwrap().layers().len(), 2);
}

/// A signature is for one file. Without an error, it would be left out.
#[test]
fn a_prefix_with_a_query_is_an_error() {
    let server = web(&model()).start();
    let remote = Remote::new(RemoteOptions::default());
    let leaf = remote.add(&server.url("/vm/layer-1.avhdx?signature=secret")).unwrap();
    let mut resolver = RemoteResolver::new(&remote);
    resolver.folders = vec![remote.add(&server.url("/vm/?signature=secret")).unwrap()];
    let error = open(&remote, &leaf, &resolver).unwrap_err().to_string();
    assert!(error.contains("must not have a query") && !error.contains("secret"), "{error}");
}
