/*
 * chunk_writer.c - records of docs/wire-format.md, "Chunk", one after the other into a buffer; see chunk_writer.h.
 *
 * A chunk says its transaction before its first event and its schema before each run of events, so that it can be read
 * alone; both are added by themselves when an event needs them.
 */
#include "postgres.h"

#include "common/chunk.h"
#include "chunk_writer.h"

void
chunk_writer_init(ChunkWriter *writer, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	HASHCTL		control = {.keysize = sizeof(uint64),.entrysize = sizeof(uint64),.hcxt = context};

	memset(writer, 0, sizeof *writer);
	writer->schemas_sent = hash_create("walhouse schemas sent", 128, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	initStringInfo(&writer->data);
	MemoryContextSwitchTo(old);
}

void
chunk_writer_transaction(ChunkWriter *writer, uint64 commit_lsn, uint32 xid, int64 commit_time_us, uint64 first_ordinal)
{
	writer->commit_lsn = commit_lsn;
	writer->xid = xid;
	writer->commit_time_us = commit_time_us;
	writer->next_ordinal = first_ordinal;
	writer->has_begin = false;
}

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
open_chunk(ChunkWriter *writer)
{
	if (writer->data.len > 0)
		return;
	appendStringInfoChar(&writer->data, WH_CHUNK_MAGIC);
	appendStringInfoChar(&writer->data, WH_FORMAT_VERSION);
}

/* Opens the chunk and names the transaction in it, if that has not been done. */
static void
begin_chunk(ChunkWriter *writer)
{
	StringInfo	data = &writer->data;

	open_chunk(writer);
	if (writer->has_begin)
		return;
	append_record_head(data, WH_RECORD_BEGIN, 8 + 4 + 8 + wh_varint_size(writer->next_ordinal));
	append_u64(data, writer->commit_lsn);
	append_u32(data, writer->xid);
	append_u64(data, (uint64) writer->commit_time_us);
	append_varint(data, writer->next_ordinal);
	writer->has_begin = true;
}

/* Sends the schema if this writer has not, and selects it for the events that follow. */
static void
select_schema(ChunkWriter *writer, const RelationVersion *version)
{
	StringInfo	data = &writer->data;
	bool		found;

	if (writer->has_fingerprint && writer->fingerprint == version->fingerprint)
		return;
	(void) hash_search(writer->schemas_sent, &version->fingerprint, HASH_ENTER, &found);
	if (!found)
	{
		append_record_head(data, WH_RECORD_SCHEMA, 8 + version->schema_size);
		append_u64(data, version->fingerprint);
		appendBinaryStringInfo(data, version->schema_bytes, version->schema_size);
	}
	append_record_head(data, WH_RECORD_SELECT, 8);
	append_u64(data, version->fingerprint);
	writer->fingerprint = version->fingerprint;
	writer->has_fingerprint = true;
}

static inline uint64
list_size(int count, const StringInfoData *list)
{
	return count > 0 ? wh_varint_size(count) + list->len : 0;
}

static inline void
append_list(StringInfo out, int count, const StringInfoData *list)
{
	if (count == 0)
		return;
	append_varint(out, count);
	appendBinaryStringInfo(out, list->data, list->len);
}

/* Its key and what the row would have taken. */
static void
append_large(StringInfo data, char operation, uint64 size, const char *key, int key_size)
{
	append_record_head(data, WH_RECORD_LARGE, 1 + wh_varint_size(size) + key_size);
	appendStringInfoCharMacro(data, operation);
	append_varint(data, size);
	appendBinaryStringInfo(data, key, key_size);
}

void
chunk_writer_event(ChunkWriter *writer, const RelationVersion *version, char operation, const RowEncoder *row, int key_size)
{
	StringInfo	data = &writer->data;
	uint64		size = row->left_out_bytes + row->body.len + row->out_of_range.len;

	begin_chunk(writer);
	select_schema(writer, version);
	writer->next_ordinal += wh_ordinal_step(operation, writer->next_ordinal);
	if (size > WH_MESSAGE_BYTES_MAX)
	{
		append_large(data, operation, size, row->body.data, key_size);
		return;
	}
	append_record_head(data, operation, 1 + list_size(row->unchanged_count, &row->unchanged) +
					   list_size(row->out_of_range_count, &row->out_of_range) + wh_varint_size(key_size) + row->body.len);
	appendStringInfoCharMacro(data, (char) row_flags(row));
	append_list(data, row->unchanged_count, &row->unchanged);
	append_list(data, row->out_of_range_count, &row->out_of_range);
	append_varint(data, key_size);
	appendBinaryStringInfo(data, row->body.data, row->body.len);
}

/*
 * What all logical messages share: prefix and content. Only what Kafka can take is carried whole; a content of hundreds of
 * megabytes would not fit the buffers on its way.
 */
static void
append_message(StringInfo data, uint8 flags, int head_size, const uint64 *head, const WriterMessage *message)
{
	int			prefix_size = strlen(message->prefix);
	bool		too_large = message->size > WH_MESSAGE_BYTES_MAX;
	uint64		content_size = too_large ? wh_varint_size(message->size) : message->size;

	append_record_head(data, WH_RECORD_MESSAGE, 1 + head_size + wh_varint_size(prefix_size) + prefix_size + content_size);
	appendStringInfoCharMacro(data, (char) (flags | (too_large ? WH_MESSAGE_TOO_LARGE : 0)));
	appendBinaryStringInfo(data, (const char *) head, head_size);
	append_varint(data, prefix_size);
	appendBinaryStringInfo(data, message->prefix, prefix_size);
	if (too_large)
		append_varint(data, message->size);
	else
		appendBinaryStringInfo(data, message->content, message->size);
}

void
chunk_writer_message(ChunkWriter *writer, const WriterMessage *message)
{
	begin_chunk(writer);
	append_message(&writer->data, WH_MESSAGE_TRANSACTIONAL, 8, &message->lsn, message);
}

void
chunk_writer_loose_message(ChunkWriter *writer, const WriterMessage *message, uint64 end_lsn, uint32 xid)
{
	uint64		head[3] = {message->lsn, end_lsn, xid}; /* little-endian: the last one is written as 4 bytes */

	open_chunk(writer);
	append_message(&writer->data, 0, 8 + 8 + 4, head, message);
}

void
chunk_writer_commit(ChunkWriter *writer, uint64 end_lsn)
{
	begin_chunk(writer);
	append_record_head(&writer->data, WH_RECORD_COMMIT, 8);
	append_u64(&writer->data, end_lsn);
}

void
chunk_writer_reset(ChunkWriter *writer)
{
	resetStringInfo(&writer->data);
	writer->has_begin = false;
	writer->has_fingerprint = false;
}
