//! Reads from moto and writes to it: a server that behaves like S3. It is slow, so objects are small.

use std::io::Write;
use std::process::Command;

use vhdx::{OpenOptions, Vhdx};
use vhdx_remote::{Remote, RemoteResolver};
use vhdx_testkit::http::Request;

use crate::programs::{Program, free_port, start};
use crate::{content, read};

fn moto() -> Option<(Program, Remote)> {
    let port = free_port();
    let server = start(Command::new("moto_server").args(["-H", "127.0.0.1", "-p", &port.to_string()]), port)?;
    let mut options = crate::options();
    options.idle_timeout = std::time::Duration::from_secs(20);
    let options = options
        .setting("aws_endpoint", format!("http://127.0.0.1:{port}"))
        .setting("aws_region", "us-east-1")
        .setting("aws_access_key_id", "secret-id")
        .setting("aws_secret_access_key", "secret-key");
    let put_bucket = Request { method: "PUT".to_owned(), path: "/bucket".to_owned(), ..Request::default() };
    assert_eq!(put_bucket.send(("127.0.0.1", port)).unwrap(), 200);
    Some((server, Remote::new(options)))
}

fn put(remote: &Remote, key: &str, bytes: &[u8]) {
    let name = remote.add(&format!("s3://bucket/{key}")).unwrap();
    let mut upload = remote.upload(&name, bytes.len() as u64, false).unwrap();
    upload.write_all(bytes).unwrap();
    upload.commit().unwrap();
}

#[test]
fn objects_are_uploaded_listed_read_and_pinned() {
    let Some((_server, remote)) = moto() else { return };
    let bytes = content((9 << 20) + 5); // two parts
    put(&remote, "vm/a disk (1).raw", &bytes);
    let name = remote.add("s3://bucket/vm/a disk (1).raw").unwrap();
    let file = remote.open(&name).unwrap();
    assert!(read(&file, 0, bytes.len()).unwrap() == bytes);
    let listed = remote.list("s3://bucket/vm".as_ref(), false).unwrap();
    assert_eq!(
        listed.iter().map(|entry| (&entry.name, entry.size)).collect::<Vec<_>>(),
        [(&name, bytes.len() as u64)]
    );

    let aborted = remote.add("s3://bucket/vm/aborted.raw").unwrap();
    let mut upload = remote.upload(&aborted, 20 << 20, false).unwrap();
    upload.write_all(&bytes).unwrap();
    drop(upload);
    assert_eq!(remote.list("s3://bucket/vm".as_ref(), false).unwrap().len(), 1);

    let mut upload = remote.upload(&name, 100, true).unwrap();
    upload.write_all(&[7; 100]).unwrap();
    upload.commit().unwrap();
    let error = read(&file, 5 << 20, 10).unwrap_err();
    assert!(error.to_string().contains("was replaced"), "{error}");
    let error = remote.open("s3://bucket/none".as_ref()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    let error = remote.open("s3://no-such-bucket/none".as_ref()).unwrap_err();
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
}

#[test]
fn a_chain_is_found() {
    let Some((_server, remote)) = moto() else { return };
    let mut model = crate::opening::model();
    model.layers.truncate(2);
    let files = model.files();
    put(&remote, "vm/layer-1.avhdx", &files[0].to_vec());
    put(&remote, "vm/renamed.vhdx", &files[1].to_vec());
    let name = remote.add("s3://bucket/vm/layer-1.avhdx").unwrap();
    let leaf = Vhdx::open_with(remote.open(&name).unwrap(), &OpenOptions::default().name(&name)).unwrap();
    let chain = vhdx::Chain::from_leaf(leaf, &RemoteResolver::new(&remote)).unwrap();
    assert_eq!(chain.layers()[1].path().unwrap(), "s3://bucket/vm/renamed.vhdx");
}
