/*
 * offsets.c - how far each partition is loaded; see offsets.h.
 */
#include "agent/offsets.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define WRITE_EVERY_MS 1000

void offsets_init(Offsets *offsets, int64_t rewind_ms)
{
    *offsets = (Offsets){.rewind_ms = rewind_ms};
}

void offsets_fini(Offsets *offsets)
{
    for (size_t i = 0; i < offsets->count; i++)
        free(offsets->places[i].topic);
    free(offsets->places);
    *offsets = (Offsets){0};
}

/* ---- where to begin ---- */

static bool same_start(const Server *a, const Server *b)
{
    return strcmp(a->name, b->name) == 0 && a->started - b->started <= SERVER_CLOCK_SLOP &&
           b->started - a->started <= SERVER_CLOCK_SLOP;
}

static bool is_of_another_topic(const PartitionStart *start, const OffsetRow *row)
{
    return row->topic_id[0] && start->topic_id[0] && strcmp(row->topic_id, start->topic_id) != 0;
}

void offsets_start(PartitionStart *start, const OffsetRow *row, const Server *now)
{
    int64_t stored;

    start->remade = row && is_of_another_topic(start, row);
    if (start->remade) {
        /* Both are offsets of the topic that is gone. */
        start->start = 0;
    } else if (row) {
        stored = same_start(&row->server, now) ? row->offset : row->safe;
        start->start = start->committed >= 0 && start->committed < stored ? start->committed : stored;
    } else if (start->committed < 0) {
        start->start = start->log_start;
    } else {
        /* The warehouse had a row when this was committed: it is another one, or has lost much. */
        start->start = start->marked ? 0 : start->committed;
    }
}

/* ---- places ---- */

Place *offsets_find(Offsets *offsets, const char *topic, int32_t partition)
{
    for (size_t i = 0; i < offsets->count; i++)
        if (offsets->places[i].partition == partition && strcmp(offsets->places[i].topic, topic) == 0)
            return &offsets->places[i];
    return NULL;
}

static Place *new_place(Offsets *offsets, const char *topic)
{
    char *copy = strdup(topic);

    if (offsets->count == offsets->capacity) {
        size_t capacity = offsets->capacity ? 2 * offsets->capacity : 16;
        Place *grown = realloc(offsets->places, capacity * sizeof *grown);

        if (grown) {
            offsets->places = grown;
            offsets->capacity = capacity;
        }
    }
    if (copy == NULL || offsets->count == offsets->capacity) {
        free(copy);
        return NULL;
    }
    offsets->places[offsets->count].topic = copy;
    return &offsets->places[offsets->count++];
}

bool offsets_add(Offsets *offsets, const PartitionStart *start, const OffsetRow *row, int64_t now_ms)
{
    Place *place;
    char *topic;

    offsets_remove(offsets, start->topic, start->partition);
    place = new_place(offsets, start->topic);
    if (place == NULL)
        return false;
    topic = place->topic;
    *place = (Place){
        .topic = topic, .partition = start->partition, .loaded = start->start, .noted = -1, .sent = -1};
    memcpy(place->topic_id, start->topic_id, sizeof place->topic_id);
    place->base = row && !start->remade && row->safe < start->start ? row->safe : start->start;
    place->changed_ms = now_ms;
    /* A row of another start of the server is written anew, even where it says the same. */
    if (row && !start->remade && offsets->server_count > 0 &&
        same_start(&row->server, &offsets->servers[0])) {
        place->noted = row->offset;
        place->noted_safe = row->safe;
    }
    return true;
}

void offsets_remove(Offsets *offsets, const char *topic, int32_t partition)
{
    Place *place = offsets_find(offsets, topic, partition);

    if (place == NULL)
        return;
    free(place->topic);
    *place = offsets->places[--offsets->count];
}

/* ---- the past ---- */

static void remember(Place *place, int64_t keep_ms, int64_t now_ms)
{
    size_t old = 0;

    while (old < place->past_count && place->past[old].at_ms <= now_ms - keep_ms)
        place->base = place->past[old++].offset;
    place->past_count -= old;
    memmove(place->past, place->past + old, place->past_count * sizeof *place->past);
    /* Between two of them the older one holds: it is never too far. */
    if (place->past_count > 0 &&
        (now_ms - place->past[place->past_count - 1].at_ms < keep_ms / (OFFSETS_PAST - 2) ||
         place->past_count == OFFSETS_PAST))
        return;
    place->past[place->past_count++] = (PastOffset){now_ms, place->loaded};
}

void offsets_loaded(Offsets *offsets, const char *topic, int32_t partition, int64_t next, int64_t now_ms)
{
    Place *place = offsets_find(offsets, topic, partition);

    if (place == NULL || next <= place->loaded)
        return;
    place->loaded = next;
    place->changed_ms = now_ms;
    remember(place, offsets->rewind_ms + OFFSETS_SPARE_MS, now_ms);
}

void offsets_set(Place *place, int64_t offset, int64_t now_ms)
{
    place->loaded = place->base = offset;
    place->past_count = 0;
    place->changed_ms = now_ms;
    place->noted = -1;
}

int64_t offsets_safe(const Place *place, int64_t at_ms)
{
    if (place->changed_ms <= at_ms)
        return place->loaded;
    for (size_t i = place->past_count; i-- > 0;)
        if (place->past[i].at_ms <= at_ms)
            return place->past[i].offset;
    return place->base;
}

/* ---- what the warehouse knows ---- */

static bool is_dirty(const Offsets *offsets, const Place *place, int64_t now_ms)
{
    return place->noted != place->loaded ||
           (place->noted_safe != place->loaded &&
            offsets_safe(place, now_ms - offsets->rewind_ms) == place->loaded);
}

bool offsets_are_due(const Offsets *offsets, int64_t now_ms, bool hurry)
{
    for (size_t i = 0; i < offsets->count; i++)
        if (offsets->places[i].noted < 0 ||
            ((hurry || now_ms >= offsets->write_at_ms) && is_dirty(offsets, &offsets->places[i], now_ms)))
            return true;
    return false;
}

void offsets_statement(Offsets *offsets, Text *text, const char *group, int64_t now_ms)
{
    const Server *server = &offsets->servers[0];
    const char *comma = "";

    text_appendf(text,
                 "INSERT INTO `_walhouse_offsets` (`group`, topic, topic_id, partition, offset, safe_offset, "
                 "server, started) VALUES ");
    for (size_t i = 0; i < offsets->count; i++) {
        Place *place = &offsets->places[i];

        place->sent = -1;
        if (!is_dirty(offsets, place, now_ms))
            continue;
        place->sent = place->loaded;
        place->sent_safe = offsets_safe(place, now_ms - offsets->rewind_ms);
        text_appendf(text, "%s(", comma);
        text_append_literal(text, group, strlen(group));
        text_append(text, ", ", 2);
        text_append_literal(text, place->topic, strlen(place->topic));
        text_appendf(text, ", '%s', %" PRId32 ", %" PRId64 ", %" PRId64 ", ", place->topic_id,
                     place->partition, place->sent, place->sent_safe);
        text_append_literal(text, server->name, strlen(server->name));
        text_appendf(text, ", %" PRId64 ")", server->started);
        comma = ", ";
    }
    offsets->write_at_ms = now_ms + WRITE_EVERY_MS;
}

void offsets_noted(Offsets *offsets)
{
    for (size_t i = 0; i < offsets->count; i++) {
        Place *place = &offsets->places[i];

        if (place->sent < 0)
            continue;
        place->noted = place->sent;
        place->noted_safe = place->sent_safe;
        place->sent = -1;
    }
}

/* ---- servers ---- */

int64_t offsets_see_server(Offsets *offsets, const Server *server)
{
    size_t at = 0;
    int64_t seen_ms = -1;

    while (at < offsets->server_count && strcmp(offsets->servers[at].name, server->name) != 0)
        at++;
    if (at < offsets->server_count) {
        if (!same_start(&offsets->servers[at], server))
            seen_ms = offsets->servers[at].seen_ms;
    } else if (at < OFFSETS_SERVERS) {
        offsets->server_count++;
    } else {
        at--; /* the one that has been silent for the longest gives its place away */
    }
    memmove(offsets->servers + 1, offsets->servers, at * sizeof *offsets->servers);
    offsets->servers[0] = *server;
    return seen_ms;
}
