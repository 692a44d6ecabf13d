-- From 0.1.0 to this version: the same catalog as a new installation has, and the pipelines stay.
\set SHOW_CONTEXT never
\getenv folder PG_ABS_BUILDDIR

-- Everything that the extension made, one line each. Columns by name: an upgrade adds them at the end.
SELECT $catalog$
	SELECT format('function %s returns %s security %s volatile %s strict %s config %s rights %s comment %s source %s',
		p.oid::regprocedure, pg_get_function_result(p.oid), p.prosecdef, p.provolatile, p.proisstrict, p.proconfig, p.proacl,
		obj_description(p.oid, 'pg_proc'), md5(pg_get_functiondef(p.oid))) AS line
	FROM pg_proc p WHERE p.pronamespace = 'walhouse'::regnamespace
	UNION ALL
	SELECT format('relation %s kind %s rights %s comment %s dumped %s', c.relname, c.relkind, c.relacl,
		obj_description(c.oid, 'pg_class'), c.oid = ANY (e.extconfig))
	FROM pg_class c, pg_extension e WHERE c.relnamespace = 'walhouse'::regnamespace AND e.extname = 'walhouse'
	UNION ALL
	SELECT format('column %s.%s %s not null %s identity %s default %s comment %s', c.relname, a.attname,
		format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, pg_get_expr(d.adbin, d.adrelid),
		col_description(c.oid, a.attnum))
	FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
	LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
	WHERE c.relnamespace = 'walhouse'::regnamespace AND c.relkind IN ('r', 'v')
	UNION ALL
	SELECT format('view %s %s', c.relname, md5(pg_get_viewdef(c.oid)))
	FROM pg_class c WHERE c.relnamespace = 'walhouse'::regnamespace AND c.relkind = 'v'
	UNION ALL
	SELECT format('constraint %s %s %s', k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid))
	FROM pg_constraint k WHERE k.connamespace = 'walhouse'::regnamespace AND k.contype <> 'n'
	UNION ALL
	SELECT format('index %s', pg_get_indexdef(i.indexrelid))
	FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE c.relnamespace = 'walhouse'::regnamespace
	UNION ALL
	SELECT format('trigger %s', pg_get_triggerdef(t.oid))
	FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE c.relnamespace = 'walhouse'::regnamespace AND NOT t.tgisinternal
	UNION ALL
	SELECT format('event trigger %s %s %s %s', evtname, evtevent, evtfoid::regprocedure, evtenabled) FROM pg_event_trigger
	UNION ALL
	SELECT format('schema rights %s', nspacl) FROM pg_namespace WHERE nspname = 'walhouse'
	UNION ALL
	SELECT format('members %s', count(*)) FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
	WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname = 'walhouse'
	ORDER BY 1
$catalog$ AS catalog \gset

\pset tuples_only on
\pset format unaligned
\set file :folder '/results/catalog-new.txt'
\o :file
:catalog;
\o
SELECT current_database() AS home \gset
CREATE DATABASE upgraded;
\c upgraded
CREATE EXTENSION walhouse VERSION '0.1.0';
-- As 0.1.0's create_pipeline() wrote it.
INSERT INTO walhouse.pipeline (name, publication, slot_name, brokers, topic_prefix, partitions, replication_factor,
	system_identifier, timeline, base_lsn)
VALUES ('old', 'nothing', 'walhouse_old', '127.0.0.1:1', 'old', 3, 1, '7', 1, '0/ABCDEF8');
-- A library that is newer than the catalog says so.
SELECT count(*) FROM walhouse.status;
SELECT walhouse._create_slot('walhouse_old');
ALTER EXTENSION walhouse UPDATE;
SELECT extversion = (SELECT default_version FROM pg_available_extensions WHERE name = 'walhouse') FROM pg_extension
WHERE extname = 'walhouse';
SELECT name, enabled, partitions, messages, out_of_range, base_lsn, slot_lsn, on_slot_loss, failover FROM walhouse.pipeline;
SELECT pipeline, state FROM walhouse.status;
\set file :folder '/results/catalog-upgraded.txt'
\o :file
:catalog;
\o
\! cd "$PG_ABS_BUILDDIR/results" && diff catalog-new.txt catalog-upgraded.txt && grep -q '^function' catalog-new.txt && echo the same
\c :home
DROP DATABASE upgraded;
