/*
 * pipeline.c - the publisher's one thread of events; it alone decides what happens next.
 *
 *      walreader --chunks--> feed --> flow --messages--> produce --> Kafka
 *      snapshots --chunks----^
 *      walreader <--feedback-- flow's progress <--deliveries-- produce
 *      snapshots <---tickets---'
 *
 * The guard (guard.c) decides whether the slot may be read at all, and how far it may confirm.
 * While the flow is blocked the socket is not read; feedback goes to the walsender all the same.
 */
#include "pipeline.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "feed.h"
#include "guard.h"
#include "report_writer.h"
#include "statistics.h"

#define FEEDBACK_INTERVAL_MS     1000
#define FEEDBACK_INTERVAL_MIN_MS 100 /* when the confirmed LSN has moved */
#define POSITION_INTERVAL_MS     50
#define REPORT_INTERVAL_MS       1000
#define HEARTBEAT_INTERVAL_MS    5000
#define STALL_MS                 10000 /* without any acknowledgement: Kafka is away */
#define STOP_MS                  1000  /* for what is in flight when the process is asked to stop */
#define BLOCKED_WAIT_MS          100
#define CHECKING_WAIT_MS         20   /* while Kafka is asked what it remembers */
#define EVENTS_PER_TURN          64   /* librdkafka's; one may carry thousands of deliveries */
#define QUEUE_EXTRA_MESSAGES     1024 /* schemas and control events, beside the events in flight */
#define QUEUE_KBYTES_MAX         65536u

/* Numbers in the tags of control events. */
enum { CONTROL_HEARTBEAT, CONTROL_STATISTICS, CONTROL_SNAPSHOT };

/* The descriptors' places in the array for poll(2). */
enum { FD_POSTGRES, FD_KAFKA, FD_STATISTICS, FD_REPORT, FD_GUARD, FD_SNAPSHOTS };
static_assert(FD_SNAPSHOTS + SNAPSHOT_FDS == PIPELINE_FDS, "a place for every descriptor");

struct Pipeline {
    const Options *options;
    WalReaderSettings reader_settings;
    SchemaTopicSettings schema_settings;
    StatisticsSettings statistics_settings;
    SnapshotSettings snapshot_settings;
    GuardSettings guard_settings;
    WalReader reader;
    Guard guard;
    Producer *producer;
    SchemaTopic *schemas;
    Statistics statistics;
    Snapshots snapshots;
    ReportWriter report;
    Flow flow;
    Feed feed;
    bool kafka_is_away;
    char kafka_reason[256];
    int64_t delivery_ms; /* when Kafka last acknowledged anything, or nothing was in flight */
    bool heartbeat_in_flight;
    int64_t position_ms; /* when the last record was sent */
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
    WhErrorKind failure_kind; /* whose trouble it is */
};

/* ---- life ---- */

static void take_settings(Pipeline *p, const Options *o)
{
    p->options = o;
    p->reader_settings = (WalReaderSettings){.conninfo = o->conninfo,
                                             .pipeline = o->pipeline,
                                             .slot = o->slot,
                                             .publication = o->publication,
                                             .messages = o->messages,
                                             .out_of_range = o->out_of_range};
    p->guard_settings = (GuardSettings){.expected = {.pipeline = o->pipeline,
                                                     .slot = o->slot,
                                                     .system_identifier = o->system_identifier,
                                                     .timeline = (uint32_t)o->timeline,
                                                     .epoch = (uint16_t)o->epoch},
                                        .conninfo = o->conninfo,
                                        .brokers = o->brokers,
                                        .properties_file = o->properties_file,
                                        .topic_prefix = o->topic_prefix,
                                        .resync = strcmp(o->on_slot_loss, "resync") == 0};
    p->schema_settings = (SchemaTopicSettings){.prefix = o->topic_prefix,
                                               .partitions = (int)o->partitions,
                                               .replication_factor = (int)o->replication_factor};
    p->statistics_settings = (StatisticsSettings){.conninfo = o->conninfo,
                                                  .pipeline = o->pipeline,
                                                  .publication = o->publication,
                                                  .interval_s = (int)o->statistics_interval_s};
    p->snapshot_settings = (SnapshotSettings){.conninfo = o->conninfo,
                                              .pipeline = o->pipeline,
                                              .workers = (int)o->snapshot_workers,
                                              .chunk_ms = (int)o->snapshot_chunk_ms};
}

/* What the table of options could not check. */
static bool take_slot_settings(Pipeline *p, Failure *failure)
{
    const Options *o = p->options;
    SlotExpectation *expected = &p->guard_settings.expected;

    expected->has_slot_lsn = o->slot_lsn != NULL;
    if (o->slot_lsn && !sql_lsn(o->slot_lsn, &expected->slot_lsn))
        return failure_set(failure, "option --slot-lsn takes an LSN, not \"%s\"", o->slot_lsn);
    return p->guard_settings.resync || strcmp(o->on_slot_loss, "stop") == 0 ||
           failure_set(failure, "option --on-slot-loss takes stop or resync, not \"%s\"", o->on_slot_loss);
}

static bool open_parts(Pipeline *p, Failure *failure)
{
    const Options *o = p->options;
    ProducerSettings settings = {.brokers = o->brokers,
                                 .client_id = "walhouse-publisher",
                                 .properties_file = o->properties_file,
                                 .messages_max = (uint32_t)o->max_in_flight + QUEUE_EXTRA_MESSAGES,
                                 .kbytes_max = QUEUE_KBYTES_MAX};

    if (!take_slot_settings(p, failure))
        return false;
    guard_init(&p->guard, &p->guard_settings);
    p->producer = producer_open(&settings, failure);
    if (p->producer == NULL)
        return false;
    p->schemas = schema_topic_open(&p->schema_settings, p->producer, failure);
    if (p->schemas == NULL)
        return false;
    if (!flow_init(&p->flow, p->producer, p->schemas, (uint16_t)o->epoch, (size_t)o->max_in_flight, failure))
        return false;
    statistics_init(&p->statistics, &p->statistics_settings, p->now_ms);
    snapshots_init(&p->snapshots, &p->snapshot_settings, p->now_ms);
    flow_on_signal(&p->flow, snapshots_on_signal, &p->snapshots);
    p->feed = (Feed){.reader = &p->reader, .flow = &p->flow, .snapshots = &p->snapshots};
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
    snapshots_close(&p->snapshots);
    wal_reader_close(&p->reader);
    guard_close(&p->guard);
    schema_topic_close(p->schemas);
    producer_close(p->producer);
    flow_fini(&p->flow);
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
    default:
        break;
    }
}

static void handle_topic_answer(Pipeline *p, const ProducerEvent *event)
{
    if (event->kind != PRODUCER_TOPIC_FAILED)
        kafka_is_back(p);
    else if (event->retriable)
        kafka_went_away(p, event->text);
    if (produce_tag_kind(event->tag) == PRODUCE_TAG_TOPIC)
        (void)schema_topic_handle(p->schemas, event, p->now_ms, &p->failure);
    else
        (void)flow_handle(&p->flow, event, p->now_ms, &p->failure);
}

static void handle_producer_event(void *context, const ProducerEvent *event)
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
    case PRODUCER_TOPIC_READY:
    case PRODUCER_TOPIC_FAILED:
    case PRODUCER_TOPIC_PARTITIONS:
        handle_topic_answer(p, event);
        break;
    }
}

/* ---- what Postgres says ---- */

static void see_server_lsn(Pipeline *p, uint64_t lsn)
{
    if (lsn > p->report.report.server_lsn)
        p->report.report.server_lsn = lsn;
}

static void begin_stream(Pipeline *p)
{
    const SlotFacts *facts = &p->reader.facts;

    flow_start(&p->flow, facts->confirmed_lsn);
    see_server_lsn(p, facts->server_lsn);
    message_log(MESSAGE_INFO, "streaming from slot \"%s\" at %" PRIX32 "/%" PRIX32, p->options->slot,
                (uint32_t)(facts->confirmed_lsn >> 32), (uint32_t)facts->confirmed_lsn);
}

static bool take_stream(Pipeline *p, Failure *failure)
{
    if (!feed_step(&p->feed, p->now_ms, failure))
        return false;
    see_server_lsn(p, p->feed.server_lsn);
    p->more_to_do |= p->feed.more_to_do;
    p->feedback_requested |= p->feed.feedback_requested;
    p->feed.feedback_requested = false;
    /* While a chunk waits for Kafka nothing is read, so a connection that ended would go unnoticed. */
    if (p->flow.has_chunk && !p->more_to_do && p->reader.hung_up)
        return failure_set(failure, "Postgres closed the replication connection");
    return true;
}

static bool read_stream(Pipeline *p, short revents, Failure *failure)
{
    WalReaderState before = p->reader.state;

    if (!wal_reader_step(&p->reader, revents, p->now_ms, failure))
        return false;
    if (p->reader.state == WAL_READER_READY && p->guard.state == GUARD_OPEN)
        return wal_reader_start(&p->reader, p->now_ms, failure);
    if (p->reader.state != WAL_READER_STREAMING)
        return true;
    if (before != WAL_READER_STREAMING)
        begin_stream(p);
    return p->stopping || take_stream(p, failure);
}

/* For good. The flow's chunk goes with the connection; nothing looks at it any more. */
static void end_stream(Pipeline *p)
{
    snapshots_stop(&p->snapshots);
    wal_reader_close(&p->reader);
    p->reader.state = WAL_READER_CONNECTING;
}

static bool step_reader(Pipeline *p, short revents)
{
    Failure failure = {""};

    if (p->guard.state > GUARD_OPEN || read_stream(p, revents, &failure))
        return true;
    if (!p->reader.wal_is_gone || p->guard.state != GUARD_OPEN)
        return failure_set(&p->failure, "%s", failure.text);
    guard_slot_is_lost(&p->guard, &failure);
    end_stream(p);
    return true;
}

/* false when the process is to end: it failed, or the guard has come to its end. */
static bool step_guard(Pipeline *p, short revents)
{
    bool asked = p->reader.state >= WAL_READER_READY;

    if (!guard_step(&p->guard, asked ? &p->reader.facts : NULL, p->schemas, p->producer, revents, p->now_ms,
                    &p->failure))
        return false;
    if (p->guard.state == GUARD_ACTING && p->reader.connection)
        end_stream(p);
    if (p->guard.state == GUARD_LOST)
        return failure_set(&p->failure, "%s", p->guard.reason.text);
    return p->guard.state != GUARD_CHANGED || failure_set(&p->failure, "the pipeline's row has changed");
}

/* Connections of snapshots live as long as chunks are taken. */
static void step_snapshots(Pipeline *p, const struct pollfd *fds)
{
    if (p->reader.state == WAL_READER_STREAMING && !p->stopping)
        snapshots_step(&p->snapshots, fds, flow_done_ticket(&p->flow), p->now_ms);
}

/* ---- what is due ---- */

static bool give_feedback(Pipeline *p)
{
    uint64_t acked_lsn = guard_confirmable_lsn(&p->guard);
    int64_t waited = p->now_ms - p->feedback_ms;

    if (waited < FEEDBACK_INTERVAL_MS && !p->feedback_requested &&
        !(acked_lsn > p->feedback_lsn && waited >= FEEDBACK_INTERVAL_MIN_MS))
        return true;
    p->feedback_ms = p->now_ms;
    p->feedback_lsn = acked_lsn;
    p->feedback_requested = false;
    return wal_reader_feedback(&p->reader, progress_received_lsn(&p->flow.progress), acked_lsn, &p->failure);
}

/* Before the slot may confirm an LSN, Kafka must know of it. */
static bool give_position(Pipeline *p)
{
    if (p->reader.state != WAL_READER_STREAMING || p->guard.gate.in_flight ||
        (p->now_ms - p->position_ms < POSITION_INTERVAL_MS && !p->stopping))
        return true;
    p->position_ms = p->now_ms;
    return guard_record(&p->guard, progress_confirmed_lsn(&p->flow.progress), p->schemas, p->producer,
                        &p->failure);
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
    control_put_heartbeat(&w, p->options->pipeline, progress_confirmed_lsn(&p->flow.progress),
                          clock_wall_us());
    if (w.full)
        return failure_set(&p->failure, "the pipeline's name is too long");
    result = producer_send(p->producer, schema_topic_control(p->schemas), 0, (WhSlice){0},
                           (WhSlice){w.data, w.length}, produce_tag(PRODUCE_TAG_CONTROL, CONTROL_HEARTBEAT),
                           &p->failure);
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
    if (!wanted || !statistics_is_due(&p->statistics, progress_confirmed_lsn(&p->flow.progress), &json))
        return true;
    see_server_lsn(p, p->statistics.lsn);
    result = producer_send(p->producer, schema_topic_control(p->schemas), 0, (WhSlice){0}, json,
                           produce_tag(PRODUCE_TAG_CONTROL, CONTROL_STATISTICS), &p->failure);
    if (result == PRODUCE_SENT)
        statistics_done(&p->statistics);
    return result != PRODUCE_REFUSED;
}

static bool give_snapshot_news(Pipeline *p)
{
    ProduceResult result = PRODUCE_SENT;
    WhSlice json;

    while (schema_topic_is_ready(p->schemas) && result == PRODUCE_SENT &&
           snapshots_news(&p->snapshots, &json)) {
        result = producer_send(p->producer, schema_topic_control(p->schemas), 0, (WhSlice){0}, json,
                               produce_tag(PRODUCE_TAG_CONTROL, CONTROL_SNAPSHOT), &p->failure);
        if (result == PRODUCE_SENT)
            snapshots_news_sent(&p->snapshots);
    }
    return result != PRODUCE_REFUSED;
}

static void find_stall(Pipeline *p)
{
    if (progress_in_flight(&p->flow.progress) == 0)
        p->delivery_ms = p->now_ms;
    if (p->now_ms - p->delivery_ms > STALL_MS && !p->kafka_is_away)
        kafka_went_away(p, p->kafka_reason[0] ? p->kafka_reason
                                              : "no broker has acknowledged an event for 10 s");
}

static void update_state(Pipeline *p)
{
    WhPublisherState state = WH_PUBLISHER_STREAMING;
    const char *message = NULL;

    if (p->guard.state == GUARD_ACTING) {
        state = WH_PUBLISHER_RESYNCING;
        message = p->guard.reason.text;
    } else if (p->kafka_is_away && p->reader.state >= WAL_READER_READY) {
        state = WH_PUBLISHER_WAITING_FOR_KAFKA;
        message = p->kafka_reason;
    } else if (p->reader.state != WAL_READER_STREAMING) {
        state = WH_PUBLISHER_CONNECTING;
        message = p->reader.state == WAL_READER_WAITING_FOR_SLOT
                      ? "waiting for the slot's last reader to let go of it"
                      : NULL;
    }
    p->report.report.error_kind = p->guard.state == GUARD_ACTING ? WH_ERROR_SLOT
                                  : p->kafka_is_away             ? WH_ERROR_KAFKA
                                                                 : WH_ERROR_POSTGRES;
    report_writer_set_state(&p->report, state, message);
}

static bool send_table(void *context, const WhTableReport *report)
{
    return report_writer_send_table(context, report);
}

static bool give_report(Pipeline *p)
{
    WhPublisherReport *r = &p->report.report;
    Tables *tables = schema_topic_tables(p->schemas);

    r->received_lsn = progress_received_lsn(&p->flow.progress);
    r->acked_lsn = progress_confirmed_lsn(&p->flow.progress);
    r->last_commit_time_us = p->flow.progress.confirmed.commit_time_us;
    r->transactions = p->flow.progress.confirmed.transactions;
    r->schemas = schema_topic_count(p->schemas);
    r->in_flight = progress_in_flight(&p->flow.progress);
    r->tables = tables->count + tables->uncounted;
    update_state(p);
    if (p->now_ms < p->report_at_ms)
        return true;
    p->report_at_ms = p->now_ms + REPORT_INTERVAL_MS;
    tables_report(tables, send_table, &p->report);
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
    bool moved = guard_confirmable_lsn(&p->guard) > p->feedback_lsn;
    bool unrecorded = position_gate_wants(&p->guard.gate, progress_confirmed_lsn(&p->flow.progress));
    int64_t feedback_at = p->feedback_ms + (moved ? FEEDBACK_INTERVAL_MIN_MS : FEEDBACK_INTERVAL_MS);

    prepare_fd(&fds[FD_POSTGRES], wal_reader_fd(&p->reader),
               wal_reader_events(&p->reader, !p->flow.has_chunk && !p->stopping));
    prepare_fd(&fds[FD_KAFKA], producer_wake_fd(p->producer), POLLIN);
    prepare_fd(&fds[FD_STATISTICS], statistics_fd(&p->statistics), statistics_events(&p->statistics));
    prepare_fd(&fds[FD_REPORT], (int)p->options->report_fd, 0);
    prepare_fd(&fds[FD_GUARD], guard_fd(&p->guard), guard_events(&p->guard));
    snapshots_prepare(&p->snapshots, &fds[FD_SNAPSHOTS]);
    if (p->more_to_do)
        return 0;
    if (feedback_at < until)
        until = feedback_at;
    if (unrecorded && p->position_ms + POSITION_INTERVAL_MS < until)
        until = p->position_ms + POSITION_INTERVAL_MS;
    if (p->guard.state < GUARD_OPEN && now + CHECKING_WAIT_MS < until)
        until = now + CHECKING_WAIT_MS;
    if (p->reader.state == WAL_READER_STREAMING && !p->stopping && snapshots_due_ms(&p->snapshots) < until)
        until = snapshots_due_ms(&p->snapshots);
    if ((p->flow.has_chunk || p->stopping || p->reader.state != WAL_READER_STREAMING) &&
        now + BLOCKED_WAIT_MS < until)
        until = now + BLOCKED_WAIT_MS;
    return until > now ? (int)(until - now) : 0;
}

/* Notes whose trouble a failed step was. */
static bool is_of(Pipeline *p, bool ok, WhErrorKind kind)
{
    if (!ok)
        p->failure_kind = kind;
    return ok;
}

bool pipeline_step(Pipeline *p, const struct pollfd *fds, Failure *failure)
{
    bool ok = true;

    p->now_ms = clock_monotonic_ms();
    p->more_to_do = producer_poll(p->producer, handle_producer_event, p, EVENTS_PER_TURN);
    if (fds[FD_REPORT].revents & (POLLERR | POLLHUP | POLLNVAL))
        ok = failure_set(&p->failure, "the supervisor is gone");
    ok = ok && p->failure.text[0] == '\0';
    ok = is_of(p, ok, WH_ERROR_KAFKA);
    ok = ok && is_of(p, schema_topic_step(p->schemas, p->now_ms, &p->failure), WH_ERROR_KAFKA);
    if (ok)
        step_snapshots(p, &fds[FD_SNAPSHOTS]);
    ok = ok && is_of(p, step_reader(p, fds[FD_POSTGRES].revents), WH_ERROR_POSTGRES);
    ok = ok && is_of(p, step_guard(p, fds[FD_GUARD].revents), WH_ERROR_SLOT);
    ok = ok && is_of(p, flow_send_dead_letters(&p->flow, &p->failure), WH_ERROR_KAFKA);
    find_stall(p);
    ok = ok && is_of(p, give_position(p), WH_ERROR_KAFKA);
    ok = ok && is_of(p, give_feedback(p), WH_ERROR_POSTGRES);
    ok = ok && is_of(p, give_heartbeat(p), WH_ERROR_KAFKA);
    ok = ok && is_of(p, give_statistics(p, fds[FD_STATISTICS].revents), WH_ERROR_KAFKA);
    ok = ok && is_of(p, give_snapshot_news(p), WH_ERROR_KAFKA);
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
    snapshots_stop(&p->snapshots);
    p->stop_by_ms = clock_monotonic_ms() + STOP_MS;
    message_log(MESSAGE_INFO, "stopping with %" PRIu64 " events in flight",
                progress_in_flight(&p->flow.progress));
}

/* Neither an event nor a record of what is acknowledged is on its way. */
static bool is_settled(const Pipeline *p)
{
    return progress_in_flight(&p->flow.progress) == 0 && !p->guard.gate.in_flight &&
           !position_gate_wants(&p->guard.gate, progress_confirmed_lsn(&p->flow.progress));
}

bool pipeline_is_done(const Pipeline *p)
{
    return p->stopping &&
           (p->reader.state != WAL_READER_STREAMING || is_settled(p) || p->now_ms >= p->stop_by_ms);
}

void pipeline_finish(Pipeline *p)
{
    uint64_t acked_lsn = guard_confirmable_lsn(&p->guard);
    Failure ignored = {""};

    (void)wal_reader_feedback(&p->reader, progress_received_lsn(&p->flow.progress), acked_lsn, &ignored);
    p->report_at_ms = p->now_ms;
    (void)give_report(p);
    message_log(MESSAGE_INFO,
                "stopped; confirmed up to %" PRIX32 "/%" PRIX32 ", %" PRIu64 " events in flight",
                (uint32_t)(acked_lsn >> 32), (uint32_t)acked_lsn, progress_in_flight(&p->flow.progress));
}

void pipeline_report_failure(Pipeline *p, const Failure *failure)
{
    p->report.report.error_kind = p->failure_kind;
    report_writer_set_state(&p->report,
                            p->guard.state == GUARD_LOST ? WH_PUBLISHER_SLOT_LOST : WH_PUBLISHER_FAILED,
                            failure->text);
}

int pipeline_exit_status(const Pipeline *p)
{
    return p->guard.state == GUARD_LOST      ? WH_EXIT_SLOT_LOST
           : p->guard.state == GUARD_CHANGED ? WH_EXIT_CHANGED
                                             : EXIT_FAILURE;
}
