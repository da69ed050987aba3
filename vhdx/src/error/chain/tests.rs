use super::*;
use crate::error::{Error, InvalidArgument};
use crate::windows_path::StoredPath;
use uuid::{Uuid, uuid};

#[test]
fn a_missing_parent_names_what_was_searched_for_and_where() {
    let error = ChainFault::MissingParent {
        child: "differencing.avhdx".into(),
        expected: vec![uuid!("ff34003b-11ed-4cf8-a166-b2be05e20b80")],
        names: vec![StoredPath { key: "relative_path", path: ".\\Generation 1\u{1b}.avhdx".into() }],
        looked_for: vec!["/vm/Generation 1.avhdx".into()],
        folders: vec!["/vm".into(), "/backup".into()],
        searched: vec!["/vm".into(), "/backup".into()],
        in_chain: vec!["/vm/y".into()],
        unusable: vec![(
            "/vm/x".into(),
            Error::from(InvalidArgument::NotARegularFile).in_file(Path::new("/vm/x")),
        )],
        unreadable: (1..=10).map(|number| format!("/vm/{number}").into()).collect(),
    };
    assert_eq!(
        error.to_string(),
        "\"differencing.avhdx\": its parent is missing: the parent's DataWriteGuid must be \
         ff34003b-11ed-4cf8-a166-b2be05e20b80; looked for \".\\Generation 1\\u{1b}.avhdx\" (relative_path) in \
         \"/vm\", \"/backup\", and for the DataWriteGuid in every file there; \"/vm/y\" is already in this chain and \
         has another DataWriteGuid; \"/vm/x\" exists, but cannot be used: this is not a regular file; these files or \
         folders could not be read, and the parent may be among them: \"/vm/1\", \"/vm/2\", \"/vm/3\", \"/vm/4\", \
         \"/vm/5\", \"/vm/6\", \"/vm/7\", \"/vm/8\" and 2 more"
    );
    assert_eq!(error.path(), Path::new("differencing.avhdx"));
}

#[test]
fn a_mismatch_names_the_guids_that_the_child_expects() {
    let (found, wanted) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let mismatch = |expected| ChainFault::Mismatch {
        child: "child.avhdx".into(),
        parent: "base.vhdx".into(),
        expected,
        found,
        damaged: Vec::new(),
    };
    let ends = |expected, end: &str| {
        let said = mismatch(expected).to_string();
        assert!(said.ends_with(end), "{said}");
    };
    ends(vec![wanted, found], &format!("is {found}, but must be {wanted} or {found}"));
    let zero = "but the parent linkage of the child is zero, which matches no file";
    ends(Vec::new(), &format!("is {found}, {zero}"));
}
