//! TCP, and sockets that another program has opened.

use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;

use vhdx_serve::{Address, Limits, Listener, NoEvents, Server, Stop};

use crate::client::Client;
use crate::harness::{chain, content, export, model, read_only};

#[test]
fn several_listeners_serve_the_same_exports_until_the_server_stops() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("given");
    let listeners = vec![
        Listener::tcp("127.0.0.1:0").unwrap(),
        Listener::from_tcp(TcpListener::bind("127.0.0.1:0").unwrap()).unwrap(),
        Listener::from_unix(UnixListener::bind(&path).unwrap()).unwrap(),
    ];
    let addresses: Vec<Address> = listeners.iter().map(|listener| listener.address().clone()).collect();
    let exports = vec![export("disk", read_only(chain(&model(1))))];
    let server = Server::new(exports, 0, Limits::default(), Arc::new(NoEvents), None).unwrap();
    let stop = Stop::new();
    let of_thread = stop.clone();
    let thread = std::thread::spawn(move || server.run(listeners, &of_thread));
    for address in &addresses {
        let greeting = match address {
            Address::Tcp(address) => {
                let mut greeting = [0; 8];
                std::io::Read::read_exact(&mut TcpStream::connect(address).unwrap(), &mut greeting).unwrap();
                greeting
            }
            Address::Unix(path) => {
                let mut client = Client::structured(UnixStream::connect(path).unwrap(), "disk");
                assert_eq!(client.read(0, 512), content(&model(1))[..512]);
                continue;
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(&greeting, b"NBDMAGIC");
    }
    stop.stop();
    thread.join().unwrap().unwrap();
    assert!(path.exists(), "a socket of another program stays");
    let Address::Tcp(address) = addresses[0] else { panic!() };
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn servers_that_cannot_be_are_refused() {
    let disk = || export("disk", read_only(chain(&model(1))));
    let new = |exports, default, limits| Server::new(exports, default, limits, Arc::new(NoEvents), None);
    assert!(new(vec![], 0, Limits::default()).is_err());
    assert!(new(vec![disk()], 1, Limits::default()).is_err());
    assert!(new(vec![disk(), disk()], 0, Limits::default()).is_err());
    let mut limits = Limits::default();
    limits.connections = 0;
    assert!(new(vec![disk()], 0, limits).is_err());
}
