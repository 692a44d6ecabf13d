/* ---- changing a pipeline ---- */

/* What is NULL stays as it is. properties_file => '' takes the file away. */
CREATE FUNCTION alter_pipeline(
	pipeline text,
	brokers text DEFAULT NULL,
	partitions int DEFAULT NULL,
	replication_factor int DEFAULT NULL,
	properties_file text DEFAULT NULL,
	messages boolean DEFAULT NULL,
	out_of_range text DEFAULT NULL,
	on_slot_loss text DEFAULT NULL) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	p walhouse.pipeline;
BEGIN
	PERFORM walhouse._require_superuser();
	PERFORM walhouse._require_pipeline(pipeline);
	SELECT * INTO p FROM walhouse.pipeline q WHERE q.name = pipeline FOR UPDATE;
	p.brokers := coalesce(brokers, p.brokers);
	p.partitions := coalesce(partitions, p.partitions);
	p.replication_factor := coalesce(replication_factor, p.replication_factor);
	p.properties_file := nullif(coalesce(properties_file, p.properties_file), '');
	p.messages := coalesce(messages, p.messages);
	p.out_of_range := coalesce(out_of_range, p.out_of_range);
	p.on_slot_loss := coalesce(on_slot_loss, p.on_slot_loss);
	PERFORM walhouse._check_options(pipeline, p.brokers, p.topic_prefix, p.partitions, p.replication_factor, p.properties_file);
	PERFORM walhouse._check_out_of_range(p.out_of_range);
	PERFORM walhouse._check_slot_options(p.on_slot_loss, p.failover);
	UPDATE walhouse.pipeline q SET brokers = p.brokers, partitions = p.partitions, replication_factor = p.replication_factor,
		properties_file = p.properties_file, messages = p.messages, out_of_range = p.out_of_range, on_slot_loss = p.on_slot_loss
	WHERE q.name = pipeline;
	PERFORM walhouse._announce_change();
END $$;
COMMENT ON FUNCTION alter_pipeline IS
	'changes what is given and leaves the rest; the publisher is started anew with it by itself';
