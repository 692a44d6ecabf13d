/*
 * table_state.c - what tables do when they do not simply load; see table_state.h.
 */
#include "agent/table_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"

bool table_states_init(TableStates *states)
{
    *states = (TableStates){0};
    return pthread_mutex_init(&states->lock, NULL) == 0;
}

void table_states_fini(TableStates *states)
{
    free(states->states);
    (void)pthread_mutex_destroy(&states->lock);
}

const char *table_state_name(TableStateKind kind)
{
    static const char *const names[] = {"loading", "filling", "stopped"};

    return names[kind];
}

/* The list's order. */
static int compare(const TableState *state, TableStateKind kind, const char *table, const char *code)
{
    int order = (int)kind - (int)state->kind;

    if (order == 0)
        order = strcmp(state->table, table);
    return order ? order : strcmp(state->code, code);
}

static void remove_at(TableStates *states, size_t at)
{
    states->count--;
    memmove(&states->states[at], &states->states[at + 1], (states->count - at) * sizeof *states->states);
}

/* A place for a new one, in order; NULL: out of memory. */
static TableState *insert(TableStates *states, TableStateKind kind, const char *table, const char *code)
{
    size_t at = 0;

    if (states->count == states->capacity) {
        size_t capacity = states->capacity ? 2 * states->capacity : 8;
        TableState *grown = realloc(states->states, capacity * sizeof *grown);

        if (grown == NULL)
            return NULL;
        states->states = grown;
        states->capacity = capacity;
    }
    while (at < states->count && compare(&states->states[at], kind, table, code) < 0)
        at++;
    memmove(&states->states[at + 1], &states->states[at], (states->count - at) * sizeof *states->states);
    states->count++;
    return &states->states[at];
}

static TableState *find(TableStates *states, const char *table, const char *code)
{
    for (size_t i = 0; i < states->count; i++)
        if (strcmp(states->states[i].table, table) == 0 && strcmp(states->states[i].code, code) == 0)
            return &states->states[i];
    return NULL;
}

bool table_states_set(TableStates *states, const char *table, TableStateKind kind, const char *code,
                      const char *reason, const char *way_out)
{
    TableState new = {.kind = kind, .since_ms = clock_wall_us() / 1000};
    TableState *place;
    bool changed;

    (void)snprintf(new.table, sizeof new.table, "%s", table);
    (void)snprintf(new.code, sizeof new.code, "%s", code);
    (void)snprintf(new.reason, sizeof new.reason, "%s", reason);
    (void)snprintf(new.way_out, sizeof new.way_out, "%s", way_out);
    (void)pthread_mutex_lock(&states->lock);
    place = find(states, new.table, new.code);
    changed = place == NULL || place->kind != kind || strcmp(place->reason, new.reason) != 0;
    if (place && place->kind == kind) {
        new.since_ms = place->since_ms;
    } else {
        if (place)
            remove_at(states, (size_t)(place - states->states));
        place = insert(states, kind, new.table, new.code);
    }
    if (place)
        *place = new;
    (void)pthread_mutex_unlock(&states->lock);
    return changed;
}

void table_states_clear(TableStates *states, const char *table, const char *code)
{
    (void)pthread_mutex_lock(&states->lock);
    for (size_t i = states->count; i-- > 0;)
        if (strcmp(states->states[i].table, table) == 0 &&
            (code == NULL || strcmp(states->states[i].code, code) == 0))
            remove_at(states, i);
    (void)pthread_mutex_unlock(&states->lock);
}

/* table NULL: every table. */
static void clear_stopped(TableStates *states, const char *table)
{
    (void)pthread_mutex_lock(&states->lock);
    for (size_t i = states->count; i-- > 0;)
        if (states->states[i].kind == TABLE_STOPPED &&
            (table == NULL || strcmp(states->states[i].table, table) == 0))
            remove_at(states, i);
    (void)pthread_mutex_unlock(&states->lock);
}

void table_states_loaded(TableStates *states, const char *table)
{
    clear_stopped(states, table);
}

void table_states_forget_stopped(TableStates *states)
{
    clear_stopped(states, NULL);
}

size_t table_states_count(TableStates *states, TableStateKind kind)
{
    size_t count = 0;
    const char *last = "";

    (void)pthread_mutex_lock(&states->lock);
    for (size_t i = 0; i < states->count; i++) {
        if (states->states[i].kind != kind)
            continue;
        count += strcmp(states->states[i].table, last) != 0;
        last = states->states[i].table;
    }
    (void)pthread_mutex_unlock(&states->lock);
    return count;
}

void table_states_each(TableStates *states, void (*visit)(void *context, const TableState *state),
                       void *context)
{
    (void)pthread_mutex_lock(&states->lock);
    for (size_t i = 0; i < states->count; i++)
        visit(context, &states->states[i]);
    (void)pthread_mutex_unlock(&states->lock);
}
