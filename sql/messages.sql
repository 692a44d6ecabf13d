-- pg_logical_emit_message(): with its transaction or at once, whatever the publication holds.
CREATE TABLE noted (id int PRIMARY KEY);
CREATE FUNCTION regress.emit(transactional bool, prefix text, content text) RETURNS void LANGUAGE sql
	AS $$ SELECT pg_logical_emit_message(transactional, prefix, content) $$;
CREATE FUNCTION regress.messages(messages text DEFAULT 'on') RETURNS SETOF jsonb LANGUAGE sql AS $$
	SELECT d - '{fingerprint,relation_oid,commit_lsn,end_lsn,message_lsn,xid,commit_time}'::text[]
	FROM pg_logical_slot_get_binary_changes('regress', NULL, NULL, 'publication', 'everything', 'messages', messages) c,
		LATERAL walhouse.decode(c.data) WITH ORDINALITY d(d, n)
	WHERE d->>'record' <> 'schema'
	ORDER BY c.lsn, n
$$;

-- In a transaction of its own, without a row change.
SELECT regress.emit(true, 'outbox', '{"order": 1}');
SELECT * FROM regress.messages();

-- Between rows, in its place; ordinals count rows only.
BEGIN;
INSERT INTO noted VALUES (1);
SELECT regress.emit(true, 'outbox', 'after one');
INSERT INTO noted VALUES (2);
COMMIT;
SELECT * FROM regress.messages();

-- Rolled back, wholly or to a savepoint: not there. What is not transactional is there, before the transaction.
BEGIN;
INSERT INTO noted VALUES (3);
SELECT regress.emit(true, 'outbox', 'never');
SELECT regress.emit(false, 'log', 'tried');
ROLLBACK;
BEGIN;
SELECT regress.emit(true, 'outbox', 'stays');
SAVEPOINT s;
SELECT regress.emit(true, 'outbox', 'goes');
ROLLBACK TO s;
SELECT regress.emit(false, 'log', 'at once');
SELECT regress.emit(true, 'outbox', 'stays too');
COMMIT;
SELECT * FROM regress.messages();

-- Bytes of any kind, prefixes of any kind, nothing at all.
SELECT pg_logical_emit_message(true, 'größe "x"', '\x00ff01'::bytea) IS NOT NULL AS emitted;
SELECT regress.emit(true, '', '');
SELECT * FROM regress.messages();

-- Larger than logical_decoding_work_mem and a chunk; one larger than Kafka takes names its size only.
SET logical_decoding_work_mem = '64kB';
SELECT regress.emit(true, 'large', repeat('x', 1000000));
SELECT regress.emit(false, 'large', repeat('y', 1000000));
SELECT regress.emit(true, 'too large', repeat('z', 11 * 1024 * 1024));
SELECT regress.emit(false, 'too large', repeat('z', 11 * 1024 * 1024));
INSERT INTO noted VALUES (4);
SELECT d->'transactional' AS transactional, d->'prefix' AS prefix, d->'size' AS size, left(d->>'content', 5) AS begin, length(d->>'content')
FROM regress.messages() d WHERE d->>'record' = 'message';
RESET logical_decoding_work_mem;

-- Without messages, the pipeline's own signals still come.
SELECT regress.emit(true, 'outbox', 'unwanted');
SELECT regress.emit(false, 'log', 'unwanted');
SELECT regress.emit(true, 'walhouse.snapshot', 'shop');
SELECT * FROM regress.messages('off');
SELECT * FROM regress.messages('perhaps');

-- Its LSN is what the function returned. One that is not transactional is read when the WAL has been flushed up to it.
CREATE TABLE regress.returned AS SELECT pg_logical_emit_message(true, 'a', '') AS lsn;
INSERT INTO regress.returned SELECT pg_logical_emit_message(false, 'b', '');
SELECT d->>'prefix' AS prefix, r.lsn IS NOT NULL AS returned, (d->>'end_lsn')::pg_lsn = r.lsn AS at_its_end
FROM pg_logical_slot_get_binary_changes('regress', NULL, NULL, 'publication', 'everything') c,
	LATERAL walhouse.decode(c.data) d LEFT JOIN regress.returned r ON (d->>'message_lsn')::pg_lsn = r.lsn
WHERE d->>'record' = 'message';

DROP TABLE noted, regress.returned;
DROP FUNCTION regress.emit, regress.messages;
