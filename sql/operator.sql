-- What an operator sees and changes: alter_pipeline, resync, status, tables, errors. No broker is needed: 127.0.0.1:1 refuses.
\set SHOW_CONTEXT never
CREATE TABLE watched (id int, part text, note text, PRIMARY KEY (part, id));
CREATE TABLE "Log ""x""" (line text);
CREATE PUBLICATION watched FOR TABLE watched, "Log ""x""";
CREATE FUNCTION regress.wait_for_status(condition text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	holds bool;
BEGIN
	FOR i IN 1..300 LOOP
		EXECUTE 'SELECT ' || condition || ' FROM walhouse.status WHERE pipeline = ''op''' INTO holds;
		IF holds THEN
			RETURN 'as expected';
		END IF;
		PERFORM pg_sleep(0.1);
	END LOOP;
	RETURN (SELECT 'not in time: ' || to_jsonb(s)::text FROM walhouse.status s WHERE pipeline = 'op');
END $$;
SELECT walhouse.create_pipeline('op', publication => 'watched', brokers => '127.0.0.1:1', on_slot_loss => 'hope');
SELECT walhouse.create_pipeline('op', publication => 'watched', brokers => '127.0.0.1:1', failover => NULL);
SET client_min_messages = error;
SELECT walhouse.create_pipeline('op', publication => 'watched', brokers => '127.0.0.1:1');
RESET client_min_messages;
-- Where the server has it, the slot follows a failover.
SELECT to_jsonb(s) ->> 'failover' IS NOT DISTINCT FROM
	CASE WHEN current_setting('server_version_num')::int >= 170000 THEN 'true' END AS as_asked
FROM pg_replication_slots s WHERE slot_name = 'walhouse_op';
SELECT regress.wait_for_status('state = ''waiting_for_kafka'' AND last_error IS NOT NULL');
SELECT on_slot_loss, epoch, what_to_do, tables_uncounted, retained_wal_age < '1 hour' AS young FROM walhouse.status;
SELECT schema, "table", events, bytes, last_commit_lsn, snapshot_state, snapshot_reason, replica_identity, key
FROM walhouse.tables ORDER BY 2;
SELECT pipeline, kind, times >= 1 AS counted, first_at <= last_at AS in_order FROM walhouse.errors
WHERE error = (SELECT last_error FROM walhouse.status);

-- Changes are checked as at creation, and take effect by themselves.
SELECT walhouse.alter_pipeline('nobody', brokers => '127.0.0.1:2');
SELECT walhouse.alter_pipeline('op', brokers => 'two words');
SELECT walhouse.alter_pipeline('op', partitions => 0);
SELECT walhouse.alter_pipeline('op', properties_file => 'relative');
SELECT walhouse.alter_pipeline('op', on_slot_loss => 'hope');
SELECT walhouse.alter_pipeline('op', out_of_range => 'bend');
SELECT publisher_pid AS publisher, publisher_starts AS starts FROM walhouse.status \gset
SELECT walhouse.alter_pipeline('op');
SELECT regress.wait_for_status('publisher_pid = ' || :publisher);
SELECT walhouse.alter_pipeline('op', brokers => '127.0.0.1:2', partitions => 7, on_slot_loss => 'resync', out_of_range => 'null');
SELECT regress.wait_for_status('publisher_pid <> ' || :publisher || ' AND publisher_starts = 1 + ' || :starts);
SELECT brokers, partitions, replication_factor, properties_file, on_slot_loss, out_of_range, messages FROM walhouse.pipeline;
SELECT walhouse.alter_pipeline('op', properties_file => '/nowhere/walhouse.properties', on_slot_loss => 'stop');
SELECT regress.wait_for_status('last_error ~ ''could not open properties file "/nowhere/walhouse.properties"''');
SELECT walhouse.alter_pipeline('op', properties_file => '');
SELECT regress.wait_for_status('state = ''waiting_for_kafka''');
SELECT properties_file IS NULL AS none FROM walhouse.pipeline;

-- So does a reload, where a setting says how the publisher is run.
SELECT publisher_pid AS publisher FROM walhouse.status \gset
ALTER SYSTEM SET walhouse.statistics_interval = 7;
SELECT pg_reload_conf();
SELECT regress.wait_for_status('publisher_pid <> ' || :publisher);
ALTER SYSTEM RESET walhouse.statistics_interval;
SELECT pg_reload_conf();
ALTER SYSTEM SET walhouse.publisher_conninfo = 'sslmode=require PassWord = hush';
ALTER SYSTEM SET walhouse.publisher_conninfo = 'sslpassword=hush';
ALTER SYSTEM SET walhouse.publisher_conninfo = 'passfile=/etc/walhouse.pgpass';
ALTER SYSTEM RESET walhouse.publisher_conninfo;

-- A slot that is gone is said, with the way out; nothing is started meanwhile.
SELECT walhouse.pause('op');
SELECT regress.wait_for_status('state = ''paused''');
SELECT pg_drop_replication_slot('walhouse_op');
SELECT what_to_do FROM walhouse.status;
SELECT walhouse.resume('op');
SELECT regress.wait_for_status('state = ''slot_lost''');
SELECT state, last_error, what_to_do FROM walhouse.status;
SELECT kind, error, times FROM walhouse.errors WHERE kind = 'slot';
BEGIN;
SELECT pg_current_xact_id() IS NOT NULL AS wrote;
SELECT walhouse.resync('op');
ROLLBACK;
SELECT walhouse.resync('nobody');
SELECT walhouse.resync('op');
SELECT regress.wait_for_status('state = ''waiting_for_kafka''');
SELECT epoch, base_lsn <= slot_lsn AS base_comes_first, slot_lsn = confirmed_flush_lsn AS slot_is_new,
	created_at IS NOT NULL AS kept
FROM walhouse.pipeline p JOIN pg_replication_slots s USING (slot_name);
SELECT table_name, reason, state, min_xid IS NOT NULL AS stamped FROM walhouse.snapshot WHERE reason = 'resync' ORDER BY 1;
SELECT count(*) FROM walhouse.snapshot WHERE reason = 'initial' AND state <> 'cancelled';
SELECT what_to_do LIKE 'bring the brokers back%' AS about_kafka FROM walhouse.status;

-- WAL that the slot keeps is warned of.
SELECT walhouse._retained_wal_limit();
ALTER SYSTEM SET max_slot_wal_keep_size = '100MB';
SELECT pg_reload_conf();
SELECT pg_sleep(0.2) IS NOT NULL AS a_moment_later;
\c -
SELECT walhouse._retained_wal_limit();
ALTER SYSTEM RESET max_slot_wal_keep_size;
ALTER SYSTEM SET walhouse.retained_wal_warning = 1;
SELECT pg_reload_conf();
SELECT count(pg_logical_emit_message(false, 'noise', repeat('x', 100000))) FROM generate_series(1, 20);
SELECT walhouse.pause('op');
SELECT regress.wait_for_status('what_to_do ~ ''walhouse.resume''');
ALTER SYSTEM RESET walhouse.retained_wal_warning;
SELECT pg_reload_conf();

-- Rights: the views for pg_monitor, nothing else, and nothing for others.
CREATE ROLE walhouse_nobody;
CREATE ROLE walhouse_monitor IN ROLE pg_monitor;
SET ROLE walhouse_monitor;
SELECT count(*) > 0 AS readable FROM walhouse.errors;
SELECT count(*) FROM walhouse.tables;
SELECT count(*) FROM walhouse.status;
SELECT walhouse.alter_pipeline('op', brokers => '127.0.0.1:3');
SELECT walhouse.resync('op');
RESET ROLE;
SET ROLE walhouse_nobody;
SELECT count(*) FROM walhouse.tables;
RESET ROLE;
SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace = 'walhouse'::regnamespace
	AND has_function_privilege('walhouse_nobody', p.oid, 'EXECUTE');
SELECT c.oid::regclass FROM pg_class c WHERE c.relnamespace = 'walhouse'::regnamespace AND c.relkind IN ('r', 'v')
	AND has_table_privilege('walhouse_nobody', c.oid, 'SELECT');
SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'walhouse'::regnamespace AND c.relkind IN ('r', 'v')
	AND has_table_privilege('walhouse_monitor', c.oid, 'SELECT') ORDER BY 1;
DROP ROLE walhouse_nobody, walhouse_monitor;
SELECT walhouse.drop_pipeline('op');
SELECT count(*) FROM walhouse.errors;
DROP PUBLICATION watched;
DROP TABLE watched, "Log ""x""";
DROP FUNCTION regress.wait_for_status;
