/*
 * dlq_select.h - the letters that a `walhouse-agent dlq` means, with what has been done about them.
 *
 *      __schema --> registry      __dlq --matching--> entries <--states-- _walhouse_dead_letters
 *
 * The topic is the truth: without its mirror every letter is waiting. A letter that is there twice, as an
 * agent died just after it had sent it, counts once. It takes about a kilobyte a letter.
 */
#ifndef WALHOUSE_AGENT_DLQ_SELECT_H
#define WALHOUSE_AGENT_DLQ_SELECT_H

#include "agent/clickhouse.h"
#include "agent/dlq_options.h"
#include "agent/registry.h"

/* A letter without its value. Texts are the entry's own. */
typedef struct DlqEntry {
    Letter letter;
    WhSlice key_text;
    size_t value_size;
    const char *state;   /* constant */
    int64_t resolved_us; /* 0: waiting */
    uint8_t *bytes;      /* what the slices borrow */
} DlqEntry;

typedef struct DlqSelection {
    DlqEntry *entries; /* in the order of their places */
    size_t count;
    size_t left_out;  /* by the limit */
    size_t strangers; /* messages of the topic that are no dead letters */
    size_t capacity;
    bool states_known;
    Error states_error; /* why not */
} DlqSelection;

/* dlq_selection_free() it, whatever the status is. */
Status dlq_select(DlqSelection *selection, const Config *config, const DlqOptions *options,
                  Registry *registry, ClickHouse *client, Error *error);
void dlq_selection_free(DlqSelection *selection);

/* The entry at this place of the dead-letter topic; NULL: not selected. */
const DlqEntry *dlq_selection_find(const DlqSelection *selection, int32_t partition, int64_t offset);

#endif
