//! What the program sees of files: an empty HOME, no secrets, and what was granted.
use crate::support::Place;
use crate::support::place::{SECRET, SECRETS, write};
use std::fs;
use std::process::Command;

#[test]
fn home_is_empty_private_and_writable() {
    let place = Place::new();
    let out = place.sh(&[], "ls -A ~; stat -c %a ~; stat -f -c %T ~; touch ~/made && ls ~/made").success();
    let home = place.home();
    assert_eq!(out.stdout, format!("project\n700\ntmpfs\n{}/made\n", home.display()));
    assert!(!home.join("made").exists(), "written to the real home");
    // Private to one run: the next does not see it.
    place.sh(&[], "ls -A ~").success().prints("project\n");
    place.sh(&["--no-project"], "ls -A ~; pwd").success().prints(&format!("{}\n", home.display()));
}

/// Looks for the secret's text under every name the host has for it, and in `others`.
fn search(place: &Place, others: &str) -> String {
    let home = place.home();
    let names: Vec<_> = SECRETS.iter().map(|name| home.join(name).display().to_string()).collect();
    let cat = format!("cat {} 2>/dev/null", names.join(" "));
    format!("{cat}; grep -rsl {SECRET} {others} 2>/dev/null; true")
}

/// Where a sandbox might have it. On the host it would take long to read it all.
const EVERYWHERE: &str = "~ /run /tmp /var /home /root";

#[test]
fn secrets_of_home_are_absent() {
    let place = Place::new();
    let home = place.home().display().to_string();
    let outside = Command::new("sh").args(["-c", &search(&place, &home)]).output();
    let outside = String::from_utf8(outside.expect("sh").stdout).expect("text");
    assert_eq!(outside.matches(SECRET).count(), SECRETS.len(), "the control finds all");
    assert_eq!(outside.matches(&home).count(), SECRETS.len(), "and without knowing their names");
    let probe = search(&place, EVERYWHERE);
    place.sh(&[], &probe).success().prints("");
    place.sh(&["--network", "host"], &probe).success().prints("");
    place.sh(&["--as-root"], &probe).success().prints("");
}

#[test]
fn secrets_are_masked_inside_a_granted_home() {
    let place = Place::new();
    let home = place.home().display().to_string();
    for option in ["--bind", "--ro-bind"] {
        let granted = [option, &home, "--no-project"];
        // The control: the grant shows everything else.
        place.sh(&granted, "cat ~/notes").success().prints("notes");
        place.sh(&granted, &search(&place, EVERYWHERE)).success().prints("");
        // Not by another way, and not by taking the mask away.
        place.sh(&granted, "umount ~/.ssh 2>/dev/null; mv ~/.ssh ~/s 2>/dev/null; rm -rf ~/.ssh ~/.netrc 2>/dev/null; cat ~/.ssh/* ~/s/* ~/.netrc 2>/dev/null; true").success().prints("");
    }
    for file in SECRETS {
        assert_eq!(fs::read_to_string(place.home().join(file)).expect(file), SECRET, "{file} was changed");
    }
}

#[test]
fn secrets_are_masked_under_another_name_of_home_and_in_its_parts() {
    let place = Place::new();
    let home = place.home().display().to_string();
    let elsewhere = format!("{home}:/mnt/home");
    place.sh(&["--bind", &elsewhere], "cat /mnt/home/notes").success().prints("notes");
    place.sh(&["--bind", &elsewhere], &format!("grep -rsl {SECRET} /mnt; true")).success().prints("");
    // A grant of what is around HOME leaves HOME itself the private one.
    write(&place.dir().join("beside"), "beside");
    let above = place.dir().display().to_string();
    let probe = format!("cat {above}/beside; grep -rsl {SECRET} {above}/home {above}/xdg; ls -A ~; pwd");
    place.sh(&["--ro-bind", &above, "--no-project"], &probe).success().prints(&format!("beside{home}\n"));
    let config = format!("{home}/.config");
    write(&place.home().join(".config/plain"), "plain");
    place
        .sh(&["--bind", &config], "cat ~/.config/plain; cat ~/.config/gh/* 2>/dev/null; true")
        .success()
        .prints("plain");
}

#[test]
fn a_secret_granted_by_its_own_name_is_shown() {
    let place = Place::new();
    let key = place.home().join(".ssh/id_ed25519").display().to_string();
    place
        .sh(&["--ro-bind", &key], "cat ~/.ssh/id_ed25519; echo; ls -A ~/.ssh")
        .success()
        .prints(&format!("{SECRET}\nid_ed25519\n"));
    let dir = place.home().join(".aws").display().to_string();
    place.sh(&["--ro-bind", &dir], "cat ~/.aws/credentials").success().prints(SECRET);
}

#[test]
fn the_host_beyond_the_view_is_absent_and_programs_are_read_only() {
    let place = Place::new();
    let probe = "for d in /root /home /boot /srv /mnt /media /lost+found; do test -d $d && ls -A $d; done; ls /etc/shadow /etc/subuid 2>/dev/null; true";
    let shown = place.sh(&[], probe).success().stdout;
    assert_eq!(shown, "", "HOME is under /tmp here");
    for dir in ["/usr", "/bin", "/lib", "/etc", "/etc/ssl/certs", "/sys", "/"] {
        let out = place.sh(&[], &format!("test -d {dir} || exit 9; touch {dir}/x")).stderr;
        assert!(
            out.is_empty() || ["Read-only file system", "Permission denied"].iter().any(|t| out.contains(t)),
            "{dir}: {out}"
        );
        assert!(!fs::exists(format!("{dir}/x")).expect("stat"), "{dir}/x was made on the host");
    }
    place
        .sh(&[], "touch /usr/x 2>/dev/null || echo refused; touch /etc/x 2>/dev/null || echo refused")
        .success()
        .prints("refused\nrefused\n");
    place.sh(&[], "for d in /tmp /var/tmp /dev/shm ~; do touch $d/x || exit 1; done").success();
}

#[test]
fn tmp_is_private() {
    let place = Place::new();
    let out = place.sh(&["--no-project"], "ls -A /var/tmp; touch /tmp/made-inside; stat -c %a /tmp").success();
    assert_eq!(out.stdout, "1777\n");
    assert!(!fs::exists("/tmp/made-inside").expect("stat"));
}

#[test]
fn bind_and_ro_bind_at_their_own_and_other_places() {
    let place = Place::new();
    let data = place.dir().join("data");
    write(&data.join("file"), "data");
    let data = data.display().to_string();
    place.sh(&[], &format!("cat {data}/file")).exits(1);
    place.sh(&["--ro-bind", &data], &format!("cat {data}/file")).success().prints("data");
    let refused = place.sh(&["--ro-bind", &data], &format!("echo no >{data}/file")).stderr;
    assert!(refused.contains("Read-only file system"), "{refused}");
    place.sh(&["--bind", &data], &format!("echo -n new >{data}/file && touch {data}/more")).success();
    assert_eq!(fs::read_to_string(format!("{data}/file")).expect("read"), "new");
    let mapped = format!("{data}:/srv/in");
    place.sh(&["--bind", &mapped], "cat /srv/in/file; echo -n newer >/srv/in/file").success().prints("new");
    assert_eq!(fs::read_to_string(format!("{data}/file")).expect("read"), "newer");
    let refused = place.sh(&["--ro-bind", &mapped], "echo no >/srv/in/file").stderr;
    assert!(refused.contains("Read-only file system"), "{refused}");
    // A single file, and a source relative to the caller's directory.
    place.sh(&["--ro-bind", &format!("{data}/file:/srv/one")], "cat /srv/one").success().prints("newer");
    write(&place.project().join("here/file"), "here");
    place.sh(&["--no-project", "--ro-bind", "here:/srv/here"], "cat /srv/here/file").success().prints("here");
    assert_eq!(fs::read_dir(&data).expect("read").count(), 2, "mount points were made in the user's tree");
}

#[test]
fn a_setuid_bit_and_device_nodes_mean_nothing_in_a_grant() {
    let place = Place::new();
    let home = place.home().display().to_string();
    let options = "grep -E ' (/usr|/etc|'$HOME'|'$PWD') ' /proc/self/mountinfo | grep -vc nosuid";
    place.sh(&["--bind", &home], options).exits(1).prints("0\n");
    let nodev = "grep -E ' ('$HOME'|'$PWD') ' /proc/self/mountinfo | grep -vc nodev";
    place.sh(&["--bind", &home], nodev).exits(1).prints("0\n");
}
