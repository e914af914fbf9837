//! What of the host's files is granted beside the project: flags and profiles, and caches of the sandbox's own.
use super::Choice;
use super::caller::Caller;
use super::guarded::Guarded;
use super::policy::{Policy, Rule};
use super::profile::Cache;
use super::written::Written;
use crate::cli::FileArgs;
use crate::error::{WithHint, with_hint};
use crate::links;
use anyhow::{Context, Result, anyhow, bail};
use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

/// A directory or file of the host that is granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// On the host, absolute.
    pub source: PathBuf,
    /// Inside, absolute.
    pub destination: PathBuf,
    /// May be written.
    pub writable: bool,
    /// The user has typed this very place: no link has led there, but for the system's own.
    pub named: bool,
}

/// The `SRC[:DST]` of every flag, with whether it may be written, made absolute by `cwd`: readable ones first, since
/// the more generous word of the user's holds at one place.
pub fn of_flags(args: &FileArgs, cwd: &Path) -> Result<[Vec<String>; 2]> {
    let mut granted = [Vec::new(), Vec::new()];
    for (flag, values, writable, optional) in [
        ("--ro-bind", &args.ro_bind, false, false),
        ("--ro-bind-try", &args.ro_bind_try, false, true),
        ("--bind", &args.bind, true, false),
        ("--bind-try", &args.bind_try, true, true),
    ] {
        for value in values {
            let value = super::text(flag, value)?;
            let (source, _) = split(&value);
            if !optional || cwd.join(source).exists() {
                granted[usize::from(writable)].push(absolute(&value, cwd));
            }
        }
    }
    for value in &args.volume {
        let value = super::text("-v", value)?;
        let (paths, writable) = match value.rsplit_once(':') {
            Some((paths, "ro")) => (paths, false),
            Some((paths, "rw")) => (paths, true),
            _ => (value.as_str(), true),
        };
        if !paths.starts_with(['/', '.', '~']) {
            bail!("-v {value}: {paths} is the name of a volume, and there are none: give the path of a directory");
        }
        granted[usize::from(writable)].push(absolute(paths, cwd));
    }
    Ok(granted)
}

/// As in docker: the last colon that is followed by an absolute path.
fn split(text: &str) -> (&str, Option<&str>) {
    match text.rmatch_indices(":/").next() {
        Some((at, _)) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

/// The same grant with a source that does not depend on where we are.
pub fn absolute(text: &str, base: &Path) -> String {
    if text.starts_with(['/', '~']) { text.to_owned() } else { base.join(text).to_string_lossy().into_owned() }
}

/// What the rules of `policy` grant, in order. What a profile names and is not there is left out; what a flag names is missed.
/// Of `written` it takes and gives the directories that sandboxes write.
pub fn of_policy(policy: &Policy, guarded: &Guarded, caller: &Caller, written: &mut Written) -> Result<Vec<Grant>> {
    let sources = policy.write.iter().map(|rule| typed(&rule.value, caller).0);
    written.extend(sources.filter_map(|source| source.canonicalize().ok()));
    let readable = policy.read.iter().map(|rule| (rule, false));
    let listed = readable.chain(policy.write.iter().map(|rule| (rule, true)));
    let mut all = Vec::new();
    for (rule, writable) in listed {
        let by = || {
            let flag = if writable { "--bind" } else { "--ro-bind" };
            let by = if rule.from == super::COMMAND_LINE { flag.to_owned() } else { format!("profile {}:", rule.from) };
            format!("{by} {}", rule.value)
        };
        let Some(grant) = grant(rule, writable, caller, written).with_context(by)? else { continue };
        if !grant.named {
            refuse_secrets(&grant.source, guarded).with_context(by)?;
            log::warn!("{}: a link leads to {}", by(), grant.source.display());
        }
        all.push(grant);
    }
    Ok(all)
}

/// What is hidden in a grant unless the user means it, no link means.
fn refuse_secrets(source: &Path, guarded: &Guarded) -> Result<()> {
    let hidden = guarded.within.iter().any(|dir| source.starts_with(dir));
    let held = guarded.around.iter().any(|dir| dir.starts_with(source));
    if hidden || held {
        let error = anyhow!("a link leads to {}, which is not shown by another name", source.display());
        return Err(with_hint(error, format!("if that is what you mean, name it: {}", source.display())));
    }
    Ok(())
}

/// All grants of a choice, in order: with the caches.
pub fn all(choice: &Choice, caller: &Caller) -> Result<Vec<Grant>> {
    let mut all = choice.grants.clone();
    let project = choice.project.as_ref().map(|project| project.root.as_path());
    for cache in &choice.policy.caches {
        match project {
            Some(root) => all.extend(cached(cache.value, root, caller, &choice.written)?),
            None if cache.from == super::COMMAND_LINE => {
                return Err(anyhow!("--cache: without a project there is nothing to keep it for"))
                    .hint(|| "leave --no-project out, or --cache");
            }
            None => {}
        }
    }
    Ok(all)
}

/// Source and destination of a rule, the source as it was typed but for HOME.
fn typed<'a>(rule: &'a str, caller: &Caller) -> (PathBuf, Option<&'a str>) {
    let (source, destination) = split(rule);
    let of_home = source.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with('/'));
    // By whatever links it is reached, it is HOME that is meant.
    let home = caller.path_in("HOME").and_then(|home| Path::new(source).strip_prefix(home).ok()?.to_str());
    let source = match of_home.or(home) {
        Some(rest) => caller.home.join(rest.trim_start_matches('/')),
        None => PathBuf::from(source),
    };
    (source, destination)
}

fn grant(rule: &Rule, writable: bool, caller: &Caller, written: &Written) -> Result<Option<Grant>> {
    let (source, destination) = typed(&rule.value, caller);
    if !source.is_absolute() {
        bail!("a relative path: begin it with ~/ or /");
    }
    let way = match written.follow(&source) {
        Ok(way) if way.is_descriptor => links::Way { real: source.canonicalize()?, ..way },
        way => way?,
    };
    match fs::symlink_metadata(&way.real) {
        Ok(_) => {}
        Err(e) if rule.from == super::COMMAND_LINE => return Err(e).with_context(|| source.display().to_string()),
        Err(_) => return Ok(None),
    }
    let named = way.links.iter().all(links::Link::is_the_systems);
    let source = way.real;
    let destination = destination.map_or_else(|| source.clone(), PathBuf::from);
    if destination.components().any(|part| part == Component::ParentDir) {
        bail!("{} leads up again by `..`: name the place itself", destination.display());
    }
    if destination == Path::new("/") {
        bail!("the root of the sandbox is made up: name the directories that are wanted");
    }
    Ok(Some(Grant { source, destination, writable, named }))
}

/// Where a package manager keeps its downloads, from a directory of the project's own below the cache directory: another
/// project's sandbox could have put anything into a shared one.
fn cached(cache: Cache, project: &Path, caller: &Caller, written: &Written) -> Result<Vec<Grant>> {
    let dirs = directories::BaseDirs::new().context("there is no home directory to keep caches in")?;
    let own = dirs.cache_dir().join("rrunc").join(project.strip_prefix("/").unwrap_or(project));
    let home = |name: &str| caller.home.join(name);
    let place = |variable: &str, name: &str| caller.path_in(variable).map_or_else(|| home(name), Path::to_owned);
    let places = match cache {
        Cache::Cargo => {
            let cargo = place("CARGO_HOME", ".cargo");
            vec![("=cargo-registry", cargo.join("registry")), ("=cargo-git", cargo.join("git"))]
        }
        Cache::Npm => vec![("=npm", home(".npm"))],
        Cache::Pip => vec![("=pip", home(".cache/pip"))],
        Cache::Go => {
            vec![("=go-modules", place("GOPATH", "go").join("pkg/mod")), ("=go-build", home(".cache/go-build"))]
        }
    };
    places
        .into_iter()
        .map(|(name, destination)| {
            let source = own.join(name);
            let source = real_directory(dirs.cache_dir(), &source, written)
                .with_context(|| format!("make the cache {}", source.display()))?;
            Ok(Grant { source, destination, writable: true, named: true })
        })
        .collect()
}

/// Makes `path` below `base`, directory by directory. On the way to `base` a link is followed if it is the caller's or
/// root's, and not where sandboxes may write (`written`): one of those, and any below `base`, could lead to anything of the
/// user's.
fn real_directory(base: &Path, path: &Path, written: &Written) -> Result<PathBuf> {
    let own = nix::unistd::geteuid().as_raw();
    let to_base = base.components().map(|part| (part, true));
    let below = path.strip_prefix(base)?.components().map(|part| (part, false));
    let mut real = PathBuf::from("/");
    for (part, may_follow) in to_base.chain(below) {
        let Component::Normal(name) = part else {
            if part == Component::ParentDir {
                real.pop();
            }
            continue;
        };
        let of_sandboxes = written.holds(&real);
        real.push(name);
        if fs::symlink_metadata(&real).is_err_and(|e| e.kind() == ErrorKind::NotFound) {
            DirBuilder::new().mode(0o700).create(&real)?;
        }
        let meta = fs::symlink_metadata(&real).with_context(|| real.display().to_string())?;
        if meta.is_symlink() {
            if !may_follow || of_sandboxes || ![0, own].contains(&meta.uid()) {
                bail!("{} is a link, and not followed", real.display());
            }
            real = real.canonicalize().with_context(|| real.display().to_string())?;
        }
        if !fs::metadata(&real)?.is_dir() {
            bail!("{} is no directory", real.display());
        }
    }
    Ok(real)
}
