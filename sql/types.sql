-- Types with a ClickHouse counterpart, and those that travel as text.
CREATE TABLE typed (
	id int PRIMARY KEY,
	i2 int2, i4 int4, i8 int8, f4 float4, f8 float8, b bool,
	t text, vc varchar(10), c char(5), n name,
	d date, ts timestamp, tz timestamptz, u uuid, j json, jb jsonb,
	not_null int NOT NULL DEFAULT 7
);
INSERT INTO typed (id) VALUES (0);
SELECT * FROM regress.schemas();
INSERT INTO typed VALUES
	(1, -32768, -2147483648, -9223372036854775808, -1.5, 1e30, true, 'häßlich 東京 🐘', 'v', 'c', 'name',
	 '2024-02-29', '2024-02-29 12:34:56.123456', '2024-02-29 12:34:56.123456+02', '00112233-4455-6677-8899-aabbccddeeff',
	 '{"b":  1}', '{"b":  1, "a": [null, "x"]}'),
	(2, 32767, 2147483647, 9223372036854775807, 'NaN', '-Infinity', false, '', '', '', '',
	 '1900-01-01', '1900-01-01 00:00:00', '2299-12-31 23:59:59.999999+00', 'ffffffff-ffff-ffff-ffff-ffffffffffff', '1', 'null'),
	(3, 0, 0, 0, '-0', 5e-20, NULL, E'tab\tquote"back\\slash\nline', NULL, NULL, NULL,
	 '1969-12-31', '1969-12-31 23:59:59.999999', '1970-01-01 00:00:00+00', NULL, NULL, '{}');
SELECT jsonb_pretty(d->'row') FROM regress.changes() d WHERE d ? 'row';

-- Outside of what ClickHouse's type holds: the exact text beside the body, which has the default.
INSERT INTO typed (id, d, ts, tz) VALUES
	(4, 'infinity', '-infinity', 'infinity'),
	(5, '4713-01-01 BC', '294276-12-31 23:59:59.999999', '1899-12-31 23:59:59.999999+00'),
	(6, '2300-01-01', '2300-01-01', '2300-01-01 00:00:00+00'),
	(7, '1899-12-31', '1899-12-31 23:59:59.999999', NULL);
SELECT d->'row'->'id' AS id, d->'row'->'d' AS d, d->'row'->'ts' AS ts, d->'row'->'tz' AS tz, d->'out_of_range' AS out_of_range
FROM regress.changes() d WHERE d ? 'row';

-- Session settings change no byte.
SET DateStyle = 'German'; SET TimeZone = 'Asia/Tokyo'; SET extra_float_digits = -3; SET bytea_output = 'escape';
SET IntervalStyle = 'iso_8601';
INSERT INTO typed (id, f8, d, tz) VALUES (8, 0.1 + 0.2, 'infinity', '2300-06-01 00:00:00+00');
SELECT d->'row'->'f8' AS f8, d->'out_of_range' AS out_of_range FROM regress.changes() d WHERE d ? 'row';
SHOW DateStyle;
RESET DateStyle; RESET TimeZone; RESET extra_float_digits; RESET bytea_output; RESET IntervalStyle;

-- numeric: every width of Decimal, scales, and what is text.
CREATE TABLE amounts (
	id int PRIMARY KEY, n9 numeric(9,4), n18 numeric(18,0), n38 numeric(38,10), n76 numeric(76,38), whole numeric(5),
	all_fraction numeric(4,4), free numeric, wide numeric(100,2), negative_scale numeric(5,-2), more_scale numeric(3,5)
);
INSERT INTO amounts (id) VALUES (0);
SELECT col, clickhouse_type FROM regress.schemas();
INSERT INTO amounts VALUES
	(1, 12345.6789, 999999999999999999, 1234567890123456789012345678.0123456789,
	 99999999999999999999999999999999999999.99999999999999999999999999999999999999, 99999, 0.9999, 1.10, 1.1, 12300, 0.00999),
	(2, -12345.6789, -999999999999999999, -0.0000000001,
	 -99999999999999999999999999999999999999.99999999999999999999999999999999999999, -1, -0.0001, 1e20, -5, -100, -0.00001),
	(3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
	(4, 0.0001, 10000, 100000000, 1e37, 10000, 0.1, '-Infinity', 1e50, 100, 0.00001);
SELECT jsonb_pretty(d->'row') FROM regress.changes() d WHERE d ? 'row';
SELECT count(*) FROM amounts;
-- Every value comes back as it was.
UPDATE amounts SET id = id;
SELECT a.id FROM regress.changes() d, LATERAL jsonb_populate_record(NULL::amounts, d->'row') a
WHERE d ? 'row' AND NOT EXISTS (SELECT FROM amounts s WHERE s = a);
INSERT INTO amounts (id, n9, n38) VALUES (5, 'NaN', 'NaN');
SELECT d->'row'->'n9' AS n9, d->'out_of_range' AS out_of_range FROM regress.changes() d WHERE d ? 'row';

-- Many random numerics, against Postgres's own arithmetic.
SELECT setseed(0.25);
INSERT INTO amounts (id, n9, n18, n38, n76, all_fraction)
SELECT 100 + g, (random() - 0.5) * 10 ^ (g % 5), (random() - 0.5)::numeric * 10 ^ (g % 17), (random() - 0.5)::numeric * 10 ^ (g % 27),
	(random() - 0.5)::numeric * 10 ^ (g % 37), (random() - 0.5)
FROM generate_series(1, 2000) g;
SELECT count(*) FROM regress.changes() d, LATERAL jsonb_populate_record(NULL::amounts, d->'row') a
JOIN amounts s ON s.id = a.id AND s = a WHERE d ? 'row';

-- Other types as their exact text; domains as their base type.
CREATE TYPE mood AS ENUM ('calm', 'busy');
CREATE DOMAIN price AS numeric(8,3) CHECK (value >= 0);
CREATE TABLE others (id int PRIMARY KEY, m mood, p price, a int[], i interval, ip inet, by bytea, mo money, r int4range);
INSERT INTO others VALUES (1, 'busy', 1.125, '{1,NULL,3}', '1 day 02:03:04', '10.0.0.1/8', '\x00ff', 12.5, '[1,5)');
SELECT * FROM regress.changes();
UPDATE others SET m = 'calm';
SELECT col, type, clickhouse_type FROM regress.schemas();
DROP TABLE typed, amounts, others;
DROP TYPE mood;
DROP DOMAIN price;
