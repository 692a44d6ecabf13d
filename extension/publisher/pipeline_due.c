/*
 * pipeline_due.c - what the publisher owes: to the slot confirmations and before them a record of each in
 * Kafka, to agents leases, to the control topic heartbeats, statistics and news of snapshots, to the
 * supervisor reports.
 */
#include "pipeline_inner.h"

#include <stdio.h>

#include "control.h"
#include "extension/common/lease.h"

#define REPORT_INTERVAL_MS    1000
#define HEARTBEAT_INTERVAL_MS 5000
#define HELD_UP_US            INT64_C(5000000)

bool give_feedback(Pipeline *p)
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

bool give_position(Pipeline *p)
{
    if (p->reader.state != WAL_READER_STREAMING || p->guard.gate.in_flight ||
        (p->now_ms - p->position_ms < POSITION_INTERVAL_MS && !p->stopping))
        return true;
    p->position_ms = p->now_ms;
    return guard_record(&p->guard, progress_confirmed_lsn(&p->flow.progress), p->schemas, p->producer,
                        &p->failure);
}

bool give_lease(Pipeline *p)
{
    Lease *lease = &p->flow.lease;
    uint8_t bytes[WH_LEASE_BYTES];
    char key[128];
    WhWriter w = wh_writer(bytes, sizeof bytes);
    WhLease record = {.epoch = p->flow.epoch};
    ProduceResult result;

    lease_see(lease, p->report.report.server_lsn);
    if (p->reader.state != WAL_READER_STREAMING || p->stopping || !lease_is_due(lease))
        return true;
    record.lsn = lease_next_limit(lease);
    wh_lease_put(&w, &record);
    (void)snprintf(key, sizeof key, WH_LEASE_KEY_PREFIX "%s", p->options->pipeline);
    result = producer_send(p->producer, schema_topic_schemas(p->schemas), 0,
                           (WhSlice){(const uint8_t *)key, strlen(key)}, (WhSlice){w.data, w.length},
                           produce_tag(PRODUCE_TAG_LEASE, 0), &p->failure);
    if (result == PRODUCE_SENT)
        lease_sent(lease);
    return result != PRODUCE_REFUSED;
}

bool give_heartbeat(Pipeline *p)
{
    uint8_t bytes[CONTROL_HEARTBEAT_BYTES_MAX];
    WhWriter w = wh_writer(bytes, sizeof bytes);
    ProduceResult result;

    if (!schema_topic_is_ready(p->schemas) || p->heartbeat_in_flight || p->stopping ||
        (p->now_ms < p->heartbeat_at_ms && !p->kafka_is_away))
        return true;
    control_put_heartbeat(&w, &(ControlHeartbeat){.pipeline = p->options->pipeline,
                                                  .acked_lsn = progress_confirmed_lsn(&p->flow.progress),
                                                  .server_lsn = p->report.report.server_lsn,
                                                  .retained_wal_bytes = p->statistics.retained_wal_bytes,
                                                  .sent_at_us = clock_wall_us()});
    if (w.full)
        return failure_set(&p->failure, "the pipeline's name is too long");
    result = producer_send(p->producer, schema_topic_control(p->schemas), 0, (WhSlice){0},
                           (WhSlice){w.data, w.length}, produce_tag(PRODUCE_TAG_CONTROL, CONTROL_HEARTBEAT),
                           &p->failure);
    p->heartbeat_in_flight = result == PRODUCE_SENT;
    p->heartbeat_at_ms = p->now_ms + HEARTBEAT_INTERVAL_MS;
    return result != PRODUCE_REFUSED;
}

bool give_statistics(Pipeline *p, short revents)
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

bool give_snapshot_news(Pipeline *p)
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

/* Kafka answers, and what it remembers of this pipeline still cannot be read: some rights are missing,
 * perhaps. */
static bool is_held_up(const Pipeline *p)
{
    const WhPublisherReport *r = &p->report.report;

    return p->reader.state == WAL_READER_READY && p->guard.trouble &&
           (r->state == WH_PUBLISHER_WAITING_FOR_KAFKA || clock_wall_us() - r->state_since_us > HELD_UP_US);
}

static void update_state(Pipeline *p)
{
    char text[256];
    WhPublisherState state = WH_PUBLISHER_STREAMING;
    const char *message = NULL;

    if (p->guard.state == GUARD_ACTING) {
        state = WH_PUBLISHER_RESYNCING;
        message = p->guard.reason.text;
    } else if (p->kafka_is_away && p->reader.state >= WAL_READER_READY) {
        state = WH_PUBLISHER_WAITING_FOR_KAFKA;
        message = p->kafka_reason;
    } else if (is_held_up(p)) {
        state = WH_PUBLISHER_WAITING_FOR_KAFKA;
        (void)snprintf(text, sizeof text, "topic \"%s.__position\" cannot be read: %s",
                       p->options->topic_prefix, p->guard.trouble);
        message = text;
    } else if (p->reader.state != WAL_READER_STREAMING) {
        state = WH_PUBLISHER_CONNECTING;
        message = p->reader.state == WAL_READER_WAITING_FOR_SLOT
                      ? "waiting for the slot's last reader to let go of it"
                      : NULL;
    }
    p->report.report.error_kind = p->guard.state == GUARD_ACTING            ? WH_ERROR_SLOT
                                  : state == WH_PUBLISHER_WAITING_FOR_KAFKA ? WH_ERROR_KAFKA
                                                                            : WH_ERROR_POSTGRES;
    if (state == WH_PUBLISHER_STREAMING) {
        /* Told in one report, gone from the next. */
        message = dead_letters_news(&p->flow.dead_letters);
        p->report.report.error_kind = WH_ERROR_EVENT;
    }
    report_writer_set_state(&p->report, state, message);
}

static bool send_table(void *context, const WhTableReport *report)
{
    return report_writer_send_table(context, report);
}

bool give_report(Pipeline *p)
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
