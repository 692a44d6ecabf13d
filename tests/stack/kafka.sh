# Kafka brokers kafka1, kafka2, ..., each also a controller (KRaft). Read by tests/stack/stack.
# shellcheck shell=bash

kafka_count() { cat "$DIR/brokers"; }
kafka_parts() { seq -f 'kafka%g' "$(kafka_count)"; }
kafka_replication() { local n; n=$(kafka_count); echo "$((n < 3 ? n : 3))"; }
brokers() {
    local part list=''
    for part in $(kafka_parts); do list+=,127.0.0.1:$(port "$part"); done
    echo "${list#,}"
}
kafka_voters() {
    local i list=''
    for ((i = 1; i <= $(kafka_count); i++)); do list+=,$i@127.0.0.1:$(port "kafka$i-controller"); done
    echo "${list#,}"
}

kafka_check() {
    KAFKA_LIBS=$WALHOUSE_CACHE/kafka-$KAFKA_VERSION
    [ -d "$KAFKA_LIBS" ] || die "no Kafka in $WALHOUSE_CACHE: run make setup"
    KAFKA_JAVA=(java -XX:+UseSerialGC -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$KAFKA_LIBS/*")
}

# kafka_configure PART: written at each start, as ports may have changed since.
kafka_configure() {
    local part=$1 replication
    replication=$(kafka_replication)
    mkdir -p "$DIR/$part"
    cat >"$DIR/$part/server.properties" <<-CONF
		process.roles=broker,controller
		node.id=${part#kafka}
		controller.quorum.voters=$(kafka_voters)
		listeners=PLAINTEXT://127.0.0.1:$(port "$part"),CONTROLLER://127.0.0.1:$(port "$part-controller")
		advertised.listeners=PLAINTEXT://127.0.0.1:$(port "$part")
		controller.listener.names=CONTROLLER
		listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
		inter.broker.listener.name=PLAINTEXT
		log.dirs=$DIR/$part/data
		auto.create.topics.enable=false
		default.replication.factor=$replication
		min.insync.replicas=$((replication < 3 ? 1 : 2))
		offsets.topic.num.partitions=4
		offsets.topic.replication.factor=$replication
		transaction.state.log.num.partitions=4
		transaction.state.log.replication.factor=$replication
		transaction.state.log.min.isr=1
		group.initial.rebalance.delay.ms=0
		# A killed broker may come back only when the controllers have given up its former self.
		broker.heartbeat.interval.ms=500
		broker.session.timeout.ms=3000
	CONF
}

kafka_launch() {
    local part=$KAFKA_PART
    kafka_configure "$part"
    if [ ! -f "$DIR/$part/data/meta.properties" ]; then
        "${KAFKA_JAVA[@]}" kafka.tools.StorageTool format -t "$(<"$DIR/cluster-id")" -c "$DIR/$part/server.properties" \
            >>"$DIR/log/$part.log" 2>&1 ||
            die "could not format $part: $(tail -n 3 "$DIR/log/$part.log")"
    fi
    launch "$part" "${KAFKA_JAVA[@]}" -Xms128m -Xmx512m kafka.Kafka "$DIR/$part/server.properties"
}

# It answers, and it has joined the cluster.
kafka_ready() {
    kcat -b "127.0.0.1:$(port "$KAFKA_PART")" -L -m 2 2>/dev/null | grep -q "broker ${KAFKA_PART#kafka} at "
}

kafka_start() {
    local KAFKA_PART=$1
    # The others of a cluster know this one's ports already.
    # shellcheck disable=SC2034 # read by start_server
    [ "$(kafka_count)" = 1 ] || FRESH=''
    start_server "$1" "$1 $1-controller" 60 kafka_launch kafka_ready
}

# The last controllers of a cluster wait for a majority that is gone, so patience is short.
kafka_stop() { signal "$1" TERM "$(($(kafka_count) == 1 ? 15 : 4))" || signal "$1" KILL 10; }
