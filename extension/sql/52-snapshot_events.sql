/* ---- DDL that changes rows, or which rows are published, without an event of any row ---- */

/*
 * A failure here must not fail what the user does: the publisher finds a table that joined or came to look otherwise by itself
 * (walhouse._snapshot_work), a little later. Only a rewrite cannot be found again, hence the hint.
 */
CREATE FUNCTION _ddl_ended() RETURNS event_trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '500ms' AS $$
DECLARE
	created oid[];
	touched oid[];
	one_pipeline text;
BEGIN
	IF NOT EXISTS (SELECT FROM walhouse.pipeline) THEN
		RETURN;
	END IF;
	IF tg_tag = 'ALTER TYPE' THEN
		-- An enum's label may have another name: the rows show it, and nobody has written them.
		SELECT array_agg(a.attrelid) INTO touched FROM pg_event_trigger_ddl_commands() d
		JOIN pg_type y ON d.objid IN (y.oid, y.typelem, y.typbasetype) JOIN pg_attribute a ON a.atttypid = y.oid
		WHERE d.classid = 'pg_type'::regclass AND NOT a.attisdropped;
		IF touched IS NULL THEN
			RETURN;
		END IF;
	ELSIF tg_tag NOT LIKE '% PUBLICATION' THEN
		SELECT array_agg(d.objid) FILTER (WHERE d.command_tag IN ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO')),
			array_agg(d.objid) FILTER (WHERE d.schema_name IS DISTINCT FROM 'pg_temp')
		INTO created, touched
		FROM pg_event_trigger_ddl_commands() d WHERE d.classid = 'pg_class'::regclass;
		IF touched IS NULL THEN
			RETURN;
		END IF;
		-- A partition may be published as its root.
		touched := touched || ARRAY(SELECT a.relid::oid FROM unnest(touched) u, LATERAL pg_partition_ancestors(u) a WHERE a.relid <> u);
	END IF;
	FOR one_pipeline IN SELECT p.name FROM walhouse.pipeline p ORDER BY p.name LOOP
		PERFORM walhouse._align_captured(one_pipeline, coalesce(created, '{}'), touched);
	END LOOP;
EXCEPTION WHEN OTHERS THEN
	RAISE WARNING 'walhouse could not follow %', tg_tag USING ERRCODE = SQLSTATE, DETAIL = SQLERRM,
		HINT = 'A table that joined a publication is found later. If the command changed a key or a column list, call walhouse.snapshot().';
END $$;

CREATE FUNCTION _table_rewritten() RETURNS event_trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '500ms' AS $$
DECLARE
	rewritten oid := pg_event_trigger_table_rewrite_oid();
BEGIN
	-- Another access method (8) alone changes no row; persistence (1), a default (2), a type (4) do.
	IF pg_event_trigger_table_rewrite_reason() & 7 = 0 THEN
		RETURN;
	END IF;
	PERFORM walhouse._request_snapshot(c.pipeline, c.relation, 'rewritten')
	FROM walhouse.captured c WHERE c.relation = rewritten OR rewritten = ANY (c.parts)
	ORDER BY c.pipeline, c.relation;
EXCEPTION WHEN OTHERS THEN
	RAISE WARNING 'walhouse could not request a snapshot of rewritten table "%"', rewritten::regclass
		USING ERRCODE = SQLSTATE, DETAIL = SQLERRM, HINT = 'Call walhouse.snapshot() for it.';
END $$;

CREATE EVENT TRIGGER walhouse_ddl_ended ON ddl_command_end
	WHEN TAG IN ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'ALTER TABLE', 'ALTER TYPE', 'CREATE SCHEMA',
		'CREATE PUBLICATION', 'ALTER PUBLICATION')
	EXECUTE FUNCTION _ddl_ended();
CREATE EVENT TRIGGER walhouse_table_rewritten ON table_rewrite EXECUTE FUNCTION _table_rewritten();
/* Also where session_replication_role is replica. */
ALTER EVENT TRIGGER walhouse_ddl_ended ENABLE ALWAYS;
ALTER EVENT TRIGGER walhouse_table_rewritten ENABLE ALWAYS;
