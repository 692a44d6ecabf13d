/*
 * snapshot_task_test.c - a table's snapshot stores only what Kafka acknowledged, and is resumed where it was.
 *
 * A simulated Postgres holds a table of numbered rows and the stored progress; a simulated Kafka acknowledges
 * in any order; the connection breaks, Postgres refuses, the process is killed. A model says what must hold.
 */
#include "snapshot_task.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define CHUNK_MS 250

static const uint8_t chunk_bytes[] = {'W', 1};

static SnapshotAnswer answer_of(SnapshotStatus status, int64_t rows, const char *key, uint64_t floor_lsn)
{
    return (SnapshotAnswer){.status = status,
                            .data = {chunk_bytes, rows > 0 ? sizeof chunk_bytes : 0},
                            .last_key = key,
                            .rows = rows,
                            .floor_lsn = floor_lsn};
}

static void ask(SnapshotTask *t, SnapshotAsk expected, int64_t now_ms)
{
    assert_int_equal(snapshot_task_next(t, now_ms), expected);
    if (expected != SNAPSHOT_ASK_NOTHING)
        snapshot_task_asked(t, expected, now_ms);
}

static void give_chunk(SnapshotTask *t, SnapshotAnswer answer, int64_t now_ms)
{
    ask(t, SNAPSHOT_ASK_CHUNK, now_ms);
    snapshot_task_chunk(t, &answer, now_ms);
}

static void send_chunk(SnapshotTask *t, uint64_t ticket)
{
    assert_true(snapshot_task_is_ready(t));
    (void)snapshot_task_take(t);
    assert_false(snapshot_task_is_ready(t));
    snapshot_task_sent(t, ticket);
}

static void progress_is_stored_when_kafka_has_the_rows(void **state)
{
    SnapshotTask t;

    (void)state;
    assert_true(snapshot_task_init(&t, 7, true, NULL, 0, CHUNK_MS));
    give_chunk(&t, answer_of(SNAPSHOT_MORE, 10, "{10}", 500), 0);
    give_chunk(&t, answer_of(SNAPSHOT_END, 5, "{15}", 400), 0);
    assert_string_equal(t.read_key, "{15}");
    ask(&t, SNAPSHOT_ASK_NOTHING, 0);
    send_chunk(&t, 10);
    send_chunk(&t, 15);
    snapshot_task_acked(&t, 9);
    ask(&t, SNAPSHOT_ASK_NOTHING, 0);
    snapshot_task_acked(&t, 15);
    /* Both at once: the later key, the rows of both, the lower floor. */
    ask(&t, SNAPSHOT_ASK_PROGRESS, 0);
    assert_string_equal(t.acked_key, "{15}");
    assert_true(t.acked_rows == 15 && t.acked_floor_lsn == 400);
    snapshot_task_stored(&t);
    assert_true(snapshot_task_rows(&t) == 15);
    ask(&t, SNAPSHOT_ASK_SWEEP, 0);
    snapshot_task_sweep(&t, (WhSlice){chunk_bytes, sizeof chunk_bytes});
    ask(&t, SNAPSHOT_ASK_NOTHING, 0);
    send_chunk(&t, 17);
    snapshot_task_acked(&t, 16);
    ask(&t, SNAPSHOT_ASK_NOTHING, 0);
    snapshot_task_acked(&t, 17);
    ask(&t, SNAPSHOT_ASK_END, 0);
    assert_string_equal(t.error.text, "");
    snapshot_task_ended(&t);
    assert_int_equal(t.state, SNAPSHOT_OVER);
    snapshot_task_fini(&t);
}

static void an_empty_table_without_a_sweep_is_over_at_once(void **state)
{
    SnapshotTask t;

    (void)state;
    assert_true(snapshot_task_init(&t, 7, true, NULL, 0, CHUNK_MS));
    give_chunk(&t, answer_of(SNAPSHOT_END, 0, NULL, 0), 0);
    ask(&t, SNAPSHOT_ASK_SWEEP, 0);
    snapshot_task_sweep(&t, (WhSlice){0});
    ask(&t, SNAPSHOT_ASK_END, 0);
    snapshot_task_ended(&t);
    snapshot_task_fini(&t);
}

static void it_waits_longer_and_longer_for_old_transactions(void **state)
{
    static const int64_t pauses[] = {200, 400, 800, 1600, 2000, 2000};
    SnapshotTask t;
    int64_t now = 1000;

    (void)state;
    assert_true(snapshot_task_init(&t, 7, true, NULL, 0, CHUNK_MS));
    for (size_t i = 0; i < sizeof pauses / sizeof pauses[0]; i++) {
        give_chunk(&t, answer_of(SNAPSHOT_WAIT, 0, NULL, 0), now);
        ask(&t, SNAPSHOT_ASK_NOTHING, now + pauses[i] - 1);
        now += pauses[i];
    }
    give_chunk(&t, answer_of(SNAPSHOT_MORE, 1, "{1}", 1), now);
    give_chunk(&t, answer_of(SNAPSHOT_WAIT, 0, NULL, 0), now);
    ask(&t, SNAPSHOT_ASK_CHUNK, now + 200);
    snapshot_task_broken(&t, now);
    snapshot_task_fini(&t);
}

static void chunks_grow_and_shrink_with_their_time(void **state)
{
    SnapshotTask t;

    (void)state;
    assert_true(snapshot_task_init(&t, 7, true, NULL, 0, CHUNK_MS));
    for (int64_t now = 0, rows = 1000, took; now < 20000; now += 1000) {
        SnapshotAnswer a = answer_of(SNAPSHOT_MORE, t.rows_limit, "{1}", 1);

        assert_true(t.rows_limit == rows);
        ask(&t, SNAPSHOT_ASK_CHUNK, now);
        took = now < 10000 ? 10 : 900; /* a quick table that becomes slow */
        snapshot_task_chunk(&t, &a, now + took);
        rows = now < 10000 ? rows * 2 : rows / 2;
        rows = rows > SNAPSHOT_ROWS_MAX   ? SNAPSHOT_ROWS_MAX
               : rows < SNAPSHOT_ROWS_MIN ? SNAPSHOT_ROWS_MIN
                                          : rows;
        send_chunk(&t, 0);
        snapshot_task_acked(&t, 0);
        ask(&t, SNAPSHOT_ASK_PROGRESS, now);
        snapshot_task_stored(&t);
    }
    assert_true(t.rows_limit == SNAPSHOT_ROWS_MIN);
    /* Bytes, not rows, ended the chunk: asking for more rows would change nothing. */
    give_chunk(&t, answer_of(SNAPSHOT_MORE, 50, "{2}", 1), 30000);
    assert_true(t.rows_limit == SNAPSHOT_ROWS_MIN);
    snapshot_task_fini(&t);
}

static void rows_that_a_filter_leaves_out_are_passed(void **state)
{
    SnapshotTask t;

    (void)state;
    assert_true(snapshot_task_init(&t, 7, true, NULL, 0, CHUNK_MS));
    give_chunk(&t, answer_of(SNAPSHOT_MORE, 0, "{5000}", 1), 0);
    assert_false(snapshot_task_is_ready(&t));
    assert_string_equal(t.read_key, "{5000}");
    give_chunk(&t, answer_of(SNAPSHOT_END, 0, NULL, 1), 1);
    ask(&t, SNAPSHOT_ASK_SWEEP, 2);
    snapshot_task_sweep(&t, (WhSlice){0});
    ask(&t, SNAPSHOT_ASK_END, 3);
    assert_int_equal(t.error.text[0], '\0');
    snapshot_task_ended(&t);
    snapshot_task_fini(&t);
}

static void a_chunk_without_rows_lowers_the_next_ones_floor(void **state)
{
    SnapshotTask t;

    (void)state;
    assert_true(snapshot_task_init(&t, 7, true, NULL, 0, CHUNK_MS));
    give_chunk(&t, answer_of(SNAPSHOT_MORE, 0, "{10}", 400), 0);
    give_chunk(&t, answer_of(SNAPSHOT_MORE, 0, "{20}", 450), 0);
    give_chunk(&t, answer_of(SNAPSHOT_MORE, 5, "{30}", 500), 0);
    send_chunk(&t, 5);
    snapshot_task_acked(&t, 5);
    ask(&t, SNAPSHOT_ASK_PROGRESS, 0);
    assert_true(t.acked_floor_lsn == 400);
    snapshot_task_stored(&t);
    give_chunk(&t, answer_of(SNAPSHOT_MORE, 5, "{40}", 500), 0);
    send_chunk(&t, 10);
    snapshot_task_acked(&t, 10);
    ask(&t, SNAPSHOT_ASK_PROGRESS, 0);
    assert_true(t.acked_floor_lsn == 500);
    snapshot_task_stored(&t);
    snapshot_task_fini(&t);
}

static void what_postgres_refuses_is_given_up_after_some_attempts(void **state)
{
    SnapshotTask t;
    int64_t now = 0;

    (void)state;
    assert_true(snapshot_task_init(&t, 7, true, "{5}", 5, CHUNK_MS));
    for (int i = 0; i < SNAPSHOT_ATTEMPTS_MAX; i++) {
        now = t.ask_at_ms;
        ask(&t, SNAPSHOT_ASK_CHUNK, now);
        snapshot_task_refused(&t, "permission denied", false, now);
    }
    assert_true(now >= 15000);
    ask(&t, SNAPSHOT_ASK_END, now);
    assert_string_equal(t.error.text, "permission denied");
    for (int i = 0; i < SNAPSHOT_ATTEMPTS_MAX; i++) {
        snapshot_task_refused(&t, "does not exist", false, now);
        now = t.ask_at_ms;
        if (i < SNAPSHOT_ATTEMPTS_MAX - 1)
            ask(&t, SNAPSHOT_ASK_END, now);
    }
    assert_int_equal(t.state, SNAPSHOT_OVER);
    snapshot_task_fini(&t);
}

static void a_broken_connection_is_never_given_up(void **state)
{
    SnapshotTask t;
    int64_t now = 0;

    (void)state;
    assert_true(snapshot_task_init(&t, 7, true, NULL, 0, CHUNK_MS));
    for (int i = 0; i < 1000; i++) {
        ask(&t, SNAPSHOT_ASK_CHUNK, now);
        snapshot_task_broken(&t, now);
        assert_true(t.ask_at_ms > now && t.ask_at_ms <= now + 5000);
        now = t.ask_at_ms;
    }
    assert_int_equal(t.state, SNAPSHOT_READING);
    snapshot_task_fini(&t);
}

static void a_chunk_that_cannot_be_sent_ends_the_snapshot(void **state)
{
    SnapshotTask t;

    (void)state;
    assert_true(snapshot_task_init(&t, 7, true, NULL, 0, CHUNK_MS));
    give_chunk(&t, answer_of(SNAPSHOT_MORE, 10, "{10}", 500), 0);
    (void)snapshot_task_take(&t);
    snapshot_task_rejected(&t, "damaged");
    assert_false(snapshot_task_is_ready(&t));
    ask(&t, SNAPSHOT_ASK_END, 0);
    assert_string_equal(t.error.text, "damaged");
    snapshot_task_ended(&t);
    snapshot_task_fini(&t);
}

static void a_cancelled_one_lets_go_when_nothing_is_under_way(void **state)
{
    SnapshotTask t;

    (void)state;
    assert_true(snapshot_task_init(&t, 7, true, NULL, 0, CHUNK_MS));
    give_chunk(&t, answer_of(SNAPSHOT_MORE, 10, "{10}", 500), 0);
    (void)snapshot_task_take(&t);
    ask(&t, SNAPSHOT_ASK_CHUNK, 0);
    snapshot_task_cancel(&t);
    assert_int_equal(t.state, SNAPSHOT_READING);
    snapshot_task_refused(&t, "no such snapshot", false, 0);
    assert_int_equal(t.state, SNAPSHOT_READING);
    snapshot_task_sent(&t, 10);
    assert_int_equal(t.state, SNAPSHOT_OVER);
    snapshot_task_fini(&t);
}

/* A table without a key is read from its start when its scan is interrupted; what was sent does not count. */
static void a_scan_that_is_interrupted_starts_again(void **state)
{
    SnapshotAnswer nothing = answer_of(SNAPSHOT_MORE, 0, NULL, 0);
    SnapshotAnswer some = answer_of(SNAPSHOT_MORE, 10, NULL, 500),
                   last = answer_of(SNAPSHOT_END, 3, NULL, 600);
    SnapshotTask t;

    (void)state;
    assert_true(snapshot_task_init(&t, 7, false, NULL, 1000, CHUNK_MS));
    ask(&t, SNAPSHOT_ASK_CHUNK, 0);
    snapshot_task_scan(&t, 500);
    snapshot_task_chunk(&t, &nothing, 0);
    ask(&t, SNAPSHOT_ASK_PROGRESS, 0);
    assert_true(t.acked_rows == 0 && t.acked_floor_lsn == 500);
    snapshot_task_stored(&t);
    give_chunk(&t, some, 0);
    send_chunk(&t, 10);
    ask(&t, SNAPSHOT_ASK_CHUNK, 0);
    snapshot_task_broken(&t, 0);
    ask(&t, SNAPSHOT_ASK_CHUNK, 200);
    snapshot_task_scan(&t, 600);
    snapshot_task_chunk(&t, &last, 200);
    snapshot_task_acked(&t, 10);
    ask(&t, SNAPSHOT_ASK_PROGRESS, 200);
    assert_true(t.acked_rows == 0 && t.acked_floor_lsn == 600);
    snapshot_task_stored(&t);
    send_chunk(&t, 13);
    snapshot_task_acked(&t, 13);
    ask(&t, SNAPSHOT_ASK_PROGRESS, 200);
    assert_true(t.acked_rows == 3 && t.acked_floor_lsn == 600);
    snapshot_task_stored(&t);
    ask(&t, SNAPSHOT_ASK_SWEEP, 200);
    snapshot_task_sweep(&t, (WhSlice){0});
    ask(&t, SNAPSHOT_ASK_END, 200);
    snapshot_task_ended(&t);
    snapshot_task_fini(&t);
}

/* ---- simulation ---- */

#define TABLE_ROWS  20000
#define TICKETS_MAX 2000000

typedef struct Model {
    uint64_t random;
    int64_t now_ms;
    /* Postgres */
    int64_t stored_row; /* the last row whose progress is stored; rows are numbered from 1 */
    int64_t rows_done;
    uint64_t floor_lsn;
    bool is_swept, is_over;
    /* Kafka, as the present process sees it: tickets are acknowledged up to here */
    uint64_t next_ticket, done_ticket;
    /* every row up to here has been acknowledged, in this process or an earlier one */
    int64_t acked_row;
    int64_t sent_row[16]; /* what is on its way: the last row of each chunk and the ticket after it */
    uint64_t sent_ticket[16];
    int sent_count;
    int64_t flowing_row;
    bool sweep_sent;
    uint64_t sweep_ticket;
    bool sweep_acked;
    /* figures */
    int64_t rows_read, kills, largest_chunk;
} Model;

static uint64_t next_random(Model *m, uint64_t below)
{
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    return m->random % below;
}

static int64_t row_of(const char *key)
{
    return key ? strtoll(key + 1, NULL, 10) : 0;
}

static void answer_chunk(Model *m, SnapshotTask *t)
{
    int64_t after = row_of(t->read_key), last = after + t->rows_limit;
    SnapshotAnswer answer;
    char key[32];

    if (next_random(m, 5) == 0) {
        answer = answer_of(SNAPSHOT_WAIT, 0, NULL, 0);
    } else {
        if (last > TABLE_ROWS)
            last = TABLE_ROWS;
        (void)snprintf(key, sizeof key, "{%lld}", (long long)last);
        answer = answer_of(last == TABLE_ROWS ? SNAPSHOT_END : SNAPSHOT_MORE, last - after,
                           last > after ? key : NULL, 1000 + next_random(m, 1000));
        if (t->rows_limit > m->largest_chunk)
            m->largest_chunk = t->rows_limit;
        m->rows_read += last - after;
    }
    m->now_ms += (int64_t)next_random(m, 700);
    snapshot_task_chunk(t, &answer, m->now_ms);
}

static void answer_progress(Model *m, SnapshotTask *t)
{
    int64_t row = row_of(t->acked_key);

    assert_true(row <= m->acked_row);
    assert_true(row > m->stored_row);
    assert_true(t->acked_rows == row - m->stored_row);
    m->stored_row = row;
    m->rows_done += t->acked_rows;
    snapshot_task_stored(t);
}

static void answer_sweep(Model *m, SnapshotTask *t)
{
    assert_true(m->stored_row == TABLE_ROWS && m->acked_row == TABLE_ROWS);
    m->sweep_sent = false;
    snapshot_task_sweep(t, (WhSlice){chunk_bytes, sizeof chunk_bytes});
}

static void simulate_postgres(Model *m, SnapshotTask *t)
{
    uint64_t luck = next_random(m, 20);

    if (luck == 0)
        snapshot_task_broken(t, m->now_ms);
    else if (luck == 1)
        snapshot_task_refused(t, "an error", next_random(m, 2), m->now_ms);
    else if (t->asked == SNAPSHOT_ASK_CHUNK)
        answer_chunk(m, t);
    else if (t->asked == SNAPSHOT_ASK_PROGRESS)
        answer_progress(m, t);
    else if (t->asked == SNAPSHOT_ASK_SWEEP)
        answer_sweep(m, t);
    else {
        assert_string_equal(t->error.text, "");
        assert_true(m->sweep_acked);
        m->is_over = true;
        snapshot_task_ended(t);
    }
}

/* A chunk comes into the flow, or leaves it with all its events sent. */
static void simulate_flow(Model *m, SnapshotTask *t)
{
    for (int i = 0; i < t->chunk_count; i++)
        if (t->chunks[i].state == CHUNK_FLOWING) {
            m->next_ticket += 1 + next_random(m, 30);
            if (t->state == SNAPSHOT_SWEEPING) {
                m->sweep_sent = true;
                m->sweep_ticket = m->next_ticket;
            } else {
                assert_true(m->sent_count < 16);
                m->sent_row[m->sent_count] = m->flowing_row;
                m->sent_ticket[m->sent_count++] = m->next_ticket;
            }
            snapshot_task_sent(t, m->next_ticket);
            return;
        }
    if (snapshot_task_is_ready(t)) {
        (void)snapshot_task_take(t);
        for (int i = 0; i < t->chunk_count; i++)
            if (t->chunks[i].state == CHUNK_FLOWING)
                m->flowing_row = row_of(t->chunks[i].last_key);
    }
}

static void simulate_kafka(Model *m, SnapshotTask *t)
{
    if (m->done_ticket < m->next_ticket)
        m->done_ticket += 1 + next_random(m, m->next_ticket - m->done_ticket);
    while (m->sent_count > 0 && m->sent_ticket[0] <= m->done_ticket) {
        if (m->sent_row[0] > m->acked_row)
            m->acked_row = m->sent_row[0];
        m->sent_count--;
        for (int i = 0; i < m->sent_count; i++) {
            m->sent_row[i] = m->sent_row[i + 1];
            m->sent_ticket[i] = m->sent_ticket[i + 1];
        }
    }
    m->sweep_acked |= m->sweep_sent && m->sweep_ticket <= m->done_ticket;
    snapshot_task_acked(t, m->done_ticket);
}

/* The process is gone; another takes up what is stored. */
static void start_process(Model *m, SnapshotTask *t)
{
    char key[32];

    (void)snprintf(key, sizeof key, "{%lld}", (long long)m->stored_row);
    m->next_ticket = m->done_ticket = 0;
    m->sent_count = 0;
    m->sweep_sent = m->sweep_acked = false;
    assert_true(snapshot_task_init(t, 7, true, m->stored_row ? key : NULL, m->rows_done, CHUNK_MS));
}

static void kill_process(Model *m, SnapshotTask *t)
{
    snapshot_task_fini(t);
    m->kills++;
    start_process(m, t);
}

static void run_simulation(uint64_t seed)
{
    Model m = {.random = seed};
    SnapshotTask t;

    start_process(&m, &t);
    for (int step = 0; step < 200000 && !m.is_over; step++) {
        SnapshotAsk next = snapshot_task_next(&t, m.now_ms);

        m.now_ms += (int64_t)next_random(&m, 50);
        if (next_random(&m, 500) == 0)
            kill_process(&m, &t);
        else if (t.asked != SNAPSHOT_ASK_NOTHING && next_random(&m, 3) == 0)
            simulate_postgres(&m, &t);
        else if (next_random(&m, 3) == 0)
            simulate_flow(&m, &t);
        else if (next_random(&m, 2))
            simulate_kafka(&m, &t);
        else if (t.asked == SNAPSHOT_ASK_NOTHING &&
                 (next = snapshot_task_next(&t, m.now_ms)) != SNAPSHOT_ASK_NOTHING)
            snapshot_task_asked(&t, next, m.now_ms);
        assert_true(m.stored_row <= m.acked_row);
    }
    assert_true(m.is_over);
    assert_true(m.stored_row == TABLE_ROWS && m.rows_done == TABLE_ROWS);
    assert_true(m.rows_read <= TABLE_ROWS + m.kills * SNAPSHOT_CHUNKS_AHEAD * m.largest_chunk);
    snapshot_task_fini(&t);
}

static void no_order_of_events_breaks_the_invariant(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++)
        run_simulation(seed * 2654435761u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(progress_is_stored_when_kafka_has_the_rows),
        cmocka_unit_test(an_empty_table_without_a_sweep_is_over_at_once),
        cmocka_unit_test(it_waits_longer_and_longer_for_old_transactions),
        cmocka_unit_test(chunks_grow_and_shrink_with_their_time),
        cmocka_unit_test(rows_that_a_filter_leaves_out_are_passed),
        cmocka_unit_test(a_chunk_without_rows_lowers_the_next_ones_floor),
        cmocka_unit_test(what_postgres_refuses_is_given_up_after_some_attempts),
        cmocka_unit_test(a_broken_connection_is_never_given_up),
        cmocka_unit_test(a_chunk_that_cannot_be_sent_ends_the_snapshot),
        cmocka_unit_test(a_cancelled_one_lets_go_when_nothing_is_under_way),
        cmocka_unit_test(a_scan_that_is_interrupted_starts_again),
        cmocka_unit_test(no_order_of_events_breaks_the_invariant),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
