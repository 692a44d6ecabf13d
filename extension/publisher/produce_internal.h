/*
 * produce_internal.h - what produce.c and produce_topics.c share: one Producer, and librdkafka.
 */
#ifndef WALHOUSE_PUBLISHER_PRODUCE_INTERNAL_H
#define WALHOUSE_PUBLISHER_PRODUCE_INTERNAL_H

#include <librdkafka/rdkafka.h>

#include "produce.h"

/* A record may be this much larger in its batch than its value: key, record and batch heads. */
#define RECORD_OVERHEAD_BYTES 1048576u

struct Producer {
    rd_kafka_t *handle;
    rd_kafka_queue_t *events;
    int wake[2]; /* read end, write end */
    rd_kafka_topic_t **topics;
    size_t topic_count;
    size_t topic_capacity;
};

/* What librdkafka answers to the requests of produce_topics.c. */
void produce_handle_created(rd_kafka_event_t *event, ProducerHandler *handler, void *context);
void produce_handle_described(rd_kafka_event_t *event, ProducerHandler *handler, void *context);
void produce_handle_leaders(rd_kafka_event_t *event, ProducerHandler *handler, void *context);

#endif
