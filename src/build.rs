//! What the linker is told beyond Rust's defaults, where the program is linked with musl: all of it makes a start cheaper, and
//! none changes what the program does.
use std::env;
use std::process::Command;

/// The first Rust whose musl (1.2.5) reads packed relocations.
const PACKED_SINCE: u32 = 93;

fn main() {
    println!("cargo::rerun-if-changed=src/build.rs");
    println!("cargo::rerun-if-changed=src/start.ld");
    println!("cargo::rerun-if-changed=src/no-unwind.ld");
    let set_to = |name: &str, value: &str| env::var(name).is_ok_and(|is| is == value);
    if !set_to("CARGO_CFG_TARGET_ENV", "musl") || foreign_linker() {
        return;
    }
    println!("cargo::rerun-if-env-changed=RRUNC_LINK_MAP");
    if let Ok(file) = env::var("RRUNC_LINK_MAP") {
        // Where each function has come to be, for `tests/bench/run order`.
        println!("cargo::rustc-link-arg-bins=-Wl,-Map,{file}");
    }
    if rust_minor().is_some_and(|minor| minor >= PACKED_SINCE) {
        // 2 KiB rather than 140 to be read before main.
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
    if set_to("CARGO_CFG_TARGET_ARCH", "x86_64") {
        // See `sys/entry.rs`.
        println!("cargo::rustc-link-arg-bins=-Wl,-e,rrunc_entry");
    }
    if set_to("PROFILE", "release") {
        // Functions of a start side by side.
        let directory = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
        println!("cargo::rustc-link-arg-bins=-Wl,-T,{directory}/src/start.ld");
        // A panic ends the program, so that nobody unwinds: a twentieth of the binary less.
        println!("cargo::rustc-link-arg-bins=-Wl,--no-eh-frame-hdr,-T,{directory}/src/no-unwind.ld");
    }
}

/// Whether the linker is not the C compiler, which takes `-Wl`, or is one that knows no scripts (mold): then nothing is said.
fn foreign_linker() -> bool {
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let named = env::var("RUSTC_LINKER").unwrap_or_default();
    flags.contains("linker=") || flags.contains("mold") || named.ends_with("ld")
}

/// N of `rustc 1.N.0`.
fn rust_minor() -> Option<u32> {
    let output = Command::new(env::var_os("RUSTC")?).arg("--version").output().ok()?;
    String::from_utf8(output.stdout).ok()?.split(['.', ' ']).nth(2)?.parse().ok()
}
