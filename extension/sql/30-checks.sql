/* ---- checks: each complaint says what to do ---- */

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

CREATE FUNCTION _check_out_of_range(policy text) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF policy IS NULL OR policy NOT IN ('dlq', 'null', 'clamp') THEN
		RAISE EXCEPTION 'invalid out_of_range "%"', policy USING ERRCODE = 'invalid_parameter_value',
			HINT = 'Give ''dlq'' (the row becomes a dead letter), ''null'' or ''clamp'' (the nearest value that the type has).';
	END IF;
END $$;

CREATE FUNCTION _check_slot_options(on_slot_loss text, failover boolean) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF on_slot_loss IS NULL OR on_slot_loss NOT IN ('stop', 'resync') THEN
		RAISE EXCEPTION 'invalid on_slot_loss "%"', on_slot_loss USING ERRCODE = 'invalid_parameter_value',
			HINT = 'Give ''stop'' (wait for somebody to call walhouse.resync()) or ''resync'' (make a new slot and take every table again).';
	END IF;
	IF failover IS NULL THEN
		RAISE EXCEPTION 'failover must be true or false' USING ERRCODE = 'invalid_parameter_value';
	END IF;
END $$;

CREATE FUNCTION _require_pipeline(pipeline text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
	IF NOT EXISTS (SELECT FROM walhouse.pipeline p WHERE p.name = pipeline) THEN
		RAISE EXCEPTION 'pipeline "%" does not exist', pipeline USING ERRCODE = 'undefined_object',
			HINT = 'SELECT pipeline FROM walhouse.status; lists the pipelines.';
	END IF;
END $$;
