/*
 * position.h - what this pipeline has confirmed, remembered where a restored Postgres cannot forget it: in
 * Kafka.
 *
 * The compacted topic <prefix>.__position has one record a pipeline (docs/wire-format.md). Before the slot is
 * told that everything up to an LSN is acknowledged, a record that says so must itself be acknowledged:
 *
 *      progress: acknowledged up to L --> record L --> Kafka --> acknowledged --> the slot may confirm L
 *
 * So the slot never stands beyond the newest record; where it does, something is missing (slot.h).
 */
#ifndef WALHOUSE_PUBLISHER_POSITION_H
#define WALHOUSE_PUBLISHER_POSITION_H

#include "extension/common/wire.h"
#include "message.h"

/* Pipelines of one topic prefix that are remembered apart; of more, the highest epoch is. */
#define POSITIONS_MAX 64
/* A record always fits. */
#define POSITION_BYTES_MAX 512

typedef struct ServerIdentity {
    char system_identifier[24]; /* decimal */
    uint32_t timeline;
} ServerIdentity;

typedef struct PositionRecord {
    char pipeline[64];
    uint16_t epoch;
    uint64_t lsn;
    ServerIdentity identity;
} PositionRecord;

/* The newest record of each pipeline. Zeroed: none. */
typedef struct Positions {
    PositionRecord records[POSITIONS_MAX];
    size_t count;
    uint16_t highest_epoch; /* 0: no record */
} Positions;

bool server_identities_are_equal(const ServerIdentity *a, const ServerIdentity *b);

/* Writes the record's JSON. */
void position_put(WhWriter *w, const PositionRecord *record);
/* Reads what position_put() wrote; false: it is something else. */
bool position_get(WhSlice json, PositionRecord *record);
/* Takes a record that came after those taken before. */
void positions_take(Positions *positions, const PositionRecord *record);

/*
 * How far the slot may confirm.
 *
 *      idle --send--> in flight --acknowledged--> idle, with durable_lsn raised
 */
typedef struct PositionGate {
    uint64_t durable_lsn; /* Kafka has a record of it */
    uint64_t sent_lsn;
    bool in_flight;
} PositionGate;

/* Should a record be sent, now that everything up to acked_lsn is acknowledged? */
bool position_gate_wants(const PositionGate *gate, uint64_t acked_lsn);
void position_gate_sent(PositionGate *gate, uint64_t lsn);
void position_gate_acked(PositionGate *gate);

#endif
