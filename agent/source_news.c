/*
 * source_news.c - what the publisher last said of itself; see source_news.h.
 *
 *      control topic --> heartbeat, the newest one ----------> "source" of /api/summary
 *                    \-> snapshot, the newest one of each id -> "snapshots"
 */
#include "agent/source_news.h"

#include <string.h>

#include "lib/lsn.h"

#define EVENT_BYTES_MAX 16384
#define KIND_WITHIN     40 /* the publisher writes the kind first */

bool source_news_init(SourceNews *news)
{
    *news = (SourceNews){.heartbeat = NULL};
    return pthread_mutex_init(&news->lock, NULL) == 0;
}

void source_news_fini(SourceNews *news)
{
    json_decref(news->heartbeat);
    for (size_t i = 0; i < news->snapshot_count; i++)
        json_decref(news->snapshots[i].event);
    (void)pthread_mutex_destroy(&news->lock);
}

/* ---- taking ---- */

/* The place of the snapshot with this id, or else of the oldest where there is no room. */
static SourceSnapshot *place_of(SourceNews *news, int64_t id)
{
    SourceSnapshot *oldest = &news->snapshots[0];

    for (size_t i = 0; i < news->snapshot_count; i++) {
        if (news->snapshots[i].id == id)
            return &news->snapshots[i];
        if (news->snapshots[i].sent_at_us < oldest->sent_at_us)
            oldest = &news->snapshots[i];
    }
    if (news->snapshot_count == SOURCE_SNAPSHOTS_MAX)
        return oldest;
    return &news->snapshots[news->snapshot_count++];
}

static void take_snapshot(SourceNews *news, json_t *event, int64_t sent_at)
{
    int64_t id = (int64_t)json_integer_value(json_object_get(event, "id"));
    SourceSnapshot *place = place_of(news, id);

    if (sent_at < place->sent_at_us)
        return;
    json_decref(place->event);
    *place = (SourceSnapshot){.id = id, .sent_at_us = sent_at, .event = json_incref(event)};
}

static void take_heartbeat(SourceNews *news, json_t *event, int64_t sent_at)
{
    if (sent_at < news->heartbeat_at_us)
        return;
    json_decref(news->heartbeat);
    news->heartbeat = json_incref(event);
    news->heartbeat_at_us = sent_at;
}

/* Statistics are large and somebody else's: they are not parsed here. */
static bool is_for_us(const char *event, size_t size)
{
    size_t head = size < KIND_WITHIN ? size : KIND_WITHIN;

    return size <= EVENT_BYTES_MAX && (memmem(event, head, "\"heartbeat\"", 11) != NULL ||
                                       memmem(event, head, "\"snapshot\"", 10) != NULL);
}

void source_news_take(SourceNews *news, const void *event, size_t size)
{
    json_t *json = is_for_us(event, size) ? json_loadb(event, size, 0, NULL) : NULL;
    const char *kind = json_string_value(json_object_get(json, "kind"));
    int64_t sent_at = (int64_t)json_integer_value(json_object_get(json, "sent_at"));

    if (kind && sent_at > 0) {
        (void)pthread_mutex_lock(&news->lock);
        if (strcmp(kind, "heartbeat") == 0)
            take_heartbeat(news, json, sent_at);
        else if (strcmp(kind, "snapshot") == 0)
            take_snapshot(news, json, sent_at);
        (void)pthread_mutex_unlock(&news->lock);
    }
    json_decref(json);
}

/* ---- telling ---- */

static json_t *text_or_null(const json_t *event, const char *name)
{
    json_t *value = json_object_get(event, name);

    return json_is_string(value) ? json_incref(value) : json_null();
}

static json_t *number_or_null(const json_t *event, const char *name)
{
    json_t *value = json_object_get(event, name);

    return json_is_integer(value) ? json_incref(value) : json_null();
}

static bool read_lsn(const json_t *event, const char *name, uint64_t *lsn)
{
    const char *text = json_string_value(json_object_get(event, name));

    return text && lsn_parse(text, lsn) && *lsn != 0; /* a publisher that has just begun knows none */
}

static json_t *lsn_or_null(const json_t *event, const char *name)
{
    uint64_t lsn;

    return read_lsn(event, name, &lsn) ? text_or_null(event, name) : json_null();
}

static json_t *lag_bytes(const json_t *heartbeat)
{
    uint64_t acked, server;

    if (!read_lsn(heartbeat, "lsn", &acked) || !read_lsn(heartbeat, "server_lsn", &server))
        return json_null();
    return json_integer(server > acked ? (json_int_t)(server - acked) : 0);
}

json_t *source_news_source(SourceNews *news)
{
    json_t *source;

    (void)pthread_mutex_lock(&news->lock);
    source = news->heartbeat == NULL ? json_null()
                                     : json_pack("{s:o, s:o, s:o, s:o, s:o, s:I}", "pipeline",
                                                 text_or_null(news->heartbeat, "pipeline"), "lsn",
                                                 lsn_or_null(news->heartbeat, "lsn"), "server_lsn",
                                                 lsn_or_null(news->heartbeat, "server_lsn"), "lag_bytes",
                                                 lag_bytes(news->heartbeat), "retained_wal_bytes",
                                                 number_or_null(news->heartbeat, "retained_wal_bytes"),
                                                 "sent_at_ms", (json_int_t)(news->heartbeat_at_us / 1000));
    (void)pthread_mutex_unlock(&news->lock);
    return source;
}

/* Into a list that is ordered by time, the newest first. */
static void insert_snapshot(json_t *list, const SourceSnapshot *snapshot)
{
    const json_t *event = snapshot->event;
    json_int_t sent_at_ms = (json_int_t)(snapshot->sent_at_us / 1000);
    size_t at = 0;

    while (at < json_array_size(list) &&
           json_integer_value(json_object_get(json_array_get(list, at), "sent_at_ms")) >= sent_at_ms)
        at++;
    (void)json_array_insert_new(
        list, at,
        json_pack("{s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I}", "id", (json_int_t)snapshot->id, "schema",
                  text_or_null(event, "schema"), "table", text_or_null(event, "table"), "reason",
                  text_or_null(event, "reason"), "state", text_or_null(event, "state"), "rows_done",
                  number_or_null(event, "rows_done"), "estimated_rows",
                  number_or_null(event, "estimated_rows"), "error", text_or_null(event, "error"),
                  "sent_at_ms", sent_at_ms));
}

json_t *source_news_snapshots(SourceNews *news)
{
    json_t *list = json_array();

    (void)pthread_mutex_lock(&news->lock);
    for (size_t i = 0; i < news->snapshot_count; i++)
        insert_snapshot(list, &news->snapshots[i]);
    (void)pthread_mutex_unlock(&news->lock);
    return list;
}
