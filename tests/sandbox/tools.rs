//! Tools that programs are built with and looked after, as they are outside.
use crate::scene::Scene;
use crate::support::{Lacks, find_program, skip};

#[test]
fn row_w1_programs_with_sanitizers_run() {
    if find_program("cc").is_none() {
        return skip(Lacks::Package("cc"));
    }
    let scene = Scene::new();
    scene.outside("printf '#include <stdio.h>\\nint main(void) { puts(\"ran\"); }\\n' > x.c").success();
    let mut built = 0;
    for kind in ["address", "thread", "undefined", "leak"] {
        // Not each is there for every machine.
        let out = scene.outside(&format!("cc -fsanitize={kind} x.c -o {kind} 2>/dev/null && ./{kind}"));
        if out.stdout != "ran\n" {
            continue;
        }
        built += 1;
        scene.run(&["--", &format!("./{kind}")]).success().prints("ran\n");
        // A limit of the user's own is one of each process as well, but where a flag says otherwise.
        let own = ["-m", "500m", "--ulimit", "data=unlimited", "--", &format!("./{kind}")];
        scene.run(&own).success().prints("ran\n");
    }
    if built == 0 {
        skip(Lacks::Machine("a compiler with sanitizers"));
    }
}
