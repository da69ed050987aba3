//! With `--force`, a new file gives no access to users who had none to the file that it replaces.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use crate::images::family;
use crate::run;

#[test]
fn a_private_destination_stays_private() {
    let family = family();
    let [raw, vhdx, flat, new] =
        ["disk.raw", "disk.vhdx", "flat.vhdx", "new.vhdx"].map(|name| family.path(name));
    for path in [&raw, &vhdx, &flat, &new] {
        fs::write(path, b"secret").unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    }
    let mode = |path: &Path| path.metadata().unwrap().mode() & 0o7777;
    run!("convert", family.leaf(), raw, "--force").exits(0);
    run!("convert", family.leaf(), vhdx, "--force").exits(0);
    run!("merge", family.leaf(), "--output", flat, "--force").exits(0);
    run!("create", new, "--size", "4M", "--force").exits(0);
    for path in [&raw, &vhdx, &flat, &new] {
        assert_eq!(mode(path), 0o600, "{}", path.display());
        assert_ne!(fs::read(path).unwrap(), b"secret");
    }
}
