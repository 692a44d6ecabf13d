/* metrics_test.c - counters with labels, times that messages wait, histograms, and their form for Prometheus.
 */
#include "agent/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void sum_up(void *context, const Label *label)
{
    uint64_t *sums = context; /* all, others */

    sums[0] += label->count;
    if (strcmp(label->value, LABELS_OTHER_NAME) == 0)
        sums[1] += label->count;
}

static void test_labels_are_bounded(void **state)
{
    static Labels labels;
    uint64_t sums[2] = {0};
    char value[16];

    (void)state;
    assert_true(labels_init(&labels));
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < LABELS_MAX + 50; i++) {
            (void)snprintf(value, sizeof value, "t%d", i);
            labels_add(&labels, value, 1);
        }
    }
    labels_each(&labels, sum_up, sums);
    assert_int_equal(sums[0], 2 * (LABELS_MAX + 50));
    assert_int_equal(sums[1], 2 * 50);
    labels_fini(&labels);
}

static void test_long_labels_are_cut(void **state)
{
    static Labels labels;
    uint64_t sums[2] = {0};
    char value[2 * LABEL_BYTES_MAX];

    (void)state;
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    assert_true(labels_init(&labels));
    labels_add(&labels, value, 2);
    labels_add(&labels, value, 3);
    assert_int_equal(labels.count, 1);
    labels_each(&labels, sum_up, sums);
    assert_int_equal(sums[0], 5);
    labels_fini(&labels);
}

static void test_since_when_messages_wait(void **state)
{
    LagTimes times;

    (void)state;
    assert_true(lag_times_init(&times));
    assert_int_equal(lag_times_since(&times, "t", 0), 0);
    lag_times_taken(&times, "t", 0, 100);
    lag_times_taken(&times, "t", 0, 200);
    lag_times_taken(&times, "t", 1, 300);
    assert_int_equal(lag_times_since(&times, "t", 0), 100);
    assert_int_equal(lag_times_since(&times, "t", 1), 300);
    /* The batch is loaded, and the next begins with 200. */
    lag_times_loaded(&times, "t", 0, 150, 200);
    assert_int_equal(lag_times_since(&times, "t", 0), 200);
    /* All that was taken is loaded: what waits is not older than the last. */
    lag_times_loaded(&times, "t", 0, 250, 0);
    assert_int_equal(lag_times_since(&times, "t", 0), 250);
    lag_times_forget(&times);
    assert_int_equal(lag_times_since(&times, "t", 0), 0);
    lag_times_fini(&times);
}

static void assert_rendered(Metrics *metrics, const char *expected)
{
    size_t size = 0;
    char *text = metrics_render(metrics, &size);

    assert_non_null(text);
    assert_int_equal(strlen(text), size);
    if (strstr(text, expected) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", expected, text);
    free(text);
}

static void test_rendering(void **state)
{
    static Metrics metrics;

    (void)state;
    assert_true(metrics_init(&metrics));
    metrics_observe(&metrics.insert_seconds, 5000);
    metrics_observe(&metrics.insert_seconds, 5001);
    metrics_observe(&metrics.insert_seconds, 61000000);
    metrics_observe(&metrics.insert_seconds, -7); /* two clocks */
    assert_rendered(&metrics,
                    "_seconds_bucket{le=\"0.005\"} 2\nwalhouse_agent_insert_duration_seconds_bucket{le="
                    "\"0.01\"} 3\n");
    assert_rendered(&metrics,
                    "_seconds_bucket{le=\"60\"} 3\nwalhouse_agent_insert_duration_seconds_bucket{le="
                    "\"+Inf\"} 4\nwalhouse_agent_insert_duration_seconds_sum 61.010001\n"
                    "walhouse_agent_insert_duration_seconds_count 4\n");
    metrics_observe(&metrics.insert_bytes, 1 << 30);
    assert_rendered(&metrics, "_bytes_bucket{le=\"1073741824\"} 1\n");
    labels_add(&metrics.table_inserts, "a\"b\\c\nd", 2);
    assert_rendered(&metrics, "walhouse_agent_table_inserts_total{table=\"a\\\"b\\\\c\\nd\"} 2\n");
    (void)table_states_set(&metrics.tables, "t", TABLE_STOPPED, "breaker", "r", "w");
    (void)table_states_set(&metrics.tables, "t", TABLE_STOPPED, "gap", "r", "w");
    assert_rendered(&metrics, "walhouse_agent_tables_stopped 1\n");
    assert_rendered(&metrics, "walhouse_agent_table_state{table=\"t\",state=\"stopped\",code=\"gap\"} 1\n");
    metrics_fini(&metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_labels_are_bounded), cmocka_unit_test(test_long_labels_are_cut),
        cmocka_unit_test(test_since_when_messages_wait), cmocka_unit_test(test_rendering)};

    return cmocka_run_group_tests_name("agent_metrics", tests, NULL, NULL);
}
