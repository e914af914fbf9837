//! Quotas and limits of the user: keys, processes, files, core dumps.
use super::Finding;
use super::probe::{Step, probe};
use super::settings::{Settings, read, sysctl};
use crate::sys::keyctl;
use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::sys::resource::{Resource, getrlimit};
use std::ffi::CString;

/// Below these a limit is felt: `make -j` and npm start hundreds of processes, and each opens files.
const PROCESSES: u64 = 512;
const FILES: u64 = 1024;

/// A session keyring of its own, made and left again with the process.
pub fn session_keyring(settings: &Settings) -> Finding {
    let name = CString::new(format!("_ses.rrunc-doctor-{}", std::process::id())).unwrap_or_default();
    let made = probe(CloneFlags::empty(), || keyctl::join_session_keyring(&name).map(|_| String::new()).step("join"));
    let quota = quota(&read("/proc/key-users"), settings.uid);
    let failure = match made {
        Ok(_) => {
            return Finding::ok(quota.map_or("made".to_owned(), |(used, all)| format!("{used} of {all} keys used")));
        }
        Err(failure) => failure,
    };
    match failure.errno {
        Some(Errno::ENOSYS) if !settings.filtered => Finding::ok("the kernel has no keys to protect"),
        Some(Errno::EDQUOT) => Finding::weaker(
            quota.map_or(failure.line(), |(used, all)| format!("{used} of {all} keys used")),
            "containers share one empty keyring",
            sysctl("kernel.keys.maxkeys", "2000"),
        ),
        _ => Finding::missing(
            failure.line(),
            "containers start with `--no-new-keyring` only, and sandboxes not at all",
            "start the container around with `--security-opt seccomp=unconfined`",
        ),
    }
}

/// Keys used and allowed, from /proc/key-users (`UID: USAGE NKEYS/NIKEYS QNKEYS/MAXKEYS QNBYTES/MAXBYTES`).
fn quota(text: &str, uid: u32) -> Option<(u64, u64)> {
    let (_, fields) =
        text.lines().filter_map(|line| line.split_once(':')).find(|(user, _)| user.trim().parse() == Ok(uid))?;
    let (used, all) = fields.split_ascii_whitespace().nth(2)?.split_once('/')?;
    Some((used.parse().ok()?, all.parse().ok()?))
}

/// What the hard limits leave.
pub fn resource_limits(_: &Settings) -> Finding {
    let hard = |resource| getrlimit(resource).map_or(u64::MAX, |(_, hard)| hard);
    let pipe = read("/proc/sys/kernel/core_pattern").starts_with('|');
    judge_limits(
        hard(Resource::RLIMIT_NPROC),
        hard(Resource::RLIMIT_NOFILE),
        pipe && hard(Resource::RLIMIT_CORE) == 0,
        hard(Resource::RLIMIT_FSIZE),
    )
}

fn judge_limits(processes: u64, files: u64, core_escapes: bool, size: u64) -> Finding {
    let number = |n: u64| if n == u64::MAX { "unlimited".to_owned() } else { n.to_string() };
    let detail = format!("processes {}, open files {}", number(processes), number(files));
    let limits_conf = |item: &str, value: &str| {
        format!("echo '* hard {item} {value}' | sudo tee -a /etc/security/limits.d/90-rrunc.conf, then log in again")
    };
    if processes < PROCESSES {
        let effect = "programs inside fail to fork: all processes of yours on the host count, too";
        return Finding::weaker(detail, effect, limits_conf("nproc", "unlimited"));
    }
    if files < FILES {
        return Finding::weaker(detail, "programs inside run out of descriptors", limits_conf("nofile", "1048576"));
    }
    if size != u64::MAX {
        let effect = "no file inside can grow beyond that";
        return Finding::weaker(format!("{detail}, file size {size}"), effect, limits_conf("fsize", "unlimited"));
    }
    if core_escapes {
        let effect = "a crash inside a sandbox is given to the host's core handler, with all of the program's memory";
        let detail = format!("{detail}, core dumps 0, which does not stop a handler behind a pipe as 1 does");
        return Finding::weaker(detail, effect, limits_conf("core", "1"));
    }
    Finding::ok(detail)
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    #[test]
    fn the_quota_is_that_of_the_user() {
        let text = "    0:    71 70/70 61/1000000 1205/25000000\n 1000:     2 2/2 3/200 18/20000\n";
        assert_eq!(quota(text, 1000), Some((3, 200)));
        assert_eq!(quota(text, 7), None);
    }

    #[test]
    fn each_limit_that_matters_is_named() {
        let max = u64::MAX;
        for (finding, item) in [
            (judge_limits(100, max, false, max), "nproc"),
            (judge_limits(max, 256, false, max), "nofile"),
            (judge_limits(max, max, true, max), "core"),
            (judge_limits(max, max, false, 4096), "fsize"),
        ] {
            assert_eq!(finding.status, Status::Weaker);
            assert!(finding.fix.as_ref().unwrap().contains(item), "{finding:?}");
        }
        assert_eq!(judge_limits(max, 4096, false, max).status, Status::Ok);
    }
}
