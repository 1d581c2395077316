//! References in documents: paths exist, items are in the file that is named after them, and all locks are in the table
//! of `ARCHITECTURE.md`.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::{Source, assert_none, sources};

/// The folders with files that a document may name.
const FOLDERS: [&str; 8] = ["src", "tests", "benches", "config", "docs", "certs", "fuzz", ".ci"];

/// The types of locks.
const LOCKS: [&str; 3] = ["Mutex", "RwLock", "DashMap"];

#[test]
fn files_that_documents_name_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = documents(root);
    assert!(pages.len() > 10);
    let found = pages.iter().flat_map(|page| {
        let text = fs::read_to_string(page).unwrap();
        let folder = page.parent().unwrap();
        let gone = named_paths(&text).into_iter().filter(|(_, path)| !root.join(path).exists());
        let broken = links(&text).into_iter().filter(|(_, path)| !folder.join(path).exists());
        gone.chain(broken)
            .map(|(line, path)| format!("{}:{line}: there is no {path}", page.display()))
            .collect::<Vec<_>>()
    });
    assert_none(found);
}

#[test]
fn items_are_in_the_files_that_documents_name_behind_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seen = 0;
    let found = documents(root).into_iter().flat_map(|page| {
        let text = fs::read_to_string(&page).unwrap();
        let items = named_items(&text);
        seen += items.len();
        let gone = items.into_iter().filter(|(_, item, path)| {
            let source = fs::read_to_string(root.join(path)).unwrap_or_default();
            !has_item(&source, item)
        });
        gone.map(|(line, item, path)| format!("{}:{line}: there is no {item} in {path}", page.display()))
            .collect::<Vec<_>>()
    });
    assert_none(found.collect::<Vec<_>>());
    assert!(seen > 20, "{seen} items are named with their files");
}

#[test]
fn every_lock_is_in_the_architecture() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let (_, rest) = text.split_once("\n## Locks\n").expect("ARCHITECTURE.md has a section of locks");
    let section = rest.split("\n## ").next().unwrap_or(rest);
    let is_test = |name: &str| name.ends_with("/tests.rs") || name.contains("/tests/");
    let named: BTreeSet<_> = code_spans(section).map(|(_, span)| span.to_owned()).collect();
    let there: BTreeSet<_> =
        sources("src").iter().filter(|s| !is_test(&s.name)).flat_map(locks).collect::<BTreeSet<_>>();
    assert!(there.len() > 20, "{there:?}");
    assert_none(there.difference(&named).map(|lock| format!("ARCHITECTURE.md does not say when {lock} is taken")));
    let is_lock = |name: &&String| name.contains("::") && !name.contains(' ') && **name != "Store::together";
    let gone = named.iter().filter(is_lock).filter(|name| !there.contains(*name));
    assert_none(gone.map(|name| format!("ARCHITECTURE.md names a lock that is not there: {name}")));
}

/// Phrases that hide who acts, or for which the field has a word: `CONTRIBUTING.md` has the rule and what to write.
const PHRASES: [&str; 6] = ["whoever", "in vain", "on end", "of ours", "for good", "those for whom"];

#[test]
fn texts_name_the_actor_and_the_thing() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let code = ["src", "tests", "benches"].into_iter().flat_map(sources);
    // this file has the phrases themselves
    let code = code.filter(|source| !source.name.ends_with("tidy/documents.rs"));
    let mut texts: Vec<_> = code.map(|source| (source.name, source.text)).collect();
    let pages = documents(root).into_iter().filter(|page| !page.ends_with("CONTRIBUTING.md"));
    let configs = fs::read_dir(root.join("config")).unwrap().map(|entry| entry.unwrap().path()).filter(|p| p.is_file());
    // binary files have no text
    let files =
        pages.chain(configs).filter_map(|path| Some((path.display().to_string(), fs::read_to_string(path).ok()?)));
    texts.extend(files);
    assert!(texts.len() > 200, "{}", texts.len());
    let found = texts.iter().flat_map(|(name, text)| {
        let found = phrases(text).into_iter();
        found.map(move |(line, phrase)| format!("{name}:{line}: \"{phrase}\": name the actor and the thing"))
    });
    assert_none(found);
}

/// Which of the phrases a text has, in whole words and whatever their case, over the ends of lines and comments too.
fn phrases(text: &str) -> Vec<(usize, &'static str)> {
    let lines = (1..).zip(text.lines());
    let words: Vec<_> = lines.flat_map(|(line, text)| text.split_whitespace().map(move |word| (line, word))).collect();
    let words: Vec<_> = words
        .into_iter()
        .filter(|(_, word)| !["//", "///", "//!", "#", "\\"].contains(word))
        .map(|(line, word)| (line, word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase()))
        .collect();
    let mut found = Vec::new();
    for phrase in PHRASES {
        let parts: Vec<_> = phrase.split(' ').collect();
        let all =
            words.windows(parts.len()).filter(|words| words.iter().zip(&parts).all(|((_, word), part)| word == part));
        found.extend(all.map(|words| (words[0].0, phrase)));
    }
    found
}

#[test]
fn phrases_are_found_in_whole_words_over_the_ends_of_lines() {
    let text = "// Those for\n// whom it waits\nit is gone for good.\nfor goodness, the legend: hours\n";
    assert_eq!(phrases(text), [(3, "for good"), (1, "those for whom")]);
}

/// The pages in the root, in `docs`, and those beside the code.
fn documents(root: &Path) -> Vec<PathBuf> {
    let of = |folder: &Path| -> Vec<_> { fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect() };
    let all = [of(root), of(&root.join("docs")), vec![root.join("src/store/FORMAT.md"), root.join("certs/README.md")]];
    let mut pages: Vec<_> = all.concat();
    pages.retain(|path| path.extension().is_some_and(|e| e == "md"));
    pages.sort();
    pages
}

/// The paths of this repository that a page names, in backticks or as a link, and where.
pub fn named_paths(text: &str) -> Vec<(usize, String)> {
    let is_path = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let words = line.split(|c: char| !is_path(c)).map(|word| word.trim_end_matches(['.', '/']));
        // what `dunlin certs` makes is named, and not there
        let is_made = |word: &str| word.ends_with(".pem") || word.ends_with(".key");
        let begins = |word: &str| word.split_once('/').is_some_and(|(first, _)| FOLDERS.contains(&first));
        let begins = |word: &str| begins(word) && !is_made(word);
        found.extend(words.filter(|word| begins(word)).map(|word| (at + 1, word.to_owned())));
    }
    found
}

/// The targets of links, without the part after `#`.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let files = targets.filter(|target| !target.contains("://")).map(|t| t.split('#').next().unwrap_or_default());
        found.extend(files.filter(|file| !file.is_empty()).map(|file| (at + 1, file.to_owned())));
    }
    found
}

/// What stands between backticks, and where.
fn code_spans(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines()).flat_map(|(line, text)| text.split('`').skip(1).step_by(2).map(move |span| (line, span)))
}

/// `Item` (`src/file.rs`), or `Item` in `src/file.rs`: the line, the item, the file.
fn named_items(text: &str) -> Vec<(usize, String, String)> {
    let mut found = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        let parts: Vec<_> = text.split('`').collect();
        for three in parts.windows(4).skip(1).step_by(2) {
            let [item, between, path] = [three[0], three[1], three[2]];
            let is_item = !item.is_empty() && item.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
            if is_item && [" (", " in "].contains(&between) && path.starts_with("src/") && path.ends_with(".rs") {
                found.push((line, item.to_owned(), path.to_owned()));
            }
        }
    }
    found
}

/// Does a source declare the last name of this path?
fn has_item(source: &str, path: &str) -> bool {
    let name = path.rsplit("::").next().unwrap_or(path);
    let kinds = ["struct ", "enum ", "trait ", "fn ", "const ", "type ", "static "];
    let ends = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let declares =
        |kind: &str| source.match_indices(&format!("{kind}{name}")).any(|(at, m)| ends(&source[at + m.len()..]));
    let is_field = path.contains("::") && source.contains(&format!("{name}: "));
    let is_variant =
        path.contains("::") && [",", " {", "("].iter().any(|end| source.contains(&format!("    {name}{end}")));
    kinds.into_iter().any(declares) || is_field || is_variant
}

/// The locks of a file, as `Type::field`, or as `Type` if that is all that the type has.
fn locks(source: &Source) -> Vec<String> {
    let (mut found, mut inside) = (Vec::new(), None);
    let text = source.text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    for line in text.lines() {
        let declared = line.split("struct ").nth(1).filter(|_| !line.trim_start().starts_with("//"));
        if let Some(rest) = declared.filter(|_| !line.starts_with(' ')) {
            let name: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
            if is_lock(rest.split_once('(').map_or("", |(_, fields)| fields)) {
                found.push(name.clone());
            }
            inside = Some(name).filter(|_| line.ends_with('{'));
        } else if line == "}" {
            inside = None;
        } else if let (Some(name), Some((field, of))) = (&inside, line.split_once(": "))
            && is_lock(of)
            && !line.trim_start().starts_with("//")
        {
            let field = field.rsplit(' ').next().unwrap_or(field);
            found.push(format!("{name}::{field}"));
        }
    }
    found
}

fn is_lock(of: &str) -> bool {
    let of = of.rsplit_once("sync::").map_or(of, |(_, of)| of).trim_start_matches("parking_lot::");
    LOCKS.iter().any(|lock| of.strip_prefix(lock).is_some_and(|rest| rest.starts_with('<')))
}

#[test]
fn each_rule_finds_what_it_looks_for() {
    assert_eq!(
        named_paths("a\n`src/a.rs`, [b](docs/b.md) and tests/it/; not /src/c or src."),
        [(2, "src/a.rs".into()), (2, "docs/b.md".into()), (2, "tests/it".into())]
    );
    assert_eq!(links("[a](b.md#c), [d](#e)\n[f](https://g), [h](../i)"), [(1, "b.md".into()), (2, "../i".into())]);
    assert_eq!(
        named_items("`A::b` (`src/c.rs`), `d` and `src/e.rs`, `f` in `src/g.rs`"),
        [(1, "A::b".into(), "src/c.rs".into()), (1, "f".into(), "src/g.rs".into())]
    );
    let source = "struct Ab {\n    cd: u8,\n}\nenum E {\n    F,\n}\nfn g() {}";
    assert!(["Ab", "Ab::cd", "E::F", "g", "X::g"].iter().all(|item| has_item(source, item)));
    assert!(["A", "cd", "F", "h", "Ab::c"].iter().all(|item| !has_item(source, item)));
    let text = "pub(crate) struct A {\n    pub(crate) b: Mutex<u8>,\n    c: u8,\n    d: tokio::sync::Mutex<u8>,\n}\n\
                struct E(RwLock<u8>);\nfn f(g: &Mutex<u8>) {}\n";
    assert_eq!(locks(&Source { name: "src/a.rs".into(), text: text.into() }), ["A::b", "A::d", "E"]);
}
