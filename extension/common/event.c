/*
 * event.c - row changes as bytes; see event.h.
 */
#include "event.h"

#include "schema.h"

static bool operation_is_known(char operation)
{
    return operation == WH_OP_INSERT || operation == WH_OP_UPDATE || operation == WH_OP_DELETE ||
           operation == WH_OP_SNAPSHOT || operation == WH_OP_LARGE || wh_op_is_of_table(operation);
}

static uint64_t get_list_count(WhReader *r)
{
    uint64_t count = wh_get_varint(r);

    if (count > WH_COLUMNS_MAX) {
        wh_reader_fail(r, "a column list is too long");
        return 0;
    }
    return count;
}

static uint32_t get_column_index(WhReader *r)
{
    uint64_t column = wh_get_varint(r);

    if (column >= WH_COLUMNS_MAX) {
        wh_reader_fail(r, "a column index is out of range");
        return 0;
    }
    return (uint32_t)column;
}

WhSlice wh_lists_get(WhReader *r, uint8_t flags)
{
    size_t start = r->offset;
    uint64_t count;

    if (flags & ~(WH_EVENT_HAS_UNCHANGED | WH_EVENT_HAS_OUT_OF_RANGE | WH_EVENT_ADJUSTED))
        wh_reader_fail(r, "an event has unknown flags");
    if (flags & WH_EVENT_ADJUSTED && !(flags & WH_EVENT_HAS_OUT_OF_RANGE))
        wh_reader_fail(r, "an adjusted event does not list its values");
    if (wh_reader_ok(r) && flags & WH_EVENT_HAS_UNCHANGED) {
        count = get_list_count(r);
        for (uint64_t i = 0; i < count && wh_reader_ok(r); i++)
            (void)get_column_index(r);
    }
    if (wh_reader_ok(r) && flags & WH_EVENT_HAS_OUT_OF_RANGE) {
        count = get_list_count(r);
        for (uint64_t i = 0; i < count && wh_reader_ok(r); i++) {
            (void)get_column_index(r);
            (void)wh_get_str(r, SIZE_MAX);
        }
    }
    if (!wh_reader_ok(r))
        return (WhSlice){0};
    return (WhSlice){r->data + start, r->offset - start};
}

WhLists wh_lists(uint8_t flags, WhSlice lists)
{
    WhLists l = {.reader = wh_reader(lists.data, lists.size)};

    if (flags & WH_EVENT_HAS_UNCHANGED)
        l.unchanged_left = get_list_count(&l.reader);
    l.out_of_range_follows = flags & WH_EVENT_HAS_OUT_OF_RANGE;
    return l;
}

bool wh_lists_next_unchanged(WhLists *lists, uint32_t *column)
{
    if (lists->unchanged_left == 0 || !wh_reader_ok(&lists->reader))
        return false;
    lists->unchanged_left--;
    *column = get_column_index(&lists->reader);
    return wh_reader_ok(&lists->reader);
}

bool wh_lists_next_out_of_range(WhLists *lists, uint32_t *column, WhSlice *text)
{
    uint32_t skipped;

    while (wh_lists_next_unchanged(lists, &skipped))
        ;
    if (lists->out_of_range_follows) {
        lists->out_of_range_follows = false;
        lists->out_of_range_left = get_list_count(&lists->reader);
    }
    if (lists->out_of_range_left == 0 || !wh_reader_ok(&lists->reader))
        return false;
    lists->out_of_range_left--;
    *column = get_column_index(&lists->reader);
    *text = wh_get_str(&lists->reader, SIZE_MAX);
    return wh_reader_ok(&lists->reader);
}

void wh_event_put(WhWriter *w, const WhEvent *event)
{
    wh_put_u8(w, WH_FORMAT_VERSION);
    wh_put_u8(w, (uint8_t)event->operation);
    wh_put_u8(w, event->flags);
    wh_put_u16(w, event->epoch);
    wh_put_u64(w, event->fingerprint);
    wh_put_u64(w, event->commit_lsn);
    wh_put_varint(w, event->ordinal);
    wh_put_u32(w, event->xid);
    wh_put_u64(w, (uint64_t)event->commit_time_us);
    wh_put_bytes(w, event->lists.data, event->lists.size);
    wh_put_varint(w, event->body.size);
    wh_put_bytes(w, event->body.data, event->body.size);
}

bool wh_event_get(WhReader *r, WhEvent *event)
{
    *event = (WhEvent){0};
    if (wh_get_u8(r) != WH_FORMAT_VERSION)
        wh_reader_fail(r, "unknown format version");
    event->operation = (char)wh_get_u8(r);
    if (!operation_is_known(event->operation))
        wh_reader_fail(r, "unknown operation");
    event->flags = wh_get_u8(r);
    event->epoch = wh_get_u16(r);
    event->fingerprint = wh_get_u64(r);
    event->commit_lsn = wh_get_u64(r);
    event->ordinal = wh_get_varint(r);
    if (event->ordinal >= WH_ORDINAL_LIMIT)
        wh_reader_fail(r, "an ordinal is out of range");
    event->xid = wh_get_u32(r);
    event->commit_time_us = (int64_t)wh_get_u64(r);
    event->lists = wh_lists_get(r, event->flags);
    event->body = wh_get_bytes(r, wh_get_varint(r));
    if (wh_op_is_of_table(event->operation) && event->body.size > 0)
        wh_reader_fail(r, "a truncate or an end has a body");
    return wh_reader_ok(r);
}
