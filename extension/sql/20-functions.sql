/* ---- for people ---- */

CREATE FUNCTION decode(data bytea) RETURNS SETOF jsonb
	AS 'MODULE_PATHNAME', 'walhouse_decode' LANGUAGE C STRICT VOLATILE;
COMMENT ON FUNCTION decode(bytea) IS 'what the output plugin walhouse wrote, one jsonb a record';

/* ---- inner functions ---- */

CREATE FUNCTION _create_slot(slot_name name, failover boolean, OUT base_lsn pg_lsn, OUT slot_lsn pg_lsn) RETURNS record
	AS 'MODULE_PATHNAME', 'walhouse_create_slot' LANGUAGE C STRICT;
CREATE FUNCTION _drop_slot(slot_name name) RETURNS void
	AS 'MODULE_PATHNAME', 'walhouse_drop_slot' LANGUAGE C STRICT;
CREATE FUNCTION _server_identity(OUT system_identifier text, OUT timeline int) RETURNS record
	AS 'MODULE_PATHNAME', 'walhouse_server_identity' LANGUAGE C STRICT;
CREATE FUNCTION _stop_worker(name text) RETURNS void
	AS 'MODULE_PATHNAME', 'walhouse_stop_worker' LANGUAGE C STRICT;
CREATE FUNCTION _hold_worker(name text) RETURNS void
	AS 'MODULE_PATHNAME', 'walhouse_hold_worker' LANGUAGE C STRICT;
CREATE FUNCTION _announce_change() RETURNS void
	AS 'MODULE_PATHNAME', 'walhouse_announce_change' LANGUAGE C STRICT;
CREATE FUNCTION _wake_launcher() RETURNS void
	AS 'MODULE_PATHNAME', 'walhouse_wake_launcher' LANGUAGE C STRICT;
CREATE FUNCTION _pipeline_states(
	OUT name text, OUT state text, OUT worker_pid int, OUT publisher_pid int, OUT publisher_starts bigint,
	OUT reported_at timestamptz, OUT state_since timestamptz, OUT received_lsn pg_lsn, OUT acked_lsn pg_lsn,
	OUT last_commit_time timestamptz, OUT events bigint, OUT event_bytes bigint, OUT transactions bigint,
	OUT schemas bigint, OUT in_flight bigint, OUT last_error text, OUT last_error_at timestamptz,
	OUT tables_uncounted bigint) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'walhouse_pipeline_states' LANGUAGE C STRICT;

