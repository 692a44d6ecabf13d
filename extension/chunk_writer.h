/*
 * chunk_writer.h - records of docs/wire-format.md, "Chunk", one after the other into a buffer.
 */
#ifndef WALHOUSE_CHUNK_WRITER_H
#define WALHOUSE_CHUNK_WRITER_H

#include "lib/stringinfo.h"
#include "utils/hsearch.h"

#include "row.h"

typedef struct ChunkWriter
{
	StringInfoData data;		/* the chunk; empty: none has been begun */
	HTAB	   *schemas_sent;	/* fingerprints, for as long as the writer lives */
	bool		has_begin;		/* this chunk names the transaction */
	bool		has_fingerprint;	/* this chunk has selected fingerprint */
	uint64		fingerprint;

	/* the transaction that events belong to */
	uint64		commit_lsn;
	uint32		xid;
	int64		commit_time_us; /* since 1970-01-01 UTC */
	uint64		next_ordinal;
} ChunkWriter;

/* A logical message: where its record is, its prefix in UTF-8, and its bytes. */
typedef struct WriterMessage
{
	uint64		lsn;
	const char *prefix;
	const char *content;
	Size		size;
} WriterMessage;

/* Everything is allocated in context, which must outlive the writer. */
extern void chunk_writer_init(ChunkWriter *writer, MemoryContext context);
/* Events from here on are of this transaction; nothing is written before its first event. */
extern void chunk_writer_transaction(ChunkWriter *writer, uint64 commit_lsn, uint32 xid, int64 commit_time_us,
									 uint64 first_ordinal);
/* Appends the event whose body and lists are in row, its schema before it where that has not been sent. */
extern void chunk_writer_event(ChunkWriter *writer, const RelationVersion *version, char operation, const RowEncoder *row,
							   int key_size);
/* Appends a logical message of the transaction. */
extern void chunk_writer_message(ChunkWriter *writer, const WriterMessage *message);
/*
 * One that is not transactional stands between transactions. end_lsn: just after its record in the WAL. xid: of the
 * transaction that wrote it, 0 if it had none.
 */
extern void chunk_writer_loose_message(ChunkWriter *writer, const WriterMessage *message, uint64 end_lsn, uint32 xid);
/* Appends the commit record. end_lsn: just after the transaction's commit record. */
extern void chunk_writer_commit(ChunkWriter *writer, uint64 end_lsn);
/* The chunk has been taken: the next record begins another. */
extern void chunk_writer_reset(ChunkWriter *writer);

#endif
