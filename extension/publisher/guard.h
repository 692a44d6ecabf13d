/*
 * guard.h - stands between the slot and the stream: nothing is read from a slot that does not hold what
 * follows, and the slot confirms nothing that Kafka does not know to be confirmed.
 *
 *      checking ------------------------> recording --> open        the gate of position.h lets LSNs through
 *         |  what the server says, and        |           |
 *         |  what Kafka remembers             |           | the server removed WAL that was still to be read
 *         |                                   v           |
 *         +--> lost <----------------------- (failed)     |
 *         |     ^ policy stop                             |
 *         +-----+-----------------------------------------+
 *         |     v policy resync
 *         +--> acting --> changed      walhouse._resync() or _raise_epoch() has changed the pipeline's row
 *
 * In `lost` and `changed` the process is to end: with WH_EXIT_SLOT_LOST, with WH_EXIT_CHANGED.
 */
#ifndef WALHOUSE_PUBLISHER_GUARD_H
#define WALHOUSE_PUBLISHER_GUARD_H

#include "schema_topic.h"
#include "slot.h"
#include "sql_connection.h"
#include "topic_reader.h"

typedef enum GuardState {
    GUARD_CHECKING,
    GUARD_RECORDING,
    GUARD_OPEN,
    GUARD_ACTING,
    GUARD_LOST,
    GUARD_CHANGED
} GuardState;

typedef struct GuardSettings {
    SlotExpectation expected;
    const char *conninfo;
    const char *brokers;
    const char *properties_file; /* NULL: none */
    const char *topic_prefix;
    bool resync; /* what to do about a lost slot; else stop */
} GuardSettings;

typedef struct Guard {
    const GuardSettings *settings;
    GuardState state;
    Failure reason; /* LOST, and ACTING because of it: why */
    bool is_lost;   /* reason holds, and what Kafka remembers is still waited for */
    ServerIdentity identity;
    TopicReader *reader; /* NULL: not begun, or done */
    const char *trouble; /* why reading it does not come to an end; NULL: nothing is known */
    bool positions_are_known;
    Positions positions;
    PositionGate gate;
    SqlConnection sql;
    char command[256]; /* what ACTING asks */
} Guard;

/* settings must outlive it. */
void guard_init(Guard *guard, const GuardSettings *settings);
/* Ends what it has open; may be called at any time, also on a zeroed one. */
void guard_close(Guard *guard);

/* -1: no socket at the moment. */
int guard_fd(const Guard *guard);
short guard_events(const Guard *guard);
/*
 * Goes on as far as it can. facts NULL: the server has not been asked yet. revents: what poll() said of the
 * socket.
 */
bool guard_step(Guard *guard, const SlotFacts *facts, const SchemaTopic *schemas, Producer *producer,
                short revents, int64_t now_ms, Failure *failure);
/* The stream failed because of reason: the slot is lost. */
void guard_slot_is_lost(Guard *guard, const Failure *reason);

/* OPEN: sends a record when acked_lsn is more than Kafka knows of. */
bool guard_record(Guard *guard, uint64_t acked_lsn, const SchemaTopic *schemas, Producer *producer,
                  Failure *failure);
/* Kafka has acknowledged the record. */
void guard_recorded(Guard *guard);
/* What the slot may confirm. */
static inline uint64_t guard_confirmable_lsn(const Guard *guard)
{
    return guard->gate.durable_lsn;
}

#endif
