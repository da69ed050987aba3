//! Runs servers of other projects on this machine.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use vhdx_testkit::shared;

/// A server that is ended when it is dropped.
pub(crate) struct Program {
    child: Child,
    pub(crate) port: u16,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Starts a server and waits until it takes connections. `None`, loudly, if the program is not installed.
pub(crate) fn start(command: &mut Command, port: u16) -> Option<Program> {
    let started = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let child = match started {
        Ok(child) => child,
        Err(error) => {
            return shared::skip(&format!("{} cannot be run: {error}", command.get_program().display()));
        }
    };
    let mut program = Program { child, port };
    let start = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        let ended = program.child.try_wait().unwrap();
        assert!(ended.is_none(), "{command:?} ended: {ended:?}");
        assert!(start.elapsed() < Duration::from_secs(60), "{command:?} takes no connections");
        sleep(Duration::from_millis(50));
    }
    Some(program)
}
