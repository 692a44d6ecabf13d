/*
 * producer.h - the agent's way into Kafka: what it says there is acknowledged before anything is built on it.
 *
 *      producer_send() (any number) --> producer_flush() --> a receipt for each
 */
#ifndef WALHOUSE_AGENT_PRODUCER_H
#define WALHOUSE_AGENT_PRODUCER_H

#include <librdkafka/rdkafka.h>

#include "agent/config.h"
#include "extension/common/wire.h"

typedef struct Producer Producer;

/* A message on its way. */
typedef struct Parcel {
    const char *topic;
    int32_t partition; /* RD_KAFKA_PARTITION_UA: any */
    WhSlice key;
    WhSlice value;
    rd_kafka_headers_t *headers; /* given away, whatever becomes of it; NULL: none */
} Parcel;

/* What became of one message, once producer_flush() has returned. */
typedef struct Receipt {
    bool acknowledged;
    bool too_large;
    char failure[128]; /* why it was not acknowledged */
} Receipt;

/* One thread at a time may use it. NULL: *error says why. */
Producer *producer_open(const Config *config, Error *error);
/* NULL is allowed. */
void producer_close(Producer *producer);

/*
 * Puts a copy of the message into the queue; the receipt stays where it is until producer_flush().
 * STATUS_RETRY: the queue stayed full. STATUS_OK also when the message is too large: the receipt says so.
 */
Status producer_send(Producer *producer, const Parcel *parcel, Receipt *receipt, Error *error);
/* Waits until every message is acknowledged or failed. STATUS_RETRY: not in 30 s. */
Status producer_flush(Producer *producer, Error *error);

#endif
