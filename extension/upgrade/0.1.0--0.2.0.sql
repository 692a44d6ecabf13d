/* walhouse--0.1.0--0.2.0.sql - what 0.1.0 had goes or grows; the pieces of 0.2.0 but its first table follow it here. */
\echo Use "ALTER EXTENSION walhouse UPDATE" to load this file. \quit

/* Before anything is dropped: views over functions. Pipelines stay; their workers wait meanwhile, for the lock on the table. */
DROP VIEW status;
DROP FUNCTION decode(bytea), _create_slot(name), _drop_slot(name), _server_identity(), _stop_worker(text), _wake_launcher(),
	_pipeline_states(), _require_superuser(), _check_server(), _check_publication(text),
	_check_options(text, text, text, int, int, text), create_pipeline(text, text, text, text, int, int, text),
	_set_enabled(text, boolean), pause(text), resume(text), drop_pipeline(text);

ALTER TABLE pipeline
	ADD messages boolean NOT NULL DEFAULT true,
	ADD out_of_range text NOT NULL DEFAULT 'dlq' CHECK (out_of_range IN ('dlq', 'null', 'clamp')),
	ADD slot_lsn pg_lsn,
	ADD on_slot_loss text NOT NULL DEFAULT 'stop' CHECK (on_slot_loss IN ('stop', 'resync')),
	ADD failover boolean NOT NULL DEFAULT true;
/* Not more than what the slot had confirmed when it was made, which 0.1.0 did not write down. */
UPDATE pipeline SET slot_lsn = base_lsn;
ALTER TABLE pipeline ALTER slot_lsn SET NOT NULL;
COMMENT ON COLUMN pipeline.base_lsn IS 'read just before the slot was created: what it does not show committed before it was ready';
COMMENT ON COLUMN pipeline.slot_lsn IS 'what the slot had confirmed when it was created';

