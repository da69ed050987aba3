//! Arguments that `vhdx serve` does not accept. Nothing is made or changed then.

use std::os::unix::net::UnixListener;

use serde_json::json;

use super::server::Server;
use crate::images::{family, write};
use crate::nbd_client::Client;
use crate::run;
use crate::run::Ran;
use vhdx_testkit::Image;

#[track_caller]
fn says(ran: Ran, code: i32, text: &str) {
    let ran = ran.exits(code);
    assert!(ran.stderr.contains(text), "{}", ran.stderr);
}

#[test]
fn an_address_must_be_given_and_be_one_of_this_host() {
    let family = family();
    let leaf = family.leaf();
    says(run!("serve", leaf), 2, "--unix PATH");
    says(run!("serve", leaf, "--tcp", "0.0.0.0:0"), 2, "refused to listen on 0.0.0.0:0");
    says(run!("serve", leaf, "--tcp", "[::]:0"), 2, "other hosts could reach it");
    says(run!("serve", leaf, "--tcp", "0.0.0.0:0", "--listen-any"), 2, "--insecure");
    says(run!("serve", leaf, "--tcp", "localhost"), 2, "--tcp");
    says(run!("serve", leaf, "--tcp", "127.0.0.1:0", "--unix", "s"), 2, "cannot be used with");
    says(run!("serve", leaf, "--unix", family.path("none/s")), 6, "cannot listen on");
}

#[test]
fn a_socket_in_use_is_kept_and_a_left_over_one_is_replaced() {
    let family = family();
    let socket = family.path("socket");
    let other = UnixListener::bind(&socket).unwrap();
    says(run!("serve", family.leaf(), "--unix", socket), 6, "another server listens there");
    drop(other);
    assert!(socket.exists());
    let new = family.path("new.avhdx");
    let held = UnixListener::bind(family.path("held")).unwrap();
    says(run!("serve", family.leaf(), "--unix", family.path("held"), "--overlay", new), 6, "another server");
    assert!(!new.exists(), "no child is made if the address is in use");
    drop(held);
}

#[test]
fn writes_go_to_one_place_of_one_disk() {
    let family = family();
    let before = family.files();
    let (leaf, new) = (family.leaf(), family.path("new.avhdx"));
    let socket = family.path("socket");
    let serve = ["--unix".as_ref(), socket.as_os_str()];
    let [unix, path] = serve;
    says(run!("serve", leaf, family.base(), "--snapshot", unix, path), 2, "exactly one FILE");
    says(run!("serve", leaf, "--snapshot", "--writable", unix, path), 2, "cannot be used with");
    says(run!("serve", leaf, "--overlay", family.path("new.raw"), unix, path), 2, "must end in .vhdx");
    says(run!("serve", leaf, "--overlay", family.mid(), unix, path), 6, "exists");
    says(run!("serve", leaf, "--overlay", family.path("none/new.avhdx"), unix, path), 6, "none");
    let refused = run!("serve", family.mid(), "--writable", unix, path, "--json").exits(5);
    assert_eq!(refused.error()["kind"], "chain");
    assert_eq!(refused.error()["path"], json!(family.mid()));
    assert!(refused.error()["message"].as_str().unwrap().contains("leaf.avhdx"), "{}", refused.stderr);
    // A file that may be a child.
    std::fs::write(family.path("damaged.avhdx"), b"vhdxfile").unwrap();
    says(run!("serve", leaf, "--writable", unix, path), 5, "damaged.avhdx");
    std::fs::remove_file(family.path("damaged.avhdx")).unwrap();
    assert!(!new.exists() && !socket.exists());
    assert!(family.files() == before, "a file was changed");
}

#[test]
fn a_dry_run_makes_nothing() {
    let family = family();
    let before = family.files();
    let new = family.path("new.avhdx");
    for options in
        [vec!["--overlay".into(), new.into_os_string()], vec!["--writable".into()], vec!["--snapshot".into()]]
    {
        let args = [family.leaf().into_os_string(), "--dry-run".into(), "--json".into()];
        let ran =
            crate::run::vhdx([std::ffi::OsString::from("serve")].into_iter().chain(args).chain(options));
        let plan = ran.exits(0).json();
        assert_eq!((&plan["dry_run"], &plan["uri"]), (&json!(true), &json!(null)));
        assert_eq!(plan["exports"].as_array().unwrap().len(), 3);
        assert_eq!(plan["writes_to"].is_string(), plan["is_temporary"] == false);
    }
    assert!(family.files() == before, "a file was made or changed");
}

#[test]
fn files_that_share_names_or_parents_get_one_export_each() {
    let family = family();
    std::fs::create_dir(family.path("other")).unwrap();
    let other = family.path("other/leaf.avhdx");
    let mut sibling = Image::child_of(&family.images.mid, "../mid.avhdx", 1 << 20);
    sibling.blocks = family.images.leaf.blocks.clone();
    write(&sibling, &other);
    let server = Server::start([&family.leaf(), &other]);
    let started = server.started();
    let names: Vec<&str> =
        started["exports"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["leaf", "mid", "base", "leaf~2"]);
    assert_eq!(started["exports"][3]["path"], json!(other));
    let mut client = Client::connect(&server.socket(), "leaf~2").unwrap();
    assert_eq!(client.read(512, 4).unwrap(), b"llll");
    assert_eq!(client.write(0, b"x").unwrap_err().raw_os_error(), Some(1));
    assert_eq!(client.read(client.size, 1).unwrap_err().raw_os_error(), Some(22));
    assert!(Client::connect(&server.socket(), "nothing").is_err());
    server.stop().exits(0);
}
