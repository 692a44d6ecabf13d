-- What a transaction can look like.
CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL);

-- Larger than logical_decoding_work_mem: spilled to disk, put together again, subtransactions and all.
SET logical_decoding_work_mem = '64kB';
BEGIN;
INSERT INTO account SELECT g, 0 FROM generate_series(1, 3000) g;
SAVEPOINT a;
UPDATE account SET balance = 1;
SAVEPOINT b;
DELETE FROM account WHERE id % 2 = 0;
ROLLBACK TO b;
UPDATE account SET balance = balance + 1 WHERE id % 3 = 0;
RELEASE a;
SAVEPOINT c;
INSERT INTO account SELECT g, 9 FROM generate_series(4001, 6000) g;
ROLLBACK TO c;
COMMIT;
SELECT d->>'record' AS record, count(*), min((d->>'ordinal')::int), max((d->>'ordinal')::int), sum((d->'row'->>'balance')::int) AS balance
FROM regress.changes() d GROUP BY 1 ORDER BY 1;
-- In a chunk each, in one chunk: the same events.
CREATE FUNCTION regress.digest(batch_bytes text) RETURNS TABLE (chunks bigint, events bigint, digest text) LANGUAGE sql AS $$
	SELECT count(DISTINCT (c.lsn, c.data)), count(*) FILTER (WHERE d->>'record' <> 'schema'), md5(string_agg(d::text, '' ORDER BY c.n, d.n) FILTER (WHERE d->>'record' <> 'schema'))
	FROM pg_logical_slot_peek_binary_changes('regress', NULL, NULL, 'publication', 'everything', 'batch_bytes', batch_bytes)
		WITH ORDINALITY c(lsn, xid, data, n), LATERAL walhouse.decode(c.data) WITH ORDINALITY d(d, n)
$$;
DELETE FROM account WHERE id > 2000;
SELECT a.chunks > 900 AS many, b.chunks AS one, a.events, a.digest = b.digest AS same FROM regress.digest('1') a, regress.digest('16777216') b;
DROP FUNCTION regress.digest;
SELECT count(*) FROM regress.changes();
RESET logical_decoding_work_mem;

-- Errors that were caught are subtransactions that were rolled back.
DO $$ BEGIN
	INSERT INTO account VALUES (-1, 1);
	BEGIN
		INSERT INTO account VALUES (-2, 1);
		INSERT INTO account VALUES (-1, 1);
	EXCEPTION WHEN unique_violation THEN NULL;
	END;
	INSERT INTO account VALUES (-3, 1);
END $$;
SELECT * FROM regress.changes();

-- Two-phase commit: with COMMIT PREPARED, not before and not without.
BEGIN;
INSERT INTO account VALUES (-4, 1);
SAVEPOINT s;
INSERT INTO account VALUES (-5, 1);
ROLLBACK TO s;
UPDATE account SET balance = 2 WHERE id = -1;
PREPARE TRANSACTION 'kept';
BEGIN;
INSERT INTO account VALUES (-6, 1);
PREPARE TRANSACTION 'dropped';
INSERT INTO account VALUES (-7, 1);
SELECT * FROM regress.changes();
ROLLBACK PREPARED 'dropped';
COMMIT PREPARED 'kept';
SELECT * FROM regress.changes();

-- COPY, frozen too; tables of the same transaction that made them; a table that the transaction drops again.
BEGIN;
CREATE TABLE frozen (id int PRIMARY KEY, note text);
COPY frozen FROM stdin WITH (FREEZE);
1	one
2	two
\.
CREATE TABLE brief (id int PRIMARY KEY);
INSERT INTO brief VALUES (1);
DROP TABLE brief;
CREATE TABLE selected_into AS SELECT * FROM frozen;
COMMIT;
SELECT * FROM regress.changes();

-- INSERT ... ON CONFLICT: what was done, not what was tried.
INSERT INTO frozen VALUES (1, 'again'), (3, 'three') ON CONFLICT DO NOTHING;
INSERT INTO frozen VALUES (1, 'uno'), (4, 'four') ON CONFLICT (id) DO UPDATE SET note = excluded.note;
MERGE INTO frozen f USING (VALUES (2, 'zwei'), (5, 'fünf')) v(id, note) ON f.id = v.id
	WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (v.id, v.note);
SELECT * FROM regress.changes();

-- TRUNCATE: with what refers to it, with its sequences, and rolled back.
CREATE TABLE parent_of (id serial PRIMARY KEY);
CREATE TABLE child_of (id int PRIMARY KEY, parent int REFERENCES parent_of);
INSERT INTO parent_of DEFAULT VALUES;
INSERT INTO child_of VALUES (1, 1);
BEGIN;
TRUNCATE parent_of RESTART IDENTITY CASCADE;
INSERT INTO parent_of DEFAULT VALUES;
COMMIT;
BEGIN;
TRUNCATE child_of, frozen;
ROLLBACK;
SELECT * FROM regress.changes();

-- Key changes: rows that change places, keys that are equal for ClickHouse and differ in text, and the other way round.
CREATE TABLE place (id int PRIMARY KEY, who text);
INSERT INTO place VALUES (1, 'a'), (2, 'b');
BEGIN;
UPDATE place SET id = 3 WHERE id = 1;
UPDATE place SET id = 1 WHERE id = 2;
UPDATE place SET id = 2 WHERE id = 3;
COMMIT;
CREATE TABLE measured (n numeric PRIMARY KEY, note text);
INSERT INTO measured VALUES (1.0, 'one');
UPDATE measured SET n = 1.00;
CREATE TABLE weighed (n numeric(10,2) PRIMARY KEY, f float8);
INSERT INTO weighed VALUES (1.0, 1);
UPDATE weighed SET n = 1.00, f = 2;
CREATE TABLE signed (f float8 PRIMARY KEY, note text);
INSERT INTO signed VALUES ('-0', 'minus');
UPDATE signed SET f = '0';
CREATE TABLE named (name char(5), at timestamptz, PRIMARY KEY (name, at));
INSERT INTO named VALUES ('x', '2024-01-01 00:00:00+00');
UPDATE named SET at = '2024-01-01 01:00:00+01';
UPDATE named SET name = 'y';
SELECT * FROM regress.changes();

-- Columns that were dropped, that are computed, that have defaults of their own.
CREATE TABLE worn (a int, id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, b int, c int, d int GENERATED ALWAYS AS (b * 2) STORED);
INSERT INTO worn (a, b, c) VALUES (1, 2, 3);
ALTER TABLE worn DROP a, DROP c;
UPDATE worn SET b = 5;
ALTER TABLE worn ADD e text DEFAULT 'e';
UPDATE worn SET b = 6;
INSERT INTO worn (b) VALUES (7);
DELETE FROM worn WHERE id = 1;
SELECT * FROM regress.changes();

-- A key of INCLUDE columns is its key columns; a key of many is whole.
CREATE TABLE covering (id int, note text, PRIMARY KEY (id) INCLUDE (note));
INSERT INTO covering VALUES (1, 'a');
UPDATE covering SET note = 'b';
CREATE TABLE wide_key (c1 int, c2 text, c3 date, c4 uuid, c5 bool, c6 int8, note text, PRIMARY KEY (c6, c5, c4, c3, c2, c1));
INSERT INTO wide_key VALUES (1, 'two', '2003-03-03', '44444444-4444-4444-4444-444444444444', true, 6, 'x');
UPDATE wide_key SET c2 = 'zwei';
DELETE FROM wide_key;
SELECT * FROM regress.changes();

DROP TABLE account, frozen, selected_into, parent_of, child_of, place, measured, weighed, signed, named, worn, covering, wide_key;
