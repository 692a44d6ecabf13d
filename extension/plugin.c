/*
 * plugin.c - the output plugin: decoded changes in, chunks of events out.
 *
 *		begin ---> remember the transaction (nothing is written)
 *		change --> relation version --> row body --> record in the chunk --> written when batch_bytes are reached
 *		commit --> commit record --> written, if the transaction had any event
 *
 * Writing many events at once is what makes this fast: the walsender pays a send() and its housekeeping per write. Layouts:
 * docs/wire-format.md. It never talks to Kafka, never touches user tables, and never detoasts what is out of line.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "replication/logical.h"
#include "replication/output_plugin.h"
#include "replication/walsender.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "common/chunk.h"
#include "chunk_writer.h"
#include "compat.h"
#include "output_settings.h"
#include "plugin_options.h"
#include "utf8.h"

/* Unpublished changes between two signs of life to the walsender's client. */
#define PROGRESS_EVERY_CHANGES	100

extern PGDLLEXPORT void _PG_output_plugin_init(OutputPluginCallbacks *callbacks);

/* State of one decoding session; lives in the decoding context. */
typedef struct PluginState
{
	PluginOptions options;
	RelationCache *relations;
	MemoryContext change_context;	/* reset after each change */
	int			guc_nest_level; /* 0: settings were made for the session */
	int			skipped_changes;
	ChunkWriter chunk;
	bool		has_events;		/* of the transaction being decoded */
	RowEncoder	row;
	StringInfoData old_key;
	Datum	   *values;			/* MaxTupleAttributeNumber of each */
	bool	   *nulls;
	Datum	   *old_values;
	bool	   *old_nulls;
} PluginState;

static void
plugin_startup(LogicalDecodingContext *ctx, OutputPluginOptions *options, bool is_init)
{
	MemoryContext old;
	PluginState *state;

	options->output_type = OUTPUT_PLUGIN_BINARY_OUTPUT;
	options->receive_rewrites = false;
	/* The commit LSN must be known when a row is written: transactions are decoded when they are complete. */
	ctx->streaming = false;
	ctx->twophase = false;
	if (is_init)
		return;

	old = MemoryContextSwitchTo(ctx->context);
	state = palloc0(sizeof *state);
	plugin_options_parse(ctx->output_plugin_options, &state->options);
	state->relations = relation_cache_create(ctx->context, state->options.publications);
	state->change_context = AllocSetContextCreate(ctx->context, "walhouse change", ALLOCSET_DEFAULT_SIZES);
	chunk_writer_init(&state->chunk, ctx->context);
	row_encoder_init(&state->row, false);
	state->row.policy = state->options.out_of_range;
	initStringInfo(&state->old_key);
	state->values = palloc(sizeof(Datum) * MaxTupleAttributeNumber);
	state->nulls = palloc(sizeof(bool) * MaxTupleAttributeNumber);
	state->old_values = palloc(sizeof(Datum) * MaxTupleAttributeNumber);
	state->old_nulls = palloc(sizeof(bool) * MaxTupleAttributeNumber);
	/* In a walsender for the session, which ends with the decoding; in an SQL function until decoding ends. */
	if (am_walsender)
		output_settings_set();
	else
		state->guc_nest_level = output_settings_begin();
	ctx->output_plugin_private = state;
	MemoryContextSwitchTo(old);
}

static void
plugin_shutdown(LogicalDecodingContext *ctx)
{
	PluginState *state = ctx->output_plugin_private;

	if (state == NULL)
		return;
	if (state->guc_nest_level)
		AtEOXact_GUC(true, state->guc_nest_level);
	ctx->output_plugin_private = NULL;
}

/* ---- the chunk ---- */

static void
write_chunk(LogicalDecodingContext *ctx, PluginState *state, bool last_of_transaction)
{
	StringInfo	data = &state->chunk.data;

	OutputPluginPrepareWrite(ctx, last_of_transaction);
	appendBinaryStringInfo(ctx->out, data->data, data->len);
	OutputPluginWrite(ctx, last_of_transaction);
	chunk_writer_reset(&state->chunk);
}

/* Appends the event whose row is in state; the chunk goes out when it has become large enough. */
static void
send_event(LogicalDecodingContext *ctx, PluginState *state, RelationVersion *version, char operation, int key_size)
{
	chunk_writer_event(&state->chunk, version, operation, &state->row, key_size);
	row_shrink(&state->row);
	state->has_events = true;
	if (state->chunk.data.len >= state->options.batch_bytes)
		write_chunk(ctx, state, false);
}

static int64
commit_time_us(ReorderBufferTXN *txn)
{
	return txn->xact_time.commit_time + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
}

/* ---- rows ---- */

/* What state->values and state->old_values hold. */
static inline RowValues
new_row(PluginState *state, bool there)
{
	return there ? (RowValues) {state->values, state->nulls} : (RowValues) {NULL, NULL};
}

static inline RowValues
old_row(PluginState *state, bool there)
{
	return there ? (RowValues) {state->old_values, state->old_nulls} : (RowValues) {NULL, NULL};
}

/* The whole row. What the WAL left out of it because it did not change is taken from the old one, if that has it. */
static void
send_row(LogicalDecodingContext *ctx, PluginState *state, RelationVersion *version, char operation, bool has_old)
{
	RowValues	old = old_row(state, has_old);
	int			key_size = row_encode(&state->row, version, version->column_count, state->values, state->nulls, old.values,
									  old.nulls);

	send_event(ctx, state, version, operation, key_size);
}

static void
send_delete(LogicalDecodingContext *ctx, PluginState *state, RelationVersion *version)
{
	int			key_size = row_encode(&state->row, version, version->key_column_count, state->old_values, state->old_nulls,
									  NULL, NULL);

	send_event(ctx, state, version, WH_OP_DELETE, key_size);
}

/*
 * The WAL holds the old key only when the update changed it (or under REPLICA IDENTITY FULL). Keys are compared as
 * ClickHouse will see them: what is one key there is one update.
 */
static void
send_update(LogicalDecodingContext *ctx, PluginState *state, RelationVersion *version, bool has_old)
{
	int			key_size;

	if (!has_old || !version->old_has_key)
	{
		send_row(ctx, state, version, WH_OP_UPDATE, has_old);
		return;
	}
	row_encode(&state->row, version, version->key_column_count, state->old_values, state->old_nulls, NULL, NULL);
	resetStringInfo(&state->old_key);
	appendBinaryStringInfo(&state->old_key, state->row.body.data, state->row.body.len);
	key_size = row_encode(&state->row, version, version->column_count, state->values, state->nulls, state->old_values,
						  state->old_nulls);
	if (key_size == state->old_key.len && memcmp(state->row.body.data, state->old_key.data, key_size) == 0)
		send_event(ctx, state, version, WH_OP_UPDATE, key_size);
	else
	{
		send_delete(ctx, state, version);
		send_row(ctx, state, version, WH_OP_INSERT, true);
	}
}

/*
 * An update or delete that names no row: the table has no key, or the partition's replica identity is not that of its root.
 * Such a table is a log of what was inserted.
 */
static void
complain(RelationVersion *version, Relation relation)
{
	if (version->complained)
		return;
	version->complained = true;
	ereport(WARNING,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("updates and deletes of table \"%s\" are not carried", RelationGetRelationName(relation)),
			 errdetail("Its replica identity does not name the rows of what it is published as."),
			 errhint("ALTER TABLE ... ADD PRIMARY KEY, or REPLICA IDENTITY DEFAULT, and take a snapshot.")));
}

/* ---- callbacks ---- */

static void
plugin_begin(LogicalDecodingContext *ctx, ReorderBufferTXN *txn)
{
	PluginState *state = ctx->output_plugin_private;

	chunk_writer_transaction(&state->chunk, txn->final_lsn, txn->xid, commit_time_us(txn), 1);
	state->has_events = false;
}

/* A long run of changes that are not published must not look like a dead walsender. */
static void
skip_change(LogicalDecodingContext *ctx, PluginState *state)
{
	if (++state->skipped_changes < PROGRESS_EVERY_CHANGES)
		return;
	state->skipped_changes = 0;
	OutputPluginUpdateProgress(ctx, false);
}

/* Row filters may drop a change, or make an insert or a delete of an update. */
static int
filter_change(PluginState *state, RelationVersion *version, int action, bool has_old, bool has_new)
{
	if (likely(version->filter == NULL))
		return action;
	return row_filter_apply(version->filter, action, old_row(state, has_old), new_row(state, has_new));
}

static bool
action_is_published(const PublicationActions *actions, int action)
{
	switch (action)
	{
		case REORDER_BUFFER_CHANGE_INSERT:
			return actions->pubinsert;
		case REORDER_BUFFER_CHANGE_UPDATE:
			return actions->pubupdate;
		case REORDER_BUFFER_CHANGE_DELETE:
			return actions->pubdelete;
		default:
			elog(ERROR, "unexpected change action %d", action);
	}
}

static void
send_change(LogicalDecodingContext *ctx, PluginState *state, Relation relation, RelationVersion *version,
			ReorderBufferChange *change)
{
	TupleDesc	desc = RelationGetDescr(relation);
	HeapTuple	old_tuple = change_tuple(change->data.tp.oldtuple);
	HeapTuple	tuple = change_tuple(change->data.tp.newtuple);
	bool		has_old = old_tuple != NULL;
	int			action = change->action;

	if (!action_is_published(&version->actions, action) || (tuple == NULL && action != REORDER_BUFFER_CHANGE_DELETE))
		return;
	if (action != REORDER_BUFFER_CHANGE_INSERT && (version->key_column_count == 0 || (tuple == NULL && !has_old)))
	{
		complain(version, relation);
		return;
	}
	if (tuple)
		heap_deform_tuple(tuple, desc, state->values, state->nulls);
	if (has_old)
		heap_deform_tuple(old_tuple, desc, state->old_values, state->old_nulls);
	switch (filter_change(state, version, action, has_old, tuple != NULL))
	{
		case REORDER_BUFFER_CHANGE_INSERT:
			send_row(ctx, state, version, WH_OP_INSERT, has_old);
			break;
		case REORDER_BUFFER_CHANGE_UPDATE:
			send_update(ctx, state, version, has_old);
			break;
		case REORDER_BUFFER_CHANGE_DELETE:
			if (has_old && version->old_has_key)
				send_delete(ctx, state, version);
			else
				complain(version, relation);
			break;
	}
}

static void
plugin_change(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, Relation relation, ReorderBufferChange *change)
{
	PluginState *state = ctx->output_plugin_private;
	MemoryContext old = MemoryContextSwitchTo(state->change_context);
	RelationVersion *version = relation_cache_get(state->relations, relation);

	if (version->published)
		send_change(ctx, state, relation, version, change);
	else
		skip_change(ctx, state);
	MemoryContextSwitchTo(old);
	MemoryContextReset(state->change_context);
}

static bool
truncates(int count, Relation relations[], Oid relid)
{
	for (int i = 0; i < count; i++)
		if (RelationGetRelid(relations[i]) == relid)
			return true;
	return false;
}

/* Of a partitioned table that is published as such, the rows of one partition cannot be told from the others'. */
static void
complain_of_truncate(Relation relation)
{
	ereport(WARNING,
			(errmsg("TRUNCATE of partition \"%s\" is not carried", RelationGetRelationName(relation)),
			 errdetail("It is published as its root, whose other rows stay."),
			 errhint("A snapshot of the root takes its rows out of the warehouse.")));
}

static void
plugin_truncate(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, int count, Relation relations[],
				ReorderBufferChange *change)
{
	PluginState *state = ctx->output_plugin_private;
	MemoryContext old = MemoryContextSwitchTo(state->change_context);

	for (int i = 0; i < count; i++)
	{
		RelationVersion *version = relation_cache_get(state->relations, relations[i]);

		if (!version->published || !version->actions.pubtruncate)
			continue;
		if (version->publish_as != version->relid)
		{
			if (!truncates(count, relations, version->publish_as))
				complain_of_truncate(relations[i]);
			continue;
		}
		row_reset(&state->row);
		send_event(ctx, state, version, WH_OP_TRUNCATE, 0);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(state->change_context);
}

/*
 * A message of a transaction is one more thing between its begin and its commit. Any other comes when it is read from the
 * WAL, so between two transactions, and goes out at once.
 */
static void
plugin_message(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, XLogRecPtr message_lsn, bool transactional,
			   const char *prefix, Size size, const char *content)
{
	PluginState *state = ctx->output_plugin_private;
	MemoryContext old;
	WriterMessage message = {.lsn = message_lsn,.content = content,.size = size};
	int			prefix_size = strlen(prefix);

	if (!state->options.messages && strncmp(prefix, WH_SIGNAL_PREFIX, strlen(WH_SIGNAL_PREFIX)) != 0)
		return;
	old = MemoryContextSwitchTo(state->change_context);
	message.prefix = utf8_from_server(prefix, &prefix_size);
	if (transactional)
	{
		chunk_writer_message(&state->chunk, &message);
		state->has_events = true;
		if (state->chunk.data.len >= state->options.batch_bytes)
			write_chunk(ctx, state, false);
	}
	else
	{
		chunk_writer_loose_message(&state->chunk, &message, ctx->reader->EndRecPtr, txn ? txn->xid : InvalidTransactionId);
		write_chunk(ctx, state, true);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(state->change_context);
}

static void
plugin_commit(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, XLogRecPtr commit_lsn)
{
	PluginState *state = ctx->output_plugin_private;

	OutputPluginUpdateProgress(ctx, !state->has_events);
	if (!state->has_events)
		return;
	chunk_writer_commit(&state->chunk, txn->end_lsn);
	write_chunk(ctx, state, true);
}

void
_PG_output_plugin_init(OutputPluginCallbacks *callbacks)
{
	callbacks->startup_cb = plugin_startup;
	callbacks->begin_cb = plugin_begin;
	callbacks->change_cb = plugin_change;
	callbacks->truncate_cb = plugin_truncate;
	callbacks->message_cb = plugin_message;
	callbacks->commit_cb = plugin_commit;
	callbacks->shutdown_cb = plugin_shutdown;
}
