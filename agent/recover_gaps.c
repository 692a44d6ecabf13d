/*
 * recover_gaps.c - what was to be read is not in Kafka any more: retention or somebody deleted it, or the
 * topic was made anew. See recover.h.
 *
 *      lost place --> what was read before is loaded --> table shown as filling --> snapshot asked for,
 *      acknowledged --> read on from the earliest there is --> the snapshot's sweep --> no longer shown
 *
 * What was lost had been in Kafka before the request is, so the snapshot, which is of a later moment, holds
 * what it led to.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/recover_internal.h"
#include "agent/text.h"
#include "agent/truncate.h"
#include "lib/clock.h"
#include "lib/log.h"

#define GAP_CODE      "gap"
#define LOOK_EVERY_MS 2000
#define ASK_AGAIN_MS  30000

static const char way_out[] =
    "a snapshot is asked for, and fills the table again; see walhouse.snapshot_status";

/* ---- waiting ---- */

static Waiting *find_waiting(Recovery *r, const char *topic, int32_t partition)
{
    for (size_t i = 0; i < r->waiting_count; i++)
        if (r->waiting[i].partition == partition && strcmp(r->waiting[i].topic, topic) == 0)
            return &r->waiting[i];
    return NULL;
}

static Waiting *claim_waiting(Recovery *r, const char *topic, int32_t partition)
{
    Waiting *waiting = find_waiting(r, topic, partition);
    Waiting *grown;
    char *copy;

    if (waiting)
        return waiting;
    grown = realloc(r->waiting, (r->waiting_count + 1) * sizeof *grown);
    if (grown)
        r->waiting = grown;
    copy = grown ? strdup(topic) : NULL;
    if (copy == NULL)
        return NULL;
    r->waiting[r->waiting_count] = (Waiting){.topic = copy, .partition = partition};
    return &r->waiting[r->waiting_count++];
}

bool recovery_wait(Recovery *r, const char *topic, int32_t partition)
{
    return claim_waiting(r, topic, partition) != NULL;
}

bool recovery_note_gap(Recovery *r, const char *topic, int32_t partition, int64_t from, bool remade)
{
    Waiting *waiting = claim_waiting(r, topic, partition);

    if (waiting == NULL)
        return false;
    waiting->gap = true;
    waiting->from = from;
    waiting->remade = remade;
    return true;
}

void recovery_lost_place(Recovery *r, const char *topic, int32_t partition)
{
    log_warning("%s [%d]: what was to be read next is not in Kafka any more", topic, (int)partition);
    if (!recovery_note_gap(r, topic, partition, -1, false))
        log_error("out of memory: %s [%d] is read on after the next rebalance", topic, (int)partition);
}

void recovery_forget(Recovery *r, const char *topic, int32_t partition)
{
    Waiting *waiting = find_waiting(r, topic, partition);

    if (waiting == NULL)
        return;
    free(waiting->topic);
    *waiting = r->waiting[--r->waiting_count];
}

static void close_gap(Recovery *r, OpenGap *gap)
{
    free(gap->topic);
    free(gap->view_name);
    *gap = r->open[--r->open_count];
}

void recovery_forget_all(Recovery *r)
{
    while (r->waiting_count > 0)
        recovery_forget(r, r->waiting[0].topic, r->waiting[0].partition);
    while (r->open_count > 0)
        close_gap(r, &r->open[0]);
    free(r->waiting);
    free(r->open);
}

/* ---- one partition ---- */

/* A gap of a partition, when Kafka was asked what it has. */
typedef struct Gap {
    Waiting *waiting;
    PartitionStart start; /* start.start: from where it goes on */
    int64_t from;
    int64_t end;
    bool is_gap; /* it only looked so otherwise */
} Gap;

static bool is_in_batch(const Batch *batch, const Waiting *waiting)
{
    for (size_t i = 0; i < batch->partition_count; i++)
        if (batch->partitions[i].partition == waiting->partition &&
            strcmp(batch->partitions[i].topic, waiting->topic) == 0)
            return true;
    return false;
}

static Status measure(Recovery *r, Consumer *consumer, Waiting *waiting, Gap *gap, Error *error)
{
    const Place *place = offsets_find(&r->offsets, waiting->topic, waiting->partition);
    int64_t low = 0;
    Status status;

    *gap = (Gap){.waiting = waiting,
                 .start = {.topic = waiting->topic, .partition = waiting->partition},
                 .from = place ? place->loaded : waiting->from};
    status = consumer_ask_starts(consumer, &gap->start, 1, error);
    if (status == STATUS_OK)
        status = consumer_watermarks(consumer, waiting->topic, waiting->partition, &low, &gap->end, error);
    gap->is_gap = waiting->remade || gap->from < low || gap->from > gap->end;
    gap->start.start = gap->is_gap ? low : gap->from;
    return status;
}

static void describe(const Gap *gap, char *text, size_t size)
{
    const char *topic = gap->waiting->topic;
    int partition = (int)gap->waiting->partition;

    if (gap->waiting->remade)
        (void)snprintf(text, size,
                       "topic %.200s was deleted and made anew: what followed offset %" PRId64
                       " of partition %d is lost",
                       topic, gap->from, partition);
    else if (gap->from > gap->end)
        (void)snprintf(text, size,
                       "partition %d of %.200s ends at offset %" PRId64 ", and had been read up to %" PRId64
                       ": what it lost is not known",
                       partition, topic, gap->end, gap->from);
    else
        (void)snprintf(text, size,
                       "offsets %" PRId64 " to %" PRId64 " of %.200s [%d] were gone from Kafka before "
                       "they were read",
                       gap->from, gap->start.start - 1, topic, partition);
}

static bool read_on(Recovery *r, Consumer *consumer, Gap *gap, int64_t now_ms)
{
    PartitionOffset place = {gap->waiting->topic, gap->waiting->partition, gap->start.start};

    if (!consumer_place(consumer, &place, 1) || !offsets_add(&r->offsets, &gap->start, NULL, now_ms))
        return false;
    /* Or a restart would find the gap again. */
    consumer_commit(consumer, &place, 1, false);
    log_info("%s [%d] goes on at %" PRId64, gap->waiting->topic, (int)gap->waiting->partition, place.offset);
    recovery_forget(r, place.topic, place.partition);
    return true;
}

/* ---- one table ---- */

typedef struct Search {
    const char *topic;
    const TableSchema *found;
} Search;

static void compare_topic(void *context, const TableSchema *table)
{
    Search *search = context;

    if (strcmp(table->topic, search->topic) == 0)
        search->found = table;
}

/* The newest of the topic's schemas; NULL: none. */
static const TableSchema *find_table(const Recovery *r, const char *topic)
{
    Search search = {.topic = topic};

    registry_each_table(r->registry, compare_topic, &search);
    return search.found;
}

/* Up to where the table is whole; 0: nowhere. */
static Status ask_floor(Recovery *r, const TableSchema *table, Version *floor, Error *error)
{
    Status status = truncate_whole(r->client, &table->target, floor, error);

    return clickhouse_exception_code(r->client) == CLICKHOUSE_UNKNOWN_TABLE ? STATUS_OK : status;
}

static void open_gap(Recovery *r, const TableSchema *table, Version floor)
{
    OpenGap *grown = NULL;

    for (size_t i = 0; i < r->open_count; i++) {
        if (strcmp(r->open[i].topic, table->topic) != 0)
            continue;
        r->open[i].floor = floor;
        return;
    }
    grown = realloc(r->open, (r->open_count + 1) * sizeof *grown);
    if (grown == NULL)
        return; /* it is shown for longer than it lasts */
    r->open = grown;
    grown[r->open_count] = (OpenGap){strdup(table->topic), strdup(table->target.view_name), floor};
    if (grown[r->open_count].topic && grown[r->open_count].view_name) {
        r->open_count++;
        return;
    }
    free(grown[r->open_count].topic);
    free(grown[r->open_count].view_name);
}

static Status ask_for_snapshot(Recovery *r, const TableSchema *table, const char *reason, Error *error)
{
    Version floor;
    Status status;

    if (table_states_set(&r->metrics->tables, table->target.view_name, TABLE_FILLING, GAP_CODE, reason,
                         way_out))
        log_warning("table %s: %s; a snapshot is asked for", table->target.view_name, reason);
    status = ask_floor(r, table, &floor, error);
    if (status == STATUS_OK)
        status = requests_snapshot(r->requests, table, REQUEST_AFTER_NOW, reason, error);
    if (status == STATUS_OK) {
        open_gap(r, table, floor);
    } else {
        (void)table_states_set(&r->metrics->tables, table->target.view_name, TABLE_STOPPED, GAP_CODE, reason,
                               "the snapshot that fills it could not be asked for yet; see the log");
        log_warning("table %s: a snapshot cannot be asked for yet: %s", table->target.view_name, error->text);
        /* Each try may take long, and nothing is read meanwhile. */
        r->gaps_at_ms = clock_ms() + ASK_AGAIN_MS;
    }
    return status;
}

/* All gaps of one topic that can be measured now, with one request. false: to be done again. */
static bool fill_topic(Recovery *r, Consumer *consumer, Gap *gaps, size_t count, int64_t now_ms)
{
    const TableSchema *table = find_table(r, gaps[0].waiting->topic);
    char reason[TABLE_REASON_BYTES] = "";
    bool ok = true;
    Error error;

    for (size_t i = 0; i < count && reason[0] == '\0'; i++)
        if (gaps[i].is_gap)
            describe(&gaps[i], reason, sizeof reason);
    /* A topic without a table is one of control events: what is lost of them is news of yesterday. */
    if (reason[0] && table && ask_for_snapshot(r, table, reason, &error) != STATUS_OK)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (gaps[i].is_gap && table) {
            int64_t lost = gaps[i].start.start - gaps[i].from;

            atomic_fetch_add(&r->metrics->gaps, 1);
            atomic_fetch_add(&r->metrics->gap_messages, (uint_fast64_t)(lost > 0 ? lost : 0));
        }
    }
    /* The last ones first, as each that goes is replaced by the last one of the list. */
    for (size_t i = count; i-- > 0;)
        ok = read_on(r, consumer, &gaps[i], now_ms) && ok;
    return ok;
}

/* Or one that cannot be filled yet would keep the others waiting. */
static void postpone_first(Recovery *r)
{
    Waiting first = r->waiting[0];

    memmove(r->waiting, r->waiting + 1, (r->waiting_count - 1) * sizeof *r->waiting);
    r->waiting[r->waiting_count - 1] = first;
}

void recovery_fill_gaps(Recovery *r, Consumer *consumer, const Batch *batches, int64_t now_ms)
{
    Gap *gaps = r->waiting_count > 0 ? calloc(r->waiting_count, sizeof *gaps) : NULL;
    size_t count = 0;
    bool ok = true;
    Error error;

    if (gaps == NULL || now_ms < r->gaps_at_ms) {
        free(gaps);
        return;
    }
    for (size_t i = 0; i < r->waiting_count; i++) {
        Waiting *waiting = &r->waiting[i];

        /* What was read before the gap is loaded first. */
        if (!waiting->gap || is_in_batch(&batches[0], waiting) || is_in_batch(&batches[1], waiting) ||
            (count > 0 && strcmp(gaps[0].waiting->topic, waiting->topic) != 0))
            continue;
        if (measure(r, consumer, waiting, &gaps[count], &error) == STATUS_OK)
            count++;
        else
            ok = false;
    }
    if (!ok)
        log_warning("%s", error.text);
    if (count > 0)
        ok = fill_topic(r, consumer, gaps, count, now_ms) && ok;
    if (!ok) {
        if (r->gaps_at_ms <= now_ms)
            r->gaps_at_ms = now_ms + RECOVERY_RETRY_MS;
        postpone_first(r);
    }
    free(gaps);
}

void recovery_watch_gaps(Recovery *r, int64_t now_ms)
{
    Version floor;
    Error error;

    if (r->open_count == 0 || now_ms < r->look_at_ms)
        return;
    r->look_at_ms = now_ms + LOOK_EVERY_MS;
    for (size_t i = r->open_count; i-- > 0;) {
        OpenGap *gap = &r->open[i];
        const TableSchema *table = find_table(r, gap->topic);

        if (table == NULL || ask_floor(r, table, &floor, &error) != STATUS_OK || floor <= gap->floor)
            continue;
        log_info("table %s is whole again", gap->view_name);
        table_states_clear(&r->metrics->tables, gap->view_name, GAP_CODE);
        close_gap(r, gap);
    }
}
