/*
 * load_notes.h - what an agent must know of keys after a restart: notes in the warehouse
 * (_walhouse_unchanged), written before the offset is committed.
 *
 *      events that are not loaded, rows that were resolved --notes_add--> notes --notes_write--> warehouse
 *      Resolve <--notes_take-- those of its keys <-------------------------------notes_read--------'
 *
 * - a gap: an event of this key was not loaded, as it became a dead letter, was too large for Kafka, or its
 *   values were not to be had. An older row is then no base, but for the columns that the event left alone.
 * - how old the values of a resolved row are. When a snapshot's sweep comes, rows whose values are older than
 *   the sweep are asked for: the snapshot may have been taken because the warehouse was wrong, and its row is
 *   below theirs.
 */
#ifndef WALHOUSE_AGENT_LOAD_NOTES_H
#define WALHOUSE_AGENT_LOAD_NOTES_H

#include "agent/load_internal.h"
#include "agent/resolve.h"

/* To be written, as RowBinary; {0} is none. */
typedef struct Notes {
    uint8_t *data;
    size_t size;
    size_t capacity;
} Notes;

/* Of an event; source: the oldest version that the values of its row come from, 0: it is a gap, which left
 * these columns alone. false: out of memory. */
bool notes_add(Notes *notes, const char *topic, WhSlice key, Version version, const uint16_t *columns,
               size_t column_count, Version source);
/* STATUS_RETRY: given up. */
Status notes_write(const Notes *notes, Loader *loader, Error *error);
void notes_fini(Notes *notes);

/* *notes is what the warehouse has of these keys; free() its data, whatever the status is. STATUS_RETRY:
 * given up. */
Status notes_read(Loader *loader, const char *topic, ResolveKey *const *keys, size_t count, WhSlice *notes,
                  Error *error);
/* Takes them over, after the keys' bases. Gaps borrow from notes. STATUS_RETRY: out of memory, or they are
 * no notes. */
Status notes_take(Resolve *resolve, WhSlice notes, Error *error);

#endif
