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
DROP FUNCTION regress.stream;
