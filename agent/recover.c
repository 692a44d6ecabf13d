/*
 * recover.c - where partitions begin, and what the warehouse knows; see recover.h. Gaps are recover_gaps.c's.
 */
#include "agent/recover.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "agent/clickhouse.h"
#include "agent/recover_internal.h"
#include "lib/clock.h"
#include "lib/log.h"

#define ASK_TIMEOUT_S  5
#define WATCH_EVERY_MS 5000 /* the warehouse, while it may still lose something */

/* ---- what the warehouse says ---- */

typedef struct Answer {
    json_t *lines; /* an array of rows; the rows' topics borrow from it */
    OffsetRow *rows;
    size_t count;
    Server server;
} Answer;

static void answer_free(Answer *answer)
{
    free(answer->rows);
    json_decref(answer->lines);
}

static bool read_row(json_t *line, OffsetRow *row)
{
    const char *topic_id;
    const char *server;
    json_int_t partition, offset, safe, started;

    if (json_unpack(line, "[s, s, I, I, I, s, I]", &row->topic, &topic_id, &partition, &offset, &safe,
                    &server, &started) != 0)
        return false;
    row->partition = (int32_t)partition;
    row->offset = offset;
    row->safe = safe;
    row->server.started = started;
    (void)snprintf(row->topic_id, sizeof row->topic_id, "%s", topic_id);
    (void)snprintf(row->server.name, sizeof row->server.name, "%s", server);
    return true;
}

static Status parse_rows(const char *body, size_t size, Answer *answer, Error *error)
{
    json_t *rows;

    answer->lines = json_loadb(body, size, 0, NULL);
    rows = json_array_get(answer->lines, 0);
    answer->rows = calloc(json_array_size(rows) + 1, sizeof *answer->rows);
    if (answer->lines == NULL || answer->rows == NULL)
        return status_fail(error, STATUS_RETRY,
                           "out of memory, or ClickHouse's answer about offsets is no JSON");
    for (size_t i = 0; i < json_array_size(rows); i++)
        if (!read_row(json_array_get(rows, i), &answer->rows[answer->count++]))
            return status_fail(error, STATUS_RETRY, "ClickHouse's answer about offsets has another shape");
    return STATUS_OK;
}

static Status ask_rows(Recovery *r, Answer *answer, Error *error)
{
    Text sql = {0};
    const char *body;
    size_t size;
    Status status;
    int code;

    text_appendf(&sql,
                 "SELECT groupArray((topic, topic_id, partition, offset, safe_offset, server, started)) "
                 "FROM (SELECT * FROM `_walhouse_offsets` FINAL WHERE `group` = ");
    text_append_literal(&sql, r->group, strlen(r->group));
    text_appendf(&sql, ") FORMAT JSONCompactEachRow");
    status = sql.failed ? status_fail(error, STATUS_RETRY, "out of memory")
                        : clickhouse_query(r->client, NULL, sql.data, &body, &size, error);
    text_free(&sql);
    if (status == STATUS_OK)
        return parse_rows(body, size, answer, error);
    code = clickhouse_exception_code(r->client);
    return code == CLICKHOUSE_UNKNOWN_TABLE || code == CLICKHOUSE_UNKNOWN_DATABASE ? STATUS_OK : STATUS_RETRY;
}

static Status ask_server(Recovery *r, Server *server, Error *error)
{
    const char *body;
    size_t size;
    Status status;

    server->seen_ms = clock_ms();
    status = clickhouse_query(r->client, "", server_question, &body, &size, error);
    if (status == STATUS_OK)
        status = server_read(body, size, server, error);
    return status == STATUS_OK ? STATUS_OK : STATUS_RETRY;
}

static Status ask_warehouse(Recovery *r, Answer *answer, Error *error)
{
    Status status = ask_rows(r, answer, error);

    return status == STATUS_OK ? ask_server(r, &answer->server, error) : status;
}

const char *const server_question =
    "SELECT hostName(), toInt64(toUnixTimestamp(now())) - toInt64(uptime()) FORMAT JSONCompactEachRow";

Status server_read(const char *body, size_t size, Server *server, Error *error)
{
    json_t *line = json_loadb(body, size, 0, NULL);
    const char *name;
    json_int_t started;
    bool ok = line && json_unpack(line, "[s, I]", &name, &started) == 0;

    if (ok) {
        (void)snprintf(server->name, sizeof server->name, "%s", name);
        server->started = started;
    }
    json_decref(line);
    return ok ? STATUS_OK
              : status_fail(error, STATUS_RETRY, "ClickHouse's answer about its start has another shape");
}

static const OffsetRow *find_row(const Answer *answer, const PartitionStart *start)
{
    for (size_t i = 0; i < answer->count; i++)
        if (answer->rows[i].partition == start->partition && strcmp(answer->rows[i].topic, start->topic) == 0)
            return &answer->rows[i];
    return NULL;
}

/* ---- places ---- */

static void note_server(Recovery *r, const Server *server)
{
    int64_t seen_ms = offsets_see_server(&r->offsets, server);

    if (seen_ms < 0)
        return;
    if (!r->wants_rewind || seen_ms < r->seen_ms)
        r->seen_ms = seen_ms;
    r->wants_rewind = true;
    atomic_fetch_add(&r->metrics->warehouse_restarts, 1);
    log_warning(
        "ClickHouse on %s has started again: what it was given in its last seconds may be gone, and is "
        "read and loaded again",
        server->name);
}

/* Decides where a partition begins, as far as both sides have answered. */
static void decide(Recovery *r, const Answer *answer, PartitionStart *start)
{
    const OffsetRow *row = find_row(answer, start);

    offsets_start(start, row, &answer->server);
    if (start->remade && !recovery_note_gap(r, start->topic, start->partition, row->offset, true))
        start->start = -1;
    if (start->start >= 0 && !start->remade && !offsets_add(&r->offsets, start, row, clock_ms()))
        start->start = -1;
    if (start->remade)
        start->start = -1; /* until the snapshot is asked for */
    else if (start->start >= 0 && start->start != start->committed)
        log_info("%s [%d] begins at %lld (the group has %lld, the warehouse %lld)", start->topic,
                 (int)start->partition, (long long)start->start, (long long)start->committed,
                 row ? (long long)row->offset : -1LL);
}

static void place_all(Recovery *r, PartitionStart *starts, size_t count)
{
    Answer answer = {0};
    Error error;
    Status status = ask_warehouse(r, &answer, &error);

    if (status == STATUS_OK)
        note_server(r, &answer.server);
    else
        log_warning("where to begin is not known until ClickHouse answers: %s", error.text);
    for (size_t i = 0; i < count; i++)
        if (status == STATUS_OK && starts[i].known)
            decide(r, &answer, &starts[i]);
    answer_free(&answer);
}

void recovery_assigned(Recovery *r, PartitionStart *starts, size_t count)
{
    place_all(r, starts, count);
    for (size_t i = 0; i < count; i++) {
        bool ok = starts[i].start >= 0 || starts[i].remade ||
                  recovery_wait(r, starts[i].topic, starts[i].partition);

        if (!ok)
            log_error("out of memory: %s [%d] is read after the next rebalance", starts[i].topic,
                      (int)starts[i].partition);
    }
}

void recovery_unassigned(Recovery *r, const char *topic, int32_t partition)
{
    offsets_remove(&r->offsets, topic, partition);
    recovery_forget(r, topic, partition);
}

/* Partitions that were assigned while Kafka or the warehouse did not answer. */
static void place_waiting(Recovery *r, Consumer *consumer, int64_t now_ms)
{
    size_t count = 0;
    PartitionStart *starts = calloc(r->waiting_count + 1, sizeof *starts);
    Error error;

    for (size_t i = 0; starts && i < r->waiting_count; i++)
        if (!r->waiting[i].gap)
            starts[count++] = (PartitionStart){
                .topic = r->waiting[i].topic, .partition = r->waiting[i].partition, .start = -1};
    if (count > 0 && now_ms >= r->retry_at_ms) {
        r->retry_at_ms = now_ms + RECOVERY_RETRY_MS;
        if (consumer_ask_starts(consumer, starts, count, &error) != STATUS_OK)
            log_warning("%s", error.text);
        place_all(r, starts, count);
        for (size_t i = 0; i < count; i++) {
            PartitionOffset place = {starts[i].topic, starts[i].partition, starts[i].start};

            if (starts[i].start < 0 || !consumer_place(consumer, &place, 1))
                continue;
            recovery_forget(r, starts[i].topic, starts[i].partition);
        }
    }
    free(starts);
}

void recovery_pause_again(const Recovery *r, Consumer *consumer)
{
    for (size_t i = 0; i < r->waiting_count; i++)
        if (!r->waiting[i].gap)
            consumer_pause(consumer, r->waiting[i].topic, r->waiting[i].partition, CONSUMER_BEGINNING);
}

void recovery_tick(Recovery *r, Consumer *consumer, const Batch *batches, int64_t now_ms)
{
    if (r->waiting_count == 0 && r->open_count == 0)
        return;
    place_waiting(r, consumer, now_ms);
    recovery_fill_gaps(r, consumer, batches, now_ms);
    recovery_watch_gaps(r, now_ms);
}

/* ---- what the warehouse is to know ---- */

static bool is_at_risk(const Recovery *r, int64_t now_ms)
{
    for (size_t i = 0; i < r->offsets.count; i++)
        if (offsets_safe(&r->offsets.places[i], now_ms - r->offsets.rewind_ms) < r->offsets.places[i].loaded)
            return true;
    return false;
}

bool recovery_is_due(const Recovery *r, int64_t now_ms, bool hurry)
{
    return offsets_are_due(&r->offsets, now_ms, hurry) ||
           (!hurry && now_ms >= r->watch_at_ms && is_at_risk(r, now_ms));
}

void recovery_give(Recovery *r, Batch *batch, int64_t now_ms)
{
    r->watch_at_ms = now_ms + WATCH_EVERY_MS;
    if (offsets_are_due(&r->offsets, now_ms, batch->message_count == 0))
        offsets_statement(&r->offsets, &batch->offsets_sql, r->group, now_ms);
}

bool recovery_take(Recovery *r, const Batch *batch)
{
    if (batch->server_asked)
        note_server(r, &batch->server);
    if (r->wants_rewind)
        return false;
    if (batch->loaded && batch->offsets_sql.size > 0)
        offsets_noted(&r->offsets);
    return true;
}

void recovery_loaded(Recovery *r, const PartitionOffset *offset, int64_t now_ms)
{
    offsets_loaded(&r->offsets, offset->topic, offset->partition, offset->offset, now_ms);
}

/* ---- back ---- */

bool recovery_wants_rewind(const Recovery *r)
{
    return r->wants_rewind;
}

bool recovery_rewind(Recovery *r, Consumer *consumer, int64_t now_ms)
{
    Offsets *offsets = &r->offsets;
    PartitionOffset *places = calloc(offsets->count + 1, sizeof *places);
    int64_t messages = 0;
    bool ok;

    for (size_t i = 0; places && i < offsets->count; i++) {
        const Place *place = &offsets->places[i];

        places[i] = (PartitionOffset){place->topic, place->partition,
                                      offsets_safe(place, r->seen_ms - offsets->rewind_ms)};
        messages += place->loaded - places[i].offset;
    }
    ok = places && consumer_place(consumer, places, offsets->count);
    for (size_t i = 0; ok && i < offsets->count; i++)
        offsets_set(&offsets->places[i], places[i].offset, now_ms);
    if (ok) {
        r->wants_rewind = false;
        atomic_fetch_add(&r->metrics->rewound_messages, messages);
        log_warning("%lld messages are read again", (long long)messages);
    }
    free(places);
    return ok;
}

/* ---- life ---- */

Recovery *recovery_open(const Config *config, Metrics *metrics, Registry *registry, Error *error)
{
    Recovery *r = calloc(1, sizeof *r);

    if (r == NULL) {
        (void)status_fail(error, STATUS_FATAL, "out of memory");
        return NULL;
    }
    r->metrics = metrics;
    r->registry = registry;
    r->config = *config;
    if (r->config.clickhouse_timeout_s > ASK_TIMEOUT_S)
        r->config.clickhouse_timeout_s = ASK_TIMEOUT_S;
    config_group(config, r->group, sizeof r->group);
    offsets_init(&r->offsets, config->clickhouse_rewind_s * 1000);
    r->client = clickhouse_open(&r->config, error);
    r->requests = r->client ? requests_open(config, error) : NULL;
    if (r->requests == NULL) {
        recovery_close(r);
        return NULL;
    }
    return r;
}

void recovery_close(Recovery *r)
{
    if (r == NULL)
        return;
    recovery_forget_all(r);
    offsets_fini(&r->offsets);
    requests_close(r->requests);
    clickhouse_close(r->client);
    free(r);
}
