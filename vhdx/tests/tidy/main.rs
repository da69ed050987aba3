//! Checks rules about the source code: the order of modules, cycles of files, the length of files, silent defaults, and
//! the places of `unsafe`.

#[path = "../common/mod.rs"]
mod common;
mod cycles;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use cycles::Crate;

/// The modules in rows: a module may use those of earlier rows and of its own row.
const ORDER: &[&[&str]] = &[
    &["units", "quoted", "rules", "metadata_id", "progress"],
    &["windows_path", "violation"],
    &["error"],
    &["geometry", "parallel"],
    &["format"],
    &["storage"],
    &["log"],
    &["file"],
    &["disk"],
    &["family", "transfer"],
    &["ops"],
];

const MAX_LINES: usize = 400;

/// The crates whose files must not import each other in a cycle. Files of testkit and benches still do.
const WITHOUT_CYCLES: &[&str] =
    &["vhdx", "vhdx-cli", "vhdx-contents", "vhdx-mount", "vhdx-remote", "vhdx-serve", "hyperv-config"];

/// Returns the Rust files in `folder`, with their paths relative to it.
fn sources(folder: &Path) -> BTreeMap<PathBuf, String> {
    files(folder, &["rs"])
}

fn files(folder: &Path, extensions: &[&str]) -> BTreeMap<PathBuf, String> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if extensions.iter().any(|one| path.extension().is_some_and(|extension| extension == *one))
            {
                files.insert(
                    path.strip_prefix(folder).unwrap().to_owned(),
                    fs::read_to_string(&path).unwrap(),
                );
            }
        }
    }
    files
}

fn library() -> BTreeMap<PathBuf, String> {
    let files = sources(&common::project().join("vhdx/src"));
    assert!(files.len() > 20, "these are not the sources: {:?}", files.keys());
    files
}

/// The files of both libraries. Those of `hyperv-config` are in a folder of that name.
fn libraries() -> BTreeMap<PathBuf, String> {
    let mut files = library();
    let others = sources(&common::project().join("hyperv-config/src"));
    assert!(others.len() > 20, "these are not the sources: {:?}", others.keys());
    files.extend(others.into_iter().map(|(path, text)| (Path::new("hyperv-config").join(path), text)));
    files
}

/// Tests may use whatever they need: everything from their attribute on, and files that hold nothing else.
fn without_tests(path: &Path, text: &str) -> String {
    let is_tests = |part: &OsStr| part == "tests" || part == "testing";
    if path.file_stem().is_some_and(is_tests) || path.iter().any(is_tests) {
        return String::new();
    }
    let lines =
        text.lines().take_while(|line| !line.trim_start().starts_with("#[cfg(test)]") || line.len() > 12);
    let mut code: Vec<&str> = lines.collect();
    // Only a module at the end is cut off: single items of tests may stand anywhere.
    if text.lines().count() > code.len() && !ends_with_tests(text, code.len()) {
        code = text.lines().collect();
    }
    code.join("\n")
}

fn ends_with_tests(text: &str, at: usize) -> bool {
    let mut rest = text.lines().skip(at + 1).skip_while(|line| line.trim_start().starts_with('#'));
    match rest.next() {
        // Its code is in another file, and other modules may follow.
        Some("mod tests;") => rest.next().is_none(),
        next => next.is_some_and(|line| line.starts_with("mod tests")),
    }
}

fn module_of(path: &Path) -> String {
    let first = path.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// How many `super::` lead from a file to the root.
fn depth(path: &Path) -> usize {
    path.components().count() - usize::from(path.ends_with("mod.rs"))
}

/// Returns the names after `crate::`, or after as many `super::`, in code without its comments. They should be modules,
/// and not names that the root re-exports.
fn used_names(code: &str, depth: usize) -> Vec<String> {
    let code: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join(" ").replace(&"super::".repeat(depth), "crate::");
    let is_name = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
    let name = |path: &str| path.trim_start().chars().take_while(is_name).collect();
    let paths = code.split("crate::").skip(1);
    paths.flat_map(|rest| first_level(rest).into_iter().map(name).collect::<Vec<_>>()).collect()
}

/// The members of the group that a path begins with, or the path.
fn first_level(path: &str) -> Vec<&str> {
    let Some(group) = path.strip_prefix('{') else { return vec![path] };
    let (mut depth, mut start, mut members) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                members.push(&group[start..at]);
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    members.retain(|member| !member.trim().is_empty());
    members
}

fn rank(module: &str) -> Option<usize> {
    ORDER.iter().position(|line| line.contains(&module))
}

#[test]
fn modules_use_only_earlier_rows() {
    let mut wrong = Vec::new();
    for (path, text) in library() {
        let module = module_of(&path);
        if ["lib", "testing"].contains(&module.as_str()) {
            continue;
        }
        let own = rank(&module).unwrap_or_else(|| panic!("{module} has no place in the order"));
        for used in used_names(&without_tests(&path, &text), depth(&path)) {
            if rank(&used).is_none_or(|rank| rank > own) {
                wrong.push(format!("{}: {used}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "modules that use one of a later row, or no module but the root: {wrong:#?}");
}

#[test]
fn files_form_no_cycles() {
    for crate_folder in WITHOUT_CYCLES {
        let files = sources(&common::project().join(crate_folder).join("src"));
        let cycles = Crate::new(files).cycles();
        assert!(cycles.is_empty(), "{crate_folder}: files that import each other: {cycles:#?}");
    }
}

#[test]
fn every_module_is_in_the_order() {
    let lib = &library()[Path::new("lib.rs")];
    let declared = lib.lines().filter_map(|line| {
        let rest = line.strip_prefix("pub mod ").or(line.strip_prefix("mod "))?;
        rest.strip_suffix(';')
    });
    // A module whose visibility depends on a feature is declared twice.
    let declared: BTreeSet<&str> = declared.filter(|module| *module != "testing").collect();
    for module in &declared {
        assert!(rank(module).is_some(), "{module} has no place in the order");
    }
    assert_eq!(declared.len(), ORDER.iter().map(|line| line.len()).sum::<usize>());
}

#[test]
fn files_are_short() {
    let project = common::project();
    let mut long = Vec::new();
    for crate_folder in WITHOUT_CYCLES.iter().copied().chain(["testkit"]) {
        for (path, text) in sources(&project.join(crate_folder)) {
            let lines = without_tests(&path, &text).lines().count();
            if lines > MAX_LINES {
                long.push(format!("{crate_folder}/{}: {lines} lines", path.display()));
            }
        }
    }
    assert!(long.is_empty(), "more than {MAX_LINES} lines: {long:#?}");
}

#[test]
fn no_machine_is_named() {
    let project = common::project();
    let named = ["work", "tmp", "home"].map(|folder| format!("/{folder}/"));
    let sources = WITHOUT_CYCLES.iter().chain(&["testkit"]).map(|folder| format!("{folder}/src"));
    for folder in sources.chain(["docs".to_owned()]) {
        for (path, text) in files(&project.join(&folder), &["rs", "md"]) {
            let text = without_tests(&path, &text);
            let found = named.iter().find(|named| text.contains(*named));
            assert_eq!(found, None, "{folder}/{}", path.display());
        }
    }
}

/// The lines of code in which a command or an option of the binary stands.
///
/// Two minus signs before a name, and a backquote, stand only in string literals: no code needs them.
fn lines_with_commands(code: &str) -> Vec<&str> {
    let has_option = |line: &str| {
        line.split("--").skip(1).any(|rest| rest.starts_with(|next: char| next.is_ascii_lowercase()))
    };
    let code = code.lines().map(str::trim).filter(|line| !line.starts_with("//"));
    let code = code.map(|line| line.split_once(" // ").map_or(line, |(code, _)| code));
    code.filter(|line| has_option(line) || line.contains("`vhdx")).collect()
}

/// The binary words what a user can do: the library knows no command line.
#[test]
fn the_library_names_no_commands() {
    for (path, text) in libraries() {
        let code = without_tests(&path, &text);
        let found = lines_with_commands(&code);
        assert!(found.is_empty(), "{} names a command or an option: {found:#?}", path.display());
    }
}

#[test]
fn unsafe_code_is_where_it_may_be() {
    let allowed = [Path::new("storage/mmap.rs"), Path::new("storage/host/windows.rs")];
    for (path, text) in libraries() {
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let found = code.filter(|line| {
            line.contains("unsafe {") || line.contains("unsafe fn") || line.contains("unsafe impl")
        });
        let count = found.count();
        assert!(count == 0 || allowed.contains(&path.as_path()), "{} has unsafe code", path.display());
    }
}

/// The number of lines before a silent default in which the comment with its reason may stand.
const LINES_TO_A_REASON: usize = 4;

/// Counts the silent defaults of a line: operations that hide that an invariant does not hold, because they return some
/// number instead of an error. Several forms do the same, so all of them count.
///
/// `else { return None }` does not count: a caller cannot take it for a number or an answer.
fn silent_defaults_in(line: &str) -> usize {
    const FORMS: [&str; 12] = [
        "saturating_",
        ".unwrap_or(",
        ".unwrap_or_default(",
        ".map_or(&[]",
        ".map_or_else(Vec::new",
        ".abs_diff(",
        ".since(",
        ".fold(0, ",
        "else { return 0 }",
        "else { return Ok(0) }",
        "else { return false }",
        "else { return Ok(false) }",
    ];
    let is_number = |rest: &&str| {
        rest.starts_with(|first: char| first.is_ascii_digit())
            || ["u16", "u32", "u64", "usize"].iter().any(|size| rest.starts_with(&format!("{size}::M")))
    };
    let numbers = line.split(".map_or(").skip(1).filter(is_number).count();
    numbers + FORMS.iter().map(|form| line.matches(form).count()).sum::<usize>()
}

/// Returns the number of silent defaults in code, and the lines of those without a comment that gives the reason.
fn silent_defaults(code: &str) -> (usize, Vec<usize>) {
    let lines: Vec<&str> = code.lines().map(str::trim).collect();
    let (mut count, mut without_reason) = (0, Vec::new());
    for (number, line) in lines.iter().enumerate() {
        if line.starts_with("//") {
            continue;
        }
        // The formatter may put an argument on the next line.
        let next = lines.get(number + 1).filter(|_| line.ends_with('(')).unwrap_or(&"");
        let found = silent_defaults_in(&format!("{line}{next}"));
        count += found;
        let near = &lines[number.saturating_sub(LINES_TO_A_REASON)..=number];
        if found > 0 && !near.iter().any(|line| line.contains("//")) {
            without_reason.push(number + 1);
        }
    }
    (count, without_reason)
}

/// If you need one, add it to the list, with a comment in the code that says why it is the right value. The list
/// also changes when one is replaced by [`Error::Internal`](vhdx::Error::Internal), so it always says what is left.
#[test]
fn silent_defaults_are_listed_and_give_their_reasons() {
    let (mut found, mut without_reason) = (String::new(), Vec::new());
    for (path, text) in libraries() {
        let (count, lines) = silent_defaults(&without_tests(&path, &text));
        let path = path.display().to_string().replace('\\', "/");
        if count > 0 {
            found += &format!("{count:3} {path}\n");
        }
        without_reason.extend(lines.iter().map(|line| format!("{path}:{line}")));
    }
    assert!(without_reason.is_empty(), "no comment gives the reason: {without_reason:#?}");
    let listed = fs::read_to_string(common::project().join("vhdx/tests/silent_defaults.txt")).unwrap();
    assert!(found == listed.replace('\r', ""), "vhdx/tests/silent_defaults.txt must be:\n{found}");
}

/// The tests, and whole files of them, that Windows does not run: what follows an attribute that says so.
fn tests_that_windows_does_not_run(text: &str) -> Vec<&str> {
    let (mut attributes, mut found) = (String::new(), Vec::new());
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[") {
            attributes += line;
            continue;
        }
        let elsewhere = ["unix", "target_os = \"linux\"", "not(windows)"];
        let is_elsewhere = elsewhere.iter().any(|host| attributes.contains(&format!("#[cfg({host})]")));
        let name = match line.strip_prefix("fn ") {
            Some(rest) if attributes.contains("#[test]") => rest.split('(').next(),
            _ => line.strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';')),
        };
        found.extend(name.filter(|_| is_elsewhere));
        attributes.clear();
    }
    found
}

#[test]
fn what_windows_does_not_test_is_listed() {
    let project = common::project();
    let list = fs::read_to_string(project.join("vhdx/tests/tidy/not_on_windows.md")).unwrap();
    let (mut missing, mut count) = (Vec::new(), 0);
    for folder in ["vhdx/src", "vhdx/tests", "vhdx-cli/tests", "hyperv-config", "testkit/tests"] {
        for (path, text) in sources(&project.join(folder)) {
            let names = tests_that_windows_does_not_run(&text);
            // The library has files of its own for each host.
            let names = names.into_iter().filter(|name| !["linux", "other", "unix"].contains(name));
            for name in names {
                count += 1;
                if !list.contains(&format!("`{name}`")) {
                    missing.push(format!("{folder}/{}: {name}", path.display()));
                }
            }
        }
    }
    assert!(count > 20, "only {count} tests");
    assert!(missing.is_empty(), "not in vhdx/tests/tidy/not_on_windows.md: {missing:#?}");
}

/// Returns the parts of names by which `.ci/windows` leaves out tests.
fn tests_that_take_too_long_for_windows(script: &str) -> Vec<&str> {
    let list = script.split("LONGEST=(").nth(1).and_then(|rest| rest.split(')').next());
    list.expect("a list of tests").split_whitespace().collect()
}

fn names(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
}

#[test]
fn what_takes_too_long_for_windows_is_listed() {
    let project = common::project();
    let list = fs::read_to_string(project.join("vhdx/tests/tidy/not_on_windows.md")).unwrap();
    let script = fs::read_to_string(project.join(".ci/windows")).unwrap();
    let skipped = tests_that_take_too_long_for_windows(&script);
    assert!(!skipped.is_empty());
    let folders = ["vhdx/src", "vhdx/tests"].map(|folder| sources(&project.join(folder)));
    let code: String = folders.into_iter().flat_map(BTreeMap::into_values).collect();
    for test in &skipped {
        assert!(list.contains(&format!("`{test}`")), "not in vhdx/tests/tidy/not_on_windows.md: {test}");
        let name = test.rsplit("::").next().unwrap();
        assert!(names(&code).any(|found| found == name), "there is no test {test}");
        let mut others = names(&code).filter(|found| found.contains(test) && !skipped.contains(found));
        assert_eq!(others.next(), None, "left out with {test}");
    }
}

#[test]
fn the_tests_of_this_test() {
    let used = |code| used_names(code, 2);
    let code = "use crate::{file::Vhdx, units::MIB};\n/// crate::Chain\nlet x = crate::chain::open();";
    assert_eq!(used(code), ["file", "units", "chain"]);
    let group = "use crate::{\n    format::{header::{Header, x}, bytes},\n    ops,\n    Chain,\n};\n{ super::x(a, b) }";
    assert_eq!(used(group), ["format", "ops", "Chain"]);
    assert_eq!(
        used("super::super::ops::merge(); super::check(); fn f() -> crate::Result<()>"),
        ["ops", "Result"]
    );
    assert_eq!(used("use crate::*;"), [""]);
    assert_eq!(["units.rs", "file/mod.rs", "file/bat.rs"].map(|path| depth(Path::new(path))), [1, 1, 2]);
    let code = "a\n#[cfg(test)]\nmod tests {\n use crate::ops;\n}\n";
    assert_eq!(without_tests(Path::new("a.rs"), code), "a");
    let code =
        "#[test]\n#[cfg(unix)]\nfn a() {\n#[cfg(unix)]\nlet b;\n}\n#[test]\nfn c() {}\n#[cfg(unix)]\nmod d;";
    assert_eq!(tests_that_windows_does_not_run(code), ["a", "d"]);
    assert_eq!(tests_that_take_too_long_for_windows("A=(x)\nLONGEST=(\n a\n b::c)\nd"), ["a", "b::c"]);
    for code in ["#[cfg(test)]\nuse x;\nb", "#[cfg(test)]\nmod tests;\nmod b;"] {
        assert_eq!(without_tests(Path::new("a.rs"), code), code);
    }
    assert_eq!(without_tests(Path::new("a.rs"), "a\n#[cfg(test)]\nmod tests;\n"), "a");
    assert_eq!(without_tests(Path::new("a/tests/b.rs"), "a"), "");
    let code = "// a.unwrap_or(b)\na.unwrap_or(b).saturating_add(c)\nunwrap_or_else(d)";
    assert_eq!(silent_defaults(code), (2, vec![]));
    let code = "a.map_or(7, b)\nc.map_or(\n    u64::MAX, d)\ne.map_or(f, g)\nlet h else { return None };";
    assert_eq!(silent_defaults(code), (2, vec![1, 2]));
    let code = "// why\na;\nb;\nc;\nlet d else { return false };\ne.abs_diff(f);\ng.abs_diff(h); // why";
    assert_eq!(silent_defaults(code), (3, vec![6]));
    let code = "// --a\nx; // --a\nb -- c\n\"d --e\n  --f\n \"run `vhdx g` \"";
    assert_eq!(lines_with_commands(code), ["\"d --e", "--f", "\"run `vhdx g` \""]);
}
