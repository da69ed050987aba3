//! URLs in a build without the feature `remote`.

use crate::run::vhdx;

#[test]
#[cfg(not(feature = "remote"))]
fn a_build_without_remote_support_says_so() {
    let ran = vhdx(["info", "s3://bucket/disk.vhdx"]).exits(4);
    assert!(ran.stderr.contains("this build of vhdx cannot read URLs"), "{}", ran.stderr);
    assert!(ran.stderr.contains("--features remote"), "{}", ran.stderr);
    assert_eq!(vhdx(["hash", "s3://bucket/disk.vhdx", "--json"]).exits(4).error()["kind"], "unsupported");
    assert_eq!(
        vhdx(["convert", "https://host/x.vhdx", "-", "--json"]).exits(4).error()["kind"],
        "unsupported"
    );
}

#[test]
fn a_command_that_changes_files_takes_no_url() {
    for args in [
        &["merge", "s3://bucket/x.avhdx"][..],
        &["prune", "az://x/", "--all"],
        &["replay", "gs://b/x"],
        &["hash", "x.vhdx", "--verify", "https://host/manifest"],
    ] {
        let ran = vhdx(args).exits(2);
        assert!(ran.stderr.contains("this command takes no URL here"), "{}", ran.stderr);
    }
}
