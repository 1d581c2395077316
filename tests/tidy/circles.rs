//! Imports within a folder of the sources have no cycles, and code outside of a folder, within a room, imports only
//! items of its `mod.rs`.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Source,
    rust::{FullPath, paths, tokens, without_tests},
};

/// The modules of the library by their paths, such as `["store", "log", "pool"]`.
struct Modules<'a> {
    files: BTreeMap<Vec<String>, &'a Source>,
    /// For each module: the names that it exports from others, and where they are defined, as far as that is another
    /// module.
    exports: BTreeMap<Vec<String>, BTreeMap<String, Vec<String>>>,
    /// Modules that are declared `pub` or `pub(crate)`: they are visible outside of the module above them.
    shown: BTreeSet<Vec<String>>,
}

/// One import: by which file, at which line, of which module.
struct Import {
    from: Vec<String>,
    line: usize,
    /// The module that the path names.
    named: Vec<String>,
    /// The module in which it is defined.
    to: Vec<String>,
}

pub fn circles(sources: &[Source]) -> Vec<String> {
    let modules = Modules::new(sources);
    let mut arrows: BTreeMap<Vec<String>, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for import in modules.imports() {
        let common = import.from.iter().zip(&import.to).take_while(|(a, b)| a == b).count();
        // the module above them has its parts, and they have it
        let (Some(from), Some(to)) = (import.from.get(common), import.to.get(common)) else { continue };
        if common > 0 {
            let folder = arrows.entry(import.from[..common].to_vec()).or_default();
            folder.entry(from.clone()).or_default().insert(to.clone());
        }
    }
    let found = arrows.iter().flat_map(|(folder, arrows)| {
        let reach = |from: &String| {
            let (mut seen, mut left) = (BTreeSet::new(), vec![from]);
            while let Some(next) = left.pop() {
                for to in arrows.get(next).into_iter().flatten() {
                    if seen.insert(to) {
                        left.push(to);
                    }
                }
            }
            seen
        };
        let reached: BTreeMap<_, _> = arrows.keys().map(|from| (from, reach(from))).collect();
        let mut circles = BTreeSet::new();
        for (from, all) in &reached {
            if all.contains(from) {
                let with = all.iter().filter(|to| reached.get(*to).is_some_and(|back| back.contains(from)));
                circles.insert(with.map(|name| name.as_str()).collect::<Vec<_>>());
            }
        }
        circles.into_iter().map(move |circle| format!("src/{}: a circle of {}", folder.join("/"), circle.join(", ")))
    });
    found.collect()
}

pub fn reaches_behind_a_face(sources: &[Source]) -> Vec<String> {
    let modules = Modules::new(sources);
    let behind = modules.imports().into_iter().filter(|import| {
        let inner = import.named.len();
        // a file in a folder within a room, from outside that folder
        inner >= 3 && !import.from.starts_with(&import.named[..inner - 1]) && !modules.shown.contains(&import.named)
    });
    let told = behind.map(|import| {
        let (file, inner) = (&modules.files[&import.from].name, import.named.len());
        let face = import.named[..inner - 1].join("::");
        format!("{file}:{}: {} is behind what {face} shows", import.line, import.named.join("::"))
    });
    told.collect()
}

impl<'a> Modules<'a> {
    fn new(sources: &'a [Source]) -> Self {
        let tests: BTreeSet<String> = sources.iter().flat_map(|s| crate::test_modules(&s.name, &s.text)).collect();
        let is_test =
            |name: &str| tests.iter().any(|t| name == format!("{t}.rs") || name.starts_with(&format!("{t}/")));
        let of_the_library = sources.iter().filter(|s| !s.name.starts_with("src/bin/") && !is_test(&s.name));
        let files: BTreeMap<_, _> = of_the_library.filter_map(|s| Some((module(&s.name)?, s))).collect();
        let mut all = Self { files, exports: BTreeMap::new(), shown: BTreeSet::new() };
        let mut exports = BTreeMap::new();
        for (path, source) in &all.files {
            let tokens = tokens(&source.text);
            for window in tokens.windows(6) {
                let words: Vec<&str> = window.iter().map(|t| t.text.as_str()).collect();
                match words[..] {
                    ["pub", "mod", name, ..] | ["pub", "(", "crate", ")", "mod", name] => {
                        all.shown.insert(path.iter().cloned().chain([name.to_owned()]).collect());
                    }
                    _ => {}
                }
            }
            let names = exported(&source.text).into_iter().filter_map(|export| {
                let (name, target) = (export.segments.last()?.clone(), all.resolve(path, &export)?.0);
                (target != *path).then_some((name, target))
            });
            exports.insert(path.clone(), names.collect());
        }
        all.exports = exports;
        all
    }

    /// The module that a path names, and the first name behind it.
    fn resolve(&self, from: &[String], path: &FullPath) -> Option<(Vec<String>, Option<String>)> {
        let climbs = path.segments.iter().take_while(|s| *s == "super").count();
        let (mut whole, rest) = match path.segments[0].as_str() {
            "crate" => (Vec::new(), &path.segments[1..]),
            "super" if climbs > path.modules => {
                (from[..from.len().checked_sub(climbs - path.modules)?].to_vec(), &path.segments[climbs..])
            }
            "super" => return None,
            "self" => (from.to_vec(), &path.segments[1..]),
            first if self.files.contains_key(&[from, &[first.to_owned()]].concat()) => {
                (from.to_vec(), &path.segments[..])
            }
            _ => return None,
        };
        let mut rest = rest.iter();
        let name = loop {
            let Some(next) = rest.next() else { break None };
            let is_item = rest.len() == 0 && self.exports.get(&whole).is_some_and(|names| names.contains_key(next));
            whole.push(next.clone());
            if is_item || !self.files.contains_key(&whole) {
                whole.pop();
                break Some(next.clone());
            }
        };
        (!whole.is_empty()).then_some((whole, name))
    }

    fn imports(&self) -> Vec<Import> {
        let mut all = Vec::new();
        for (from, source) in &self.files {
            let exports: Vec<_> = exported(&source.text).into_iter().map(|path| (path.line, path.segments)).collect();
            for path in paths(&without_tests(&tokens(&source.text))) {
                if exports.contains(&(path.line, path.segments.clone())) {
                    continue;
                }
                let Some((named, mut name)) = self.resolve(from, &path) else { continue };
                let mut to = named.clone();
                // through re-exports to the definition
                while let Some(next) = name.as_ref().and_then(|name| self.exports.get(&to)?.get(name)) {
                    to.clone_from(next);
                    name = name.filter(|_| self.exports.contains_key(&to));
                }
                if to != *from {
                    all.push(Import { from: from.clone(), line: path.line, named, to });
                }
            }
        }
        all
    }
}

/// The path of a file's module.
fn module(name: &str) -> Option<Vec<String>> {
    let inner = name.strip_prefix("src/")?.strip_suffix(".rs")?;
    let inner = inner.strip_suffix("/mod").unwrap_or(inner);
    (inner != "lib").then(|| inner.split('/').map(str::to_owned).collect())
}

/// The paths that a file exports with `pub use`.
fn exported(text: &str) -> Vec<FullPath> {
    let tokens = without_tests(&tokens(text));
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let is_public = at > 0 && matches!(tokens[at - 1].text.as_str(), "pub" | ")");
        if token.text == "use" && is_public {
            let end = tokens[at..].iter().position(|t| t.text == ";").map_or(tokens.len(), |end| at + end);
            found.extend(paths(&tokens[at..end]));
        }
    }
    found.retain(|path| path.segments != ["use"]);
    found
}

#[test]
fn each_rule_finds_what_it_looks_for_and_nothing_else() {
    let source = |name: &str, text: &str| Source { name: format!("src/{name}"), text: text.to_owned() };
    let tree = |a: &str, pool: &str| {
        [
            source("room/mod.rs", "mod a; mod log; mod b; pub use a::A; pub use log::Pool;"),
            source("room/a.rs", a),
            source("room/b.rs", "use super::{A, log::Pool}; #[cfg(test)] mod tests { use super::super::log::pool; }"),
            source("room/log/mod.rs", "pub(crate) mod names; mod pool; pub(crate) use pool::Pool;"),
            source("room/log/names.rs", "pub fn f() {}"),
            source("room/log/pool.rs", pool),
        ]
    };
    let right =
        tree("use super::log::{Pool, names}; fn f() { names::f() }", "use super::names::f; use super::super::Room;");
    assert_eq!((circles(&right), reaches_behind_a_face(&right)), (Vec::new(), Vec::new()));
    // by what `mod.rs` exports, too
    let circle = tree("use crate::room::Pool;", "use super::super::A;");
    assert_eq!(circles(&circle), ["src/room: a circle of a, log"]);
    let behind = tree("\nuse super::log::pool::Pool;", "");
    assert_eq!(reaches_behind_a_face(&behind), ["src/room/a.rs:2: room::log::pool is behind what room::log shows"]);
}
