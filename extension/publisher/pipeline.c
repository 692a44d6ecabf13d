/*
 * pipeline.c - the publisher's one thread of events; it alone decides what happens next.
 *
 *      walreader --chunks--> feed --> flow --messages--> produce --> Kafka
 *      snapshots --chunks----^
 *      walreader <--feedback-- flow's progress <--deliveries-- produce
 *      snapshots <---tickets---'
 *      requests --what agents ask for--> Postgres --> snapshots
 *
 * The guard (guard.c) decides whether the slot may be read at all, and how far it may confirm.
 * While the flow is blocked the socket is not read; feedback goes to the walsender all the same.
 */
#include "lib/lsn.h"
#include "pipeline_inner.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define STOP_MS              1000 /* for what is in flight when the process is asked to stop */
#define BLOCKED_WAIT_MS      100
#define CHECKING_WAIT_MS     20   /* while Kafka is asked what it remembers */
#define EVENTS_PER_TURN      64   /* librdkafka's; one may carry thousands of deliveries */
#define QUEUE_EXTRA_MESSAGES 1024 /* schemas and control events, beside the events in flight */
#define QUEUE_KBYTES_MAX     65536u

/* The descriptors' places in the array for poll(2). */
enum { FD_POSTGRES, FD_KAFKA, FD_STATISTICS, FD_REPORT, FD_GUARD, FD_REQUESTS, FD_SNAPSHOTS };
static_assert(FD_SNAPSHOTS + SNAPSHOT_FDS == PIPELINE_FDS, "a place for every descriptor");

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
                                                  .slot = o->slot,
                                                  .epoch = o->epoch,
                                                  .interval_s = (int)o->statistics_interval_s};
    p->snapshot_settings = (SnapshotSettings){.conninfo = o->conninfo,
                                              .pipeline = o->pipeline,
                                              .workers = (int)o->snapshot_workers,
                                              .chunk_ms = (int)o->snapshot_chunk_ms};
    p->requests_settings = (RequestsSettings){.conninfo = o->conninfo,
                                              .pipeline = o->pipeline,
                                              .brokers = o->brokers,
                                              .properties_file = o->properties_file};
}

/* What the table of options could not check. */
static bool take_slot_settings(Pipeline *p, Failure *failure)
{
    const Options *o = p->options;
    SlotExpectation *expected = &p->guard_settings.expected;

    expected->has_slot_lsn = o->slot_lsn != NULL;
    if (o->slot_lsn && !lsn_parse(o->slot_lsn, &expected->slot_lsn))
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
    requests_init(&p->requests, &p->requests_settings);
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
    requests_close(&p->requests);
    wal_reader_close(&p->reader);
    guard_close(&p->guard);
    schema_topic_close(p->schemas);
    producer_close(p->producer);
    flow_fini(&p->flow);
    free(p);
}

/* ---- what Postgres says ---- */

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
    requests_stop(&p->requests);
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

/* Asking for snapshots is of use where snapshots are made. */
static bool takes_requests(const Pipeline *p)
{
    return p->reader.state == WAL_READER_STREAMING && !p->stopping && p->snapshot_settings.workers > 0;
}

static void step_requests(Pipeline *p, short revents)
{
    if (takes_requests(p) && requests_step(&p->requests, schema_topic_requests_name(p->schemas),
                                           producer_wake_end(p->producer), revents, p->now_ms))
        snapshots_wake(&p->snapshots);
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
    prepare_fd(&fds[FD_REQUESTS], requests_fd(&p->requests), requests_events(&p->requests));
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
    if (takes_requests(p) && requests_due_ms(&p->requests) < until)
        until = requests_due_ms(&p->requests);
    if ((p->flow.has_chunk || p->stopping || p->reader.state != WAL_READER_STREAMING) &&
        now + BLOCKED_WAIT_MS < until)
        until = now + BLOCKED_WAIT_MS;
    if ((p->flow.has_chunk || !schema_topic_is_ready(p->schemas)) && schema_topic_due_ms(p->schemas) < until)
        until = schema_topic_due_ms(p->schemas);
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
    p->more_to_do = producer_poll(p->producer, take_producer_event, p, EVENTS_PER_TURN);
    if (fds[FD_REPORT].revents & (POLLERR | POLLHUP | POLLNVAL))
        ok = failure_set(&p->failure, "the supervisor is gone");
    ok = ok && p->failure.text[0] == '\0';
    ok = is_of(p, ok, WH_ERROR_KAFKA);
    ok = ok && is_of(p, schema_topic_step(p->schemas, p->now_ms, &p->failure), WH_ERROR_KAFKA);
    if (ok) {
        step_snapshots(p, &fds[FD_SNAPSHOTS]);
        step_requests(p, fds[FD_REQUESTS].revents);
    }
    ok = ok && is_of(p, step_reader(p, fds[FD_POSTGRES].revents), WH_ERROR_POSTGRES);
    /* A chunk that stays in the flow is what could not be passed on, unless its connection went. */
    if (p->failure_kind == WH_ERROR_POSTGRES && p->flow.has_chunk && !p->reader.hung_up)
        p->failure_kind = WH_ERROR_EVENT;
    ok = ok && is_of(p, step_guard(p, fds[FD_GUARD].revents), WH_ERROR_SLOT);
    ok = ok && is_of(p, flow_send_dead_letters(&p->flow, &p->failure), WH_ERROR_KAFKA);
    find_stall(p);
    ok = ok && is_of(p, give_lease(p), WH_ERROR_KAFKA);
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
    requests_stop(&p->requests);
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
