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

SELECT walhouse.drop_pipeline('p');
DROP PUBLICATION shop;
DROP TABLE item, untouched, log;
DROP SCHEMA snap CASCADE;
RESET client_min_messages;
