/*
 * ---- what the agent asks for ----
 *
 * It cannot reach this server: it writes requests to <prefix>.__requests, and the publisher hands them in, with the place up
 * to which it has read them, so that each is taken once. Whoever may write to that topic may ask for anything, in any words:
 * what comes out of a request is never more than a snapshot of a published table, or of rows of it.
 */

CREATE TABLE taken_requests (
	pipeline text PRIMARY KEY REFERENCES pipeline ON DELETE CASCADE,
	next_offset bigint NOT NULL,	/* of the topic's one partition */
	taken bigint NOT NULL DEFAULT 0,
	refused bigint NOT NULL DEFAULT 0,
	refusal text,
	refused_at timestamptz
);
COMMENT ON TABLE taken_requests IS 'how far the agents'' requests of each pipeline are taken; SELECT * FROM walhouse.requests shows it';

/* Rows that are asked for and in no snapshot's request yet: walhouse._snapshot_work() makes those, one at a time a table. */
CREATE TABLE wanted (
	pipeline text NOT NULL REFERENCES pipeline ON DELETE CASCADE,
	relation oid NOT NULL,
	digest bytea NOT NULL,			/* of the key, which may be too long for an index */
	key text[] NOT NULL,			/* as the types' output functions print it */
	PRIMARY KEY (pipeline, relation, digest)
);

CREATE FUNCTION _key_texts(relation oid, publication text, expected text[], data bytea) RETURNS text[]
	AS 'MODULE_PATHNAME', 'walhouse_key_texts' LANGUAGE C STABLE;
CREATE FUNCTION _key_condition(relation oid, keys text[]) RETURNS text
	AS 'MODULE_PATHNAME', 'walhouse_key_condition' LANGUAGE C STRICT STABLE;

/*
 * All of a table as it was after an LSN; a later one than the WAL has means now. Nothing, where a snapshot whose rows are all
 * above it was made, runs, or waits: one without a stamp gets its own later than this. Returns whether it is a new request.
 * A stamp that equals the position of a commit record does not cover that commit; one at the WAL's end covers all.
 */
CREATE FUNCTION _want_table(pipeline text, relation oid, after pg_lsn) RETURNS boolean
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	here pg_lsn := pg_current_wal_insert_lsn();
BEGIN
	after := CASE WHEN after < here THEN after + 1 ELSE here END;
	-- Locked, so that it gets no stamp that was taken before.
	PERFORM FROM walhouse.snapshot s
	WHERE s.pipeline = pipeline AND s.relation = relation AND s.part IS NULL AND s.condition IS NULL
		AND (s.state IN ('waiting', 'running', 'done') AND s.min_lsn >= after OR s.state = 'waiting' AND s.min_xid IS NULL)
	ORDER BY s.id DESC LIMIT 1 FOR SHARE;
	RETURN NOT FOUND AND walhouse._request_snapshot(pipeline, relation, 'agent') IS NOT NULL;
END $$;

/*
 * Rows of a table, by their keys in hexadecimal digits. Where the key is another by now, a snapshot of the whole was asked for
 * when it became so. Returns how many are new.
 */
CREATE FUNCTION _want_rows(pipeline text, relation oid, expected text[], keys text[]) RETURNS int
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	publication text;
	texts text[];
	data text;
	added int := 0;
	one int;
BEGIN
	SELECT p.publication INTO publication FROM walhouse.pipeline p WHERE p.name = pipeline;
	FOREACH data IN ARRAY keys LOOP
		texts := walhouse._key_texts(relation, publication, expected, pg_catalog.decode(data, 'hex'));
		IF texts IS NULL OR texts = '{}' THEN
			RETURN walhouse._want_table(pipeline, relation, CASE WHEN texts = '{}' THEN '0/0'::pg_lsn END)::int;
		END IF;
		INSERT INTO walhouse.wanted VALUES (pipeline, relation, sha256(convert_to(texts::text, 'UTF8')), texts) ON CONFLICT DO NOTHING;
		GET DIAGNOSTICS one = ROW_COUNT;
		added := added + one;
	END LOOP;
	-- So many are sooner had with the whole table.
	IF (SELECT count(*) > 100000 FROM walhouse.wanted w WHERE w.pipeline = pipeline AND w.relation = relation) THEN
		PERFORM walhouse._want_table(pipeline, relation, NULL);
		DELETE FROM walhouse.wanted w WHERE w.pipeline = pipeline AND w.relation = relation;
	END IF;
	RETURN added;
END $$;

/* One request; an error says what is wrong with it. Returns what came of it, for the log. */
CREATE FUNCTION _take_request(pipeline text, request bytea) RETURNS text
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	asked jsonb;
	target record;
	keys text[];
	news text;
BEGIN
	IF request IS NULL THEN
		RAISE EXCEPTION 'it is larger than 1 MiB' USING ERRCODE = 'program_limit_exceeded';
	END IF;
	asked := convert_from(request, 'UTF8')::jsonb;
	-- The table may have another name by now; a table without an oid is meant by its name.
	SELECT c.relation, c.relation::regclass::text AS label INTO target
	FROM walhouse.captured c JOIN pg_class k ON k.oid = c.relation JOIN pg_namespace n ON n.oid = k.relnamespace
	WHERE c.pipeline = pipeline
		AND (c.relation::text = asked->>'relation' OR n.nspname = asked->>'schema' AND k.relname = asked->>'table')
	ORDER BY c.relation::text IS NOT DISTINCT FROM asked->>'relation' DESC LIMIT 1;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'table "%.%" is not published by pipeline "%"', left(asked->>'schema', 63), left(asked->>'table', 63), pipeline
			USING ERRCODE = 'undefined_table';
	END IF;
	IF asked->>'kind' = 'snapshot' THEN
		news := CASE WHEN walhouse._want_table(pipeline, target.relation, (asked->>'after')::pg_lsn) THEN 'all'
			ELSE 'all (nothing to do)' END;
	ELSIF asked->>'kind' = 'rows' THEN
		keys := ARRAY(SELECT jsonb_array_elements_text(asked->'keys'));
		IF cardinality(keys) NOT BETWEEN 1 AND 1000 THEN
			RAISE EXCEPTION 'it has % keys', cardinality(keys) USING ERRCODE = 'program_limit_exceeded';
		END IF;
		news := format('%s of %s rows', walhouse._want_rows(pipeline, target.relation,
			CASE WHEN asked ? 'key' THEN ARRAY(SELECT jsonb_array_elements_text(asked->'key')) END, keys), cardinality(keys));
	ELSE
		RAISE EXCEPTION 'it is of unknown kind "%"', left(asked->>'kind', 63) USING ERRCODE = 'invalid_parameter_value';
	END IF;
	RETURN format('%s of table %s: %s', news, target.label, coalesce(left(asked->>'reason', 300), 'no reason given'));
END $$;

/*
 * Takes what the topic holds from from_offset, where the last call ended, up to next_offset. NULL in requests: it was too
 * large to be handed in. What a server in trouble cannot do now fails the call, to be tried again; what is wrong with a request
 * itself is counted and left behind.
 */
CREATE FUNCTION _take_requests(pipeline text, from_offset bigint, next_offset bigint, requests bytea[])
	RETURNS TABLE (refused boolean, news text)
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '500ms' AS $$
#variable_conflict use_variable
DECLARE
	known bigint;
	request bytea;
	refusals int := 0;
BEGIN
	INSERT INTO walhouse.taken_requests (pipeline, next_offset) VALUES (pipeline, 0) ON CONFLICT DO NOTHING;
	SELECT p.next_offset INTO known FROM walhouse.taken_requests p WHERE p.pipeline = pipeline FOR UPDATE;
	IF known <> from_offset THEN
		RAISE EXCEPTION 'requests of pipeline "%" are taken up to offset %, not %', pipeline, known, from_offset
			USING ERRCODE = 'object_not_in_prerequisite_state';
	END IF;
	FOREACH request IN ARRAY requests LOOP
		BEGIN
			refused := false;
			news := walhouse._take_request(pipeline, request);
		EXCEPTION
			WHEN lock_not_available OR transaction_rollback OR insufficient_resources OR operator_intervention OR system_error THEN
				RAISE;
			WHEN OTHERS THEN
				refused := true;
				news := SQLERRM;
				refusals := refusals + 1;
		END;
		-- One line in the log.
		news := left(regexp_replace(news, '[[:cntrl:]]+', ' ', 'g'), 400);
		RETURN NEXT;
	END LOOP;
	UPDATE walhouse.taken_requests p SET next_offset = next_offset, taken = p.taken + cardinality(requests) - refusals,
		refused = p.refused + refusals
	WHERE p.pipeline = pipeline;
	IF refusals > 0 THEN
		UPDATE walhouse.taken_requests p SET refusal = news, refused_at = clock_timestamp() WHERE p.pipeline = pipeline;
	END IF;
END $$;

/* Where the topic of requests is to be read from. */
CREATE FUNCTION _request_position(pipeline text) RETURNS bigint
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT coalesce((SELECT p.next_offset FROM walhouse.taken_requests p WHERE p.pipeline = _request_position.pipeline), 0)
$$;

/*
 * Makes requests of the rows that are wanted, for each table that has none open: however many come meanwhile, they go together
 * into the next one.
 */
CREATE FUNCTION _request_wanted(pipeline text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	wanting oid;
	keys text[];
BEGIN
	DELETE FROM walhouse.wanted w WHERE w.pipeline = pipeline
		AND NOT EXISTS (SELECT FROM walhouse.captured c WHERE c.pipeline = pipeline AND c.relation = w.relation);
	FOR wanting IN
		SELECT DISTINCT w.relation FROM walhouse.wanted w WHERE w.pipeline = pipeline
			AND NOT EXISTS (SELECT FROM walhouse.snapshot s WHERE s.pipeline = pipeline AND s.relation = w.relation
				AND s.reason = 'agent' AND s.condition IS NOT NULL AND s.state IN ('waiting', 'running'))
	LOOP
		BEGIN
			WITH taken AS (
				DELETE FROM walhouse.wanted w WHERE w.pipeline = pipeline AND w.relation = wanting AND w.digest IN (
					SELECT o.digest FROM walhouse.wanted o WHERE o.pipeline = pipeline AND o.relation = wanting LIMIT 500)
				RETURNING w.key
			)
			SELECT array_agg(t.key ORDER BY t.key) INTO keys FROM taken t;
			PERFORM walhouse._request_snapshot(pipeline, wanting, 'agent', walhouse._key_condition(wanting, keys));
		EXCEPTION
			WHEN lock_not_available OR transaction_rollback OR insufficient_resources THEN
				NULL;
			WHEN OTHERS THEN
				-- The key is another by now.
				PERFORM walhouse._want_table(pipeline, wanting, '0/0');
				DELETE FROM walhouse.wanted w WHERE w.pipeline = pipeline AND w.relation = wanting;
		END;
	END LOOP;
END $$;

CREATE VIEW requests AS
SELECT p.pipeline, p.next_offset, p.taken, p.refused, p.refusal AS last_refusal, p.refused_at AS last_refused_at,
	(SELECT count(*) FROM walhouse.wanted w WHERE w.pipeline = p.pipeline) AS rows_waiting
FROM walhouse.taken_requests p;
COMMENT ON VIEW requests IS 'what agents asked for, by pipeline; what came of it is in walhouse.snapshot_status, with reason agent';
