//! The systemd of the user as the source of a container's cgroup: a transient scope with Delegate, asked for over D-Bus
//! (org.freedesktop.systemd1(5)). Nothing here makes a decision; whether systemd is asked is `cgroup::place`'s.
//!
//! The client is our own: it blocks, has no thread, and needs nine methods and one signal of D-Bus.
pub mod address;
mod bus;
mod gvariant;
pub mod message;
mod property;
mod unit;

pub use bus::Refusal;
pub use gvariant::annotation;
pub use property::{Property, Value};
pub use unit::Unit;

use crate::cgroup;
use crate::error::{WithHint, find, one_line, with_hint};
use crate::printable::printable;
use address::Address;
use anyhow::{Context, Result, anyhow, bail, ensure};
use bus::Bus;
use message::{Call, Message, Writer};
use nix::unistd::geteuid;
use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

/// How long systemd may take for what it is asked.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it may take to be found.
const GLANCE: Duration = Duration::from_secs(5);
const NAME: &str = "org.freedesktop.systemd1";
const PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
/// It is there where systemd is the first process (sd_booted(3)).
const BOOTED: &str = "/run/systemd/system";
/// Where systemd says more of a job.
const JOURNAL: &str = "see what it says: `journalctl --user -e`";
const NO_SUCH_UNIT: &str = "org.freedesktop.systemd1.NoSuchUnit";
const UNIT_EXISTS: &str = "org.freedesktop.systemd1.UnitExists";

/// Whether the user has a systemd that answers, and that can be asked for a scope. A socket alone may be a bus without
/// one, on which nothing could be started.
///
/// # Errors
/// Why he has none.
pub fn look() -> Result<()> {
    Manager::find(GLANCE).and_then(|manager| manager.check_numbers())
}

/// Starts the scope `unit` with the processes `pids` in it and the `properties` set; returns the directory of its cgroup
/// once it is there and the processes are in it.
///
/// # Errors
/// There is no systemd, it refuses, or it does not do it in time.
pub fn start_scope(unit: &Unit, pids: &[i32], properties: &[Property]) -> Result<PathBuf> {
    let first = *pids.first().context("a scope without processes")?;
    Manager::find(PATIENCE)?.start_scope(unit, pids, properties)?;
    let dir = cgroup::of(&first.to_string())?;
    is_of(&dir, &unit.name)?;
    Ok(dir)
}

/// Sets `properties` of a unit until it is gone.
///
/// # Errors
/// There is no systemd, or it refuses.
pub fn set_properties(unit: &str, properties: &[Property]) -> Result<()> {
    Manager::find(PATIENCE)?.set_properties(unit, properties)
}

/// Moves the processes `pids` into the scope `unit`, there into the cgroup `below` its own.
///
/// # Errors
/// There is no systemd, or it refuses.
pub fn attach(unit: &str, below: &Path, pids: &[i32]) -> Result<()> {
    Manager::find(PATIENCE)?.attach(unit, below, pids)
}

/// Stops a unit and has it forgotten; returns when it is gone. One that is gone already is no error.
///
/// # Errors
/// There is no systemd, it refuses, or it does not do it in time.
pub fn stop(unit: &str) -> Result<()> {
    Manager::find(PATIENCE)?.stop(unit)
}

/// What the kernel says of a process in the scope: systemd may keep its units in a tree of version 1.
fn is_of(dir: &Path, scope: &str) -> Result<()> {
    if dir.file_name() == Some(OsStr::new(scope)) {
        return Ok(());
    }
    Err(anyhow!("systemd has started {scope}, but the container's process is in {}", dir.display()))
        .hint(|| "boot with systemd.unified_cgroup_hierarchy=1")
}

/// The systemd of the user, at the other end of a connection.
struct Manager {
    bus: Bus,
}

impl Manager {
    fn find(patience: Duration) -> Result<Manager> {
        let session = std::env::var_os("DBUS_SESSION_BUS_ADDRESS");
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|dir| dir.is_absolute());
        let runtime = runtime.unwrap_or_else(|| format!("/run/user/{}", geteuid()).into());
        Manager::among(address::candidates(session.as_deref(), &runtime), patience)
    }

    /// The first of the addresses at which there is one.
    fn among(addresses: Vec<Result<Address>>, patience: Duration) -> Result<Manager> {
        let deadline = Instant::now() + patience;
        let mut failures = Vec::new();
        for address in addresses {
            let reached = address
                .and_then(|address| Manager::at(&address, deadline).with_context(|| printable(&address.to_string())));
            match reached {
                Ok(manager) => return Ok(manager),
                Err(failure) => failures.push(one_line(&failure)),
            }
        }
        Err(anyhow!("your systemd cannot be reached: {}", failures.join("; ")))
            .hint(|| to_reach_it(Path::new(BOOTED).is_dir()))
    }

    fn at(address: &Address, deadline: Instant) -> Result<Manager> {
        let mut bus = Bus::connect(address, deadline)?;
        if !bus.is_managers() {
            let mut name = Writer::default();
            name.string(NAME);
            let owned = bus.ask_bus("NameHasOwner", "s", name)?.arguments("b")?.bool()?;
            ensure!(owned, "there is a bus, but no systemd on it");
        }
        Ok(Manager { bus })
    }

    fn call(&mut self, member: &str, signature: &str, arguments: Writer) -> Result<Message> {
        let destination = (!self.bus.is_managers()).then_some(NAME);
        self.bus.call(&Call { destination, path: PATH, interface: MANAGER, member, signature, arguments })
    }

    fn start_scope(&mut self, unit: &Unit, pids: &[i32], properties: &[Property]) -> Result<()> {
        let name = &unit.name;
        self.check_numbers()?;
        self.subscribe()?;
        let started = match self.start_transient(unit, pids, properties) {
            // One that has failed long ago stays until it is forgotten.
            Err(e) if is(&e, UNIT_EXISTS) => {
                self.reset_failed(name)?;
                self.start_transient(unit, pids, properties)
            }
            started => started,
        };
        let started = started.map_err(|e| explained(e, name, properties))?;
        match self.outcome(&started).with_context(|| format!("wait for systemd to start {name}"))?.as_str() {
            "done" => Ok(()),
            outcome => {
                self.reset_failed(name)?;
                Err(anyhow!("systemd has not started {name}: the job's result is {:?}", printable(outcome)))
                    .hint(|| JOURNAL)
            }
        }
    }

    fn start_transient(&mut self, unit: &Unit, pids: &[i32], properties: &[Property]) -> Result<Message> {
        let pids = Value::Numbers(pids.iter().map(|pid| pid.cast_unsigned()).collect());
        let mut all = vec![
            Property::new("Description", unit.description.as_str()),
            Property::new("PIDs", pids),
            Property::new("Delegate", true),
            Property::new("DefaultDependencies", false),
            // Gone when its last process is, also if that was killed.
            Property::new("CollectMode", "inactive-or-failed"),
        ];
        all.extend(unit.slice.as_deref().map(|slice| Property::new("Slice", slice)));
        // Each gives the scope a controller, which its cgroup then has to delegate.
        let accounted = ["CPUAccounting", "MemoryAccounting", "IOAccounting", "TasksAccounting"];
        all.extend(accounted.map(|name| Property::new(name, true)));
        let mut arguments = Writer::default();
        arguments.string(&unit.name);
        arguments.string("replace");
        arguments.array(8, |array| all.iter().chain(properties).for_each(|property| property.write(array)));
        // No other unit beside.
        arguments.array(8, |_| {});
        self.call("StartTransientUnit", "ssa(sv)a(sa(sv))", arguments)
    }

    fn set_properties(&mut self, unit: &str, properties: &[Property]) -> Result<()> {
        let mut arguments = Writer::default();
        arguments.string(unit);
        // Not to be kept in a file.
        arguments.bool(true);
        arguments.array(8, |array| properties.iter().for_each(|property| property.write(array)));
        let set = self.call("SetUnitProperties", "sba(sv)", arguments);
        set.map(drop).map_err(|e| explained(e, unit, properties))
    }

    fn attach(&mut self, unit: &str, below: &Path, pids: &[i32]) -> Result<()> {
        self.check_numbers()?;
        let parts = below.components().filter(|part| *part != Component::RootDir);
        let parts = parts.map(|part| match part {
            Component::Normal(part) => part.to_str().context("a name that is not UTF-8"),
            _ => bail!("a path that leads elsewhere"),
        });
        let parts = parts.collect::<Result<Vec<_>>>().with_context(|| format!("the cgroup {}", below.display()))?;
        let mut arguments = Writer::default();
        arguments.string(unit);
        arguments.string(&format!("/{}", parts.join("/")));
        arguments.array(4, |array| pids.iter().for_each(|pid| array.number(pid.to_le_bytes())));
        let attached = self.call("AttachProcessesToUnit", "ssau", arguments);
        attached.map(drop).map_err(|e| explained(e, unit, &[]))
    }

    fn stop(&mut self, unit: &str) -> Result<()> {
        self.subscribe()?;
        let mut arguments = Writer::default();
        arguments.string(unit);
        arguments.string("replace");
        match self.call("StopUnit", "ss", arguments) {
            Ok(job) => {
                let outcome = self.outcome(&job).with_context(|| format!("wait for systemd to stop {unit}"))?;
                let unit = printable(unit);
                let failed =
                    || anyhow!("systemd has not stopped {unit}: the job's result is {:?}", printable(&outcome));
                (outcome == "done").then_some(()).ok_or_else(failed).hint(|| JOURNAL)?;
            }
            Err(e) if is(&e, NO_SUCH_UNIT) => return Ok(()),
            Err(e) => return Err(explained(e, unit, &[])),
        }
        self.reset_failed(unit)
    }

    /// Has a unit forgotten that has failed.
    fn reset_failed(&mut self, unit: &str) -> Result<()> {
        let mut arguments = Writer::default();
        arguments.string(unit);
        match self.call("ResetFailedUnit", "s", arguments) {
            Err(e) if !is(&e, NO_SUCH_UNIT) => Err(e).with_context(|| format!("reset {unit}")),
            _ => Ok(()),
        }
    }

    /// Asks for the signals that tell how jobs end. Before the job is there: it may end at once.
    fn subscribe(&mut self) -> Result<()> {
        if !self.bus.is_managers() {
            let mut rule = Writer::default();
            rule.string(&format!("type='signal',sender='{NAME}',interface='{MANAGER}',member='JobRemoved'"));
            self.bus.ask_bus("AddMatch", "s", rule).context("subscribe to signals of the bus")?;
        }
        self.call("Subscribe", "", Writer::default()).context("subscribe to signals of systemd").map(drop)
    }

    /// How the job ends that `started` is the answer about: its JobRemoved signal, from the same sender.
    fn outcome(&mut self, started: &Message) -> Result<String> {
        let job = started.arguments("o")?.string()?;
        loop {
            let signal = self.bus.signal()?;
            let is_removal = signal.interface.as_deref() == Some(MANAGER)
                && signal.member.as_deref() == Some("JobRemoved")
                && signal.sender == started.sender;
            if is_removal {
                let mut arguments = signal.arguments("uoss")?;
                let (_, path, _, result) =
                    (arguments.u32()?, arguments.string()?, arguments.string()?, arguments.string()?);
                if path == job {
                    return Ok(result);
                }
            }
        }
    }

    /// Never may systemd be given the number of another process than we mean.
    fn check_numbers(&self) -> Result<()> {
        if self.bus.counts_processes_as_we_do() {
            return Ok(());
        }
        Err(anyhow!("your systemd is outside of this pid namespace, where the container's process has another number"))
            .hint(|| "start rrunc outside of the container, or without limits and --systemd-cgroup")
    }
}

fn is(error: &anyhow::Error, name: &str) -> bool {
    find::<Refusal>(error).is_some_and(|refusal| refusal.name == name)
}

/// What helps who has no systemd of his own, on a host that is `booted` with systemd or not.
fn to_reach_it(booted: bool) -> &'static str {
    if booted {
        "log in so that there is a user bus, which a shell of su or `sudo -u` has not; or have it always: `loginctl \
         enable-linger`"
    } else {
        "this host is run without systemd: `rrunc doctor` prints how root gives you a cgroup of your own"
    }
}

/// A refusal as somebody reads it who knows of the container only.
fn explained(error: anyhow::Error, unit: &str, properties: &[Property]) -> anyhow::Error {
    let Some(refusal) = find::<Refusal>(&error) else {
        return with_hint(error.context("talk to your systemd"), "`systemctl --user status` tells whether it is well");
    };
    let named = properties.iter().find(|property| refusal.text.contains(&property.name));
    let hint = match refusal.name.as_str() {
        UNIT_EXISTS => Some(format!("end what is in it: `systemctl --user stop '{unit}'`, or take another name")),
        NO_SUCH_UNIT => Some("the container's scope is gone: delete the container".to_owned()),
        _ => named.map(|property| {
            format!("leave out {}: this systemd cannot set it for a scope, or not to that value", property.name)
        }),
    };
    let error = error.context(format!("systemd refuses {unit}"));
    match hint {
        Some(hint) => with_hint(error, hint),
        None => error,
    }
}

#[cfg(test)]
mod tests;
