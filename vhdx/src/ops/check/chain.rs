//! Checking a file together with all its parents.

use std::path::Path;

use super::{CheckReport, FileReport, check_file, judge_bat};
use crate::chain::{InspectedLayer, Link, ParentResolver, inspect_chain};
use crate::error::Error;

/// Checks a file, all its parents, and each link between them. A link that is not sound is the error of the child.
/// Nothing is written.
pub fn check_chain(path: &Path, resolver: &dyn ParentResolver) -> CheckReport {
    let mut report = CheckReport::default();
    match inspect_chain(path, resolver) {
        Ok(layers) => layers.into_iter().for_each(|layer| add_layer(&mut report.files, layer)),
        Err(error) => {
            report = check_file(path);
            if let Some(leaf) = report.files.first_mut()
                && leaf.is_valid()
            {
                leaf.error = Some(error);
            }
        }
    }
    report
}

fn add_layer(files: &mut Vec<FileReport>, layer: InspectedLayer) {
    let mut file = FileReport::of(Some(&layer.name), |violations| {
        layer.vhdx.tolerated().iter().for_each(|violation| violations.report(violation.clone()));
        judge_bat(&layer.vhdx, violations).map_err(|error| error.in_file(&layer.name))
    });
    let broken = match layer.link {
        Link::Base | Link::Ok => None,
        Link::Mismatch(error) | Link::Missing(error) => Some(error),
    };
    match broken.as_ref().and_then(|error| damaged_parent(error, &layer.name)) {
        Some(parent) => {
            let parent = check_file(parent);
            files.push(file);
            files.extend(parent.files);
        }
        None => {
            file.error = file.error.or(broken);
            files.push(file);
        }
    }
}

/// The parent, if it is there but breaks a rule: then all that it breaks says more than that it cannot be opened.
fn damaged_parent<'a>(error: &'a Error, child: &Path) -> Option<&'a Path> {
    error.violation()?;
    error.path().filter(|&path| path != child)
}
