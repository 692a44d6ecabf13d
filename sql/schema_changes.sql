-- A schema is sent before the first row that needs it, at its place in the stream; an old row keeps its old schema.
CREATE FUNCTION regress.stream() RETURNS SETOF text LANGUAGE sql AS $$
	SELECT CASE d->>'record' WHEN 'schema' THEN 'schema ' || (d->>'table') || ': ' ||
			(SELECT string_agg(c->>'name', ', ' ORDER BY n) FROM jsonb_array_elements(d->'columns') WITH ORDINALITY a(c, n))
		ELSE (d->>'record') || coalesce(' ' || coalesce(d->'row', d->'key')::text, '') END
	FROM pg_logical_slot_get_binary_changes('regress', NULL, NULL, 'publication', 'everything') c,
		LATERAL walhouse.decode(c.data) WITH ORDINALITY d(d, n)
	ORDER BY c.lsn, n
$$;
CREATE TABLE shape (id int PRIMARY KEY, a int);
INSERT INTO shape VALUES (1, 1);
BEGIN;
INSERT INTO shape VALUES (2, 2);
ALTER TABLE shape ADD b text DEFAULT 'late';
INSERT INTO shape VALUES (3, 3);
ALTER TABLE shape DROP a;
INSERT INTO shape VALUES (4, 'x');
COMMIT;
ALTER TABLE shape RENAME b TO c;
INSERT INTO shape VALUES (5, 'y');
ALTER TABLE shape ALTER c TYPE varchar(20);
UPDATE shape SET c = 'z' WHERE id = 1;
ALTER TABLE shape RENAME TO form;
INSERT INTO form VALUES (6, 'w');
ALTER SCHEMA regress RENAME TO regress2;
ALTER SCHEMA regress2 RENAME TO regress;
INSERT INTO form VALUES (7, 'v');
SELECT * FROM regress.stream();

-- Statistics and vacuum change nothing that is sent.
ANALYZE form;
INSERT INTO form VALUES (8, 'u');
VACUUM form;
INSERT INTO form VALUES (9, 't');
SELECT * FROM regress.stream();

-- Names of all kinds.
CREATE SCHEMA "odd. Schéma";
CREATE TABLE "odd. Schéma"."Ta""ble's" ("K e y" int PRIMARY KEY, "ünïcode 列" text);
INSERT INTO "odd. Schéma"."Ta""ble's" VALUES (1, 'x');
SELECT * FROM regress.stream();
DROP SCHEMA "odd. Schéma" CASCADE;
DROP TABLE form;

-- What a session has seen of schemas: table, replica identity, and each column with its place, type and place in the key.
CREATE FUNCTION regress.versions(publication text DEFAULT 'everything') RETURNS SETOF text LANGUAGE sql AS $$
	SELECT CASE d->>'record' WHEN 'schema' THEN format('schema %s.%s %s: ', d->>'schema', d->>'table', d->>'replica_identity') ||
			(SELECT string_agg(format('%s %s %s', c->>'attribute_number', c->>'name', c->>'type') ||
				CASE WHEN c->>'nullable' = 'true' THEN ' null' ELSE '' END ||
				CASE WHEN c->>'key_position' <> '0' THEN ' key ' || (c->>'key_position') ELSE '' END, ', ' ORDER BY n)
				FROM jsonb_array_elements(d->'columns') WITH ORDINALITY a(c, n))
		ELSE format('%s %s %s', d->>'record', d->>'table', coalesce(d->'row', d->'key')) END
	FROM pg_logical_slot_get_binary_changes('regress', NULL, NULL, 'publication', publication) c,
		LATERAL walhouse.decode(c.data) WITH ORDINALITY d(d, n)
	WHERE d->>'record' <> 'commit' ORDER BY c.lsn, n
$$;

-- Columns that come: nullable, with a default that is not stored in rows, with one that rewrites the table; and within a transaction.
CREATE TABLE grown (id int PRIMARY KEY);
INSERT INTO grown VALUES (1), (2);
ALTER TABLE grown ADD plain text;
UPDATE grown SET plain = 'p' WHERE id = 1;
ALTER TABLE grown ADD given int NOT NULL DEFAULT 5;
UPDATE grown SET plain = 'q' WHERE id = 1;
ALTER TABLE grown ADD volatile float8 DEFAULT random() * 0 + 7;
UPDATE grown SET plain = 'r' WHERE id = 1;
BEGIN;
INSERT INTO grown VALUES (3, 's', 6, 8);
ALTER TABLE grown ADD late float8 DEFAULT random() * 0 + 9;
INSERT INTO grown VALUES (4, 't', 6, 8);
DELETE FROM grown WHERE id = 2;
COMMIT;
SELECT * FROM regress.versions();

-- Types that change: with a rewrite, without one, and in the key. NOT NULL comes and goes.
ALTER TABLE grown ALTER given TYPE bigint, ALTER plain TYPE varchar(10);
INSERT INTO grown VALUES (5, 'u', 60, 8);
BEGIN;
UPDATE grown SET given = 61 WHERE id = 5;
ALTER TABLE grown ALTER given TYPE text USING 'n' || given;
UPDATE grown SET given = 'n62' WHERE id = 5;
ALTER TABLE grown ALTER id TYPE bigint;
UPDATE grown SET id = 10000000000 WHERE id = 5;
COMMIT;
ALTER TABLE grown ALTER plain SET NOT NULL, ALTER given DROP NOT NULL;
SELECT * FROM regress.versions();
DELETE FROM grown WHERE id = 3;
UPDATE grown SET plain = 'v' WHERE id = 4;
SELECT * FROM regress.versions();

-- The key: another, of more columns, renamed, gone; and the replica identity.
ALTER TABLE grown DROP CONSTRAINT grown_pkey, ADD PRIMARY KEY (plain, id);
UPDATE grown SET late = 1 WHERE id = 4;
ALTER TABLE grown RENAME plain TO code;
DELETE FROM grown WHERE id = 4;
BEGIN;
ALTER TABLE grown REPLICA IDENTITY FULL;
UPDATE grown SET late = 2 WHERE id = 1;
ALTER TABLE grown REPLICA IDENTITY DEFAULT;
UPDATE grown SET late = 3 WHERE id = 1;
ALTER TABLE grown REPLICA IDENTITY NOTHING;
INSERT INTO grown VALUES (6, 'w', '1', 8, 9);
ALTER TABLE grown REPLICA IDENTITY DEFAULT;
DELETE FROM grown WHERE id = 6;
ALTER TABLE grown DROP CONSTRAINT grown_pkey;
INSERT INTO grown VALUES (7, 'x', '1', 8, 9);
COMMIT;
SELECT * FROM regress.versions();
DROP TABLE grown;

-- Moved, renamed, its schema renamed, dropped and made again; swapped with another.
CREATE SCHEMA one;
CREATE TABLE mover (id int PRIMARY KEY);
INSERT INTO mover VALUES (1);
BEGIN;
ALTER TABLE mover SET SCHEMA one;
INSERT INTO one.mover VALUES (2);
ALTER SCHEMA one RENAME TO two;
INSERT INTO two.mover VALUES (3);
COMMIT;
DROP TABLE two.mover;
CREATE TABLE two.mover (name text PRIMARY KEY);
INSERT INTO two.mover VALUES ('x');
BEGIN;
CREATE TABLE two.other (name text PRIMARY KEY, more int);
INSERT INTO two.other VALUES ('new', 1);
ALTER TABLE two.mover RENAME TO old;
ALTER TABLE two.other RENAME TO mover;
INSERT INTO two.old VALUES ('old');
INSERT INTO two.mover VALUES ('mover', 2);
DROP TABLE two.old;
COMMIT;
SELECT * FROM regress.versions();
DROP SCHEMA two CASCADE;

-- DDL that is rolled back leaves no trace, to a savepoint or wholly.
CREATE TABLE stays (id int PRIMARY KEY, a int);
BEGIN;
INSERT INTO stays VALUES (1, 1);
SAVEPOINT s;
ALTER TABLE stays DROP a, ADD b text DEFAULT 'x';
INSERT INTO stays VALUES (2, 'gone');
ROLLBACK TO s;
INSERT INTO stays VALUES (3, 3);
COMMIT;
BEGIN;
ALTER TABLE stays RENAME TO leaves;
INSERT INTO leaves VALUES (4, 4);
ROLLBACK;
INSERT INTO stays VALUES (5, 5);
SELECT * FROM regress.versions();
DROP TABLE stays;

-- Types that are made, extended and renamed in the transaction that uses them. A value is what it was called at its place.
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TABLE felt (id int PRIMARY KEY, m mood);
INSERT INTO felt VALUES (1, 'sad');
BEGIN;
CREATE TYPE size AS ENUM ('s', 'l');
INSERT INTO felt VALUES (2, 'ok');
ALTER TYPE mood RENAME VALUE 'ok' TO 'fine';
UPDATE felt SET id = 3 WHERE id = 2;
ALTER TABLE felt ADD s size DEFAULT 'l';
INSERT INTO felt VALUES (4, 'fine', 's');
ALTER TYPE mood RENAME TO spirit;
INSERT INTO felt VALUES (5, 'sad', 'l');
COMMIT;
ALTER TYPE spirit ADD VALUE 'glad' BEFORE 'sad';
INSERT INTO felt VALUES (6, 'glad', 's');
CREATE DOMAIN short AS text CHECK (length(value) < 5);
CREATE TYPE both_of AS (a int, b short);
BEGIN;
ALTER TABLE felt ADD d short, ADD c both_of;
INSERT INTO felt VALUES (7, 'glad', 's', 'dom', (1, 'x'));
ALTER DOMAIN short RENAME TO brief;
UPDATE felt SET d = 'new' WHERE id = 7;
COMMIT;
SELECT * FROM regress.versions();
DROP TABLE felt;
DROP TYPE spirit, size, both_of, brief;

-- Names of 63 bytes, longer ones that Postgres cuts, names that differ in case only, or in what is escaped.
CREATE TABLE "Case" (id int PRIMARY KEY);
CREATE TABLE "case" (id int PRIMARY KEY);
CREATE TABLE "a.b" (id int PRIMARY KEY);
CREATE TABLE "a_x2E_b" (id int PRIMARY KEY);
CREATE TABLE "ääääääääääääääääääääääääääääääääääääääääää" (id int PRIMARY KEY);
CREATE TABLE "0123456789012345678901234567890123456789012345678901234567890123456789" (id int PRIMARY KEY);
INSERT INTO "Case" VALUES (1);
INSERT INTO "case" VALUES (2);
INSERT INTO "a.b" VALUES (3);
INSERT INTO "a_x2E_b" VALUES (4);
INSERT INTO "ääääääääääääääääääääääääääääääääääääääääää" VALUES (5);
INSERT INTO "0123456789012345678901234567890123456789012345678901234567890123456789" VALUES (6);
SELECT * FROM regress.versions();
DROP TABLE "Case", "case", "a.b", "a_x2E_b", "ääääääääääääääääääääääääääääääääääääääääää",
	"0123456789012345678901234567890123456789012345678901234567890123456789";

DROP FUNCTION regress.stream, regress.versions;
