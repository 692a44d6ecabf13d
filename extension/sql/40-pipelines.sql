/* ---- pipelines ---- */

CREATE FUNCTION create_pipeline(
	pipeline text,
	publication text,
	brokers text,
	topic_prefix text DEFAULT NULL,
	partitions int DEFAULT 2,
	replication_factor int DEFAULT 1,
	properties_file text DEFAULT NULL,
	messages boolean DEFAULT true,
	out_of_range text DEFAULT 'dlq',
	snapshot text DEFAULT 'initial',
	on_slot_loss text DEFAULT 'stop',
	failover boolean DEFAULT true) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	slot name := 'walhouse_' || pipeline;
	prefix text := coalesce(topic_prefix, pipeline);
	existing pg_replication_slots;
	made record;
BEGIN
	PERFORM walhouse._require_superuser();
	PERFORM walhouse._check_options(pipeline, brokers, prefix, partitions, replication_factor, properties_file);
	PERFORM walhouse._check_out_of_range(out_of_range);
	PERFORM walhouse._check_snapshot_mode(snapshot);
	PERFORM walhouse._check_slot_options(on_slot_loss, failover);
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
	made := walhouse._create_slot(slot, failover);
	INSERT INTO walhouse.pipeline (name, publication, slot_name, brokers, topic_prefix, partitions, replication_factor,
		properties_file, messages, out_of_range, on_slot_loss, failover, system_identifier, timeline, base_lsn, slot_lsn)
	SELECT pipeline, publication, slot, brokers, prefix, partitions, replication_factor, properties_file,
		coalesce(messages, true), out_of_range, on_slot_loss, failover, i.system_identifier, i.timeline,
		made.base_lsn, made.slot_lsn
	FROM walhouse._server_identity() i;
	PERFORM walhouse._begin_capture(pipeline, snapshot);
	PERFORM walhouse._wake_launcher();
END $$;
COMMENT ON FUNCTION create_pipeline IS
	'carries the publication''s tables to Kafka: the rows they hold, and every change from now on';

CREATE FUNCTION _set_enabled(pipeline text, enabled boolean) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
	PERFORM walhouse._require_superuser();
	PERFORM walhouse._require_pipeline(pipeline);
	UPDATE walhouse.pipeline p SET enabled = enabled WHERE p.name = pipeline;
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
	-- Another database's is not ours to drop: this one may be its restored copy.
	IF EXISTS (SELECT FROM pg_replication_slots s WHERE s.slot_name = slot AND s.database = current_database()) THEN
		PERFORM walhouse._drop_slot(slot);
	END IF;
	PERFORM walhouse._wake_launcher();
END $$;
COMMENT ON FUNCTION drop_pipeline(text) IS 'stops the publisher and drops the slot; topics and warehouse stay as they are';

