/*
 * decode.c - walhouse.decode(bytea): a chunk of the plugin's, for people and for pg_regress.
 *
 *		chunk --wh_chunk_next()--> schema: remembered for this session, and shown
 *		                           event:  its body walked with its schema, values as jsonb
 *		                           commit: shown
 *
 * Events name their schema by fingerprint only, so the chunk that holds the schema is to be decoded first, as it comes first
 * out of the slot; the body of an event whose schema is unknown is shown as hexadecimal digits.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/hsearch.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"

#include "common/chunk.h"
#include "common/rowbinary.h"
#include "common/schema.h"
#include "rowbinary_json.h"

/* A session that has seen more schemas than this forgets them all and starts anew. */
#define SCHEMAS_MAX 1000

PG_FUNCTION_INFO_V1(walhouse_decode);

typedef struct KnownSchema
{
	uint64		fingerprint;	/* hash key */
	WhSchema	schema;			/* borrows from bytes */
	WhType	   *types;
} KnownSchema;

/* Schemas that this session has decoded; in a context of their own below TopMemoryContext. */
static HTAB *known_schemas = NULL;
static MemoryContext known_schemas_context = NULL;

static void
reset_known_schemas(void)
{
	HASHCTL		control = {.keysize = sizeof(uint64),.entrysize = sizeof(KnownSchema)};

	if (known_schemas_context)
		MemoryContextDelete(known_schemas_context);
	known_schemas = NULL;
	known_schemas_context = AllocSetContextCreate(TopMemoryContext, "walhouse decoded schemas", ALLOCSET_DEFAULT_SIZES);
	control.hcxt = known_schemas_context;
	known_schemas = hash_create("walhouse decoded schemas", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

static void
report_damage(const char *what, const char *error, size_t offset)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("could not decode %s: %s", what, error),
			 errdetail("The error is at byte %zu.", offset),
			 errhint("walhouse.decode() takes what the output plugin walhouse writes, format version %d.",
					 WH_FORMAT_VERSION)));
}

/* The schema's types; an ERROR when the schema or one of its types cannot be read. Allocates in the current context. */
static WhType *
read_schema(WhSlice bytes, WhSchema *schema, WhColumn *columns, uint32 max_columns)
{
	const char *error;
	size_t		offset;
	WhType	   *types;

	if (!wh_schema_get(bytes, schema, columns, max_columns, &error, &offset))
		report_damage("a schema", error, offset);
	types = palloc0(sizeof(WhType) * Max(schema->column_count, 1));
	for (uint32 i = 0; i < schema->column_count; i++)
		if (!wh_type_parse(columns[i].clickhouse_type, columns[i].nullable, &types[i]))
			report_damage("a schema", "a ClickHouse type is unknown", 0);
	return types;
}

/* Remembers the schema that item shows: read once to see that it is sound, then copied for as long as the session lives. */
static KnownSchema *
remember_schema(const WhChunkItem *item)
{
	KnownSchema *known;
	MemoryContext old;
	uint8	   *bytes;
	WhColumn   *columns = palloc(sizeof(WhColumn) * WH_COLUMNS_MAX);
	WhType	   *types;
	WhSchema	schema;

	if (known_schemas == NULL || hash_get_num_entries(known_schemas) >= SCHEMAS_MAX)
		reset_known_schemas();
	known = hash_search(known_schemas, &item->fingerprint, HASH_FIND, NULL);
	if (known)
		return known;
	(void) read_schema(item->schema, &schema, columns, WH_COLUMNS_MAX);

	old = MemoryContextSwitchTo(known_schemas_context);
	bytes = palloc(item->schema.size);
	memcpy(bytes, item->schema.data, item->schema.size);
	columns = palloc(sizeof(WhColumn) * Max(schema.column_count, 1));
	types = read_schema((WhSlice) {bytes, item->schema.size}, &schema, columns, schema.column_count);
	MemoryContextSwitchTo(old);

	known = hash_search(known_schemas, &item->fingerprint, HASH_ENTER, NULL);
	known->schema = schema;
	known->types = types;
	return known;
}

/* ---- jsonb building ---- */

static void
add_key(JsonbParseState **state, const char *key)
{
	JsonbValue	json = {.type = jbvString};

	json.val.string.val = (char *) key;
	json.val.string.len = strlen(key);
	pushJsonbValue(state, WJB_KEY, &json);
}

static void
add_value(JsonbParseState **state, const char *key, JsonbValue value)
{
	add_key(state, key);
	pushJsonbValue(state, WJB_VALUE, &value);
}

static void
add_text(JsonbParseState **state, const char *key, const char *text)
{
	JsonbValue	json = {.type = jbvString};

	/* The value is read when the whole object is made. */
	json.val.string.val = pstrdup(text);
	json.val.string.len = strlen(text);
	add_value(state, key, json);
}

static void
add_number(JsonbParseState **state, const char *key, int64 number)
{
	JsonbValue	json = {.type = jbvNumeric};

	json.val.numeric = int64_to_numeric(number);
	add_value(state, key, json);
}

static void
add_lsn(JsonbParseState **state, const char *key, uint64 lsn)
{
	add_text(state, key, DatumGetCString(DirectFunctionCall1(pg_lsn_out, LSNGetDatum(lsn))));
}

static void
add_time(JsonbParseState **state, const char *key, int64 unix_us)
{
	char		buffer[MAXDATELEN + 1];
	int			utc = 0;
	Timestamp	time = unix_us - (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;

	if (!IS_VALID_TIMESTAMP(time))
		add_number(state, key, unix_us);
	else
		add_text(state, key, JsonEncodeDateTime(buffer, TimestampTzGetDatum(time), TIMESTAMPTZOID, &utc));
}

static void
add_fingerprint(JsonbParseState **state, uint64 fingerprint)
{
	char		hex[WH_FINGERPRINT_HEX_SIZE];

	wh_fingerprint_hex(fingerprint, hex);
	add_text(state, "fingerprint", hex);
}

static char *
slice_text(WhSlice slice)
{
	JsonbValue	json = bytes_to_json(slice);

	return pnstrdup(json.val.string.val, json.val.string.len);
}

static const char *
operation_name(char operation)
{
	switch (operation)
	{
		case WH_OP_INSERT:
			return "insert";
		case WH_OP_UPDATE:
			return "update";
		case WH_OP_DELETE:
			return "delete";
		case WH_OP_TRUNCATE:
			return "truncate";
		case WH_OP_END:
			return "end";
		default:
			return "snapshot";
	}
}

static void
show_schema(JsonbParseState **state, const WhChunkItem *item, const KnownSchema *known)
{
	const WhSchema *schema = &known->schema;

	add_text(state, "record", "schema");
	add_fingerprint(state, item->fingerprint);
	add_number(state, "relation_oid", schema->relation_oid);
	add_text(state, "schema", slice_text(schema->schema_name));
	add_text(state, "table", slice_text(schema->table_name));
	add_text(state, "replica_identity", psprintf("%c", schema->replica_identity));
	add_key(state, "columns");
	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	for (uint32 i = 0; i < schema->column_count; i++)
	{
		const WhColumn *column = &schema->columns[i];
		JsonbValue	nullable = {.type = jbvBool};

		nullable.val.boolean = column->nullable;
		pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
		add_text(state, "name", slice_text(column->name));
		add_number(state, "attribute_number", column->attribute_number);
		add_number(state, "key_position", column->key_position);
		add_value(state, "nullable", nullable);
		add_text(state, "type", slice_text(column->type_name));
		add_text(state, "clickhouse_type", slice_text(column->clickhouse_type));
		pushJsonbValue(state, WJB_END_OBJECT, NULL);
	}
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

/* The columns that the body holds: all of a row, or the key only. */
static void
show_row(JsonbParseState **state, const WhEvent *event, const KnownSchema *known, bool key_only)
{
	const WhSchema *schema = &known->schema;
	uint32		count = key_only ? schema->key_column_count : schema->column_count;
	WhReader	reader = wh_reader(event->body.data, event->body.size);

	add_key(state, key_only ? "key" : "row");
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	for (uint32 i = 0; i < count; i++)
	{
		WhSlice		value = wh_type_get(&reader, &known->types[i]);

		if (!wh_reader_ok(&reader))
			break;
		add_value(state, slice_text(schema->columns[i].name), rowbinary_to_json(&schema->columns[i], &known->types[i], value));
	}
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
	wh_get_end(&reader);
	if (!wh_reader_ok(&reader))
		report_damage("a row", reader.error, reader.error_offset);
}

static void
show_lists(JsonbParseState **state, const WhEvent *event, const WhSchema *schema)
{
	WhLists		lists = wh_lists(event->flags, event->lists);
	uint32		column;
	WhSlice		text;

	if (event->flags & WH_EVENT_HAS_UNCHANGED)
	{
		add_key(state, "unchanged");
		pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
		while (wh_lists_next_unchanged(&lists, &column))
		{
			JsonbValue	name;

			if (column >= schema->column_count)
				report_damage("a row", "a column index is out of range", 0);
			name = bytes_to_json(schema->columns[column].name);
			pushJsonbValue(state, WJB_ELEM, &name);
		}
		pushJsonbValue(state, WJB_END_ARRAY, NULL);
	}
	if (event->flags & WH_EVENT_HAS_OUT_OF_RANGE)
	{
		add_key(state, "out_of_range");
		pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
		while (wh_lists_next_out_of_range(&lists, &column, &text))
		{
			if (column >= schema->column_count)
				report_damage("a row", "a column index is out of range", 0);
			add_value(state, slice_text(schema->columns[column].name), bytes_to_json(text));
		}
		pushJsonbValue(state, WJB_END_OBJECT, NULL);
	}
	if (event->flags & WH_EVENT_ADJUSTED)
	{
		JsonbValue	adjusted = {.type = jbvBool,.val.boolean = true};

		add_value(state, "adjusted", adjusted);
	}
}

static void
show_transaction(JsonbParseState **state, const WhEvent *event)
{
	add_lsn(state, "commit_lsn", event->commit_lsn);
	add_number(state, "xid", event->xid);
	add_time(state, "commit_time", event->commit_time_us);
}

static void
show_event(JsonbParseState **state, const WhChunkItem *item)
{
	const WhEvent *event = &item->event;
	KnownSchema *known = known_schemas ? hash_search(known_schemas, &event->fingerprint, HASH_FIND, NULL) : NULL;

	add_text(state, "record", operation_name(event->operation));
	add_fingerprint(state, event->fingerprint);
	show_transaction(state, event);
	add_number(state, "ordinal", event->ordinal);
	if (item->kind == WH_CHUNK_LARGE)
		add_number(state, "too_large", item->size);
	if (known == NULL)
	{
		char	   *hex = palloc(2 * event->body.size + 1);

		hex[hex_encode((const char *) event->body.data, event->body.size, hex)] = '\0';
		add_text(state, "body", hex);
		return;
	}
	add_text(state, "schema", slice_text(known->schema.schema_name));
	add_text(state, "table", slice_text(known->schema.table_name));
	if (!wh_op_is_of_table(event->operation))
		show_row(state, event, known, event->operation == WH_OP_DELETE || item->kind == WH_CHUNK_LARGE);
	show_lists(state, event, &known->schema);
}

static void
show_message(JsonbParseState **state, const WhChunkItem *item)
{
	const WhMessage *message = &item->message;
	JsonbValue	flag = {.type = jbvBool};

	add_text(state, "record", "message");
	flag.val.boolean = message->transactional;
	add_value(state, "transactional", flag);
	add_value(state, "prefix", bytes_to_json(message->prefix));
	add_number(state, "size", message->size);
	add_value(state, "content", bytes_to_json(message->content));
	add_lsn(state, "message_lsn", message->lsn);
	if (message->transactional)
		show_transaction(state, &item->event);
	else
	{
		add_lsn(state, "end_lsn", message->end_lsn);
		add_number(state, "xid", item->event.xid);
	}
}

static Datum
show_item(const WhChunkItem *item)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	if (item->kind == WH_CHUNK_SCHEMA)
		show_schema(&state, item, remember_schema(item));
	else if (item->kind == WH_CHUNK_EVENT || item->kind == WH_CHUNK_LARGE)
		show_event(&state, item);
	else if (item->kind == WH_CHUNK_MESSAGE)
		show_message(&state, item);
	else
	{
		add_text(&state, "record", "commit");
		show_transaction(&state, &item->event);
		add_lsn(&state, "end_lsn", item->end_lsn);
	}
	return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

/* walhouse.decode(bytea) returns setof jsonb */
Datum
walhouse_decode(PG_FUNCTION_ARGS)
{
	bytea	   *data = PG_GETARG_BYTEA_PP(0);
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	WhChunkReader chunk = wh_chunk_reader(VARDATA_ANY(data), VARSIZE_ANY_EXHDR(data));
	WhChunkItem item;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	for (wh_chunk_next(&chunk, &item); item.kind != WH_CHUNK_END; wh_chunk_next(&chunk, &item))
	{
		Datum		value;
		bool		is_null = false;

		CHECK_FOR_INTERRUPTS();
		if (item.kind == WH_CHUNK_ERROR)
			report_damage("a chunk", chunk.reader.error, chunk.reader.error_offset);
		value = show_item(&item);
		tuplestore_putvalues(result->setResult, result->setDesc, &value, &is_null);
	}
	return (Datum) 0;
}
