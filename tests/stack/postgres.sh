# Postgres with the extension, the pipeline, its worker and its publisher. Read by tests/stack/stack.
# shellcheck shell=bash

PG_CONFIG=${PG_CONFIG:-/usr/lib/postgresql/$PG_MAJOR/bin/pg_config}

# Postgres refuses to run as root.
AS_POSTGRES=()
[ "$(id -u)" != 0 ] || AS_POSTGRES=(setpriv --reuid postgres --regid postgres --init-groups)

postgres_check() {
    [ -x "$PG_CONFIG" ] || die "no Postgres at $PG_CONFIG: run make setup, or set PG_CONFIG"
    PG_BIN=$("$PG_CONFIG" --bindir)
    { [ -f "$("$PG_CONFIG" --sharedir)/extension/walhouse.control" ] && [ -x "$PG_BIN/walhouse-publisher" ]; } ||
        die "the extension is not installed in this Postgres: run make install-extension"
}

# Whoever listens there may not be Postgres.
export PGCONNECT_TIMEOUT=5
sql() { psql -XqAt -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$(port postgres)" -U postgres -d "${SQL_DATABASE:-shop}" -c "$1"; }

# A socket's path is limited to 107 bytes, and a stack's DIR may be long.
postgres_socket_dir() {
    local dir=$DIR/postgres/socket
    if [ ${#dir} -gt 80 ]; then
        dir=$(mktemp -d /tmp/walhouse-socket.XXXXXX)
    else
        mkdir -p "$dir"
    fi
    [ "$(id -u)" != 0 ] || chown postgres: "$dir"
    echo "$dir" >"$DIR/postgres/socket-dir"
}

# The installed publisher runs, but for another build its own: copied, as the server's user may not enter the tree, and
# with the sanitizers' settings, which the server does not hand on.
publisher_of_build() {
    install -m 755 "$1" "$DIR/postgres/walhouse-publisher"
    cat >"$DIR/postgres/publisher" <<-SCRIPT
		#!/bin/sh
		export ASAN_OPTIONS='${ASAN_OPTIONS-}' UBSAN_OPTIONS='${UBSAN_OPTIONS-}'
		exec '$DIR/postgres/walhouse-publisher' "\$@"
	SCRIPT
    chmod 755 "$DIR/postgres/publisher"
    echo "walhouse.publisher_path = '$DIR/postgres/publisher'"
}

postgres_create() {
    local data=$DIR/postgres/data
    mkdir -p "$data"
    if [ "$(id -u)" = 0 ]; then
        chown postgres: "$data"
        "${AS_POSTGRES[@]}" test -w "$data" || die "the user postgres cannot reach $DIR: choose a folder that others may enter"
    fi
    postgres_socket_dir
    "${AS_POSTGRES[@]}" "$PG_BIN/initdb" -D "$data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync --no-instructions \
        >"$DIR/log/initdb.log" 2>&1 || die "initdb failed: $(tail -n 3 "$DIR/log/initdb.log")"
    cat >>"$data/postgresql.conf" <<-CONF
		listen_addresses = '127.0.0.1'
		unix_socket_directories = '$(<"$DIR/postgres/socket-dir")'
		wal_level = logical
		shared_preload_libraries = 'walhouse'
		walhouse.database = 'shop'
		max_connections = 100
		max_wal_size = 2GB
		log_line_prefix = '%m [%p] '
	CONF
    if [ "$(<"$DIR/build")" != "$TREE/build" ] && [ -x "$(<"$DIR/build")/bin/walhouse-publisher" ]; then
        publisher_of_build "$(<"$DIR/build")/bin/walhouse-publisher" >>"$data/postgresql.conf"
    fi
    # Only newer minor releases have this setting, and they must list the plugin.
    if "${AS_POSTGRES[@]}" "$PG_BIN/postgres" -D "$data" -C output_plugin_libraries >/dev/null 2>&1; then
        echo "output_plugin_libraries = 'pgoutput, test_decoding, walhouse'" >>"$data/postgresql.conf"
    fi
    # Before the first start, so that the extension's launcher finds its database.
    "${AS_POSTGRES[@]}" "$PG_BIN/postgres" --single -D "$data" -c shared_preload_libraries= postgres \
        <<<'CREATE DATABASE shop' >"$DIR/log/initdb.log" 2>&1 || die "no database: $(tail -n 3 "$DIR/log/initdb.log")"
}

# POSTGRES_WRAPPER: words that go before the server's program (tests/valgrind/run).
postgres_launch() {
    local wrapper
    read -ra wrapper <<<"${POSTGRES_WRAPPER-}"
    launch postgres "${AS_POSTGRES[@]}" "${wrapper[@]}" "$PG_BIN/postgres" -D "$DIR/postgres/data" -p "$(port postgres)"
}
postgres_ready() { sql 'SELECT 1'; }
postgres_start() { start_server postgres postgres 60 postgres_launch postgres_ready; }

# Fast shutdown; what it wrote to Kafka is confirmed or comes again.
postgres_stop() { stop_process postgres INT 30; }

# Kills the postmaster alone: its children see that and leave, and only then can it be started again. Nor while its own
# remains wait to be collected by its parent, for its lock file names it.
postgres_kill() {
    local pid children
    pid=$(pid_of postgres)
    children=$(pgrep -P "$pid" || true)
    signal postgres KILL 10
    until_true 20 all_gone "$children" || die "children of the killed postmaster did not leave: $children"
    until_true 20 is_collected "$pid" || die "the killed postmaster ($pid) is not collected by its parent process"
}
is_collected() { ! kill -0 "$1" 2>/dev/null; }
all_gone() {
    local pid
    for pid in $1; do
        process_start "$pid" >/dev/null && return 1
    done
    return 0
}

pipeline_create() {
    sql "CREATE EXTENSION walhouse"
    sql "CREATE PUBLICATION shop FOR ALL TABLES"
    sql "SELECT walhouse.create_pipeline('shop', publication => 'shop', brokers => '$(brokers)', topic_prefix => 'shop',
        partitions => $(<"$DIR/partitions"), replication_factor => $(kafka_replication))" >/dev/null
}

# The pipeline's processes, as its status shows them: worker or publisher.
pipeline_pid() { sql "SELECT coalesce($1_pid, 0) FROM walhouse.status WHERE pipeline = 'shop'"; }
pipeline_runs() {
    local pid
    pid=$(pipeline_pid "$1" 2>/dev/null) && [ "${pid:-0}" -gt 0 ] && process_start "$pid" >/dev/null
}
pipeline_streams() { [ "$(sql "SELECT state FROM walhouse.status WHERE pipeline = 'shop'" 2>/dev/null)" = streaming ]; }
pipeline_kill() {
    local pid
    pid=$(pipeline_pid "$1")
    [ "${pid:-0}" -gt 0 ] || die "the $1 is not running"
    kill -KILL "$pid"
    until_true 10 all_gone "$pid"
}
