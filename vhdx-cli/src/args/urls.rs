//! Replaces the URLs on the command line by names, and refuses URLs where files are changed.

use std::io;
use std::path::PathBuf;

use super::Command;
use crate::exit::Failure;
use crate::remote;

/// The paths of a command, by what the command does with them.
#[derive(Default)]
struct Paths<'a> {
    /// Files and folders that are only read. They may be URLs.
    read: Vec<&'a mut PathBuf>,
    /// A new file, which may be a URL.
    uploaded: Option<&'a mut PathBuf>,
    /// All others.
    others: Vec<&'a mut PathBuf>,
}

/// Replaces each URL by its name.
///
/// # Errors
/// A usage error for a URL where the command takes none, or that cannot be used.
pub(crate) fn accept(command: &mut Command) -> Result<(), Failure> {
    let Paths { read, uploaded, others } = paths(command);
    if others.iter().any(|path| remote::is_url(path)) {
        return Err(Failure::usage(
            "this command takes no URL here: download the file first. URLs are read by info, chain, tree, check, map, compare, \
             hash, serve, mount, ls and cp, and without --since also by convert and by merge with --output; convert can also \
             write to one",
        ));
    }
    if uploaded.as_ref().is_some_and(|path| remote::is_prefix(path)) {
        return Err(Failure::usage(
            "the URL of a new object must not end with a slash: add the name of the object",
        ));
    }
    for path in read.into_iter().chain(uploaded).filter(|path| remote::is_url(path)) {
        *path = remote::add(path).map_err(|error| match error.kind() {
            io::ErrorKind::Unsupported => Failure::unsupported(error.to_string()),
            _ => Failure::usage(error.to_string()),
        })?;
    }
    Ok(())
}

fn paths(command: &mut Command) -> Paths<'_> {
    fn read<'a>(paths: impl IntoIterator<Item = &'a mut PathBuf>) -> Paths<'a> {
        Paths { read: paths.into_iter().collect(), ..Paths::default() }
    }
    fn others<'a>(paths: impl IntoIterator<Item = &'a mut PathBuf>) -> Paths<'a> {
        Paths { others: paths.into_iter().collect(), ..Paths::default() }
    }
    match command {
        Command::Info(info) => read(info.files.iter_mut().chain(info.parents.paths_mut())),
        Command::Chain(chain) => read([&mut chain.file].into_iter().chain(chain.parents.paths_mut())),
        Command::Tree(tree) => read(&mut tree.roots),
        Command::Map(map) => read([&mut map.file].into_iter().chain(map.parents.paths_mut())),
        Command::Check(check) => read(check.files.iter_mut().chain(check.parents.paths_mut())),
        Command::Compare(ask) => read([&mut ask.a, &mut ask.b].into_iter().chain(ask.parents.paths_mut())),
        Command::Hash(hash) => {
            let mut paths = read([&mut hash.disk].into_iter().chain(hash.parents.paths_mut()));
            paths.others.extend(&mut hash.verify);
            paths
        }
        Command::Ls(ls) => read([&mut ls.file].into_iter().chain(ls.volume.parents.paths_mut())),
        Command::Cp(cp) => {
            let sources = cp.sources.iter_mut().map(|source| &mut source.file);
            let mut paths = read(sources.chain(cp.volume.parents.paths_mut()));
            paths.others.push(&mut cp.destination);
            paths
        }
        Command::Mount(mount) => {
            let mut paths = read([&mut mount.file].into_iter().chain(mount.parents.paths_mut()));
            paths.others.extend([&mut mount.dir].into_iter().chain(&mut mount.log));
            paths
        }
        Command::Convert(convert) => {
            let mut paths = read([&mut convert.source].into_iter().chain(convert.parents.paths_mut()));
            if let Some(old) = &mut convert.since {
                // Two points of one disk are opened from files of the host.
                paths.others.append(&mut paths.read);
                paths.others.push(old);
            }
            match convert.in_place {
                true => paths.others.push(&mut convert.destination),
                false => paths.uploaded = Some(&mut convert.destination),
            }
            paths
        }
        Command::Merge(merge) => {
            let sources = [&mut merge.child].into_iter().chain(merge.parents.paths_mut());
            match (&mut merge.output, &mut merge.since) {
                (Some(new), None) => Paths { others: vec![new], ..read(sources) },
                (new, old) => others(sources.chain(new).chain(old).chain(&mut merge.into)),
            }
        }
        Command::Diff(diff) => {
            others([&mut diff.old, &mut diff.new].into_iter().chain(diff.parents.paths_mut()))
        }
        Command::Create(create) => {
            others([&mut create.file].into_iter().chain(&mut create.parent).chain(&mut create.parent_dir))
        }
        Command::Reparent(ask) => {
            others([&mut ask.child, &mut ask.parent].into_iter().chain(&mut ask.parent_dir))
        }
        Command::Replay(replay) => others([&mut replay.file]),
        Command::Revert(revert) => {
            others([&mut revert.file].into_iter().chain(&mut revert.output).chain(&mut revert.parent_dir))
        }
        Command::Prune(prune) => others(&mut prune.roots),
        Command::Config(config) => others([&mut config.file]),
        Command::Report(report) => {
            others(report.roots.iter_mut().chain(&mut report.html).chain(&mut report.prometheus))
        }
        Command::Serve(serve) => {
            let allows_writes = serve.allows_writes();
            let disks = serve.files.iter_mut().chain(serve.parents.paths_mut());
            match allows_writes {
                true => others(disks.chain(&mut serve.overlay).chain(&mut serve.unix)),
                false => Paths { others: serve.unix.iter_mut().collect(), ..read(disks) },
            }
        }
        Command::Completions(_) | Command::Man(_) => Paths::default(),
    }
}
