-- Publications select what is decoded.
CREATE TABLE chosen (id int PRIMARY KEY);
CREATE TABLE ignored (id int PRIMARY KEY);
CREATE SCHEMA area;
CREATE TABLE area.inside (id int PRIMARY KEY);
CREATE PUBLICATION selected FOR TABLE chosen, TABLES IN SCHEMA area;
CREATE PUBLICATION inserts FOR ALL TABLES WITH (publish = 'insert');

INSERT INTO chosen VALUES (1);
INSERT INTO ignored VALUES (1);
INSERT INTO area.inside VALUES (1);
SELECT * FROM regress.changes('selected');

-- Adding a table takes effect at its place in the stream.
INSERT INTO ignored VALUES (2);
ALTER PUBLICATION selected ADD TABLE ignored;
INSERT INTO ignored VALUES (3);
ALTER PUBLICATION selected DROP TABLE ignored;
INSERT INTO ignored VALUES (4);
SELECT * FROM regress.changes('selected');

-- Only the published actions.
UPDATE chosen SET id = 2;
INSERT INTO chosen VALUES (3);
DELETE FROM chosen;
SELECT * FROM regress.changes('inserts');

-- Partitions are tables of their own, published with their root. The root itself has no rows to truncate.
CREATE TABLE parted (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (0) TO (10);
CREATE PUBLICATION rooted FOR TABLE parted;
INSERT INTO parted VALUES (5);
TRUNCATE parted;
SELECT * FROM regress.changes('rooted');

-- Option errors.
SELECT count(*) FROM pg_logical_slot_peek_binary_changes('regress', NULL, NULL);
SELECT count(*) FROM pg_logical_slot_peek_binary_changes('regress', NULL, NULL, 'publication', '');
SELECT count(*) FROM pg_logical_slot_peek_binary_changes('regress', NULL, NULL, 'publication', 'selected', 'format', '2');
SELECT count(*) FROM pg_logical_slot_peek_binary_changes('regress', NULL, NULL, 'publication', 'selected', 'batch_bytes', 'x');
SELECT count(*) FROM pg_logical_slot_peek_binary_changes('regress', NULL, NULL, 'publication', 'selected', 'colour', 'blue');

-- A chunk is written when batch_bytes are reached and at commit; each names its transaction and schema.
INSERT INTO chosen SELECT g FROM generate_series(1, 5) g;
SELECT count(*) FROM pg_logical_slot_peek_binary_changes('regress', NULL, NULL, 'publication', 'selected');
SELECT count(*) FROM pg_logical_slot_peek_binary_changes('regress', NULL, NULL, 'publication', 'selected', 'batch_bytes', '1');
SELECT d - '{fingerprint,commit_lsn,end_lsn,xid,commit_time}'::text[]
FROM pg_logical_slot_get_binary_changes('regress', NULL, NULL, 'publication', 'selected', 'batch_bytes', '1') c,
	LATERAL walhouse.decode(c.data) WITH ORDINALITY d(d, n) WHERE d->>'record' <> 'schema' ORDER BY c.lsn, n;

-- A publication that does not exist at that place: a warning, nothing decoded, and the stream goes on.
INSERT INTO chosen VALUES (100);
SET client_min_messages = error;
SELECT * FROM regress.changes('nowhere');
RESET client_min_messages;

-- Dropped and created again, with another content: at its place in the stream.
INSERT INTO ignored VALUES (5);
DROP PUBLICATION selected;
CREATE PUBLICATION selected FOR TABLE ignored;
INSERT INTO chosen VALUES (101);
INSERT INTO ignored VALUES (6);
SELECT * FROM regress.changes('selected');

-- Several publications: what one of them has.
CREATE PUBLICATION also FOR TABLE chosen WITH (publish = 'insert, delete');
INSERT INTO chosen VALUES (102);
UPDATE chosen SET id = 103 WHERE id = 102;
DELETE FROM chosen WHERE id = 103;
INSERT INTO ignored VALUES (7);
SELECT * FROM regress.changes('selected, also');

DROP PUBLICATION selected, inserts, rooted, also;
DROP TABLE chosen, ignored, parted;
DROP SCHEMA area CASCADE;
