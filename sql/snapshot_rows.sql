-- What chunks hold: every type as the stream has it, keys of every kind in their index's order.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA snap;
CREATE SCHEMA snap_ext;
CREATE EXTENSION citext SCHEMA snap_ext;
CREATE EXTENSION hstore SCHEMA snap_ext;
CREATE TYPE mood AS ENUM ('calm', 'busy', 'asleep');
CREATE DOMAIN code AS varchar(10) COLLATE "C" CHECK (value <> '');
CREATE TYPE pair AS (a int, b text);
CREATE PUBLICATION shop;
SELECT walhouse.create_pipeline('p', publication => 'shop', brokers => '127.0.0.1:1');
SELECT walhouse.pause('p');

-- All rows of a table, in chunks of max_rows.
CREATE FUNCTION snap.read(relation regclass, max_rows int DEFAULT 1000, max_bytes int DEFAULT 1000000)
	RETURNS TABLE (chunk int, bytes int, last_key text[], d jsonb) LANGUAGE plpgsql AS $$
DECLARE
	id bigint := (SELECT max(s.id) FROM walhouse.snapshot s WHERE s.relation = $1 AND s.state IN ('waiting', 'running'));
	c record;
	n int := 0;
	after text[];
BEGIN
	LOOP
		n := n + 1;
		SELECT * INTO c FROM walhouse._snapshot_chunk(id, after, max_rows, max_bytes);
		RETURN QUERY SELECT n, length(c.data), c.last_key, e FROM walhouse.decode(c.data) e WHERE e->>'record' <> 'schema';
		EXIT WHEN c.status <> 'more';
		after := c.last_key;
	END LOOP;
END $$;

-- The same row from the stream and from a chunk: the same schema, the same bytes as far as anybody can see.
CREATE TABLE every (
	i8 int8, id int, i2 int2, f4 float4, f8 float8, n numeric, nn numeric(12,3), nw numeric(60,20), mo money, b bool,
	t text NOT NULL, vc varchar(10), c char(5), na name, by bytea, bi bit(3), vb varbit, d date, ti time, tz timetz,
	ts timestamp, tsz timestamptz, iv interval, u uuid, j json, jb jsonb, x xml, ip inet, ci cidr, mac macaddr, mac8 macaddr8,
	po point, li line, ls lseg, bo box, pa path, pl polygon, ce circle, tv tsvector, tq tsquery, lsn pg_lsn, o oid, rc regclass,
	m mood, dom code, comp pair, r int4range, mr int4multirange, rd daterange, ai int[], ai2 int[], at text[], am mood[],
	ad code[], ac pair[], atz timestamptz[], cit snap_ext.citext, gen int GENERATED ALWAYS AS (id * 2) STORED, dropped int,
	PRIMARY KEY (id, t)
);
ALTER TABLE every DROP COLUMN dropped;
SELECT count(*) >= 0 AS emptied FROM regress.changes();
INSERT INTO every (id, t) VALUES (1, '');
INSERT INTO every VALUES
	(9223372036854775807, 2, -5, 1.5, 'NaN', 'NaN', -123456789.125, 12345678901234567890.12345678901234567890, '$12.50', true,
	'text 東京', 'vc', 'c', 'name', '\x00ff', '101', '10101', '2024-02-29', '23:59:59.999999', '12:00:00+05:30', '2024-02-29 12:34:56.123456',
	'2024-02-29 12:34:56.123456+02', '1 year 2 mons -3 days 04:05:06.789', '00112233-4455-6677-8899-aabbccddeeff', '{"b":  1}',
	'{"b":  1, "a": [null]}', '<a>1</a>', '10.0.0.1/8', '10.0.0.0/8', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', '(1,2)',
	'{1,2,3}', '[(0,0),(1,1)]', '((0,0),(1,1))', '[(0,0),(1,1)]', '((0,0),(1,1),(1,0))', '<(0,0),1>', 'a:1 b:2', 'a & b', '0/1234', 4711,
	'pg_class', 'busy', 'DOM', '(1,"x y")', '[1,5)', '{[1,2),[4,5)}', '[2024-01-01,infinity)', '{1,NULL,3}', '[0:1]={7,8}',
	'{"a b",NULL,"NULL"}', '{calm,busy}', '{x,y}', '{"(1,a)",NULL}', '{infinity,2024-01-01}', 'CiText');
INSERT INTO every (id, t, d, ts, tsz, nn, ai) VALUES (3, 'out', 'infinity', '-infinity', '4713-01-01 BC', 'NaN', '{{1,2},{3,4}}');
CREATE TABLE snap.streamed AS SELECT d FROM pg_logical_slot_get_binary_changes('regress', NULL, NULL, 'publication', 'everything') c,
	LATERAL walhouse.decode(c.data) d WHERE d->>'record' = 'insert';
ALTER PUBLICATION shop ADD TABLE every;
SELECT count(*) FROM walhouse._snapshot_work('p');
SET DateStyle = 'German'; SET TimeZone = 'Asia/Tokyo'; SET extra_float_digits = -3; SET bytea_output = 'escape';
SET IntervalStyle = 'iso_8601'; SET xmlbinary = 'hex'; SET search_path = snap_ext, public; SET enable_indexscan = off;
SELECT r.d->'row'->>'id' AS id, r.d->'row' = s.d->'row' AS same_row, r.d->>'fingerprint' = s.d->>'fingerprint' AS same_schema,
	r.d->'out_of_range' IS NOT DISTINCT FROM s.d->'out_of_range' AS same_texts, (r.d->'out_of_range') IS NOT NULL AS has_texts
FROM snap.read('every', 1) r FULL JOIN snap.streamed s ON s.d->'row'->'id' = r.d->'row'->'id' ORDER BY 1;
SHOW DateStyle;
RESET DateStyle; RESET TimeZone; RESET extra_float_digits; RESET bytea_output; RESET IntervalStyle; RESET xmlbinary; RESET search_path;
RESET enable_indexscan;

-- Values out of line are there. A chunk ends at max_bytes; one row may be larger.
CREATE TABLE document (id int PRIMARY KEY, title text, body text, packed text);
ALTER TABLE document ALTER body SET STORAGE EXTERNAL;
INSERT INTO document SELECT g, 'title ' || g, repeat(g::text, 40000), repeat('packed', 10000) FROM generate_series(1, 5) g;
ALTER PUBLICATION shop ADD TABLE document;
SELECT count(*) FROM walhouse._snapshot_work('p');
SELECT chunk, bytes > 250000 AS over, d->'row'->'id' AS id, length(d->'row'->>'body') AS body, d->'row'->>'body' = repeat(d->'row'->>'id', 40000) AS same,
	length(d->'row'->>'packed') AS packed, d->'unchanged' AS unchanged FROM snap.read('document', 100, 250000);
SELECT chunk, count(*) FROM snap.read('document', 100, 1) GROUP BY chunk ORDER BY chunk;

-- Keys: each table has 60 rows, read seven at a time; every row comes once, in the order of the key's index.
CREATE TABLE snap.kinds (n int, key_columns text, key text, key_values text);
INSERT INTO snap.kinds VALUES
	(1, 'a int', 'a', '61 - g'),
	(2, 'a int, b text', 'a, b', 'g % 3, chr(97 + g) || g'),
	(3, 'a text, b int', 'a, b', 'chr(97 + g % 4), g'),
	(4, 'a text COLLATE "C", b text COLLATE "POSIX", c int', 'a, b, c', 'chr(65 + g % 2), chr(97 + g % 3), g'),
	(5, 'a snap_ext.citext', 'a', 'CASE WHEN g % 2 = 0 THEN ''K'' ELSE ''k'' END || g'),
	(6, 'a snap_ext.citext, b int', 'a, b', '(CASE WHEN g % 2 = 0 THEN ''K'' ELSE ''k'' END || g % 4)::snap_ext.citext, g'),
	(7, 'a uuid', 'a', 'md5(g::text)::uuid'),
	(8, 'a timestamptz', 'a', '''2024-01-01''::timestamptz + g * interval ''1.000001 hours'''),
	(9, 'a date, b time', 'a, b', 'CASE WHEN g % 9 = 0 THEN ''infinity''::date ELSE ''2024-01-01''::date - g % 5 END, ''00:00''::time + g * interval ''1 minute'''),
	(10, 'a numeric', 'a', 'CASE g WHEN 7 THEN ''NaN''::numeric WHEN 8 THEN ''-Infinity'' ELSE g / 7.0 END'),
	(11, 'a float8, b float4', 'a, b', 'CASE g % 7 WHEN 0 THEN ''NaN''::float8 ELSE (g % 4) / 3.0 END, g / 7.0'),
	(12, 'a bytea', 'a', 'decode(md5(g::text), ''hex'')'),
	(13, 'a mood, b bool, c int', 'a, b, c', '(ARRAY[''calm'', ''busy'', ''asleep'']::mood[])[1 + g % 3], g % 2 = 0, g'),
	(14, 'a char(6), b varchar(9)', 'a, b', '''c'' || g % 5, ''v'' || g'),
	(15, 'a code', 'a', '''d'' || g'),
	(16, 'a int[], b inet', 'a, b', 'ARRAY[g % 3, g], (''10.0.0.'' || g)::inet'),
	(17, 'a int4range', 'a', 'int4range(g, g + g % 3 + 1)'),
	(18, 'a "char", b name, c oid', 'a, b, c', 'chr(65 + g % 2)::"char", (''n'' || g % 7)::name, g::oid'),
	(19, 'a interval, b money', 'a, b', 'g % 5 * interval ''1 day 1 second'', g::money'),
	(20, '"a b" int, "select" text', '"a b", "select"', 'g % 3, g::text'),
	(21, 'a pair, b bit(3), c varbit', 'a, b, c', 'ROW(g % 2, ''x, '' || g)::pair, (g % 8)::bit(3), g::bit(7)'),
	(22, 'a int4multirange, b macaddr', 'a, b', '(''{['' || g % 4 || '',9)}'')::int4multirange, (''08:00:2b:01:02:'' || lpad(g::text, 2, ''0''))::macaddr'),
	(23, 'a snap_ext.hstore, b int', 'a, b', 'snap_ext.hstore(''k'', (g % 3)::text), g'),
	(24, 'a jsonb, b timetz', 'a, b', 'jsonb_build_object(''k'', g % 3), ''00:00+00''::timetz + g * interval ''1 minute''');
\set ECHO none
SELECT format('CREATE TABLE keyed_%s (n int, %s, PRIMARY KEY (%s)); INSERT INTO keyed_%s SELECT g, %s FROM generate_series(1, 60) g; '
	'ALTER PUBLICATION shop ADD TABLE keyed_%s', n, key_columns, key, n, key_values, n) FROM snap.kinds ORDER BY n \gexec
\set ECHO all
SELECT count(*) FROM walhouse._snapshot_work('p');
CREATE FUNCTION snap.check(relation regclass, key text) RETURNS TABLE (chunks int, complete bool) LANGUAGE plpgsql AS $$
DECLARE
	expected int[];
BEGIN
	EXECUTE format('SELECT array_agg(n ORDER BY %s) FROM %s', key, relation) INTO expected;
	RETURN QUERY SELECT max(r.chunk), array_agg((r.d->'row'->>'n')::int ORDER BY r.o) = expected
		FROM snap.read(relation, 7) WITH ORDINALITY r(chunk, bytes, last_key, d, o);
END $$;
SELECT k.n, k.key_columns, c.* FROM snap.kinds k, LATERAL snap.check(('keyed_' || n)::regclass, k.key) c ORDER BY n;

-- A replica identity's index may have an order of its own.
CREATE TABLE ordered (n int, a text COLLATE "C" NOT NULL, b int NOT NULL);
CREATE UNIQUE INDEX ordered_by ON ordered (a COLLATE "POSIX" DESC, b);
INSERT INTO ordered SELECT g, CASE WHEN g % 2 = 0 THEN 'A' ELSE 'a' END || g % 5, g FROM generate_series(1, 60) g;
CREATE TABLE patterned (n int, a text NOT NULL, b int NOT NULL);
CREATE UNIQUE INDEX patterned_by ON patterned (a text_pattern_ops, b);
INSERT INTO patterned SELECT * FROM ordered;
ALTER TABLE ordered REPLICA IDENTITY USING INDEX ordered_by;
ALTER TABLE patterned REPLICA IDENTITY USING INDEX patterned_by;
ALTER PUBLICATION shop ADD TABLE ordered, patterned;
SELECT count(*) FROM walhouse._snapshot_work('p');
SELECT c.* FROM snap.check('ordered', 'a COLLATE "POSIX", b') c;
SELECT c.* FROM snap.check('patterned', 'a USING ~<~, b') c;

-- A chunk reads its own rows and no other: the plan follows the key's index, whatever the statistics say.
CREATE TABLE large (a int, b text, PRIMARY KEY (a, b)) WITH (fillfactor = 100);
INSERT INTO large SELECT g / 100, g::text FROM generate_series(1, 100000) g;
ALTER PUBLICATION shop ADD TABLE large;
SELECT count(*) FROM walhouse._snapshot_work('p');
SELECT pg_stat_force_next_flush();
SELECT seq_tup_read, idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'large' \gset before_
SELECT c.status, c.rows, c.last_key FROM walhouse.snapshot s, LATERAL walhouse._snapshot_chunk(s.id, '{500,50000}', 1000, 1000000) c
WHERE s.relation = 'large'::regclass;
SELECT pg_stat_force_next_flush();
SELECT seq_tup_read - :before_seq_tup_read AS read_in_sequence, idx_tup_fetch - :before_idx_tup_fetch AS fetched_by_index
FROM pg_stat_user_tables WHERE relname = 'large';

SELECT walhouse.drop_pipeline('p');
DROP PUBLICATION shop;
\set ECHO none
SELECT format('DROP TABLE keyed_%s', n) FROM snap.kinds ORDER BY n \gexec
\set ECHO all
DROP TABLE every, document, ordered, patterned, large;
DROP SCHEMA snap, snap_ext CASCADE;
DROP TYPE mood;
DROP TYPE pair;
DROP DOMAIN code;
RESET client_min_messages;
