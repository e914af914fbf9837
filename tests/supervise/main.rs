//! Supervision with real terminals. Every test drives processes of its own: this binary again, in a role.
//!
//! `supervised` is rrunc: it makes a pty, starts `payload` on it, which becomes the shell script under test, and
//! supervises that. `session` puts it on a terminal of the test's, `jobs` runs it there as a job of an interactive shell.

mod consoles;
mod look;
mod roles;
mod streams;
mod terminals;

use std::process::ExitCode;

const TESTS: &[(&str, fn())] = &[
    ("the_exit_status_is_the_code_or_128_and_the_signal", streams::exit_status),
    ("a_megabyte_reaches_a_slow_reader_whole", streams::big_output),
    ("output_written_just_before_the_end_is_not_lost", streams::last_words),
    ("the_end_of_stdin_is_an_end_of_file_inside", streams::end_of_stdin),
    ("input_waits_for_a_slow_program", streams::big_input),
    ("signals_are_forwarded", streams::forwarding),
    ("a_reader_that_leaves_hangs_up", streams::reader_leaves),
    ("waiting_costs_no_time", streams::waiting),
    ("orphans_are_reaped", streams::orphans),
    ("a_program_has_no_signal_blocked_or_ignored", streams::clean_signals),
    ("the_terminal_is_raw_meanwhile_and_restored_after", terminals::raw),
    ("a_panic_restores_the_terminal", terminals::panic_restores),
    ("the_window_size_is_copied_and_followed", terminals::window_size),
    ("with_stdout_elsewhere_the_terminal_stays_cooked", terminals::cooked),
    ("ctrl_z_on_a_cooked_terminal_suspends", terminals::suspend),
    ("in_the_background_the_terminal_is_left_alone", terminals::background),
    ("a_console_is_only_opened_in_a_devpts", consoles::console_open),
    ("a_descriptor_goes_over_a_socket_with_a_long_path", consoles::console_send),
];

fn main() -> ExitCode {
    if let Ok(role) = std::env::var("ROLE") {
        return ExitCode::from(play(&role));
    }
    // Most of it waits for texts: what does not come is to fail, and not to hang.
    nix::unistd::alarm::set(600);
    let filter = std::env::args().skip(1).find(|a| !a.starts_with('-')).unwrap_or_default();
    let mut failed = 0;
    for (name, test) in TESTS.iter().filter(|(name, _)| name.contains(&filter)) {
        let passed = std::panic::catch_unwind(test).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        failed += u8::from(!passed);
    }
    ExitCode::from(failed)
}

fn play(role: &str) -> u8 {
    match role {
        "supervised" => roles::supervised(),
        "payload" => roles::payload(),
        "session" => roles::session(),
        "jobs" => roles::jobs(),
        "panic" => roles::panicking(),
        "mask" => roles::masked(),
        "console" => consoles::in_own_devpts(),
        other => panic!("no role {other}"),
    }
}
