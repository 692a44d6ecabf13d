-- Arrays: a Variant where the column may be NULL, a plain Array where it may not, text in a key.
CREATE DOMAIN regress.price AS numeric(8,3);
CREATE DOMAIN regress.tags AS text[];
CREATE TABLE arrays (
	id int PRIMARY KEY, i int[], t text[], n numeric(9,2)[], nf numeric[], d date[], tz timestamptz[], u uuid[], b bool[], f float8[],
	by bytea[], c char(3)[], iv interval[], p regress.price[], g regress.tags, gs regress.tags[], r int4range[], x xid8[], ch "char"[],
	i2 int[] NOT NULL DEFAULT '{}', t2 text[] NOT NULL DEFAULT '{}', d2 date[] NOT NULL DEFAULT '{}', deep int[][] NOT NULL DEFAULT '{}'
);
INSERT INTO arrays (id) VALUES (0);
SELECT col, nullable, type, clickhouse_type FROM regress.schemas() WHERE col <> 'id';
INSERT INTO arrays VALUES
	-- empty ones are not NULL
	(1, '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}'),
	(2, '{1,NULL,-3}', '{a,NULL,"","NULL","ü,\"{}"}', '{1.1,NULL}', '{1.10,NaN,Infinity}', '{1900-01-01,NULL}', '{2024-01-01 00:00:00+02}',
	 '{00112233-4455-6677-8899-aabbccddeeff}', '{t,f,NULL}', '{NaN,-0,0.1}', '{"\\x00ff",NULL,"\\x"}', '{a,abc}', '{1 day,NULL}', '{1.5}', '{x,NULL}',
	 '{"{a,NULL}",NULL,"{}"}', '{"[1,5)",empty}', '{18446744073709551615}', '{a,""}', '{1,NULL}', '{NULL,a}', '{2024-01-01,NULL}', '{1,2}');
SELECT d->'row'->'id' AS id, key, value FROM regress.changes() d, jsonb_each(d->'row') WHERE key <> 'id' ORDER BY 1, key COLLATE "C";

-- Several dimensions, other lower bounds, an element that its type cannot hold: the text of the whole.
INSERT INTO arrays (id, i, t, n, d, tz, by, deep) VALUES
	(3, '{{1,2},{3,NULL}}', '[0:1]={a,NULL}', '{{NaN}}', '{2024-01-01,infinity}', '{2300-01-01 00:00:00+00}', '{{"\\x00ff"}}', '{{1,2}}'),
	(4, '[2:3]={1,2}', '{{{a}}}', '{NaN,1.10}', '{4713-01-01 BC}', '{NULL,-infinity}', '[0:0]={"\\x00"}', '[0:0]={1}');
SELECT d->'row'->'id' AS id, key, value FROM regress.changes() d, jsonb_each(d->'row') WHERE key IN ('i', 't', 'n', 'd', 'tz', 'by', 'deep')
ORDER BY 1, key COLLATE "C";

-- A plain Array has no room for them.
INSERT INTO arrays (id, i2, t2, d2) VALUES (5, '{{1,2}}', '[0:0]={a}', '{2024-01-01,infinity}');
SELECT d->'row'->'i2' AS i2, d->'row'->'t2' AS t2, d->'row'->'d2' AS d2, d->'out_of_range' AS out_of_range
FROM regress.changes() d WHERE d ? 'row';

-- In a key.
CREATE TABLE array_keys (k int[] PRIMARY KEY, v int[]);
INSERT INTO array_keys VALUES ('{}', '{}'), ('{1,2}', NULL), ('{{1},{2}}', '{1}');
DELETE FROM array_keys WHERE k = '{1,2}';
SELECT d->>'record' AS record, coalesce(d->'row', d->'key') AS "row" FROM regress.changes() d WHERE d->>'record' <> 'commit';

-- Stored out of line: an update leaves it out, and says so; under FULL it is in the old row.
CREATE TABLE long_arrays (id int PRIMARY KEY, n int, a int[], b text[] NOT NULL);
ALTER TABLE long_arrays ALTER a SET STORAGE EXTERNAL, ALTER b SET STORAGE EXTERNAL;
INSERT INTO long_arrays SELECT 1, 1, array_agg(g), array_agg(g) FROM generate_series(1, 3000) g;
UPDATE long_arrays SET n = 2;
ALTER TABLE long_arrays REPLICA IDENTITY FULL;
UPDATE long_arrays SET n = 3;
SELECT d->>'record' AS record, jsonb_typeof(d->'row'->'a') AS a_type, jsonb_array_length(nullif(d->'row'->'a', 'null')) AS a,
	jsonb_array_length(d->'row'->'b') AS b, d->'row'->'a'->2999 AS last, d->'unchanged' AS unchanged
FROM regress.changes() d WHERE d ? 'row';
DROP TABLE arrays, array_keys, long_arrays;
DROP DOMAIN regress.price, regress.tags;

-- Numbers that are numbers to both.
CREATE TABLE numbers (id int PRIMARY KEY, m money, o oid, x xid, c cid, x8 xid8, l pg_lsn, ns numeric(5,-2), nb numeric(3,5), nw numeric(75,-5));
INSERT INTO numbers VALUES (1, '92233720368547758.07', 4294967295, '4294967295', '4294967295', '18446744073709551615', 'FFFFFFFF/FFFFFFFF',
	-9999900, 0.00999, 1e79),
	(2, '-92233720368547758.08', 0, '3', '0', '0', '0/0', 100, -0.00001, 100000),
	(3, -0.01, NULL, NULL, NULL, NULL, NULL, 'NaN', 'NaN', 'NaN');
SELECT d->'row' AS "row", d->'out_of_range' AS out_of_range FROM regress.changes() d WHERE d ? 'row';
DROP TABLE numbers;
