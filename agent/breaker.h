/*
 * breaker.h - keeps a table whose events all fail from filling the dead letters. Pure; the loader's.
 *
 *      letters of a table, no row between them --more than limit--> tripped: what is left goes back to Kafka
 *      tripped --every ten seconds: BREAKER_PROBE more letters--> tripped, until a row is loaded
 *
 * Only letters that were written count, so whatever a batch holds, a table writes at most limit letters in a
 * row. The messages after them stay where they are, unread.
 */
#ifndef WALHOUSE_AGENT_BREAKER_H
#define WALHOUSE_AGENT_BREAKER_H

#include "agent/batch.h"
#include "agent/table_state.h"

#define BREAKER_PROBE 10

typedef struct BreakerTable {
    char *topic;
    int64_t left; /* letters that may follow before a row is loaded */
    bool tripped;
} BreakerTable;

typedef struct Breaker {
    int64_t limit; /* 0: it never trips */
    BreakerTable *tables;
    size_t count;
} Breaker;

void breaker_fini(Breaker *breaker);

/* Letters in a row, after a row that was loaded. */
int64_t breaker_limit(const Breaker *breaker);
/* Letters of the topic that may be written before a row is loaded. */
int64_t breaker_allowance(const Breaker *breaker, const char *topic);

/*
 * Judges a batch whose rows are inserted and whose letters are not sent yet: takes the letters away that are
 * too many, and those of tables that are stopped for another reason, as their messages come again. Partitions
 * of a tripped table are marked stopped, with the first message that is neither loaded nor a letter as their
 * first. STATUS_RETRY: out of memory.
 */
Status breaker_judge(Breaker *breaker, Batch *batch, TableStates *states, Error *error);

#endif
