-- What the other tests stand on: the extension, a slot of the plugin's, and a function that shows what the slot has.
CREATE EXTENSION walhouse;
CREATE PUBLICATION everything FOR ALL TABLES;
SELECT slot_name FROM pg_create_logical_replication_slot('regress', 'walhouse');

-- The records since the last call, without what differs from run to run.
CREATE SCHEMA regress;
CREATE FUNCTION regress.changes(publication text DEFAULT 'everything') RETURNS SETOF jsonb LANGUAGE sql AS $$
	SELECT d - '{fingerprint,relation_oid,commit_lsn,end_lsn,xid,commit_time}'::text[]
	FROM pg_logical_slot_get_binary_changes('regress', NULL, NULL, 'publication', publication) c,
		LATERAL walhouse.decode(c.data) WITH ORDINALITY d(d, n)
	WHERE d->>'record' <> 'schema'
	ORDER BY c.lsn, n
$$;

-- The schemas since the last call.
CREATE FUNCTION regress.schemas(publication text DEFAULT 'everything')
	RETURNS TABLE (relation text, identity text, col text, key int, nullable bool, type text, clickhouse_type text)
	LANGUAGE sql AS $$
	SELECT (d->>'schema') || '.' || (d->>'table'), d->>'replica_identity', a->>'name', (a->>'key_position')::int,
		(a->>'nullable')::bool, a->>'type', a->>'clickhouse_type'
	FROM pg_logical_slot_get_binary_changes('regress', NULL, NULL, 'publication', publication) c,
		LATERAL walhouse.decode(c.data) WITH ORDINALITY d(d, n),
		LATERAL jsonb_array_elements(d->'columns') WITH ORDINALITY a(a, i)
	WHERE d->>'record' = 'schema'
	ORDER BY c.lsn, n, i
$$;
