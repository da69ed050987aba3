//! Finds cycles of imports between the files of a crate.
//!
//! A file imports the files that define the names that its paths lead to, also through re-exports. A re-export is an
//! import only if the file also uses the name. Calls of methods are not seen: they need no path.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The code of one file, without its comments, strings and tests.
struct Source {
    /// The path of its module, from the root of the crate.
    module: Vec<String>,
    /// The code without the `use` declarations and the declarations of other files.
    code: String,
    uses: Vec<Use>,
    /// The names of the items at its top level.
    defined: BTreeSet<String>,
}

/// A name that a `use` declaration brings into a file: `*` for all names of a module.
struct Use {
    path: Vec<String>,
    name: String,
    is_reexport: bool,
}

/// The files of one crate, by their modules.
pub(crate) struct Crate {
    files: BTreeMap<PathBuf, Source>,
    modules: BTreeMap<Vec<String>, PathBuf>,
}

impl Crate {
    /// `files` are the files in its `src`. Those that hold only tests are left out.
    pub(crate) fn new(files: impl IntoIterator<Item = (PathBuf, String)>) -> Self {
        let is_test =
            |name: &OsStr| ["tests", "testing", "tests.rs", "testing.rs"].iter().any(|test| name == *test);
        let files = files.into_iter().filter(|(path, _)| !path.iter().any(is_test));
        let files = files.map(|(path, text)| {
            let source = Source::new(&path, &text);
            (path, source)
        });
        let files: BTreeMap<_, _> = files.collect();
        let modules = files.iter().map(|(path, source)| (source.module.clone(), path.clone()));
        Self { modules: modules.collect(), files }
    }

    /// Returns the cycles, each as a list of its imports: `a.rs -> b.rs: names`.
    pub(crate) fn cycles(&self) -> Vec<Vec<String>> {
        let imports: BTreeMap<&PathBuf, _> =
            self.files.keys().map(|path| (path, self.imports(path))).collect();
        let reached = |start: &PathBuf| {
            let (mut found, mut next) = (BTreeSet::new(), vec![start.clone()]);
            while let Some(path) = next.pop() {
                next.extend(imports[&path].keys().filter(|path| found.insert((*path).clone())).cloned());
            }
            found
        };
        let reached: BTreeMap<&PathBuf, BTreeSet<PathBuf>> =
            self.files.keys().map(|path| (path, reached(path))).collect();
        let (mut cycles, mut done) = (Vec::new(), BTreeSet::new());
        for start in self.files.keys().filter(|path| reached[path].contains(*path)) {
            let is_in_cycle = |path: &PathBuf| reached[start].contains(path) && reached[path].contains(start);
            let members: Vec<&PathBuf> = self.files.keys().filter(|path| is_in_cycle(path)).collect();
            if !done.insert(members.clone()) {
                continue;
            }
            let within = members.iter().flat_map(|from| {
                let to = imports[*from].iter().filter(|(to, _)| members.contains(to));
                to.map(|(to, names)| format!("{} -> {}: {names:?}", from.display(), to.display()))
            });
            cycles.push(within.collect());
        }
        cycles
    }

    /// Returns the other files that a file imports, and the paths in it that lead there.
    fn imports(&self, file: &Path) -> BTreeMap<PathBuf, BTreeSet<String>> {
        let source = &self.files[file];
        let mut found: BTreeMap<PathBuf, BTreeSet<String>> = BTreeMap::new();
        let mut add = |module: Option<Vec<String>>, path: &[String]| {
            let to = module.and_then(|module| self.definition(&module, &mut BTreeSet::new()));
            if let Some(to) = to.filter(|to| to != file) {
                found.entry(to).or_default().insert(path.join("::"));
            }
        };
        let words: BTreeSet<&str> = source.code.split(|c| !is_word(c)).collect();
        for used in &source.uses {
            let absolute = self.absolute(source, &used.path);
            // A folder of files counts only by the names that are used of it.
            let is_folder = absolute
                .as_ref()
                .and_then(|path| self.modules.get(path))
                .is_some_and(|path| path.ends_with("mod.rs"));
            if used.name == "*" {
                add(absolute.map(|path| path[..path.len() - 1].to_vec()), &used.path);
            } else if !is_folder && (!used.is_reexport || words.contains(used.name.as_str())) {
                add(absolute, &used.path);
            }
        }
        for path in paths(&source.code) {
            add(self.absolute(source, &path), &path);
        }
        found
    }

    /// Returns the path from the root of the crate; `None` if it leads to another crate or to a local name.
    fn absolute(&self, source: &Source, path: &[String]) -> Option<Vec<String>> {
        let (first, rest) = path.split_first()?;
        let from = |base: &[String], rest: &[String]| Some([base, rest].concat());
        match first.as_str() {
            "crate" => return from(&[], rest),
            "self" => return from(&source.module, rest),
            "super" => {
                let ups = path.iter().take_while(|name| *name == "super").count();
                let base = source.module.len().checked_sub(ups).expect("no inline module uses `super`");
                return from(&source.module[..base], &path[ups..]);
            }
            _ => {}
        }
        let child = [source.module.as_slice(), std::slice::from_ref(first)].concat();
        if self.modules.contains_key(&child) {
            return from(&child, rest);
        }
        let used = source.uses.iter().find(|used| used.name == *first && used.path[0] != *first)?;
        from(&self.absolute(source, &used.path)?, rest)
    }

    /// Returns the file that defines what is at an absolute path; `None` if another crate does.
    fn definition(&self, path: &[String], seen: &mut BTreeSet<Vec<String>>) -> Option<PathBuf> {
        let depth = (0..=path.len()).rev().find(|&depth| self.modules.contains_key(&path[..depth]))?;
        let file = &self.modules[&path[..depth]];
        let source = &self.files[file];
        let Some((name, rest)) = path[depth..].split_first() else { return Some(file.clone()) };
        if source.defined.contains(name) || !seen.insert(path.to_vec()) {
            return Some(file.clone());
        }
        if let Some(used) = source.uses.iter().find(|used| used.name == *name) {
            let absolute = self.absolute(source, &used.path)?;
            return self.definition(&[absolute.as_slice(), rest].concat(), seen);
        }
        let all = source.uses.iter().filter(|used| used.name == "*");
        let mut all =
            all.filter_map(|used| self.modules.get(self.absolute(source, &used.path)?.split_last()?.1));
        let elsewhere = all.find(|file| self.files[*file].defined.contains(name));
        // A name that is found nowhere is made by a macro of the file, or is a variant or a function of a type.
        Some(elsewhere.unwrap_or(file).clone())
    }
}

impl Source {
    fn new(path: &Path, text: &str) -> Self {
        let without_suffix = path.with_extension("");
        let names = without_suffix.iter().map(|name| name.to_str().unwrap().to_owned());
        let mut module: Vec<String> = names.collect();
        if module.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
            module.pop();
        }
        let all = without_tests(&code_only(text)).replace("pub(in crate::", "pub(in ");
        let (mut code, mut uses) = (String::new(), Vec::new());
        let mut rest = all.as_str();
        while let Some((before, declaration, after)) = next_declaration(rest) {
            let line = before.rsplit(['\n', ';', '}']).next().unwrap_or_default().trim_start();
            if let Some(tree) = declaration.strip_prefix("use ") {
                add_uses(tree, &[], line.starts_with("pub"), &mut uses);
            }
            code += before.strip_suffix(line).unwrap_or(before);
            code.push('\n');
            rest = after;
        }
        code += rest;
        let defined = defined(&code);
        Self { module, code, uses, defined }
    }
}

/// Splits the code at its next declaration of names or of another file, which ends at a semicolon.
fn next_declaration(code: &str) -> Option<(&str, &str, &str)> {
    let is_start = |at: &usize| !code[..*at].ends_with(is_word);
    let ends = |at: usize| code[at..].find([';', '{']).is_some_and(|end| code[at + end..].starts_with(';'));
    let uses = code.match_indices("use ").map(|(at, _)| at).find(is_start);
    let files = code.match_indices("mod ").map(|(at, _)| at).find(|at| is_start(at) && ends(*at));
    let at = uses.into_iter().chain(files).min()?;
    let end = at + code[at..].find(';')?;
    Some((&code[..at], &code[at..end], &code[end + 1..]))
}

/// Adds the names of a tree of paths: `a::{b, c as d}`.
fn add_uses(tree: &str, prefix: &[String], is_reexport: bool, uses: &mut Vec<Use>) {
    let tree = tree.trim();
    let names = |path: &str| -> Vec<String> {
        path.split("::").map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
    };
    if let Some((base, group)) = tree.split_once('{') {
        let prefix = [prefix, &names(base)].concat();
        let (mut depth, mut start) = (0, 0);
        for (at, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                ',' | '}' if depth == 0 => {
                    if !group[start..at].trim().is_empty() {
                        add_uses(&group[start..at], &prefix, is_reexport, uses);
                    }
                    start = at + 1;
                }
                _ => {}
            }
        }
        return;
    }
    let (path, other_name) = tree.split_once(" as ").map_or((tree, None), |(path, name)| (path, Some(name)));
    let mut path = [prefix, &names(path)].concat();
    if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
        path.pop();
    }
    let name = other_name.map_or_else(|| path[path.len() - 1].clone(), |name| name.trim().to_owned());
    uses.push(Use { path, name, is_reexport });
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Returns the paths in the code that have at least two names.
fn paths(code: &str) -> Vec<Vec<String>> {
    let is_path = |word: &&str| word.contains("::");
    let words = code.split(|c: char| !is_word(c) && c != ':').filter(is_path);
    let names = |word: &str| -> Vec<String> {
        word.split("::").map(|name| name.trim_matches(':').to_owned()).collect()
    };
    let paths = words.map(names).map(|mut names| {
        names.retain(|name| !name.is_empty());
        names
    });
    paths.filter(|names| names.len() > 1).collect()
}

/// Returns the names of the items that begin at the start of a line.
fn defined(code: &str) -> BTreeSet<String> {
    const KINDS: [&str; 9] =
        ["struct", "enum", "trait", "fn", "const", "static", "type", "union", "macro_rules!"];
    let lines = code.lines().filter(|line| !line.starts_with([' ', '}', '#']));
    let name = |line: &str| {
        let mut words = line.split_whitespace();
        words.find(|word| KINDS.contains(word))?;
        let name = words.find(|word| !KINDS.contains(word))?;
        Some(name.chars().take_while(|c| is_word(*c)).collect())
    };
    lines.filter_map(name).collect()
}

/// Returns the code without its comments and the content of its literals.
fn code_only(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let is_raw = rest.starts_with("r\"") || rest.starts_with("r#\"");
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if is_raw && !code.ends_with(is_word) {
            let end = if rest.starts_with("r\"") { "\"" } else { "\"#" };
            let start = rest.find('"').unwrap() + 1;
            start + rest[start..].find(end).unwrap() + end.len()
        } else if c == '"' {
            end_of_string(rest)
        } else if c == '\'' {
            end_of_char(rest).unwrap_or(0)
        } else {
            0
        };
        if skipped == 0 {
            code.push(c);
        }
        rest = &rest[if skipped == 0 { c.len_utf8() } else { skipped }..];
    }
    code
}

fn end_of_string(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Returns the length of a character literal; `None` for a lifetime.
fn end_of_char(text: &str) -> Option<usize> {
    let mut chars = text.char_indices().skip(1);
    if chars.next()?.1 == '\\' {
        chars.next();
        return Some(chars.find(|(_, c)| *c == '\'')?.0 + 1);
    }
    chars.next().filter(|(_, c)| *c == '\'').map(|(at, _)| at + 1)
}

/// Removes the items of tests, each with all of its attributes that follow.
fn without_tests(code: &str) -> String {
    let mut kept = String::new();
    let mut rest = code;
    while let Some(at) = ["#[cfg(test", "#[cfg(all(test"].iter().filter_map(|start| rest.find(start)).min() {
        kept += &rest[..at];
        rest = &rest[at..];
        rest = &rest[end_of_item(rest)..];
    }
    kept + rest
}

/// Returns the length of an item with its attributes: up to its closing brace, or its semicolon.
fn end_of_item(code: &str) -> usize {
    let mut depth = 0;
    for (at, c) in code.char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 && (c == '}' || c == ';') {
            return at + 1;
        }
    }
    code.len()
}

fn cycles_of(files: &[(&str, &str)]) -> Vec<Vec<String>> {
    Crate::new(files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned()))).cycles()
}

const ROOT: (&str, &str) = ("lib.rs", "mod a;\nmod b;\npub use a::A;");

#[test]
fn every_kind_of_path_is_an_import() {
    let a = ("a.rs", "use crate::b::B;\npub struct A(B);");
    let imports_of_a = [
        "use super::a::A;\npub struct B;",
        "use crate::{a::{self}};\npub struct B(a::A);",
        "use crate::a as other;\npub struct B(other::A);",
        "use crate::A;\npub struct B;",
        "pub struct B(crate::a::A);",
        "pub struct B;\nfn f() {\n    super::a::A::new('\"', b\"\\\"\");\n}",
        "pub struct B;\nfn f<'a>() {\n    use crate::a::*;\n}",
    ];
    for b in imports_of_a {
        assert_eq!(cycles_of(&[ROOT, a, ("b.rs", b)]).len(), 1, "{b}");
    }
    let cycles = cycles_of(&[ROOT, a, ("b.rs", imports_of_a[0])]);
    assert_eq!(cycles, [["a.rs -> b.rs: {\"crate::b::B\"}", "b.rs -> a.rs: {\"super::a::A\"}"]]);
}

#[test]
fn comments_strings_tests_and_other_crates_are_no_imports() {
    let a = ("a.rs", "use crate::b::B;\npub struct A(B);");
    let others = [
        "// use crate::a::A;\n/// [`A`](crate::a::A)\npub struct B;",
        "pub struct B;\nconst TEXT: &str = \"crate::a::A\";\nconst RAW: &str = r#\"crate::a::\"A\"#;",
        "pub struct B;\n#[cfg(test)]\nmod tests {\n    use crate::a::A;\n}",
        "#[cfg(all(test, unix))]\n#[allow(x)]\nfn f(x: [u8; 2]) { crate::a::A }\npub struct B;",
        "use a::A;\npub struct B;",
        "pub(in crate::a) struct B;",
    ];
    for b in others {
        assert_eq!(cycles_of(&[ROOT, a, ("b.rs", b)]), [[""; 0]; 0], "{b}");
    }
    let tests = [ROOT, a, ("b.rs", "pub struct B;"), ("b/tests.rs", "use crate::a::A;")];
    assert_eq!(cycles_of(&tests), [[""; 0]; 0]);
}

#[test]
fn a_folder_imports_only_what_its_own_file_uses() {
    let root = ("lib.rs", "mod m;");
    let x = ("m/x.rs", "use super::y::Y;\npub struct X(Y);");
    let y = ("m/y.rs", "pub struct Y;");
    let z = ("m/z.rs", "use super::Own;\nuse crate::m::X;\nuse crate::m;\nfn f(_: m::Y) {}");
    let reexports =
        "mod x;\nmod y;\nmod z;\npub use x::X;\npub use y::Y;\npub(crate) use z::f;\npub struct Own;";
    assert_eq!(cycles_of(&[root, ("m/mod.rs", reexports), x, y, z]), [[""; 0]; 0]);
    let uses = format!("{reexports}\npub fn g() {{ f() }}");
    let cycle = ["m/mod.rs -> m/z.rs: {\"z::f\"}", "m/z.rs -> m/mod.rs: {\"super::Own\"}"];
    assert_eq!(cycles_of(&[root, ("m/mod.rs", &uses), x, y, z]), [cycle]);
    // Through a re-export, `z` imports `x`, and not the folder.
    let x = ("m/x.rs", "pub struct X;\nfn g() { super::f() }");
    let cycles = cycles_of(&[root, ("m/mod.rs", reexports), x, y, z]);
    assert_eq!(cycles, [["m/x.rs -> m/z.rs: {\"super::f\"}", "m/z.rs -> m/x.rs: {\"crate::m::X\"}"]]);
}
