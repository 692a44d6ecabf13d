/*
 * request.h - what the agent asks of the source, which it cannot reach: messages in <prefix>.__requests,
 * which the publisher reads (docs/wire-format.md, "Requests").
 *
 *      requests_snapshot(), requests_rows() --> Kafka --> publisher --> walhouse._take_requests() -->
 * snapshot
 *
 * Asking twice does no harm. What comes back comes as any snapshot's rows do, with versions above all that
 * was in Kafka before the request was taken.
 */
#ifndef WALHOUSE_AGENT_REQUEST_H
#define WALHOUSE_AGENT_REQUEST_H

#include "agent/registry.h"

/* Of one message; what is more goes into further ones. */
#define REQUEST_KEYS_MAX      1000
#define REQUEST_KEY_BYTES_MAX 262144 /* of all its keys together, as RowBinary */

/*
 * requests_snapshot(): as the table is when the request is taken. For what is missing in Kafka itself, where
 * also the rows of a snapshot above any known LSN may have been.
 */
#define REQUEST_AFTER_NOW UINT64_MAX

/* Any thread may use it. Connects to Kafka at the first request. */
typedef struct Requests Requests;

/* config must outlive it. NULL: *error says why. */
Requests *requests_open(const Config *config, Error *error);
/* NULL is allowed. */
void requests_close(Requests *requests);

/*
 * Both: STATUS_OK when Kafka has acknowledged the request, so that an offset may be committed after it;
 * STATUS_RETRY otherwise. reason is for a person.
 */

/* All of the table as it was after after_lsn, with what is not in it any more removed. */
Status requests_snapshot(Requests *requests, const TableSchema *table, uint64_t after_lsn, const char *reason,
                         Error *error);

/* The rows of these keys (the key columns' bytes, as in bodies and message keys). A table without a key, or a
 * key too large for a message, is asked for whole. */
Status requests_rows(Requests *requests, const TableSchema *table, const WhSlice *keys, size_t count,
                     const char *reason, Error *error);

#endif
