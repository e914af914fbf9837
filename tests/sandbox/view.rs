//! What of the host is there: an allow-list.
use crate::scene::Scene;
use std::fs;

#[test]
fn the_root_holds_what_is_listed_and_no_more() {
    let scene = Scene::new();
    let out = scene.script(&[], "ls /").success();
    let top = scene.project().iter().nth(1).expect("a directory").to_str().expect("plain").to_owned();
    let known = "bin dev etc lib lib32 lib64 libx32 nix opt proc run sbin sys tmp usr var";
    for name in out.stdout.lines() {
        assert!(known.split(' ').any(|k| k == name) || name == top, "{name} of the host");
    }
    let outside = scene.outside("ls -d /root /home").success();
    assert_eq!(outside.stdout, "/home\n/root\n", "the control: they are there");
}

#[test]
fn programs_and_etc_are_read_only() {
    let scene = Scene::new();
    let script = "for d in / /usr /usr/bin /bin /lib /etc /etc/ssl/certs; do \
                  awk -v d=$d '$5 == d && $6 !~ /^ro(,|$)/' /proc/self/mountinfo; touch $d/x 2>/dev/null && echo $d; done; true";
    scene.script(&[], script).success().prints("");
    scene.script(&[], "touch /tmp/x ~/x ./x && echo written").success().prints("written\n");
}

#[test]
fn home_and_tmp_are_private() {
    let scene = Scene::new();
    scene.home_file("diary", "dear me");
    let theirs = scene.stage().dir().join("beside");
    fs::write(&theirs, "somebody's").expect("write");
    let script = "ls -A ~ \"$RRUNC_TEST\" /var/tmp; cat ~/diary; touch ~/new /tmp/new";
    assert!(scene.outside("cat ~/diary").success().stdout.contains("dear me"));
    let out = scene.script(&["-e", "RRUNC_TEST"], script).success();
    assert!(!out.stdout.contains("diary") && !out.stdout.contains("beside"), "{out:?}");
    assert!(!scene.home().join("new").exists() && !std::path::Path::new("/tmp/new").exists());
    assert_eq!(scene.script(&[], "ls -A ~; test -e /tmp/new && echo new").stdout, "", "nothing stays");
}

#[test]
fn passwd_and_group_know_the_caller() {
    let scene = Scene::new();
    let ids = scene.outside("id -u; id -g").success().stdout;
    let out = scene.script(&[], "id -u; id -g; id -un; id -gn; hostname").success();
    assert!(out.stdout.starts_with(&ids), "{out:?}");
    assert!(out.stdout.ends_with("sandbox\n"), "{out:?}");
    scene.script(&["--as-root"], "id -u; id -g; id -un; touch made").success().prints("0\n0\nroot\n");
    let own = crate::support::uid();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&fs::metadata(scene.project().join("made")).expect("made")), own);
}

#[test]
fn toolchains_below_home_without_the_credentials_beside_them() {
    let scene = Scene::new();
    let tool = scene.home_file(".cargo/bin/tool", "#!/bin/sh\necho tool; ls -A ~/.cargo\n");
    fs::set_permissions(&tool, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("chmod");
    scene.home_file(".cargo/credentials.toml", "token = \"hunter2\"");
    scene.home_file(".npmrc", "hunter2");
    let path = format!("{}:/usr/bin:/bin", scene.home().join(".cargo/bin").display());
    let out = scene.call(&["--", "sh", "-c", "tool; ls -A ~; touch ~/.cargo/bin/new"]).env("PATH", path).run();
    assert_eq!(out.stdout, "tool\nbin\n.cargo\n", "{out:?}");
    assert!(out.stderr.contains("Read-only"), "{out:?}");
    assert!(scene.outside("cat ~/.cargo/credentials.toml ~/.npmrc").success().stdout.contains("hunter2"), "control");
}

#[test]
fn sockets_of_the_session_are_absent() {
    let scene = Scene::new();
    let socket = scene.stage().dir().join("xdg/bus");
    let listener = std::os::unix::net::UnixListener::bind(&socket).expect("bind");
    let script = format!("test -S {} && echo there; echo $DBUS_SESSION_BUS_ADDRESS $SSH_AUTH_SOCK", socket.display());
    assert!(scene.outside(&script).stdout.starts_with("there"), "control");
    let call = scene.call(&["--", "sh", "-c", &script]);
    let address = format!("unix:path={}", socket.display());
    call.env("DBUS_SESSION_BUS_ADDRESS", address).env("SSH_AUTH_SOCK", &socket).run().success().prints("\n");
    drop(listener);
}
