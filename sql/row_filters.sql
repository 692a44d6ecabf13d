-- Row filters: what an update is depends on whether the row enters, leaves or stays.
\set SHOW_CONTEXT never
CREATE TABLE parcel (id int PRIMARY KEY, region text, weight numeric(8,2), note text);
CREATE PUBLICATION near FOR TABLE parcel WHERE (id < 10);
INSERT INTO parcel VALUES (1, 'eu', 1, 'a'), (11, 'us', 2, 'b'), (2, NULL, NULL, NULL);
UPDATE parcel SET weight = 3 WHERE id = 1;
UPDATE parcel SET weight = 4 WHERE id = 11;
UPDATE parcel SET id = 3 WHERE id = 1;
UPDATE parcel SET id = 13 WHERE id = 3;
UPDATE parcel SET id = 14 WHERE id = 13;
UPDATE parcel SET id = 4 WHERE id = 14;
DELETE FROM parcel WHERE id IN (4, 11);
SELECT * FROM regress.changes('near');

-- Columns that are not of the key, under REPLICA IDENTITY FULL. NULL is not true.
ALTER TABLE parcel REPLICA IDENTITY FULL;
CREATE PUBLICATION europe FOR TABLE parcel WHERE (region = 'eu' AND coalesce(weight, 0) < 100);
TRUNCATE parcel;
INSERT INTO parcel VALUES (1, 'eu', 1, 'stays'), (2, 'us', 1, 'enters'), (3, 'eu', 1, 'leaves'), (4, NULL, 1, 'never');
UPDATE parcel SET weight = 2;
UPDATE parcel SET region = 'eu' WHERE id = 2;
UPDATE parcel SET weight = 100 WHERE id = 3;
UPDATE parcel SET id = 5 WHERE id = 1;
UPDATE parcel SET region = NULL WHERE id = 2;
DELETE FROM parcel;
SELECT * FROM regress.changes('europe');

-- A value out of line that the filter uses and the update leaves alone is found in the old row; a row that enters has it.
ALTER TABLE parcel ALTER region SET STORAGE EXTERNAL, ALTER note SET STORAGE EXTERNAL;
CREATE PUBLICATION lengthy FOR TABLE parcel WHERE (length(region) > 3000 AND weight > 0);
INSERT INTO parcel VALUES (1, repeat('r', 4000), 0, repeat('n', 4000)), (2, repeat('r', 3500), 1, repeat('n', 4000));
UPDATE parcel SET weight = 1 WHERE id = 1;
UPDATE parcel SET weight = 2 WHERE id = 1;
UPDATE parcel SET weight = 0 WHERE id = 2;
SELECT d->>'record' AS record, d->'row'->>'id' AS id, d->'key' AS key, length(d->'row'->>'region') AS region,
	length(d->'row'->>'note') AS note, d->'unchanged' AS unchanged FROM regress.changes('lengthy') d;
TRUNCATE parcel;
DROP PUBLICATION europe, lengthy;

-- Without FULL the note of a row that enters is not in the WAL, and is said to be missing.
ALTER TABLE parcel DROP CONSTRAINT parcel_pkey, ADD PRIMARY KEY (id, weight), REPLICA IDENTITY DEFAULT;
CREATE PUBLICATION heavy FOR TABLE parcel WHERE (weight > 0);
INSERT INTO parcel VALUES (1, 'eu', 0, repeat('n', 4000));
UPDATE parcel SET weight = 1;
UPDATE parcel SET region = 'us';
SELECT d->>'record' AS record, d->'row'->>'id' AS id, d->'row'->>'region' AS region, length(d->'row'->>'note') AS note,
	d->'unchanged' AS unchanged FROM regress.changes('heavy') d;

-- Built-in functions and operators; only inserts may be filtered by any column.
CREATE PUBLICATION odd FOR TABLE parcel WHERE (region ~ '^(eu|us)$' AND note IS NULL AND round(weight) = 2)
	WITH (publish = 'insert');
INSERT INTO parcel VALUES (2, 'eu', 2.4, NULL), (3, 'eu', 2.5, NULL), (4, 'asia', 2, NULL), (5, 'us', 2, NULL), (6, 'us', 2, '');
UPDATE parcel SET region = 'asia' WHERE id = 2;
DELETE FROM parcel WHERE id = 2;
SELECT * FROM regress.changes('odd');

-- Filters change at their place in the stream, also within a transaction, and with columns that come and go.
INSERT INTO parcel VALUES (20, 'eu', 1, NULL);
BEGIN;
ALTER PUBLICATION near SET TABLE parcel WHERE (id > 100);
INSERT INTO parcel VALUES (21, 'eu', 1, NULL), (101, 'eu', 1, NULL);
ALTER PUBLICATION near SET TABLE parcel WHERE (id > 20 AND id < 100);
INSERT INTO parcel VALUES (22, 'eu', 1, NULL), (102, 'eu', 1, NULL);
COMMIT;
ALTER TABLE parcel DROP note, ADD extra int NOT NULL DEFAULT 7;
INSERT INTO parcel VALUES (23, 'eu', 1), (103, 'eu', 1);
ALTER PUBLICATION near SET TABLE parcel;
INSERT INTO parcel VALUES (104, 'eu', 1);
SELECT * FROM regress.changes('near');

-- Several publications: one that lets the row pass is enough; each filters its own actions.
CREATE PUBLICATION low FOR TABLE parcel WHERE (id < 10);
CREATE PUBLICATION high FOR TABLE parcel WHERE (id > 1000) WITH (publish = 'insert');
TRUNCATE parcel;
INSERT INTO parcel VALUES (1, 'eu', 1), (500, 'eu', 1), (1001, 'eu', 1);
DELETE FROM parcel;
SELECT * FROM regress.changes('low, high');
INSERT INTO parcel VALUES (502, 'eu', 1);
SELECT * FROM regress.changes('low, high, everything');

-- A schema that is published as a whole is published without filters.
CREATE PUBLICATION whole FOR TABLE parcel WHERE (id < 10), TABLES IN SCHEMA public;
INSERT INTO parcel VALUES (501, 'eu', 1);
SELECT * FROM regress.changes('whole');

DROP PUBLICATION near, heavy, odd, low, high, whole;
DROP TABLE parcel;

-- Column lists: what is not listed does not exist.
CREATE TABLE person (secret text, id int PRIMARY KEY, name text, born date, twice int GENERATED ALWAYS AS (id * 2) STORED);
CREATE PUBLICATION open FOR TABLE person (id, name);
INSERT INTO person (secret, id, name, born) VALUES ('x', 1, 'Ada', '1815-12-10');
SELECT * FROM regress.schemas('open');
UPDATE person SET secret = 'y';
UPDATE person SET id = 2, name = 'Ada Lovelace';
INSERT INTO person (id) VALUES (3);
DELETE FROM person WHERE id = 2;
SELECT * FROM regress.changes('open');
-- The list changes, a listed column is renamed, another of the same name comes.
BEGIN;
INSERT INTO person (id, name, born) VALUES (4, 'Grace', '1906-12-09');
ALTER PUBLICATION open SET TABLE person (id, born);
INSERT INTO person (id, name, born) VALUES (5, 'Grace', '1906-12-09');
ALTER TABLE person RENAME born TO birthday;
ALTER TABLE person ADD born int DEFAULT 1;
INSERT INTO person (id, name, birthday) VALUES (6, 'Edsger', '1930-05-11');
ALTER PUBLICATION open SET TABLE person;
INSERT INTO person (id, name) VALUES (7, 'Tony');
COMMIT;
SELECT * FROM regress.changes('open');
-- A key that is not listed is none.
CREATE PUBLICATION nameless FOR TABLE person (name) WITH (publish = 'insert');
INSERT INTO person (id, name) VALUES (8, 'Barbara');
SELECT * FROM regress.schemas('nameless');
-- Different lists cannot be combined; the same list can.
CREATE PUBLICATION same FOR TABLE person (name) WITH (publish = 'insert');
INSERT INTO person (id, name) VALUES (9, 'Donald');
SELECT count(*) FROM pg_logical_slot_peek_binary_changes('regress', NULL, NULL, 'publication', 'nameless, open');
SELECT * FROM regress.changes('nameless, same');
-- After an error in the middle of decoding the session goes on.
ALTER TABLE person ADD later int;
INSERT INTO person (id, name) VALUES (10, 'John');
SELECT * FROM regress.changes('nameless');

-- List and filter together; the filter may use what is not listed.
CREATE PUBLICATION list_and_filter FOR TABLE person (name) WHERE (id > 20 AND secret IS NULL) WITH (publish = 'insert');
INSERT INTO person (id, name, secret) VALUES (19, 'no', NULL), (21, 'yes', NULL), (22, 'no', 'x');
SELECT * FROM regress.changes('list_and_filter');

DROP PUBLICATION open, nameless, same, list_and_filter;
DROP TABLE person;

-- A column that is computed when it is read (since 18) is in no row, and a filter may use it all the same.
DO $$ BEGIN
	IF current_setting('server_version_num')::int >= 180000 THEN
		EXECUTE 'CREATE TABLE computed (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) VIRTUAL)';
		EXECUTE 'CREATE PUBLICATION computed FOR TABLE computed WHERE (twice > 10) WITH (publish = ''insert'')';
	ELSE
		CREATE TABLE computed (id int PRIMARY KEY);
		CREATE PUBLICATION computed FOR TABLE computed WHERE (id * 2 > 10) WITH (publish = 'insert');
	END IF;
END $$;
INSERT INTO computed VALUES (5), (6);
SELECT * FROM regress.changes('computed');
DROP PUBLICATION computed;
DROP TABLE computed;
