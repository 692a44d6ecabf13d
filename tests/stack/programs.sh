# Walhouse's own programs: warehouse, agent, storefront. Read by tests/stack/stack.
# shellcheck shell=bash

# program NAME: from WALHOUSE_BUILD, or the plain build where that one does not have it (a sanitized build has the agent
# and the storefront only).
program() {
    local build
    for build in "$(<"$DIR/build")" "$TREE/build"; do
        [ -x "$build/bin/walhouse-$1" ] || continue
        echo "$build/bin/walhouse-$1"
        return 0
    done
    die "walhouse-$1 is not built: run make"
}
web() {
    local build
    for build in "$(<"$DIR/build")" "$TREE/build"; do
        [ -f "$build/web/$1/index.html" ] || continue
        echo "$build/web/$1"
        return 0
    done
    die "the $1's page is not built: run make"
}

warehouse_launch() {
    launch warehouse "$(program warehouse)" --listen "127.0.0.1:$(port warehouse)" --data "$DIR/warehouse"
}
warehouse_ready() { answers "$(port warehouse)/ping"; }
warehouse_start() { start_server warehouse warehouse 60 warehouse_launch warehouse_ready; }

agent_launch() {
    [ -s "$DIR/replay-token" ] || (umask 077 && cat /proc/sys/kernel/random/uuid >"$DIR/replay-token")
    cat >"$DIR/agent.conf" <<-CONF
		[kafka]
		brokers = $(brokers)
		topic_prefix = shop
		group = walhouse-agent-shop
		[clickhouse]
		url = http://127.0.0.1:$(port warehouse)
		database = shop
		[http]
		listen = 127.0.0.1:$(port agent)
		dashboard = $(web dashboard)
		queries = $TREE/dashboard/queries
		replay_token_file = $DIR/replay-token
	CONF
    launch agent "$(program agent)" --config "$DIR/agent.conf"
}
agent_ready() { answers "$(port agent)/readyz"; }
agent_start() { start_server agent agent 60 agent_launch agent_ready; }

storefront_launch() {
    launch storefront "$(program storefront)" --listen "127.0.0.1:$(port storefront)" --web "$(web storefront)" \
        --database "host=127.0.0.1 port=$(port postgres) user=postgres dbname=shop" \
        --pipeline shop --warehouse "http://127.0.0.1:$(port warehouse)/?database=shop" \
        --dashboard "http://127.0.0.1:$(port agent)/"
}
storefront_ready() { answers "$(port storefront)/healthz"; }
storefront_start() {
    PGOPTIONS='-c client_min_messages=warning' psql -Xq -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$(port postgres)" \
        -U postgres -d shop -f "$TREE/storefront/schema.sql" >>"$DIR/log/storefront.log" 2>&1 </dev/null ||
        die "storefront/schema.sql failed: $(tail -n 3 "$DIR/log/storefront.log")"
    start_server storefront storefront 30 storefront_launch storefront_ready
}
