//! A checkpoint in the middle of a chain is missing: no advice may make the user skip a surviving level.

use serde_json::json;
use vhdx::Vhdx;

use super::make;
use crate::run;

#[test]
fn the_nearest_surviving_level_comes_first() {
    let Some((folder, _)) = make("lost-middle-link") else { return };
    let at = |name: &str| folder.path().join(name);
    let (lost, nearest) = (at("srv_D.avhdx"), at("srv_B.avhdx"));
    let tree = run!("tree", folder.path(), "--json").exits(0).json();
    assert_eq!(tree["orphans"], json!([lost]));
    let problems = tree["problems"].as_array().unwrap();
    let [problem] = &problems.iter().filter(|one| one["path"] == json!(lost)).collect::<Vec<_>>()[..] else {
        panic!("{tree}")
    };
    let (message, fix) = (problem["message"].as_str().unwrap(), problem["fix"].as_str().unwrap());
    assert!(message.contains("this link of the chain is missing"), "{message}");
    let (_, substitutes) = message.split_once("possible substitutes (none is the original): ").unwrap();
    let place = |name: &str| substitutes.find(name).unwrap_or_else(|| panic!("{name}: {message}"));
    assert!(
        place("srv_B.avhdx") < place("srv_A.avhdx") && place("srv_A.avhdx") < place("srv.vhdx"),
        "{message}"
    );
    assert!(
        fix.contains(nearest.to_str().unwrap()) && fix.contains("the data of the missing file is lost"),
        "{fix}"
    );
    assert!(!fix.contains("srv_A.avhdx") && !fix.contains("srv.vhdx"), "{fix}");

    let wrong = run!("reparent", &lost, "--parent", at("srv.vhdx"), "--json").exits(5).error();
    assert_eq!(wrong["evidence"]["candidate_children"], json!([at("srv_A.avhdx")]));
    let text = run!("reparent", &lost, "--parent", at("srv.vhdx")).exits(5).stderr;
    assert!(text.contains("depend on the candidate") && text.contains("srv_A.avhdx"), "{text}");
    let end = run!("reparent", &lost, "--parent", &nearest, "--json").exits(5).error();
    assert_eq!(end["evidence"]["candidate_children"], json!([]));

    let missing = run!("chain", &lost, "--json").exits(5).error();
    let wanted = Vhdx::open(&lost).unwrap().parent_locator().unwrap().linkages()[0].to_string();
    assert!(missing["message"].as_str().unwrap().contains(&wanted), "{missing}");
}
