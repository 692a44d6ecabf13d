/* ---- a pipeline that comes out of a dump ---- */

/*
 * A dump holds the pipeline, but no slot, and whoever restores one may only want a copy to look at: it must not begin to
 * publish beside the original. So a row whose slot is not here arrives paused, whatever its policy for lost slots;
 * walhouse.resume() is then somebody's decision. (create_pipeline() makes the slot before the row.)
 */
CREATE FUNCTION _pause_restored() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	NEW.enabled := NEW.enabled
		AND NEW.system_identifier = (SELECT i.system_identifier FROM walhouse._server_identity() i)
		AND EXISTS (SELECT FROM pg_replication_slots s
			WHERE s.slot_name = NEW.slot_name AND s.plugin = 'walhouse' AND s.database = current_database());
	RETURN NEW;
END $$;

CREATE TRIGGER pause_restored BEFORE INSERT ON pipeline FOR EACH ROW EXECUTE FUNCTION _pause_restored();
