/*
 * dlq.h - dead letters: messages that cannot be loaded, kept in <prefix>.__dlq as they were, with the reason;
 * dlq.c is the only file that knows librdkafka's producer.
 */
#ifndef WALHOUSE_AGENT_DLQ_H
#define WALHOUSE_AGENT_DLQ_H

#include "agent/batch.h"

typedef struct Dlq Dlq;

Dlq *dlq_open(const Config *config, Error *error);
void dlq_close(Dlq *dlq);

/* Sends a batch's letters and waits until Kafka has acknowledged them all. STATUS_RETRY: not in 30 s; sending
 * them again does no harm. */
Status dlq_send(Dlq *dlq, const Batch *batch, Error *error);

#endif
