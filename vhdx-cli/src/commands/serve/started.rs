//! The answer of `serve`: where clients find the exports, printed when the server is ready.

use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};
use vhdx_serve::Address;

use super::disks::{Disks, Served};
use super::written::Written;
use crate::args::Serve;
use crate::output::{self, harmless, shown, word};
use crate::sizes::both;

pub(super) struct Started<'a> {
    pub(super) serve: &'a Serve,
    pub(super) disks: &'a Disks,
    /// Empty if nothing is served, with `--dry-run`.
    pub(super) addresses: &'a [Address],
}

impl Started<'_> {
    pub(super) fn json(&self) -> Value {
        let written = self.disks.written.as_ref();
        json!({
            "dry_run": self.serve.dry_run,
            "uri": self.uri(""),
            "uris": self.addresses.iter().filter_map(|address| address.uri("")).collect::<Vec<_>>(),
            "exports": self.disks.exports.iter().map(|served| self.export_json(served)).collect::<Value>(),
            "writes_to": written.filter(|written| self.is_made(written)).map(|written| output::path(written.path())),
            "is_temporary": written.is_some_and(Written::is_snapshot),
        })
    }

    fn export_json(&self, served: &Served) -> Value {
        json!({
            "name": served.name,
            "path": output::path(&served.path),
            "size": served.size,
            "read_only": self.is_read_only(served),
            "uri": self.uri(&served.name),
        })
    }

    /// Whether clients cannot write to a disk. A dry run has opened all disks for reading only.
    fn is_read_only(&self, served: &Served) -> bool {
        let takes_writes = |written: &Written| written.path() == served.path;
        let would_take_writes = self.serve.dry_run && self.disks.written.as_ref().is_some_and(takes_writes);
        served.disk.is_read_only() && !would_take_writes
    }

    /// Whether the file that takes the writes has its path already: a snapshot gets it when it is made.
    fn is_made(&self, written: &Written) -> bool {
        !(self.serve.dry_run && written.is_snapshot())
    }

    /// Returns the URI of an export at the first address that has one.
    fn uri(&self, export: &str) -> Option<String> {
        self.addresses.iter().find_map(|address| address.uri(export))
    }

    pub(super) fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let verb = if self.serve.dry_run { "would serve" } else { "serving" };
        let count = self.disks.exports.len();
        writeln!(out, "{verb} {count} {}:", if count == 1 { "disk" } else { "disks" })?;
        let header = ["export", "size", "access", "file"].map(str::to_owned).to_vec();
        let rows = self.disks.exports.iter().map(|served| {
            let access = if self.is_read_only(served) { "read-only" } else { "writable" };
            vec![harmless(&served.name), both(served.size), access.to_owned(), shown(&served.path)]
        });
        let rows: Vec<Vec<String>> = std::iter::once(header).chain(rows).collect();
        output::table(out, &[false, true, false, false], &rows)?;
        if let (Some(written), [file]) = (&self.disks.written, self.serve.files.as_slice()) {
            writeln!(
                out,
                "Writes {} {}",
                if self.serve.dry_run { "would go" } else { "go" },
                where_writes_go(written, file)
            )?;
        }
        for address in self.addresses {
            match address.uri("") {
                Some(uri) => clients(out, &uri)?,
                None => writeln!(out, "listening on {}", harmless(&address.to_string()))?,
            }
        }
        if !self.addresses.is_empty() && !self.serve.once {
            writeln!(out, "Ctrl-C ends the server.")?;
        }
        Ok(())
    }
}

fn where_writes_go(written: &Written, file: &Path) -> String {
    let (new, file) = (shown(written.path()), shown(file));
    if written.is_overlay() {
        format!(
            "to {new}, a child of {file}. Do not start a virtual machine from {file}: that changes it and \
             makes {new} unusable."
        )
    } else if written.is_snapshot() {
        format!("to a temporary child of {file}, which is deleted at the end.")
    } else {
        format!("to {file} itself.")
    }
}

/// Prints commands of clients that read the default export.
fn clients(out: &mut dyn Write, uri: &str) -> io::Result<()> {
    // libguestfs knows one scheme only.
    let of_guestfish = word(Path::new(&uri.replacen("nbd+unix:", "nbd:", 1)));
    let uri = word(Path::new(uri));
    writeln!(out, "address of the default export: {uri}")?;
    writeln!(out, "  nbdinfo --map {uri}")?;
    writeln!(out, "  nbdcopy {uri} disk.raw")?;
    writeln!(out, "  qemu-img convert -f raw {uri} -O qcow2 disk.qcow2")?;
    writeln!(out, "  guestfish --format=raw --ro -a {of_guestfish} -i")
}
