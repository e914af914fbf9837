//! `rrunc sandbox`: flags and profiles become an OCI bundle, and nothing more; `run` executes it like any other.
//!
//! First everything is decided (`choose`): the policy, the project, what is granted. Then the private bundle is written:
//! config.json, the made-up /etc, and a root that holds nothing but symbolic links. All else comes from the host by
//! mounts that `view` allows.
mod above;
mod bounds;
pub mod caller;
mod chosen;
mod config;
mod environment;
mod etc;
pub mod explain;
pub mod foreign;
mod gitconfig;
pub mod grants;
pub mod guarded;
mod hidden;
pub mod host_addresses;
pub mod later;
mod layers;
mod listing;
pub mod new_directory;
pub mod pasta;
pub mod places;
pub mod policy;
pub mod profile;
pub mod project;
pub mod promises;
mod quotas;
pub mod report;
pub mod report_file;
mod sockets;
pub mod status;
pub mod tier;
pub mod trees;
pub mod trust;
pub mod untold;
mod view;
pub mod written;

use crate::bundle::Bundle;
use crate::cli::{RightsArgs, SandboxArgs};
use crate::links::Link;
use crate::nameserver;
use crate::sys::landlock;
use anyhow::{Context, Result, bail};
pub use caller::Caller;
use config::Inside;
pub use explain::explain;
use grants::Grant;
use guarded::Guarded;
use policy::{Policy, Rule};
use profile::{Access, Named, Network};
use project::Project;
use promises::Demands;
use serde_json::Value;
use sockets::Sockets;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink};
use std::path::{Component, Path, PathBuf};
use tier::Tier;
use trees::Trees;
use view::View;
use written::Written;

/// How rules that come from flags are called.
pub const COMMAND_LINE: &str = "command line";

/// What has been decided for one sandbox.
pub struct Choice {
    /// What profiles and flags come to.
    pub policy: Policy,
    /// The project, if there is one.
    pub project: Option<Project>,
    /// What no project may be, and what is hidden.
    pub guarded: Guarded,
    /// What of the caller's session is opened.
    pub sockets: Sockets,
    /// The outer /proc is seen, since no other can be mounted.
    pub host_proc: bool,
    /// Who keeps the limits.
    pub tier: Tier,
    /// What of the host's files profiles and flags grant.
    pub grants: Vec<Grant>,
    /// Where sandboxes write.
    pub written: Written,
    /// A file of rrunc's own, which no program is to change where it could.
    pub kept: Option<PathBuf>,
}

impl Choice {
    /// Whether the program may change the project.
    fn writes_project(&self) -> bool {
        self.policy.project.as_ref().is_some_and(|project| project.value == Access::Write)
    }
}

/// Decides. `state` is where containers are kept.
pub fn choose(args: &SandboxArgs, caller: &Caller, state: &Path) -> Result<Choice> {
    let root = match (&args.files.project, args.files.no_project) {
        (_, true) => None,
        (Some(root), _) => Some(named_project(root, caller)?),
        (None, _) => Some(project::root_around(&caller.cwd, &caller.home)?),
    };
    let mut written = Written::of(root.as_deref(), caller);
    let mut profiles = chosen::profiles(args, root.as_deref(), &written)?;
    let mut policy = Policy::of(&profiles)?;
    let mut guarded = Guarded::of(caller, state, &policy);
    let secrets = policy.secrets.len();
    // Refused before anything in it is read.
    let mut project = root.map(|root| project::at(&root, &guarded)).transpose()?;
    if let Some(project) = &project {
        let own: Vec<_> = trust::profile(&project.root)?.into_iter().chain(above::profiles(&project.root)?).collect();
        if !own.is_empty() {
            // Behind base only: what the user chooses for this call comes later, and takes away what it allows.
            profiles.splice(1..1, own);
            policy = Policy::of(&profiles)?;
        }
    }
    policy.add(&Named { name: COMMAND_LINE.to_owned(), profile: chosen::of_flags(args, caller)? })?;
    if let Some(project) = &project {
        protect_named(&mut policy, args, &project.root);
    }
    project = project.filter(|_| policy.project.is_some());
    if policy.project.as_ref().is_some_and(|project| project.value == Access::Write) {
        let linked = project.as_mut().and_then(|project| Some((&project.root, project.repository.as_mut()?)));
        if let Some((root, repository)) = linked {
            repository.writable = trust::knows_repository(root, repository)?;
            if !repository.writable {
                let common = repository.common.display();
                log::warn!(
                    "{common}, the repository of this worktree, is read-only: `rrunc trust` lets sandboxes commit"
                );
            }
        }
    }
    // None is taken away.
    if policy.secrets.len() != secrets {
        guarded = Guarded::of(caller, state, &policy);
    }
    let sockets = sockets::find(&args.rights, caller)?;
    let demands = Demands { require: &args.rights.require, allow_weaker: &args.rights.allow_weaker };
    let host_proc = demands.allows_weaker("proc") && promises::proc_is_covered();
    let tier = Tier::of(&policy.bounds)?;
    let grants = grants::of_policy(&policy, &guarded, caller, &mut written)?;
    Ok(Choice { policy, project, guarded, sockets, host_proc, tier, grants, written, kept: None })
}

/// The directory of `--project`, without links.
fn named_project(root: &Path, caller: &Caller) -> Result<PathBuf> {
    let follow = || -> Result<PathBuf> {
        let way = Written::of(None, caller).follow(root)?;
        if !way.links.iter().all(Link::is_the_systems) {
            log::warn!("--project {}: a link leads to {}", root.display(), way.real.display());
        }
        // It says what is wrong with it.
        Ok(way.real.canonicalize()?)
    };
    follow().with_context(|| format!("project {}", root.display()))
}

/// Files in the project that flags name widen the next sandbox, too: this one does not change them.
fn protect_named(policy: &mut Policy, args: &SandboxArgs, root: &Path) {
    let RightsArgs { profile, security_opt, .. } = &args.rights;
    let filters = security_opt.iter().filter_map(|option| option.strip_prefix("seccomp="));
    let named = profile.iter().map(String::as_str).filter(|name| name.contains('/')).chain(filters).map(Path::new);
    for path in named.chain(args.environment.env_file.iter().map(PathBuf::as_path)) {
        let inside =
            path.canonicalize().ok().and_then(|path| path.strip_prefix(root).ok()?.to_str().map(str::to_owned));
        policy
            .protect
            .extend(inside.map(|path| Rule { value: glob::Pattern::escape(&path), from: COMMAND_LINE.into() }));
    }
}

/// How config.json becomes text: on lines of its own for people, or as short as it can be.
pub type AsText = fn(&Value) -> serde_json::Result<Vec<u8>>;

/// Writes the bundle of `choice`, which grants `trees`, into the existing, empty directory `dir`.
pub fn write_bundle(
    args: &SandboxArgs,
    caller: &Caller,
    choice: &Choice,
    trees: &Trees,
    dir: &Path,
    as_text: AsText,
) -> Result<Bundle> {
    let demands = Demands { require: &args.rights.require, allow_weaker: &args.rights.allow_weaker };
    promises::shut_abstract_sockets(choice, landlock::abi(), demands.allows_weaker("network"))?;
    let grants = &trees.grants;
    keep_from_being_planted(&choice.guarded.believed, grants)?;
    let links = links(args, choice)?;
    let git_dir = choice.project.as_ref().map(Project::git_dir);
    let xdg = caller.path_in("XDG_CONFIG_HOME");
    let facts = gitconfig::Facts { git_dir: git_dir.as_deref(), signs: args.rights.ssh_agent };
    let git = gitconfig::made_up(&caller.home, xdg, &choice.policy.gitconfig, facts);
    if git.unsigned && choice.writes_project() && git_dir.is_some_and(|dir| dir.exists()) {
        log::warn!("commits made inside are not signed: --ssh-agent signs them with an ssh key (gpg.format = ssh)");
    }
    let copied: Vec<_> = git.text.into_iter().map(|text| (caller.home.join(".gitconfig"), text)).collect();
    let tmpfs: Vec<PathBuf> =
        args.files.tmpfs.iter().map(|place| view::through(&links, &caller.cwd.join(place))).collect();
    let etc = etc::parts(&choice.policy);
    let view = View {
        policy: &choice.policy,
        etc: &etc,
        home: &caller.home,
        // Where the user has put something else, there is nothing of it to be seen, or protected.
        project: choice.project.as_ref().filter(|project| {
            !grants.iter().any(|grant| grant.destination == project.root && grant.source != project.root)
        }),
        grants,
        trees,
        tmpfs: &tmpfs,
        copied: &copied,
        links: &links,
        host_proc: choice.host_proc,
        guarded: &choice.guarded,
        kept: choice.kept.as_deref(),
    };
    let inside = match args.rights.as_root {
        true => Inside { uid: 0, gid: 0, name: "root" },
        false => Inside { uid: caller.uid, gid: caller.gid, name: &caller.name },
    };
    let config = config::config(args, caller, choice, &view, &inside)?;
    let Inside { uid, gid, name } = inside;
    let hostname = args.environment.hostname.as_deref().unwrap_or(etc::HOSTNAME);
    let user = etc::User { name, uid, gid, home: &caller.home };
    let texts = etc::Texts { user, hostname, hosts: hosts(choice), resolv_conf: resolv_conf(choice) };
    etc::write(&dir.join("etc"), &texts, &etc)?;
    make_root(&dir.join("rootfs"), &links, &copied).context("make the root")?;
    let bytes = as_text(&config).context("write config.json")?;
    // It holds the values of variables.
    let file = File::options().write(true).create_new(true).mode(0o600).open(dir.join("config.json"));
    file.and_then(|mut file| file.write_all(&bytes)).context("write config.json")?;
    Bundle::of(dir.to_owned(), bytes, config)
}

/// Whether whoever looks up a name is answered that there is none. With capabilities the program may want the port itself.
fn answers_names(choice: &Choice) -> bool {
    choice.policy.network() == Network::None && choice.policy.capabilities.is_empty()
}

/// Makes the directories that rrunc believes where the program could make them: only what exists can be masked.
fn keep_from_being_planted(believed: &[PathBuf], grants: &[Grant]) -> Result<()> {
    for dir in believed.iter().filter(|dir| !dir.exists()) {
        let above = dir.ancestors().find_map(|dir| dir.canonicalize().ok());
        if grants.iter().any(|grant| grant.writable && above.as_ref().is_some_and(|dir| dir.starts_with(&grant.source)))
        {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
            made.with_context(|| format!("make {}, which a sandbox must not", dir.display()))?;
        }
    }
    Ok(())
}

/// The names that the host knows by itself, where its network is shared.
fn hosts(choice: &Choice) -> String {
    let host = || fs::read_to_string("/etc/hosts").unwrap_or_default();
    if choice.policy.network() == Network::Host { host() } else { String::new() }
}

/// How names are looked up: as on the host, through pasta, or not at all.
fn resolv_conf(choice: &Choice) -> String {
    let host = || fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    match choice.policy.network() {
        Network::None if answers_names(choice) => format!("nameserver {}\n", nameserver::ADDRESS.ip()),
        Network::None => String::new(),
        Network::Host => host(),
        Network::Pasta => pasta::resolver(&host()).map(|server| format!("nameserver {server}\n")).unwrap_or_default(),
    }
}

/// Old names of /run, by which servers and their clients find each other.
const OF_RUN: [&str; 2] = ["/var/run", "/var/lock"];

/// `--symlink TARGET:LINK`: where each link is to be, and what it says. And those that every system has, where the user has
/// put nothing else.
fn links(args: &SandboxArgs, choice: &Choice) -> Result<Vec<(PathBuf, PathBuf)>> {
    let link = |value: &std::ffi::OsString| {
        let value = text("--symlink", value)?;
        let (target, link) =
            value.rsplit_once(":/").with_context(|| format!("--symlink {value}: write TARGET:/LINK"))?;
        let link = Path::new("/").join(link);
        if target.is_empty() || link.components().any(|part| part == Component::ParentDir) || link == Path::new("/") {
            bail!("--symlink {value}: write TARGET:/LINK");
        }
        Ok((link, PathBuf::from(target)))
    };
    let mut all = args.files.symlink.iter().map(link).collect::<Result<Vec<_>>>()?;
    let tmpfs = args.files.tmpfs.iter().map(PathBuf::as_path);
    let granted = choice.grants.iter().map(|grant| grant.destination.as_path());
    let taken: Vec<PathBuf> =
        tmpfs.chain(granted).chain(all.iter().map(|(link, _)| link.as_path())).map(Path::to_owned).collect();
    let free = OF_RUN.iter().map(Path::new).filter(|link| !taken.iter().any(|place| link.starts_with(place)));
    all.extend(free.map(|link| (link.to_owned(), PathBuf::from("/run"))));
    Ok(all)
}

/// The root holds links, and files that the private file systems around them begin with; where mounts are to be, init makes
/// what is missing.
fn make_root(root: &Path, links: &[(PathBuf, PathBuf)], files: &[(PathBuf, Vec<u8>)]) -> Result<()> {
    fs::create_dir(root)?;
    let place = |path: &Path| -> Result<PathBuf> {
        let place = root.join(path.strip_prefix("/").unwrap_or(path));
        place.parent().map_or(Ok(()), fs::create_dir_all)?;
        Ok(place)
    };
    for (link, target) in links {
        let made = symlink(target, place(link)?);
        made.with_context(|| format!("--symlink {}:{}", target.display(), link.display()))?;
    }
    for (file, text) in files {
        fs::write(place(file)?, text).with_context(|| format!("write {}", file.display()))?;
    }
    Ok(())
}

/// The path without links of what is there. To look first is one call, to follow one for each part of the name; and most
/// of what is asked for here is not there.
pub fn real_path(path: &Path) -> Option<PathBuf> {
    if path.exists() { path.canonicalize().ok() } else { None }
}

/// A text that JSON can hold.
pub fn text(what: &str, value: &OsStr) -> Result<String> {
    value.to_str().map(str::to_owned).with_context(|| format!("{what} {value:?} is not UTF-8"))
}
