-- Pipelines from SQL: what is checked, and that nothing is left behind. No broker is needed: 127.0.0.1:1 refuses.
\set SHOW_CONTEXT never
CREATE TABLE captured (id int PRIMARY KEY);
CREATE TABLE keyless (message text);
CREATE PUBLICATION plain FOR TABLE captured;
CREATE PUBLICATION filtered FOR TABLE captured WHERE (id > 5);
CREATE TABLE all_of_it (message text);
ALTER TABLE all_of_it REPLICA IDENTITY FULL;
CREATE PUBLICATION unsayable FOR TABLE captured, all_of_it;
CREATE PUBLICATION inserts FOR TABLE all_of_it WITH (publish = 'insert');
CREATE TABLE whole (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE whole_2024 PARTITION OF whole FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE whole_2025 PARTITION OF whole FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE UNIQUE INDEX whole_2025_at ON whole_2025 (at);
CREATE PUBLICATION rooted FOR TABLE whole WITH (publish_via_partition_root = true);
CREATE PUBLICATION listed FOR TABLE whole (at), captured (id) WITH (publish = 'insert', publish_via_partition_root = true);
CREATE PUBLICATION with_log FOR TABLE captured, keyless;

SELECT walhouse.create_pipeline('Bad Name', publication => 'plain', brokers => '127.0.0.1:1');
SELECT walhouse.create_pipeline('p', publication => 'nowhere', brokers => '127.0.0.1:1');
SELECT walhouse.create_pipeline('p', publication => 'plain', brokers => 'two words');
SELECT walhouse.create_pipeline('p', publication => 'plain', brokers => '127.0.0.1:1', topic_prefix => 'ä');
SELECT walhouse.create_pipeline('p', publication => 'plain', brokers => '127.0.0.1:1', partitions => 0);
SELECT walhouse.create_pipeline('p', publication => 'plain', brokers => '127.0.0.1:1', replication_factor => 11);
SELECT walhouse.create_pipeline('p', publication => 'plain', brokers => '127.0.0.1:1', properties_file => 'relative');
SELECT walhouse.create_pipeline('p', publication => 'plain', brokers => '127.0.0.1:1', out_of_range => 'bend');
-- What cannot be said is refused, with the way out; what can be said only in part is said to be.
SELECT walhouse.create_pipeline('p', publication => 'unsayable', brokers => '127.0.0.1:1');
ALTER TABLE whole_2025 REPLICA IDENTITY USING INDEX whole_2025_at;
SELECT walhouse.create_pipeline('p', publication => 'rooted', brokers => '127.0.0.1:1');
ALTER TABLE whole_2025 REPLICA IDENTITY FULL;
SELECT walhouse._check_publication('rooted');
SELECT walhouse._check_publication('filtered');
SELECT walhouse._check_publication('inserts');
SELECT walhouse._check_publication('listed');
ALTER TABLE captured REPLICA IDENTITY NOTHING;
SELECT walhouse._check_publication('plain');
UPDATE keyless SET message = NULL;
ALTER TABLE captured REPLICA IDENTITY DEFAULT;
BEGIN;
INSERT INTO captured VALUES (1);
SELECT walhouse.create_pipeline('p', publication => 'plain', brokers => '127.0.0.1:1');
ROLLBACK;
-- None of these left a slot. One that a create_pipeline() rolled back left is replaced; any other is not touched.
SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'walhouse_p';
SELECT slot_name FROM pg_create_logical_replication_slot('walhouse_p', 'test_decoding');
SELECT walhouse.create_pipeline('p', publication => 'plain', brokers => '127.0.0.1:1');
SELECT pg_drop_replication_slot('walhouse_p');
BEGIN;
SELECT walhouse.create_pipeline('p', publication => 'plain', brokers => '127.0.0.1:1');
ROLLBACK;
SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'walhouse_p';
SELECT walhouse.create_pipeline('p', publication => 'with_log', brokers => '127.0.0.1:1');
SELECT walhouse.create_pipeline('p', publication => 'plain', brokers => '127.0.0.1:1');
SELECT slot_name, plugin, database = current_database() AS here FROM pg_replication_slots WHERE slot_name = 'walhouse_p';
SELECT name, publication, slot_name, brokers, topic_prefix, partitions, replication_factor, enabled, epoch,
	system_identifier = (SELECT system_identifier::text FROM pg_control_system()) AS this_server FROM walhouse.pipeline;

-- The worker and its publisher come up by themselves.
CREATE FUNCTION regress.wait_for(condition text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	holds bool;
BEGIN
	FOR i IN 1..300 LOOP
		EXECUTE 'SELECT ' || condition || ' FROM walhouse.status WHERE pipeline = ''p''' INTO holds;
		IF holds THEN
			RETURN 'as expected';
		END IF;
		PERFORM pg_sleep(0.1);
	END LOOP;
	RETURN (SELECT 'not in time: ' || to_jsonb(s)::text FROM walhouse.status s WHERE pipeline = 'p');
END $$;
SELECT regress.wait_for('publisher_pid IS NOT NULL AND state = ''waiting_for_kafka''');
SELECT regress.wait_for('last_error IS NOT NULL AND lag_bytes >= 0 AND retained_wal_bytes >= 0');

SELECT walhouse.pause('p');
SELECT regress.wait_for('state = ''paused''');
SELECT walhouse.resume('p');
SELECT regress.wait_for('publisher_pid IS NOT NULL');
SELECT walhouse.pause('q');
SELECT walhouse.resume('q');
SELECT walhouse.drop_pipeline('q');

-- Rights: nothing for others, status for pg_monitor.
CREATE ROLE walhouse_nobody;
CREATE ROLE walhouse_monitor IN ROLE pg_monitor;
SET ROLE walhouse_nobody;
SELECT count(*) FROM walhouse.status;
SELECT walhouse.pause('p');
RESET ROLE;
SET ROLE walhouse_monitor;
SELECT count(*) FROM walhouse.status;
SELECT count(*) FROM walhouse.pipeline;
SELECT walhouse.drop_pipeline('p');
RESET ROLE;
GRANT USAGE ON SCHEMA walhouse TO walhouse_nobody;
GRANT EXECUTE ON FUNCTION walhouse.pause(text), walhouse._set_enabled(text, boolean), walhouse._require_superuser() TO walhouse_nobody;
SET ROLE walhouse_nobody;
SELECT walhouse.pause('p');
RESET ROLE;
DROP OWNED BY walhouse_nobody, walhouse_monitor;
DROP ROLE walhouse_nobody, walhouse_monitor;

SELECT walhouse.drop_pipeline('p');
SELECT count(*) FROM walhouse.status;
SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'walhouse_p';
DROP PUBLICATION plain, filtered, unsayable, inserts, rooted, listed, with_log;
DROP TABLE captured, keyless, all_of_it, whole;
DROP FUNCTION regress.wait_for;
