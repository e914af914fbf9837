//! `events`: what a container uses, one line of JSON at each interval, and a line whenever the kernel ends one of its
//! processes for want of memory. runc's form: clients match the order of `type`, `id` and `data` in the text.
use super::Outcome;
use crate::cgroup::oom::OomKills;
use crate::cgroup::stats::{self, Stats};
use crate::cli::{EventsArgs, Global};
use crate::error::WithHint;
use crate::quantity;
use crate::state::{Root, Status, process};
use anyhow::{Context, Result, anyhow};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use serde::Serialize;
use std::io::{ErrorKind, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// One line.
#[derive(Serialize)]
struct Event<'a> {
    r#type: &'a str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Stats>,
}

/// Runs the verb.
pub fn run(global: &Global, args: &EventsArgs) -> Result<Outcome> {
    let interval = quantity::duration(&args.interval).context("invalid value for --interval")?;
    if interval.is_zero() {
        return Err(anyhow!("duration interval must be greater than 0")).hint(|| "write 500ms, 5s or 1m");
    }
    let container = Root::open(global.root.as_deref())?.find(&args.id)?;
    let state = container.load()?;
    let init = process::live(state.pid, state.start_time)?.filter(|_| state.pid != 0);
    let (Some(init), false) = (init, container.status(&state)? == Status::Stopped) else {
        return Err(anyhow!("container with id {} is not running", args.id))
            .hint(|| format!("`rrunc state {}` shows what has become of it", args.id));
    };
    if args.stats {
        // Without a cgroup of its own nothing is counted, and the line says so by being empty.
        let data = state.cgroup.as_deref().map(stats::read).unwrap_or_default();
        return Ok(line(&args.id, "stats", Some(data))?.into());
    }
    let kills = state.cgroup.as_deref().and_then(OomKills::watch);
    let (dir, kills) = state.cgroup.zip(kills).ok_or_else(|| anyhow!("memory controller missing")).hint(
        || "`rrunc events --stats` shows what is counted; a container with a limit of memory has the controller",
    )?;
    let watch = Watch::new(&args.id, dir, kills)?;
    match watch.follow(init.as_fd(), interval) {
        // The reader has gone.
        Err(e) if e.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe) => {}
        followed => followed?,
    }
    Ok(Outcome::default())
}

fn line(id: &str, r#type: &str, data: Option<Stats>) -> Result<String> {
    Ok(serde_json::to_string(&Event { r#type, id, data })? + "\n")
}

/// Sees when the kernel counts another process that it has ended.
struct Watch<'a> {
    id: &'a str,
    dir: PathBuf,
    events: Inotify,
    kills: OomKills,
}

impl<'a> Watch<'a> {
    fn new(id: &'a str, dir: PathBuf, kills: OomKills) -> Result<Watch<'a>> {
        let events = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).context("inotify")?;
        let file = dir.join("memory.events");
        events.add_watch(&file, AddWatchFlags::IN_MODIFY).with_context(|| format!("watch {}", file.display()))?;
        // The parent's too, so that what ends beside the container is counted then, and not as its own when its cgroup has
        // gone. Who may not watch that has the count of the interval.
        if let Some(parent) = dir.parent()
            && let Err(e) = events.add_watch(&parent.join("memory.events"), AddWatchFlags::IN_MODIFY)
        {
            log::debug!("watch memory.events of {}: {}", parent.display(), e.desc());
        }
        Ok(Watch { id, dir, events, kills })
    }

    /// Prints until the container's first process has ended.
    fn follow(mut self, init: BorrowedFd, interval: Duration) -> Result<()> {
        let mut next = Instant::now() + interval;
        loop {
            let rest = next.saturating_duration_since(Instant::now());
            let mut fds = [PollFd::new(init, PollFlags::POLLIN), PollFd::new(self.events.as_fd(), PollFlags::POLLIN)];
            // Rounded up: not to wake a little too early, again and again.
            let timeout = i32::try_from(rest.as_millis() + 1).unwrap_or(i32::MAX);
            match poll(&mut fds, PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX)) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(e) => return Err(e).context("wait for events"),
            }
            let ended = fds[0].any() == Some(true);
            // Only empties the queue: what counts is in the file.
            while self.events.read_events().is_ok() {}
            self.tell_kills()?;
            if ended {
                return Ok(());
            }
            if Instant::now() >= next {
                next = Instant::now() + interval;
                print(&line(self.id, "stats", Some(stats::read(&self.dir)))?)?;
            }
        }
    }

    fn tell_kills(&mut self) -> Result<()> {
        (0..self.kills.new_ones()).try_for_each(|_| print(&line(self.id, "oom", None)?))
    }
}

fn print(line: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn type_id_and_data_come_in_runcs_order() {
        assert_eq!(line("c", "oom", None).unwrap(), "{\"type\":\"oom\",\"id\":\"c\"}\n");
        let stats = line("c", "stats", Some(Stats::default())).unwrap();
        assert!(stats.starts_with("{\"type\":\"stats\",\"id\":\"c\",\"data\":{\"cpu\":{\"usage\":{"), "{stats}");
    }

    #[test]
    fn what_is_ended_beside_the_container_is_looked_at_when_it_happens() {
        let parent = std::env::temp_dir().join(format!("rrunc-events-{}", std::process::id()));
        let dir = parent.join("c");
        std::fs::create_dir_all(&dir).unwrap();
        let count = |file: &Path, kills: u32| std::fs::write(file, format!("oom_kill {kills}\n")).unwrap();
        let (own, all) = (dir.join("memory.events"), parent.join("memory.events"));
        count(&own, 0);
        count(&all, 0);
        let mut watch = Watch::new("c", dir.clone(), OomKills::watch(&dir).unwrap()).unwrap();
        assert!(watch.events.read_events().is_err());
        count(&all, 1);
        assert!(watch.events.read_events().is_ok(), "nobody has woken up");
        assert_eq!(watch.kills.new_ones(), 0);
        std::fs::remove_dir_all(&dir).unwrap();
        assert_eq!(watch.kills.new_ones(), 0, "another's is taken for its own");
        std::fs::remove_dir_all(&parent).unwrap();
    }
}
