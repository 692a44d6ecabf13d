/*
 * slot.h - does the slot hold everything that follows what Kafka has?
 *
 * Pure: facts in, a verdict out. The facts are what the server says of itself and of the slot, what the
 * pipeline's row says, and the positions that Kafka holds (position.h).
 */
#ifndef WALHOUSE_PUBLISHER_SLOT_H
#define WALHOUSE_PUBLISHER_SLOT_H

#include "message.h"
#include "position.h"

/* What the server says. */
typedef struct SlotFacts {
    ServerIdentity identity;
    uint64_t server_lsn; /* the end of its WAL */
    bool exists;
    bool is_ours;          /* a logical slot of output plugin walhouse, of this database */
    bool is_lost;          /* WAL that it needs is gone, or the server has invalidated it */
    char invalidation[64]; /* the server's reason; empty: none given */
    uint64_t confirmed_lsn;
} SlotFacts;

/* What the pipeline's row says. */
typedef struct SlotExpectation {
    const char *pipeline;
    const char *slot;
    const char *system_identifier; /* NULL: any */
    uint32_t timeline;             /* 0: any */
    uint16_t epoch;
    bool has_slot_lsn; /* false: the positions are not compared */
    uint64_t slot_lsn; /* what the slot had confirmed when the pipeline made it */
} SlotExpectation;

typedef enum SlotVerdict {
    SLOT_USABLE,
    SLOT_LOST,         /* reason says why */
    SLOT_EPOCH_TOO_LOW /* the topics have rows of this epoch, or a higher one, that are not this pipeline's */
} SlotVerdict;

/*
 * positions NULL: not known yet; the verdict is then about the server and the slot alone. highest_epoch: that
 * Kafka has seen, 0 for none.
 */
SlotVerdict slot_judge(const SlotFacts *facts, const SlotExpectation *expected, const Positions *positions,
                       uint16_t *highest_epoch, Failure *reason);

#endif
