/*
 * breaker.c - counts letters in a row; see breaker.h.
 */
#include "agent/breaker.h"

#include <stdlib.h>
#include <string.h>

#include "lib/log.h"

#define CODE "breaker"

void breaker_fini(Breaker *breaker)
{
    for (size_t i = 0; i < breaker->count; i++)
        free(breaker->tables[i].topic);
    free(breaker->tables);
    *breaker = (Breaker){0};
}

static BreakerTable *find_table(const Breaker *breaker, const char *topic)
{
    for (size_t i = 0; i < breaker->count; i++)
        if (strcmp(breaker->tables[i].topic, topic) == 0)
            return &breaker->tables[i];
    return NULL;
}

static BreakerTable *claim_table(Breaker *breaker, const char *topic)
{
    BreakerTable *table = find_table(breaker, topic);
    BreakerTable *grown;
    char *copy;

    if (table)
        return table;
    grown = realloc(breaker->tables, (breaker->count + 1) * sizeof *grown);
    if (grown == NULL)
        return NULL;
    breaker->tables = grown;
    copy = strdup(topic);
    if (copy == NULL)
        return NULL;
    grown[breaker->count] = (BreakerTable){.topic = copy, .left = breaker->limit};
    return &grown[breaker->count++];
}

int64_t breaker_limit(const Breaker *breaker)
{
    return breaker->limit > 0 ? breaker->limit : INT64_MAX;
}

int64_t breaker_allowance(const Breaker *breaker, const char *topic)
{
    const BreakerTable *table = find_table(breaker, topic);

    return table && breaker->limit > 0 ? table->left : breaker_limit(breaker);
}

/* ---- what a batch says about a topic ---- */

typedef struct Verdict {
    const char *topic;
    const char *name; /* for a person */
    bool stopped;     /* for another reason */
    bool loaded;      /* a row, or a truncate */
    bool cut;         /* rows were left */
    int64_t letters;
    const DeadLetter *last;
} Verdict;

static const char *topic_of(const Batch *batch, const DeadLetter *letter)
{
    return batch->messages[letter->message].topic;
}

/* What its view is called, where no row of it has been seen yet. */
static const char *name_of(const char *topic)
{
    static const char of_public[] = "public.";
    const char *dot = strchr(topic, '.');
    const char *name = dot ? dot + 1 : topic;

    return strncmp(name, of_public, sizeof of_public - 1) == 0 ? name + sizeof of_public - 1 : name;
}

static Verdict look_at(const Batch *batch, const char *topic)
{
    Verdict verdict = {.topic = topic, .name = name_of(topic)};

    for (size_t i = 0; i < batch->table_count; i++) {
        const TableBuffer *buffer = &batch->tables[i];

        if (strcmp(buffer->table->topic, topic) != 0)
            continue;
        verdict.name = buffer->table->target.view_name;
        verdict.stopped |= buffer->stopped;
        verdict.cut |= buffer->rows_left > 0;
        verdict.loaded |= buffer->row_count > buffer->rows_refused + buffer->rows_left || buffer->truncated;
    }
    for (size_t i = 0; i < batch->letter_count; i++) {
        if (strcmp(topic_of(batch, &batch->letters[i]), topic) != 0)
            continue;
        verdict.letters++;
        verdict.last = &batch->letters[i];
    }
    return verdict;
}

/* ---- putting back ---- */

static PartitionRange *range_of(Batch *batch, const MessageView *message)
{
    for (size_t i = 0; i < batch->partition_count; i++)
        if (batch->partitions[i].partition == message->partition &&
            strcmp(batch->partitions[i].topic, message->topic) == 0)
            return &batch->partitions[i];
    return NULL;
}

static void put_back(Batch *batch, uint32_t message)
{
    PartitionRange *range = range_of(batch, &batch->messages[message]);

    if (range && batch->messages[message].offset < range->first)
        range->first = batch->messages[message].offset;
}

/* Letters that come again are not written now. */
static void drop_put_back(Batch *batch, const char *topic)
{
    size_t kept = 0;

    for (size_t i = 0; i < batch->letter_count; i++) {
        const MessageView *message = &batch->messages[batch->letters[i].message];

        if (strcmp(message->topic, topic) == 0) {
            const PartitionRange *range = range_of(batch, message);

            if (range == NULL || message->offset >= range->first)
                continue;
        }
        batch->letters[kept++] = batch->letters[i];
    }
    batch->letter_count = kept;
}

/* All but the first allowed letters, and the rows that were left, go back. */
static void cut(Batch *batch, const char *topic, int64_t allowed)
{
    for (size_t i = 0; i < batch->partition_count; i++) {
        if (strcmp(batch->partitions[i].topic, topic) != 0)
            continue;
        batch->partitions[i].stopped = true;
        batch->partitions[i].first = batch->partitions[i].next;
    }
    for (size_t i = 0; i < batch->table_count; i++) {
        const TableBuffer *buffer = &batch->tables[i];

        for (size_t row = buffer->row_count - buffer->rows_left;
             row < buffer->row_count && strcmp(buffer->table->topic, topic) == 0; row++)
            put_back(batch, buffer->rows[row].message);
    }
    for (size_t i = 0; i < batch->letter_count; i++)
        if (strcmp(topic_of(batch, &batch->letters[i]), topic) == 0 && allowed-- <= 0)
            put_back(batch, batch->letters[i].message);
    drop_put_back(batch, topic);
}

/* ---- judging ---- */

static void say_tripped(const Breaker *breaker, const Verdict *verdict, TableStateKind kind,
                        const Error *last, TableStates *states)
{
    char reason[TABLE_REASON_BYTES];

    (void)snprintf(reason, sizeof reason, "%lld messages in a row could not be loaded; the last one: %.400s",
                   (long long)breaker->limit, last->text);
    if (table_states_set(states, verdict->name, kind, CODE, reason,
                         "mend what refuses them: ten are tried every ten seconds; or set [dlq] "
                         "breaker_letters = 0 so that all become dead letters") &&
        kind == TABLE_STOPPED)
        log_error("table %s is stopped: %s", verdict->name, reason);
}

static void judge(Breaker *breaker, BreakerTable *table, Batch *batch, const Verdict *verdict,
                  TableStates *states)
{
    Error last = verdict->last ? verdict->last->error : (Error){""};
    int64_t allowed = breaker_allowance(breaker, table->topic);

    if (verdict->loaded) {
        if (table->tripped)
            table_states_clear(states, verdict->name, CODE);
        table->tripped = false;
        table->left = breaker->limit;
        allowed = INT64_MAX;
    }
    if (verdict->cut || verdict->letters > allowed) {
        cut(batch, table->topic, allowed);
        table->left = breaker->limit < BREAKER_PROBE ? breaker->limit : BREAKER_PROBE;
        table->tripped = true;
        say_tripped(breaker, verdict, TABLE_STOPPED, &last, states);
    } else if (!verdict->loaded && verdict->letters > 0) {
        table->left -= verdict->letters;
        /* These came through, but no row has yet. */
        if (table->tripped)
            say_tripped(breaker, verdict, TABLE_LOADING, &last, states);
    }
}

static Status judge_topic(Breaker *breaker, Batch *batch, const char *topic, TableStates *states,
                          Error *error)
{
    Verdict verdict = look_at(batch, topic);
    BreakerTable *table;

    if (verdict.stopped) {
        batch_forget_letters(batch, topic);
        return STATUS_OK;
    }
    if (breaker->limit == 0)
        return STATUS_OK;
    /* Of a table that never failed nothing is kept. */
    if (verdict.letters == 0 && find_table(breaker, topic) == NULL)
        return STATUS_OK;
    table = claim_table(breaker, topic);
    if (table == NULL)
        return status_fail(error, STATUS_RETRY, "out of memory");
    judge(breaker, table, batch, &verdict, states);
    return STATUS_OK;
}

Status breaker_judge(Breaker *breaker, Batch *batch, TableStates *states, Error *error)
{
    Status status = STATUS_OK;

    if (batch->letter_count == 0 && breaker->count == 0)
        return STATUS_OK;
    for (size_t i = 0; i < batch->partition_count && status == STATUS_OK; i++) {
        bool seen = false;

        for (size_t before = 0; before < i && !seen; before++)
            seen = strcmp(batch->partitions[before].topic, batch->partitions[i].topic) == 0;
        if (!seen)
            status = judge_topic(breaker, batch, batch->partitions[i].topic, states, error);
    }
    return status;
}
