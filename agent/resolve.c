/*
 * resolve.c - values that events leave out, from the state before; see resolve.h.
 *
 *      batch --collect--> events of each key, its newest whole row, gaps
 *      newest event --for each column it lacks--> the event before it that has it, or the base --> row
 *
 * Why that is right: events of one key come in one partition, in order, so what is below an event and not in
 * the batch has been loaded, or is a gap. A snapshot's row counts as a base too: whatever it has not seen
 * commits above its version, and comes as an event; what it has seen of later commits comes again as well, so
 * a value that is too new is shown for a moment only. A base of another epoch is none: what happened between
 * them is not in the stream. Nor is a row from before an insert: what the row was when it had another key, or
 * did not meet the publication's filter, nobody has told.
 */
#include "agent/resolve.h"

#include <stdlib.h>
#include <string.h>

static int compare_slices(WhSlice a, WhSlice b)
{
    int order = memcmp(a.data, b.data, a.size < b.size ? a.size : b.size);

    return order ? order : (a.size > b.size) - (a.size < b.size);
}

static int compare_events(const void *left, const void *right)
{
    const ResolveEvent *a = left, *b = right;
    int order = compare_slices(a->key, b->key);

    return order ? order : (a->version > b->version) - (a->version < b->version);
}

static int compare_indexes(const void *left, const void *right)
{
    const uint32_t *a = left, *b = right;

    return (*a > *b) - (*a < *b);
}

static const TableBuffer *buffer_of(const Resolve *resolve, const ResolveEvent *event)
{
    return &resolve->batch->tables[event->row->table];
}

static Version version_of_row(WhSlice row)
{
    return version_load(row.data + row.size - BATCH_ROW_TAIL_BYTES);
}

static bool row_is_deleted(WhSlice row)
{
    return row.data[row.size - BATCH_ROW_TAIL_BYTES + 16] != 0;
}

static WhSlice row_at(const TableBuffer *buffer, size_t i)
{
    size_t start = buffer->rows[i].offset;
    size_t end = i + 1 < buffer->row_count ? buffer->rows[i + 1].offset : buffer->size;

    return (WhSlice){buffer->data + start, end - start};
}

/* ---- columns of rows ---- */

static bool parse_type(const char *text, WhType *type)
{
    static const char before[] = "Nullable(";
    WhSlice name = {(const uint8_t *)text, strlen(text)};
    bool nullable = strncmp(text, before, sizeof before - 1) == 0;

    if (nullable) {
        name.data += sizeof before - 1;
        name.size -= sizeof before; /* and the parenthesis that closes it */
    }
    return wh_type_parse(name, nullable, type);
}

/* The bytes of a row's column. false: its place cannot be found. */
static bool column_of_row(const Resolve *resolve, const TableBuffer *buffer, WhSlice row, uint32_t index,
                          WhSlice *value)
{
    WhReader r = wh_reader(row.data, row.size - BATCH_ROW_TAIL_BYTES);
    const Target *target = &buffer->table->target;
    WhType other;

    for (uint32_t i = 0; i <= index; i++) {
        const WhType *type = &other;

        if (buffer == resolve->buffer && i < resolve->type_count)
            type = &resolve->types[i];
        else if (!parse_type(target->columns[i].type, &other))
            return false;
        *value = wh_type_get(&r, type);
    }
    return wh_reader_ok(&r);
}

/* The same column of another schema version; its bytes mean the same only where the types are equal. */
static bool find_column(const TableBuffer *buffer, const TargetColumn *wanted, uint32_t *index)
{
    const Target *target = &buffer->table->target;

    for (uint32_t i = 0; i < target->column_count; i++)
        if (target->columns[i].source != TARGET_CONSTANT &&
            target->columns[i].attribute_number == wanted->attribute_number) {
            *index = i;
            return strcmp(target->columns[i].type, wanted->type) == 0;
        }
    return false;
}

static bool lacks(const Resolve *resolve, const ResolveEvent *event, uint32_t attribute_number)
{
    const WhSchema *schema = &buffer_of(resolve, event)->table->schema;
    WhLists lists = wh_lists(event->row->flags, event->row->lists);
    uint32_t index;

    while (wh_lists_next_unchanged(&lists, &index))
        if (schema->columns[index].attribute_number == attribute_number)
            return true;
    return false;
}

static bool has_number(const uint8_t *numbers, size_t count, uint32_t number)
{
    for (size_t i = 0; i < count; i++)
        if ((uint32_t)(numbers[2 * i] | numbers[2 * i + 1] << 8) == number)
            return true;
    return false;
}

/* Is there something between two versions that may have changed the column? */
static bool gap_between(const Resolve *resolve, const ResolveKey *key, Version low, Version high,
                        uint32_t attribute_number)
{
    for (size_t i = 0; i < resolve->gap_count; i++) {
        const ResolveGap *gap = &resolve->gaps[i];

        if (gap->version > low && gap->version < high && compare_slices(gap->key, key->key) == 0 &&
            !has_number(gap->columns, gap->column_count, attribute_number))
            return true;
    }
    return false;
}

static bool value_of_base(const Resolve *resolve, const ResolveBase *base, const TargetColumn *wanted,
                          WhSlice *value)
{
    uint32_t index;

    if (base->buffer)
        return find_column(base->buffer, wanted, &index) &&
               column_of_row(resolve, base->buffer, row_at(base->buffer, base->row), index, value);
    for (size_t i = 0; i < resolve->column_count; i++)
        if (&resolve->buffer->table->target.columns[resolve->columns[i]] == wanted) {
            *value = base->values[i];
            return true;
        }
    return false;
}

/* The value that a column had before a key's newest event; *source: where it comes from. */
static bool value_before(const Resolve *resolve, const ResolveKey *key, const TargetColumn *wanted,
                         WhSlice *value, Version *source)
{
    const ResolveEvent *newest = resolve_newest(resolve, key);
    const ResolveBase *base = &key->base;
    uint32_t number = wanted->attribute_number;
    uint32_t index;

    for (size_t i = key->event_count; i-- > 0;) {
        const ResolveEvent *event = &resolve->events[key->first_event + i];

        if (base->there && event->version <= base->version)
            break;
        if (event->version == newest->version || lacks(resolve, event, number)) {
            if (event->row->from_nowhere)
                return false;
            continue;
        }
        *source = event->version;
        return find_column(buffer_of(resolve, event), wanted, &index) &&
               column_of_row(resolve, buffer_of(resolve, event), event->row->row, index, value) &&
               !gap_between(resolve, key, event->version, newest->version, number);
    }
    *source = base->source;
    return base->there && !base->deleted && version_epoch(base->version) == version_epoch(newest->version) &&
           !gap_between(resolve, key, base->version, newest->version, number) &&
           value_of_base(resolve, base, wanted, value);
}

/* ---- what the batch knows ---- */

static bool same_storage(const TableBuffer *a, const TableBuffer *b)
{
    return strcmp(a->table->target.storage_name, b->table->target.storage_name) == 0 &&
           strcmp(a->table->target.database, b->table->target.database) == 0;
}

static void collect_events(Resolve *resolve)
{
    const Batch *batch = resolve->batch;

    for (size_t i = 0; i < batch->unresolved_count; i++) {
        const UnresolvedRow *row = &batch->unresolved[i];

        if (same_storage(&batch->tables[row->table], resolve->buffer))
            resolve->events[resolve->event_count++] = (ResolveEvent){
                .row = row, .version = version_of_row(row->row), .key = batch->messages[row->message].key};
    }
    qsort(resolve->events, resolve->event_count, sizeof *resolve->events, compare_events);
}

static bool row_key(const Resolve *resolve, WhSlice row, WhSlice *key)
{
    uint32_t count = resolve->buffer->table->target.key_column_count;
    WhSlice last;

    if (count == 0 || !column_of_row(resolve, resolve->buffer, row, count - 1, &last))
        return false;
    *key = (WhSlice){row.data, (size_t)(last.data + last.size - row.data)};
    return true;
}

static void collect_keys(Resolve *resolve)
{
    for (size_t first = 0, next; first < resolve->event_count; first = next) {
        ResolveKey *key = &resolve->keys[resolve->key_count];
        const ResolveEvent *newest;

        for (next = first + 1; next < resolve->event_count; next++)
            if (compare_slices(resolve->events[next].key, resolve->events[first].key) != 0)
                break;
        newest = &resolve->events[next - 1];
        /* Others are their own buffer's. */
        if (buffer_of(resolve, newest) != resolve->buffer)
            continue;
        *key = (ResolveKey){.key = newest->key, .first_event = first, .event_count = next - first};
        if (!row_key(resolve, newest->row->row, &key->row_key))
            key->row_key = newest->key;
        resolve->key_count++;
    }
}

static void collect_bases(Resolve *resolve)
{
    const Batch *batch = resolve->batch;

    for (size_t i = 0; i < batch->table_count; i++) {
        const TableBuffer *buffer = &batch->tables[i];

        if (buffer->row_count == 0 || !same_storage(buffer, resolve->buffer))
            continue;
        for (size_t j = 0; j < buffer->row_count; j++) {
            ResolveKey *key = resolve_find_key(resolve, batch->messages[buffer->rows[j].message].key);
            WhSlice row;

            if (key == NULL)
                continue;
            row = row_at(buffer, j);
            resolve_add_base(key, &(ResolveBase){.there = true,
                                                 .deleted = row_is_deleted(row),
                                                 .version = version_of_row(row),
                                                 .source = version_of_row(row),
                                                 .buffer = buffer,
                                                 .row = j});
        }
    }
}

/* Dead letters of this table, and what is too large: what they would have changed is not known. */
static bool collect_gaps(Resolve *resolve)
{
    const Batch *batch = resolve->batch;

    for (size_t i = 0; i < batch->letter_count; i++) {
        const MessageView *message = &batch->messages[batch->letters[i].message];
        WhReader r = wh_reader(message->value.data, message->value.size);
        WhEvent event;

        if (strcmp(message->topic, resolve->buffer->table->topic) == 0 && message->key.data &&
            wh_event_get(&r, &event) &&
            !resolve_add_gap(resolve, &(ResolveGap){.key = message->key, .version = version_of(&event)}))
            return false;
    }
    for (size_t i = 0; i < batch->gap_count; i++) {
        const MessageView *message = &batch->messages[batch->gaps[i].message];

        if (strcmp(message->topic, resolve->buffer->table->topic) == 0 &&
            !resolve_add_gap(resolve, &(ResolveGap){.key = message->key, .version = batch->gaps[i].version}))
            return false;
    }
    return true;
}

static void note_column(Resolve *resolve, uint32_t source)
{
    const Target *target = &resolve->buffer->table->target;

    for (uint32_t i = 0; i < target->column_count; i++) {
        bool known = target->columns[i].source != source;

        for (size_t j = 0; j < resolve->column_count && !known; j++)
            known = resolve->columns[j] == i;
        if (!known)
            resolve->columns[resolve->column_count++] = i;
    }
}

static void collect_columns(Resolve *resolve)
{
    for (size_t i = 0; i < resolve->key_count; i++) {
        const ResolveEvent *event = resolve_newest(resolve, &resolve->keys[i]);
        WhLists lists = wh_lists(event->row->flags, event->row->lists);
        uint32_t index;

        while (wh_lists_next_unchanged(&lists, &index))
            note_column(resolve, index);
    }
    qsort(resolve->columns, resolve->column_count, sizeof *resolve->columns, compare_indexes);
}

static bool is_superseded(const Resolve *resolve, const ResolveKey *key)
{
    return key->base.there && key->base.version >= resolve_newest(resolve, key)->version;
}

/* ---- the interface ---- */

Status resolve_open(Resolve *resolve, const Batch *batch, const TableBuffer *buffer, Error *error)
{
    const Target *target = &buffer->table->target;

    *resolve = (Resolve){.batch = batch, .buffer = buffer};
    resolve->events = calloc(batch->unresolved_count + 1, sizeof *resolve->events);
    resolve->keys = calloc(batch->unresolved_count + 1, sizeof *resolve->keys);
    resolve->columns = calloc(target->column_count + 1, sizeof *resolve->columns);
    resolve->types = calloc(target->column_count + 1, sizeof *resolve->types);
    if (!resolve->events || !resolve->keys || !resolve->columns || !resolve->types)
        return status_fail(error, STATUS_FATAL, "out of memory for unchanged values");
    /* Rules may add columns of other types, behind those of the source. */
    while (resolve->type_count < target->column_count &&
           parse_type(target->columns[resolve->type_count].type, &resolve->types[resolve->type_count]))
        resolve->type_count++;
    collect_events(resolve);
    collect_keys(resolve);
    collect_columns(resolve);
    collect_bases(resolve);
    if (!collect_gaps(resolve))
        return status_fail(error, STATUS_FATAL, "out of memory for unchanged values");
    for (size_t i = 0; i < resolve->key_count; i++)
        if (is_superseded(resolve, &resolve->keys[i]))
            resolve->keys[i].outcome = RESOLVE_SUPERSEDED;
    return STATUS_OK;
}

void resolve_close(Resolve *resolve)
{
    free(resolve->events);
    free(resolve->keys);
    free(resolve->gaps);
    free(resolve->columns);
    free(resolve->types);
    *resolve = (Resolve){0};
}

ResolveKey *resolve_find_key(Resolve *resolve, WhSlice key)
{
    size_t low = 0, high = resolve->key_count;

    while (key.data && low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_slices(resolve->keys[middle].key, key);

        if (order == 0)
            return &resolve->keys[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

bool resolve_add_gap(Resolve *resolve, const ResolveGap *gap)
{
    if (resolve->gap_count == resolve->gap_capacity) {
        size_t capacity = resolve->gap_capacity ? 2 * resolve->gap_capacity : 64;
        ResolveGap *gaps = realloc(resolve->gaps, capacity * sizeof *gaps);

        if (gaps == NULL)
            return false;
        resolve->gaps = gaps;
        resolve->gap_capacity = capacity;
    }
    resolve->gaps[resolve->gap_count++] = *gap;
    return true;
}

void resolve_add_base(ResolveKey *key, const ResolveBase *base)
{
    if (!key->base.there || base->version > key->base.version)
        key->base = *base;
}

const ResolveEvent *resolve_newest(const Resolve *resolve, const ResolveKey *key)
{
    return &resolve->events[key->first_event + key->event_count - 1];
}

void resolve_decide(Resolve *resolve, ResolveKey *key)
{
    const ResolveEvent *newest = resolve_newest(resolve, key);
    const Target *target = &resolve->buffer->table->target;
    WhLists lists = wh_lists(newest->row->flags, newest->row->lists);
    Version source;
    WhSlice value;
    uint32_t index;

    if (is_superseded(resolve, key)) {
        key->outcome = RESOLVE_SUPERSEDED;
        return;
    }
    key->outcome = newest->row->from_nowhere ? RESOLVE_ASK : RESOLVE_ROW;
    key->source = newest->version;
    while (key->outcome == RESOLVE_ROW && wh_lists_next_unchanged(&lists, &index))
        for (uint32_t i = 0; i < target->column_count && key->outcome == RESOLVE_ROW; i++) {
            if (target->columns[i].source != index)
                continue;
            if (!value_before(resolve, key, &target->columns[i], &value, &source))
                key->outcome = RESOLVE_ASK;
            else if (source < key->source)
                key->source = source;
        }
}

/* Columns of a row as they were, but for those that the event lacks. */
static size_t put_row(const Resolve *resolve, const ResolveKey *key, uint8_t *out)
{
    const ResolveEvent *newest = resolve_newest(resolve, key);
    const Target *target = &resolve->buffer->table->target;
    WhSlice row = newest->row->row;
    WhReader r = wh_reader(row.data, row.size - BATCH_ROW_TAIL_BYTES);
    size_t size = 0;
    size_t next = 0;

    for (uint32_t i = 0; i < resolve->type_count; i++) {
        const TargetColumn *column = &target->columns[i];
        WhSlice value = wh_type_get(&r, &resolve->types[i]);
        Version source;

        if (next < resolve->column_count && resolve->columns[next] == i) {
            next++;
            if (lacks(resolve, newest, column->attribute_number))
                (void)value_before(resolve, key, column, &value, &source);
        }
        if (out)
            memcpy(out + size, value.data, value.size);
        size += value.size;
    }
    if (out)
        memcpy(out + size, row.data + r.offset, row.size - r.offset);
    return size + row.size - r.offset;
}

bool resolve_append(Resolve *resolve, ResolveKey *key, TableBuffer *out)
{
    size_t size = put_row(resolve, key, NULL);
    uint8_t *place = batch_make_row(out, size, resolve_newest(resolve, key)->row->message);

    if (place == NULL)
        return false;
    (void)put_row(resolve, key, place);
    return true;
}

size_t resolve_left_alone(const Resolve *resolve, const ResolveKey *key, uint16_t *numbers)
{
    const ResolveEvent *newest = resolve_newest(resolve, key);
    const WhSchema *schema = &resolve->buffer->table->schema;
    WhLists lists = wh_lists(newest->row->flags, newest->row->lists);
    size_t count = 0;
    uint32_t index;

    while (wh_lists_next_unchanged(&lists, &index)) {
        uint16_t number = (uint16_t)schema->columns[index].attribute_number;
        bool always = true;

        for (size_t i = 0; i < key->event_count && always; i++) {
            const ResolveEvent *event = &resolve->events[key->first_event + i];

            if (!key->base.there || event->version > key->base.version)
                always = !event->row->from_nowhere && lacks(resolve, event, number);
        }
        if (always)
            numbers[count++] = number;
    }
    return count;
}
