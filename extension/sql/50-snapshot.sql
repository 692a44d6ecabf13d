/* ---- snapshots: the rows that tables hold already ---- */

CREATE TABLE snapshot (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	pipeline text NOT NULL REFERENCES pipeline ON DELETE CASCADE,
	relation oid NOT NULL,
	schema_name text NOT NULL,
	table_name text NOT NULL,
	part oid,				/* only this partition of it */
	condition text,			/* only these rows; every name in it is qualified */
	reason text NOT NULL CHECK (reason IN ('initial', 'joined', 'rewritten', 'requested', 'resync', 'agent')),
	state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'running', 'done', 'failed', 'cancelled')),
	keyed boolean NOT NULL,
	min_xid xid8,			/* chunks wait until all older transactions ended; NULL: not stamped yet */
	min_lsn pg_lsn,			/* where the WAL ended just before min_xid was the next transaction id */
	last_key text[],		/* of the last row that Kafka acknowledged */
	floor_lsn pg_lsn,		/* of the rows sent so far: the lowest, without a key that of the scan */
	rows_done bigint NOT NULL DEFAULT 0,
	estimated_rows bigint,
	requested_by xid8 NOT NULL DEFAULT pg_catalog.pg_current_xact_id(),
	requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	started_at timestamptz,
	updated_at timestamptz,
	finished_at timestamptz,
	error text
);
CREATE INDEX ON snapshot (relation, pipeline);
COMMENT ON TABLE snapshot IS 'one row a request; SELECT * FROM walhouse.snapshot_status shows them';

/* What a publication gives of each table, as it was when the pipeline's snapshots of it were requested. */
CREATE TABLE captured (
	pipeline text NOT NULL REFERENCES pipeline ON DELETE CASCADE,
	relation oid NOT NULL,
	row_filter text,
	columns text,			/* attribute numbers of the column list; NULL: all */
	key text,				/* attribute numbers; NULL: no usable key */
	filled int2[] NOT NULL,	/* attributes whose older rows hold a default that no event has told */
	parts oid[] NOT NULL,	/* leaf partitions, where they are published as their root */
	/* of the columns' enums, each behind its oid, which it keeps when it is renamed; and how each numeric column travels, behind 'a'
	 * (in a key 'k') and its number: that may change without a rewrite */
	labels text[] NOT NULL,
	PRIMARY KEY (pipeline, relation)
);
COMMENT ON TABLE captured IS 'which published tables of a pipeline are covered by its snapshots and its stream';

CREATE FUNCTION _take_floor(OUT floor_lsn pg_lsn, OUT next_xid xid8) RETURNS record
	AS 'MODULE_PATHNAME', 'walhouse_take_floor' LANGUAGE C STRICT VOLATILE;
CREATE FUNCTION _estimate_rows(relation oid) RETURNS bigint
	AS 'MODULE_PATHNAME', 'walhouse_estimate_rows' LANGUAGE C STRICT VOLATILE;

/* The publication's row filter of a table, every name in it qualified; NULL: all rows. */
CREATE FUNCTION _row_filter(publication text, relation oid) RETURNS text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT pg_get_expr(r.prqual, r.prrelid)
	FROM pg_publication p JOIN pg_publication_rel r ON r.prpubid = p.oid JOIN pg_class c ON c.oid = r.prrelid
	WHERE p.pubname = publication AND r.prrelid = relation AND NOT p.puballtables
		AND NOT EXISTS (SELECT FROM pg_publication_namespace n WHERE n.pnpubid = p.oid AND n.pnnspid = c.relnamespace)
$$;

/* The attribute numbers of the key that identifies a table's rows in the stream, as relcache.c finds it; NULL: none. */
CREATE FUNCTION _table_key(relation oid) RETURNS text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT array_to_string((i.indkey::int2[])[0 : i.indnkeyatts - 1], ' ')
	FROM pg_class c JOIN pg_index i ON i.indrelid = c.oid
	WHERE c.oid = relation AND i.indisunique AND i.indisvalid AND i.indimmediate
		AND (c.relreplident IN ('d', 'f') AND i.indisprimary OR c.relreplident = 'i' AND i.indisreplident)
$$;

/* The leaf partitions of a partitioned table; of any other there are none. Not pg_partition_tree(): it waits for locks. */
CREATE FUNCTION _leaf_partitions(relation oid) RETURNS oid[]
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	WITH RECURSIVE tree(oid, kind) AS (
		SELECT c.oid, c.relkind FROM pg_class c WHERE c.oid = relation AND c.relkind = 'p'
		UNION ALL
		SELECT h.inhrelid, k.relkind FROM tree JOIN pg_inherits h ON h.inhparent = tree.oid JOIN pg_class k ON k.oid = h.inhrelid
	)
	SELECT coalesce(array_agg(tree.oid ORDER BY tree.oid), '{}') FROM tree WHERE tree.kind <> 'p'
$$;

/*
 * What a publication gives of each table (among: of these), in the columns of walhouse.captured. Joined by index: a few tables
 * among thousands are looked up as fast as among few.
 */
CREATE FUNCTION _published(publication text, among oid[] DEFAULT NULL)
	RETURNS TABLE (relation oid, row_filter text, columns text, key text, filled int2[], parts oid[], labels text[])
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET enable_hashjoin = off SET enable_mergejoin = off AS $$
	WITH given AS MATERIALIZED (
		SELECT p.oid AS publication, p.puballtables, t.relid
		FROM pg_publication p, LATERAL pg_get_publication_tables(p.pubname) t
		WHERE p.pubname = publication AND (among IS NULL OR t.relid = ANY (among))
	)
	SELECT c.oid,
		CASE WHEN s.pnnspid IS NULL AND NOT g.puballtables THEN pg_get_expr(r.prqual, r.prrelid) END,
		CASE WHEN s.pnnspid IS NULL AND NOT g.puballtables THEN r.prattrs::text END,
		-- As walhouse._table_key() has it.
		(SELECT array_to_string((i.indkey::int2[])[0 : i.indnkeyatts - 1], ' ')
			FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate
			AND (c.relreplident IN ('d', 'f') AND i.indisprimary OR c.relreplident = 'i' AND i.indisreplident)
			-- A key of which a column does not travel is none.
			AND (s.pnnspid IS NOT NULL OR r.prattrs IS NULL
				OR (i.indkey::int2[])[0 : i.indnkeyatts - 1] <@ r.prattrs::int2[])),
		coalesce((SELECT array_agg(DISTINCT a.attnum ORDER BY a.attnum) FROM pg_attribute a
			WHERE a.attrelid = ANY (c.oid || l.parts) AND a.atthasmissing AND NOT a.attisdropped), '{}'),
		l.parts,
		-- Built-in types, with oids below 16384, are no enums.
		coalesce((SELECT array_agg(DISTINCT e.oid || ' ' || e.enumlabel) FROM pg_attribute a JOIN pg_type y ON y.oid = a.atttypid
			JOIN pg_enum e ON e.enumtypid IN (y.oid, y.typelem, y.typbasetype)
			WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypid >= 16384), '{}')
		-- As typemap.c has it; in a key Decimals of another width are another key.
		|| coalesce((SELECT array_agg(format('a%s %s', a.attnum,
				CASE WHEN a.atttypmod < 4 OR (a.atttypmod - 4) >> 16 > 76 THEN 'text' ELSE 'decimal' END) ORDER BY a.attnum)
			|| array_agg(format('k%s %s', a.attnum, a.atttypmod) ORDER BY a.attnum) FILTER (WHERE EXISTS (
				SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND a.attnum = ANY (i.indkey::int2[])))
			FROM pg_attribute a
			WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypid = 'numeric'::regtype), '{}')
	FROM given g
	JOIN pg_class c ON c.oid = g.relid
	JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname <> 'walhouse'
	LEFT JOIN pg_publication_rel r ON r.prpubid = g.publication AND r.prrelid = c.oid
	LEFT JOIN pg_publication_namespace s ON s.pnpubid = g.publication AND s.pnnspid = c.relnamespace
	CROSS JOIN LATERAL (SELECT CASE WHEN c.relkind = 'p' THEN walhouse._leaf_partitions(c.oid) ELSE '{}' END AS parts) l
$$;

/*
 * Writes a request for a captured table down; the publisher looks when this transaction has committed and its stream has come to
 * this place.
 */
CREATE FUNCTION _request_snapshot(pipeline text, relation oid, reason text, condition text DEFAULT NULL,
	part oid DEFAULT NULL) RETURNS bigint
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	request bigint;
BEGIN
	-- One transaction may have several reasons.
	SELECT s.id INTO request FROM walhouse.snapshot s
	WHERE s.requested_by = pg_current_xact_id() AND s.state = 'waiting' AND s.pipeline = pipeline AND s.relation = relation
		AND s.part IS NOT DISTINCT FROM part AND s.condition IS NOT DISTINCT FROM condition;
	IF FOUND THEN
		RETURN request;
	END IF;
	INSERT INTO walhouse.snapshot (pipeline, relation, schema_name, table_name, part, condition, reason, keyed, estimated_rows)
	SELECT pipeline, relation, n.nspname, c.relname, part, condition, reason, t.key IS NOT NULL,
		CASE WHEN condition IS NULL THEN walhouse._estimate_rows(coalesce(part, relation)) END
	FROM walhouse.captured t JOIN pg_class c ON c.oid = t.relation JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE t.pipeline = pipeline AND t.relation = relation
	RETURNING id INTO request;
	PERFORM pg_logical_emit_message(true, 'walhouse.snapshot', pipeline);
	RETURN request;
END $$;

/*
 * Brings walhouse.captured in line with what the pipeline's publication gives now, and requests a snapshot of what joined or
 * came to look otherwise. created: tables that the running command made; their rows are all in the stream. among: what is to be
 * looked at, NULL for everything.
 */
CREATE FUNCTION _align_captured(pipeline text, created oid[] DEFAULT '{}', among oid[] DEFAULT NULL) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	t record;
	new_part oid;
BEGIN
	FOR t IN
		SELECT coalesce(p.relation, c.relation) AS relation, p.relation IS NULL AS has_left, c.relation IS NULL AS is_new,
			(p.row_filter, p.columns, p.key) IS DISTINCT FROM (c.row_filter, c.columns, c.key) OR NOT p.filled <@ c.filled
				OR EXISTS (SELECT FROM unnest(p.labels) n JOIN unnest(c.labels) o ON split_part(n, ' ', 1) = split_part(o, ' ', 1)
					WHERE n <> o) AS looks_otherwise,
			p.row_filter, p.columns, p.key, p.filled, p.parts, p.labels, c.parts AS known_parts
		FROM (SELECT s.* FROM walhouse.pipeline l, walhouse._published(l.publication, among) s WHERE l.name = pipeline) p
		FULL JOIN (SELECT c.* FROM walhouse.captured c WHERE c.pipeline = pipeline AND (among IS NULL OR c.relation = ANY (among))) c
			ON c.relation = p.relation
		WHERE (p.relation, p.row_filter, p.columns, p.key, p.filled, p.parts, p.labels)
			IS DISTINCT FROM (c.relation, c.row_filter, c.columns, c.key, c.filled, c.parts, c.labels)
		ORDER BY 1
	LOOP
		IF t.has_left THEN
			DELETE FROM walhouse.captured c WHERE c.pipeline = pipeline AND c.relation = t.relation;
			CONTINUE;
		END IF;
		INSERT INTO walhouse.captured AS c (pipeline, relation, row_filter, columns, key, filled, parts, labels)
		VALUES (pipeline, t.relation, t.row_filter, t.columns, t.key, t.filled, t.parts, t.labels)
		ON CONFLICT ON CONSTRAINT captured_pkey DO UPDATE SET (row_filter, columns, key, filled, parts, labels) =
			(t.row_filter, t.columns, t.key, t.filled, t.parts, t.labels);
		IF t.is_new THEN
			IF NOT t.relation = ANY (created) THEN
				PERFORM walhouse._request_snapshot(pipeline, t.relation, 'joined');
			END IF;
		ELSIF t.looks_otherwise THEN
			PERFORM walhouse._request_snapshot(pipeline, t.relation, 'rewritten');
		ELSE
			FOR new_part IN SELECT u FROM unnest(t.parts) u WHERE NOT u = ANY (t.known_parts) AND NOT u = ANY (created) LOOP
				-- Without a key rows cannot be told apart: all are read again.
				PERFORM walhouse._request_snapshot(pipeline, t.relation, 'joined',
					part => CASE WHEN t.key IS NOT NULL THEN new_part END);
			END LOOP;
		END IF;
	END LOOP;
END $$;

CREATE FUNCTION _check_snapshot_mode(snapshot text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF snapshot IS NULL OR snapshot NOT IN ('initial', 'never') THEN
		RAISE EXCEPTION 'invalid snapshot mode "%"', snapshot USING ERRCODE = 'invalid_parameter_value',
			HINT = 'Give ''initial'' to send the rows that the tables hold already, or ''never''.';
	END IF;
END $$;

/*
 * The tables of a new pipeline. Its slot is there already, and waited for every transaction that ran before: stamped now, the
 * requests have at most those of the last moments to wait for.
 */
CREATE FUNCTION _begin_capture(pipeline text, snapshot text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	stamp record;
BEGIN
	INSERT INTO walhouse.captured SELECT pipeline, t.*
	FROM walhouse.pipeline p, walhouse._published(p.publication) t WHERE p.name = pipeline;
	IF snapshot = 'initial' THEN
		PERFORM walhouse._request_snapshot(pipeline, c.relation, 'initial')
		FROM walhouse.captured c WHERE c.pipeline = pipeline ORDER BY c.relation;
		-- After the list of tables was read: the argument is in walhouse._snapshot_work().
		SELECT * INTO stamp FROM walhouse._take_floor();
		UPDATE walhouse.snapshot s SET min_xid = stamp.next_xid, min_lsn = stamp.floor_lsn WHERE s.pipeline = pipeline;
	END IF;
END $$;

/* ---- what the publisher asks ---- */

/*
 * The open requests of the pipeline, in order. What is not among them any more has been cancelled, or is over. It gives way to
 * whoever wants the tables for himself (DROP EXTENSION) sooner than the server looks for deadlocks.
 */
CREATE FUNCTION _snapshot_work(pipeline text)
	RETURNS TABLE (id bigint, keyed boolean, last_key text[], rows_done bigint, floor_lsn pg_lsn, min_xid xid8, schema_name text,
		table_name text, reason text, estimated_rows bigint, by_keys boolean)
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '500ms' AS $$
#variable_conflict use_column
DECLARE
	_pipeline ALIAS FOR pipeline;
	visible bigint[];
	stamp record;
BEGIN
	BEGIN
		PERFORM walhouse._align_captured(_pipeline);
	EXCEPTION WHEN lock_not_available OR deadlock_detected OR unique_violation THEN
		-- Somebody's DDL is about the same table at this moment; next time.
		NULL;
	END;
	PERFORM walhouse._request_wanted(_pipeline);
	-- A later request for all of a table stands for the earlier ones; tables that left need none.
	WITH open AS (
		SELECT s.id, s.relation, max(s.id) FILTER (WHERE s.condition IS NULL AND s.part IS NULL
			AND s.reason IN ('joined', 'rewritten', 'resync')) OVER (PARTITION BY s.relation) AS newest_whole
		FROM walhouse.snapshot s WHERE s.pipeline = _pipeline AND s.state IN ('waiting', 'running')
	), moot AS (
		SELECT o.id, c.relation IS NOT NULL AS is_captured
		FROM open o LEFT JOIN walhouse.captured c ON c.pipeline = _pipeline AND c.relation = o.relation
		WHERE c.relation IS NULL OR o.newest_whole > o.id
	), free AS (
		SELECT s.id FROM walhouse.snapshot s WHERE s.id IN (SELECT m.id FROM moot m) FOR UPDATE SKIP LOCKED
	)
	UPDATE walhouse.snapshot s SET state = 'cancelled', finished_at = clock_timestamp(), updated_at = clock_timestamp(),
		error = CASE WHEN m.is_captured THEN 'a later request stands for it' ELSE 'the table is not published any more' END
	FROM moot m JOIN free f USING (id) WHERE m.id = s.id;
	/*
	 * The stamp. A request that is seen here was made by a transaction that has ended, and with it whatever made the request
	 * necessary: the table joined, was rewritten. A transaction that may have been decoded without it had logged a change, so
	 * it had its id, before that transaction's commit; all such ids are below the next one that is read now, after that commit
	 * was seen. A chunk that waits until none below it runs (extension/floors.c) sees all that they did.
	 */
	SELECT array_agg(l.id) INTO visible FROM (SELECT s.id FROM walhouse.snapshot s
		WHERE s.pipeline = _pipeline AND s.state IN ('waiting', 'running') AND s.min_xid IS NULL
			-- An agent's request for all of a table waits for those before it, and stands for all that agents ask meanwhile.
			AND NOT (s.reason = 'agent' AND s.condition IS NULL AND EXISTS (SELECT FROM walhouse.snapshot o
				WHERE o.pipeline = s.pipeline AND o.relation = s.relation AND o.id < s.id AND o.part IS NULL AND o.condition IS NULL
					AND o.state IN ('waiting', 'running')))
		-- Whoever counts on a stamp that is still to come (walhouse._want_table) locks the request, and is waited for.
		FOR UPDATE SKIP LOCKED) l;
	IF visible IS NOT NULL THEN
		SELECT * INTO stamp FROM walhouse._take_floor();
		UPDATE walhouse.snapshot s SET min_xid = stamp.next_xid, min_lsn = stamp.floor_lsn WHERE s.id = ANY (visible);
	END IF;
	RETURN QUERY SELECT s.id, s.keyed, s.last_key, s.rows_done, s.floor_lsn, s.min_xid, s.schema_name, s.table_name, s.reason,
			s.estimated_rows, s.reason = 'agent' AND s.condition IS NOT NULL
		FROM walhouse.snapshot s
		WHERE s.pipeline = _pipeline AND s.state IN ('waiting', 'running') AND s.min_xid IS NOT NULL ORDER BY s.id;
END $$;

/* The next rows of a table with a key; status is 'more', 'end' or 'wait'. See extension/snapshot.c. */
CREATE FUNCTION _snapshot_chunk(id bigint, after text[], max_rows int, max_bytes int,
	OUT status text, OUT data bytea, OUT last_key text[], OUT rows int, OUT floor_lsn pg_lsn) RETURNS record
	AS 'MODULE_PATHNAME', 'walhouse_snapshot_chunk' LANGUAGE C VOLATILE;

/*
 * Rows of a table without a key, in the caller's one REPEATABLE READ transaction. first_block is 0, then the next_block of the
 * call before: a number that says nothing else. data is NULL when no row was found on the way; 'wait': end the transaction,
 * and begin again later.
 */
CREATE FUNCTION _snapshot_scan(id bigint, first_block bigint, max_bytes int, floor_lsn pg_lsn, first_ordinal bigint,
	OUT status text, OUT data bytea, OUT next_block bigint, OUT rows int) RETURNS record
	AS 'MODULE_PATHNAME', 'walhouse_snapshot_scan' LANGUAGE C STRICT VOLATILE;

/* A chunk with the event that removes what is not in the table any more; NULL: nothing is to be removed. */
CREATE FUNCTION _snapshot_sweep(id bigint) RETURNS bytea
	AS 'MODULE_PATHNAME', 'walhouse_snapshot_sweep' LANGUAGE C STRICT VOLATILE;

/* Kafka has acknowledged these rows. A scan of a table without a key that begins again counts from the start. */
CREATE FUNCTION _snapshot_progress(id bigint, last_key text[], rows bigint, floor_lsn pg_lsn) RETURNS void
	LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
	UPDATE walhouse.snapshot s SET
		state = 'running',
		last_key = coalesce(_snapshot_progress.last_key, s.last_key),
		rows_done = CASE WHEN s.keyed OR s.floor_lsn = _snapshot_progress.floor_lsn THEN s.rows_done ELSE 0 END
			+ coalesce(_snapshot_progress.rows, 0),
		floor_lsn = CASE WHEN s.keyed THEN least(s.floor_lsn, _snapshot_progress.floor_lsn)
			ELSE coalesce(_snapshot_progress.floor_lsn, s.floor_lsn) END,
		started_at = coalesce(s.started_at, clock_timestamp()),
		updated_at = clock_timestamp(),
		error = NULL
	WHERE s.id = _snapshot_progress.id AND s.state IN ('waiting', 'running')
$$;

/*
 * Done, or failed with the error. Of what is over, the last five of each table are kept, and the last five of parts of it; for
 * a month, if it is dropped. Rows that an agent asked for and that cannot be read by their keys come with the whole table.
 */
CREATE FUNCTION _snapshot_end(id bigint, error text DEFAULT NULL) RETURNS void
	LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
	SELECT walhouse._want_table(s.pipeline, s.relation, NULL) FROM walhouse.snapshot s
	WHERE s.id = _snapshot_end.id AND _snapshot_end.error IS NOT NULL AND s.reason = 'agent' AND s.condition IS NOT NULL
		AND s.state IN ('waiting', 'running');
	UPDATE walhouse.snapshot s SET
		state = CASE WHEN _snapshot_end.error IS NULL THEN 'done' ELSE 'failed' END,
		error = _snapshot_end.error,
		started_at = coalesce(s.started_at, clock_timestamp()),
		updated_at = clock_timestamp(),
		finished_at = clock_timestamp()
	WHERE s.id = _snapshot_end.id AND s.state IN ('waiting', 'running');
	DELETE FROM walhouse.snapshot o USING (
		SELECT s.id, row_number() OVER (PARTITION BY s.pipeline, s.relation, s.condition IS NULL ORDER BY s.id DESC) AS n
		FROM walhouse.snapshot s JOIN walhouse.snapshot e ON e.pipeline = s.pipeline AND e.relation = s.relation
		WHERE e.id = _snapshot_end.id AND s.state NOT IN ('waiting', 'running')) k
	WHERE o.id = k.id AND k.n > 5;
	DELETE FROM walhouse.snapshot o
	WHERE o.finished_at < clock_timestamp() - interval '30 days' AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = o.relation)
$$;

/* ---- for people ---- */

CREATE FUNCTION _condition(relation oid, condition text) RETURNS text
	AS 'MODULE_PATHNAME', 'walhouse_condition' LANGUAGE C STRICT STABLE;

CREATE FUNCTION _request_by_user(pipeline text, relation regclass, condition text) RETURNS bigint
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	root oid;
	part oid;
	key text;
	known bigint;
BEGIN
	PERFORM walhouse._require_superuser();
	IF NOT EXISTS (SELECT FROM walhouse.pipeline p WHERE p.name = pipeline) THEN
		RAISE EXCEPTION 'pipeline "%" does not exist', pipeline USING ERRCODE = 'undefined_object',
			HINT = 'SELECT pipeline FROM walhouse.status; lists the pipelines.';
	END IF;
	-- The publisher would find a table that nobody has told of in a moment.
	PERFORM walhouse._align_captured(pipeline);
	SELECT t.relation, nullif(relation, t.relation), t.key INTO root, part, key
	FROM walhouse.captured t WHERE t.pipeline = pipeline AND (t.relation = relation OR relation = ANY (t.parts));
	IF root IS NULL THEN
		RAISE EXCEPTION 'table "%" is not published by pipeline "%"', relation, pipeline
			USING ERRCODE = 'object_not_in_prerequisite_state',
			HINT = 'SELECT * FROM pg_publication_tables; lists what each publication gives.';
	END IF;
	IF (condition IS NOT NULL OR part IS NOT NULL) AND key IS NULL THEN
		RAISE EXCEPTION 'rows of table "%" cannot be sent in part: it has no key', root::regclass
			USING ERRCODE = 'feature_not_supported', DETAIL = 'They would be in the warehouse twice.',
			HINT = 'Leave the condition out: the whole table is read, and replaced.';
	END IF;
	SELECT s.id INTO known FROM walhouse.snapshot s
	WHERE s.pipeline = pipeline AND s.relation = root AND s.part IS NOT DISTINCT FROM part
		AND s.condition IS NOT DISTINCT FROM condition AND s.state = 'waiting';
	IF known IS NOT NULL THEN
		RETURN known;
	END IF;
	RETURN walhouse._request_snapshot(pipeline, root, 'requested', condition, part);
END $$;

/* Without a search path of its own, for the condition is in the caller's words; it names nothing unqualified itself. */
CREATE FUNCTION snapshot(pipeline text, "table" regclass, "where" text DEFAULT NULL) RETURNS bigint
	LANGUAGE sql AS $$ SELECT walhouse._request_by_user(pipeline, "table", walhouse._condition("table", "where")) $$;
COMMENT ON FUNCTION snapshot(text, regclass, text) IS
	'sends the rows that a table holds, or those of them that the condition names, again; returns the request''s id';

CREATE FUNCTION cancel_snapshot(id bigint) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	its_pipeline text;
BEGIN
	PERFORM walhouse._require_superuser();
	UPDATE walhouse.snapshot s SET state = 'cancelled', error = format('cancelled by %s', session_user),
		updated_at = clock_timestamp(), finished_at = clock_timestamp()
	WHERE s.id = id AND s.state IN ('waiting', 'running') RETURNING s.pipeline INTO its_pipeline;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'snapshot % is not open', id USING ERRCODE = 'object_not_in_prerequisite_state',
			HINT = 'SELECT * FROM walhouse.snapshot_status; lists the snapshots.';
	END IF;
	PERFORM pg_logical_emit_message(true, 'walhouse.snapshot', its_pipeline);
END $$;
COMMENT ON FUNCTION cancel_snapshot(bigint) IS 'ends a snapshot that waits or runs; rows that were sent stay';

CREATE VIEW snapshot_status AS
SELECT
	s.id,
	s.pipeline,
	coalesce(c.oid::pg_catalog.regclass::text, format('%I.%I', s.schema_name, s.table_name)) AS "table",
	s.reason,
	s.state,
	s.rows_done,
	greatest(s.estimated_rows, s.rows_done) AS estimated_rows,
	/* An estimate may be passed; only what is done is 100. NULL where nobody knows. */
	CASE WHEN s.state = 'done' THEN 100
		WHEN s.estimated_rows > 0 THEN round(least(100.0 * s.rows_done / s.estimated_rows, 99.9), 1) END AS percent,
	round(s.rows_done / nullif(extract(epoch FROM coalesce(s.finished_at, s.updated_at) - s.started_at), 0)) AS rows_per_second,
	s.part::pg_catalog.regclass::text AS part,
	CASE WHEN length(s.condition) > 1000 THEN left(s.condition, 1000) || ' ...' ELSE s.condition END AS condition,
	CASE WHEN s.state = 'waiting' AND pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot()) < s.min_xid
		THEN format('transactions older than %s', s.min_xid) END AS waits_for,
	s.requested_at,
	s.started_at,
	s.updated_at,
	s.finished_at,
	s.error
FROM walhouse.snapshot s LEFT JOIN pg_catalog.pg_class c ON c.oid = s.relation;
COMMENT ON VIEW snapshot_status IS 'how each snapshot is: those that are open, and the last ones of each table';
