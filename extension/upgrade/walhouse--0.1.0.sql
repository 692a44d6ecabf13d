/* walhouse--0.1.0.sql - pipelines as SQL sees them. */
\echo Use "CREATE EXTENSION walhouse" to load this file. \quit

/* ---- the catalog ---- */

CREATE TABLE pipeline (
	name text PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9_]{0,49}$'),
	publication text NOT NULL,
	slot_name name NOT NULL UNIQUE,
	brokers text NOT NULL,
	topic_prefix text NOT NULL,
	partitions int NOT NULL CHECK (partitions BETWEEN 1 AND 1000),
	replication_factor int NOT NULL CHECK (replication_factor BETWEEN 1 AND 10),
	properties_file text,
	enabled boolean NOT NULL DEFAULT true,
	epoch int NOT NULL DEFAULT 1 CHECK (epoch BETWEEN 1 AND 65535),
	system_identifier text NOT NULL,
	timeline int NOT NULL,
	base_lsn pg_lsn NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE pipeline IS 'one row a pipeline; changed by walhouse.create_pipeline() and its siblings only';

SELECT pg_catalog.pg_extension_config_dump('pipeline', '');

/* ---- for people ---- */

CREATE FUNCTION decode(data bytea) RETURNS SETOF jsonb
	AS 'MODULE_PATHNAME', 'walhouse_decode' LANGUAGE C STRICT VOLATILE;
COMMENT ON FUNCTION decode(bytea) IS 'what the output plugin walhouse wrote, one jsonb a record';

/* ---- inner functions ---- */

CREATE FUNCTION _create_slot(slot_name name) RETURNS pg_lsn
	AS 'MODULE_PATHNAME', 'walhouse_create_slot' LANGUAGE C STRICT;
CREATE FUNCTION _drop_slot(slot_name name) RETURNS void
	AS 'MODULE_PATHNAME', 'walhouse_drop_slot' LANGUAGE C STRICT;
CREATE FUNCTION _server_identity(OUT system_identifier text, OUT timeline int) RETURNS record
	AS 'MODULE_PATHNAME', 'walhouse_server_identity' LANGUAGE C STRICT;
CREATE FUNCTION _stop_worker(name text) RETURNS void
	AS 'MODULE_PATHNAME', 'walhouse_stop_worker' LANGUAGE C STRICT;
CREATE FUNCTION _wake_launcher() RETURNS void
	AS 'MODULE_PATHNAME', 'walhouse_wake_launcher' LANGUAGE C STRICT;
CREATE FUNCTION _pipeline_states(
	OUT name text, OUT state text, OUT worker_pid int, OUT publisher_pid int, OUT publisher_starts bigint,
	OUT reported_at timestamptz, OUT state_since timestamptz, OUT received_lsn pg_lsn, OUT acked_lsn pg_lsn,
	OUT last_commit_time timestamptz, OUT events bigint, OUT event_bytes bigint, OUT transactions bigint,
	OUT schemas bigint, OUT in_flight bigint, OUT last_error text, OUT last_error_at timestamptz) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'walhouse_pipeline_states' LANGUAGE C STRICT;

CREATE FUNCTION _require_superuser() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
		RAISE EXCEPTION 'must be superuser to manage walhouse pipelines' USING ERRCODE = 'insufficient_privilege';
	END IF;
END $$;

/* What a server needs before a pipeline can run; each complaint says what to do. */
CREATE FUNCTION _check_server() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	allowed text := current_setting('output_plugin_libraries', true);
BEGIN
	IF current_setting('walhouse.database', true) IS DISTINCT FROM current_database() THEN
		RAISE EXCEPTION 'pipelines of database "%" are not run: walhouse.database is "%"', current_database(),
			coalesce(current_setting('walhouse.database', true), '')
			USING ERRCODE = 'object_not_in_prerequisite_state',
			HINT = format('Set shared_preload_libraries = ''walhouse'' and walhouse.database = %L, and restart the server.',
				current_database());
	END IF;
	IF current_setting('wal_level') <> 'logical' THEN
		RAISE EXCEPTION 'wal_level is "%"', current_setting('wal_level')
			USING ERRCODE = 'object_not_in_prerequisite_state',
			HINT = 'Set wal_level = logical and restart the server.';
	END IF;
	IF allowed IS NOT NULL
		AND NOT 'walhouse' = ANY (regexp_split_to_array(replace(allowed, '"', ''), '\s*,\s*')) THEN
		RAISE EXCEPTION 'this server does not allow the output plugin walhouse'
			USING ERRCODE = 'object_not_in_prerequisite_state',
			DETAIL = format('output_plugin_libraries is "%s".', allowed),
			HINT = format('ALTER SYSTEM SET output_plugin_libraries = %s, walhouse; SELECT pg_reload_conf();', allowed);
	END IF;
END $$;

/* What this version cannot carry is refused here rather than carried wrongly. */
CREATE FUNCTION _check_publication(publication text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	restricted text;
	keyless text;
BEGIN
	IF NOT EXISTS (SELECT FROM pg_publication p WHERE p.pubname = publication) THEN
		RAISE EXCEPTION 'publication "%" does not exist', publication
			USING ERRCODE = 'undefined_object',
			HINT = format('CREATE PUBLICATION %I FOR ALL TABLES; or name the tables to be captured.', publication);
	END IF;
	SELECT string_agg(r.prrelid::regclass::text, ', ') INTO restricted
	FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
	WHERE p.pubname = publication AND (r.prqual IS NOT NULL OR r.prattrs IS NOT NULL);
	IF restricted IS NOT NULL THEN
		RAISE EXCEPTION 'publication "%" has row filters or column lists', publication
			USING ERRCODE = 'feature_not_supported', DETAIL = format('Tables: %s.', restricted),
			HINT = 'This version carries whole tables: publish these without WHERE and column list.';
	END IF;
	IF EXISTS (SELECT FROM pg_publication p WHERE p.pubname = publication AND p.pubviaroot) THEN
		RAISE EXCEPTION 'publication "%" publishes partitions as their root', publication
			USING ERRCODE = 'feature_not_supported',
			HINT = format('This version carries partitions as tables of their own: ALTER PUBLICATION %I SET (publish_via_partition_root = false);',
				publication);
	END IF;
	SELECT string_agg(format('%I.%I', t.schemaname, t.tablename), ', ') INTO keyless
	FROM pg_publication_tables t JOIN pg_namespace n ON n.nspname = t.schemaname
	JOIN pg_class c ON c.relname = t.tablename AND c.relnamespace = n.oid
	WHERE t.pubname = publication AND t.schemaname <> 'walhouse' AND c.relreplident = 'd'
		AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND i.indimmediate);
	IF keyless IS NOT NULL THEN
		RAISE WARNING 'tables without a usable primary key are carried as logs of inserts'
			USING DETAIL = format('Tables: %s.', keyless),
			HINT = 'Postgres refuses UPDATE and DELETE on them while they are published. ALTER TABLE ... ADD PRIMARY KEY helps.';
	END IF;
END $$;

CREATE FUNCTION _check_options(pipeline text, brokers text, topic_prefix text, partitions int, replication_factor int,
	properties_file text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF pipeline IS NULL OR pipeline !~ '^[a-z][a-z0-9_]{0,49}$' THEN
		RAISE EXCEPTION 'invalid pipeline name "%"', pipeline USING ERRCODE = 'invalid_name',
			HINT = 'A name is 1 to 50 lower-case letters, digits and underscores, and begins with a letter.';
	END IF;
	IF brokers IS NULL OR brokers !~ '^[A-Za-z0-9._:,\[\]-]+$' THEN
		RAISE EXCEPTION 'invalid broker list "%"', brokers USING ERRCODE = 'invalid_parameter_value',
			HINT = 'Give host:port, several separated by commas.';
	END IF;
	IF topic_prefix !~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$' THEN
		RAISE EXCEPTION 'invalid topic prefix "%"', topic_prefix USING ERRCODE = 'invalid_parameter_value',
			HINT = 'A prefix is 1 to 100 letters, digits, dots, underscores and hyphens.';
	END IF;
	IF partitions IS NULL OR partitions NOT BETWEEN 1 AND 1000 THEN
		RAISE EXCEPTION 'invalid number of partitions "%"', partitions USING ERRCODE = 'invalid_parameter_value',
			HINT = 'Give 1 to 1000.';
	END IF;
	IF replication_factor IS NULL OR replication_factor NOT BETWEEN 1 AND 10 THEN
		RAISE EXCEPTION 'invalid replication factor "%"', replication_factor USING ERRCODE = 'invalid_parameter_value',
			HINT = 'Give 1 to 10, and not more than there are brokers.';
	END IF;
	IF properties_file IS NOT NULL AND properties_file !~ '^/' THEN
		RAISE EXCEPTION 'invalid properties file "%"', properties_file USING ERRCODE = 'invalid_parameter_value',
			HINT = 'Give the absolute path of a file on the server.';
	END IF;
END $$;

/* ---- pipelines ---- */

CREATE FUNCTION create_pipeline(
	pipeline text,
	publication text,
	brokers text,
	topic_prefix text DEFAULT NULL,
	partitions int DEFAULT 2,
	replication_factor int DEFAULT 1,
	properties_file text DEFAULT NULL) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	slot name := 'walhouse_' || pipeline;
	prefix text := coalesce(topic_prefix, pipeline);
	existing pg_replication_slots;
	base_lsn pg_lsn;
BEGIN
	PERFORM walhouse._require_superuser();
	PERFORM walhouse._check_options(pipeline, brokers, prefix, partitions, replication_factor, properties_file);
	PERFORM walhouse._check_server();
	PERFORM walhouse._check_publication(publication);
	IF EXISTS (SELECT FROM walhouse.pipeline p WHERE p.name = pipeline) THEN
		RAISE EXCEPTION 'pipeline "%" exists already', pipeline USING ERRCODE = 'duplicate_object',
			HINT = format('SELECT walhouse.drop_pipeline(%L); removes it.', pipeline);
	END IF;
	SELECT * INTO existing FROM pg_replication_slots s WHERE s.slot_name = slot;
	IF FOUND AND (existing.plugin IS DISTINCT FROM 'walhouse' OR existing.active
		OR existing.database IS DISTINCT FROM current_database()) THEN
		RAISE EXCEPTION 'replication slot "%" exists already', slot USING ERRCODE = 'duplicate_object',
			HINT = 'Choose another pipeline name, or drop the slot if nothing needs it.';
	ELSIF FOUND THEN
		-- Left by a create_pipeline() that was rolled back: slots do not take part in transactions.
		PERFORM walhouse._drop_slot(slot);
	END IF;
	base_lsn := walhouse._create_slot(slot);
	INSERT INTO walhouse.pipeline (name, publication, slot_name, brokers, topic_prefix, partitions, replication_factor,
		properties_file, system_identifier, timeline, base_lsn)
	SELECT pipeline, publication, slot, brokers, prefix, partitions, replication_factor, properties_file,
		i.system_identifier, i.timeline, base_lsn
	FROM walhouse._server_identity() i;
	PERFORM walhouse._wake_launcher();
END $$;
COMMENT ON FUNCTION create_pipeline(text, text, text, text, int, int, text) IS
	'captures the publication''s changes from now on and carries them to Kafka';

CREATE FUNCTION _set_enabled(pipeline text, enabled boolean) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
	PERFORM walhouse._require_superuser();
	UPDATE walhouse.pipeline p SET enabled = enabled WHERE p.name = pipeline;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'pipeline "%" does not exist', pipeline USING ERRCODE = 'undefined_object',
			HINT = 'SELECT pipeline FROM walhouse.status; lists the pipelines.';
	END IF;
	PERFORM walhouse._wake_launcher();
END $$;

CREATE FUNCTION pause(pipeline text) RETURNS void LANGUAGE sql SET search_path = pg_catalog, pg_temp
	AS $$ SELECT walhouse._set_enabled(pipeline, false) $$;
COMMENT ON FUNCTION pause(text) IS 'stops the publisher; the slot keeps the WAL from here on';

CREATE FUNCTION resume(pipeline text) RETURNS void LANGUAGE sql SET search_path = pg_catalog, pg_temp
	AS $$ SELECT walhouse._set_enabled(pipeline, true) $$;
COMMENT ON FUNCTION resume(text) IS 'goes on where the pipeline was paused';

CREATE FUNCTION drop_pipeline(pipeline text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	slot name;
BEGIN
	PERFORM walhouse._require_superuser();
	DELETE FROM walhouse.pipeline p WHERE p.name = pipeline RETURNING p.slot_name INTO slot;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'pipeline "%" does not exist', pipeline USING ERRCODE = 'undefined_object',
			HINT = 'SELECT pipeline FROM walhouse.status; lists the pipelines.';
	END IF;
	PERFORM walhouse._stop_worker(pipeline);
	IF EXISTS (SELECT FROM pg_replication_slots s WHERE s.slot_name = slot) THEN
		PERFORM walhouse._drop_slot(slot);
	END IF;
	PERFORM walhouse._wake_launcher();
END $$;
COMMENT ON FUNCTION drop_pipeline(text) IS 'stops the publisher and drops the slot; topics and warehouse stay as they are';

CREATE VIEW status AS
SELECT
	p.name AS pipeline,
	CASE WHEN NOT p.enabled AND coalesce(s.worker_pid, 0) = 0 THEN 'paused' ELSE coalesce(s.state, 'stopped') END AS state,
	s.state_since,
	pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), r.confirmed_flush_lsn)::bigint AS lag_bytes,
	/* 0 while everything that was received is acknowledged; what is not decoded yet shows in lag_bytes. */
	CASE WHEN s.publisher_pid IS NOT NULL AND s.in_flight = 0 AND s.acked_lsn >= s.received_lsn THEN 0
		ELSE greatest(round(extract(epoch FROM pg_catalog.clock_timestamp() - coalesce(s.last_commit_time, p.created_at)), 3), 0)
	END AS lag_seconds,
	pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), r.restart_lsn)::bigint AS retained_wal_bytes,
	r.wal_status,
	r.confirmed_flush_lsn,
	s.last_commit_time,
	coalesce(s.events, 0) AS events,
	coalesce(s.event_bytes, 0) AS event_bytes,
	coalesce(s.transactions, 0) AS transactions,
	coalesce(s.schemas, 0) AS schemas,
	coalesce(s.in_flight, 0) AS in_flight,
	coalesce(s.publisher_starts, 0) AS publisher_starts,
	CASE WHEN r.slot_name IS NULL THEN format('replication slot %s does not exist', p.slot_name) ELSE s.last_error END AS last_error,
	s.last_error_at,
	s.reported_at,
	s.worker_pid,
	s.publisher_pid,
	p.slot_name,
	p.publication,
	p.topic_prefix
FROM walhouse.pipeline p
LEFT JOIN walhouse._pipeline_states() s ON s.name = p.name
LEFT JOIN pg_catalog.pg_replication_slots r ON r.slot_name = p.slot_name;
COMMENT ON VIEW status IS 'how each pipeline is; counters are since the publisher''s start';

/* ---- rights ---- */

REVOKE ALL ON ALL TABLES IN SCHEMA walhouse FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA walhouse FROM PUBLIC;
GRANT USAGE ON SCHEMA walhouse TO pg_monitor;
GRANT SELECT ON status TO pg_monitor;
GRANT EXECUTE ON FUNCTION _pipeline_states() TO pg_monitor;
