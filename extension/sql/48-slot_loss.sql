/*
 * ---- a slot that does not hold what follows ----
 *
 * The way out is a new slot and a snapshot of every table. Rows of the past that the slot lost may be in the warehouse:
 * the epoch rises, so everything that comes from now on outranks them, and the snapshots' sweeps remove those that no
 * snapshot row replaced. seen_epoch is the highest one that Kafka's topics have seen: a restored server may have
 * forgotten it.
 */

CREATE FUNCTION _next_epoch(pipeline text, seen_epoch int) RETURNS int
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	next_epoch int;
BEGIN
	SELECT greatest(p.epoch, seen_epoch) + 1 INTO next_epoch FROM walhouse.pipeline p WHERE p.name = pipeline;
	IF next_epoch > 65535 THEN
		RAISE EXCEPTION 'pipeline "%" has no epoch left', pipeline USING ERRCODE = 'program_limit_exceeded',
			HINT = 'Create a pipeline with another topic prefix, and drop this one.';
	END IF;
	RETURN next_epoch;
END $$;

/* Asks for a snapshot of every published table; what was under way belongs to the lost past. */
CREATE FUNCTION _request_resync(pipeline text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	stamp record;
BEGIN
	UPDATE walhouse.snapshot s SET state = 'cancelled', error = 'the slot was made anew', finished_at = clock_timestamp(),
		updated_at = clock_timestamp()
	WHERE s.pipeline = pipeline AND s.state IN ('waiting', 'running');
	DELETE FROM walhouse.captured c WHERE c.pipeline = pipeline;
	INSERT INTO walhouse.captured SELECT pipeline, t.*
	FROM walhouse.pipeline p, walhouse._published(p.publication) t WHERE p.name = pipeline;
	PERFORM walhouse._request_snapshot(pipeline, c.relation, 'resync')
	FROM walhouse.captured c WHERE c.pipeline = pipeline ORDER BY c.relation;
	-- As for a new pipeline: the new slot waited for every transaction that ran before.
	SELECT * INTO stamp FROM walhouse._take_floor();
	UPDATE walhouse.snapshot s SET min_xid = stamp.next_xid, min_lsn = stamp.floor_lsn
	WHERE s.pipeline = pipeline AND s.state = 'waiting' AND s.min_xid IS NULL;
END $$;

/* Called by the publisher, whose slot is lost, and by walhouse.resync(). The pipeline must not be reading its slot. */
CREATE FUNCTION _resync(pipeline text, seen_epoch int DEFAULT 0) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	p walhouse.pipeline;
	existing pg_replication_slots;
	made record;
BEGIN
	-- One at a time. No row lock: a slot cannot be created by a transaction that has written.
	PERFORM pg_advisory_xact_lock('walhouse.pipeline'::regclass::oid::int, hashtext(pipeline));
	PERFORM walhouse._require_pipeline(pipeline);
	PERFORM walhouse._check_server();
	SELECT * INTO p FROM walhouse.pipeline q WHERE q.name = pipeline;
	SELECT * INTO existing FROM pg_replication_slots s WHERE s.slot_name = p.slot_name;
	IF FOUND AND (existing.plugin IS DISTINCT FROM 'walhouse' OR existing.database IS DISTINCT FROM current_database()) THEN
		RAISE EXCEPTION 'replication slot "%" is not a slot of output plugin walhouse in this database', p.slot_name
			USING ERRCODE = 'duplicate_object', HINT = 'Drop it if nothing needs it.';
	ELSIF FOUND AND existing.active THEN
		RAISE EXCEPTION 'replication slot "%" is being read by process %', p.slot_name, existing.active_pid
			USING ERRCODE = 'object_in_use', HINT = 'End that process, and try again.';
	ELSIF FOUND THEN
		PERFORM walhouse._drop_slot(p.slot_name);
	END IF;
	made := walhouse._create_slot(p.slot_name, p.failover);
	UPDATE walhouse.pipeline q SET epoch = walhouse._next_epoch(pipeline, seen_epoch), base_lsn = made.base_lsn,
		slot_lsn = made.slot_lsn, system_identifier = i.system_identifier, timeline = i.timeline
	FROM walhouse._server_identity() i WHERE q.name = pipeline;
	PERFORM walhouse._request_resync(pipeline);
END $$;

/* Called by the publisher before it has produced anything: its topics hold rows of this epoch that are not its own. */
CREATE FUNCTION _raise_epoch(pipeline text, seen_epoch int) RETURNS void
	LANGUAGE sql SET search_path = pg_catalog, pg_temp
	AS $$ UPDATE walhouse.pipeline p SET epoch = walhouse._next_epoch(p.name, seen_epoch) WHERE p.name = _raise_epoch.pipeline $$;

CREATE FUNCTION resync(pipeline text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM walhouse._require_superuser();
	PERFORM walhouse._require_pipeline(pipeline);
	PERFORM walhouse._hold_worker(pipeline);
	PERFORM walhouse._resync(pipeline);
	PERFORM walhouse._wake_launcher();
END $$;
COMMENT ON FUNCTION resync(text) IS
	'a new slot and a snapshot of every table: for a slot that was lost, or to bring the warehouse in line with the source';
