//! Attacks in the form of [`super::attack`]: a new one is as long as what is said of it.
use super::attack::{Attack, Bait, Control, User, When, Who};
use serde_json::json;

#[test]
fn a_grant_leads_where_it_is_typed_and_not_where_an_earlier_sandbox_has_linked_it() {
    Attack {
        who: Who::Earlier,
        when: When::Before,
        deed: "ln -s @/home/.ssh out",
        user: User::Calls(&["sandbox", "--bind", "out", "--", "sh", "-c", "cat out/id_ed25519; echo x >out/planted"]),
        bait: &[Bait::Secret, Bait::Whole("home/.ssh")],
        control: Control::Outside("cat out/id_ed25519; echo x >out/planted"),
    }
    .fails();
}

#[test]
fn the_log_is_not_written_through_a_link_of_an_earlier_sandbox() {
    Attack {
        who: Who::Earlier,
        when: When::Before,
        deed: "ln -s @/home/notes rrunc.log",
        user: User::Calls(&["--log", "rrunc.log", "sandbox", "--no-such-option"]),
        bait: &[Bait::Whole("home/notes")],
        control: Control::Outside("echo error >>rrunc.log"),
    }
    .fails();
}

#[test]
fn another_user_gets_nothing_by_a_file_that_a_sandbox_has_left() {
    Attack {
        who: Who::OtherUser,
        when: When::After,
        deed: "./own ../.ssh/id_ed25519",
        user: User::Calls(&["sandbox", "--", "sh", "-c", "cp /bin/cat own; chmod 4755 own; true"]),
        bait: &[Bait::Secret],
        control: Control::Outside("cp /bin/cat own; chmod 4755 own"),
    }
    .fails();
}

#[test]
fn what_is_hidden_stays_so_when_the_host_replaces_it() {
    Attack {
        who: Who::Host,
        when: When::Running,
        deed: "cp ../.ssh/id_ed25519 new; mv new .env; sleep 1.5",
        user: User::Calls(&[
            "sandbox",
            "--",
            "sh",
            "-c",
            "touch ready; while [ ! -e done ]; do sleep 0.05; done; cat .env",
        ]),
        bait: &[Bait::Secret],
        control: Control::Outside("touch ready; while [ ! -e done ]; do sleep 0.05; done; cat .env"),
    }
    .fails();
}

#[test]
fn a_neighbour_that_swaps_a_directory_for_a_link_changes_nothing_outside() {
    Attack {
        who: Who::Neighbour,
        when: When::Meanwhile,
        deed: "mkdir -p vol; while [ ! -e stop ]; do mv vol old; ln -s @/outside vol; rm -f vol; mv old vol; done",
        user: User::Runs(|bundle| {
            bundle.mount("/vol/sub/deep", "tmpfs", "tmpfs", &[]);
        }),
        bait: &[Bait::Whole("outside")],
        control: Control::Outside("mkdir -p vol/sub/deep"),
    }
    .fails();
}

#[test]
fn variables_of_exec_are_not_to_be_read_by_who_may_trace_it() {
    Attack {
        who: Who::Capable(&["CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE"]),
        when: When::Meanwhile,
        deed: "while [ ! -e stop ]; do cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | grep -a hunter2 | grep -av PWD; done",
        user: User::Executes(&["true"]),
        bait: &[Bait::Variable],
        control: Control::Outside("sleep 0.2"),
    }
    .fails();
}

#[test]
fn processes_of_the_user_are_not_ended_from_inside() {
    Attack {
        who: Who::Inside,
        when: When::Before,
        deed: "kill -9 $PID; true",
        user: User::Calls(&["sandbox", "-e", "PID"]),
        bait: &[Bait::Process],
        control: Control::Outside(""),
    }
    .fails();
}

#[test]
fn a_hidden_file_is_read_only_where_it_is_bound_by_its_name() {
    Attack {
        who: Who::Inside,
        when: When::Before,
        deed: "cat @/home/.ssh/id_ed25519; true",
        user: User::Calls(&["sandbox", "--bind", "@/home"]),
        bait: &[Bait::Secret],
        control: Control::With(&["--bind", "@/home/.ssh"]),
    }
    .fails();
}

#[test]
fn a_directory_that_is_not_shown_stays_as_it_is() {
    Attack {
        who: Who::Capable(&["CAP_DAC_OVERRIDE", "CAP_SYS_ADMIN"]),
        when: When::Before,
        deed: "echo x >@/outside/planted; cat @/home/.ssh/id_ed25519; true",
        user: User::Runs(|_| ()),
        bait: &[Bait::Whole("outside"), Bait::Secret],
        control: Control::Changed(|bundle| {
            let dir = bundle.path().parent().expect("the test's directory").to_str().expect("plain").to_owned();
            bundle.mount(&dir, "bind", &dir, &["bind", "rw"]).set("/root/readonly", json!(false));
        }),
    }
    .fails();
}

#[test]
fn an_image_whose_dev_is_a_link_changes_nothing_outside() {
    Attack {
        who: Who::Author,
        when: When::Before,
        deed: "rm -r dev; ln -s @/outside dev",
        user: User::Runs(|_| ()),
        bait: &[Bait::Whole("outside")],
        control: Control::Outside("mkdir -p dev/pts dev/shm"),
    }
    .fails();
}

#[test]
fn a_forged_git_file_and_a_profile_of_the_projects_show_nothing() {
    Attack {
        who: Who::Author,
        when: When::Before,
        deed: "echo gitdir: @/home/.ssh >.git; printf '[allow]\nread = [\"~/.ssh\"]\n' >.rrunc.toml",
        user: User::Calls(&["sandbox", "--", "sh", "-c", "cat @/home/.ssh/id_ed25519; true"]),
        bait: &[Bait::Secret],
        control: Control::With(&["--profile", "./.rrunc.toml"]),
    }
    .fails();
}
