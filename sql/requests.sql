-- What an agent asks for: which snapshots it becomes, and which rows they read. No broker is needed: the publisher is paused.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET timezone = 'Europe/Berlin';
SET datestyle = 'German, DMY';
CREATE SCHEMA ask;
CREATE TYPE ask.mood AS ENUM ('calm', 'busy');
CREATE TABLE item (id int PRIMARY KEY, name text NOT NULL);
INSERT INTO item SELECT g, 'item ' || g FROM generate_series(1, 2000) g;
CREATE TABLE "Odd ""name""" (label text, id uuid, amount numeric(12, 2), at timestamptz, note text, PRIMARY KEY (label, id, amount, at));
INSERT INTO "Odd ""name""" VALUES
	($$O'Brien \ "x"$$, '0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9', -12.5, '2026-01-01 00:00:00.123456Z', 'wanted'),
	('other', '0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9', 1, '2026-01-01 00:00:00.123456Z', 'wanted, too'),
	('other', '0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9', 2, '2026-01-01 00:00:00.123456Z', 'not wanted');
CREATE TABLE kinds (a bytea, b pg_lsn, c "char", d interval, e ask.mood, f bool, g date, h float8, i varchar(10), note text,
	PRIMARY KEY (a, b, c, d, e, f, g, h, i));
INSERT INTO kinds VALUES ('\x00ff27', '16/B374D848', 'Q', '26:03:04', 'busy', true, '1969-12-29', 0.1, 'it''s', 'never so'),
	('\x00ff27', '16/B374D848', 'q', '1 day 02:03:04', 'busy', true, '1969-12-29', 0.1, 'it''s', 'wanted');
CREATE TABLE tagged (tags text[] PRIMARY KEY);
INSERT INTO tagged VALUES ('{a}');
CREATE TABLE log (line text);
CREATE TABLE private (id int PRIMARY KEY);
CREATE PUBLICATION shop FOR TABLE item, "Odd ""name""", kinds, tagged, log;
SELECT walhouse.create_pipeline('p', publication => 'shop', brokers => '127.0.0.1:1', snapshot => 'never');
SELECT walhouse.pause('p');

-- The publisher hands in texts, with the place where the last call ended.
CREATE FUNCTION ask.ask(VARIADIC texts text[]) RETURNS TABLE (refused bool, news text) LANGUAGE sql AS $$
	SELECT t.* FROM walhouse._request_position('p') p,
		walhouse._take_requests('p', p, p + cardinality(texts), ARRAY(SELECT convert_to(x, 'UTF8') FROM unnest(texts) x)) t
$$;
-- The open work, and what it reads.
CREATE FUNCTION ask.work() RETURNS TABLE ("table" text, reason text, keys bool, stamped bool) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM walhouse._snapshot_work('p');
	RETURN QUERY SELECT s.relation::regclass::text, s.reason, s.condition IS NOT NULL, s.min_xid IS NOT NULL FROM walhouse.snapshot s
	WHERE s.state IN ('waiting', 'running') ORDER BY s.id;
END $$;
CREATE FUNCTION ask.open(relation regclass) RETURNS bigint LANGUAGE sql AS $$
	SELECT min(id) FROM walhouse.snapshot WHERE snapshot.relation = $1 AND state IN ('waiting', 'running')
$$;
CREATE FUNCTION ask.read(relation regclass) RETURNS TABLE (status text, "row" jsonb) LANGUAGE sql AS $$
	SELECT c.status, d->'row' FROM walhouse._snapshot_chunk(ask.open(relation), NULL, 100, 100000) c, walhouse.decode(c.data) d
	WHERE d->>'record' = 'snapshot'
$$;

-- All of a table, once: what waits or is done above the LSN is enough.
SELECT * FROM ask.ask('{"kind": "snapshot", "schema": "public", "table": "item", "reason": "the agent lost it", "after": "0/1"}');
SELECT * FROM ask.ask('{"kind": "snapshot", "schema": "public", "table": "item", "reason": "again", "after": "FFFFFFFF/FFFFFFFF"}');
SELECT * FROM ask.work();
SELECT * FROM ask.ask('{"kind": "snapshot", "schema": "public", "table": "item", "reason": "before its stamp", "after": "0/1"}');
-- What came after its stamp needs another one, which waits for it, and stands for all that come meanwhile.
SELECT pg_logical_emit_message(false, 'ask', 'moves the WAL on') IS NOT NULL AS moved;
SELECT * FROM ask.ask('{"kind": "snapshot", "schema": "public", "table": "item", "after": "FFFFFFFF/FFFFFFFF"}');
SELECT * FROM ask.ask('{"kind": "snapshot", "schema": "public", "table": "item"}');
SELECT * FROM ask.work();
SELECT walhouse._snapshot_end(ask.open('item'));
SELECT * FROM ask.work();
SELECT walhouse._snapshot_end(ask.open('item'));
SELECT * FROM ask.ask('{"kind": "snapshot", "schema": "public", "table": "item", "after": "0/1"}');
SELECT * FROM ask.work();
-- A stamp at a commit's own position does not cover that commit.
SELECT refused, news FROM (SELECT max(min_lsn) AS stamp FROM walhouse.snapshot) s,
	ask.ask(format('{"kind": "snapshot", "schema": "public", "table": "item", "after": "%s"}', stamp - 1), format('{"kind": "snapshot", "schema": "public", "table": "item", "after": "%s"}', stamp));
SELECT walhouse._snapshot_end(ask.open('item'));
-- One that failed or was cancelled is not enough.
SELECT walhouse._snapshot_end(walhouse.snapshot('p', 'log'), 'broken');
SELECT * FROM ask.ask('{"kind": "snapshot", "schema": "public", "table": "log", "after": "0/1"}');
SELECT walhouse.cancel_snapshot(ask.open('log'));
SELECT * FROM ask.ask('{"kind": "snapshot", "schema": "public", "table": "log", "after": "0/1"}');
SELECT walhouse._snapshot_end(ask.open('log'));

-- Rows, by key; those that wait are one request, however often they are asked for.
SELECT * FROM ask.ask('{"kind": "rows", "schema": "public", "table": "item", "key": ["1 Int32"], "keys": ["03000000", "05000000"]}',
	'{"kind": "rows", "schema": "public", "table": "item", "keys": ["05000000", "07000000", "ffffff7f"], "reason": "two\nlines"}');
SELECT * FROM ask.work();
SELECT * FROM ask.read('item');
SELECT condition FROM walhouse.snapshot WHERE id = ask.open('item');
SELECT * FROM ask.ask('{"kind": "rows", "schema": "public", "table": "item", "keys": ["09000000"]}');
SELECT * FROM ask.ask('{"kind": "rows", "schema": "public", "table": "item", "keys": ["08000000", "09000000"]}');
SELECT * FROM ask.work();
SELECT rows_waiting FROM walhouse.requests;
SELECT walhouse._snapshot_end(ask.open('item'));
SELECT * FROM ask.work();
SELECT * FROM ask.read('item');
SELECT walhouse._snapshot_end(ask.open('item'));
-- Five hundred at a time.
SELECT ask.ask(VARIADIC array_agg(format('{"kind": "rows", "relation": %s, "keys": [%s]}', 'item'::regclass::oid, k)))
FROM (SELECT string_agg('"' || lpad(to_hex(g % 256), 2, '0') || lpad(to_hex(g / 256), 2, '0') || '0000' || '"', ',') AS k
	FROM generate_series(0, 1199) g GROUP BY g / 600) n;
SELECT * FROM ask.work();
SELECT rows_waiting FROM walhouse.requests;
SELECT count(*) AS rows FROM ask.read('item');
-- What cannot be read by its keys comes with the whole table.
SELECT walhouse._snapshot_end(ask.open('item'), 'no such column');
SELECT * FROM ask.work();
SELECT walhouse._snapshot_end(ask.open('item'));
SELECT walhouse._snapshot_end(id) FROM walhouse.snapshot WHERE relation = 'item'::regclass AND state = 'waiting' ORDER BY id;
DELETE FROM walhouse.wanted;

-- Composite keys of several types, quoted and not.
SELECT * FROM ask.ask('{"kind": "rows", "schema": "public", "table": "Odd \"name\"", "key": ["1 String", "2 UUID", "3 Decimal(12, 2)", "4 DateTime64(6, ''UTC'')"],
	"keys": ["0d4f27427269656e205c2022782271605f4e3d2c1b0af9e8d7c6b5a493821efbffffffffffff4022224648470600", "056f7468657271605f4e3d2c1b0af9e8d7c6b5a4938264000000000000004022224648470600"]}',
	'{"kind": "rows", "schema": "public", "table": "kinds", "keys": ["0300ff2748d874b31600000001710e31206461792030323a30333a3034046275737901fdffffff9a9999999999b93f0469742773"]}');
SELECT * FROM ask.work();
SELECT * FROM ask.read('"Odd ""name"""');
SELECT condition FROM walhouse.snapshot WHERE id = ask.open('"Odd ""name"""');
SELECT * FROM ask.read('kinds');
SELECT walhouse._snapshot_end(ask.open('"Odd ""name"""')), walhouse._snapshot_end(ask.open('kinds'));
-- A key of arrays is its text; without a key, the whole table.
SELECT * FROM ask.ask('{"kind": "rows", "schema": "public", "table": "tagged", "keys": ["037b617d"]}',
	'{"kind": "rows", "schema": "public", "table": "log", "keys": ["01"]}');
SELECT * FROM ask.work();
SELECT * FROM ask.read('tagged');
SELECT walhouse._snapshot_end(ask.open('tagged')), walhouse._snapshot_end(ask.open('log'));

-- The key has changed since: a snapshot of the whole was asked for then.
SELECT * FROM ask.ask('{"kind": "rows", "schema": "public", "table": "item", "keys": ["01000000"]}');
ALTER TABLE item ALTER id TYPE bigint;
SELECT * FROM ask.work();
SELECT * FROM ask.ask('{"kind": "rows", "schema": "public", "table": "item", "key": ["1 Int32"], "keys": ["01000000"]}');
SELECT rows_waiting FROM walhouse.requests;
SELECT walhouse._snapshot_end(id) FROM walhouse.snapshot WHERE relation = 'item'::regclass AND state = 'waiting' ORDER BY id;
-- A table that was renamed is still the same; by oid, or by its new name.
ALTER TABLE item RENAME TO article;
SELECT * FROM ask.ask(format('{"kind": "rows", "relation": %s, "schema": "public", "table": "item", "key": ["1 Int64"], "keys": ["0100000000000000"]}',
	'article'::regclass::oid));
SELECT * FROM ask.work();
SELECT walhouse._snapshot_end(ask.open('article'));

-- What is refused, and does no harm.
SELECT * FROM ask.ask('', 'nonsense', '[]', '{}', 'null', '7', '{"kind": "rows"}',
	'{"kind": "snapshot", "schema": "public", "table": "private"}',
	'{"kind": "snapshot", "schema": "walhouse", "table": "pipeline"}',
	'{"kind": "snapshot", "schema": "public", "table": "article; DROP TABLE article"}',
	'{"kind": "snapshot", "schema": ["public"], "table": {"a": 1}}',
	'{"kind": "snapshot", "relation": "1259"}',
	'{"kind": "snapshot", "schema": "public", "table": "article", "after": "yesterday"}',
	'{"kind": "drop", "schema": "public", "table": "article"}',
	'{"kind": "rows", "schema": "public", "table": "article"}',
	'{"kind": "rows", "schema": "public", "table": "article", "keys": []}',
	'{"kind": "rows", "schema": "public", "table": "article", "keys": "0100000000000000"}',
	'{"kind": "rows", "schema": "public", "table": "article", "keys": [null]}',
	'{"kind": "rows", "schema": "public", "table": "article", "keys": [1, {"a": 2}]}',
	'{"kind": "rows", "schema": "public", "table": "article", "keys": ["01"]}',
	'{"kind": "rows", "schema": "public", "table": "article", "keys": ["010000000000000000"]}',
	'{"kind": "rows", "schema": "public", "table": "article", "keys": ["1) OR true --"]}',
	'{"kind": "rows", "schema": "public", "table": "kinds", "keys": ["0300ff27ffffffffffffffff01"]}',
	'{"kind": "rows", "schema": "public", "table": "Odd \"name\"", "keys": ["ffffffffffffffffff01"]}',
	format('{"kind": "rows", "schema": "public", "table": "article", "keys": [%s"00"]}', repeat('"00",', 1000)));
SELECT * FROM walhouse._take_requests('p', walhouse._request_position('p'), walhouse._request_position('p') + 3, ARRAY[NULL, '\xff00', '\x00']::bytea[]);
SELECT * FROM ask.work();
-- A text that would be SQL finds the row that has it as its key, or none.
SELECT * FROM ask.ask('{"kind": "rows", "schema": "public", "table": "Odd \"name\"", "keys": ["0d2729204f522074727565202d2d71605f4e3d2c1b0af9e8d7c6b5a4938264000000000000004022224648470600"]}');
SELECT * FROM ask.work();
SELECT condition FROM walhouse.snapshot WHERE id = ask.open('"Odd ""name"""');
SELECT * FROM ask.read('"Odd ""name"""');
SELECT walhouse._snapshot_end(ask.open('"Odd ""name"""'));
-- Each is taken once, in order; nobody but the publisher's user takes any.
SELECT * FROM walhouse._take_requests('p', 0, 1, '{}');
SELECT next_offset = walhouse._request_position('p') AS same, taken, refused, last_refusal, rows_waiting FROM walhouse.requests;
CREATE ROLE asking;
SET ROLE asking;
SELECT walhouse._take_requests('p', 0, 1, '{}');
RESET ROLE;

SELECT walhouse.drop_pipeline('p');
SELECT count(*) FROM walhouse.requests;
DROP ROLE asking;
DROP PUBLICATION shop;
DROP TABLE article, "Odd ""name""", kinds, tagged, log, private;
DROP SCHEMA ask CASCADE;
RESET client_min_messages;
RESET timezone;
RESET datestyle;
