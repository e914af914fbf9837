//! `create`: set a container up and leave its init waiting at the gate. `run` and `sandbox` build on the same
//! `create`, only without a gate.
use super::{Outcome, delete};
use crate::bundle::Bundle;
use crate::cgroup::{
    self,
    place::{self, Place},
};
use crate::cli::{CgroupManager, CreateArgs, Global};
use crate::console;
use crate::error::one_line;
use crate::host::{Host, Wants, blame_old_kernel};
use crate::links::Link;
use crate::log::step;
use crate::notify;
use crate::on_request;
use crate::plan::landlock::LANDLOCK;
use crate::plan::{self, Options, Plan, resources};
use crate::spawn::{self, Spawned, gate};
use crate::state::{Container, OCI_VERSION, Root, STATE_VERSION, State};
use crate::sys::process::{gid_at_start, uid_at_start};
use crate::systemd;
use anyhow::{Context, Result};
use nix::fcntl::Flock;
use oci_spec::runtime::{Hooks, LinuxIdMapping, Spec};
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Who waits for the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Nobody yet: init stands at the gate until `start`.
    AtGate,
    /// Nobody: `run --detach`.
    Nobody,
    /// We: `run` in the foreground.
    Us,
}

/// A container to be made: what the command line says of it.
pub struct Request {
    /// Its id.
    pub id: String,
    /// Who waits for it.
    pub waiting: Waiting,
    /// Where the terminal goes.
    pub console_socket: Option<PathBuf>,
    /// Where init's pid goes.
    pub pid_file: Option<PathBuf>,
    /// Where a pidfd of init goes.
    pub pidfd_socket: Option<PathBuf>,
    /// Without pivot_root.
    pub no_pivot: bool,
    /// With the caller's session keyring.
    pub no_new_keyring: bool,
    /// Descriptors from 3 on to pass.
    pub preserve_fds: u32,
    /// LISTEN_FDS and NOTIFY_SOCKET in the caller's environment are for the container.
    pub service: bool,
    /// Where its cgroup comes from.
    pub cgroup: CgroupManager,
}

impl Request {
    /// What `args` ask for. Paths of sockets and files are the caller's, so made absolute here.
    pub fn of(global: &Global, args: &CreateArgs, waiting: Waiting) -> Result<Request> {
        let absolute = |path: &Option<PathBuf>| path.as_deref().map(std::path::absolute).transpose();
        Ok(Request {
            id: args.id.clone(),
            waiting,
            console_socket: absolute(&args.console_socket)?,
            pid_file: absolute(&args.pid_file)?,
            pidfd_socket: absolute(&args.pidfd_socket)?,
            no_pivot: args.no_pivot,
            no_new_keyring: args.no_new_keyring,
            preserve_fds: args.preserve_fds,
            service: true,
            cgroup: global.cgroups(),
        })
    }
}

/// A container that has been made.
pub struct Created {
    /// Its state directory, locked.
    pub container: Container,
    /// Its record.
    pub state: State,
    /// Its init, which waits for `go`.
    pub init: Spawned,
    /// The hooks that are still to come.
    pub hooks: Option<Hooks>,
}

impl Created {
    /// Undoes it all; for a failure after `create`.
    pub fn undo(self) {
        let Created { container, state, init, .. } = self;
        if let Err(e) = init.kill() {
            log::warn!("{}", one_line(&e));
        }
        undo(container, &state);
    }
}

/// Runs the verb.
pub fn run(global: &Global, args: &CreateArgs) -> Result<Outcome> {
    let request = Request::of(global, args, Waiting::AtGate)?;
    let mut root = Root::open(global.root.as_deref())?;
    let bundle = Bundle::load(&args.bundle)?;
    let created = create(root.create(&request.id)?, bundle, &request, false)?;
    if let Err(error) = created.init.go() {
        created.undo();
        return Err(error);
    }
    Ok(Outcome::default())
}

/// Makes the container in its new state directory; on failure nothing of it is left. `ahead`: the caller does nothing more
/// before its program runs, see `spawn`.
pub fn create(container: Container, bundle: Bundle, request: &Request, ahead: bool) -> Result<Created> {
    let mut state = record(&bundle, request);
    let made = (|| {
        step("create", "state");
        container.save_config(&bundle.bytes)?;
        let cgroup = place_cgroup(&bundle, request)?;
        let _claim = make_cgroup(&cgroup, &mut state, &container)?;
        step("create", "plan");
        let passed = notify::passed(request.preserve_fds, request.service)?;
        let host = Host::probe(wants(&bundle.spec))?;
        let options = Options { cgroup, ..options(&container, request, passed)? };
        let plan = plan::plan(&bundle, &host, &options)?;
        let told = request.pid_file.is_some() || request.pidfd_socket.is_some() || options.notify_dir.is_some();
        set_up(&container, &plan, &mut state, request, ahead && !told)
    })();
    match made {
        Ok(init) => Ok(Created { container, state, init, hooks: bundle.spec.hooks().clone() }),
        Err(error) => {
            undo(container, &state);
            Err(blame_old_kernel(error))
        }
    }
}

/// Where the container's cgroup is made.
fn place_cgroup(bundle: &Bundle, request: &Request) -> Result<Place> {
    if request.cgroup == CgroupManager::Disabled {
        let (why, hint) = ("--cgroup-manager disabled".to_owned(), "leave that option out".to_owned());
        return Ok(Place::Callers { why, hint });
    }
    let linux = bundle.spec.linux().as_ref();
    let settings = linux.and_then(|linux| linux.resources().as_ref()).map(resources::settings).unwrap_or_default();
    let wanted = place::Wanted {
        id: &request.id,
        path: linux.and_then(|linux| linux.cgroups_path().as_deref()),
        controllers: cgroup::limits::controllers(&settings),
        systemd: request.cgroup == CgroupManager::Systemd,
    };
    place::choose(place::Tree::find().as_ref(), &wanted, systemd::look)
}

/// Makes it, if that is for us to do; a named one is ours alone as long as the result lives.
fn make_cgroup(cgroup: &Place, state: &mut State, container: &Container) -> Result<Option<Flock<File>>> {
    let Place::Directory { path, named, .. } = cgroup else { return Ok(None) };
    // Before it is there: if we are killed meanwhile, `delete` knows of it.
    state.cgroup = Some(path.to_owned());
    container.store(state)?;
    if !named {
        return cgroup::make(path).map(|()| None);
    }
    let claim = cgroup::claim(path);
    if claim.is_err() {
        // It is another's.
        state.cgroup = None;
    }
    claim.map(Some)
}

/// What has to be known of the host for `spec`: subordinate ids only when more than the caller's own id, or another one, may
/// get mapped.
pub fn wants(spec: &Spec) -> Wants {
    let (process, linux) = (spec.process().as_ref(), spec.linux().as_ref());
    let own_only = |mappings: Option<&Vec<LinuxIdMapping>>, own: u32| {
        mappings.is_some_and(|list| matches!(list.as_slice(), [one] if one.size() == 1 && one.host_id() == own))
    };
    let uid = linux.and_then(|l| l.uid_mappings().as_ref());
    let gid = linux.and_then(|l| l.gid_mappings().as_ref());
    Wants {
        subids: !(own_only(uid, uid_at_start()) && own_only(gid, gid_at_start())),
        labels: process.is_some_and(|p| p.apparmor_profile().is_some() || p.selinux_label().is_some())
            || linux.is_some_and(|l| l.mount_label().is_some()),
        landlock: spec.annotations().as_ref().is_some_and(|all| all.contains_key(LANDLOCK)),
    }
}

fn record(bundle: &Bundle, request: &Request) -> State {
    let spec = &bundle.spec;
    let rootfs = spec.root().as_ref().map(|root| bundle.path.join(root.path())).unwrap_or_default();
    State {
        version: STATE_VERSION,
        oci_version: if spec.version().is_empty() { OCI_VERSION.to_owned() } else { spec.version().clone() },
        id: request.id.clone(),
        pid: 0,
        start_time: 0,
        bundle: bundle.path.clone(),
        rootfs,
        created: crate::clock::rfc3339_nanos(std::time::SystemTime::now()),
        annotations: spec.annotations().iter().flatten().map(|(name, value)| (name.clone(), value.clone())).collect(),
        owner: uid_at_start(),
        cgroup: None,
        scope: None,
        resources: None,
        decided: None,
        has_process: spec.process().is_some(),
    }
}

fn options(container: &Container, request: &Request, passed: notify::PassedFds) -> Result<Options> {
    let mut extra_env = passed.env;
    let mut notify_dir = None;
    if request.service && std::env::var_os("NOTIFY_SOCKET").is_some_and(|value| !value.is_empty()) {
        notify::prepare(container.dir.as_fd())?;
        notify_dir = Some(container.path.join("notify"));
        extra_env.push(format!("NOTIFY_SOCKET={}", notify::SOCKET));
    }
    Ok(Options {
        id: request.id.clone(),
        no_new_keyring: request.no_new_keyring,
        no_pivot: request.no_pivot,
        detached: request.waiting != Waiting::Us,
        console_socket: request.console_socket.is_some(),
        die_with_parent: request.waiting == Waiting::Us,
        notify_dir,
        extra_env,
        passed_fds: passed.kept.len() as u32,
        cgroup: Place::default(),
    })
}

fn set_up(container: &Container, plan: &Plan, state: &mut State, request: &Request, ahead: bool) -> Result<Spawned> {
    for warning in &plan.warnings {
        log::warn!("{warning}");
    }
    for note in &plan.notes {
        log::debug!("{note}");
    }
    if let Place::Directory { path, top, .. } = &plan.cgroup {
        cgroup::limits::prepare(top, path, &plan.limits)?;
    }
    let gate = match request.waiting {
        Waiting::AtGate => Some(gate::listen(container.dir.as_fd())?),
        Waiting::Nobody | Waiting::Us => None,
    };
    let init = spawn::spawn(plan, state, gate, ahead, |state| container.store(state))?;
    match announce(&init, request) {
        Ok(()) => Ok(init),
        Err(error) => {
            init.kill()?;
            Err(error)
        }
    }
}

/// Tells those who asked for it: the terminal, the pidfd, the pid.
fn announce(init: &Spawned, request: &Request) -> Result<()> {
    if let (Some(path), Some(master)) = (&request.console_socket, &init.terminal) {
        console::send(path, master.as_fd(), console::MASTER_NAME)?;
    }
    if let Some(path) = &request.pidfd_socket {
        console::send_pidfd(path, init.pidfd.as_fd(), "standard")?;
    }
    request.pid_file.as_deref().map_or(Ok(()), |path| write_pid_file(path, init.pid))
}

/// Writes the pid, without a newline, under another name and renames it: readers see all of it or nothing.
pub fn write_pid_file(path: &Path, pid: i32) -> Result<()> {
    let write = || -> Result<()> {
        let path = &on_request::place(path, Link::is_in_checkout)?;
        let name = path.file_name().context("not the name of a file")?.to_string_lossy().into_owned();
        // Of this pid no other file can be on its way; one of that name was left by an rrunc that was killed.
        let temporary = path.with_file_name(format!(".{name}.{pid}"));
        let create = || File::options().write(true).create_new(true).mode(0o666).open(&temporary);
        let mut file = match create() {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => std::fs::remove_file(&temporary).and_then(|()| create()),
            file => file,
        }?;
        file.write_all(pid.to_string().as_bytes())?;
        Ok(std::fs::rename(&temporary, path)?)
    };
    write().with_context(|| format!("write pid file {}", path.display()))
}

/// Removes what is left of a container that could not be made. A failing create runs the poststop hooks
/// (runtime-spec, runtime.md, "Lifecycle", steps 3 to 5).
fn undo(container: Container, state: &State) {
    let undone = match state.pid {
        0 => cgroup::discard(state).and(container.destroy()),
        _ => delete::remove(container, state),
    };
    if let Err(e) = undone {
        log::warn!("undo create: {}", one_line(&e));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn wanted(config: Value) -> Wants {
        wants(&serde_json::from_value(config).expect("a configuration"))
    }

    #[test]
    fn of_the_host_only_that_is_wanted_which_the_configuration_has_a_word_for() {
        let own = |id: u32, size: u32| json!([{"containerID": 0, "hostID": id, "size": size}]);
        let linux = json!({"uidMappings": own(uid_at_start(), 1), "gidMappings": own(gid_at_start(), 1)});
        let process = json!({"cwd": "/", "user": {"uid": 0, "gid": 0}});
        let plain = json!({"ociVersion": "1.0.2", "process": process, "linux": linux});
        assert_eq!(wanted(plain.clone()), Wants::default());
        let with = |at: &str, member: &str, value: Value| {
            let mut config = plain.clone();
            config.pointer_mut(at).expect("it is there")[member] = value;
            wanted(config)
        };
        let subids = Wants { subids: true, ..Wants::default() };
        assert_eq!(with("/linux", "gidMappings", own(gid_at_start(), 2)), subids);
        assert_eq!(with("/linux", "uidMappings", own(uid_at_start() + 1, 1)), subids);
        assert_eq!(with("", "linux", json!({})), subids);
        let labels = Wants { labels: true, ..Wants::default() };
        for (at, member) in [("/process", "apparmorProfile"), ("/process", "selinuxLabel"), ("/linux", "mountLabel")] {
            assert_eq!(with(at, member, json!("some")), labels, "{member}");
        }
        let landlock = Wants { landlock: true, ..Wants::default() };
        assert_eq!(with("", "annotations", json!({LANDLOCK: "files"})), landlock);
    }
}
