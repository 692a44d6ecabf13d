-- Databases in another encoding than UTF-8: events are UTF-8 all the same.
SET client_min_messages = warning;
CREATE DATABASE walhouse_win1252 ENCODING 'WIN1252' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C';
CREATE DATABASE walhouse_ascii ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C';
\c walhouse_win1252
SET client_encoding = 'UTF8';
CREATE EXTENSION walhouse;
CREATE PUBLICATION everything FOR ALL TABLES;
SELECT slot_name FROM pg_create_logical_replication_slot('win1252', 'walhouse');
CREATE TYPE mood AS ENUM ('grün');
CREATE TABLE "tö" (id int PRIMARY KEY, "spätä" text, ts text[], e mood, es mood[] NOT NULL, j jsonb, b bytea, c char(3), n name);
INSERT INTO "tö" VALUES (1, 'häß', '{ä,NULL}', 'grün', '{grün}', '{"ü": 1}', '\x00ffe4', 'ä', 'Ünï');
CREATE TEMP TABLE chunk AS SELECT data FROM pg_logical_slot_get_binary_changes('win1252', NULL, NULL, 'publication', 'everything');
-- As ClickHouse will see it: "häß" is five bytes.
SELECT position('\x0568c3a4c39f'::bytea IN data) > 0 AS text_is_utf8, position('\x0374c3b6'::bytea IN data) > 0 AS name_is_utf8
FROM chunk;
SELECT d->'table' AS "table", jsonb_pretty(d->'row') AS "row" FROM chunk, walhouse.decode(data) d WHERE d ? 'row';
-- A byte that has no character: it travels as it is, where an error would stop everything. Names of messages are converted too.
INSERT INTO "tö" VALUES (2, convert_from('\x61816c', 'WIN1252'), NULL, NULL, ARRAY[]::mood[]);
SELECT 1 AS sent FROM pg_logical_emit_message(true, 'prä', 'inside') a, pg_logical_emit_message(false, 'prö', 'outside') b;
SELECT d->'row'->'spätä' AS text, d->'prefix' AS prefix
FROM pg_logical_slot_get_binary_changes('win1252', NULL, NULL, 'publication', 'everything') c, walhouse.decode(c.data) d
WHERE d->>'record' NOT IN ('schema', 'commit');
SELECT pg_drop_replication_slot('win1252');
\c walhouse_ascii
SET client_encoding = 'SQL_ASCII';
CREATE EXTENSION walhouse;
CREATE PUBLICATION everything FOR ALL TABLES;
SELECT slot_name FROM pg_create_logical_replication_slot('ascii', 'walhouse');
CREATE TABLE bytes (id int PRIMARY KEY, t text, ts text[]);
-- Such a database does not know its encoding: the bytes travel as they are.
INSERT INTO bytes VALUES (1, convert_from('\xe4', 'SQL_ASCII'), ARRAY[convert_from('\xff', 'SQL_ASCII'), 'a']);
SELECT d->'row' AS "row" FROM pg_logical_slot_get_binary_changes('ascii', NULL, NULL, 'publication', 'everything') c, walhouse.decode(c.data) d
WHERE d ? 'row';
SELECT pg_drop_replication_slot('ascii');
\c shop
DROP DATABASE walhouse_win1252;
DROP DATABASE walhouse_ascii;
