/* ---- the operator's view ---- */

CREATE FUNCTION _pipeline_tables(
	OUT pipeline text, OUT relation oid, OUT schema_name text, OUT table_name text, OUT inserts bigint, OUT updates bigint,
	OUT deletes bigint, OUT truncates bigint, OUT snapshot_rows bigint, OUT bytes bigint, OUT last_commit_lsn pg_lsn,
	OUT last_commit_time timestamptz, OUT schema_versions int, OUT fingerprint text, OUT replica_identity text,
	OUT key_columns int) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'walhouse_pipeline_tables' LANGUAGE C STRICT;
CREATE FUNCTION _pipeline_errors(
	OUT pipeline text, OUT kind text, OUT error text, OUT times bigint, OUT first_at timestamptz, OUT last_at timestamptz)
	RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'walhouse_pipeline_errors' LANGUAGE C STRICT;
CREATE FUNCTION _wal_time(at pg_lsn) RETURNS timestamptz
	AS 'MODULE_PATHNAME', 'walhouse_wal_time' LANGUAGE C STRICT;

/* How many bytes of WAL a slot may keep before that is said; NULL: any number. It bites before max_slot_wal_keep_size does. */
CREATE FUNCTION _retained_wal_limit() RETURNS bigint LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT least(nullif(pg_size_bytes(current_setting('walhouse.retained_wal_warning')), 0),
		CASE WHEN current_setting('walhouse.retained_wal_warning') <> '0' AND current_setting('max_slot_wal_keep_size') <> '-1'
			THEN pg_size_bytes(current_setting('max_slot_wal_keep_size')) * 4 / 5 END)
$$;

CREATE VIEW status AS
SELECT
	p.name AS pipeline,
	CASE WHEN NOT p.enabled AND coalesce(s.worker_pid, 0) = 0 THEN 'paused' ELSE coalesce(s.state, 'stopped') END AS state,
	s.state_since,
	pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), r.confirmed_flush_lsn)::bigint AS lag_bytes,
	/* 0 while everything that was received is acknowledged; what is not decoded yet shows in lag_bytes. */
	CASE WHEN s.publisher_pid IS NOT NULL AND s.in_flight = 0 AND s.acked_lsn >= s.received_lsn THEN 0
		ELSE greatest(round(extract(epoch FROM pg_catalog.clock_timestamp() - coalesce(s.last_commit_time, p.created_at)), 3), 0)
	END AS lag_seconds,
	w.retained_wal_bytes,
	pg_catalog.date_trunc('second', greatest(pg_catalog.clock_timestamp() - walhouse._wal_time(r.restart_lsn), '0')) AS retained_wal_age,
	r.wal_status,
	r.safe_wal_size,
	CASE
		WHEN w.is_lost AND p.on_slot_loss = 'resync' AND p.enabled AND s.state IS DISTINCT FROM 'slot_lost'
			THEN 'nothing: a new slot is made and every table taken again by itself (on_slot_loss is resync)'
		WHEN w.is_lost AND NOT p.enabled
			THEN format('if this is a restored copy, SELECT walhouse.drop_pipeline(%1$L); if it goes on here, SELECT'
				' walhouse.resync(%1$L); and walhouse.resume(%1$L); to take every table again', p.name)
		WHEN w.is_lost
			THEN format('SELECT walhouse.resync(%L); makes a new slot and takes every table again', p.name)
				|| CASE WHEN r.wal_status = 'lost' THEN '; raise max_slot_wal_keep_size before it' ELSE '' END
		WHEN s.state = 'waiting_for_kafka'
			THEN format('bring the brokers back, or name others: SELECT walhouse.alter_pipeline(%L, brokers => ...);', p.name)
		WHEN w.is_high AND NOT p.enabled
			THEN format('SELECT walhouse.resume(%L); or drop the pipeline: its slot keeps the WAL from where it was paused', p.name)
		WHEN w.is_high
			THEN 'find out what holds the pipeline up (state, last_error, lag_seconds), or a transaction that stays open'
				' (pg_stat_activity, pg_prepared_xacts); watch the disk'
		WHEN s.state IN ('failed', 'restarting') THEN 'see last_error, walhouse.errors and the server''s log'
	END AS what_to_do,
	r.confirmed_flush_lsn,
	s.last_commit_time,
	coalesce(s.events, 0) AS events,
	coalesce(s.event_bytes, 0) AS event_bytes,
	coalesce(s.transactions, 0) AS transactions,
	coalesce(s.schemas, 0) AS schemas,
	coalesce(s.in_flight, 0) AS in_flight,
	coalesce(s.tables_uncounted, 0) AS tables_uncounted,
	coalesce(s.publisher_starts, 0) AS publisher_starts,
	CASE WHEN r.slot_name IS NULL THEN format('replication slot "%s" does not exist in this database', p.slot_name) ELSE s.last_error END AS last_error,
	s.last_error_at,
	s.reported_at,
	s.worker_pid,
	s.publisher_pid,
	p.slot_name,
	p.on_slot_loss,
	p.epoch,
	p.publication,
	p.topic_prefix
FROM walhouse.pipeline p
LEFT JOIN walhouse._pipeline_states() s ON s.name = p.name
/* Another database's slot is not this one's: the pipeline may have come here in a dump. */
LEFT JOIN pg_catalog.pg_replication_slots r ON r.slot_name = p.slot_name AND r.database = pg_catalog.current_database()
CROSS JOIN LATERAL (
	SELECT pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), r.restart_lsn)::bigint AS retained_wal_bytes,
		pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), r.restart_lsn) >= walhouse._retained_wal_limit() AS is_high,
		r.slot_name IS NULL OR r.wal_status = 'lost' OR s.state IN ('slot_lost', 'resyncing') AS is_lost) w;
COMMENT ON VIEW status IS 'how each pipeline is, and what to do about it; counters are since the publisher''s start';

/* A table that is captured and has not changed yet, one that is counted and not published any more: both are shown. */
CREATE VIEW tables AS
SELECT
	g.pipeline,
	coalesce(n.nspname, g.schema_name) AS schema,
	coalesce(k.relname, g.table_name) AS "table",
	coalesce(g.inserts + g.updates + g.deletes + g.truncates + g.snapshot_rows, 0) AS events,
	coalesce(g.inserts, 0) AS inserts,
	coalesce(g.updates, 0) AS updates,
	coalesce(g.deletes, 0) AS deletes,
	coalesce(g.truncates, 0) AS truncates,
	coalesce(g.snapshot_rows, 0) AS snapshot_rows,
	coalesce(g.bytes, 0) AS bytes,
	g.last_commit_lsn,
	g.last_commit_time,
	s.state AS snapshot_state,
	s.reason AS snapshot_reason,
	g.schema_versions,
	g.fingerprint AS schema_fingerprint,
	CASE k.relreplident WHEN 'd' THEN 'default' WHEN 'i' THEN 'index' WHEN 'f' THEN 'full' WHEN 'n' THEN 'nothing' END
		AS replica_identity,
	(SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY u.n)
		FROM unnest(string_to_array(walhouse._table_key(g.relation), ' ')::int2[]) WITH ORDINALITY u(attnum, n)
		JOIN pg_catalog.pg_attribute a ON a.attrelid = g.relation AND a.attnum = u.attnum) AS key
FROM (SELECT coalesce(c.pipeline, t.pipeline) AS pipeline, coalesce(c.relation, t.relation) AS relation, t.schema_name,
		t.table_name, t.inserts, t.updates, t.deletes, t.truncates, t.snapshot_rows, t.bytes, t.last_commit_lsn,
		t.last_commit_time, t.schema_versions, t.fingerprint
	FROM walhouse.captured c
	FULL JOIN walhouse._pipeline_tables() t ON t.pipeline = c.pipeline AND t.relation = c.relation) g
JOIN walhouse.pipeline p ON p.name = g.pipeline
LEFT JOIN pg_catalog.pg_class k ON k.oid = g.relation
LEFT JOIN pg_catalog.pg_namespace n ON n.oid = k.relnamespace
LEFT JOIN LATERAL (
	SELECT o.state, o.reason FROM walhouse.snapshot o
	WHERE o.pipeline = g.pipeline AND o.relation = g.relation AND o.state <> 'cancelled' ORDER BY o.id DESC LIMIT 1) s ON true;
COMMENT ON VIEW tables IS
	'each captured table: what was handed to Kafka since the publisher''s start, its newest snapshot, schema and key (NULL: none, a log)';

CREATE VIEW errors AS
SELECT e.pipeline, e.kind, e.error, e.times, e.first_at, e.last_at FROM walhouse._pipeline_errors() e JOIN walhouse.pipeline p ON p.name = e.pipeline;
COMMENT ON VIEW errors IS 'the last 16 errors of each pipeline since the server''s start';
