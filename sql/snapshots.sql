-- Snapshots: which are requested, and the chunks that are read for them. No broker is needed: the publisher is paused.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE TABLE item (id int PRIMARY KEY, name text NOT NULL, price numeric(10,2));
INSERT INTO item SELECT g, 'item ' || g, g * 1.5 FROM generate_series(1, 5) g;
CREATE TABLE untouched (id int PRIMARY KEY);
CREATE PUBLICATION shop FOR TABLE item, untouched;
SELECT walhouse.create_pipeline('p', publication => 'shop', brokers => '127.0.0.1:1', snapshot => 'sometimes');
SELECT walhouse.create_pipeline('p', publication => 'shop', brokers => '127.0.0.1:1');
SELECT walhouse.pause('p');

CREATE SCHEMA snap;
-- The open work, as the publisher sees it, with the table's name.
CREATE FUNCTION snap.work() RETURNS TABLE (relation text, reason text, state text, keyed bool, last_key text[], rows_done bigint,
	part text, condition text) LANGUAGE plpgsql AS $$
DECLARE
	w record;
BEGIN
	FOR w IN SELECT * FROM walhouse._snapshot_work('p') LOOP
		RETURN QUERY SELECT s.relation::regclass::text, s.reason, s.state, w.keyed, w.last_key, w.rows_done, s.part::regclass::text,
			s.condition FROM walhouse.snapshot s WHERE s.id = w.id;
	END LOOP;
END $$;
-- The newest open request for a table.
CREATE FUNCTION snap.request(relation regclass) RETURNS bigint LANGUAGE sql AS $$
	SELECT max(id) FROM walhouse.snapshot WHERE snapshot.relation = $1 AND state IN ('waiting', 'running')
$$;
-- All of a table's rows as chunks give them, each asked for after the one before it.
CREATE FUNCTION snap.read(relation regclass, max_rows int DEFAULT 1000, max_bytes int DEFAULT 1000000)
	RETURNS TABLE (chunk int, status text, rows int, last_key text[], d jsonb) LANGUAGE plpgsql AS $$
DECLARE
	id bigint := snap.request(relation);
	c record;
	n int := 0;
	after text[];
BEGIN
	LOOP
		n := n + 1;
		SELECT * INTO c FROM walhouse._snapshot_chunk(id, after, max_rows, max_bytes);
		RETURN QUERY SELECT n, c.status, c.rows, c.last_key,
			e - '{fingerprint,relation_oid,commit_lsn,commit_time}'::text[]
			FROM (SELECT 1) one LEFT JOIN LATERAL walhouse.decode(c.data) e ON e->>'record' <> 'schema';
		EXIT WHEN c.status <> 'more';
		after := c.last_key;
	END LOOP;
END $$;

SELECT * FROM snap.work();
SELECT * FROM snap.read('item', 2);
SELECT * FROM snap.read('untouched');

-- Progress, the sweep below the lowest floor, the end.
SELECT walhouse._snapshot_progress(snap.request('item'), '{4}', 4, '0/1000');
SELECT walhouse._snapshot_progress(snap.request('item'), '{5}', 1, '0/2000');
SELECT * FROM snap.work();
SELECT d - '{fingerprint,relation_oid,commit_time}'::text[]
FROM walhouse.decode(walhouse._snapshot_sweep(snap.request('item'))) d WHERE d->>'record' <> 'schema';
SELECT walhouse._snapshot_end(snap.request('item'));
SELECT walhouse._snapshot_end(snap.request('untouched'), 'broken');
SELECT table_name, state, rows_done, estimated_rows IS NOT NULL AS estimated, floor_lsn, error FROM walhouse.snapshot ORDER BY id;

-- A table without a key is read in one transaction, in physical order, from where the call before ended.
CREATE TABLE log (message text);
INSERT INTO log SELECT repeat('x', 1000) || g FROM generate_series(1, 30) g;
ALTER PUBLICATION shop ADD TABLE log;
SELECT * FROM snap.work();
CREATE FUNCTION snap.scan(relation regclass, max_bytes int) RETURNS TABLE (call int, status text, rows int, first text, last text,
	ordinals int8range) LANGUAGE plpgsql AS $$
DECLARE
	c record;
	n int := 0;
	place bigint := 0;
	ordinal bigint := 1;
BEGIN
	LOOP
		n := n + 1;
		SELECT * INTO c FROM walhouse._snapshot_scan(snap.request(relation), place, max_bytes, '0/30', ordinal);
		RETURN QUERY SELECT n, c.status, c.rows, (array_agg(d->'row'->>'message' ORDER BY o))[1],
			(array_agg(d->'row'->>'message' ORDER BY o DESC))[1], int8range(min(o), max(o), '[]')
			FROM walhouse.decode(c.data) d, LATERAL (SELECT (d->>'ordinal')::bigint) o(o) WHERE d->>'record' = 'snapshot';
		EXIT WHEN c.status <> 'more';
		place := c.next_block;
		ordinal := ordinal + c.rows;
	END LOOP;
END $$;
SELECT * FROM snap.scan('log', 10000);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT call, status, rows, ltrim(first, 'x') AS first, ltrim(last, 'x') AS last, ordinals FROM snap.scan('log', 12000);
COMMIT;
SELECT walhouse._snapshot_progress(snap.request('log'), NULL, 30, '0/30');
SELECT d - '{fingerprint,relation_oid,commit_time}'::text[]
FROM walhouse.decode(walhouse._snapshot_sweep(snap.request('log'))) d WHERE d->>'record' <> 'schema';
-- Begun again with another snapshot, it counts from the start.
SELECT walhouse._snapshot_progress(snap.request('log'), NULL, 20, '0/40');
SELECT * FROM snap.work();

SELECT walhouse._snapshot_end(snap.request('log'));

-- What a request is refused for.
SELECT walhouse.snapshot('nowhere', 'item');
CREATE TABLE private (id int PRIMARY KEY);
SELECT walhouse.snapshot('p', 'private');
SELECT walhouse.snapshot('p', 'item', "where" => 'id');
SELECT walhouse.snapshot('p', 'item', "where" => 'no_column > 5');
SELECT walhouse.snapshot('p', 'item', "where" => 'id >');
SELECT walhouse.snapshot('p', 'item', "where" => 'id > 1 ORDER BY id');
SELECT walhouse.snapshot('p', 'item', "where" => 'count(*) > 1');
SELECT walhouse.snapshot('p', 'log', "where" => 'true');
SELECT walhouse.cancel_snapshot(0);

-- A part of a table, in the words of whoever asks; the same request twice is one.
CREATE SCHEMA kinds;
CREATE TYPE kinds.mood AS ENUM ('calm', 'busy');
CREATE TABLE day (id int PRIMARY KEY, mood kinds.mood NOT NULL);
INSERT INTO day SELECT g, (ARRAY['calm', 'busy'])[1 + g % 2]::kinds.mood FROM generate_series(1, 6) g;
ALTER PUBLICATION shop ADD TABLE day;
SELECT * FROM snap.work();
SELECT walhouse._snapshot_end(snap.request('day'));
SET search_path = public, kinds;
SELECT walhouse.snapshot('p', 'day', "where" => 'mood = ''busy''::mood AND day.id <> ALL (SELECT id FROM item WHERE item.id = day.id AND id = 3)') =
	walhouse.snapshot('p', 'day', "where" => 'mood = ''busy''::mood AND day.id <> ALL (SELECT id FROM item WHERE item.id = day.id AND id = 3)') AS merged;
RESET search_path;
SELECT relation, reason, condition FROM snap.work() WHERE relation = 'day';
SELECT status, rows, last_key, d->'row' AS row FROM snap.read('day', 1);
SELECT walhouse._snapshot_sweep(snap.request('day')) IS NULL AS nothing_to_sweep;
SELECT walhouse.cancel_snapshot(snap.request('day'));
SELECT "table", reason, state, rows_done, percent, condition, waits_for, error FROM walhouse.snapshot_status WHERE "table" = 'day' ORDER BY id;

-- A request is not served before every older transaction has ended: this one may have been decoded before the table was published.
CREATE TABLE late (id int PRIMARY KEY);
BEGIN;
INSERT INTO late VALUES (1);
PREPARE TRANSACTION 'older';
ALTER PUBLICATION shop ADD TABLE late;
SELECT relation, reason FROM snap.work() WHERE relation = 'late';
SELECT status, rows FROM snap.read('late');
SELECT state, waits_for LIKE 'transactions older than %' AS waits FROM walhouse.snapshot_status WHERE "table" = 'late';
COMMIT PREPARED 'older';
SELECT status, rows, d->'row' AS row FROM snap.read('late');
-- A younger one does not hold it up: the floor stays below what it may do.
SELECT pg_current_wal_insert_lsn() AS before \gset
BEGIN;
INSERT INTO late VALUES (2);
PREPARE TRANSACTION 'younger';
INSERT INTO late VALUES (3);
SELECT c.status, c.rows, c.floor_lsn >= s.min_lsn AS reaches_stamp, c.floor_lsn <= :'before' AS below_younger
FROM walhouse.snapshot s, LATERAL walhouse._snapshot_chunk(s.id, NULL, 10, 10000) c WHERE s.id = snap.request('late');
COMMIT PREPARED 'younger';
SELECT c.status, c.rows, c.floor_lsn > :'before' AS newest
FROM walhouse.snapshot s, LATERAL walhouse._snapshot_chunk(s.id, NULL, 10, 10000) c WHERE s.id = snap.request('late');
-- What leaves the server is durable, whatever the commits were.
SET synchronous_commit = off;
INSERT INTO late VALUES (4);
SELECT pg_current_wal_insert_lsn() AS written \gset
SELECT c.rows, pg_current_wal_flush_lsn() >= :'written' AS rows_durable, pg_current_wal_flush_lsn() >= c.floor_lsn AS floor_durable
FROM walhouse.snapshot s, LATERAL walhouse._snapshot_chunk(s.id, NULL, 10, 10000) c WHERE s.id = snap.request('late');
RESET synchronous_commit;
-- Nobody's lock is waited for.
BEGIN;
LOCK TABLE late IN ACCESS EXCLUSIVE MODE;
PREPARE TRANSACTION 'locker';
SELECT status, rows FROM snap.read('late');
ROLLBACK PREPARED 'locker';
-- Rows that are not committed are not read.
BEGIN;
INSERT INTO late VALUES (5);
SELECT status FROM snap.read('late');
ROLLBACK;
SELECT walhouse._snapshot_end(snap.request('late'));

-- What DDL does: which requests it leaves, before anybody looks. Each is ended, so that the next is alone.
CREATE FUNCTION snap.news() RETURNS TABLE (relation text, reason text, part text) LANGUAGE plpgsql AS $$
DECLARE
	r record;
BEGIN
	FOR r IN SELECT * FROM walhouse.snapshot s WHERE s.state = 'waiting' ORDER BY s.id LOOP
		RETURN QUERY SELECT r.relation::regclass::text, r.reason, r.part::regclass::text;
		PERFORM walhouse._snapshot_end(r.id);
	END LOOP;
	-- The publisher, who looks for what was missed, finds nothing.
	IF EXISTS (SELECT FROM walhouse._snapshot_work('p')) THEN
		RAISE 'there was more';
	END IF;
END $$;
CREATE FUNCTION snap.is_captured(relation regclass) RETURNS bool LANGUAGE sql AS $$
	SELECT EXISTS (SELECT FROM walhouse.captured c WHERE c.relation = is_captured.relation)
$$;
SELECT * FROM snap.news();
-- Joins, leaves, and joins again.
CREATE TABLE member (id int PRIMARY KEY, n int, note text);
SELECT snap.is_captured('member');
ALTER PUBLICATION shop ADD TABLE member;
SELECT *, snap.is_captured('member') FROM snap.news();
ALTER PUBLICATION shop DROP TABLE member;
SELECT snap.is_captured('member');
ALTER PUBLICATION shop ADD TABLE member;
SELECT * FROM snap.news();
-- Rewritten, or filled with a default: no event tells.
ALTER TABLE member ADD COLUMN a int;
ALTER TABLE member ADD COLUMN b int DEFAULT 5;
SELECT * FROM snap.news();
ALTER TABLE member ADD COLUMN c float DEFAULT random(), ALTER n TYPE text USING n || '!';
SELECT * FROM snap.news();
VACUUM FULL member;
CLUSTER member USING member_pkey;
REINDEX TABLE member;
TRUNCATE member;
ALTER TABLE member DROP COLUMN c;
ALTER TABLE member RENAME COLUMN a TO aa;
ALTER TABLE member RENAME TO fellow;
ALTER TABLE fellow REPLICA IDENTITY FULL;
ALTER TABLE fellow ALTER note SET DEFAULT 'x', ALTER note SET STORAGE EXTERNAL;
SELECT * FROM snap.news();
-- Another key.
ALTER TABLE fellow DROP CONSTRAINT member_pkey;
SELECT * FROM snap.news();
ALTER TABLE fellow ADD PRIMARY KEY (n, id);
SELECT * FROM snap.news();
CREATE UNIQUE INDEX fellow_id ON fellow (id);
ALTER TABLE fellow REPLICA IDENTITY USING INDEX fellow_id;
SELECT * FROM snap.news();
-- A numeric that was a Decimal and becomes text, without a rewrite; in a key also another Decimal.
ALTER TABLE fellow ADD amount numeric(10, 2);
ALTER TABLE fellow ALTER amount TYPE numeric(12, 2);
SELECT * FROM snap.news();
ALTER TABLE fellow ALTER amount TYPE numeric;
SELECT * FROM snap.news();
ALTER TABLE fellow ALTER amount TYPE numeric(12, 2), ALTER amount SET NOT NULL;
SELECT * FROM snap.news();
CREATE UNIQUE INDEX fellow_amount ON fellow (amount);
SELECT * FROM snap.news();
ALTER TABLE fellow REPLICA IDENTITY USING INDEX fellow_amount;
SELECT * FROM snap.news();
ALTER TABLE fellow ALTER amount TYPE numeric(14, 2);
SELECT * FROM snap.news();
ALTER TABLE fellow REPLICA IDENTITY USING INDEX fellow_id;
ALTER TABLE fellow DROP amount;
SELECT * FROM snap.news();
-- An enum's label renamed, also in an array or under a domain; one that is added changes no row.
CREATE DOMAIN temper AS kinds.mood;
CREATE TABLE diary (id int PRIMARY KEY, moods kinds.mood[], temper temper);
ALTER PUBLICATION shop ADD TABLE diary;
SELECT * FROM snap.news();
ALTER TYPE kinds.mood ADD VALUE 'bored';
ALTER TYPE kinds.mood SET SCHEMA public;
ALTER TYPE mood SET SCHEMA kinds;
SELECT * FROM snap.news();
ALTER TYPE kinds.mood RENAME VALUE 'busy' TO 'active';
SELECT * FROM snap.news();
ALTER TABLE diary DROP COLUMN moods, DROP COLUMN temper;
SELECT * FROM snap.news();
DROP TABLE diary;
DROP DOMAIN temper;
-- In one transaction with other things: one request. Rolled back: none.
BEGIN;
ALTER TABLE fellow REPLICA IDENTITY DEFAULT;
ALTER TABLE fellow ALTER b TYPE bigint;
ALTER TABLE fellow ALTER b TYPE int;
COMMIT;
SELECT * FROM snap.news();
BEGIN;
ALTER TABLE fellow ALTER b TYPE bigint;
ROLLBACK;
SELECT * FROM snap.news();
-- Dropped and made again under its name, it is another table.
DROP TABLE fellow;
CREATE TABLE fellow (id int PRIMARY KEY);
SELECT *, snap.is_captured('fellow') FROM snap.news();
DROP TABLE fellow;

-- Tables that appear where everything, or a schema, is published: what they are made with is in the stream.
SELECT count(*) FROM pg_replication_slot_advance('regress', pg_current_wal_lsn());
CREATE SCHEMA open;
CREATE TABLE moving (id int PRIMARY KEY);
ALTER PUBLICATION shop ADD TABLES IN SCHEMA open;
SELECT * FROM snap.news();
CREATE TABLE open.made (id int PRIMARY KEY);
CREATE TABLE open.copied AS SELECT g FROM generate_series(1, 3) g;
SELECT g INTO open.selected FROM generate_series(1, 3) g;
CREATE TEMPORARY TABLE passing (id int PRIMARY KEY);
CREATE UNLOGGED TABLE open.light (id int PRIMARY KEY);
ALTER TABLE open.light SET LOGGED;
CREATE VIEW open.seen AS SELECT 1 AS one;
SELECT relation::regclass, key FROM walhouse.captured WHERE relation::regclass::text LIKE 'open.%' ORDER BY relation;
SELECT * FROM snap.news();
SELECT d->>'record' AS record, d->'row' AS row FROM regress.changes('shop') d WHERE d->>'schema' = 'open';
ALTER TABLE moving SET SCHEMA open;
SELECT * FROM snap.news();
ALTER TABLE open.moving SET SCHEMA public;
ALTER TABLE moving SET SCHEMA open;
SELECT * FROM snap.news();
DROP SCHEMA open CASCADE;
SELECT count(*) FROM snap.news();
DROP TABLE passing;

-- A later request for all of a table stands for the earlier ones, also for one that runs; that of a part does not.
CREATE TABLE again (id int PRIMARY KEY, n int);
ALTER PUBLICATION shop ADD TABLE again;
SELECT count(*) FROM walhouse._snapshot_work('p');
SELECT walhouse._snapshot_progress(snap.request('again'), '{1}', 1, '0/50');
SELECT walhouse.snapshot('p', 'again', "where" => 'id > 5') > 0 AS requested;
SELECT reason, state, condition FROM snap.work() WHERE relation = 'again';
ALTER TABLE again ALTER n TYPE text;
SELECT reason, state, condition FROM snap.work() WHERE relation = 'again';
SELECT reason, state, error FROM walhouse.snapshot_status WHERE "table" = 'again' ORDER BY id;
-- What Kafka acknowledged of one that is over changes nothing.
SELECT walhouse._snapshot_progress(min(id), '{9}', 9, '0/10') FROM walhouse.snapshot WHERE table_name = 'again';
SELECT last_key, rows_done FROM walhouse.snapshot WHERE table_name = 'again' ORDER BY id LIMIT 1;
-- The table is dropped under its snapshot.
SELECT snap.request('again') AS request \gset
DROP TABLE again;
SELECT status, data, rows FROM walhouse._snapshot_chunk(:request, NULL, 10, 1000);
SELECT count(*) FROM walhouse._snapshot_work('p');
SELECT "table", state, error FROM walhouse.snapshot_status WHERE id = :request;
SELECT status, rows FROM walhouse._snapshot_chunk(:request, NULL, 10, 1000);
-- A publication that is dropped takes all its tables along; made again it brings them back.
CREATE PUBLICATION kept FOR TABLE item;
ALTER PUBLICATION shop RENAME TO gone;
SELECT count(*) FROM walhouse._snapshot_work('p');
SELECT count(*) FROM walhouse.captured WHERE pipeline = 'p';
ALTER PUBLICATION gone RENAME TO shop;
SELECT relation, reason FROM snap.news() WHERE relation IN ('item', 'log') ORDER BY relation;
DROP PUBLICATION kept;
-- Of what is over, the last five of a table are kept.
SELECT count(*) FROM (SELECT walhouse._snapshot_end(walhouse._request_snapshot('p', 'item'::regclass, 'requested', n::text || ' = id'))
	FROM generate_series(1, 9) n) x;
SELECT count(*), count(*) FILTER (WHERE condition ~ '^[5-9] = id$') AS last_ones FROM walhouse.snapshot WHERE table_name = 'item';

-- Rights: nothing for others, the status for pg_monitor; rows are hidden from nobody who reads for the publisher.
CREATE ROLE snap_monitor IN ROLE pg_monitor;
SET ROLE snap_monitor;
SELECT count(*) > 0 AS seen FROM walhouse.snapshot_status;
SELECT count(*) FROM walhouse.snapshot;
SELECT walhouse.snapshot('p', 'item');
SELECT walhouse._snapshot_chunk(1, NULL, 1, 1);
RESET ROLE;
GRANT SELECT ON item TO snap_monitor;
GRANT CREATE ON SCHEMA public TO snap_monitor;
SET ROLE snap_monitor;
CREATE TABLE theirs (id int PRIMARY KEY);
ALTER TABLE theirs ADD COLUMN more int DEFAULT 5;
RESET ROLE;
ALTER TABLE item ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY nobody ON item USING (false);
SELECT walhouse.snapshot('p', 'item') > 0 AS requested;
SELECT count(*) FROM walhouse._snapshot_work('p');
SELECT status, count(*) FROM snap.read('item') GROUP BY status;
SELECT * FROM snap.news();
DROP POLICY nobody ON item;
ALTER TABLE item DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY;
DROP TABLE theirs;
DROP OWNED BY snap_monitor;
DROP ROLE snap_monitor;

-- Two pipelines hear of it, paused or not; and it fails nobody's command.
CREATE PUBLICATION other FOR TABLE item;
SELECT walhouse.create_pipeline('q', publication => 'other', brokers => '127.0.0.1:1', snapshot => 'never');
SELECT walhouse.pause('q');
SELECT pipeline, relation::regclass FROM walhouse.captured WHERE pipeline = 'q';
SELECT count(*) FROM walhouse.snapshot WHERE pipeline = 'q';
ALTER TABLE item ALTER price TYPE numeric(20,3);
SELECT pipeline, table_name, reason FROM walhouse.snapshot WHERE state = 'waiting' ORDER BY id;
ALTER TABLE walhouse.snapshot ADD CONSTRAINT broken CHECK (reason <> 'rewritten') NOT VALID;
SET client_min_messages = notice;
\set VERBOSITY terse
ALTER TABLE item ALTER price TYPE numeric(10,2);
\set VERBOSITY default
SET client_min_messages = warning;
ALTER TABLE walhouse.snapshot DROP CONSTRAINT broken;
SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'item'::regclass AND attname = 'price';
SELECT walhouse.drop_pipeline('q');
SELECT count(*) FROM walhouse.snapshot WHERE pipeline = 'q';
SELECT * FROM snap.news();

-- Partitions published as their root: one table, read as such; a partition of it alone, where only that joined.
CREATE TABLE event (id int, at date, note text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE event_2024 PARTITION OF event FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE event_2025 (gone int, note text, at date NOT NULL, id int NOT NULL, PRIMARY KEY (id, at));
ALTER TABLE event_2025 DROP gone;
ALTER TABLE event ATTACH PARTITION event_2025 FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
INSERT INTO event SELECT g, '2024-06-01'::date + g * 100, 'note ' || g FROM generate_series(1, 5) g;
CREATE TABLE jotted (note text, at date) PARTITION BY RANGE (at);
CREATE TABLE jotted_2024 PARTITION OF jotted FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE jotted_2025 PARTITION OF jotted FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
INSERT INTO jotted SELECT 'jot ' || g, '2024-06-01'::date + g * 100 FROM generate_series(1, 5) g;
CREATE PUBLICATION rooted FOR TABLE event, jotted WITH (publish_via_partition_root = true);
SELECT walhouse.create_pipeline('r', publication => 'rooted', brokers => '127.0.0.1:1');
SELECT walhouse.pause('r');
SELECT c.relation::regclass, c.key, ARRAY(SELECT u::regclass::text FROM unnest(c.parts) u) AS parts, s.keyed
FROM walhouse.captured c JOIN walhouse.snapshot s USING (pipeline, relation) WHERE c.pipeline = 'r' ORDER BY c.relation;
SELECT chunk, status, last_key, d->>'table' AS table, d->'row' AS row FROM snap.read('event', 2);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT * FROM snap.scan('jotted', 40);
COMMIT;
CREATE FUNCTION snap.root_news() RETURNS TABLE (relation text, reason text, part text) LANGUAGE plpgsql AS $$
DECLARE
	r record;
BEGIN
	FOR r IN SELECT * FROM walhouse.snapshot s WHERE s.pipeline = 'r' AND s.state = 'waiting' ORDER BY s.id LOOP
		RETURN QUERY SELECT r.relation::regclass::text, r.reason, r.part::regclass::text;
		PERFORM walhouse._snapshot_end(r.id);
	END LOOP;
	IF EXISTS (SELECT FROM walhouse._snapshot_work('r')) THEN
		RAISE 'there was more';
	END IF;
END $$;
SELECT * FROM snap.root_news();
CREATE TABLE event_2026 PARTITION OF event FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
SELECT * FROM snap.root_news();
CREATE TABLE event_2027 (LIKE event INCLUDING ALL);
INSERT INTO event_2027 VALUES (9, '2027-05-05', 'attached');
ALTER TABLE event ATTACH PARTITION event_2027 FOR VALUES FROM ('2027-01-01') TO ('2028-01-01');
SELECT relation::regclass, part::regclass, reason, state FROM walhouse.snapshot WHERE part IS NOT NULL;
SELECT count(*) FROM walhouse._snapshot_work('r');
SELECT chunk, status, last_key, d->>'table' AS table, d->'row' AS row FROM snap.read('event');
SELECT walhouse._snapshot_sweep(snap.request('event')) IS NULL AS nothing_to_sweep;
SELECT * FROM snap.root_news();
SELECT walhouse.snapshot('r', 'event_2025') > 0 AS requested;
SELECT * FROM snap.root_news();
-- Without a key all is read again; a part alone cannot be asked for.
CREATE TABLE jotted_2026 (LIKE jotted INCLUDING ALL);
ALTER TABLE jotted ATTACH PARTITION jotted_2026 FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
SELECT * FROM snap.root_news();
SELECT walhouse.snapshot('r', 'jotted_2025');
-- A rewrite of all partitions is one request; DETACH asks for nothing.
ALTER TABLE event ALTER note TYPE bytea USING note::bytea;
SELECT * FROM snap.root_news();
ALTER TABLE event ADD COLUMN more int DEFAULT 7;
SELECT * FROM snap.root_news();
ALTER TABLE event DETACH PARTITION event_2024;
SELECT * FROM snap.root_news();
-- Published as themselves, the partitions are tables that join, and the root leaves.
ALTER PUBLICATION rooted SET (publish_via_partition_root = false);
SELECT * FROM snap.root_news();
SELECT relation::regclass FROM walhouse.captured WHERE pipeline = 'r' AND relation = 'event'::regclass;

-- Row filters and column lists: what they leave, and another filter or list asks for all of it again.
CREATE TABLE wide (id int PRIMARY KEY, region text, secret text);
INSERT INTO wide SELECT g, CASE WHEN g % 3 = 0 THEN 'eu' WHEN g % 3 = 1 THEN 'us' END, 'secret ' || g FROM generate_series(1, 9) g;
ALTER PUBLICATION rooted ADD TABLE wide WHERE (id < 8);
SELECT count(*) FROM walhouse._snapshot_work('r');
SELECT status, rows, last_key, d->'row' AS row FROM snap.read('wide', 4);
SELECT * FROM snap.root_news();
ALTER PUBLICATION rooted SET TABLE wide (id, region) WHERE (id < 8);
SELECT count(*) FROM walhouse._snapshot_work('r');
SELECT status, rows, last_key, d->'row' AS row FROM snap.read('wide', 4);
SELECT * FROM snap.root_news();
ALTER PUBLICATION rooted SET TABLE wide (id, region) WHERE (id < 9);
SELECT * FROM snap.root_news();
ALTER PUBLICATION rooted SET TABLE wide (region);
SELECT keyed FROM walhouse.snapshot WHERE id = snap.request('wide');
SELECT * FROM snap.root_news();
ALTER PUBLICATION rooted SET TABLE wide (region, id) WHERE (id > 0);
SELECT * FROM snap.root_news();
-- A condition that no index serves is looked at row by row, and goes on where it stopped; one that an index serves is looked up.
INSERT INTO wide SELECT g, 'none' FROM generate_series(10, 20000) g;
UPDATE wide SET region = 'rare' WHERE id IN (19000, 19500);
SELECT count(*) FROM pg_replication_slot_advance('regress', pg_current_wal_lsn());
CREATE FUNCTION snap.is_rare(id int, region text) RETURNS bool LANGUAGE plpgsql COST 10000
	AS $$ BEGIN RETURN region = 'rare' OR id % 500 = 0 AND pg_sleep(0.03)::text <> ''; END $$;
SELECT walhouse.snapshot('r', 'wide', "where" => 'snap.is_rare(id, region)') > 0 AS requested;
SELECT count(*) FROM walhouse._snapshot_work('r');
SELECT max(chunk) > 1 AS several_chunks, bool_or(status = 'more' AND rows = 0 AND last_key IS NOT NULL) AS goes_on_after_nothing,
	array_agg(d->'row'->'id') FILTER (WHERE d IS NOT NULL) AS found FROM snap.read('wide');
SELECT * FROM snap.root_news();
SELECT walhouse.snapshot('r', 'wide', "where" => 'id IN (5, 19000)') > 0 AS requested;
SELECT count(*) FROM walhouse._snapshot_work('r');
SELECT chunk, status, rows, d->'row' AS row FROM snap.read('wide');
SELECT walhouse.drop_pipeline('r');

SELECT walhouse.drop_pipeline('p');
DROP PUBLICATION shop, other, rooted;
DROP TABLE item, untouched, log, private, day, late, event, event_2024, jotted, wide;
DROP SCHEMA snap, kinds CASCADE;
RESET client_min_messages;
