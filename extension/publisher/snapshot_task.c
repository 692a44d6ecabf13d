/*
 * snapshot_task.c - transitions of one table's snapshot; see snapshot_task.h.
 */
#include "snapshot_task.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_FIRST       1000
#define WAIT_FIRST_MS    200
#define WAIT_LAST_MS     2000
#define REFUSAL_FIRST_MS 1000
#define REFUSAL_LAST_MS  16000
#define BREAK_FIRST_MS   200
#define BREAK_LAST_MS    5000

static int64_t backoff_ms(int64_t first, int64_t last, unsigned times)
{
    int64_t ms = first;

    for (unsigned i = 1; i < times && ms < last; i++)
        ms *= 2;
    return ms < last ? ms : last;
}

/* ---- life ---- */

bool snapshot_task_init(SnapshotTask *t, int64_t id, bool keyed, const char *last_key, int64_t rows_done,
                        int64_t chunk_ms)
{
    *t = (SnapshotTask){
        .id = id, .keyed = keyed, .rows_limit = ROWS_FIRST, .chunk_ms = chunk_ms, .rows_done = rows_done};
    if (last_key)
        t->read_key = strdup(last_key);
    return last_key == NULL || t->read_key != NULL;
}

static void free_chunk(SnapshotChunk *chunk)
{
    free(chunk->data);
    free(chunk->last_key);
    *chunk = (SnapshotChunk){0};
}

void snapshot_task_fini(SnapshotTask *t)
{
    for (int i = 0; i < t->chunk_count; i++)
        free_chunk(&t->chunks[i]);
    free(t->read_key);
    free(t->acked_key);
    *t = (SnapshotTask){.state = SNAPSHOT_OVER};
}

/* ---- the one place where the state changes ---- */

static bool is_flowing(const SnapshotTask *t)
{
    for (int i = 0; i < t->chunk_count; i++)
        if (t->chunks[i].state == CHUNK_FLOWING)
            return true;
    return false;
}

static bool all_is_stored(const SnapshotTask *t)
{
    return t->chunk_count == 0 && !t->has_acked;
}

static void advance(SnapshotTask *t)
{
    if (t->state == SNAPSHOT_OVER || t->asked != SNAPSHOT_ASK_NOTHING)
        return;
    if (t->is_cancelled) {
        if (!is_flowing(t))
            t->state = SNAPSHOT_OVER;
        return;
    }
    if (t->error.text[0] != '\0')
        t->state = SNAPSHOT_ENDING;
    else if (t->state == SNAPSHOT_READING && t->at_end && all_is_stored(t))
        t->state = SNAPSHOT_SWEEPING;
    else if (t->state == SNAPSHOT_SWEEPING && t->is_swept && all_is_stored(t))
        t->state = SNAPSHOT_ENDING;
}

static void give_up(SnapshotTask *t, const char *reason)
{
    (void)failure_set(&t->error, "%s", *reason ? reason : "unknown error");
    t->refusals = 0;
    t->ask_at_ms = 0;
    advance(t);
}

/* ---- questions ---- */

SnapshotAsk snapshot_task_next(const SnapshotTask *t, int64_t now_ms)
{
    if (t->asked != SNAPSHOT_ASK_NOTHING || t->is_cancelled || now_ms < t->ask_at_ms)
        return SNAPSHOT_ASK_NOTHING;
    switch (t->state) {
    case SNAPSHOT_READING:
        if (t->has_acked)
            return SNAPSHOT_ASK_PROGRESS;
        return !t->at_end && t->chunk_count < SNAPSHOT_CHUNKS_AHEAD ? SNAPSHOT_ASK_CHUNK
                                                                    : SNAPSHOT_ASK_NOTHING;
    case SNAPSHOT_SWEEPING:
        return t->is_swept ? SNAPSHOT_ASK_NOTHING : SNAPSHOT_ASK_SWEEP;
    case SNAPSHOT_ENDING:
        return is_flowing(t) ? SNAPSHOT_ASK_NOTHING : SNAPSHOT_ASK_END;
    case SNAPSHOT_OVER:
        break;
    }
    return SNAPSHOT_ASK_NOTHING;
}

void snapshot_task_asked(SnapshotTask *t, SnapshotAsk ask, int64_t now_ms)
{
    assert(ask != SNAPSHOT_ASK_NOTHING && ask == snapshot_task_next(t, now_ms));
    t->asked = ask;
    t->asked_ms = now_ms;
}

static void answered(SnapshotTask *t)
{
    assert(t->asked != SNAPSHOT_ASK_NOTHING);
    t->asked = SNAPSHOT_ASK_NOTHING;
    t->ask_at_ms = 0;
    t->refusals = 0;
    t->breaks = 0;
}

/* ---- answers ---- */

/* Aims at chunk_ms a query; a chunk that its bytes ended early says nothing about more rows. */
static void adapt(SnapshotTask *t, int64_t rows, int64_t took_ms)
{
    if (took_ms > 2 * t->chunk_ms)
        t->rows_limit /= 2;
    else if (took_ms * 2 < t->chunk_ms && rows >= t->rows_limit)
        t->rows_limit *= 2;
    if (t->rows_limit < SNAPSHOT_ROWS_MIN)
        t->rows_limit = SNAPSHOT_ROWS_MIN;
    if (t->rows_limit > SNAPSHOT_ROWS_MAX)
        t->rows_limit = SNAPSHOT_ROWS_MAX;
}

/* Keeps a copy of the chunk at the queue's end. false: memory is short, and nothing has changed. */
static bool keep_chunk(SnapshotTask *t, const SnapshotAnswer *answer)
{
    SnapshotChunk chunk = {.state = CHUNK_READY, .rows = answer->rows, .floor_lsn = answer->floor_lsn};

    assert(t->chunk_count < SNAPSHOT_CHUNKS_AHEAD);
    if (t->passed_floor_lsn > 0 && t->passed_floor_lsn < chunk.floor_lsn)
        chunk.floor_lsn = t->passed_floor_lsn;
    if (answer->last_key) {
        chunk.last_key = strdup(answer->last_key);
        if (chunk.last_key == NULL)
            return false;
    }
    if (answer->data.size > 0) {
        chunk.size = answer->data.size;
        chunk.data = malloc(chunk.size);
        if (chunk.data == NULL) {
            free_chunk(&chunk);
            return false;
        }
        memcpy(chunk.data, answer->data.data, chunk.size);
    }
    t->chunks[t->chunk_count++] = chunk;
    t->passed_floor_lsn = 0;
    return true;
}

static void wait_for_transactions(SnapshotTask *t, int64_t now_ms)
{
    t->wait_ms = t->wait_ms == 0 ? WAIT_FIRST_MS : 2 * t->wait_ms;
    if (t->wait_ms > WAIT_LAST_MS)
        t->wait_ms = WAIT_LAST_MS;
    t->ask_at_ms = now_ms + t->wait_ms;
}

/*
 * That a chunk found no rows is true under its floor only: a row may have come there since, and the sweep,
 * which takes what is below the lowest floor, must not take it. The chunk that comes next says it.
 */
static void pass_floor(SnapshotTask *t, uint64_t floor_lsn)
{
    if (t->passed_floor_lsn == 0 || floor_lsn < t->passed_floor_lsn)
        t->passed_floor_lsn = floor_lsn;
}

void snapshot_task_chunk(SnapshotTask *t, const SnapshotAnswer *answer, int64_t now_ms)
{
    char *key = NULL;

    assert(t->asked == SNAPSHOT_ASK_CHUNK);
    answered(t);
    if (answer->status == SNAPSHOT_WAIT) {
        t->scans -= t->scans > 0;
        wait_for_transactions(t, now_ms);
        advance(t);
        return;
    }
    t->wait_ms = 0;
    if (answer->rows == 0)
        pass_floor(t, answer->floor_lsn);
    if (answer->rows > 0)
        adapt(t, answer->rows, now_ms - t->asked_ms);
    if (answer->rows > 0 || answer->last_key) {
        if (answer->last_key)
            key = strdup(answer->last_key);
        if ((answer->last_key && key == NULL) || (answer->rows > 0 && !keep_chunk(t, answer))) {
            free(key);
            give_up(t, "the publisher is out of memory");
            return;
        }
        free(t->read_key);
        t->read_key = key;
        t->rows_read += answer->rows;
    }
    t->at_end = answer->status == SNAPSHOT_END;
    /* A filter may leave nothing of the rows that were looked at; it goes on after them. */
    if (answer->status == SNAPSHOT_MORE && answer->rows == 0 && t->keyed && answer->last_key == NULL)
        give_up(t, "Postgres gave a chunk without rows or key that is not the last");
    advance(t);
}

/* That the scan began is stored like a chunk without rows, so that the sweep knows its floor. */
void snapshot_task_scan(SnapshotTask *t, uint64_t floor_lsn)
{
    assert(!t->keyed && t->asked == SNAPSHOT_ASK_CHUNK);
    for (int i = 0; i < t->chunk_count; i++)
        t->chunks[i].rows = 0;
    t->at_end = false;
    t->rows_done = 0;
    t->acked_rows = 0;
    t->acked_floor_lsn = floor_lsn;
    t->has_acked = true;
    if (++t->scans > SNAPSHOT_SCANS_MAX)
        (void)failure_set(&t->error, "the scan was interrupted %d times", SNAPSHOT_SCANS_MAX);
}

void snapshot_task_stored(SnapshotTask *t)
{
    assert(t->asked == SNAPSHOT_ASK_PROGRESS && t->has_acked);
    answered(t);
    t->rows_done += t->acked_rows;
    free(t->acked_key);
    t->acked_key = NULL;
    t->acked_rows = 0;
    t->has_acked = false;
    advance(t);
}

void snapshot_task_sweep(SnapshotTask *t, WhSlice chunk)
{
    SnapshotAnswer answer = {.data = chunk};

    assert(t->asked == SNAPSHOT_ASK_SWEEP && all_is_stored(t));
    answered(t);
    t->is_swept = true;
    if (chunk.size > 0 && !keep_chunk(t, &answer))
        give_up(t, "the publisher is out of memory");
    advance(t);
}

void snapshot_task_ended(SnapshotTask *t)
{
    assert(t->asked == SNAPSHOT_ASK_END);
    answered(t);
    t->state = SNAPSHOT_OVER;
}

void snapshot_task_refused(SnapshotTask *t, const char *reason, bool too_slow, int64_t now_ms)
{
    SnapshotAsk ask = t->asked;
    unsigned refusals = t->refusals + 1;

    answered(t);
    t->refusals = refusals;
    t->ask_at_ms = now_ms + backoff_ms(REFUSAL_FIRST_MS, REFUSAL_LAST_MS, refusals);
    if (too_slow && ask == SNAPSHOT_ASK_CHUNK)
        t->rows_limit = t->rows_limit / 8 > SNAPSHOT_ROWS_MIN ? t->rows_limit / 8 : SNAPSHOT_ROWS_MIN;
    if (refusals >= SNAPSHOT_ATTEMPTS_MAX) {
        if (ask == SNAPSHOT_ASK_END)
            t->state = SNAPSHOT_OVER; /* it stays open in the catalog, and is found there again */
        else
            give_up(t, reason);
    }
    advance(t);
}

void snapshot_task_broken(SnapshotTask *t, int64_t now_ms)
{
    t->asked = SNAPSHOT_ASK_NOTHING;
    t->breaks++;
    t->ask_at_ms = now_ms + backoff_ms(BREAK_FIRST_MS, BREAK_LAST_MS, t->breaks);
    advance(t);
}

/* ---- on the way to Kafka ---- */

static SnapshotChunk *first_in(SnapshotTask *t, SnapshotChunkState state)
{
    for (int i = 0; i < t->chunk_count; i++)
        if (t->chunks[i].state == state)
            return &t->chunks[i];
    return NULL;
}

bool snapshot_task_is_ready(const SnapshotTask *t)
{
    bool ready = false;

    if (t->state == SNAPSHOT_OVER || t->is_cancelled || t->error.text[0] != '\0')
        return false;
    for (int i = 0; i < t->chunk_count; i++) {
        if (t->chunks[i].state == CHUNK_FLOWING)
            return false;
        ready |= t->chunks[i].state == CHUNK_READY;
    }
    return ready;
}

WhSlice snapshot_task_take(SnapshotTask *t)
{
    SnapshotChunk *chunk = first_in(t, CHUNK_READY);

    assert(chunk && !is_flowing(t));
    chunk->state = CHUNK_FLOWING;
    return (WhSlice){chunk->data, chunk->size};
}

void snapshot_task_sent(SnapshotTask *t, uint64_t ticket)
{
    SnapshotChunk *chunk = first_in(t, CHUNK_FLOWING);

    assert(chunk);
    chunk->state = CHUNK_SENT;
    chunk->ticket = ticket;
    free(chunk->data);
    chunk->data = NULL;
    advance(t);
}

void snapshot_task_rejected(SnapshotTask *t, const char *reason)
{
    SnapshotChunk *chunk = first_in(t, CHUNK_FLOWING);

    assert(chunk);
    chunk->state = CHUNK_READY;
    give_up(t, reason);
}

/* The first chunk is acknowledged: what it says is to be stored. */
static void take_acked(SnapshotTask *t)
{
    SnapshotChunk *chunk = &t->chunks[0];

    if (chunk->rows > 0) {
        free(t->acked_key);
        t->acked_key = chunk->last_key;
        chunk->last_key = NULL;
        t->acked_floor_lsn =
            t->has_acked && t->acked_floor_lsn < chunk->floor_lsn ? t->acked_floor_lsn : chunk->floor_lsn;
        t->acked_rows += chunk->rows;
        t->has_acked = true;
    }
    free_chunk(chunk);
    for (int i = 1; i < t->chunk_count; i++)
        t->chunks[i - 1] = t->chunks[i];
    t->chunk_count--;
    t->chunks[t->chunk_count] = (SnapshotChunk){0};
}

void snapshot_task_acked(SnapshotTask *t, uint64_t done)
{
    /* While progress is being stored, what it says must not change. */
    if (t->asked == SNAPSHOT_ASK_PROGRESS)
        return;
    while (t->chunk_count > 0 && t->chunks[0].state == CHUNK_SENT && t->chunks[0].ticket <= done)
        take_acked(t);
    advance(t);
}

void snapshot_task_cancel(SnapshotTask *t)
{
    t->is_cancelled = true;
    advance(t);
}

int64_t snapshot_task_rows(const SnapshotTask *t)
{
    return t->rows_done + t->acked_rows;
}
