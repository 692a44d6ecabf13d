-- out_of_range: what becomes of values that their ClickHouse type cannot hold.
CREATE FUNCTION regress.ranged(policy text) RETURNS TABLE ("row" jsonb, out_of_range jsonb, adjusted jsonb) LANGUAGE sql AS $$
	SELECT coalesce(d->'row', d->'key'), d->'out_of_range', d->'adjusted'
	FROM pg_logical_slot_peek_binary_changes('regress', NULL, NULL, 'publication', 'everything', 'out_of_range', policy) c,
		LATERAL walhouse.decode(c.data) WITH ORDINALITY d(d, n)
	WHERE d->>'record' NOT IN ('schema', 'commit')
	ORDER BY c.lsn, n
$$;
CREATE TABLE ranged (k date PRIMARY KEY, d date, ts timestamp, n numeric(5,2), a date[] NOT NULL DEFAULT '{}', s date NOT NULL DEFAULT 'epoch');
INSERT INTO ranged VALUES ('2024-01-01', 'infinity', '-infinity', 'NaN', '{infinity,2024-01-01,4713-01-01 BC,NULL}');
INSERT INTO ranged VALUES ('2024-01-02', '1899-12-31', '2300-01-01', 1, '{}');
INSERT INTO ranged VALUES ('2024-01-03', '2299-12-31', '1900-01-01', 1, '{1900-01-01}');
-- One value without an answer makes the row a dead letter: a NOT NULL column, a key, a shape that no Array has.
INSERT INTO ranged (k, d, s) VALUES ('2024-01-04', 'infinity', '2300-01-01');
INSERT INTO ranged (k, d) VALUES ('infinity', '-infinity');
INSERT INTO ranged (k, d, a) VALUES ('2024-01-05', 'infinity', '{{2024-01-01}}');
DELETE FROM ranged WHERE k = 'infinity';
SELECT * FROM regress.ranged('dlq');
SELECT * FROM regress.ranged('null');
SELECT * FROM regress.ranged('clamp');
SELECT * FROM regress.ranged('bend');
SELECT count(*) FROM regress.changes();

-- Settings of the session change no byte.
CREATE TYPE regress.record_like AS (d date, tz timestamptz, f float4, by bytea, m money, i interval);
CREATE TABLE printed (id int PRIMARY KEY, d date, tz timestamptz, tr tstzrange, i interval, f float8, fs float8[], by bytea, bys bytea[][], m money,
	ms money[][] NOT NULL, x xml, c regclass, p point, r regress.record_like, rs regress.record_like[]);
INSERT INTO printed VALUES (1, 'infinity', '2300-06-01 00:00:00+00', '[2024-06-01 00:00:00+00,)', '1 year 2 days', 0.1::float8 + 0.2, '{{0.3}}', '\x00ff',
	'{{"\\x00ff"}}', 1234.5, '{{1234.5}}', '<a/>', 'printed', '(0.1,0.2)', '(2024-02-01,2024-06-01 00:00:00+00,0.1,"\\x00ff",1234.5,1 year)',
	'{"(2024-02-01,2024-06-01 00:00:00+00,0.1,\"\\\\x00ff\",1234.5,1 year)"}');
CREATE TABLE regress.chunks AS SELECT 'plain' AS settings, lsn, data
FROM pg_logical_slot_peek_binary_changes('regress', NULL, NULL, 'publication', 'everything');
SET DateStyle = 'German, DMY'; SET IntervalStyle = 'iso_8601'; SET TimeZone = 'Asia/Tokyo'; SET extra_float_digits = -15;
SET bytea_output = 'escape'; SET xmlbinary = 'hex'; SET xmloption = 'document'; SET quote_all_identifiers = on; SET array_nulls = off;
SET search_path = public, regress; SET standard_conforming_strings = off; SET lc_numeric = 'C.UTF-8'; SET lc_monetary = 'C.UTF-8';
INSERT INTO regress.chunks SELECT 'hostile', lsn, data
FROM pg_logical_slot_peek_binary_changes('regress', NULL, NULL, 'publication', 'everything');
-- They are as they were.
SELECT current_setting('DateStyle'), current_setting('search_path'), current_setting('extra_float_digits');
RESET ALL;
SELECT count(DISTINCT settings) AS times, count(DISTINCT md5(data)) AS different, count(DISTINCT lsn) AS chunks
FROM regress.chunks WHERE lsn <= (SELECT max(lsn) FROM regress.chunks WHERE settings = 'plain');
SELECT d->'row' AS "row", d->'out_of_range' AS out_of_range FROM regress.changes() d WHERE d ? 'row' AND d->>'table' = 'printed';
DROP TABLE printed, ranged, regress.chunks;
DROP TYPE regress.record_like;
DROP FUNCTION regress.ranged;
