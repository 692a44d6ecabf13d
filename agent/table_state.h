/*
 * table_state.h - what tables do when they do not simply load, and the way out; written by the rooms that
 * stop or fill them, shown by /readyz, /metrics, /api/status, the dashboard and `walhouse-agent status`.
 *
 * A table that is not in the list is loading. It may be in it several times, once a code, so that rooms do
 * not overwrite each other: what shows is all of them, the gravest first. Any thread may call anything here.
 */
#ifndef WALHOUSE_AGENT_TABLE_STATE_H
#define WALHOUSE_AGENT_TABLE_STATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TABLE_NAME_BYTES   512
#define TABLE_CODE_BYTES   32
#define TABLE_REASON_BYTES 512
#define TABLE_WAY_BYTES    256

/* The gravest is the highest. */
typedef enum TableStateKind {
    TABLE_LOADING, /* worth a word, but rows arrive */
    TABLE_FILLING, /* rows arrive, and what is there is not whole until a snapshot has passed */
    TABLE_STOPPED  /* its messages wait in Kafka */
} TableStateKind;

/* Longer texts are cut. */
typedef struct TableState {
    char table[TABLE_NAME_BYTES]; /* the view's name */
    TableStateKind kind;
    char code[TABLE_CODE_BYTES]; /* lower_case, of a small fixed set: it becomes a metric's label */
    char reason[TABLE_REASON_BYTES];
    char way_out[TABLE_WAY_BYTES];
    int64_t since_ms; /* Unix time */
} TableState;

/* Bounded by tables times codes. */
typedef struct TableStates {
    pthread_mutex_t lock;
    TableState *states;
    size_t count;
    size_t capacity;
} TableStates;

/* false: no mutex to be had. */
bool table_states_init(TableStates *states);
void table_states_fini(TableStates *states);

/* "loading", "filling" or "stopped". */
const char *table_state_name(TableStateKind kind);

/*
 * Sets what a code says about a table. true: this is new, or another kind or reason than before, and worth a
 * line in the log. Without memory it is not kept, and true.
 */
bool table_states_set(TableStates *states, const char *table, TableStateKind kind, const char *code,
                      const char *reason, const char *way_out);
/* Takes back what a code said about a table; code NULL: all of it. */
void table_states_clear(TableStates *states, const char *table, const char *code);
/* Rows of the table have just been loaded: whatever stopped it is over. */
void table_states_loaded(TableStates *states, const char *table);
/* Partitions were taken away: another agent says what is stopped, and this one again what it still has. */
void table_states_forget_stopped(TableStates *states);

/* Tables with at least one state of this kind. */
size_t table_states_count(TableStates *states, TableStateKind kind);
/* The gravest first, then by table and code. The list is locked: visit must not call it. */
void table_states_each(TableStates *states, void (*visit)(void *context, const TableState *state),
                       void *context);

#endif
