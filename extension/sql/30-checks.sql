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

/* The columns that an old row is sure to hold, from what the WAL says of updates and deletes; NULL: all of them. */
CREATE FUNCTION _identity_columns(relation oid) RETURNS name[] LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE WHEN c.relreplident = 'f' THEN NULL ELSE ARRAY(
		SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid
			AND a.attnum = ANY ((i.indkey::int2[])[0 : i.indnkeyatts - 1])
		WHERE i.indrelid = c.oid AND i.indisvalid AND i.indimmediate
			AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END) END
	FROM pg_class c WHERE c.oid = relation
$$;

/*
 * The publication's tables as they are published, each with its key's columns (NULL: none usable, or one is not published)
 * and those of its partitions whose old rows do not hold that key.
 */
CREATE FUNCTION _published_keys(publication text)
	RETURNS TABLE (relation oid, name text, replica_identity "char", key name[], unlike_partitions text[])
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT c.oid, format('%I.%I', t.schemaname, t.tablename), c.relreplident, k.key,
		ARRAY(SELECT l.oid::regclass::text FROM unnest(walhouse._leaf_partitions(c.oid)) AS l(oid)
			WHERE k.key IS NOT NULL AND NOT k.key <@ walhouse._identity_columns(l.oid)
				AND walhouse._identity_columns(l.oid) <> '{}')
	FROM pg_publication_tables t JOIN pg_namespace n ON n.nspname = t.schemaname
	JOIN pg_class c ON c.relname = t.tablename AND c.relnamespace = n.oid
	CROSS JOIN LATERAL (SELECT array_agg(a.attname) FILTER (WHERE a.attname = ANY (t.attnames)) AS key, count(*) AS columns
		FROM unnest(string_to_array(walhouse._table_key(c.oid), ' ')::int2[]) AS i(attnum)
		JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.attnum) AS whole
	CROSS JOIN LATERAL (SELECT CASE WHEN cardinality(whole.key) = whole.columns THEN whole.key END AS key) AS k
	WHERE t.pubname = publication AND t.schemaname <> 'walhouse'
$$;

/*
 * What Postgres lets happen and Walhouse could not say is refused, with the way out: updates and deletes that name no row.
 * Postgres itself refuses those of a published table without a replica identity, so such a table is a log of inserts.
 */
CREATE FUNCTION _check_publication(publication text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	changes_rows bool;
	tables text;
	example text;
BEGIN
	SELECT p.pubupdate OR p.pubdelete INTO changes_rows FROM pg_publication p WHERE p.pubname = publication;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'publication "%" does not exist', publication
			USING ERRCODE = 'undefined_object',
			HINT = format('CREATE PUBLICATION %I FOR ALL TABLES; or name the tables to be captured.', publication);
	END IF;
	SELECT string_agg(k.name, ', ' ORDER BY k.name), min(k.name) INTO tables, example FROM walhouse._published_keys(publication) k
	WHERE changes_rows AND k.key IS NULL AND k.replica_identity = 'f';
	IF tables IS NOT NULL THEN
		RAISE EXCEPTION 'publication "%" publishes updates and deletes of tables whose rows have no key', publication
			USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = format('Tables: %s.', tables),
			HINT = format('ALTER TABLE %s ADD PRIMARY KEY (...); or, for a log of inserts, ALTER TABLE %s REPLICA IDENTITY DEFAULT;',
				example, example);
	END IF;
	SELECT string_agg(l, ', ' ORDER BY l), min(l) INTO tables, example
	FROM walhouse._published_keys(publication) k, unnest(k.unlike_partitions) AS l WHERE changes_rows;
	IF tables IS NOT NULL THEN
		RAISE EXCEPTION 'partitions have another replica identity than the key of the root they are published as'
			USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = format('Partitions: %s.', tables),
			HINT = format('ALTER TABLE %s REPLICA IDENTITY DEFAULT;', example);
	END IF;
	SELECT string_agg(k.name, ', ' ORDER BY k.name) INTO tables FROM walhouse._published_keys(publication) k WHERE k.key IS NULL;
	IF tables IS NOT NULL THEN
		RAISE WARNING 'tables without a usable primary key are carried as logs of inserts'
			USING DETAIL = format('Tables: %s.', tables),
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
