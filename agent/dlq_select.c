/*
 * dlq_select.c - reads the dead-letter topic and its mirror; see dlq_select.h.
 */
#include "agent/dlq_select.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "agent/dlq_mirror.h"
#include "agent/topic_scan.h"

/* ClickHouse's exception codes (src/Common/ErrorCodes.cpp). */
#define UNKNOWN_IDENTIFIER 47

/* ---- letters ---- */

typedef struct Reading {
    DlqSelection *selection;
    const DlqOptions *options;
    Registry *registry;
    Text key; /* scratch */
} Reading;

/* Copies the slice to *at, and moves that on. */
static void own(WhSlice *slice, uint8_t **at)
{
    if (slice->data == NULL)
        return;
    memcpy(*at, slice->data, slice->size);
    slice->data = *at;
    *at += slice->size;
}

static bool own_all(DlqEntry *entry)
{
    WhSlice *slices[] = {&entry->letter.reason,     &entry->letter.error,
                         &entry->letter.topic,      &entry->letter.agent,
                         &entry->letter.version,    &entry->letter.fingerprint,
                         &entry->letter.commit_lsn, &entry->letter.message_lsn,
                         &entry->letter.originals,  &entry->letter.key,
                         &entry->key_text};
    size_t size = 0;
    uint8_t *at;

    for (size_t i = 0; i < sizeof slices / sizeof slices[0]; i++)
        size += slices[i]->size;
    at = entry->bytes = malloc(size + 1);
    for (size_t i = 0; at && i < sizeof slices / sizeof slices[0]; i++)
        own(slices[i], &at);
    return entry->bytes != NULL;
}

static bool add_entry(DlqSelection *selection, DlqEntry entry)
{
    if (selection->count == selection->capacity) {
        size_t capacity = selection->capacity ? selection->capacity * 2 : 64;
        DlqEntry *grown = realloc(selection->entries, capacity * sizeof *grown);

        if (grown == NULL)
            return false;
        selection->entries = grown;
        selection->capacity = capacity;
    }
    if (!own_all(&entry))
        return false;
    selection->entries[selection->count++] = entry;
    return true;
}

static Status take_letter(void *context, const MessageView *message, Error *error)
{
    Reading *reading = context;
    DlqEntry entry = {.state = "waiting", .value_size = message->value.size};

    if (!letter_read(message, &entry.letter)) {
        reading->selection->strangers++;
        return STATUS_OK;
    }
    if (!dlq_options_match(reading->options, &entry.letter))
        return STATUS_OK;
    text_clear(&reading->key);
    dlq_mirror_key(&reading->key, reading->registry, &entry.letter);
    entry.key_text = (WhSlice){(const uint8_t *)reading->key.data, reading->key.size};
    entry.letter.value = (WhSlice){0};
    if (reading->key.failed || !add_entry(reading->selection, entry))
        return status_fail(error, STATUS_FATAL, "out of memory for %zu letters", reading->selection->count);
    return STATUS_OK;
}

/* ---- order ---- */

static int compare_slices(WhSlice a, WhSlice b)
{
    int order = memcmp(a.data, b.data, a.size < b.size ? a.size : b.size);

    return order ? order : (a.size > b.size) - (a.size < b.size);
}

static int compare_origins(const Letter *a, const Letter *b)
{
    int order = compare_slices(a->topic, b->topic);

    if (order == 0)
        order = (a->partition > b->partition) - (a->partition < b->partition);
    return order ? order : (a->offset > b->offset) - (a->offset < b->offset);
}

static int compare_places(const Letter *a, const Letter *b)
{
    int order = (a->dlq_partition > b->dlq_partition) - (a->dlq_partition < b->dlq_partition);

    return order ? order : (a->dlq_offset > b->dlq_offset) - (a->dlq_offset < b->dlq_offset);
}

static int by_origin(const void *a, const void *b)
{
    const DlqEntry *first = a, *second = b;
    int order = compare_origins(&first->letter, &second->letter);

    return order ? order : compare_places(&first->letter, &second->letter);
}

static int by_place(const void *a, const void *b)
{
    const DlqEntry *first = a, *second = b;

    return compare_places(&first->letter, &second->letter);
}

static void sort(DlqSelection *selection, int (*compare)(const void *, const void *))
{
    if (selection->count > 1)
        qsort(selection->entries, selection->count, sizeof *selection->entries, compare);
}

/* Of the same origin the newest stays; they are in the order of origins. */
static void drop_doubles(DlqSelection *selection)
{
    size_t kept = 0;

    for (size_t i = 0; i < selection->count; i++) {
        if (i + 1 < selection->count &&
            compare_origins(&selection->entries[i].letter, &selection->entries[i + 1].letter) == 0)
            free(selection->entries[i].bytes);
        else
            selection->entries[kept++] = selection->entries[i];
    }
    selection->count = kept;
}

/* ---- states ---- */

static DlqEntry *find_origin(DlqSelection *selection, const Letter *letter)
{
    size_t low = 0, high = selection->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_origins(&selection->entries[middle].letter, letter);

        if (order == 0)
            return &selection->entries[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* [topic, partition, offset, state, time] */
static void take_state(DlqSelection *selection, const json_t *row)
{
    const char *topic = json_string_value(json_array_get(row, 0));
    const char *state = json_string_value(json_array_get(row, 3));
    Letter letter = {.partition = (int32_t)json_integer_value(json_array_get(row, 1)),
                     .offset = json_integer_value(json_array_get(row, 2))};
    DlqEntry *entry;

    if (topic == NULL || state == NULL)
        return;
    letter.topic = (WhSlice){(const uint8_t *)topic, strlen(topic)};
    entry = find_origin(selection, &letter);
    if (entry == NULL)
        return;
    entry->state = strcmp(state, "replayed") == 0 ? "replayed" : "discarded";
    entry->resolved_us = json_integer_value(json_array_get(row, 4));
}

static void read_states(DlqSelection *selection, ClickHouse *client)
{
    static const char sql[] =
        "SELECT topic, partition, offset, state, toUnixTimestamp64Micro(resolved_at) FROM "
        "`_walhouse_dead_letters` FINAL WHERE state != 'waiting' FORMAT JSONCompactEachRow";
    const char *body;
    size_t size, begin = 0;
    Status status = clickhouse_query(client, NULL, sql, &body, &size, &selection->states_error);
    int code = status == STATUS_OK ? 0 : clickhouse_exception_code(client);

    /* No mirror, or one of a version that knew no states. */
    selection->states_known = status == STATUS_OK || code == CLICKHOUSE_UNKNOWN_TABLE ||
                              code == CLICKHOUSE_UNKNOWN_DATABASE || code == UNKNOWN_IDENTIFIER;
    while (status == STATUS_OK && begin < size) {
        const char *newline = memchr(body + begin, '\n', size - begin);
        size_t end = newline ? (size_t)(newline - body) : size;
        json_t *row = json_loadb(body + begin, end - begin, JSON_ALLOW_NUL, NULL);

        take_state(selection, row);
        json_decref(row);
        begin = end + 1;
    }
}

static void keep_meant(DlqSelection *selection, const DlqOptions *options)
{
    size_t kept = 0;

    for (size_t i = 0; i < selection->count; i++) {
        DlqEntry *entry = &selection->entries[i];
        bool meant = strcmp(options->state, "all") == 0 || strcmp(options->state, entry->state) == 0;

        if (meant && kept < (size_t)options->limit) {
            selection->entries[kept++] = *entry;
            continue;
        }
        selection->left_out += meant;
        free(entry->bytes);
    }
    selection->count = kept;
}

/* ---- the whole ---- */

Status dlq_select(DlqSelection *selection, const Config *config, const DlqOptions *options,
                  Registry *registry, ClickHouse *client, Error *error)
{
    Reading reading = {.selection = selection, .options = options, .registry = registry};
    char topic[WH_TOPIC_BYTES_MAX + 1];
    bool exists;
    Status status;

    *selection = (DlqSelection){0};
    (void)snprintf(topic, sizeof topic, "%.200s.__dlq", config->kafka_topic_prefix);
    status = topic_scan(config, topic, &exists, take_letter, &reading, error);
    text_free(&reading.key);
    if (status == STATUS_OK && !exists)
        status = status_fail(error, STATUS_REJECT,
                             "there is no topic %s: [kafka] topic_prefix may be another one", topic);
    if (status != STATUS_OK)
        return status;
    sort(selection, by_origin);
    drop_doubles(selection);
    read_states(selection, client);
    sort(selection, by_place);
    keep_meant(selection, options);
    return STATUS_OK;
}

void dlq_selection_free(DlqSelection *selection)
{
    for (size_t i = 0; i < selection->count; i++)
        free(selection->entries[i].bytes);
    free(selection->entries);
    *selection = (DlqSelection){0};
}

const DlqEntry *dlq_selection_find(const DlqSelection *selection, int32_t partition, int64_t offset)
{
    DlqEntry key = {.letter = {.dlq_partition = partition, .dlq_offset = offset}};

    return selection->count == 0
               ? NULL
               : bsearch(&key, selection->entries, selection->count, sizeof *selection->entries, by_place);
}
