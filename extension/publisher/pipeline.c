/*
 * pipeline.c - the publisher's one thread of events; it alone decides what happens next.
 *
 *      walreader --chunk--> items --> schema_topic ---------------> produce --> Kafka
 *                             |  \--> compose --> event + ticket -->   |
 *                             |                                        |
 *                             +--> commit: progress <-- acknowledged --+
 *      walreader <--feedback-- progress: confirmed LSN
 *
 * Back-pressure: when the window of tickets or librdkafka's queue is full, or a schema is on its way, the
 * chunk stays where it is, and the socket is not read until it has gone through. Feedback goes to the
 * walsender all the same.
 */
#include "pipeline.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "compose.h"
#include "control.h"
#include "produce.h"
#include "progress.h"
#include "report_writer.h"
#include "schema_topic.h"
#include "statistics.h"
#include "walreader.h"

#define FEEDBACK_INTERVAL_MS     1000
#define FEEDBACK_INTERVAL_MIN_MS 100 /* when the confirmed LSN has moved */
#define REPORT_INTERVAL_MS       1000
#define HEARTBEAT_INTERVAL_MS    5000
#define STALL_MS                 10000 /* without any acknowledgement: Kafka is away */
#define STOP_MS                  1000  /* for what is in flight when the process is asked to stop */
#define RETRY_MS                 1000
#define BLOCKED_WAIT_MS          100
#define MARKS_MAX                4096
#define CHUNKS_PER_TURN          32
#define EVENTS_PER_TURN          64   /* librdkafka's; one may carry thousands of deliveries */
#define QUEUE_EXTRA_MESSAGES     1024 /* schemas and control events, beside the events in flight */
#define QUEUE_KBYTES_MAX         65536u

/* The descriptors' places in the array for poll(2). */
enum { FD_POSTGRES, FD_KAFKA, FD_STATISTICS, FD_REPORT };

typedef enum Flow { FLOW_DONE, FLOW_BLOCKED, FLOW_FAILED } Flow;

/* A truncate goes to every partition; how many there are is asked when it comes. */
typedef struct TruncateState {
    enum { TRUNCATE_NONE, TRUNCATE_ASKED, TRUNCATE_SENDING } state;
    int32_t partitions;
    int32_t next_partition;
    int64_t retry_at_ms;
    uint64_t number; /* tags the newest question */
} TruncateState;

struct Pipeline {
    const Options *options;
    WalReaderSettings reader_settings;
    SchemaTopicSettings schema_settings;
    StatisticsSettings statistics_settings;
    WalReader reader;
    Producer *producer;
    SchemaTopic *schemas;
    Statistics statistics;
    ReportWriter report;
    Progress progress;
    bool progress_started; /* the slot's confirmed LSN is known */
    uint8_t *acked;
    ProgressMark marks[MARKS_MAX];

    /* the chunk on its way, and the item of it that is next */
    bool has_chunk;
    bool has_item;
    WhChunkReader chunk;
    WhChunkItem item;
    uint64_t chunk_wal_end;
    ComposeBuffer compose;
    TruncateState truncate;
    uint64_t topic_fingerprint; /* of the last event */
    ProduceTopic *topic;        /* and its topic; NULL: none yet */

    bool kafka_is_away;
    char kafka_reason[256];
    int64_t delivery_ms; /* when Kafka last acknowledged anything, or nothing was in flight */
    bool heartbeat_in_flight;
    int64_t heartbeat_at_ms;
    int64_t feedback_ms;
    uint64_t feedback_lsn;
    bool feedback_requested;
    int64_t report_at_ms;
    bool more_to_do; /* the turn ended with work left */
    bool stopping;
    int64_t stop_by_ms;
    int64_t now_ms; /* of this turn */
    Failure failure;
};

/* ---- life ---- */

static void take_settings(Pipeline *p, const Options *o)
{
    p->options = o;
    p->reader_settings = (WalReaderSettings){.conninfo = o->conninfo,
                                             .pipeline = o->pipeline,
                                             .slot = o->slot,
                                             .publication = o->publication,
                                             .system_identifier = o->system_identifier,
                                             .timeline = (int)o->timeline};
    p->schema_settings = (SchemaTopicSettings){.prefix = o->topic_prefix,
                                               .partitions = (int)o->partitions,
                                               .replication_factor = (int)o->replication_factor};
    p->statistics_settings = (StatisticsSettings){.conninfo = o->conninfo,
                                                  .pipeline = o->pipeline,
                                                  .publication = o->publication,
                                                  .interval_s = (int)o->statistics_interval_s};
}

static bool open_parts(Pipeline *p, Failure *failure)
{
    const Options *o = p->options;
    ProducerSettings settings = {.brokers = o->brokers,
                                 .client_id = "walhouse-publisher",
                                 .properties_file = o->properties_file,
                                 .messages_max = (uint32_t)o->max_in_flight + QUEUE_EXTRA_MESSAGES,
                                 .kbytes_max = QUEUE_KBYTES_MAX};

    p->acked = malloc((size_t)o->max_in_flight);
    if (p->acked == NULL)
        return failure_set(failure, "out of memory");
    progress_init(&p->progress, p->acked, (size_t)o->max_in_flight, p->marks, MARKS_MAX, 0);
    p->producer = producer_open(&settings, failure);
    if (p->producer == NULL)
        return false;
    p->schemas = schema_topic_open(&p->schema_settings, p->producer, failure);
    if (p->schemas == NULL)
        return false;
    statistics_init(&p->statistics, &p->statistics_settings, p->now_ms);
    return wal_reader_open(&p->reader, &p->reader_settings, p->now_ms, failure);
}

Pipeline *pipeline_open(const Options *options, Failure *failure)
{
    Pipeline *p = calloc(1, sizeof *p);

    if (p == NULL) {
        failure_set(failure, "out of memory");
        return NULL;
    }
    take_settings(p, options);
    p->now_ms = clock_monotonic_ms();
    report_writer_init(&p->report, (int)options->report_fd);
    report_writer_set_state(&p->report, WH_PUBLISHER_CONNECTING, NULL);
    if (!open_parts(p, failure)) {
        pipeline_report_failure(p, failure);
        pipeline_close(p);
        return NULL;
    }
    return p;
}

void pipeline_close(Pipeline *p)
{
    if (p == NULL)
        return;
    statistics_close(&p->statistics);
    wal_reader_close(&p->reader);
    schema_topic_close(p->schemas);
    producer_close(p->producer);
    compose_buffer_free(&p->compose);
    free(p->acked);
    free(p);
}

/* ---- what Kafka says ---- */

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
        if (!progress_ack(&p->progress, produce_tag_number(event->tag))) {
            failure_set(&p->failure, "Kafka's client acknowledged an event twice");
            return;
        }
        p->report.report.events++;
        p->report.report.event_bytes += event->size;
        break;
    case PRODUCE_TAG_SCHEMA:
        (void)schema_topic_handle(p->schemas, event, p->now_ms, &p->failure);
        break;
    case PRODUCE_TAG_CONTROL:
        p->heartbeat_in_flight = false;
        break;
    default:
        break;
    }
}

static void handle_topic_answer(Pipeline *p, const ProducerEvent *event)
{
    TruncateState *t = &p->truncate;

    if (event->kind != PRODUCER_TOPIC_FAILED)
        kafka_is_back(p);
    else if (event->retriable)
        kafka_went_away(p, event->text);
    if (produce_tag_kind(event->tag) == PRODUCE_TAG_TOPIC) {
        (void)schema_topic_handle(p->schemas, event, p->now_ms, &p->failure);
    } else if (t->state == TRUNCATE_ASKED && produce_tag_number(event->tag) == t->number) {
        t->state = event->kind == PRODUCER_TOPIC_PARTITIONS ? TRUNCATE_SENDING : TRUNCATE_NONE;
        t->partitions = event->partitions;
        t->next_partition = 0;
        t->retry_at_ms = p->now_ms + RETRY_MS;
        if (event->kind == PRODUCER_TOPIC_FAILED && !event->retriable)
            failure_set(&p->failure, "%s", event->text);
    }
}

static void handle_producer_event(void *context, const ProducerEvent *event)
{
    Pipeline *p = context;

    switch (event->kind) {
    case PRODUCER_DELIVERED:
        handle_delivery(p, event);
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
    case PRODUCER_TOPIC_READY:
    case PRODUCER_TOPIC_FAILED:
    case PRODUCER_TOPIC_PARTITIONS:
        handle_topic_answer(p, event);
        break;
    }
}

/* ---- what Postgres says ---- */

static Flow send_event(Pipeline *p, int32_t partition)
{
    WhSlice key, value;
    uint64_t ticket;
    ProduceResult result;
    Failure why = {""};

    if (progress_is_full(&p->progress))
        return FLOW_BLOCKED;
    if (!compose_event(&p->compose, &p->item, (uint16_t)p->options->epoch, &key, &value, &why)) {
        failure_set(&p->failure,
                    "an event of topic \"%s\" at commit LSN %" PRIX32 "/%" PRIX32 " cannot be sent: %s",
                    producer_topic_name(p->topic), (uint32_t)(p->item.event.commit_lsn >> 32),
                    (uint32_t)p->item.event.commit_lsn, why.text);
        return FLOW_FAILED;
    }
    ticket = progress_open(&p->progress);
    result = producer_send(p->producer, p->topic, partition, key, value,
                           produce_tag(PRODUCE_TAG_EVENT, ticket), &p->failure);
    if (result == PRODUCE_SENT)
        return FLOW_DONE;
    progress_cancel(&p->progress, ticket);
    return result == PRODUCE_LATER ? FLOW_BLOCKED : FLOW_FAILED;
}

static Flow send_truncate(Pipeline *p)
{
    TruncateState *t = &p->truncate;
    Flow flow;

    if (t->state == TRUNCATE_NONE && p->now_ms >= t->retry_at_ms) {
        if (!producer_describe_topic(p->producer, producer_topic_name(p->topic),
                                     produce_tag(PRODUCE_TAG_DESCRIBE, ++t->number), &p->failure))
            return FLOW_FAILED;
        t->state = TRUNCATE_ASKED;
    }
    if (t->state != TRUNCATE_SENDING)
        return FLOW_BLOCKED;
    for (; t->next_partition < t->partitions; t->next_partition++) {
        flow = send_event(p, t->next_partition);
        if (flow != FLOW_DONE)
            return flow;
    }
    t->state = TRUNCATE_NONE;
    t->retry_at_ms = 0;
    return FLOW_DONE;
}

static Flow take_event(Pipeline *p)
{
    uint64_t fingerprint = p->item.event.fingerprint;

    progress_begin(&p->progress);
    if (p->topic == NULL || p->topic_fingerprint != fingerprint) {
        p->topic = schema_topic_find(p->schemas, fingerprint);
        p->topic_fingerprint = fingerprint;
        if (p->topic == NULL) {
            failure_set(&p->failure, "an event names schema %016" PRIx64 ", which was not sent before it",
                        fingerprint);
            return FLOW_FAILED;
        }
    }
    return p->item.event.operation == WH_OP_TRUNCATE ? send_truncate(p) : send_event(p, -1);
}

static Flow take_schema(Pipeline *p)
{
    SchemaStep step =
        schema_topic_offer(p->schemas, p->item.fingerprint, p->item.schema, p->now_ms, &p->failure);

    return step == SCHEMA_READY ? FLOW_DONE : step == SCHEMA_WAIT ? FLOW_BLOCKED : FLOW_FAILED;
}

static Flow take_commit(Pipeline *p)
{
    if (progress_commit(&p->progress, p->item.end_lsn, p->item.event.commit_time_us))
        return FLOW_DONE;
    failure_set(&p->failure,
                "a transaction ends at LSN %" PRIX32 "/%" PRIX32 ", before the one that came earlier",
                (uint32_t)(p->item.end_lsn >> 32), (uint32_t)p->item.end_lsn);
    return FLOW_FAILED;
}

static Flow take_item(Pipeline *p)
{
    switch (p->item.kind) {
    case WH_CHUNK_SCHEMA:
        return take_schema(p);
    case WH_CHUNK_EVENT:
        return take_event(p);
    case WH_CHUNK_COMMIT:
        return take_commit(p);
    case WH_CHUNK_ERROR:
        failure_set(&p->failure,
                    "the output plugin's chunk at LSN %" PRIX32 "/%" PRIX32 " is damaged: %s at byte %zu",
                    (uint32_t)(p->chunk_wal_end >> 32), (uint32_t)p->chunk_wal_end, p->chunk.reader.error,
                    p->chunk.reader.error_offset);
        return FLOW_FAILED;
    case WH_CHUNK_END:
        break;
    }
    return FLOW_DONE;
}

/* Goes on with the chunk where it was left. */
static Flow take_chunk(Pipeline *p)
{
    Flow flow;

    for (;;) {
        if (!p->has_item) {
            wh_chunk_next(&p->chunk, &p->item);
            p->has_item = true;
        }
        flow = take_item(p);
        if (flow != FLOW_DONE)
            return flow;
        p->has_item = false;
        if (p->item.kind == WH_CHUNK_END)
            break;
    }
    if (p->chunk.in_transaction)
        progress_begin(&p->progress);
    p->has_chunk = false;
    wal_reader_release(&p->reader);
    return FLOW_DONE;
}

static void see_server_lsn(Pipeline *p, uint64_t lsn)
{
    if (lsn > p->report.report.server_lsn)
        p->report.report.server_lsn = lsn;
}

/* Takes messages until there are none, Kafka can take no more, or the turn has lasted long enough. */
static bool take_messages(Pipeline *p)
{
    WalMessage message;
    Flow flow;

    for (int i = 0; i < CHUNKS_PER_TURN; i++) {
        if (p->has_chunk) {
            flow = take_chunk(p);
            if (flow != FLOW_DONE)
                return flow == FLOW_BLOCKED;
        }
        if (!wal_reader_next(&p->reader, &message, &p->failure))
            return false;
        if (message.kind == WAL_MESSAGE_NONE)
            return true;
        see_server_lsn(p, message.wal_end);
        if (message.kind == WAL_MESSAGE_KEEPALIVE) {
            progress_keepalive(&p->progress, message.wal_end);
            p->feedback_requested |= message.reply_requested;
            wal_reader_release(&p->reader);
        } else {
            p->chunk = wh_chunk_reader(message.chunk, message.chunk_size);
            p->chunk_wal_end = message.wal_end;
            p->has_chunk = true;
        }
    }
    p->more_to_do = true;
    return true;
}

static bool step_reader(Pipeline *p, short revents)
{
    WalReaderState before = p->reader.state;

    if (!wal_reader_step(&p->reader, revents, p->now_ms, &p->failure))
        return false;
    if (p->reader.state != WAL_READER_STREAMING)
        return true;
    if (before != WAL_READER_STREAMING) {
        progress_init(&p->progress, p->acked, (size_t)p->options->max_in_flight, p->marks, MARKS_MAX,
                      p->reader.confirmed_lsn);
        see_server_lsn(p, p->reader.server_lsn);
        message_log(MESSAGE_INFO, "streaming from slot \"%s\" at %" PRIX32 "/%" PRIX32, p->options->slot,
                    (uint32_t)(p->reader.confirmed_lsn >> 32), (uint32_t)p->reader.confirmed_lsn);
    }
    if (p->stopping)
        return true;
    if (!take_messages(p))
        return false;
    /* While a chunk waits for Kafka nothing is read, so a connection that ended would go unnoticed. */
    if (p->has_chunk && !p->more_to_do && p->reader.hung_up)
        return failure_set(&p->failure, "Postgres closed the replication connection");
    return true;
}

/* ---- what is due ---- */

static bool give_feedback(Pipeline *p)
{
    uint64_t acked_lsn = progress_confirmed_lsn(&p->progress);
    int64_t waited = p->now_ms - p->feedback_ms;

    if (waited < FEEDBACK_INTERVAL_MS && !p->feedback_requested &&
        !(acked_lsn > p->feedback_lsn && waited >= FEEDBACK_INTERVAL_MIN_MS))
        return true;
    p->feedback_ms = p->now_ms;
    p->feedback_lsn = acked_lsn;
    p->feedback_requested = false;
    return wal_reader_feedback(&p->reader, progress_received_lsn(&p->progress), acked_lsn, &p->failure);
}

/* Also sent while Kafka is away, once: its delivery tells that Kafka is back. */
static bool give_heartbeat(Pipeline *p)
{
    uint8_t bytes[CONTROL_HEARTBEAT_BYTES_MAX];
    WhWriter w = wh_writer(bytes, sizeof bytes);
    ProduceResult result;

    if (!schema_topic_is_ready(p->schemas) || p->heartbeat_in_flight || p->stopping ||
        (p->now_ms < p->heartbeat_at_ms && !p->kafka_is_away))
        return true;
    control_put_heartbeat(&w, p->options->pipeline, progress_confirmed_lsn(&p->progress), clock_wall_us());
    if (w.full)
        return failure_set(&p->failure, "the pipeline's name is too long");
    result = producer_send(p->producer, schema_topic_control(p->schemas), 0, (WhSlice){0},
                           (WhSlice){w.data, w.length}, produce_tag(PRODUCE_TAG_CONTROL, 0), &p->failure);
    p->heartbeat_in_flight = result == PRODUCE_SENT;
    p->heartbeat_at_ms = p->now_ms + HEARTBEAT_INTERVAL_MS;
    return result != PRODUCE_REFUSED;
}

static bool give_statistics(Pipeline *p, short revents)
{
    bool wanted = p->report.report.state == WH_PUBLISHER_STREAMING && !p->stopping;
    ProduceResult result;
    WhSlice json;

    statistics_step(&p->statistics, revents, wanted, p->now_ms);
    if (!wanted || !statistics_is_due(&p->statistics, progress_confirmed_lsn(&p->progress), &json))
        return true;
    see_server_lsn(p, p->statistics.lsn);
    result = producer_send(p->producer, schema_topic_control(p->schemas), 0, (WhSlice){0}, json,
                           produce_tag(PRODUCE_TAG_CONTROL, 1), &p->failure);
    if (result == PRODUCE_SENT)
        statistics_done(&p->statistics);
    return result != PRODUCE_REFUSED;
}

static void find_stall(Pipeline *p)
{
    if (progress_in_flight(&p->progress) == 0)
        p->delivery_ms = p->now_ms;
    if (p->now_ms - p->delivery_ms > STALL_MS && !p->kafka_is_away)
        kafka_went_away(p, p->kafka_reason[0] ? p->kafka_reason
                                              : "no broker has acknowledged an event for 10 s");
}

static void update_state(Pipeline *p)
{
    WhPublisherState state = WH_PUBLISHER_STREAMING;
    const char *message = NULL;

    if (p->reader.state != WAL_READER_STREAMING) {
        state = WH_PUBLISHER_CONNECTING;
        message = p->reader.state == WAL_READER_WAITING_FOR_SLOT
                      ? "waiting for the slot's last reader to let go of it"
                      : NULL;
    } else if (p->kafka_is_away) {
        state = WH_PUBLISHER_WAITING_FOR_KAFKA;
        message = p->kafka_reason;
    } else if (!schema_topic_is_ready(p->schemas)) {
        state = WH_PUBLISHER_CONNECTING;
    }
    report_writer_set_state(&p->report, state, message);
}

static bool give_report(Pipeline *p)
{
    WhPublisherReport *r = &p->report.report;

    r->received_lsn = progress_received_lsn(&p->progress);
    r->acked_lsn = progress_confirmed_lsn(&p->progress);
    r->last_commit_time_us = p->progress.confirmed.commit_time_us;
    r->transactions = p->progress.confirmed.transactions;
    r->schemas = schema_topic_count(p->schemas);
    r->in_flight = progress_in_flight(&p->progress);
    update_state(p);
    if (p->now_ms < p->report_at_ms)
        return true;
    p->report_at_ms = p->now_ms + REPORT_INTERVAL_MS;
    return report_writer_send(&p->report) || failure_set(&p->failure, "the supervisor is gone");
}

/* ---- one turn ---- */

static void prepare_fd(struct pollfd *fd, int number, short events)
{
    *fd = (struct pollfd){.fd = number, .events = events};
}

int pipeline_prepare(Pipeline *p, struct pollfd *fds)
{
    int64_t now = clock_monotonic_ms();
    int64_t until = p->report_at_ms;
    bool moved = progress_confirmed_lsn(&p->progress) > p->feedback_lsn;
    int64_t feedback_at = p->feedback_ms + (moved ? FEEDBACK_INTERVAL_MIN_MS : FEEDBACK_INTERVAL_MS);

    prepare_fd(&fds[FD_POSTGRES], wal_reader_fd(&p->reader),
               wal_reader_events(&p->reader, !p->has_chunk && !p->stopping));
    prepare_fd(&fds[FD_KAFKA], producer_wake_fd(p->producer), POLLIN);
    prepare_fd(&fds[FD_STATISTICS], statistics_fd(&p->statistics), statistics_events(&p->statistics));
    prepare_fd(&fds[FD_REPORT], (int)p->options->report_fd, 0);
    if (p->more_to_do)
        return 0;
    if (feedback_at < until)
        until = feedback_at;
    if ((p->has_chunk || p->stopping || p->reader.state != WAL_READER_STREAMING) &&
        now + BLOCKED_WAIT_MS < until)
        until = now + BLOCKED_WAIT_MS;
    return until > now ? (int)(until - now) : 0;
}

bool pipeline_step(Pipeline *p, const struct pollfd *fds, Failure *failure)
{
    bool ok = true;

    p->now_ms = clock_monotonic_ms();
    p->more_to_do = producer_poll(p->producer, handle_producer_event, p, EVENTS_PER_TURN);
    if (fds[FD_REPORT].revents & (POLLERR | POLLHUP | POLLNVAL))
        ok = failure_set(&p->failure, "the supervisor is gone");
    ok = ok && p->failure.text[0] == '\0';
    ok = ok && schema_topic_step(p->schemas, p->now_ms, &p->failure);
    ok = ok && step_reader(p, fds[FD_POSTGRES].revents);
    find_stall(p);
    ok = ok && give_feedback(p);
    ok = ok && give_heartbeat(p);
    ok = ok && give_statistics(p, fds[FD_STATISTICS].revents);
    ok = ok && give_report(p);
    if (!ok)
        *failure = p->failure;
    return ok;
}

/* ---- the end ---- */

void pipeline_stop(Pipeline *p)
{
    if (p->stopping)
        return;
    p->stopping = true;
    p->stop_by_ms = clock_monotonic_ms() + STOP_MS;
    message_log(MESSAGE_INFO, "stopping with %" PRIu64 " events in flight", progress_in_flight(&p->progress));
}

bool pipeline_is_done(const Pipeline *p)
{
    return p->stopping && (progress_in_flight(&p->progress) == 0 || p->now_ms >= p->stop_by_ms);
}

void pipeline_finish(Pipeline *p)
{
    uint64_t acked_lsn = progress_confirmed_lsn(&p->progress);
    Failure ignored = {""};

    (void)wal_reader_feedback(&p->reader, progress_received_lsn(&p->progress), acked_lsn, &ignored);
    p->report_at_ms = p->now_ms;
    (void)give_report(p);
    message_log(MESSAGE_INFO,
                "stopped; confirmed up to %" PRIX32 "/%" PRIX32 ", %" PRIu64 " events in flight",
                (uint32_t)(acked_lsn >> 32), (uint32_t)acked_lsn, progress_in_flight(&p->progress));
}

void pipeline_report_failure(Pipeline *p, const Failure *failure)
{
    report_writer_set_state(&p->report, WH_PUBLISHER_FAILED, failure->text);
}
