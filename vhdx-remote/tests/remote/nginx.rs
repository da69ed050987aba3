//! Reads from nginx.

use std::fs;
use std::process::Command;

use vhdx::{Chain, Disk, DiskOffset, OpenOptions, Vhdx};
use vhdx_remote::RemoteResolver;

use crate::opening::model;
use crate::programs::{Program, free_port, start};
use crate::{content, open, read, remote};

/// nginx with the files of a folder.
fn nginx(folder: &std::path::Path) -> Option<Program> {
    let port = free_port();
    let config = format!(
        "daemon off; master_process off; pid {folder}/nginx.pid; error_log /dev/null;
         events {{ worker_connections 64; }}
         http {{
             access_log off;
             client_body_temp_path {folder}/tmp; proxy_temp_path {folder}/tmp; fastcgi_temp_path {folder}/tmp;
             uwsgi_temp_path {folder}/tmp; scgi_temp_path {folder}/tmp;
             server {{ listen 127.0.0.1:{port}; root {folder}; location /moved/ {{ return 302 /disk; }} }}
         }}",
        folder = folder.display()
    );
    fs::write(folder.join("nginx.conf"), config).unwrap();
    // Debian has it in a folder that only the administrator has in the path.
    let name = if std::path::Path::new("/usr/sbin/nginx").exists() { "/usr/sbin/nginx" } else { "nginx" };
    start(Command::new(name).arg("-p").arg(folder).arg("-c").arg(folder.join("nginx.conf")), port)
}

#[test]
fn a_file_is_read_and_pinned() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = content(9 << 20);
    fs::write(folder.path().join("disk"), &bytes).unwrap();
    let Some(server) = nginx(folder.path()) else { return };
    let url = |path: &str| format!("http://127.0.0.1:{}{path}", server.port);
    let file = open(&remote(), &url("/disk")).unwrap();
    assert!(read(&file, 0, bytes.len()).unwrap() == bytes);
    assert!(read(&file, 5_000_001, 999).unwrap() == bytes[5_000_001..][..999]);
    let moved = open(&remote(), &url("/moved/")).unwrap();
    assert!(read(&moved, 1, 1000).unwrap() == bytes[1..1001]);
    let error = open(&remote(), &url("/none")).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    // The length is part of nginx's ETags, which otherwise have a resolution of a second.
    fs::write(folder.path().join("disk"), vec![7; bytes.len() + 1]).unwrap();
    let error = read(&file, 7_000_000, 10).unwrap_err();
    assert!(error.to_string().contains("was replaced"), "{error}");
}

#[test]
fn a_chain_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let model = model();
    model.write_to(folder.path()).unwrap();
    let Some(server) = nginx(folder.path()) else { return };
    let remote = remote();
    let name = remote.add(&format!("http://127.0.0.1:{}/layer-7.avhdx", server.port)).unwrap();
    let leaf = Vhdx::open_with(remote.open(&name).unwrap(), &OpenOptions::default().name(&name)).unwrap();
    let chain = Chain::from_leaf(leaf, &RemoteResolver::new(&remote)).unwrap();
    let mut found = vec![0; chain.virtual_size() as usize];
    Disk::read_exact_at(&chain, &mut found, DiskOffset::new(0)).unwrap();
    assert!(found == *model.disks().last().unwrap());
}
