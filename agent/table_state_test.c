/* table_state_test.c - the list of what tables do. */
#include "agent/table_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void append(void *context, const TableState *state)
{
    char *text = context;
    size_t size = strlen(text);

    (void)snprintf(text + size, 1024 - size, "%s %s %s: %s / %s\n", state->table,
                   table_state_name(state->kind), state->code, state->reason, state->way_out);
}

static void assert_list(TableStates *states, const char *expected)
{
    char text[1024] = "";

    table_states_each(states, append, text);
    assert_string_equal(text, expected);
}

static void test_order_and_change(void **unused)
{
    TableStates states;

    (void)unused;
    assert_true(table_states_init(&states));
    assert_true(table_states_set(&states, "b", TABLE_FILLING, "key_change", "r", "w"));
    assert_true(table_states_set(&states, "b", TABLE_STOPPED, "breaker", "r", "w"));
    assert_true(table_states_set(&states, "a", TABLE_STOPPED, "type_change", "r", "w"));
    assert_false(table_states_set(&states, "a", TABLE_STOPPED, "type_change", "r", "w"));
    assert_true(table_states_set(&states, "a", TABLE_STOPPED, "type_change", "other", "w"));
    assert_list(&states, "a stopped type_change: other / w\nb stopped breaker: r / w\n"
                         "b filling key_change: r / w\n");
    /* Another kind of the same code moves. */
    assert_true(table_states_set(&states, "a", TABLE_FILLING, "type_change", "r", "w"));
    assert_list(&states,
                "b stopped breaker: r / w\na filling type_change: r / w\nb filling key_change: r / w\n");
    table_states_fini(&states);
}

static void test_counting_and_clearing(void **unused)
{
    TableStates states;

    (void)unused;
    assert_true(table_states_init(&states));
    for (int i = 0; i < 20; i++) {
        char table[16];

        (void)snprintf(table, sizeof table, "t%02d", i);
        assert_true(table_states_set(&states, table, TABLE_STOPPED, "one", "", ""));
        assert_true(table_states_set(&states, table, TABLE_STOPPED, "two", "", ""));
        assert_true(table_states_set(&states, table, TABLE_FILLING, "three", "", ""));
    }
    assert_int_equal(table_states_count(&states, TABLE_STOPPED), 20);
    table_states_clear(&states, "t03", "one");
    assert_int_equal(table_states_count(&states, TABLE_STOPPED), 20);
    table_states_loaded(&states, "t03");
    assert_int_equal(table_states_count(&states, TABLE_STOPPED), 19);
    assert_int_equal(table_states_count(&states, TABLE_FILLING), 20);
    table_states_clear(&states, "t03", NULL);
    assert_int_equal(table_states_count(&states, TABLE_FILLING), 19);
    table_states_forget_stopped(&states);
    assert_int_equal(table_states_count(&states, TABLE_STOPPED), 0);
    assert_int_equal(table_states_count(&states, TABLE_FILLING), 19);
    table_states_fini(&states);
}

static void test_long_texts_are_cut(void **unused)
{
    TableStates states;
    char text[2000];

    (void)unused;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_true(table_states_init(&states));
    assert_true(table_states_set(&states, text, TABLE_STOPPED, text, text, text));
    assert_false(table_states_set(&states, text, TABLE_STOPPED, text, text, text));
    table_states_fini(&states);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_and_change),
        cmocka_unit_test(test_counting_and_clearing),
        cmocka_unit_test(test_long_texts_are_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
