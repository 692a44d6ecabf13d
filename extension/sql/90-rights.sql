/* ---- rights ---- */

REVOKE ALL ON ALL TABLES IN SCHEMA walhouse FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA walhouse FROM PUBLIC;
GRANT USAGE ON SCHEMA walhouse TO pg_monitor;
GRANT SELECT ON status, tables, errors, snapshot_status, requests TO pg_monitor;
GRANT EXECUTE ON FUNCTION _pipeline_states(), _pipeline_tables(), _pipeline_errors(), _wal_time(pg_lsn), _retained_wal_limit(),
	_table_key(oid) TO pg_monitor;
