-- Types that have no ClickHouse type of their own: the exact text. Extensions' types are among them.
CREATE EXTENSION hstore;
CREATE EXTENSION citext;
CREATE TYPE regress.mood AS ENUM ('calm', 'so "so"');
CREATE TYPE regress.moodrange AS RANGE (subtype = regress.mood);
CREATE TYPE regress.pair AS (number int, word text);
CREATE DOMAIN regress.pairs AS regress.pair;
CREATE TABLE texts (
	id int PRIMARY KEY,
	ch "char", n name, ct citext, by bytea, b bit(3), vb varbit,
	t time, tt timetz, i interval,
	js json, jb jsonb, jp jsonpath, x xml,
	ip inet, ci cidr, m macaddr, m8 macaddr8,
	po point, li line, ls lseg, bo box, pa path, pg polygon, cr circle,
	tv tsvector, tq tsquery, sn pg_snapshot, ti tid, iv int2vector, ov oidvector,
	rc regclass, rt regtype, rp regproc, rpr regprocedure, rop regoper, rops regoperator, rn regnamespace, rco regconfig,
	rd regdictionary, rcl regcollation,
	e regress.mood, pr regress.pair, dp regress.pairs,
	r4 int4range, nr numrange, dr daterange, tr tstzrange, er regress.moodrange, mr datemultirange, h hstore
);
INSERT INTO texts (id) VALUES (0);
SELECT DISTINCT clickhouse_type FROM regress.schemas() WHERE col <> 'id';
INSERT INTO texts VALUES
	(1, 'x', 'a name', 'MiXeD', '\x00ff41', '101', '1', '24:00:00', '04:05:06.789+05:30', '-1 year 2 mons -3 days 04:05:06.7',
	 '{"b":  1, "b": 2}', '{"b": 1.10, "a": [null]}', '$.a[*]', '<?xml version="1.0" encoding="latin1"?><a>x</a>',
	 '10.0.0.1/8', '2001:db8::/32', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05',
	 '(0.1,-0)', '{1,-1,0}', '[(0,0),(1,1)]', '(1,1),(0,0)', '[(0,0),(1,1)]', '((0,0),(1,1),(2,0))', '<(0,0),1e-30>',
	 '''a'':1A', '''a'' & !''b''', '10:20:10,14', '(4294967295,1)', '1 2', '3 4',
	 'texts', 'regress.mood', 'now', 'abs(integer)', '||/', '+(integer,integer)', 'regress', 'english', 'simple', '"C"',
	 'so "so"', '(1,"a ""b""")', '(,)', '[1,5)', '[1.10,2)', '[4713-01-01 BC,infinity)',
	 '["2024-01-01 00:00:00+02",infinity]', '[calm,"so ""so"""]', '{[2024-01-01,2024-02-01)}', '"a"=>"1", "b"=>NULL'),
	(2, '', '', '', '', '000', '', '00:00:00', '00:00:00-15:59', '0', 'null', 'null', '$', '',
	 '::1', '10.0.0.0/8', NULL, NULL, '(NaN,Infinity)', NULL, NULL, NULL, NULL, NULL, NULL, '', '', NULL, '(0,0)', '', '',
	 '0', NULL, '4294967295', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'calm', '(1,)', NULL, 'empty', '(,)', '(,)', NULL, NULL, '{}', '');
-- What the event says beside what the types' output functions say.
CREATE FUNCTION regress.printed(row_id int) RETURNS jsonb LANGUAGE plpgsql SET search_path = pg_catalog SET TimeZone = 'UTC'
	SET DateStyle = 'ISO' SET IntervalStyle = 'postgres' SET extra_float_digits = 3 AS $$
DECLARE
	parts text;
	printed jsonb;
BEGIN
	SELECT string_agg(format('%L, CASE WHEN num_nulls(%2$I) = 0 THEN concat(%2$I) END', attname, attname), ', ') INTO parts
	FROM (SELECT attname, attnum % 2 AS half FROM pg_attribute WHERE attrelid = 'public.texts'::regclass AND attnum > 0) a WHERE half = 0;
	EXECUTE format('SELECT jsonb_build_object(%s) FROM public.texts WHERE id = $1', parts) INTO printed USING row_id;
	SELECT string_agg(format('%L, CASE WHEN num_nulls(%2$I) = 0 THEN concat(%2$I) END', attname, attname), ', ') INTO parts
	FROM (SELECT attname, attnum % 2 AS half FROM pg_attribute WHERE attrelid = 'public.texts'::regclass AND attnum > 0) a WHERE half = 1;
	EXECUTE format('SELECT $2 || jsonb_build_object(%s) FROM public.texts WHERE id = $1', parts) INTO printed USING row_id, printed;
	RETURN printed;
END $$;
CREATE TABLE regress.seen AS SELECT d->'row' AS seen FROM regress.changes() d WHERE d ? 'row';
SELECT seen->>'id' AS id, p.key, p.value AS printed, seen->>p.key AS seen
FROM regress.seen, jsonb_each_text(regress.printed((seen->>'id')::int)) p WHERE p.value IS DISTINCT FROM seen->>p.key;
SELECT count(*) AS compared FROM regress.seen, jsonb_each_text(regress.printed((seen->>'id')::int));
SELECT key, value FROM regress.seen, jsonb_each_text(seen) WHERE seen->'id' = '1' ORDER BY key COLLATE "C";

-- "char" is any byte; those that are no text are escaped alike in every version.
INSERT INTO texts (id, ch) SELECT g, chr(g)::"char" FROM generate_series(65, 66) g;
INSERT INTO texts (id, ch) VALUES (200, (-1)::"char"), (201, (-128)::"char"), (202, 127::"char");
SELECT d->'row'->'id' AS id, d->'row'->'ch' AS ch FROM regress.changes() d WHERE d ? 'row' AND d->>'table' = 'texts';

-- A name follows its object; in a key it is the OID, which stays.
CREATE TABLE named (k regclass PRIMARY KEY, v regclass);
CREATE TABLE before (id int PRIMARY KEY);
INSERT INTO named VALUES ('before', 'before');
ALTER TABLE before RENAME TO "After";
UPDATE named SET v = v;
DELETE FROM named;
SELECT d->>'record' AS record, (d->'row'->>'k')::oid = '"After"'::regclass AS row_key, d->'row'->'v' AS v,
	(d->'key'->>'k')::oid = '"After"'::regclass AS key FROM regress.changes() d WHERE d ? 'schema';

-- Enums of the same transaction: the label that the row had when it was written.
BEGIN;
CREATE TYPE regress.fresh AS ENUM ('one', 'two');
CREATE TABLE enums (id int PRIMARY KEY, e regress.fresh, es regress.fresh[]);
INSERT INTO enums VALUES (1, 'one', '{two,NULL}');
ALTER TYPE regress.fresh RENAME VALUE 'two' TO 'deux';
INSERT INTO enums VALUES (2, 'deux', '{deux}');
SAVEPOINT s;
ALTER TYPE regress.fresh RENAME VALUE 'one' TO 'un';
INSERT INTO enums VALUES (3, 'un', '{}');
ROLLBACK TO s;
INSERT INTO enums VALUES (4, 'one', '{one}');
COMMIT;
ALTER TYPE regress.fresh ADD VALUE 'three' BEFORE 'one';
INSERT INTO enums VALUES (5, 'three', NULL);
SELECT d->'row' AS "row" FROM regress.changes() d WHERE d ? 'row';

-- From 17 on there are infinite intervals, and values added to an enum of the same transaction can be used in it.
BEGIN;
CREATE TYPE regress.newer AS ENUM ('one');
CREATE TABLE newer (id int PRIMARY KEY, i interval, e regress.newer);
DO $$
DECLARE
	is_newer boolean := current_setting('server_version_num')::int >= 170000;
BEGIN
	EXECUTE CASE WHEN is_newer THEN 'ALTER TYPE regress.newer ADD VALUE ''two'''
		ELSE 'ALTER TYPE regress.newer RENAME VALUE ''one'' TO ''two''' END;
	INSERT INTO newer VALUES (1, CASE WHEN is_newer THEN 'infinity' ELSE '1 day' END::text::interval, 'two'),
		(2, CASE WHEN is_newer THEN '-infinity' ELSE '-1 day' END::text::interval, NULL);
END $$;
COMMIT;
SELECT d->'row'->'id' AS id, (d->'row'->>'i')::interval = n.i AS i, d->'row'->'e' AS e
FROM regress.changes() d JOIN newer n ON n.id = (d->'row'->>'id')::int;

-- A composite that gains and loses attributes.
CREATE TABLE pairs (id int PRIMARY KEY, p regress.pair, ps regress.pair[]);
INSERT INTO pairs VALUES (1, '(1,x)', '{"(1,x)",NULL}');
ALTER TYPE regress.pair ADD ATTRIBUTE day date;
INSERT INTO pairs VALUES (2, '(2,y,2024-01-01)', '{"(2,y,)"}');
UPDATE pairs SET id = 3 WHERE id = 1;
ALTER TYPE regress.pair DROP ATTRIBUTE word;
UPDATE pairs SET id = 4 WHERE id = 2;
SELECT d->'row' AS "row" FROM regress.changes() d WHERE d ? 'row';
DROP TABLE texts, named, "After", enums, pairs, newer, regress.seen;
DROP FUNCTION regress.printed;
DROP TYPE regress.moodrange, regress.mood, regress.fresh, regress.newer;
DROP DOMAIN regress.pairs;
DROP TYPE regress.pair;
DROP EXTENSION hstore, citext;
