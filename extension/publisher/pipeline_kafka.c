/*
 * pipeline_kafka.c - what Kafka says: deliveries, answers about topics, and that it is away or back.
 */
#include "pipeline_inner.h"

#include <stdio.h>

#define STALL_MS      10000 /* without any acknowledgement: Kafka is away */
#define LEADERLESS_MS 2000  /* a new topic without leaders: likewise */

static void kafka_is_back(Pipeline *p)
{
    p->delivery_ms = p->now_ms;
    p->kafka_is_away = false;
    p->kafka_reason[0] = '\0';
}

static void kafka_went_away(Pipeline *p, const char *reason)
{
    p->kafka_is_away = true;
    (void)snprintf(p->kafka_reason, sizeof p->kafka_reason, "%s", reason);
}

static void handle_delivery(Pipeline *p, const ProducerEvent *event)
{
    kafka_is_back(p);
    switch (produce_tag_kind(event->tag)) {
    case PRODUCE_TAG_EVENT:
    case PRODUCE_TAG_MARKER:
        if (!flow_handle(&p->flow, event, p->now_ms, &p->failure))
            return;
        p->report.report.events++;
        p->report.report.event_bytes += event->size;
        break;
    case PRODUCE_TAG_SCHEMA:
        (void)schema_topic_handle(p->schemas, event, p->now_ms, &p->failure);
        break;
    case PRODUCE_TAG_CONTROL:
        p->heartbeat_in_flight &= produce_tag_number(event->tag) != CONTROL_HEARTBEAT;
        break;
    case PRODUCE_TAG_POSITION:
        guard_recorded(&p->guard);
        break;
    case PRODUCE_TAG_LEASE:
        lease_acked(&p->flow.lease);
        break;
    default:
        break;
    }
}

/* Leaders come a moment after their topic; where they do not, Kafka is away. */
static void note_topic_answer(Pipeline *p, const ProducerEvent *event)
{
    switch (event->kind) {
    case PRODUCER_TOPIC_LEADERLESS:
        if (p->leaderless_ms == 0)
            p->leaderless_ms = p->now_ms;
        if (p->now_ms - p->leaderless_ms > LEADERLESS_MS)
            kafka_went_away(p, event->text);
        return;
    case PRODUCER_TOPIC_FAILED:
        if (event->retriable)
            kafka_went_away(p, event->text);
        break;
    default:
        kafka_is_back(p);
        break;
    }
    p->leaderless_ms = 0;
}

static void handle_topic_answer(Pipeline *p, const ProducerEvent *event)
{
    note_topic_answer(p, event);
    if (produce_tag_kind(event->tag) == PRODUCE_TAG_TOPIC)
        (void)schema_topic_handle(p->schemas, event, p->now_ms, &p->failure);
    else
        (void)flow_handle(&p->flow, event, p->now_ms, &p->failure);
}

void take_producer_event(void *context, const ProducerEvent *event)
{
    Pipeline *p = context;

    switch (event->kind) {
    case PRODUCER_DELIVERED:
        handle_delivery(p, event);
        break;
    case PRODUCER_TOO_LARGE:
        kafka_is_back(p);
        if (produce_tag_kind(event->tag) == PRODUCE_TAG_EVENT)
            (void)flow_handle(&p->flow, event, p->now_ms, &p->failure);
        else
            failure_set(&p->failure, "Kafka did not take a message for topic \"%s\": %s", event->topic,
                        event->text);
        break;
    case PRODUCER_DELIVERY_FAILED:
        failure_set(&p->failure, "Kafka did not take a message: %s", event->text);
        break;
    case PRODUCER_FATAL:
        failure_set(&p->failure, "the Kafka producer failed: %s", event->text);
        break;
    case PRODUCER_UNREACHABLE:
        p->kafka_is_away = true;
        if (p->kafka_reason[0] == '\0')
            (void)snprintf(p->kafka_reason, sizeof p->kafka_reason, "%s", event->text);
        break;
    case PRODUCER_TROUBLE:
        /* One broker's trouble is a reason, not a state. */
        (void)snprintf(p->kafka_reason, sizeof p->kafka_reason, "%s", event->text);
        break;
    case PRODUCER_TOPIC_CREATED:
    case PRODUCER_TOPIC_READY:
    case PRODUCER_TOPIC_LEADERLESS:
    case PRODUCER_TOPIC_FAILED:
    case PRODUCER_TOPIC_PARTITIONS:
        handle_topic_answer(p, event);
        break;
    }
}

void find_stall(Pipeline *p)
{
    if (progress_in_flight(&p->flow.progress) == 0)
        p->delivery_ms = p->now_ms;
    if (p->now_ms - p->delivery_ms > STALL_MS && !p->kafka_is_away)
        kafka_went_away(p, p->kafka_reason[0] ? p->kafka_reason
                                              : "no broker has acknowledged an event for 10 s");
}
