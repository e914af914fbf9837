//! The policy of one sandbox: what profiles and flags come to, applied in order, each rule with the one that made it.
use super::bounds::Bounds;
use super::profile::{Access, Allow, BUILT_IN, Cache, Deny, Named, Network, Profile, Seccomp};
use super::{COMMAND_LINE, places};
use anyhow::{Context, Result};
use std::fmt::Write as _;

/// Something that is allowed, hidden or protected, and which profile says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// A path, pattern or name.
    pub value: String,
    /// The profile, or `command line`.
    pub from: String,
}

/// A value that the last word decides, and whose it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided<T> {
    /// The value.
    pub value: T,
    /// The profile, or `command line`.
    pub from: String,
}

/// Whether variables of the caller pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pass {
    /// A name, a final `*` standing for any rest.
    pub rule: Rule,
    /// Or are held back.
    pub passes: bool,
}

/// The whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Directories of programs.
    pub programs: Vec<Rule>,
    /// Parts of /etc.
    pub etc: Vec<Rule>,
    /// Toolchains below HOME.
    pub toolchains: Vec<Rule>,
    /// `SRC[:DST]`, readable.
    pub read: Vec<Rule>,
    /// `SRC[:DST]`, writable.
    pub write: Vec<Rule>,
    /// What may be done with the project.
    pub project: Option<Decided<Access>>,
    /// Sections of the git configuration.
    pub gitconfig: Vec<Rule>,
    /// Which variables pass, the last word first.
    pub pass: Vec<Pass>,
    /// Variables that are set, by name.
    pub set: Vec<(String, Rule)>,
    /// The network.
    pub network: Option<Decided<Network>>,
    /// Package caches.
    pub caches: Vec<Decided<Cache>>,
    /// User namespaces inside.
    pub user_namespaces: Option<Decided<bool>>,
    /// The seccomp profile.
    pub seccomp: Option<Decided<Seccomp>>,
    /// Capabilities.
    pub capabilities: Vec<Rule>,
    /// Hidden below HOME.
    pub secrets: Vec<Rule>,
    /// Patterns of what is hidden.
    pub hide: Vec<Rule>,
    /// Patterns of what is read-only in what may be written, and told of.
    pub protect: Vec<Rule>,
    /// Patterns of what is only told of.
    pub tell: Vec<Rule>,
    /// What may be used up.
    pub bounds: Bounds,
}

impl Policy {
    /// The policy that `profiles` make, in order.
    pub fn of(profiles: &[Named]) -> Result<Policy> {
        let mut policy = Policy::default();
        profiles.iter().try_for_each(|named| policy.add(named))?;
        Ok(policy)
    }

    /// Adds one more profile behind all others.
    pub fn add(&mut self, Named { name, profile }: &Named) -> Result<()> {
        let whose = || if name == COMMAND_LINE { name.clone() } else { format!("profile {name}") };
        // Those that come with rrunc have been: by a test. A file's name has a slash in it.
        let is_checked = BUILT_IN.iter().any(|(known, _)| known == name);
        let checked = if is_checked { Ok(()) } else { places::check(profile) };
        checked.and_then(|()| self.apply(name, profile)).with_context(whose)
    }

    /// Narrows by everything but `allow`, then widens by that.
    pub fn apply(&mut self, name: &str, profile: &Profile) -> Result<()> {
        self.deny(name, &profile.deny);
        if let Some(stricter) = profile.seccomp
            && self.seccomp.as_ref().is_none_or(|now| stricter > now.value)
        {
            self.seccomp = decided(stricter, name);
        }
        self.bounds.narrow(name, &profile.limits)?;
        self.allow(name, &profile.allow);
        self.bounds.set(name, &profile.allow.limits)
    }

    fn deny(&mut self, name: &str, deny: &Deny) {
        let lists = [
            (&mut self.programs, &deny.programs),
            (&mut self.etc, &deny.etc),
            (&mut self.toolchains, &deny.toolchains),
            (&mut self.read, &deny.read),
            (&mut self.write, &deny.write),
            (&mut self.gitconfig, &deny.gitconfig),
            (&mut self.capabilities, &deny.capabilities),
        ];
        for (rules, denied) in lists {
            rules.retain(|rule| !denied.iter().any(|path| covers(path, &rule.value)));
        }
        for variable in &deny.pass {
            self.pass.insert(0, Pass { rule: rule(variable, name), passes: false });
            self.set.retain(|(set, _)| !matches(variable, set));
        }
        match deny.project {
            Some(Access::Read) => self.project = None,
            Some(Access::Write) if self.project.is_some() => self.project = decided(Access::Read, name),
            _ => {}
        }
        if deny.network {
            self.network = decided(Network::None, name);
        }
        if deny.caches {
            self.caches.clear();
        }
        if deny.user_namespaces {
            self.user_namespaces = None;
        }
        for (rules, more) in [
            (&mut self.secrets, &deny.secrets),
            (&mut self.hide, &deny.hide),
            (&mut self.protect, &deny.protect),
            (&mut self.tell, &deny.tell),
        ] {
            add(rules, more, name);
        }
    }

    fn allow(&mut self, name: &str, allow: &Allow) {
        for (rules, more) in [
            (&mut self.programs, &allow.programs),
            (&mut self.etc, &allow.etc),
            (&mut self.toolchains, &allow.toolchains),
            (&mut self.read, &allow.read),
            (&mut self.write, &allow.write),
            (&mut self.gitconfig, &allow.gitconfig),
            (&mut self.capabilities, &allow.capabilities),
        ] {
            add(rules, more, name);
        }
        for variable in &allow.pass {
            self.pass.insert(0, Pass { rule: rule(variable, name), passes: true });
        }
        for (variable, value) in &allow.set {
            self.set.retain(|(set, _)| set != variable);
            self.set.push((variable.clone(), rule(value, name)));
        }
        for &cache in &allow.caches {
            if !self.caches.iter().any(|known| known.value == cache) {
                self.caches.extend(decided(cache, name));
            }
        }
        if let Some(access) = allow.project {
            self.project = decided(access, name);
        }
        if let Some(network) = allow.network {
            self.network = decided(network, name);
        }
        if allow.user_namespaces {
            self.user_namespaces = decided(true, name);
        }
        if let Some(seccomp) = allow.seccomp {
            self.seccomp = decided(seccomp, name);
        }
    }

    /// Whether the caller's variable `name` passes.
    pub fn passes(&self, name: &str) -> bool {
        self.pass.iter().find(|pass| matches(&pass.rule.value, name)).is_some_and(|pass| pass.passes)
    }

    /// Where the network leads.
    pub fn network(&self) -> Network {
        self.network.as_ref().map_or(Network::None, |network| network.value)
    }

    /// The seccomp profile.
    pub fn seccomp(&self) -> Seccomp {
        self.seccomp.as_ref().map_or(Seccomp::Sandbox, |seccomp| seccomp.value)
    }

    /// Every rule with the one that made it, for people.
    pub fn explain(&self) -> String {
        let mut text = String::new();
        let lists = [
            ("programs, read-only", &self.programs),
            ("of /etc, read-only", &self.etc),
            ("toolchains in HOME, read-only", &self.toolchains),
            ("readable", &self.read),
            ("writable", &self.write),
            ("git configuration", &self.gitconfig),
            ("capabilities", &self.capabilities),
            ("secrets in HOME, hidden", &self.secrets),
            ("hidden", &self.hide),
            ("read-only in what is written, and told", &self.protect),
            ("told where it is written", &self.tell),
        ];
        for (title, rules) in lists {
            section(&mut text, title, rules.iter().map(|rule| (rule.value.clone(), rule.from.as_str())));
        }
        let pass = self.pass.iter().rev();
        let pass = pass.map(|p| (format!("{}{}", if p.passes { "" } else { "not " }, p.rule.value), &*p.rule.from));
        section(&mut text, "variables that pass", pass);
        let set = self.set.iter().map(|(name, value)| (format!("{name}={}", value.value), &*value.from));
        section(&mut text, "variables that are set", set);
        section(&mut text, "caches", self.caches.iter().map(|c| (format!("{:?}", c.value).to_lowercase(), &*c.from)));
        section(&mut text, "one of", self.single());
        section(&mut text, "limits", self.bounds.lines());
        text
    }

    fn single(&self) -> impl Iterator<Item = (String, &str)> {
        let project = self.project.as_ref();
        let project = project.map_or(("project: none".to_owned(), "nobody allows it"), |p| {
            (format!("project: {}", if p.value == Access::Write { "write" } else { "read" }), &*p.from)
        });
        let network = self.network.as_ref().map_or("nobody allows one", |n| &*n.from);
        let seccomp = self.seccomp.as_ref().map_or("nobody chooses another", |s| &*s.from);
        let spaces = self.user_namespaces.as_ref();
        [
            project,
            (format!("network: {}", format!("{:?}", self.network()).to_lowercase()), network),
            (format!("seccomp: {}", self.seccomp().name()), seccomp),
            (
                format!("user namespaces: {}", if spaces.is_some() { "yes" } else { "no" }),
                spaces.map_or("nobody allows them", |s| &*s.from),
            ),
        ]
        .into_iter()
    }
}

fn rule(value: &str, from: &str) -> Rule {
    Rule { value: value.to_owned(), from: from.to_owned() }
}

pub(super) fn decided<T>(value: T, from: &str) -> Option<Decided<T>> {
    Some(Decided { value, from: from.to_owned() })
}

fn add(rules: &mut Vec<Rule>, more: &[String], name: &str) {
    for value in more {
        if !rules.iter().any(|known| known.value == *value) {
            rules.push(rule(value, name));
        }
    }
}

/// Whether denying `path` takes `value` away: all, the very thing, or what is below it.
fn covers(path: &str, value: &str) -> bool {
    path == "*" || value.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether the pattern, with a final `*` for any rest, is the name's.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => pattern == name,
    }
}

fn section<'a>(text: &mut String, title: &str, lines: impl Iterator<Item = (String, &'a str)>) {
    let lines: Vec<_> = lines.collect();
    if lines.is_empty() {
        return;
    }
    let width = lines.iter().map(|(value, _)| value.chars().count()).max().unwrap_or_default().min(48);
    writeln!(text, "{title}").expect("a String takes all");
    for (value, from) in lines {
        writeln!(text, "  {value:width$}  {from}").expect("a String takes all");
    }
}
