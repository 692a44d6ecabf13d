-- Partitions published as their root: its name, its schema, its key.
CREATE TABLE event (id int, kind text NOT NULL, at date NOT NULL, payload text, PRIMARY KEY (at, kind, id)) PARTITION BY RANGE (at);
CREATE TABLE event_2024 (gone int, payload text, at date NOT NULL, kind text NOT NULL, id int NOT NULL);
ALTER TABLE event_2024 DROP gone;
ALTER TABLE event ATTACH PARTITION event_2024 FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE event_2025 PARTITION OF event FOR VALUES FROM ('2025-01-01') TO ('2026-01-01') PARTITION BY LIST (kind);
CREATE TABLE event_2025_a (kind text NOT NULL, id int NOT NULL, payload text, at date NOT NULL);
ALTER TABLE event_2025 ATTACH PARTITION event_2025_a FOR VALUES IN ('a');
CREATE TABLE event_2025_rest PARTITION OF event_2025 DEFAULT;
CREATE PUBLICATION rooted FOR TABLE event WITH (publish_via_partition_root = true);
INSERT INTO event VALUES (1, 'a', '2024-05-01', 'first'), (2, 'a', '2025-05-01', 'second'), (3, 'b', '2025-06-01', 'third');
SELECT * FROM regress.schemas('rooted');
INSERT INTO event_2025_a (id, kind, at, payload) VALUES (4, 'a', '2025-07-01', 'direct');
UPDATE event SET payload = payload || '!';
UPDATE event SET id = id + 10 WHERE kind = 'b';
-- Moves between partitions are a delete and an insert, also between levels; and out of a partition with another column order.
UPDATE event SET kind = 'c' WHERE id = 2;
UPDATE event SET at = '2025-08-01' WHERE id = 1;
DELETE FROM event WHERE id IN (1, 4);
SELECT * FROM regress.changes('rooted');

-- TRUNCATE of the root is one; of a partition it cannot be said.
TRUNCATE event;
INSERT INTO event VALUES (5, 'a', '2024-05-01', NULL);
TRUNCATE event_2024;
SELECT * FROM regress.changes('rooted');

-- The root changes: its partitions' rows follow, within the transaction.
INSERT INTO event VALUES (6, 'a', '2024-05-01', 'old name');
BEGIN;
ALTER TABLE event RENAME payload TO body;
ALTER TABLE event RENAME TO happening;
INSERT INTO happening VALUES (7, 'a', '2024-05-01', 'new name');
ALTER TABLE happening ADD extra int DEFAULT 9;
INSERT INTO happening VALUES (8, 'a', '2025-05-01', 'wider');
COMMIT;
ALTER TABLE happening RENAME TO event;
SELECT d - 'ordinal' FROM regress.changes('rooted') d;

-- Partitions come, go and change their parent.
CREATE TABLE event_2026 (LIKE event INCLUDING ALL);
INSERT INTO event_2026 VALUES (9, 'a', '2026-05-01', 'not yet');
ALTER TABLE event ATTACH PARTITION event_2026 FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
INSERT INTO event VALUES (10, 'a', '2026-05-01', 'attached');
ALTER TABLE event DETACH PARTITION event_2026;
INSERT INTO event_2026 VALUES (11, 'a', '2026-05-01', 'no more');
ALTER TABLE event DETACH PARTITION event_2025;
INSERT INTO event_2025 VALUES (12, 'a', '2025-05-01', 'nor this');
ALTER TABLE event ATTACH PARTITION event_2025 FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
INSERT INTO event_2025 VALUES (13, 'a', '2025-05-01', 'again');
SELECT * FROM regress.changes('rooted');

-- Filters and column lists are the root's.
ALTER PUBLICATION rooted SET TABLE event (id, at, kind) WHERE (id < 100 AND kind <> 'x');
INSERT INTO event VALUES (14, 'a', '2024-06-01', 'in'), (15, 'x', '2024-06-01', 'out'), (101, 'a', '2025-06-01', 'out');
UPDATE event SET kind = 'x' WHERE id = 14;
UPDATE event SET id = 16 WHERE id = 15;
UPDATE event SET id = 17, at = '2025-07-01' WHERE id = 101;
SELECT * FROM regress.changes('rooted');
INSERT INTO event VALUES (18, 'a', '2025-07-01', 'x');
SELECT * FROM regress.schemas('rooted');
ALTER PUBLICATION rooted SET TABLE event;

-- A partition in the middle, and several ancestors: the topmost of a publication's, the topmost of all publications'.
CREATE PUBLICATION middle FOR TABLE event_2025 WITH (publish_via_partition_root = true);
INSERT INTO event VALUES (20, 'a', '2025-06-01', NULL), (21, 'a', '2024-06-01', NULL);
SELECT * FROM regress.changes('middle');
INSERT INTO event VALUES (22, 'a', '2025-06-01', NULL);
SELECT * FROM regress.changes('middle, rooted');
CREATE PUBLICATION nested FOR TABLE event, event_2025, event_2025_a WITH (publish_via_partition_root = true);
INSERT INTO event VALUES (23, 'a', '2025-06-01', NULL);
SELECT * FROM regress.changes('nested');
ALTER PUBLICATION nested SET (publish_via_partition_root = false);
INSERT INTO event VALUES (24, 'a', '2025-06-01', NULL);
SELECT * FROM regress.changes('nested');
CREATE PUBLICATION all_rooted FOR ALL TABLES WITH (publish_via_partition_root = true);
INSERT INTO event VALUES (25, 'a', '2025-06-01', NULL);
SELECT * FROM regress.changes('all_rooted');

-- A partition whose replica identity is not that of its root: rows arrive, deletes cannot be said.
CREATE UNIQUE INDEX other ON event_2025_rest (id);
ALTER TABLE event_2025_rest ALTER id SET NOT NULL, REPLICA IDENTITY USING INDEX other;
INSERT INTO event VALUES (30, 'r', '2025-06-01', NULL);
UPDATE event SET body = 'changed' WHERE id = 30;
DELETE FROM event WHERE id = 30;
SELECT * FROM regress.changes('all_rooted');
ALTER TABLE event_2025_rest REPLICA IDENTITY FULL;
INSERT INTO event VALUES (31, 'r', '2025-06-01', NULL);
UPDATE event SET at = '2025-06-02' WHERE id = 31;
DELETE FROM event WHERE id = 31;
SELECT * FROM regress.changes('all_rooted');

-- Inherited tables are tables of their own.
CREATE TABLE parent (id int PRIMARY KEY, name text);
CREATE TABLE child (PRIMARY KEY (id), more text) INHERITS (parent);
CREATE PUBLICATION family FOR TABLE parent WITH (publish_via_partition_root = true);
INSERT INTO parent VALUES (1, 'p');
INSERT INTO child VALUES (2, 'c', 'm');
UPDATE parent SET name = upper(name);
TRUNCATE parent;
SELECT * FROM regress.changes('family');

DROP PUBLICATION rooted, middle, nested, all_rooted, family;
DROP TABLE event, event_2026, parent, child;
