/*
 * progress_test.c - the confirmed LSN never passes an event that is not acknowledged.
 *
 * A simulated server sends transactions, partly read ones and keepalives; a simulated Kafka acknowledges in
 * any order. A model that remembers every event says what may be confirmed at most, and what must be once all
 * is acknowledged.
 */
#include "progress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void a_commit_is_confirmed_when_its_events_are(void **state)
{
    uint8_t acked[8];
    ProgressMark marks[4];
    Progress p;

    (void)state;
    progress_init(&p, acked, 8, marks, 4, 100);
    progress_begin(&p);
    (void)progress_open(&p);
    (void)progress_open(&p);
    assert_true(progress_commit(&p, 200, 5));
    assert_true(progress_confirmed_lsn(&p) == 100);
    assert_true(progress_received_lsn(&p) == 200);
    assert_true(progress_ack(&p, 1));
    assert_true(progress_confirmed_lsn(&p) == 100);
    assert_true(progress_ack(&p, 0));
    assert_true(progress_confirmed_lsn(&p) == 200);
    assert_true(p.confirmed.transactions == 1 && p.confirmed.commit_time_us == 5);
    assert_false(progress_ack(&p, 0));
}

static void events_of_an_open_transaction_confirm_nothing(void **state)
{
    uint8_t acked[8];
    ProgressMark marks[4];
    Progress p;

    (void)state;
    progress_init(&p, acked, 8, marks, 4, 100);
    progress_begin(&p);
    (void)progress_open(&p);
    assert_true(progress_ack(&p, 0));
    progress_keepalive(&p, 500);
    assert_true(progress_confirmed_lsn(&p) == 100);
    assert_true(progress_commit(&p, 300, 1));
    assert_true(progress_confirmed_lsn(&p) == 300);
}

static void a_keepalive_confirms_when_everything_before_it_is_acknowledged(void **state)
{
    uint8_t acked[8];
    ProgressMark marks[4];
    Progress p;

    (void)state;
    progress_init(&p, acked, 8, marks, 4, 100);
    progress_keepalive(&p, 150);
    assert_true(progress_confirmed_lsn(&p) == 150);
    progress_keepalive(&p, 120); /* an old position */
    assert_true(progress_confirmed_lsn(&p) == 150);
    progress_begin(&p);
    (void)progress_open(&p);
    assert_true(progress_commit(&p, 200, 1));
    progress_keepalive(&p, 250);
    assert_true(progress_confirmed_lsn(&p) == 150);
    assert_true(progress_ack(&p, 0));
    assert_true(progress_confirmed_lsn(&p) == 250);
}

static void a_commit_that_goes_backwards_is_refused(void **state)
{
    uint8_t acked[8];
    ProgressMark marks[4];
    Progress p;

    (void)state;
    progress_init(&p, acked, 8, marks, 4, 100);
    assert_false(progress_commit(&p, 100, 1));
    assert_true(progress_commit(&p, 101, 1));
    assert_false(progress_commit(&p, 90, 1));
}

/* A full ring of marks delays, and loses nothing. */
static void a_full_ring_confirms_later(void **state)
{
    uint8_t acked[64];
    ProgressMark marks[2];
    Progress p;

    (void)state;
    progress_init(&p, acked, 64, marks, 2, 0);
    for (uint64_t i = 0; i < 10; i++) {
        progress_begin(&p);
        (void)progress_open(&p);
        assert_true(progress_commit(&p, 10 * (i + 1), 1));
    }
    assert_true(progress_ack(&p, 0));
    assert_true(progress_confirmed_lsn(&p) == 10);
    for (uint64_t i = 1; i < 9; i++)
        assert_true(progress_ack(&p, i));
    assert_true(progress_confirmed_lsn(&p) == 10);
    assert_true(progress_ack(&p, 9));
    assert_true(progress_confirmed_lsn(&p) == 100);
    assert_true(p.confirmed.transactions == 10);
}

/* ---- simulation ---- */

#define SIMULATED_EVENTS 600
#define SIMULATED_WINDOW 13

typedef struct Model {
    uint64_t random;
    uint64_t lsn;
    bool in_transaction;
    /* by ticket */
    bool acked[SIMULATED_EVENTS];
    uint64_t commit_lsn[SIMULATED_EVENTS]; /* where the transaction of the event ends; UINT64_MAX: not yet */
    uint64_t opened;
    uint64_t transaction_start; /* the first ticket of the open transaction */
} Model;

static uint64_t next_random(Model *m, uint64_t below)
{
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    return m->random % below;
}

/* Every event that is not acknowledged, or whose end has not been read, must lie beyond the confirmed LSN. */
static void check(const Model *m, const Progress *p)
{
    for (uint64_t i = 0; i < m->opened; i++)
        if (!m->acked[i] || m->commit_lsn[i] == UINT64_MAX)
            assert_true(m->commit_lsn[i] > progress_confirmed_lsn(p));
    if (m->in_transaction)
        assert_true(progress_confirmed_lsn(p) < m->lsn + 1);
}

static void simulate_server(Model *m, Progress *p)
{
    switch (next_random(m, 5)) {
    case 0:
    case 1: /* an event */
        if (m->opened == SIMULATED_EVENTS || progress_is_full(p))
            return;
        if (!m->in_transaction)
            m->transaction_start = m->opened;
        m->in_transaction = true;
        progress_begin(p);
        assert_true(progress_open(p) == m->opened);
        if (next_random(m, 10) == 0) { /* Kafka's queue was full: tried again */
            progress_cancel(p, m->opened);
            assert_true(progress_open(p) == m->opened);
        }
        m->commit_lsn[m->opened++] = UINT64_MAX;
        break;
    case 2:
    case 3: /* the end of the transaction */
        if (!m->in_transaction)
            return;
        m->lsn += 1 + next_random(m, 50);
        m->in_transaction = false;
        for (uint64_t i = m->transaction_start; i < m->opened; i++)
            m->commit_lsn[i] = m->lsn;
        assert_true(progress_commit(p, m->lsn, (int64_t)m->lsn));
        break;
    default: /* a keepalive; within a transaction the server may name a position before its end only */
        if (!m->in_transaction)
            m->lsn += next_random(m, 20);
        progress_keepalive(p, m->lsn);
        break;
    }
}

static void simulate_kafka(Model *m, Progress *p)
{
    uint64_t ticket;

    if (m->opened == 0)
        return;
    ticket = next_random(m, m->opened);
    assert_int_equal(progress_ack(p, ticket), !m->acked[ticket]);
    m->acked[ticket] = true;
}

static void run_simulation(uint64_t seed, size_t mark_capacity)
{
    static Model m;
    uint8_t acked[SIMULATED_WINDOW];
    ProgressMark marks[16];
    Progress p;

    m = (Model){.random = seed, .lsn = 1000};
    progress_init(&p, acked, SIMULATED_WINDOW, marks, mark_capacity, m.lsn);
    for (int step = 0; step < 6000; step++) {
        if (next_random(&m, 2))
            simulate_server(&m, &p);
        else
            simulate_kafka(&m, &p);
        check(&m, &p);
    }
    /* Everything ends and is acknowledged: then nothing may be held back. */
    if (m.in_transaction) {
        m.lsn += 10;
        assert_true(progress_commit(&p, m.lsn, 1));
    }
    for (uint64_t i = 0; i < m.opened; i++)
        (void)progress_ack(&p, i);
    progress_keepalive(&p, m.lsn + 1);
    assert_true(progress_in_flight(&p) == 0);
    assert_true(progress_confirmed_lsn(&p) == m.lsn + 1);
    assert_true(m.opened > 100);
}

static void no_order_of_events_breaks_the_invariant(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 100; seed++)
        run_simulation(seed * 2654435761u, 1 + seed % 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_commit_is_confirmed_when_its_events_are),
        cmocka_unit_test(events_of_an_open_transaction_confirm_nothing),
        cmocka_unit_test(a_keepalive_confirms_when_everything_before_it_is_acknowledged),
        cmocka_unit_test(a_commit_that_goes_backwards_is_refused),
        cmocka_unit_test(a_full_ring_confirms_later),
        cmocka_unit_test(no_order_of_events_breaks_the_invariant),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
