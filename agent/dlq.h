/*
 * dlq.h - dead letters: messages that cannot be loaded, kept in <prefix>.__dlq as they were, with the reason,
 * and brought back from there.
 */
#ifndef WALHOUSE_AGENT_DLQ_H
#define WALHOUSE_AGENT_DLQ_H

#include "agent/batch.h"
#include "agent/letter.h"
#include "agent/producer.h"

typedef struct Dlq Dlq;

Dlq *dlq_open(const Config *config, Error *error);
void dlq_close(Dlq *dlq);

/*
 * Sends a batch's letters and waits until Kafka has acknowledged them all. One that is too large with its
 * headers for the dead-letter topic goes without its value, which is still where it came from. STATUS_RETRY:
 * not in 30 s; sending them again does no harm.
 */
Status dlq_send(Dlq *dlq, const Batch *batch, Error *error);

/*
 * Sends the letter's message, as it was, to the partition it was in; the receipt stays where it is until
 * dlq_flush(). STATUS_RETRY: the producer does not take it.
 */
Status dlq_put_back(Dlq *dlq, const Letter *letter, Receipt *receipt, Error *error);
/* Waits until every message is acknowledged or failed. STATUS_RETRY: not in 30 s. */
Status dlq_flush(Dlq *dlq, Error *error);

#endif
