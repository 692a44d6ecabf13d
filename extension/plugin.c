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

#include "access/detoast.h"
#include "access/htup_details.h"
#include "replication/logical.h"
#include "replication/output_plugin.h"
#include "replication/walsender.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "common/chunk.h"
#include "compat.h"
#include "encode.h"
#include "plugin_options.h"
#include "relcache.h"

/* Unpublished changes between two signs of life to the walsender's client. */
#define PROGRESS_EVERY_CHANGES	100

extern PGDLLEXPORT void _PG_output_plugin_init(OutputPluginCallbacks *callbacks);

/* State of one decoding session; lives in the decoding context. */
typedef struct PluginState
{
	PluginOptions options;
	RelationCache *relations;
	HTAB	   *schemas_sent;	/* fingerprints */
	MemoryContext change_context;	/* reset after each change */
	int			guc_nest_level; /* 0: settings were made for the session */
	int			skipped_changes;

	/* the chunk being filled */
	StringInfoData chunk;
	bool		chunk_has_begin;
	uint64		chunk_fingerprint;	/* selected by the last 'F' in this chunk */
	bool		chunk_has_fingerprint;

	/* the transaction being decoded */
	uint64		next_ordinal;
	bool		has_events;

	/* the row being encoded */
	StringInfoData body;
	StringInfoData old_key;
	StringInfoData unchanged;	/* varint column indexes */
	int			unchanged_count;
	StringInfoData out_of_range;	/* (varint column index, str text) */
	int			out_of_range_count;
	Datum	   *values;			/* MaxTupleAttributeNumber of each */
	bool	   *nulls;
	Datum	   *old_values;
	bool	   *old_nulls;
} PluginState;

/*
 * What text output may depend on. In a walsender it is set for the session, which ends with the decoding; in an SQL
 * function it is undone when decoding ends.
 */
static int
fix_settings(void)
{
	static const char *const settings[][2] = {
		{"DateStyle", "ISO, YMD"},
		{"IntervalStyle", "postgres"},
		{"TimeZone", "UTC"},
		{"extra_float_digits", "3"},
		{"bytea_output", "hex"},
		{"lc_monetary", "C"},
		{"xmloption", "content"},
		{"quote_all_identifiers", "off"},
		{"search_path", "pg_catalog"},
	};
	int			nest_level = am_walsender ? 0 : NewGUCNestLevel();

	for (int i = 0; i < lengthof(settings); i++)
		(void) set_config_option(settings[i][0], settings[i][1], PGC_USERSET, PGC_S_SESSION,
								 nest_level ? GUC_ACTION_SAVE : GUC_ACTION_SET, true, 0, false);
	return nest_level;
}

static void
plugin_startup(LogicalDecodingContext *ctx, OutputPluginOptions *options, bool is_init)
{
	MemoryContext old;
	PluginState *state;
	HASHCTL		control = {.keysize = sizeof(uint64),.entrysize = sizeof(uint64),.hcxt = ctx->context};

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
	state->schemas_sent = hash_create("walhouse schemas sent", 128, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	state->change_context = AllocSetContextCreate(ctx->context, "walhouse change", ALLOCSET_DEFAULT_SIZES);
	initStringInfo(&state->chunk);
	initStringInfo(&state->body);
	initStringInfo(&state->old_key);
	initStringInfo(&state->unchanged);
	initStringInfo(&state->out_of_range);
	state->values = palloc(sizeof(Datum) * MaxTupleAttributeNumber);
	state->nulls = palloc(sizeof(bool) * MaxTupleAttributeNumber);
	state->old_values = palloc(sizeof(Datum) * MaxTupleAttributeNumber);
	state->old_nulls = palloc(sizeof(bool) * MaxTupleAttributeNumber);
	state->guc_nest_level = fix_settings();
	ctx->output_plugin_private = state;
	MemoryContextSwitchTo(old);
}

static void
plugin_shutdown(LogicalDecodingContext *ctx)
{
	PluginState *state = ctx->output_plugin_private;

	if (state == NULL)
		return;
	relation_cache_destroy(state->relations);
	if (state->guc_nest_level)
		AtEOXact_GUC(true, state->guc_nest_level);
	ctx->output_plugin_private = NULL;
}

/* ---- the chunk ---- */

static inline void
append_u64(StringInfo out, uint64 value)
{
	appendBinaryStringInfo(out, (const char *) &value, sizeof value);
}

static inline void
append_u32(StringInfo out, uint32 value)
{
	appendBinaryStringInfo(out, (const char *) &value, sizeof value);
}

static inline void
append_record_head(StringInfo out, char type, uint64 payload_size)
{
	appendStringInfoCharMacro(out, type);
	append_varint(out, payload_size);
}

static void
chunk_write(LogicalDecodingContext *ctx, PluginState *state, bool last_of_transaction)
{
	if (state->chunk.len == 0)
		return;
	OutputPluginPrepareWrite(ctx, last_of_transaction);
	appendBinaryStringInfo(ctx->out, state->chunk.data, state->chunk.len);
	OutputPluginWrite(ctx, last_of_transaction);
	resetStringInfo(&state->chunk);
	state->chunk_has_begin = false;
	state->chunk_has_fingerprint = false;
}

static int64
commit_time_us(ReorderBufferTXN *txn)
{
	return txn->xact_time.commit_time + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
}

/* Opens the chunk and names the transaction in it, if that has not been done. */
static void
chunk_begin(PluginState *state, ReorderBufferTXN *txn)
{
	StringInfo	chunk = &state->chunk;

	if (chunk->len == 0)
	{
		appendStringInfoChar(chunk, WH_CHUNK_MAGIC);
		appendStringInfoChar(chunk, WH_FORMAT_VERSION);
	}
	if (state->chunk_has_begin)
		return;
	append_record_head(chunk, WH_RECORD_BEGIN, 8 + 4 + 8 + wh_varint_size(state->next_ordinal));
	append_u64(chunk, txn->final_lsn);
	append_u32(chunk, txn->xid);
	append_u64(chunk, (uint64) commit_time_us(txn));
	append_varint(chunk, state->next_ordinal);
	state->chunk_has_begin = true;
}

/* Sends the schema if this session has not, and selects it for the events that follow. */
static void
chunk_select(PluginState *state, RelationVersion *version)
{
	StringInfo	chunk = &state->chunk;
	bool		found;

	if (state->chunk_has_fingerprint && state->chunk_fingerprint == version->fingerprint)
		return;
	(void) hash_search(state->schemas_sent, &version->fingerprint, HASH_ENTER, &found);
	if (!found)
	{
		append_record_head(chunk, WH_RECORD_SCHEMA, 8 + version->schema_size);
		append_u64(chunk, version->fingerprint);
		appendBinaryStringInfo(chunk, version->schema_bytes, version->schema_size);
	}
	append_record_head(chunk, WH_RECORD_SELECT, 8);
	append_u64(chunk, version->fingerprint);
	state->chunk_fingerprint = version->fingerprint;
	state->chunk_has_fingerprint = true;
}

/* Appends the event whose body and lists are in state. */
static void
chunk_append_event(LogicalDecodingContext *ctx, PluginState *state, ReorderBufferTXN *txn, RelationVersion *version,
				   char operation, int key_size)
{
	StringInfo	chunk = &state->chunk;
	uint8		flags = 0;
	uint64		size = 1 + wh_varint_size(key_size) + state->body.len;

	chunk_begin(state, txn);
	chunk_select(state, version);
	if (state->unchanged_count > 0)
	{
		flags |= WH_EVENT_HAS_UNCHANGED;
		size += wh_varint_size(state->unchanged_count) + state->unchanged.len;
	}
	if (state->out_of_range_count > 0)
	{
		flags |= WH_EVENT_HAS_OUT_OF_RANGE;
		size += wh_varint_size(state->out_of_range_count) + state->out_of_range.len;
	}
	append_record_head(chunk, operation, size);
	appendStringInfoCharMacro(chunk, (char) flags);
	if (state->unchanged_count > 0)
	{
		append_varint(chunk, state->unchanged_count);
		appendBinaryStringInfo(chunk, state->unchanged.data, state->unchanged.len);
	}
	if (state->out_of_range_count > 0)
	{
		append_varint(chunk, state->out_of_range_count);
		appendBinaryStringInfo(chunk, state->out_of_range.data, state->out_of_range.len);
	}
	append_varint(chunk, key_size);
	appendBinaryStringInfo(chunk, state->body.data, state->body.len);
	state->next_ordinal++;
	state->has_events = true;
	if (chunk->len >= state->options.batch_bytes)
		chunk_write(ctx, state, false);
}

/* ---- rows ---- */

static void
row_reset(PluginState *state)
{
	resetStringInfo(&state->body);
	resetStringInfo(&state->unchanged);
	resetStringInfo(&state->out_of_range);
	state->unchanged_count = 0;
	state->out_of_range_count = 0;
}

static void
add_out_of_range(PluginState *state, const ColumnEncoder *encoder, int column, Datum value)
{
	char	   *text = column_encoder_text(encoder, value);
	int			size = strlen(text);

	append_varint(&state->out_of_range, column);
	append_varint(&state->out_of_range, size);
	appendBinaryStringInfo(&state->out_of_range, text, size);
	state->out_of_range_count++;
}

/* old_values may be NULL; it holds what the new tuple left out of line. */
static void
encode_column(PluginState *state, const ColumnEncoder *encoder, int column, const Datum *values, const bool *nulls,
			  const Datum *old_values, const bool *old_nulls)
{
	int			index = encoder->attnum - 1;
	Datum		value = values[index];
	int			start = state->body.len;

	if (nulls[index])
	{
		column_encoder_default(encoder, &state->body);
		return;
	}
	if (encoder->by_reference && VARATT_IS_EXTERNAL_ONDISK(DatumGetPointer(value)))
	{
		bool		old_is_here = old_values && !old_nulls[index] &&
			!VARATT_IS_EXTERNAL_ONDISK(DatumGetPointer(old_values[index]));

		if (!old_is_here)
		{
			append_varint(&state->unchanged, column);
			state->unchanged_count++;
			column_encoder_default(encoder, &state->body);
			return;
		}
		value = old_values[index];
	}
	if (encoder->nullable)
		appendStringInfoCharMacro(&state->body, 0);
	if (encoder->encode(encoder, value, &state->body))
		return;
	state->body.len = start;
	add_out_of_range(state, encoder, column, value);
	column_encoder_default(encoder, &state->body);
}

/* Encodes the first count columns into state's body; returns the size of the key. */
static int
encode_row(PluginState *state, RelationVersion *version, int count, const Datum *values, const bool *nulls,
		   const Datum *old_values, const bool *old_nulls)
{
	int			key_size = 0;

	row_reset(state);
	for (int i = 0; i < count; i++)
	{
		encode_column(state, &version->columns[i], i, values, nulls, old_values, old_nulls);
		if (i == version->key_column_count - 1)
			key_size = state->body.len;
	}
	return key_size;
}

/* The whole row, all of which the new tuple holds but for unchanged out-of-line values. */
static void
send_row(LogicalDecodingContext *ctx, PluginState *state, ReorderBufferTXN *txn, RelationVersion *version,
		 char operation, TupleDesc desc, HeapTuple tuple)
{
	int			key_size;

	heap_deform_tuple(tuple, desc, state->values, state->nulls);
	key_size = encode_row(state, version, version->column_count, state->values, state->nulls, NULL, NULL);
	chunk_append_event(ctx, state, txn, version, operation, key_size);
}

static void
send_delete(LogicalDecodingContext *ctx, PluginState *state, ReorderBufferTXN *txn, RelationVersion *version,
			TupleDesc desc, HeapTuple old_tuple)
{
	int			key_size;

	heap_deform_tuple(old_tuple, desc, state->old_values, state->old_nulls);
	key_size = encode_row(state, version, version->key_column_count, state->old_values, state->old_nulls, NULL, NULL);
	chunk_append_event(ctx, state, txn, version, WH_OP_DELETE, key_size);
}

/*
 * The WAL holds the old key only when the update changed it (or under REPLICA IDENTITY FULL). Keys are compared as
 * ClickHouse will see them: what is one key there is one update.
 */
static void
send_update(LogicalDecodingContext *ctx, PluginState *state, ReorderBufferTXN *txn, RelationVersion *version,
			TupleDesc desc, HeapTuple old_tuple, HeapTuple tuple)
{
	int			key_size;

	if (old_tuple == NULL)
	{
		send_row(ctx, state, txn, version, WH_OP_UPDATE, desc, tuple);
		return;
	}
	heap_deform_tuple(old_tuple, desc, state->old_values, state->old_nulls);
	heap_deform_tuple(tuple, desc, state->values, state->nulls);
	encode_row(state, version, version->key_column_count, state->old_values, state->old_nulls, NULL, NULL);
	resetStringInfo(&state->old_key);
	appendBinaryStringInfo(&state->old_key, state->body.data, state->body.len);
	key_size = encode_row(state, version, version->column_count, state->values, state->nulls, state->old_values,
						  state->old_nulls);
	if (key_size == state->old_key.len && memcmp(state->body.data, state->old_key.data, key_size) == 0)
		chunk_append_event(ctx, state, txn, version, WH_OP_UPDATE, key_size);
	else
	{
		send_delete(ctx, state, txn, version, desc, old_tuple);
		key_size = encode_row(state, version, version->column_count, state->values, state->nulls, state->old_values,
							  state->old_nulls);
		chunk_append_event(ctx, state, txn, version, WH_OP_INSERT, key_size);
	}
}

/* ---- callbacks ---- */

static void
plugin_begin(LogicalDecodingContext *ctx, ReorderBufferTXN *txn)
{
	PluginState *state = ctx->output_plugin_private;

	state->next_ordinal = 1;
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

static void
send_change(LogicalDecodingContext *ctx, PluginState *state, ReorderBufferTXN *txn, Relation relation,
			RelationVersion *version, ReorderBufferChange *change)
{
	TupleDesc	desc = RelationGetDescr(relation);
	HeapTuple	old_tuple = change_tuple(change->data.tp.oldtuple);
	HeapTuple	tuple = change_tuple(change->data.tp.newtuple);

	switch (change->action)
	{
		case REORDER_BUFFER_CHANGE_INSERT:
			if (version->actions.pubinsert && tuple)
				send_row(ctx, state, txn, version, WH_OP_INSERT, desc, tuple);
			break;
		case REORDER_BUFFER_CHANGE_UPDATE:
			if (version->actions.pubupdate && tuple)
				send_update(ctx, state, txn, version, desc, old_tuple, tuple);
			break;
		case REORDER_BUFFER_CHANGE_DELETE:
			/* Without an old key there is nothing that could be said: the table has no replica identity. */
			if (version->actions.pubdelete && old_tuple && version->key_column_count > 0)
				send_delete(ctx, state, txn, version, desc, old_tuple);
			break;
		default:
			elog(ERROR, "unexpected change action %d", (int) change->action);
	}
}

static void
plugin_change(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, Relation relation, ReorderBufferChange *change)
{
	PluginState *state = ctx->output_plugin_private;
	MemoryContext old = MemoryContextSwitchTo(state->change_context);
	RelationVersion *version = relation_cache_get(state->relations, relation);

	if (version->published)
		send_change(ctx, state, txn, relation, version, change);
	else
		skip_change(ctx, state);
	MemoryContextSwitchTo(old);
	MemoryContextReset(state->change_context);
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
		row_reset(state);
		chunk_append_event(ctx, state, txn, version, WH_OP_TRUNCATE, 0);
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
	chunk_begin(state, txn);
	append_record_head(&state->chunk, WH_RECORD_COMMIT, 8);
	append_u64(&state->chunk, txn->end_lsn);
	chunk_write(ctx, state, true);
}

void
_PG_output_plugin_init(OutputPluginCallbacks *callbacks)
{
	callbacks->startup_cb = plugin_startup;
	callbacks->begin_cb = plugin_begin;
	callbacks->change_cb = plugin_change;
	callbacks->truncate_cb = plugin_truncate;
	callbacks->commit_cb = plugin_commit;
	callbacks->shutdown_cb = plugin_shutdown;
}
