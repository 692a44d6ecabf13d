/*
 * ack_window_test.c - the contiguous acknowledged prefix, against a model that knows every ticket.
 */
#include "ack_window.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void the_prefix_waits_for_the_oldest(void **state)
{
    uint8_t acked[4];
    WhAckWindow w;

    (void)state;
    wh_ack_window_init(&w, acked, 4);
    for (uint64_t i = 0; i < 4; i++)
        assert_true(wh_ack_window_open(&w) == i);
    assert_true(wh_ack_window_is_full(&w));
    assert_true(wh_ack_window_ack(&w, 1));
    assert_true(wh_ack_window_ack(&w, 3));
    assert_true(wh_ack_window_done(&w) == 0);
    assert_true(wh_ack_window_ack(&w, 0));
    assert_true(wh_ack_window_done(&w) == 2);
    assert_true(wh_ack_window_ack(&w, 2));
    assert_true(wh_ack_window_done(&w) == 4);
}

static void what_is_not_open_cannot_be_acknowledged(void **state)
{
    uint8_t acked[2];
    WhAckWindow w;

    (void)state;
    wh_ack_window_init(&w, acked, 2);
    assert_false(wh_ack_window_ack(&w, 0));
    (void)wh_ack_window_open(&w);
    assert_true(wh_ack_window_ack(&w, 0));
    assert_false(wh_ack_window_ack(&w, 0));
    assert_false(wh_ack_window_ack(&w, 1));
    (void)wh_ack_window_open(&w);
    wh_ack_window_cancel(&w, 1);
    assert_false(wh_ack_window_ack(&w, 1));
    assert_true(wh_ack_window_open(&w) == 1);
}

/* Random opens, cancels and acknowledgements in windows of every small size, compared with a plain list. */
static void a_model_agrees(void **state)
{
    enum { tickets = 400 };
    uint64_t random = 2463534242u;

    (void)state;
    for (size_t capacity = 1; capacity <= 17; capacity++) {
        uint8_t acked[17];
        bool model[tickets] = {false};
        uint64_t done = 0, next = 0;
        WhAckWindow w;

        wh_ack_window_init(&w, acked, capacity);
        while (done < tickets) {
            uint64_t choice = next_random(&random) % 8;

            assert_int_equal(wh_ack_window_is_full(&w), next - done == capacity);
            if (choice < 4 && next < tickets && next - done < capacity) {
                assert_true(wh_ack_window_open(&w) == next);
                next++;
            } else if (choice == 4 && next > done && !model[next - 1]) {
                wh_ack_window_cancel(&w, --next);
            } else if (next > 0) {
                uint64_t ticket = next_random(&random) % (next + 2);
                bool open = ticket >= done && ticket < next && !model[ticket];

                assert_int_equal(wh_ack_window_ack(&w, ticket), open);
                if (open)
                    model[ticket] = true;
                while (done < next && model[done])
                    done++;
            }
            assert_true(wh_ack_window_done(&w) == done);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_prefix_waits_for_the_oldest),
        cmocka_unit_test(what_is_not_open_cannot_be_acknowledged),
        cmocka_unit_test(a_model_agrees),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
