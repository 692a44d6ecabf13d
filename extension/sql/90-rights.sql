/* ---- rights ---- */

REVOKE ALL ON ALL TABLES IN SCHEMA walhouse FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA walhouse FROM PUBLIC;
GRANT USAGE ON SCHEMA walhouse TO pg_monitor;
GRANT SELECT ON status, snapshot_status TO pg_monitor;
GRANT EXECUTE ON FUNCTION _pipeline_states() TO pg_monitor;
