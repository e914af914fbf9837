//! Bytes that are not UTF-8, which the kernel takes in arguments, variables and paths.
use crate::support::Stage;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

fn bytes(bytes: &[u8]) -> &OsStr {
    OsStr::from_bytes(bytes)
}

#[test]
fn row_f8_arguments_variables_and_directories_of_any_bytes_reach_the_program() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    fs::create_dir(bundle.rootfs().join(bytes(b"d\xfe"))).expect("make the directory");
    let passwd = b"n\xe4me:x:7:7:\xfcber:/d\xfe:/bin/sh\nroot:x:0:0:\xff:/r\xfft:/bin/sh\n";
    fs::write(bundle.rootfs().join("etc/passwd"), passwd).expect("write passwd");
    stage.running(&bundle, "c");
    let hex = "printf %s \"$0$X$HOME$PWD\" | od -An -tx1 | tr -d ' \\n'";
    let call = stage.call(&["exec", "--env"]).arg(bytes(b"X=\xc3")).arg("--cwd").arg(bytes(b"/d\xfe"));
    let out = call.args(&["c", "sh", "-c", hex]).arg(bytes(b"a\xffb")).run().success();
    assert_eq!(out.line(), "61ff62c32f72ff742f64fe");
    stage.remove("c");

    let call = stage.call(&["sandbox", "--no-project", "-e"]).arg(bytes(b"X=\xc3")).env("LANG", bytes(b"l\x80"));
    let out =
        call.args(&["--", "sh", "-c", "printf %s \"$0$X$LANG\" | od -An -tx1 | tr -d ' \\n'"]).arg(bytes(b"a\xffb"));
    assert_eq!(out.run().success().line(), "61ff62c36c80");

    // The bundle says so by an annotation, and its text is the same without: then it means itself.
    let dir = stage.dir().join("written");
    let call = stage.call(&["sandbox", "--no-project", "--write-bundle"]).arg(&dir);
    call.args(&["--", "printf", "%s"]).arg(bytes(b"a\xffb")).run().success();
    let ran = |of: &str| {
        let call = stage.call(&["run", "--bundle"]).arg(dir.clone()).arg("c");
        let running = call.spawn();
        let out = running.wait();
        assert_eq!(out.code, 0, "{of}: {}", out.stderr);
        out.stdout
    };
    assert_eq!(ran("annotated"), "a\u{fffd}b");
    let config = fs::read_to_string(dir.join("config.json")).expect("config.json");
    fs::write(dir.join("config.json"), config.replace("org.rrunc.bytes", "other")).expect("write");
    assert_eq!(ran("not annotated"), "a\u{10ffff}b");
}

#[test]
fn row_f8_a_bundle_whose_path_is_not_text_is_used_like_any_other() {
    let stage = Stage::new();
    let bundle = stage.bundle();
    let other = stage.dir().join(bytes(b"b\xff"));
    bundle.args(&["sleep", "3600"]);
    fs::rename(bundle.path(), &other).expect("rename");
    stage.call(&["run", "-d", "c"]).cwd(&other).run().success();
    assert!(stage.state("c")["bundle"].as_str().is_some_and(|path| path.ends_with("b\u{fffd}")));
    stage.rrunc(&["exec", "c", "true"]).success();
    stage.rrunc(&["list"]).success();
    stage.remove("c");
}
