//! Tests of the feature `remote`: commands that read from servers on this machine.

mod answers;
mod faults;
#[path = "../cli/images.rs"]
#[allow(dead_code, unreachable_pub)]
mod images;
mod latency;
mod refusals;
#[path = "../cli/run.rs"]
#[allow(dead_code)]
mod run;
mod uploads;

use std::fs;
use std::process::Command;

use vhdx_testkit::http::{Bucket, FileServer, HttpServer};

use images::{Family, family};
use run::{Ran, command, output, ran};

/// A chain in a folder, on a web server and in a bucket, each under the same names.
struct Places {
    family: Family,
    files: FileServer,
    web: HttpServer,
    bucket: Bucket,
    s3: HttpServer,
}

const NAMES: [&str; 3] = ["base.vhdx", "mid.avhdx", "leaf.avhdx"];

impl Places {
    fn new() -> Self {
        let (family, files, bucket) = (family(), FileServer::default(), Bucket::default());
        for name in NAMES {
            let bytes = fs::read(family.folder.path().join(name)).unwrap();
            files.put(&format!("/vm/{name}"), bytes.clone());
            bucket.put(&format!("vm/{name}"), bytes);
        }
        let (web, s3) = (files.start(), bucket.start());
        Self { family, files, web, bucket, s3 }
    }

    /// Returns the prefixes of the same files: the folder, the web server and the bucket.
    fn prefixes(&self) -> [String; 3] {
        let folder = format!("{}/", self.family.folder.path().display());
        [folder, self.web.url("/vm/"), "s3://bucket/vm/".to_owned()]
    }

    /// Returns a command with the credentials of the bucket. They must be in no message.
    fn command<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = command();
        command.args(args).envs([
            ("AWS_ENDPOINT", self.s3.url("").as_str()),
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ACCESS_KEY_ID", "secret-id"),
            ("AWS_SECRET_ACCESS_KEY", "secret-key"),
        ]);
        command
    }

    #[track_caller]
    fn vhdx<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Ran {
        let ran = ran(output(&mut self.command(args)));
        assert!(!ran.stderr.contains("secret"), "{}", ran.stderr);
        assert!(!String::from_utf8_lossy(&ran.stdout).contains("secret"));
        ran
    }
}
