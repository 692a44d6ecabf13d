-- Inserts, updates and deletes, and what a transaction looks like.
CREATE TABLE item (id int PRIMARY KEY, name text NOT NULL, price numeric(10,2));

-- One transaction, several events: ordinals count up, one commit ends it.
BEGIN;
INSERT INTO item VALUES (1, 'tea', 3.50), (2, 'coffee', 4.25);
UPDATE item SET price = 3.75 WHERE id = 1;
DELETE FROM item WHERE id = 2;
COMMIT;
SELECT * FROM regress.changes();

-- A change of the key is a delete and an insert; an update that leaves the key alone is one event.
UPDATE item SET id = 10 WHERE id = 1;
UPDATE item SET id = 10, name = 'green tea' WHERE id = 10;
SELECT * FROM regress.changes();

-- Rolled back, wholly or to a savepoint: not there.
BEGIN;
INSERT INTO item VALUES (3, 'never', 0);
ROLLBACK;
BEGIN;
INSERT INTO item VALUES (4, 'stays', 1);
SAVEPOINT s;
INSERT INTO item VALUES (5, 'goes', 2);
ROLLBACK TO s;
INSERT INTO item VALUES (6, 'stays too', NULL);
COMMIT;
SELECT * FROM regress.changes();

-- INSERT ... ON CONFLICT, COPY.
INSERT INTO item VALUES (4, 'again', 1) ON CONFLICT (id) DO UPDATE SET name = excluded.name;
COPY item FROM stdin;
7	seven	7.00
8	eight	\N
\.
SELECT * FROM regress.changes();

-- A key of several columns comes first, in key order, wherever the columns stand.
CREATE TABLE line (note text, line_no int, order_id bigint, PRIMARY KEY (order_id, line_no));
INSERT INTO line VALUES ('first', 1, 100);
SELECT * FROM regress.schemas();
INSERT INTO line VALUES ('second', 2, 100);
UPDATE line SET line_no = 3 WHERE line_no = 2;
DELETE FROM line WHERE line_no = 3;
SELECT * FROM regress.changes();

-- REPLICA IDENTITY FULL and USING INDEX.
ALTER TABLE item REPLICA IDENTITY FULL;
UPDATE item SET price = 9 WHERE id = 7;
UPDATE item SET id = 70 WHERE id = 7;
DELETE FROM item WHERE id = 70;
SELECT * FROM regress.changes();
ALTER TABLE item REPLICA IDENTITY DEFAULT;
CREATE TABLE coded (id int PRIMARY KEY, code text NOT NULL UNIQUE);
ALTER TABLE coded REPLICA IDENTITY USING INDEX coded_code_key;
INSERT INTO coded VALUES (1, 'a');
UPDATE coded SET id = 2 WHERE id = 1;
UPDATE coded SET code = 'b';
DELETE FROM coded;
SELECT * FROM regress.changes();

-- Without a usable key only inserts can be said: a deferrable key is none.
CREATE TABLE log (message text);
INSERT INTO log VALUES ('one'), ('one');
CREATE TABLE deferred (id int PRIMARY KEY DEFERRABLE);
INSERT INTO deferred VALUES (1);
SELECT * FROM regress.changes();

-- TRUNCATE, of several tables.
TRUNCATE item, line;
SELECT * FROM regress.changes();

-- A value kept out of line that the update leaves alone is named, not sent; one that changes is sent.
CREATE TABLE document (id int PRIMARY KEY, title text, body text);
ALTER TABLE document ALTER body SET STORAGE EXTERNAL;
INSERT INTO document VALUES (1, 'draft', repeat('x', 10000));
SELECT d->>'record', d->'row'->>'title', length(d->'row'->>'body'), d->'unchanged' FROM regress.changes() d;
UPDATE document SET title = 'final';
UPDATE document SET body = repeat('y', 9000);
SELECT d->>'record', d->'row'->>'title', length(d->'row'->>'body'), d->'unchanged' FROM regress.changes() d;
ALTER TABLE document REPLICA IDENTITY FULL;
UPDATE document SET title = 'printed';
SELECT d->>'record', d->'row'->>'title', length(d->'row'->>'body'), d->'unchanged' FROM regress.changes() d;

-- A row that no Kafka message can hold leaves its key and its size; its neighbours are whole.
BEGIN;
INSERT INTO document VALUES (2, 'before', 'b'), (3, 'large', repeat('x', 11 * 1024 * 1024)), (4, 'after', 'a');
UPDATE document SET title = 'still large' WHERE id = 3;
COMMIT;
CREATE TABLE heap_of_text (a text, b text, c text);
INSERT INTO heap_of_text SELECT t, t, t FROM repeat('x', 30 * 1024 * 1024) t;
SELECT d->>'record' AS record, d->'ordinal' AS ordinal, d->'key' AS key, d->'row'->>'title' AS title, d->'too_large' AS too_large
FROM regress.changes() d;
DROP TABLE heap_of_text;

-- Not for capture: temporary and unlogged tables, the extension's own.
CREATE TEMPORARY TABLE mine (id int PRIMARY KEY);
CREATE UNLOGGED TABLE cheap (id int PRIMARY KEY);
INSERT INTO mine VALUES (1);
INSERT INTO cheap VALUES (1);
SELECT * FROM regress.changes();

DROP TABLE item, line, coded, log, deferred, document, mine, cheap;
