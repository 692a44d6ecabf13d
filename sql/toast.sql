-- Values out of line, compressed, and what an update that leaves them alone says of them.
CREATE TABLE stored (id int PRIMARY KEY, plain text, external text, compressed text, note int);
ALTER TABLE stored ALTER plain SET STORAGE PLAIN, ALTER external SET STORAGE EXTERNAL, ALTER compressed SET STORAGE MAIN;
CREATE FUNCTION regress.lengths(publication text DEFAULT 'everything')
	RETURNS TABLE (record text, id text, plain int, external int, compressed int, note text, unchanged jsonb) LANGUAGE sql AS $$
	SELECT d->>'record', coalesce(d->'row', d->'key')->>'id', length(d->'row'->>'plain'), length(d->'row'->>'external'),
		length(d->'row'->>'compressed'), d->'row'->>'note', d->'unchanged'
	FROM regress.changes(publication) d WHERE d->>'record' <> 'commit'
$$;
INSERT INTO stored VALUES (1, repeat('p', 3000), repeat('e', 30000), repeat('c', 30000), 1);
UPDATE stored SET note = 2;
UPDATE stored SET external = external || 'x';
UPDATE stored SET external = NULL;
UPDATE stored SET compressed = repeat('d', 20000), external = 'short';
UPDATE stored SET external = repeat('e', 20000);
UPDATE stored SET id = 2;
SELECT * FROM regress.lengths();

-- Under FULL the old row has it.
ALTER TABLE stored REPLICA IDENTITY FULL;
UPDATE stored SET note = 3;
UPDATE stored SET id = 3;
DELETE FROM stored;
SELECT * FROM regress.lengths();
ALTER TABLE stored REPLICA IDENTITY DEFAULT;

-- Compressed inline: by both methods, also in a key, where only the compressed value fits into the index.
SELECT CASE WHEN 'lz4' = ANY (enumvals) THEN 'lz4' ELSE 'pglz' END AS method FROM pg_settings WHERE name = 'default_toast_compression' \gset
CREATE TABLE squeezed (id text COMPRESSION pglz PRIMARY KEY, body text COMPRESSION :method, note int);
INSERT INTO squeezed VALUES (repeat('k', 20000), repeat('b', 20000), 1);
UPDATE squeezed SET note = 2;
UPDATE squeezed SET id = repeat('l', 20000);
DELETE FROM squeezed;
SELECT d->>'record' AS record, left(coalesce(d->'row', d->'key')->>'id', 1) AS id, length(coalesce(d->'row', d->'key')->>'id') AS key_length,
	length(d->'row'->>'body') AS body, d->'row'->>'note' AS note, d->'unchanged' AS unchanged FROM regress.changes() d WHERE d->>'record' <> 'commit';

-- A key out of line: the WAL holds it in the old row, and no event names it as unchanged.
CREATE TABLE outside (name text, number int, body text, note int, PRIMARY KEY (name, number));
ALTER TABLE outside ALTER name SET STORAGE EXTERNAL, ALTER body SET STORAGE EXTERNAL, SET (toast_tuple_target = 128);
INSERT INTO outside VALUES (repeat('m', 2000), 2, 'short', 1);
SELECT pg_relation_size(reltoastrelid) > 0 AS key_is_out_of_line FROM pg_class WHERE oid = 'outside'::regclass;
INSERT INTO outside VALUES (repeat('n', 2500), 1, repeat('b', 5000), 1);
UPDATE outside SET note = 2;
UPDATE outside SET number = number + 10;
UPDATE outside SET name = repeat('o', 2400), body = 'b' WHERE number = 11;
DELETE FROM outside;
SELECT d->>'record' AS record, left(coalesce(d->'row', d->'key')->>'name', 1) AS name, length(coalesce(d->'row', d->'key')->>'name') AS key_length,
	coalesce(d->'row', d->'key')->>'number' AS number, length(d->'row'->>'body') AS body, d->'row'->>'note' AS note,
	d->'unchanged' AS unchanged FROM regress.changes() d WHERE d->>'record' <> 'commit';
-- By another index, and under FULL.
ALTER TABLE outside ADD code text NOT NULL DEFAULT '', ALTER code SET STORAGE EXTERNAL;
CREATE UNIQUE INDEX outside_code ON outside (code);
ALTER TABLE outside REPLICA IDENTITY USING INDEX outside_code;
INSERT INTO outside VALUES ('a', 1, repeat('b', 5000), 1, repeat('c', 2500));
UPDATE outside SET note = 2;
UPDATE outside SET code = repeat('d', 2400);
ALTER TABLE outside REPLICA IDENTITY FULL;
UPDATE outside SET note = 3;
UPDATE outside SET name = repeat('n', 2500);
DELETE FROM outside;
SELECT d->>'record' AS record, jsonb_object_agg(e.key, length(e.value)) AS lengths, d->'unchanged' AS unchanged
FROM regress.changes() WITH ORDINALITY c(d, n), LATERAL jsonb_each_text(coalesce(d->'row', d->'key')) e GROUP BY c.n, d ORDER BY c.n;

-- Out of line within arrays, composites and jsonb: whole values, as their columns are.
CREATE TYPE pair AS (a text, b text);
CREATE TABLE nested (id int PRIMARY KEY, list text[], pair pair, doc jsonb, note int);
ALTER TABLE nested ALTER list SET STORAGE EXTERNAL, ALTER pair SET STORAGE EXTERNAL, ALTER doc SET STORAGE EXTERNAL;
INSERT INTO nested VALUES (1, ARRAY[repeat('x', 5000), NULL], (repeat('y', 5000), NULL), jsonb_build_object('k', repeat('z', 5000)), 1);
UPDATE nested SET note = 2;
UPDATE nested SET pair.b = 'b';
SELECT d->>'record' AS record, length(d->'row'->>'list') AS list, length(d->'row'->>'pair') AS pair, length(d->'row'->>'doc') AS doc,
	d->'unchanged' AS unchanged FROM regress.changes() d WHERE d->>'record' <> 'commit';

DROP TABLE stored, squeezed, outside, nested;
DROP TYPE pair;
DROP FUNCTION regress.lengths;
