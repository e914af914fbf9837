//! Filters in the real kernel. Each runs in a thread of its own, which it binds until the thread ends, together with
//! every program started from there.
use super::*;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use rrunc::sys::seccomp::load;
use std::os::fd::OwnedFd;
use std::process::Command;

fn under<T: Send>(filter: &Filter, action: impl FnOnce(Option<OwnedFd>) -> T + Send) -> T {
    let bound = || {
        nix::sys::prctl::set_no_new_privs().expect("no_new_privs");
        action(load(filter).expect("the kernel takes the filter"))
    };
    std::thread::scope(|scope| scope.spawn(bound).join()).expect("the thread ends by itself")
}

fn compiled(profile: Value) -> Filter {
    compile(&super::profile(profile)).expect("it compiles")
}

#[test]
fn the_kernel_obeys() {
    let directory = std::env::temp_dir().join(format!("rrunc-seccomp-{}", std::process::id()));
    let make = || std::fs::create_dir(&directory).map_err(|e| e.raw_os_error());
    let filter = compiled(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": libc::EPROTO}]}));
    assert_eq!(under(&filter, |_| make()), Err(Some(libc::EPROTO)));
    assert_eq!(make(), Ok(()), "without the filter");
    std::fs::remove_dir(&directory).expect("our own directory");
}

#[test]
fn notify_rules_give_a_listener_that_no_program_inherits() {
    let filter = compiled(json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/agent", "syscalls": [
        {"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]}));
    let flags = under(&filter, |listener| {
        let listener = listener.expect("a listener");
        fcntl(&listener, FcntlArg::F_GETFD).map(FdFlag::from_bits_truncate)
    });
    assert_eq!(flags, Ok(FdFlag::FD_CLOEXEC));
}

#[test]
fn the_sandbox_profile_denies_mounts_and_user_namespaces() {
    let filter = compile(&profiles::parsed("sandbox").expect("our profile")).expect("it compiles");
    let attempt = || {
        let mounted = mount(None::<&str>, "/nonexistent", Some("tmpfs"), MsFlags::empty(), None::<&str>);
        (mounted, unshare(CloneFlags::CLONE_NEWUSER), unshare(CloneFlags::CLONE_FS))
    };
    assert_eq!(under(&filter, |_| attempt()), (Err(Errno::EPERM), Err(Errno::EPERM), Ok(())));
    let unfiltered = mount(None::<&str>, "/nonexistent", Some("tmpfs"), MsFlags::empty(), None::<&str>);
    assert_eq!(unfiltered, Err(Errno::ENOENT), "without the filter it gets as far as the path");
}

#[test]
fn programs_start_and_work_under_our_profiles() {
    let everyday = "set -e; d=$(mktemp -d); cd $d; (sleep 0.01 & wait); echo a | tr a b > x; mkfifo p; ln -s x l; cp -a x y; \
                    stty -a </dev/null 2>/dev/null || true; touch -d @1 x; ls -la >/dev/null; find . | sort >/dev/null; rm -r $d";
    for (name, _) in profiles::PROFILES {
        let filter = compile(&profiles::parsed(name).expect("our profile")).expect("it compiles");
        // strict has no mkfifo (mknod) and cp -a may not keep owners and attributes.
        let script = if name == "strict" { "echo a | tr a b > /dev/null; ls -la / > /dev/null" } else { everyday };
        let output = under(&filter, |_| Command::new("sh").args(["-c", script]).output()).expect("sh starts");
        assert!(output.status.success(), "{name}: {output:?}");
    }
}

/// Prints the kernel's own time; a filter that is short to walk is quick to load.
#[test]
fn loading_is_timed() {
    for (name, _) in profiles::PROFILES {
        let filter = compile(&profiles::parsed(name).expect("our profile")).expect("it compiles");
        let nothing = compiled(json!({"defaultAction": "SCMP_ACT_ALLOW"}));
        let floor = (0..20).map(|_| under_timed(&nothing)).min().expect("some runs");
        let best = (0..20).map(|_| under_timed(&filter)).min().expect("some runs");
        println!("{name}: loaded in {best:?}, a filter that allows all in {floor:?}");
    }
}

fn under_timed(filter: &Filter) -> std::time::Duration {
    let timed = || {
        nix::sys::prctl::set_no_new_privs().expect("no_new_privs");
        let begin = std::time::Instant::now();
        load(filter).expect("the kernel takes the filter");
        begin.elapsed()
    };
    std::thread::scope(|scope| scope.spawn(timed).join()).expect("the thread ends by itself")
}
