//! The release workflow: it runs elsewhere, so what can be read from it is checked here.

use std::{fs, path::Path, process::Command};

use yaml_rust2::{Yaml, YamlLoader};

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

fn workflow() -> Yaml {
    YamlLoader::load_from_str(&read(".github/workflows/release.yml")).unwrap().remove(0)
}

fn jobs(workflow: &Yaml) -> impl Iterator<Item = (&str, &Yaml)> {
    workflow["jobs"].as_hash().unwrap().iter().map(|(name, job)| (name.as_str().unwrap(), job))
}

fn scripts(job: &Yaml) -> impl Iterator<Item = &str> {
    job["steps"].as_vec().unwrap().iter().filter_map(|step| step["run"].as_str())
}

#[test]
fn only_a_pushed_tag_begins_it_and_nothing_is_published_before_the_tests() {
    let workflow = workflow();
    let events = workflow["on"].as_hash().unwrap();
    assert_eq!(events.keys().map(|event| event.as_str().unwrap()).collect::<Vec<_>>(), ["push"]);
    let push = events.values().next().unwrap().as_hash().unwrap();
    assert_eq!(push.keys().map(|filter| filter.as_str().unwrap()).collect::<Vec<_>>(), ["tags"]);
    let needs = |name: &str| jobs(&workflow).find(|(job, _)| *job == name).and_then(|(_, job)| job["needs"].as_str());
    for (name, job) in jobs(&workflow).filter(|(name, _)| *name != "test") {
        let mut before = name;
        while let Some(earlier) = needs(before) {
            before = earlier;
        }
        assert_eq!(before, "test", "{name} does not wait for the tests");
        let writes = job["permissions"]["contents"].as_str() == Some("write");
        assert_eq!(writes, name == "publish", "{name} may write to the repository");
    }
    assert!(jobs(&workflow).any(|(_, job)| scripts(job).any(|script| script.contains("bash .ci/run"))));
}

#[test]
fn its_scripts_are_well_formed_and_name_files_of_the_repository() {
    let workflow = workflow();
    for (name, job) in jobs(&workflow) {
        for script in scripts(job) {
            let check = Command::new("bash").args(["-n", "-c", script]).output().unwrap();
            assert!(check.status.success(), "{name}: {}", String::from_utf8_lossy(&check.stderr));
            let words = script.split(|c: char| c.is_whitespace() || "'*".contains(c));
            for file in words.map(|word| word.trim_start_matches('/')).filter(|word| word.starts_with("config/")) {
                assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(file).exists(), "{name}: {file}");
            }
        }
    }
}

#[test]
fn archives_have_the_names_that_cargo_binstall_asks_for() {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let binstall = &manifest["package"]["metadata"]["binstall"];
    let address = binstall["pkg-url"].as_str().unwrap();
    assert!(address.ends_with("/v{ version }/dunlin-{ target }{ archive-suffix }"), "{address}");
    assert_eq!(binstall["pkg-fmt"].as_str(), Some("tgz"));
    let workflow = workflow();
    let scripts: Vec<&str> = jobs(&workflow).flat_map(|(_, job)| scripts(job)).collect();
    let triple = "triple=$(uname -m)-unknown-linux\n";
    for archive in ["dunlin-$triple-gnu.tgz", "dunlin-$triple-musl.tgz"] {
        assert!(scripts.iter().any(|script| script.contains(triple) && script.contains(archive)), "{archive}");
    }
    let windows = "x86_64-pc-windows-gnu";
    assert_eq!(binstall["overrides"][windows]["pkg-fmt"].as_str(), Some("zip"));
    let triple = format!("triple={windows}\n");
    assert!(scripts.iter().any(|script| script.contains(&triple) && script.contains("dunlin-$triple.zip ")));
}

#[test]
fn the_formula_has_what_the_workflow_fills_in() {
    let (formula, workflow) = (read("config/packaging/homebrew/dunlin.rb"), read(".github/workflows/release.yml"));
    for place in ["HOMEPAGE", "VERSION", "SHA256"] {
        assert!(formula.contains(place), "{place} in the formula");
        assert!(workflow.contains(&format!("s|{place}|")), "{place} in the workflow");
    }
}
