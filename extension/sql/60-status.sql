/* ---- status ---- */

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
	pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), r.restart_lsn)::bigint AS retained_wal_bytes,
	r.wal_status,
	r.confirmed_flush_lsn,
	s.last_commit_time,
	coalesce(s.events, 0) AS events,
	coalesce(s.event_bytes, 0) AS event_bytes,
	coalesce(s.transactions, 0) AS transactions,
	coalesce(s.schemas, 0) AS schemas,
	coalesce(s.in_flight, 0) AS in_flight,
	coalesce(s.publisher_starts, 0) AS publisher_starts,
	CASE WHEN r.slot_name IS NULL THEN format('replication slot %s does not exist', p.slot_name) ELSE s.last_error END AS last_error,
	s.last_error_at,
	s.reported_at,
	s.worker_pid,
	s.publisher_pid,
	p.slot_name,
	p.publication,
	p.topic_prefix
FROM walhouse.pipeline p
LEFT JOIN walhouse._pipeline_states() s ON s.name = p.name
LEFT JOIN pg_catalog.pg_replication_slots r ON r.slot_name = p.slot_name;
COMMENT ON VIEW status IS 'how each pipeline is; counters are since the publisher''s start';

