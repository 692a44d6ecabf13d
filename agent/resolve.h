/*
 * resolve.h - values that an update left alone and that are stored out of line, so that the WAL, and the
 * event, do not hold them: taken from the state before.
 *
 *      events of a key, ascending   v1 (a, -)   v2 (-, b)   v3 (-, -)     "-": left alone
 *      base: its newest whole row below them, in the batch or in the warehouse (x, y)
 *                                        --> v3 becomes a row: (a, b); v1 and v2 need not be loaded
 *
 * Only a key's newest event becomes a row: what is below it would be hidden. When a value is found nowhere,
 * or something that is not known lies between (a gap), there is no row, and the key's row is asked for.
 *
 * Pure: nothing here asks a server. One Resolve is about one table buffer of a batch; it borrows from the
 * batch.
 */
#ifndef WALHOUSE_AGENT_RESOLVE_H
#define WALHOUSE_AGENT_RESOLVE_H

#include "agent/batch.h"

typedef enum ResolveOutcome {
    RESOLVE_LOOK,       /* the warehouse is still to be asked for a newer base, and for gaps */
    RESOLVE_ROW,        /* a row can be made */
    RESOLVE_SUPERSEDED, /* a higher version is there, or its row is in the batch */
    RESOLVE_ASK         /* the source must be asked for the row */
} ResolveOutcome;

/* A row of which values are taken: of the batch (buffer is not NULL), or of the warehouse. */
typedef struct ResolveBase {
    bool there;
    bool deleted;
    Version version;
    Version
        source; /* the oldest version that its values come from: its own, but where it was resolved itself */
    const TableBuffer *buffer;
    size_t row;
    const WhSlice *values; /* of the warehouse: one for each of Resolve's columns */
} ResolveBase;

typedef struct ResolveKey {
    WhSlice key;     /* of its messages */
    WhSlice row_key; /* as its rows have it */
    size_t first_event;
    size_t event_count;
    ResolveBase base;
    Version source; /* of the row that was made */
    ResolveOutcome outcome;
} ResolveKey;

/* Something happened to a key's row, and the agent does not know what, but that these columns were left
 * alone. */
typedef struct ResolveGap {
    WhSlice key;
    Version version;
    const uint8_t *columns; /* attribute numbers, two bytes each */
    size_t column_count;
} ResolveGap;

typedef struct ResolveEvent {
    const UnresolvedRow *row;
    Version version;
    WhSlice key;
} ResolveEvent;

typedef struct Resolve {
    const Batch *batch;
    const TableBuffer *buffer;
    ResolveEvent *events; /* by key, then ascending version; of all buffers of the storage table */
    size_t event_count;
    ResolveKey *keys; /* those whose newest event is the buffer's, in order */
    size_t key_count;
    ResolveGap *gaps; /* of any key */
    size_t gap_count;
    size_t gap_capacity;
    uint32_t *columns; /* of the target, ascending: those that any of the keys' newest events lacks */
    size_t column_count;
    WhType *types; /* of the buffer's target columns, as far as they are known */
    uint32_t type_count;
} Resolve;

/*
 * Collects what the batch knows. That alone never decides for a row: a snapshot's row, or a dead letter that
 * was put back, comes after newer ones. STATUS_FATAL: out of memory.
 */
Status resolve_open(Resolve *resolve, const Batch *batch, const TableBuffer *buffer, Error *error);
void resolve_close(Resolve *resolve);

/* By the key of its messages; NULL: none. */
ResolveKey *resolve_find_key(Resolve *resolve, WhSlice key);

/* false: out of memory. Columns are borrowed. */
bool resolve_add_gap(Resolve *resolve, const ResolveGap *gap);

/* What the warehouse holds of a key: its newest row. */
void resolve_add_base(ResolveKey *key, const ResolveBase *base);

/* When what the warehouse knows was added. */
void resolve_decide(Resolve *resolve, ResolveKey *key);

/* Appends the row of a key of outcome RESOLVE_ROW to a buffer of the same schema. false: out of memory. */
bool resolve_append(Resolve *resolve, ResolveKey *key, TableBuffer *out);

/* The newest event of a key. */
const ResolveEvent *resolve_newest(const Resolve *resolve, const ResolveKey *key);

/*
 * What a key that has no row leaves behind as a gap: the attribute numbers that all of its events left alone,
 * at most WH_COLUMNS_MAX. Returns how many.
 */
size_t resolve_left_alone(const Resolve *resolve, const ResolveKey *key, uint16_t *numbers);

#endif
