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
complete -c rrunc -n "__fish_rrunc_needs_command" -l debug -d 'Log what is being done, step by step'
complete -c rrunc -n "__fish_rrunc_needs_command" -l systemd-cgroup -d 'Accepted for runc\'s callers, without effect yet: containers stay in the caller\'s cgroup'
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
complete -c rrunc -n "__fish_rrunc_needs_command" -f -a "delete" -d 'Remove a container that has stopped'
complete -c rrunc -n "__fish_rrunc_needs_command" -f -a "spec" -d 'Write a config.json to start a bundle from'
complete -c rrunc -n "__fish_rrunc_needs_command" -f -a "features" -d 'Show what this runtime supports, as OCI features JSON'
complete -c rrunc -n "__fish_rrunc_needs_command" -f -a "sandbox" -d 'Run a command with the host\'s tools but none of its secrets'
complete -c rrunc -n "__fish_rrunc_needs_command" -f -a "profile" -d 'Show the profiles that come with rrunc'
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
complete -c rrunc -n "__fish_rrunc_using_subcommand exec" -l cgroup -d 'Run in a cgroup below the container\'s; refused as long as containers have none of their own' -r
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
complete -c rrunc -n "__fish_rrunc_using_subcommand delete" -s f -l force -d 'End the container first; a container that does not exist is no error'
complete -c rrunc -n "__fish_rrunc_using_subcommand delete" -s v -l version -d 'Show the version of rrunc and of the OCI runtime specification'
complete -c rrunc -n "__fish_rrunc_using_subcommand delete" -s h -l help -d 'Print help'
complete -c rrunc -n "__fish_rrunc_using_subcommand spec" -s b -l bundle -d 'Directory to write config.json to' -r -F
complete -c rrunc -n "__fish_rrunc_using_subcommand spec" -l rootless -d 'Accepted for runc\'s callers: the file is always a rootless one'
complete -c rrunc -n "__fish_rrunc_using_subcommand spec" -s v -l version -d 'Show the version of rrunc and of the OCI runtime specification'
complete -c rrunc -n "__fish_rrunc_using_subcommand spec" -s h -l help -d 'Print help'
complete -c rrunc -n "__fish_rrunc_using_subcommand features" -s v -l version -d 'Show the version of rrunc and of the OCI runtime specification'
complete -c rrunc -n "__fish_rrunc_using_subcommand features" -s h -l help -d 'Print help'
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l network -d '`none`, or `host` to share the host\'s network' -r -f -a "none\t'An empty network namespace, loopback only'
host\t'The host\'s network'"
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l bind -d 'Make SRC of the host writable in the sandbox, at DST if given' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l ro-bind -d 'Make SRC of the host readable in the sandbox, at DST if given' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l project -d 'The project directory [default: the git root, else the current directory]' -r -F
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -s e -l env -d 'Set an environment variable, or pass the caller\'s when there is no `=`; may be given several times' -r
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l write-bundle -d 'Write the whole OCI bundle to the new directory DIR instead of running it' -r -F
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l print-config -d 'Show the OCI config.json that would be run, and stop'
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l no-project -d 'Show no project directory at all'
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -l as-root -d 'Be uid 0 inside'
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -s v -l version -d 'Show the version of rrunc and of the OCI runtime specification'
complete -c rrunc -n "__fish_rrunc_using_subcommand sandbox" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rrunc -n "__fish_rrunc_using_subcommand profile" -s v -l version -d 'Show the version of rrunc and of the OCI runtime specification'
complete -c rrunc -n "__fish_rrunc_using_subcommand profile" -s h -l help -d 'Print help (see more with \'--help\')'
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
complete -c rrunc -n "__fish_rrunc_using_subcommand help; and not __fish_seen_subcommand_from create start run exec state list ps kill delete spec features sandbox profile doctor help" -f -a "create" -d 'Set a container up and leave it waiting for `start`'
complete -c rrunc -n "__fish_rrunc_using_subcommand help; and not __fish_seen_subcommand_from create start run exec state list ps kill delete spec features sandbox profile doctor help" -f -a "start" -d 'Let the program of a created container run'
complete -c rrunc -n "__fish_rrunc_using_subcommand help; and not __fish_seen_subcommand_from create start run exec state list ps kill delete spec features sandbox profile doctor help" -f -a "run" -d 'Create a container, start it, wait for it and delete it'
complete -c rrunc -n "__fish_rrunc_using_subcommand help; and not __fish_seen_subcommand_from create start run exec state list ps kill delete spec features sandbox profile doctor help" -f -a "exec" -d 'Run another program inside a container'
complete -c rrunc -n "__fish_rrunc_using_subcommand help; and not __fish_seen_subcommand_from create start run exec state list ps kill delete spec features sandbox profile doctor help" -f -a "state" -d 'Show the OCI state of a container as JSON'
complete -c rrunc -n "__fish_rrunc_using_subcommand help; and not __fish_seen_subcommand_from create start run exec state list ps kill delete spec features sandbox profile doctor help" -f -a "list" -d 'List the containers of this user'
complete -c rrunc -n "__fish_rrunc_using_subcommand help; and not __fish_seen_subcommand_from create start run exec state list ps kill delete spec features sandbox profile doctor help" -f -a "ps" -d 'Show the processes of a container'
complete -c rrunc -n "__fish_rrunc_using_subcommand help; and not __fish_seen_subcommand_from create start run exec state list ps kill delete spec features sandbox profile doctor help" -f -a "kill" -d 'Send a signal to a container'
complete -c rrunc -n "__fish_rrunc_using_subcommand help; and not __fish_seen_subcommand_from create start run exec state list ps kill delete spec features sandbox profile doctor help" -f -a "delete" -d 'Remove a container that has stopped'
complete -c rrunc -n "__fish_rrunc_using_subcommand help; and not __fish_seen_subcommand_from create start run exec state list ps kill delete spec features sandbox profile doctor help" -f -a "spec" -d 'Write a config.json to start a bundle from'
complete -c rrunc -n "__fish_rrunc_using_subcommand help; and not __fish_seen_subcommand_from create start run exec state list ps kill delete spec features sandbox profile doctor help" -f -a "features" -d 'Show what this runtime supports, as OCI features JSON'
complete -c rrunc -n "__fish_rrunc_using_subcommand help; and not __fish_seen_subcommand_from create start run exec state list ps kill delete spec features sandbox profile doctor help" -f -a "sandbox" -d 'Run a command with the host\'s tools but none of its secrets'
complete -c rrunc -n "__fish_rrunc_using_subcommand help; and not __fish_seen_subcommand_from create start run exec state list ps kill delete spec features sandbox profile doctor help" -f -a "profile" -d 'Show the profiles that come with rrunc'
complete -c rrunc -n "__fish_rrunc_using_subcommand help; and not __fish_seen_subcommand_from create start run exec state list ps kill delete spec features sandbox profile doctor help" -f -a "doctor" -d 'Show what this host offers, and how to mend what it lacks'
complete -c rrunc -n "__fish_rrunc_using_subcommand help; and not __fish_seen_subcommand_from create start run exec state list ps kill delete spec features sandbox profile doctor help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
