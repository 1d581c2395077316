//! Checks `docs/`, README.md and `certs/README.md`: every `toml` block is a valid configuration, and the `sh` blocks of
//! a page run one after another in a shell of their own. A page may use:
//!
//! - `<!-- file: NAME -->` before a block: the block is written to that file, in the directory where the commands run;
//! - `# prints: TEXT` after a command: the expected output;
//! - `<!-- installs` in a page: it runs in a built checkout, as root of a machine whose changes are discarded (overlays
//!   of /etc, /usr and /var), and is skipped if such a machine cannot be made;
//! - `python` and `javascript` blocks are compiled, and run if the commands do so (those of `docs/ci.md` that need
//!   packages are run by `tests/clients/pages`); `yaml` blocks are parsed; `rust` blocks are doc tests;
//! - blocks of other languages (`nginx`, `haproxy`, `text`, …) are not run.
//!
//! In README.md a line that begins with `dunlin` and starts a broker, or that ends with `# waits`, runs in the
//! background, and the next line waits until the broker accepts. `# mosquitto_sub prints: TEXT` waits for that
//! output.
//!
//! The shell has a network of its own (unshare(1)) with nothing but loopback: the pages' fixed ports are free, and
//! nothing leaves the machine. Commands run in the background with `&` end with the shell.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A fenced block of a page.
struct Block {
    line: usize,
    language: String,
    /// From a comment before it.
    file: Option<String>,
    text: String,
}

fn pages() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let mut pages: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("certs/README.md"));
    pages.sort();
    assert!(!pages.is_empty(), "there are no pages");
    pages
}

fn blocks(text: &str) -> Vec<Block> {
    let (mut blocks, mut file, mut open): (Vec<Block>, Option<String>, Option<Block>) = (Vec::new(), None, None);
    for (number, line) in (1..).zip(text.lines()) {
        if let Some(block) = &mut open {
            if line.trim() == "```" {
                blocks.extend(open.take());
            } else {
                block.text += line;
                block.text += "\n";
            }
        } else if let Some(language) = line.trim().strip_prefix("```") {
            open = Some(Block { line: number, language: language.into(), file: file.take(), text: String::new() });
        } else if let Some(name) = line.strip_prefix("<!-- file: ").and_then(|rest| rest.strip_suffix(" -->")) {
            file = Some(name.into());
        } else if !line.trim().is_empty() {
            assert!(file.is_none(), "line {number}: no block follows the name of its file");
        }
    }
    assert!(open.is_none(), "a block does not end");
    blocks
}

/// The blocks as one script. A command with `# prints:` is compared with what it prints.
fn script(blocks: &[Block]) -> String {
    let mut script = "set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n".to_owned();
    script += "expect() { [[ $1 == \"$2\" ]] || { printf 'line %s printed: %s\\n' \"$3\" \"$1\" >&2; exit 1; }; }\n";
    for block in blocks.iter().filter(|block| block.language == "sh" && block.file.is_none()) {
        for (line, text) in (block.line + 1..).zip(block.text.lines()) {
            match text.split_once("# prints: ") {
                Some((command, printed)) => {
                    let printed = printed.trim().replace('\'', r"'\''");
                    script += &format!("printed=$({})\nexpect \"$printed\" '{printed}' {line}\n", command.trim());
                }
                None => script += &format!("{text}\n"),
            }
        }
    }
    script
}

#[test]
fn configurations_on_the_pages_are_accepted() {
    let mut found = 0;
    for page in pages() {
        for block in blocks(&fs::read_to_string(&page).unwrap()).iter().filter(|block| block.language == "toml") {
            let name = format!("{}:{}", page.display(), block.line);
            match block.text.parse::<toml::Table>().unwrap().contains_key("dependencies") {
                // a part of a Cargo.toml
                true => {}
                false => drop(dunlin::config::parse(&block.text, &name).unwrap()),
            }
            found += 1;
        }
    }
    assert!(found > 0, "no page has a configuration");
}

#[test]
fn programs_and_data_on_the_pages_are_well_formed() {
    let dir = tempfile::tempdir().unwrap();
    let mut found = [0; 3];
    for page in pages() {
        for block in blocks(&fs::read_to_string(&page).unwrap()) {
            let name = format!("{}:{}", page.display(), block.line);
            let compile: &[&str] = match block.language.as_str() {
                "python" => &["python3", "-m", "py_compile"],
                "javascript" => &["node", "--check"],
                "yaml" => {
                    let documents = yaml_rust2::YamlLoader::load_from_str(&block.text).expect(&name);
                    assert!(documents[0].as_hash().is_some(), "{name}");
                    found[2] += 1;
                    continue;
                }
                _ => continue,
            };
            found[usize::from(compile[0] == "node")] += 1;
            let file = dir.path().join(if compile[0] == "node" { "a.mjs" } else { "a.py" });
            fs::write(&file, &block.text).unwrap();
            match Command::new(compile[0]).args(&compile[1..]).arg(file).output() {
                Ok(output) => assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr)),
                Err(error) => eprintln!("left out: {}: {error}", compile[0]),
            }
        }
    }
    assert!(found.iter().all(|&blocks| blocks > 0), "{found:?}");
}

#[test]
fn keys_that_pages_name_exist() {
    let (root, table) = (Path::new(env!("CARGO_MANIFEST_DIR")), dunlin::config::reference::markdown());
    let mut found = 0;
    for page in pages().into_iter().chain(["README.md", "SECURITY.md", "ARCHITECTURE.md"].map(|name| root.join(name))) {
        for (line, text) in (1..).zip(fs::read_to_string(&page).unwrap().lines()) {
            let spans = text.split('`').skip(1).step_by(2);
            let keys = spans.filter(|span| {
                let key = span.split_once('.').filter(|(table, _)| ["limits", "auth", "sys", "log"].contains(table));
                key.is_some_and(|(_, key)| {
                    !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase() || "_0".contains(c))
                })
            });
            for key in keys {
                assert!(table.contains(&format!("| `{key}` |")), "{}:{line}: there is no key {key}", page.display());
                found += 1;
            }
        }
    }
    assert!(found > 50, "{found}");
}

/// The message of a line of the log is written in the sources, and so is each of its fields, in the same call.
#[test]
fn lines_of_the_log_on_the_pages_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let calls = log_calls(&root.join("src"));
    let mut found = 0;
    for page in pages().into_iter().chain([root.join("README.md")]) {
        for (line, text) in (1..).zip(fs::read_to_string(&page).unwrap().lines()) {
            let begins = ["INFO ", "WARN ", "ERROR "].iter().find_map(|level| text.trim_start().strip_prefix(level));
            let Some(text) = begins else { continue };
            let words: Vec<_> = text.split(' ').collect();
            let is_field = |word: &&str| word.split_once('=').is_some_and(|(name, _)| is_name(name));
            let message: Vec<_> = words.iter().copied().take_while(|word| !is_field(word)).collect();
            let message = format!("\"{}\"", message.join(" "));
            let fields: Vec<_> =
                words.iter().filter(|word| is_field(word)).map(|w| w.split('=').next().unwrap()).collect();
            let is_it = |call: &&String| {
                call.ends_with(&message) && fields.iter().all(|field| names(call).any(|n| n == *field))
            };
            assert!(
                calls.iter().any(|call| is_it(&call)),
                "{}:{line}: no call logs {message} with {fields:?}",
                page.display()
            );
            found += 1;
        }
    }
    assert!(found > 10, "{found}");
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}

fn names(call: &str) -> impl Iterator<Item = &str> {
    call.split(|c: char| !c.is_ascii_lowercase() && c != '_')
}

/// What the sources log: for each text in a call, the call as far as the end of that text.
fn log_calls(folder: &Path) -> Vec<String> {
    let mut calls = Vec::new();
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            calls.extend(log_calls(&path));
        } else {
            let source = fs::read_to_string(&path).unwrap();
            let begins = ["error!(", "warn!(", "info!(", "say!(", "Line::Note("]
                .iter()
                .flat_map(|begin| source.match_indices(begin));
            for (at, begin) in begins {
                let call = in_parentheses(&source[at + begin.len()..]);
                // a text over several lines
                let call = call.split("\\\n").map(str::trim_start).collect::<String>();
                calls.extend(call.match_indices('"').map(|(end, _)| call[..=end].to_owned()));
            }
        }
    }
    calls
}

/// As far as the parenthesis that closes the one before; those in texts do not count.
fn in_parentheses(source: &str) -> &str {
    let (mut open, mut in_text, mut escaped) = (1, false, false);
    let closes = |c: char| {
        match c {
            '"' if !escaped => in_text = !in_text,
            '(' if !in_text => open += 1,
            ')' if !in_text => open -= 1,
            _ => {}
        }
        escaped = c == '\\' && !escaped;
        open == 0
    };
    &source[..source.find(closes).expect("a call ends")]
}

#[test]
fn every_dependency_has_a_row() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest: toml::Table = fs::read_to_string(root.join("Cargo.toml")).unwrap().parse().unwrap();
    let page = fs::read_to_string(root.join("docs/dependencies.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    let rows: BTreeSet<_> = rows.flat_map(|cell| cell.split(", ")).filter(|name| *name != "crate").collect();
    // those of some systems too
    let of_systems = manifest["target"].as_table().unwrap().values().map(|system| &system["dependencies"]);
    let all = of_systems.chain([&manifest["dependencies"]]).flat_map(|table| table.as_table().unwrap().keys());
    let there: BTreeSet<_> = all.map(String::as_str).collect();
    assert_eq!(rows, there, "docs/dependencies.md against [dependencies] of Cargo.toml");
    for name in manifest["dev-dependencies"].as_table().unwrap().keys().filter(|name| !there.contains(name.as_str())) {
        assert!(page.contains(name.as_str()), "docs/dependencies.md does not name {name}");
    }
}

#[test]
fn the_plots_show_the_measured_lines() {
    let plot = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/speed/plot");
    let output = Command::new("python3").arg(plot).arg("--check").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn commands_on_the_pages_run() {
    let needed = std::env::var_os("DUNLIN_NEEDS_MOSQUITTO").is_some();
    for tool in ["mosquitto", "mosquitto_sub", "unshare", "python3", "curl"] {
        let found = Command::new("sh").args(["-c", &format!("command -v {tool}")]).stdout(Stdio::null()).status();
        if !found.is_ok_and(|status| status.success()) {
            assert!(!needed, "{tool} is not installed");
            return eprintln!("left out: {tool} is not installed");
        }
    }
    // loopback is down in a new network, and iproute2 is not everywhere
    const UP: &str = "import fcntl,socket,struct\n\
                      fcntl.ioctl(socket.socket(),0x8914,struct.pack('16sh14x',b'lo',0x49))";
    let dunlin = Path::new(env!("CARGO_BIN_EXE_dunlin"));
    let path = format!("{}:{}", dunlin.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let is_root = rustix::process::geteuid().is_root();
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    for page in pages().into_iter().chain([readme.clone()]) {
        let text = fs::read_to_string(&page).unwrap();
        let (blocks, installs) = (blocks(&text), text.contains("<!-- installs"));
        if installs && let Err(lacks) = can_install(is_root) {
            eprintln!("left out: {}: {lacks}", page.display());
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        if installs {
            fs::create_dir_all(dir.path().join("target/release")).unwrap();
            symlink(dunlin, dir.path().join("target/release/dunlin")).unwrap();
            symlink(Path::new(env!("CARGO_MANIFEST_DIR")).join("config"), dir.path().join("config")).unwrap();
        }
        for block in &blocks {
            if let Some(file) = &block.file {
                fs::write(dir.path().join(file), &block.text).unwrap();
            }
        }
        let script = if page == readme { readme_script(&blocks) } else { script(&blocks) };
        let machine = if installs { MACHINE } else { ":" };
        let run = format!("python3 -c \"$UP\" && {machine} && exec timeout 60 bash -c \"$SCRIPT\"");
        let output = Command::new("unshare")
            .args(if is_root { &[][..] } else { &["--map-current-user", "--keep-caps"] })
            .args(if installs { &["--mount-proc"][..] } else { &[] })
            .args(["--net", "--pid", "--fork", "--kill-child", "bash", "-c", &run])
            .envs([("UP", UP), ("SCRIPT", &script), ("PATH", &path)])
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {}\n{said}\n---\n{script}", page.display(), output.status);
    }
}

/// The README's blocks as one script: see the head of this file.
fn readme_script(blocks: &[Block]) -> String {
    let mut script = "set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\nbroker=\n".to_owned();
    // the one before has its port
    script += "serve() { [[ -z $broker ]] || { kill $broker; wait $broker; }; : > log; \"$@\" 2> log & broker=$!; \
               until grep -q 'ready listeners=' log; do kill -0 $broker; done; }\n";
    let is_broker = |line: &str| {
        let words = line.split(' ').skip_while(|word| word.starts_with("DUNLIN_"));
        let words: Vec<_> = words.collect();
        words.first() == Some(&"dunlin") && words.get(1).is_none_or(|word| word.starts_with('-'))
    };
    // commands for developers run as they are: this is one of them
    let for_users = blocks.iter().filter(|block| block.language == "sh" && !block.text.starts_with("cargo "));
    for line in for_users.flat_map(|block| block.text.lines()) {
        if is_broker(line) {
            let (variables, command) = line.split_at(line.find("dunlin").unwrap_or_default());
            script += &format!("{variables}serve {command}\n");
        } else if line.ends_with("# waits") {
            script += &format!("{} > waits &\n", line.trim_end_matches("# waits"));
            // its subscription exists before a message arrives
            script += "until mosquitto_pub -t bench/begin -m x && grep -q begin waits; do :; done\n";
        } else {
            script += &format!("{line}\n");
            if let Some((_, text)) = line.split_once("# mosquitto_sub prints: ") {
                script += &format!("until grep -qx '{}' waits; do :; done\n", text.trim());
            }
        }
    }
    script
}

/// Overlays of what a page changes, which end with the process; a tmpfs has the changes.
const MACHINE: &str = "mount -t tmpfs none /mnt && for of in etc usr var; do \
                           mkdir -p /mnt/$of /mnt/.$of && \
                           mount -t overlay none -o lowerdir=/$of,upperdir=/mnt/$of,workdir=/mnt/.$of /$of || exit; \
                       done";

/// The error names the missing part.
fn can_install(is_root: bool) -> Result<(), String> {
    if !is_root {
        return Err("only root can install anything".into());
    }
    for tool in ["systemd-sysusers", "systemd-analyze", "runuser", "pkill"] {
        let found = Command::new("sh").args(["-c", &format!("command -v {tool}")]).stdout(Stdio::null()).status();
        if !found.is_ok_and(|status| status.success()) {
            assert!(std::env::var_os("DUNLIN_NEEDS_SYSTEMD").is_none(), "{tool} is not installed");
            return Err(format!("{tool} is not installed"));
        }
    }
    let machine = Command::new("unshare").args(["--mount", "bash", "-c", MACHINE]).output().unwrap();
    match machine.status.success() {
        true => Ok(()),
        false => Err(format!("no overlays: {}", String::from_utf8_lossy(&machine.stderr))),
    }
}

#[test]
fn printed_examples_are_compared_by_a_script() {
    let page = "text\n<!-- file: a.toml -->\n```toml\nworkers = 1\n```\n```sh\necho it\\'s # prints: it's\n```\n```nginx\nx\n```\n";
    let blocks = blocks(page);
    let seen: Vec<_> = blocks.iter().map(|b| (b.line, b.language.as_str(), b.file.as_deref())).collect();
    assert_eq!(seen, [(3, "toml", Some("a.toml")), (6, "sh", None), (9, "nginx", None)]);
    let run =
        |script: &str| Command::new("bash").args(["-c", script]).stderr(Stdio::null()).status().unwrap().success();
    assert!(run(&script(&blocks)));
    assert!(!run(&script(&blocks).replace("echo it", "echo not it")));
}
