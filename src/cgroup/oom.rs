//! The processes that the kernel ends in a cgroup for want of memory, counted.
use super::stats::table;
use std::fs;
use std::path::{Path, PathBuf};

/// Counts them.
///
/// systemd removes the cgroup as soon as its last process has ended. What has happened just before is then known by the
/// parent alone, which counts all that are below it: it may have been another's, so whoever asks looks at the exit status
/// too.
#[derive(Debug)]
pub struct OomKills {
    dir: PathBuf,
    seen: u64,
    /// The parent's count of then.
    parent: Option<u64>,
}

impl OomKills {
    /// From now on; none without the memory controller.
    pub fn watch(dir: &Path) -> Option<OomKills> {
        let seen = oom_kills(dir)?;
        Some(OomKills { dir: dir.to_owned(), seen, parent: dir.parent().and_then(oom_kills) })
    }

    /// Those since it was asked last.
    pub fn new_ones(&mut self) -> u64 {
        let parent = self.dir.parent().and_then(oom_kills);
        let new = match (oom_kills(&self.dir), self.parent, parent) {
            (Some(now), ..) => now.saturating_sub(std::mem::replace(&mut self.seen, now)),
            (None, Some(before), Some(now)) => now.saturating_sub(before),
            _ => 0,
        };
        self.parent = parent;
        new
    }
}

fn oom_kills(dir: &Path) -> Option<u64> {
    let events = fs::read_to_string(dir.join("memory.events")).ok()?;
    table(&events).get("oom_kill").copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_are_told_once_and_known_by_the_parent_when_the_cgroup_has_gone() {
        let parent = std::env::temp_dir().join(format!("rrunc-oom-{}", std::process::id()));
        let dir = parent.join("child");
        fs::create_dir_all(&dir).unwrap();
        let count = |dir: &Path, kills: u64| {
            fs::write(dir.join("memory.events"), format!("oom 9\noom_kill {kills}\n")).unwrap()
        };
        assert!(OomKills::watch(&dir).is_none());
        count(&parent, 7);
        count(&dir, 2);
        let mut kills = OomKills::watch(&dir).unwrap();
        assert_eq!(kills.new_ones(), 0);
        count(&parent, 8);
        count(&dir, 3);
        assert_eq!((kills.new_ones(), kills.new_ones()), (1, 0));
        count(&parent, 10);
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!((kills.new_ones(), kills.new_ones()), (2, 0));
        fs::remove_dir_all(&parent).unwrap();
    }
}
