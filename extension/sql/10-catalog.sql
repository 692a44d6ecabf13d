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
	messages boolean NOT NULL DEFAULT true,
	out_of_range text NOT NULL DEFAULT 'dlq' CHECK (out_of_range IN ('dlq', 'null', 'clamp')),
	enabled boolean NOT NULL DEFAULT true,
	epoch int NOT NULL DEFAULT 1 CHECK (epoch BETWEEN 1 AND 65535),
	system_identifier text NOT NULL,
	timeline int NOT NULL,
	base_lsn pg_lsn NOT NULL,
	slot_lsn pg_lsn NOT NULL,
	on_slot_loss text NOT NULL DEFAULT 'stop' CHECK (on_slot_loss IN ('stop', 'resync')),
	failover boolean NOT NULL DEFAULT true,
	created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE pipeline IS 'one row a pipeline; changed by walhouse.create_pipeline() and its siblings only';
COMMENT ON COLUMN pipeline.base_lsn IS 'read just before the slot was created: what it does not show committed before it was ready';
COMMENT ON COLUMN pipeline.slot_lsn IS 'what the slot had confirmed when it was created';

SELECT pg_catalog.pg_extension_config_dump('pipeline', '');

