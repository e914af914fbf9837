# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_rrunc_global_optspecs
    string join \n root= log= log-format= debug systemd-cgroup rootless= cgroup-manager= v/version h/help
end

function __fish_rrunc_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_rrunc_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_rrunc_using_subcommand
    set -l cmd (__fish_rrunc_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c rrunc -n "__fish_rrunc_needs_command" -l root -d 'Keep container state in DIR [default: $XDG_RUNTIME_DIR/rrunc]' -r -F
complete -c rrunc -n "__fish_rrunc_needs_command" -l log -d 'Append log lines to FILE instead of stderr' -r -F
complete -c rrunc -n "__fish_rrunc_needs_command" -l log-format -d 'Write log lines as `text` or `json`' -r
complete -c rrunc -n "__fish_rrunc_needs_command" -l rootless -d 'Accepted for runc\'s callers: rrunc is always rootless' -r -f -a "true\t'Always'
false\t'Never; accepted, since real root gets a user namespace too'
auto\t'Decide by the caller\'s ids'"
complete -c rrunc -n "__fish_rrunc_needs_command" -l cgroup-manager -d 'crun\'s spelling of the cgroup choice, which podman uses' -r -f -a "cgroupfs\t'Write to the cgroup file system directly'
systemd\t'Ask systemd for a scope, as `--systemd-cgroup` does'
disabled\t'Leave the container in the caller\'s cgroup'"
complete -c rrunc -n "__fish_rrunc_needs_command" -l debug -d 'Log what is being done, step by step, and when'
complete -c rrunc -n "__fish_rrunc_needs_command" -l systemd-cgroup -d 'Have your systemd make the container\'s cgroup; linux.cgroupsPath is then SLICE:PREFIX:NAME'
complete -c rrunc -n "__fish_rrunc_needs_command" -s v -l version -d 'Show the version of rrunc and of the OCI runtime specification'
complete -c rrunc -n "__fish_rrunc_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rrunc -n "__fish_rrunc_needs_command" -f -a "create" -d 'Set a container up and leave it waiting for `start`'
complete -c rrunc -n "__fish_rrunc_needs_command" -f -a "start" -d 'Let the program of a created container run'
complete -c rrunc -n "__fish_rrunc_needs_command" -f -a "run" -d 'Create a container, start it, wait for it and delete it'
complete -c rrunc -n "__fish_rrunc_needs_command" -f -a "exec" -d 'Run another program inside a container'
complete -c rrunc -n "__fish_rrunc_needs_command" -f -a "state" -d 'Show the OCI state of a container as JSON'
complete -c rrunc -n "__fish_rrunc_needs_command" -f -a "list" -d 'List the containers of this user'
complete -c rrunc -n "__fish_rrunc_needs_command" -f -a "ps" -d 'Show the processes of a container'
complete -c rrunc -n "__fish_rrunc_needs_command" -f -a "kill" -d 'Send a signal to a container'
complete -c rrunc -n "__fish_rrunc_needs_command" -f -a "pause" -d 'Stop all processes of a container, until `resume`'
complete -c rrunc -n "__fish_rrunc_needs_command" -f -a "resume" -d 'Let a paused container go on'
complete -c rrunc -n "__fish_rrunc_needs_command" -f -a "update" -d 'Change the limits of a container while it runs'
complete -c rrunc -n "__fish_rrunc_needs_command" -f -a "events" -d 'Show what a container uses, and when its memory runs out'
complete -c rrunc -n "__fish_rrunc_needs_command" -f -a "delete" -d 'Remove a container that has stopped'
complete -c rrunc -n "__fish_rrunc_needs_command" -f -a "spec" -d 'Write a config.json to start a bundle from'
complete -c rrunc -n "__fish_rrunc_needs_command" -f -a "features" -d 'Show what this runtime supports, as OCI features JSON'
complete -c rrunc -n "__fish_rrunc_needs_command" -f -a "sandbox" -d 'Run a command with the host\'s tools but none of its secrets'
complete -c rrunc -n "__fish_rrunc_needs_command" -f -a "profile" -d 'Show and check profiles of the sandbox and of seccomp'
complete -c rrunc -n "__fish_rrunc_needs_command" -f -a "trust" -d 'Accept the profile that a project brings along'
complete -c rrunc -n "__fish_rrunc_needs_command" -f -a "doctor" -d 'Show what this host offers, and how to mend what it lacks'
complete -c rrunc -n "__fish_rrunc_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c rrunc -n "__fish_rrunc_using_subcommand create" -s b -l bundle -d 'Directory that holds config.json' -r -F
complete -c rrunc -n "__fish_rrunc_using_subcommand create" -l console-socket -d 'Send the terminal\'s master end to the unix socket PATH' -r -F
complete -c rrunc -n "__fish_rrunc_using_subcommand create" -l pid-file -d 'Write the pid of the container\'s first process to FILE' -r -F
complete -c rrunc -n "__fish_rrunc_using_subcommand create" -l pidfd-socket -d 'Send a pidfd of the container\'s first process to the unix socket PATH' -r -F
complete -c rrunc -n "__fish_rrunc_using_subcommand create" -l preserve-fds -d 'Pass N more file descriptors, from 3 on, to the program' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand create" -l no-pivot -d 'Use chroot and move the mount instead of pivot_root, for a root on a ramdisk'
complete -c rrunc -n "__fish_rrunc_using_subcommand create" -l no-new-keyring -d 'Keep the caller\'s session keyring'
complete -c rrunc -n "__fish_rrunc_using_subcommand create" -s v -l version -d 'Show the version of rrunc and of the OCI runtime specification'
complete -c rrunc -n "__fish_rrunc_using_subcommand create" -s h -l help -d 'Print help'
complete -c rrunc -n "__fish_rrunc_using_subcommand start" -s v -l version -d 'Show the version of rrunc and of the OCI runtime specification'
complete -c rrunc -n "__fish_rrunc_using_subcommand start" -s h -l help -d 'Print help'
complete -c rrunc -n "__fish_rrunc_using_subcommand run" -s b -l bundle -d 'Directory that holds config.json' -r -F
complete -c rrunc -n "__fish_rrunc_using_subcommand run" -l console-socket -d 'Send the terminal\'s master end to the unix socket PATH' -r -F
complete -c rrunc -n "__fish_rrunc_using_subcommand run" -l pid-file -d 'Write the pid of the container\'s first process to FILE' -r -F
complete -c rrunc -n "__fish_rrunc_using_subcommand run" -l pidfd-socket -d 'Send a pidfd of the container\'s first process to the unix socket PATH' -r -F
complete -c rrunc -n "__fish_rrunc_using_subcommand run" -l preserve-fds -d 'Pass N more file descriptors, from 3 on, to the program' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand run" -l no-pivot -d 'Use chroot and move the mount instead of pivot_root, for a root on a ramdisk'
complete -c rrunc -n "__fish_rrunc_using_subcommand run" -l no-new-keyring -d 'Keep the caller\'s session keyring'
complete -c rrunc -n "__fish_rrunc_using_subcommand run" -s d -l detach -d 'Return once the program runs, and leave the container behind'
complete -c rrunc -n "__fish_rrunc_using_subcommand run" -l keep -d 'Keep the stopped container until `delete`'
complete -c rrunc -n "__fish_rrunc_using_subcommand run" -l no-subreaper -d 'Do not adopt the container\'s orphans while waiting'
complete -c rrunc -n "__fish_rrunc_using_subcommand run" -s v -l version -d 'Show the version of rrunc and of the OCI runtime specification'
complete -c rrunc -n "__fish_rrunc_using_subcommand run" -s h -l help -d 'Print help'
complete -c rrunc -n "__fish_rrunc_using_subcommand exec" -l console-socket -d 'Send the terminal\'s master end to the unix socket PATH' -r -F
complete -c rrunc -n "__fish_rrunc_using_subcommand exec" -l pidfd-socket -d 'Send a pidfd of the new process to the unix socket PATH' -r -F
complete -c rrunc -n "__fish_rrunc_using_subcommand exec" -l cwd -d 'Working directory inside the container' -r -F
complete -c rrunc -n "__fish_rrunc_using_subcommand exec" -s e -l env -d 'Set an environment variable; may be given several times' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand exec" -s u -l user -d 'Run as this user, in numbers' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand exec" -s g -l additional-gids -d 'Add a supplementary group; may be given several times' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand exec" -s p -l process -d 'Read the whole process from FILE (an OCI `process` object); the other options for it are then ignored' -r -F
complete -c rrunc -n "__fish_rrunc_using_subcommand exec" -l pid-file -d 'Write the pid of the new process to FILE' -r -F
complete -c rrunc -n "__fish_rrunc_using_subcommand exec" -l process-label -d 'SELinux label of the process' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand exec" -l apparmor -d 'AppArmor profile of the process' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand exec" -s c -l cap -d 'Add a capability; may be given several times' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand exec" -l preserve-fds -d 'Pass N more file descriptors, from 3 on, to the program' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand exec" -l cgroup -d 'Run in the cgroup PATH below the container\'s own, which must be there' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand exec" -s t -l tty -d 'Give the program a terminal of its own'
complete -c rrunc -n "__fish_rrunc_using_subcommand exec" -s d -l detach -d 'Return once the program runs'
complete -c rrunc -n "__fish_rrunc_using_subcommand exec" -l no-new-privs -d 'Forbid gaining privileges through execve'
complete -c rrunc -n "__fish_rrunc_using_subcommand exec" -l ignore-paused -d 'Also when the container is paused'
complete -c rrunc -n "__fish_rrunc_using_subcommand exec" -s v -l version -d 'Show the version of rrunc and of the OCI runtime specification'
complete -c rrunc -n "__fish_rrunc_using_subcommand exec" -s h -l help -d 'Print help'
complete -c rrunc -n "__fish_rrunc_using_subcommand state" -s v -l version -d 'Show the version of rrunc and of the OCI runtime specification'
complete -c rrunc -n "__fish_rrunc_using_subcommand state" -s h -l help -d 'Print help'
complete -c rrunc -n "__fish_rrunc_using_subcommand list" -s f -l format -d '`table` or `json`' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand list" -s q -l quiet -d 'Only the ids'
complete -c rrunc -n "__fish_rrunc_using_subcommand list" -s v -l version -d 'Show the version of rrunc and of the OCI runtime specification'
complete -c rrunc -n "__fish_rrunc_using_subcommand list" -s h -l help -d 'Print help'
complete -c rrunc -n "__fish_rrunc_using_subcommand ps" -s f -l format -d '`table` or `json`' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand ps" -s v -l version -d 'Show the version of rrunc and of the OCI runtime specification'
complete -c rrunc -n "__fish_rrunc_using_subcommand ps" -s h -l help -d 'Print help'
complete -c rrunc -n "__fish_rrunc_using_subcommand kill" -s a -l all -d 'Every process of the container, not only the first'
complete -c rrunc -n "__fish_rrunc_using_subcommand kill" -s v -l version -d 'Show the version of rrunc and of the OCI runtime specification'
complete -c rrunc -n "__fish_rrunc_using_subcommand kill" -s h -l help -d 'Print help'
complete -c rrunc -n "__fish_rrunc_using_subcommand pause" -s v -l version -d 'Show the version of rrunc and of the OCI runtime specification'
complete -c rrunc -n "__fish_rrunc_using_subcommand pause" -s h -l help -d 'Print help'
complete -c rrunc -n "__fish_rrunc_using_subcommand resume" -s v -l version -d 'Show the version of rrunc and of the OCI runtime specification'
complete -c rrunc -n "__fish_rrunc_using_subcommand resume" -s h -l help -d 'Print help'
complete -c rrunc -n "__fish_rrunc_using_subcommand update" -s r -l resources -d 'Read the limits from FILE, or with `-` from stdin, as the JSON of `linux.resources`; other options are then ignored' -r -F
complete -c rrunc -n "__fish_rrunc_using_subcommand update" -l blkio-weight -d 'Weight of its disk access, from 10 to 1000' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand update" -l cpu-period -d 'Length of the quota\'s period, in microseconds' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand update" -l cpu-quota -d 'Processor time in each period, in microseconds; -1 for no limit' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand update" -l cpu-burst -d 'Unused time that may be taken in a later period, in microseconds' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand update" -l cpu-share -d 'Share of processor time beside others, from 2 to 262144' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand update" -l cpu-rt-period -d 'Refused: cgroup v2 has no such limit' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand update" -l cpu-rt-runtime -d 'Refused: cgroup v2 has no such limit' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand update" -l cpuset-cpus -d 'Processors that may be used, such as 0-3,7' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand update" -l cpuset-mems -d 'Memory nodes that may be used' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand update" -l cpu-idle -d '1: runs only when nobody else wants the processor; 0: not so' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand update" -l memory -d 'Most memory, in bytes or with k, m or g; -1 for no limit' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand update" -l memory-reservation -d 'Memory that is left to it when there is little' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand update" -l memory-swap -d 'Most memory and swap together; -1 for unlimited swap' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand update" -l pids-limit -d 'Most processes and threads; -1 for no limit' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand update" -l kernel-memory -d 'Ignored: the kernel has no such limit any more' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand update" -l kernel-memory-tcp -d 'Ignored: the kernel has no such limit any more' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand update" -l l3-cache-schema -d 'Refused: resctrl is root\'s' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand update" -l mem-bw-schema -d 'Refused: resctrl is root\'s' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand update" -s v -l version -d 'Show the version of rrunc and of the OCI runtime specification'
complete -c rrunc -n "__fish_rrunc_using_subcommand update" -s h -l help -d 'Print help'
complete -c rrunc -n "__fish_rrunc_using_subcommand events" -l interval -d 'Time between two lines, such as 100ms, 5s or 1m30s' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand events" -l stats -d 'One line now, and no more'
complete -c rrunc -n "__fish_rrunc_using_subcommand events" -s v -l version -d 'Show the version of rrunc and of the OCI runtime specification'
complete -c rrunc -n "__fish_rrunc_using_subcommand events" -s h -l help -d 'Print help'
complete -c rrunc -n "__fish_rrunc_using_subcommand delete" -s f -l force -d 'End the container first; a container that does not exist is no error'
complete -c rrunc -n "__fish_rrunc_using_subcommand delete" -s v -l version -d 'Show the version of rrunc and of the OCI runtime specification'
complete -c rrunc -n "__fish_rrunc_using_subcommand delete" -s h -l help -d 'Print help'
complete -c rrunc -n "__fish_rrunc_using_subcommand spec" -s b -l bundle -d 'Directory to write config.json to' -r -F
complete -c rrunc -n "__fish_rrunc_using_subcommand spec" -l rootless -d 'Accepted for runc\'s callers: the file is always a rootless one'
complete -c rrunc -n "__fish_rrunc_using_subcommand spec" -s v -l version -d 'Show the version of rrunc and of the OCI runtime specification'
complete -c rrunc -n "__fish_rrunc_using_subcommand spec" -s h -l help -d 'Print help'
complete -c rrunc -n "__fish_rrunc_using_subcommand features" -s v -l version -d 'Show the version of rrunc and of the OCI runtime specification'
complete -c rrunc -n "__fish_rrunc_using_subcommand features" -s h -l help -d 'Print help'
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l bind -d 'Make SRC of the host writable in the sandbox, at DST if given' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l ro-bind -d 'Make SRC of the host readable in the sandbox, at DST if given' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l bind-try -d 'As --bind, and nothing if there is no SRC' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l ro-bind-try -d 'As --ro-bind, and nothing if there is no SRC' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -s v -l volume -d 'As --bind, or --ro-bind with `:ro`; docker\'s spelling' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l tmpfs -d 'Put an empty private file system at DST' -r -F
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l size -d 'Size of each private file system, /tmp and HOME too' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l symlink -d 'Make a symbolic link at LINK' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l hide -d 'Hide what matches GLOB wherever it was granted, such as `**/*.pem`' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l protect -d 'Make what matches GLOB in the project read-only' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l project -d 'The project directory [default: the git root, else the current directory]' -r -F
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l cache -d 'Keep downloads of a package manager in a cache of the sandbox\'s own, one for each project' -r -f -a "cargo\t'cargo\'s registry and git checkouts'
npm\t'npm\'s cache'
pip\t'pip\'s cache'
go\t'Go\'s modules and build cache'"
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -s w -l chdir -l workdir -d 'Start in DIR [default: the current directory if it is seen inside, else HOME]' -r -F
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -s e -l env -l setenv -d 'Set an environment variable, or pass the caller\'s when there is no `=`; may be given several times' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l env-file -d 'Take variables from FILE: a line `K=V` or `K` each, `#` begins a comment' -r -F
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l unsetenv -d 'Do not pass the variable K' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l hostname -d 'Name of the host inside' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l profile -d 'Use profile NAME, or a file whose path holds a slash; `auto` chooses by the project\'s lock files' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l network -l net -d '`none`, `pasta` to reach out but not the host itself, or `host` to share the host\'s network' -r -f -a "none\t'Nowhere: an own namespace, loopback only'
pasta\t'Out, through pasta(1), but not to the host\'s loopback'
host\t'The host\'s network'"
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l cap-add -d 'Give a capability in the sandbox\'s own user namespace, such as NET_BIND_SERVICE' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l cap-drop -d 'Take a capability away; there are none to begin with' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l security-opt -d '`seccomp=FILE` (OCI syntax), `seccomp=NAME` of a profile, or `no-new-privileges`, which always holds' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l require -d 'Fail unless these promises are kept in full (a list with commas)' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l allow-weaker -d 'Go on when this host cannot keep these promises (a list with commas)' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -s m -l memory -d 'Memory of all processes together, such as 512m or 50%' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l cpus -d 'Processors that may be used, such as 1.5' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l pids-limit -d 'Processes and threads' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l ulimit -d 'A resource limit as in `ulimit`, such as nofile=1024:2048' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l timeout -d 'End the command after this time, with exit status 124: 90, 90s, 10m, 1h' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l name -d 'Name of the container in `rrunc list`' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l report -d 'Write what came of it as JSON to FILE, or to descriptor N as `fd:N`' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l write-bundle -d 'Write the whole OCI bundle to the new directory DIR instead of running it' -r -F
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l json-status-fd -d 'Write bubblewrap\'s status lines to descriptor N' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l info-fd -d 'Write bubblewrap\'s information to descriptor N' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l read-only -d 'Make the project read-only'
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l no-project -l private -d 'Show no project directory at all'
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l clearenv -d 'Pass no variable of the caller\'s but PATH, and set HOME, USER and LOGNAME'
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l as-root -d 'Be uid 0 inside'
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l userns -d 'Let the program make user namespaces of its own, as browsers and container tools do'
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l ssh-agent -d 'Let the program use the caller\'s ssh-agent: it can sign with every key in it'
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l wayland -d 'Show the caller\'s Wayland display'
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l gpu -d 'Show the graphics devices'
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -s q -l quiet -d 'No report on the terminal after the run'
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l explain-profile -d 'Show the policy that profiles and flags come to, each rule with where it is from, and stop'
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l print-config -d 'Show the OCI config.json that would be run, and stop'
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l die-with-parent -d 'End with the process that called rrunc, too; the sandbox always ends with rrunc'
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -s i -l interactive -d 'Accepted for docker\'s users: standard input is always the command\'s'
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -s t -l tty -d 'Fail unless there is a terminal; the command has one of its own whenever the caller has'
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l rm -d 'Accepted for docker\'s users: nothing is ever left'
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l version -d 'Show the version of rrunc and of the OCI runtime specification'
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rrunc -n "__fish_rrunc_using_subcommand profile; and not __fish_seen_subcommand_from ls show check help" -s v -l version -d 'Show the version of rrunc and of the OCI runtime specification'
complete -c rrunc -n "__fish_rrunc_using_subcommand profile; and not __fish_seen_subcommand_from ls show check help" -s h -l help -d 'Print help'
complete -c rrunc -n "__fish_rrunc_using_subcommand profile; and not __fish_seen_subcommand_from ls show check help" -f -a "ls" -d 'List the profiles, those of the user first'
complete -c rrunc -n "__fish_rrunc_using_subcommand profile; and not __fish_seen_subcommand_from ls show check help" -f -a "show" -d 'Print the text of a profile'
complete -c rrunc -n "__fish_rrunc_using_subcommand profile; and not __fish_seen_subcommand_from ls show check help" -f -a "check" -d 'Read a profile and all that it extends, and tell what is wrong with it'
complete -c rrunc -n "__fish_rrunc_using_subcommand profile; and not __fish_seen_subcommand_from ls show check help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c rrunc -n "__fish_rrunc_using_subcommand profile; and __fish_seen_subcommand_from ls" -s v -l version -d 'Show the version of rrunc and of the OCI runtime specification'
complete -c rrunc -n "__fish_rrunc_using_subcommand profile; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help'
complete -c rrunc -n "__fish_rrunc_using_subcommand profile; and __fish_seen_subcommand_from show" -s v -l version -d 'Show the version of rrunc and of the OCI runtime specification'
complete -c rrunc -n "__fish_rrunc_using_subcommand profile; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c rrunc -n "__fish_rrunc_using_subcommand profile; and __fish_seen_subcommand_from check" -s v -l version -d 'Show the version of rrunc and of the OCI runtime specification'
complete -c rrunc -n "__fish_rrunc_using_subcommand profile; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help'
complete -c rrunc -n "__fish_rrunc_using_subcommand profile; and __fish_seen_subcommand_from help" -f -a "ls" -d 'List the profiles, those of the user first'
complete -c rrunc -n "__fish_rrunc_using_subcommand profile; and __fish_seen_subcommand_from help" -f -a "show" -d 'Print the text of a profile'
complete -c rrunc -n "__fish_rrunc_using_subcommand profile; and __fish_seen_subcommand_from help" -f -a "check" -d 'Read a profile and all that it extends, and tell what is wrong with it'
complete -c rrunc -n "__fish_rrunc_using_subcommand profile; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c rrunc -n "__fish_rrunc_using_subcommand trust" -s y -l yes -d 'Trust it without asking'
complete -c rrunc -n "__fish_rrunc_using_subcommand trust" -l forget -d 'Trust it no longer'
complete -c rrunc -n "__fish_rrunc_using_subcommand trust" -s v -l version -d 'Show the version of rrunc and of the OCI runtime specification'
complete -c rrunc -n "__fish_rrunc_using_subcommand trust" -s h -l help -d 'Print help'
complete -c rrunc -n "__fish_rrunc_using_subcommand doctor" -l require -d 'Exit with 1 unless all of these checks, separated by commas, are ok' -r -f -a "kernel-version\t''
user-namespaces\t''
other-namespaces\t''
time-namespaces\t''
subordinate-ids\t''
proc-mount\t''
overlayfs\t''
idmapped-tmpfs\t''
binary-protection\t''
seccomp-filter\t''
seccomp-notify\t''
landlock\t''
security-modules\t''
session-keyring\t''
resource-limits\t''
cgroup-delegation\t''
systemd-user-bus\t''
runtime-directory\t''
pasta\t''"
complete -c rrunc -n "__fish_rrunc_using_subcommand doctor" -l payload -d 'What `--attack` runs inside' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand doctor" -l bait -d 'What it is to look for there' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand doctor" -l json -d 'Print JSON'
complete -c rrunc -n "__fish_rrunc_using_subcommand doctor" -l attack -d 'Attack the promises of `rrunc sandbox` on this machine, and show which hold'
complete -c rrunc -n "__fish_rrunc_using_subcommand doctor" -s v -l version -d 'Show the version of rrunc and of the OCI runtime specification'
complete -c rrunc -n "__fish_rrunc_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c rrunc -n "__fish_rrunc_using_subcommand help; and not __fish_seen_subcommand_from create start run exec state list ps kill pause resume update events delete spec features sandbox profile trust doctor help" -f -a "create" -d 'Set a container up and leave it waiting for `start`'
complete -c rrunc -n "__fish_rrunc_using_subcommand help; and not __fish_seen_subcommand_from create start run exec state list ps kill pause resume update events delete spec features sandbox profile trust doctor help" -f -a "start" -d 'Let the program of a created container run'
complete -c rrunc -n "__fish_rrunc_using_subcommand help; and not __fish_seen_subcommand_from create start run exec state list ps kill pause resume update events delete spec features sandbox profile trust doctor help" -f -a "run" -d 'Create a container, start it, wait for it and delete it'
complete -c rrunc -n "__fish_rrunc_using_subcommand help; and not __fish_seen_subcommand_from create start run exec state list ps kill pause resume update events delete spec features sandbox profile trust doctor help" -f -a "exec" -d 'Run another program inside a container'
complete -c rrunc -n "__fish_rrunc_using_subcommand help; and not __fish_seen_subcommand_from create start run exec state list ps kill pause resume update events delete spec features sandbox profile trust doctor help" -f -a "state" -d 'Show the OCI state of a container as JSON'
complete -c rrunc -n "__fish_rrunc_using_subcommand help; and not __fish_seen_subcommand_from create start run exec state list ps kill pause resume update events delete spec features sandbox profile trust doctor help" -f -a "list" -d 'List the containers of this user'
complete -c rrunc -n "__fish_rrunc_using_subcommand help; and not __fish_seen_subcommand_from create start run exec state list ps kill pause resume update events delete spec features sandbox profile trust doctor help" -f -a "ps" -d 'Show the processes of a container'
complete -c rrunc -n "__fish_rrunc_using_subcommand help; and not __fish_seen_subcommand_from create start run exec state list ps kill pause resume update events delete spec features sandbox profile trust doctor help" -f -a "kill" -d 'Send a signal to a container'
complete -c rrunc -n "__fish_rrunc_using_subcommand help; and not __fish_seen_subcommand_from create start run exec state list ps kill pause resume update events delete spec features sandbox profile trust doctor help" -f -a "pause" -d 'Stop all processes of a container, until `resume`'
complete -c rrunc -n "__fish_rrunc_using_subcommand help; and not __fish_seen_subcommand_from create start run exec state list ps kill pause resume update events delete spec features sandbox profile trust doctor help" -f -a "resume" -d 'Let a paused container go on'
complete -c rrunc -n "__fish_rrunc_using_subcommand help; and not __fish_seen_subcommand_from create start run exec state list ps kill pause resume update events delete spec features sandbox profile trust doctor help" -f -a "update" -d 'Change the limits of a container while it runs'
complete -c rrunc -n "__fish_rrunc_using_subcommand help; and not __fish_seen_subcommand_from create start run exec state list ps kill pause resume update events delete spec features sandbox profile trust doctor help" -f -a "events" -d 'Show what a container uses, and when its memory runs out'
complete -c rrunc -n "__fish_rrunc_using_subcommand help; and not __fish_seen_subcommand_from create start run exec state list ps kill pause resume update events delete spec features sandbox profile trust doctor help" -f -a "delete" -d 'Remove a container that has stopped'
complete -c rrunc -n "__fish_rrunc_using_subcommand help; and not __fish_seen_subcommand_from create start run exec state list ps kill pause resume update events delete spec features sandbox profile trust doctor help" -f -a "spec" -d 'Write a config.json to start a bundle from'
complete -c rrunc -n "__fish_rrunc_using_subcommand help; and not __fish_seen_subcommand_from create start run exec state list ps kill pause resume update events delete spec features sandbox profile trust doctor help" -f -a "features" -d 'Show what this runtime supports, as OCI features JSON'
complete -c rrunc -n "__fish_rrunc_using_subcommand help; and not __fish_seen_subcommand_from create start run exec state list ps kill pause resume update events delete spec features sandbox profile trust doctor help" -f -a "sandbox" -d 'Run a command with the host\'s tools but none of its secrets'
complete -c rrunc -n "__fish_rrunc_using_subcommand help; and not __fish_seen_subcommand_from create start run exec state list ps kill pause resume update events delete spec features sandbox profile trust doctor help" -f -a "profile" -d 'Show and check profiles of the sandbox and of seccomp'
complete -c rrunc -n "__fish_rrunc_using_subcommand help; and not __fish_seen_subcommand_from create start run exec state list ps kill pause resume update events delete spec features sandbox profile trust doctor help" -f -a "trust" -d 'Accept the profile that a project brings along'
complete -c rrunc -n "__fish_rrunc_using_subcommand help; and not __fish_seen_subcommand_from create start run exec state list ps kill pause resume update events delete spec features sandbox profile trust doctor help" -f -a "doctor" -d 'Show what this host offers, and how to mend what it lacks'
complete -c rrunc -n "__fish_rrunc_using_subcommand help; and not __fish_seen_subcommand_from create start run exec state list ps kill pause resume update events delete spec features sandbox profile trust doctor help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c rrunc -n "__fish_rrunc_using_subcommand help; and __fish_seen_subcommand_from profile" -f -a "ls" -d 'List the profiles, those of the user first'
complete -c rrunc -n "__fish_rrunc_using_subcommand help; and __fish_seen_subcommand_from profile" -f -a "show" -d 'Print the text of a profile'
complete -c rrunc -n "__fish_rrunc_using_subcommand help; and __fish_seen_subcommand_from profile" -f -a "check" -d 'Read a profile and all that it extends, and tell what is wrong with it'

# Names that a running rrunc knows.
complete -c rrunc -n "__fish_rrunc_using_subcommand start" -f -n "test (count (string match -v -- '-*' (commandline -opc))) -eq 2" -a "(rrunc list --quiet 2>/dev/null)"
complete -c rrunc -n "__fish_rrunc_using_subcommand exec" -f -n "test (count (string match -v -- '-*' (commandline -opc))) -eq 2" -a "(rrunc list --quiet 2>/dev/null)"
complete -c rrunc -n "__fish_rrunc_using_subcommand state" -f -n "test (count (string match -v -- '-*' (commandline -opc))) -eq 2" -a "(rrunc list --quiet 2>/dev/null)"
complete -c rrunc -n "__fish_rrunc_using_subcommand ps" -f -n "test (count (string match -v -- '-*' (commandline -opc))) -eq 2" -a "(rrunc list --quiet 2>/dev/null)"
complete -c rrunc -n "__fish_rrunc_using_subcommand kill" -f -n "test (count (string match -v -- '-*' (commandline -opc))) -eq 2" -a "(rrunc list --quiet 2>/dev/null)"
complete -c rrunc -n "__fish_rrunc_using_subcommand pause" -f -n "test (count (string match -v -- '-*' (commandline -opc))) -eq 2" -a "(rrunc list --quiet 2>/dev/null)"
complete -c rrunc -n "__fish_rrunc_using_subcommand resume" -f -n "test (count (string match -v -- '-*' (commandline -opc))) -eq 2" -a "(rrunc list --quiet 2>/dev/null)"
complete -c rrunc -n "__fish_rrunc_using_subcommand update" -f -n "test (count (string match -v -- '-*' (commandline -opc))) -eq 2" -a "(rrunc list --quiet 2>/dev/null)"
complete -c rrunc -n "__fish_rrunc_using_subcommand events" -f -n "test (count (string match -v -- '-*' (commandline -opc))) -eq 2" -a "(rrunc list --quiet 2>/dev/null)"
complete -c rrunc -n "__fish_rrunc_using_subcommand delete" -f -n "test (count (string match -v -- '-*' (commandline -opc))) -eq 2" -a "(rrunc list --quiet 2>/dev/null)"
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l profile -r -f -a "(rrunc profile ls 2>/dev/null | tail -n +2 | string split -f1 ' ')"
complete -c rrunc -n "__fish_rrunc_using_subcommand profile; and __fish_seen_subcommand_from show" -f -n "test (count (string match -v -- '-*' (commandline -opc))) -eq 3" -a "(rrunc profile ls 2>/dev/null | tail -n +2 | string split -f1 ' ')"
complete -c rrunc -n "__fish_rrunc_using_subcommand profile; and __fish_seen_subcommand_from check" -f -n "test (count (string match -v -- '-*' (commandline -opc))) -eq 3" -a "(rrunc profile ls 2>/dev/null | tail -n +2 | string split -f1 ' ')"
