# State of a stack under $DIR, its free ports and its processes. Read by tests/stack/stack.
# shellcheck shell=bash

# ---- ports ---------------------------------------------------------------------------------------------------------
# Chosen below the range that the system gives to outgoing connections, so that a part that was killed finds its port
# free again. Each is a file, $DIR/port/NAME. A broker binds its port many seconds after it is chosen: until the stack is
# gone, a link in $PORTS says whose it is. One whose folder is not there any more says nothing.

PORTS=${TMPDIR:-/tmp}/walhouse-ports

port() { cat "$DIR/port/$1"; }

port_is_taken() {
    local hex
    printf -v hex '%04X' "$1"
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -qE "^ *[0-9]+: [0-9A-F]+:$hex " ||
        grep -qxF "$1" "$DIR"/port/* 2>/dev/null
}

take_port() {
    local try candidate lock
    mkdir -p "$PORTS"
    exec {lock}>>"$PORTS/lock"
    flock "$lock"
    for ((try = 0; try < 1000; try++)); do
        candidate=$((20000 + RANDOM % 12000))
        { port_is_taken "$candidate" || [ -e "$PORTS/$candidate" ]; } && continue
        ln -sfn "$DIR" "$PORTS/$candidate"
        echo "$candidate" >"$DIR/port/$1"
        exec {lock}>&-
        return 0
    done
    die "no free port between 20000 and 31999"
}

release_ports() {
    local file link
    for file in "$DIR"/port/*; do
        link=$PORTS/$(<"$file")
        [ "$(readlink "$link")" != "$DIR" ] || rm -f "$link"
    done
}

# ---- processes -----------------------------------------------------------------------------------------------------
# $DIR/pid/PART holds a process id, and in a second line when that process started: ids are used again.

# process_start PID: its start in clock ticks since boot; fails when there is no such process, or only its remains.
process_start() {
    local stat fields
    # Not $(<file): bash may end the shell when the file is not there, whatever follows ||.
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    # The name, in parentheses, may hold anything; what follows is the third field and on.
    read -ra fields <<<"${stat##*) }"
    # A process that went between opening and reading has an empty file.
    [ ${#fields[@]} -gt 19 ] || return 1
    [[ ${fields[0]} != [ZX] ]] && echo "${fields[19]}"
}

pid_of() { head -n 1 "$DIR/pid/$1" 2>/dev/null; }
is_running() {
    local pid start
    pid=$(pid_of "$1") && [ -n "$pid" ] && start=$(process_start "$pid") && [ "$start" = "$(sed -n 2p "$DIR/pid/$1")" ]
}

# launch PART COMMAND...: in a session of its own, outliving this script; output is added to the part's log.
launch() {
    local part=$1
    shift
    WALHOUSE_STACK_DIR=$DIR setsid "$@" </dev/null >>"$DIR/log/$part.log" 2>&1 &
    printf '%s\n%s\n' "$!" "$(process_start "$!")" >"$DIR/pid/$part"
}

# until_true SECONDS COMMAND...: asks ten times a second.
until_true() {
    local deadline=$((${EPOCHREALTIME//[.,]/} + $1 * 1000000))
    shift
    until "$@"; do
        [ "${EPOCHREALTIME//[.,]/}" -lt "$deadline" ] || return 1
        sleep 0.1
    done
}

is_gone() { ! is_running "$1"; }

# signal PART SIGNAL SECONDS: until it is gone; 1 when it stays.
signal() {
    is_running "$1" || return 0
    kill "-$2" "$(pid_of "$1")" 2>/dev/null || true
    until_true "$3" is_gone "$1"
}

stop_process() {
    signal "$1" "${2:-TERM}" "${3:-15}" && return 0
    say "stack: $1 did not stop by itself and was killed"
    signal "$1" KILL 10
}

# ready_or_dead PART COMMAND: true when waiting has an end, one way or the other.
ready_or_dead() { ! is_running "$1" || "$2" >/dev/null 2>&1; }

# start_server PART PORTS SECONDS START CHECK: runs START, waits until CHECK is true. A port that somebody else took
# in between is chosen anew, but only while the stack is being made ($FRESH): later, others know it.
start_server() {
    local part=$1 ports=$2 seconds=$3 start=$4 check=$5 try name from
    for try in 1 2 3; do
        from=$(log_size "$part")
        "$start"
        until_true "$seconds" ready_or_dead "$part" "$check" || true
        is_running "$part" && "$check" >/dev/null 2>&1 && return 0
        tail -c "+$((from + 1))" "$DIR/log/$part.log" | grep -qi 'address already in use' || break
        [ -n "$FRESH" ] || break
        stop_process "$part"
        for name in $ports; do
            rm "$DIR/port/$name"
            take_port "$name"
        done
    done
    say "stack: $part did not start (try $try); the end of $DIR/log/$part.log:"
    tail -n 15 "$DIR/log/$part.log" >&2
    return 1
}

log_size() { stat -c %s "$DIR/log/$1.log" 2>/dev/null || echo 0; }

answers() { curl -sf -m 5 -o "${2:-/dev/null}" "http://127.0.0.1:$1"; }
