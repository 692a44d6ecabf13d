/*
 * producer.h - the agent's way into Kafka: what it says there is acknowledged before anything is built on it.
 *
 *      producer_send() (any number) --> producer_flush(): all of them acknowledged, or why not
 */
#ifndef WALHOUSE_AGENT_PRODUCER_H
#define WALHOUSE_AGENT_PRODUCER_H

#include <librdkafka/rdkafka.h>

#include "agent/config.h"
#include "extension/common/wire.h"

typedef struct Producer Producer;

/* One thread at a time may use it. NULL: *error says why. */
Producer *producer_open(const Config *config, Error *error);
/* NULL is allowed. */
void producer_close(Producer *producer);

/*
 * Puts a copy of a message into the queue; partition may be RD_KAFKA_PARTITION_UA. headers (NULL: none) are
 * the producer's whatever becomes of it. STATUS_RETRY: the queue stayed full.
 */
Status producer_send(Producer *producer, const char *topic, int32_t partition, WhSlice key, WhSlice value,
                     rd_kafka_headers_t *headers, Error *error);

/* Waits until Kafka has acknowledged all that was sent since the last flush. STATUS_RETRY: not in 30 s, or it
 * refused some. */
Status producer_flush(Producer *producer, Error *error);

#endif
