use std::error::Error as StdError;
use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use super::*;
use crate::rules::Rule;
use crate::units::DiskOffset;
use crate::violation::Structure;
use crate::windows_path::StoredPath;

/// Returns an example of each variant of an enum. A variant that is not listed, or has no example, does not compile or
/// fails.
macro_rules! examples {
    ($enum:ty { $($pattern:pat => $example:expr),* $(,)? }) => {{
        // The compiler checks that no variant is left out.
        let _ = |value: &$enum| match value { $($pattern => {})* };
        vec![$({
            let example: $enum = $example;
            assert!(matches!(&example, $pattern), "this is another variant: {example:?}");
            example
        }),*]
    }};
}

fn path(name: &str) -> PathBuf {
    name.into()
}

/// The cause of [`Reason`]: the only text of an error that the text of [`Error`] does not contain.
#[derive(Debug, thiserror::Error)]
#[error("the root cause")]
struct Cause;

/// The error of a storage that a caller wrote.
#[derive(Debug, thiserror::Error)]
#[error("the reason")]
struct Reason(#[source] Cause);

fn failed_read() -> Error {
    Error::io("read", FileOffset::new(512), io::Error::other(Reason(Cause)))
}

fn violation() -> Violation {
    Violation::new(Structure::FileTypeIdentifier, FileOffset::new(0), Rule::FileSignature)
}

fn errors() -> Vec<Error> {
    let mut errors = examples!(Error {
        Error::Io { .. } => failed_read(),
        Error::NoSpace { .. } => Error::NoSpace { needed: 2, free: 1 },
        Error::Corrupt(_) => Error::Corrupt(violation()),
        Error::Unsupported(_) => Error::Unsupported(violation()),
        Error::Chain(_) => ChainFault::Cycle { child: path("c"), parent: path("p") }.into(),
        Error::Conflict(_) => Conflict::StalePlan.into(),
        Error::InvalidState(_) => InvalidState::FailedBefore.into(),
        Error::InvalidArgument(_) => InvalidArgument::NoLayers.into(),
        Error::Cancelled => Error::Cancelled,
        Error::Internal { .. } => Error::internal("this holds"),
        Error::InFile { .. } => failed_read().in_file(Path::new("disk.vhdx")),
    });
    errors.extend(chain_errors().into_iter().map(Error::from));
    errors.extend(changes().into_iter().map(Error::from));
    errors.extend(conflicts().into_iter().map(Error::from));
    errors.extend(states().into_iter().map(Error::from));
    errors.extend(arguments().into_iter().map(Error::from));
    errors
}

fn undetermined() -> Undetermined {
    Undetermined {
        path: path("disk.vhdx"),
        error: Arc::new(failed_read().in_file(Path::new("disk.vhdx"))),
        may_be_disk: true,
    }
}

fn chain_errors() -> Vec<ChainFault> {
    let (child, parent, target) = (path("c"), path("p"), path("t"));
    let (guid, expected) = (Uuid::from_u128(1), vec![Uuid::from_u128(2)]);
    let unfinished =
        vec![UnfinishedMerge { layer: path("l"), merged: Some(path("m")), target: Some(path("t")) }];
    let names = vec![StoredPath { key: "relative_path", path: "p".into() }];
    examples!(ChainFault {
        ChainFault::MissingParent { .. } => ChainFault::MissingParent {
            child: child.clone(),
            expected: expected.clone(),
            names: names.clone(),
            looked_for: vec![parent.clone()],
            folders: vec![path("/vm")],
            searched: vec![path("/vm")],
            in_chain: vec![path("x")],
            unusable: vec![(parent.clone(), failed_read().in_file(&parent))],
            unreadable: vec![path("y")],
        },
        ChainFault::AmbiguousParent { .. } => {
            ChainFault::AmbiguousParent { child: child.clone(), guid, parents: vec![parent.clone()] }
        },
        ChainFault::Mismatch { .. } => ChainFault::Mismatch {
            child: child.clone(),
            parent: parent.clone(),
            expected: expected.clone(),
            found: guid,
            damaged: vec![path("d")],
        },
        ChainFault::Cycle { .. } => ChainFault::Cycle { child: child.clone(), parent: parent.clone() },
        ChainFault::TooDeep { .. } => ChainFault::TooDeep { path: child.clone(), limit: 1 },
        ChainFault::SectorSize { .. } => ChainFault::SectorSize {
            child: child.clone(),
            parent: parent.clone(),
            child_size: 512,
            parent_size: 4096,
        },
        ChainFault::TooManyParents { .. } => {
            ChainFault::TooManyParents { path: child.clone(), extra: parent.clone() }
        },
        ChainFault::NotAnAncestor { .. } => {
            ChainFault::NotAnAncestor { child: child.clone(), target: target.clone() }
        },
        ChainFault::OtherChildren { .. } => ChainFault::OtherChildren {
            child: child.clone(),
            target: target.clone(),
            dependents: vec![(path("x"), parent.clone())],
            unfinished: unfinished.clone(),
        },
        ChainFault::LayerOfMerge { .. } => {
            ChainFault::LayerOfMerge { child: child.clone(), parent: parent.clone(), is_complete: true }
        },
        ChainFault::HalfMerged { .. } => {
            ChainFault::HalfMerged { disk: target.clone(), unfinished: unfinished.clone(), is_certain: false }
        },
        ChainFault::DataPastEnd { .. } => ChainFault::DataPastEnd {
            child: child.clone(),
            target: target.clone(),
            bytes: 1,
            size_before: 3,
            size: 2,
        },
        ChainFault::Unrelated { .. } => ChainFault::Unrelated {
            old: target.clone(),
            new: child.clone(),
            bases: [(target.clone(), Uuid::from_u128(1)), (child.clone(), Uuid::from_u128(2))],
            copies: Some((path("a"), path("b"))),
        },
        ChainFault::Reversed { .. } => {
            ChainFault::Reversed { old: child.clone(), new: target.clone(), levels: 2 }
        },
        ChainFault::Siblings { .. } => ChainFault::Siblings {
            old: target.clone(),
            new: child.clone(),
            ancestor: path("base"),
        },
        ChainFault::NoRoomForMetadata { .. } => ChainFault::NoRoomForMetadata { path: target.clone() },
        ChainFault::UndeterminedFiles { .. } => {
            ChainFault::UndeterminedFiles { child: child.clone(), undetermined: vec![undetermined()] }
        },
    })
}

fn changes() -> Vec<FileChange> {
    let (before, after) = (Uuid::from_u128(1), Uuid::from_u128(2));
    examples!(FileChange {
        FileChange::Length { .. } => FileChange::Length { before: 1, after: 2 },
        FileChange::FileWriteGuid { .. } => FileChange::FileWriteGuid { before, after },
        FileChange::Header { .. } => FileChange::Header { before: 1, after: 2 },
        FileChange::Modified => FileChange::Modified,
    })
}

fn conflicts() -> Vec<Conflict> {
    examples!(Conflict {
        Conflict::Changed(_) => Conflict::Changed(FileChange::Modified),
        Conflict::StalePlan => Conflict::StalePlan,
        Conflict::OtherBase(_) => Conflict::OtherBase(FileOffset::new(512)),
        Conflict::DestinationExists => Conflict::DestinationExists,
    })
}

fn states() -> Vec<InvalidState> {
    examples!(InvalidState { InvalidState::FailedBefore => InvalidState::FailedBefore })
}

fn arguments() -> Vec<InvalidArgument> {
    let (start, guid) = (DiskOffset::new(512), Uuid::from_u128(1));
    examples!(InvalidArgument {
        InvalidArgument::PastEndOfDisk { .. } => {
            InvalidArgument::PastEndOfDisk { start, len: 2, virtual_size: 1 }
        },
        InvalidArgument::RangeReversed { .. } => InvalidArgument::RangeReversed { start, end: DiskOffset::new(0) },
        InvalidArgument::BlockSize(_) => InvalidArgument::BlockSize(3),
        InvalidArgument::HashBlockSize(_) => InvalidArgument::HashBlockSize(3),
        InvalidArgument::SectorSize(_) => InvalidArgument::SectorSize(3),
        InvalidArgument::VirtualSize(_) => InvalidArgument::VirtualSize(3),
        InvalidArgument::DestinationIsSource => InvalidArgument::DestinationIsSource,
        InvalidArgument::NotARegularFile => InvalidArgument::NotARegularFile,
        InvalidArgument::NotARawTarget => InvalidArgument::NotARawTarget,
        InvalidArgument::TargetTooSmall { .. } => InvalidArgument::TargetTooSmall { len: 1, virtual_size: 2 },
        InvalidArgument::NoLayers => InvalidArgument::NoLayers,
        InvalidArgument::VirtualSizeTooSmall(_) => InvalidArgument::VirtualSizeTooSmall(3),
        InvalidArgument::ParentNeeded => InvalidArgument::ParentNeeded,
        InvalidArgument::ParentUnexpected => InvalidArgument::ParentUnexpected,
        InvalidArgument::ContentOfChild => InvalidArgument::ContentOfChild,
        InvalidArgument::ParentPath(_) => InvalidArgument::ParentPath(path("p")),
        InvalidArgument::ParentLocator => InvalidArgument::ParentLocator,
        InvalidArgument::ParentWithoutGuid => InvalidArgument::ParentWithoutGuid,
        InvalidArgument::PathNeeded => InvalidArgument::PathNeeded,
        InvalidArgument::NotDifferencing => InvalidArgument::NotDifferencing,
        InvalidArgument::OutOfOrder(_) => InvalidArgument::OutOfOrder(start),
        InvalidArgument::MetadataItem(_) => InvalidArgument::MetadataItem(guid),
        InvalidArgument::TooMuchMetadata => InvalidArgument::TooMuchMetadata,
        InvalidArgument::LogLength(_) => InvalidArgument::LogLength(3),
        InvalidArgument::LogEntry => InvalidArgument::LogEntry,
        InvalidArgument::NotWholeSectors { .. } => {
            InvalidArgument::NotWholeSectors { start, len: 1, sector_size: 512 }
        },
        InvalidArgument::MergeTarget { .. } => InvalidArgument::MergeTarget { target: 2, layers: 1 },
        InvalidArgument::UnknownDisk => InvalidArgument::UnknownDisk,
        InvalidArgument::UnknownCheckpoint { .. } => {
            InvalidArgument::UnknownCheckpoint { name: "n".to_owned(), known: vec!["k".to_owned()] }
        },
        InvalidArgument::SeveralCheckpoints { .. } => {
            InvalidArgument::SeveralCheckpoints { name: "n".to_owned(), paths: vec![path("p")] }
        },
        InvalidArgument::DiskIsNeeded { .. } => InvalidArgument::DiskIsNeeded { by: path("p") },
        InvalidArgument::NamePattern { .. } => InvalidArgument::NamePattern { reason: "r", offset: 1 },
    })
}

/// Returns the texts of an error and of all its sources.
fn texts(error: &dyn StdError) -> Vec<String> {
    let mut texts = vec![error.to_string()];
    let mut source = error.source();
    while let Some(error) = source {
        texts.push(error.to_string());
        source = error.source();
    }
    texts
}

#[test]
fn no_error_repeats_the_text_of_its_sources() {
    let mut all: Vec<Box<dyn StdError>> = vec![Box::new(undetermined())];
    for error in errors() {
        all.push(Box::new(error.in_file(Path::new("disk.vhdx"))));
    }
    all.extend(errors().into_iter().map(|error| Box::new(error) as Box<dyn StdError>));
    all.extend(
        chain_errors().into_iter().map(|fault| Box::new(ChainError(Box::new(fault))) as Box<dyn StdError>),
    );
    all.extend(changes().into_iter().map(|error| Box::new(error) as Box<dyn StdError>));
    all.extend(conflicts().into_iter().map(|error| Box::new(error) as Box<dyn StdError>));
    all.extend(states().into_iter().map(|error| Box::new(error) as Box<dyn StdError>));
    all.extend(arguments().into_iter().map(|error| Box::new(error) as Box<dyn StdError>));
    for error in all {
        let texts = texts(&*error);
        for (level, source) in texts.iter().enumerate() {
            assert!(!source.is_empty(), "{error:?}");
            assert!(texts[..level].iter().all(|text| !text.contains(source)), "{texts:?}");
        }
    }
}

#[test]
fn the_text_of_an_error_is_complete() {
    let in_file = failed_read().in_file(Path::new("disk.vhdx"));
    assert_eq!(texts(&in_file), ["disk.vhdx: cannot read at 0x200: the reason", "the root cause"]);
    assert_eq!(texts(&undetermined()), ["\"disk.vhdx\": cannot read at 0x200: the reason", "the root cause"]);
    let not_found = Error::io("open", None, io::ErrorKind::NotFound.into()).in_file(Path::new("disk.vhdx"));
    assert_eq!(texts(&not_found), ["disk.vhdx: cannot open: entity not found"]);
    for (error, inner) in [
        (Error::Corrupt(violation()), violation().to_string()),
        (Error::Unsupported(violation()), violation().to_string()),
        (FileChange::Modified.into(), FileChange::Modified.to_string()),
        (InvalidArgument::NoLayers.into(), InvalidArgument::NoLayers.to_string()),
    ] {
        let text = error.in_file(Path::new("disk.vhdx")).to_string();
        assert!(text.starts_with("disk.vhdx: ") && text.ends_with(&inner), "{text}");
    }
}

#[test]
fn the_error_of_the_operating_system_has_an_accessor() {
    let error = failed_read().in_file(Path::new("disk.vhdx"));
    let inner = error.io_error().and_then(io::Error::get_ref);
    assert!(inner.is_some_and(|inner| inner.is::<Reason>()), "{inner:?}");
    assert!(Error::Cancelled.io_error().is_none());
}

#[test]
fn each_error_has_the_kind_of_its_variant() {
    let of = |errors: Vec<Error>| errors.iter().map(Error::kind).collect::<Vec<_>>();
    let all = |kind: ErrorKind, errors: Vec<Error>| {
        assert!(of(errors).iter().all(|found| *found == kind), "{kind:?}")
    };
    all(ErrorKind::Chain, chain_errors().into_iter().map(Error::from).collect());
    all(ErrorKind::Conflict, conflicts().into_iter().map(Error::from).collect());
    all(ErrorKind::Conflict, changes().into_iter().map(Error::from).collect());
    all(ErrorKind::InvalidState, states().into_iter().map(Error::from).collect());
    all(ErrorKind::InvalidArgument, arguments().into_iter().map(Error::from).collect());
    all(ErrorKind::Io, vec![failed_read(), Error::NoSpace { needed: 2, free: 1 }]);
    all(ErrorKind::Conflict, vec![Error::io("lock", None, io::ErrorKind::ResourceBusy.into())]);
}

#[test]
fn an_error_becomes_an_io_error_that_keeps_it() {
    for (error, kind) in [
        (Error::io("open", None, io::ErrorKind::NotFound.into()), io::ErrorKind::NotFound),
        // Callers would take it for the end of the disk.
        (Error::io("read", None, io::ErrorKind::UnexpectedEof.into()), io::ErrorKind::Other),
        (Error::io("read", None, io::ErrorKind::Interrupted.into()), io::ErrorKind::Other),
        (Error::NoSpace { needed: 2, free: 1 }, io::ErrorKind::StorageFull),
        (Error::Corrupt(violation()), io::ErrorKind::InvalidData),
        (Error::Unsupported(violation()), io::ErrorKind::Unsupported),
        (chain_errors().remove(0).into(), io::ErrorKind::InvalidData),
        (Conflict::DestinationExists.into(), io::ErrorKind::AlreadyExists),
        (Conflict::StalePlan.into(), io::ErrorKind::Other),
        (InvalidArgument::NoLayers.into(), io::ErrorKind::InvalidInput),
        (InvalidState::FailedBefore.into(), io::ErrorKind::Other),
        (Error::Cancelled, io::ErrorKind::Other),
    ] {
        let text = error.to_string();
        let outer = io::Error::from(error);
        assert_eq!((outer.kind(), outer.to_string()), (kind, text));
        let in_file = io::Error::from(outer.downcast::<Error>().unwrap().in_file(Path::new("disk.vhdx")));
        assert_eq!(in_file.kind(), kind, "{in_file}");
    }
}

#[test]
fn parts_of_an_error_in_a_file_have_accessors() {
    let error = |error: Error| error.in_file(Path::new("disk.vhdx"));
    assert_eq!(error(Error::Corrupt(violation())).violation(), Some(&violation()));
    assert_eq!(error(Conflict::StalePlan.into()).conflict(), Some(&Conflict::StalePlan));
    assert!(error(Error::Cancelled).conflict().is_none() && error(Error::Cancelled).chain_error().is_none());
    let cycle = error(ChainFault::Cycle { child: path("c"), parent: path("p") }.into());
    assert_eq!(cycle.chain_error().map(ChainError::kind), Some(ChainErrorKind::Cycle), "{cycle:?}");
}
