//! Assigns lines to listeners: [`Sections`].

use super::{
    lines::Found,
    table::{Repeat, Scope},
    told::{Outcome, Told},
};

/// The lines of a configuration, grouped by listener, plug-in and bridge.
#[derive(Debug, Default)]
pub(super) struct Sections {
    pub global: Section,
    /// The lines before the first `listener` of a file; they make a listener if there are any.
    pub default: Section,
    pub listeners: Vec<Section>,
    /// Plug-ins, each with its options.
    pub plugins: Vec<Plugin>,
    /// Bridges, each with its lines.
    pub bridges: Vec<Section>,
    /// `per_listener_settings true`.
    pub per_listener: bool,
    /// A line with `listener`, `port` or `bind_address` exists.
    pub listens: bool,
}

/// The lines of one listener, or of no listener.
#[derive(Clone, Debug, Default)]
pub(super) struct Section {
    /// Its line with `listener`, or with `connection`.
    pub start: Option<Found>,
    lines: Vec<Found>,
}

/// A plug-in.
#[derive(Clone, Debug)]
pub(super) struct Plugin {
    pub line: Found,
    pub options: Vec<Found>,
    /// Its listener, if each listener has its own settings.
    pub listener: Option<usize>,
}

impl Section {
    /// The last line with an option, which counts.
    pub fn get(&self, name: &str) -> Option<&Found> {
        self.lines.iter().rev().find(|found| found.row.name == name)
    }

    /// All lines with an option.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &Found> {
        self.lines.iter().filter(move |found| found.row.name == name)
    }

    /// The lines that count: the last one of an option that is written twice.
    pub fn holding(&self) -> impl Iterator<Item = &Found> {
        let is_last = |n: usize, name: &str| self.lines[n + 1..].iter().all(|later| later.row.name != name);
        let holds = move |n: usize, found: &Found| found.row.repeat == Repeat::Many || is_last(n, found.row.name);
        self.lines.iter().enumerate().filter(move |(n, found)| holds(*n, found)).map(|(_, found)| found)
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Adds a line. Returns an error, or the report's entry for the line that this one replaces.
    fn add(&mut self, found: Found) -> Option<Told> {
        let before = self.get(found.row.name).filter(|_| found.row.repeat != Repeat::Many);
        let told = match (before, found.row.repeat) {
            (Some(before), Repeat::Once) => {
                let what = format!("it appears twice; the first is at {}", before.place);
                return Some(found.told(Outcome::Refused, what));
            }
            (Some(before), _) => {
                let what = format!("the later line {} holds", found.place);
                Some(before.told(Outcome::Same, what))
            }
            _ => None,
        };
        self.lines.push(found);
        told
    }
}

/// The position of the reader.
#[derive(Clone, Copy, Default)]
struct At {
    file: usize,
    listener: Option<usize>,
    plugin: Option<usize>,
    bridge: Option<usize>,
}

impl Sections {
    /// Groups the lines. Also returns the errors, and the report's entries for replaced lines.
    pub fn of(found: Vec<Found>) -> (Self, Vec<Told>) {
        let (mut sections, mut told) = (Self::default(), Vec::new());
        let mut main = At::default();
        let mut included = At::default();
        let mut has_security = false;
        for found in found {
            // an included file begins without a section; after it, the main file continues its own section
            if found.file != 0 && included.file != found.file {
                included = At { file: found.file, ..At::default() };
            }
            let at = if found.file == 0 { &mut main } else { &mut included };
            has_security |= found.row.scope == Scope::Security;
            if found.row.name == "per_listener_settings" && has_security && found.is() {
                let what = "it has to stand before every option that it makes one of a listener: move it to the top";
                told.push(found.told(Outcome::Refused, what));
            }
            told.extend(sections.put(found, at));
        }
        (sections, told)
    }

    fn put(&mut self, found: Found, at: &mut At) -> Option<Told> {
        match (found.row.name, found.row.scope) {
            ("listener", _) => {
                self.listens = true;
                at.listener = Some(self.listeners.len());
                self.listeners.push(Section { start: Some(found), lines: Vec::new() });
                None
            }
            ("port" | "bind_address", _) => {
                self.listens = true;
                self.default.add(found)
            }
            ("plugin" | "auth_plugin" | "global_plugin" | "plugin_load", _) => {
                at.plugin = Some(self.plugins.len());
                let listener = at.listener.filter(|_| self.per_listener && found.row.name != "global_plugin");
                self.plugins.push(Plugin { line: found, options: Vec::new(), listener });
                None
            }
            ("plugin_opt_*" | "auth_opt_*", _) if found.suffix.len() < 3 => {
                Some(found.told(Outcome::Refused, "the name behind plugin_opt_ needs 3 characters"))
            }
            (_, Scope::Plugin) => match at.plugin {
                Some(plugin) => {
                    self.plugins[plugin].options.push(found);
                    None
                }
                None => Some(found.told(Outcome::Refused, "there is no plugin above it in this file")),
            },
            ("connection", _) => {
                at.bridge = Some(self.bridges.len());
                self.bridges.push(Section { start: Some(found), lines: Vec::new() });
                None
            }
            (_, Scope::Bridge) => match at.bridge {
                Some(bridge) => self.bridges[bridge].add(found),
                None => Some(found.told(Outcome::Refused, "there is no connection above it in this file")),
            },
            (_, Scope::Listener) => self.listener(at).add(found),
            (_, Scope::Security) if self.per_listener => match at.listener {
                Some(listener) => self.listeners[listener].add(found),
                None => {
                    let what =
                        "with per_listener_settings true it is the option of a listener, and none stands above it";
                    Some(found.told(Outcome::Refused, what))
                }
            },
            (name, _) => {
                if name == "per_listener_settings" {
                    self.per_listener = found.is();
                }
                self.global.add(found)
            }
        }
    }

    fn listener(&mut self, at: &At) -> &mut Section {
        match at.listener {
            Some(listener) => &mut self.listeners[listener],
            None => &mut self.default,
        }
    }
}
