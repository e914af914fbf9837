//! What of the host's files is granted beside the project: flags and profiles, and caches of the sandbox's own.
use super::Choice;
use super::caller::Caller;
use super::policy::Rule;
use super::profile::Cache;
use crate::cli::FileArgs;
use crate::error::WithHint;
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

/// All grants of a choice, in order. What a profile names and is not there is left out; what a flag names is missed.
pub fn all(choice: &Choice, caller: &Caller) -> Result<Vec<Grant>> {
    let policy = &choice.policy;
    let readable = policy.read.iter().map(|rule| (rule, false));
    let listed = readable.chain(policy.write.iter().map(|rule| (rule, true)));
    let mut all = Vec::new();
    for (rule, writable) in listed {
        let granted = grant(rule, writable, caller);
        all.extend(granted.with_context(|| {
            let flag = if writable { "--bind" } else { "--ro-bind" };
            let by = if rule.from == super::COMMAND_LINE { flag.to_owned() } else { format!("profile {}:", rule.from) };
            format!("{by} {}", rule.value)
        })?);
    }
    let project = choice.project.as_ref().map(|project| project.root.as_path());
    for cache in &policy.caches {
        match project {
            Some(root) => all.extend(cached(cache.value, root, caller, &written(choice, caller).collect::<Vec<_>>())?),
            None if cache.from == super::COMMAND_LINE => {
                return Err(anyhow!("--cache: without a project there is nothing to keep it for"))
                    .hint(|| "leave --no-project out, or --cache");
            }
            None => {}
        }
    }
    Ok(all)
}

/// The directories that the program of `choice` may write, but for caches.
pub fn written<'a>(choice: &'a Choice, caller: &'a Caller) -> impl Iterator<Item = PathBuf> + 'a {
    let granted = choice.policy.write.iter().filter_map(|rule| Some(grant(rule, true, caller).ok()??.source));
    choice.project.iter().map(|project| project.root.clone()).chain(granted)
}

fn grant(rule: &Rule, writable: bool, caller: &Caller) -> Result<Option<Grant>> {
    let (source, destination) = split(&rule.value);
    let source = match source.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => caller.home.join(rest.trim_start_matches('/')),
        _ => PathBuf::from(source),
    };
    if !source.is_absolute() {
        bail!("a relative path: begin it with ~/ or /");
    }
    let source = match source.canonicalize() {
        Ok(source) => source,
        Err(e) if rule.from == super::COMMAND_LINE => return Err(e).with_context(|| source.display().to_string()),
        Err(_) => return Ok(None),
    };
    let destination = destination.map_or_else(|| source.clone(), PathBuf::from);
    if destination.components().any(|part| part == Component::ParentDir) {
        bail!("{} leads up again by `..`: name the place itself", destination.display());
    }
    if destination == Path::new("/") {
        bail!("the root of the sandbox is made up: name the directories that are wanted");
    }
    Ok(Some(Grant { source, destination, writable }))
}

/// Where a package manager keeps its downloads, from a directory of the project's own below the cache directory: another
/// project's sandbox could have put anything into a shared one.
fn cached(cache: Cache, project: &Path, caller: &Caller, written: &[PathBuf]) -> Result<Vec<Grant>> {
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
            Ok(Grant { source, destination, writable: true })
        })
        .collect()
}

/// Makes `path` below `base`, directory by directory. On the way to `base` a link is followed if it is the caller's or
/// root's, and not where sandboxes may write (`written`): one of those, and any below `base`, could lead to anything of the
/// user's.
fn real_directory(base: &Path, path: &Path, written: &[PathBuf]) -> Result<PathBuf> {
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
        let of_sandboxes = written.iter().any(|written| real.starts_with(written));
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
