/* source_news_test.c - what is kept of the publisher's control events. */
#include "agent/source_news.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void take(SourceNews *news, const char *event)
{
    source_news_take(news, event, strlen(event));
}

static void check(json_t *found, const char *expected)
{
    json_t *wanted = json_loads(expected, JSON_DECODE_ANY, NULL);

    assert_non_null(wanted);
    if (!json_equal(found, wanted))
        (void)json_dumpf(found, stderr, JSON_ENCODE_ANY);
    assert_true(json_equal(found, wanted));
    json_decref(found);
    json_decref(wanted);
}

static void the_newest_heartbeat_counts(void **state)
{
    SourceNews news;

    (void)state;
    assert_true(source_news_init(&news));
    check(source_news_source(&news), "null");
    take(&news, "{\"kind\": \"heartbeat\", \"pipeline\": \"shop\", \"lsn\": \"1/10\", "
                "\"server_lsn\": \"1/30\", \"retained_wal_bytes\": 4096, \"sent_at\": 2000000}");
    take(&news, "{\"kind\": \"heartbeat\", \"pipeline\": \"old\", \"lsn\": \"0/1\", \"sent_at\": 1000000}");
    check(source_news_source(&news),
          "{\"pipeline\": \"shop\", \"lsn\": \"1/10\", \"server_lsn\": \"1/30\", \"lag_bytes\": 32, "
          "\"retained_wal_bytes\": 4096, \"sent_at_ms\": 2000}");
    source_news_fini(&news);
}

static void an_older_publisher_says_less(void **state)
{
    SourceNews news;

    (void)state;
    assert_true(source_news_init(&news));
    take(&news, "{\"kind\": \"heartbeat\", \"pipeline\": \"shop\", \"lsn\": \"0/10\", \"sent_at\": 5000}");
    check(source_news_source(&news), "{\"pipeline\": \"shop\", \"lsn\": \"0/10\", \"server_lsn\": null, "
                                     "\"lag_bytes\": null, \"retained_wal_bytes\": null, \"sent_at_ms\": 5}");
    source_news_fini(&news);
}

static void a_publisher_that_has_just_begun_knows_no_position(void **state)
{
    SourceNews news;

    (void)state;
    assert_true(source_news_init(&news));
    take(&news,
         "{\"kind\": \"heartbeat\", \"pipeline\": \"shop\", \"lsn\": \"0/0\", \"server_lsn\": \"0/30\", "
         "\"sent_at\": 5000}");
    check(source_news_source(&news), "{\"pipeline\": \"shop\", \"lsn\": null, \"server_lsn\": \"0/30\", "
                                     "\"lag_bytes\": null, \"retained_wal_bytes\": null, \"sent_at_ms\": 5}");
    source_news_fini(&news);
}

static void other_things_are_passed_over(void **state)
{
    SourceNews news;

    (void)state;
    assert_true(source_news_init(&news));
    take(&news, "");
    take(&news, "{\"kind\": \"heartbeat\"");
    take(&news, "[\"heartbeat\"]");
    take(&news, "{\"kind\": \"heartbeat\", \"sent_at\": \"now\"}");
    take(&news, "{\"kind\": \"source_statistics\", \"sent_at\": 1}");
    check(source_news_source(&news), "null");
    check(source_news_snapshots(&news), "[]");
    source_news_fini(&news);
}

static void snapshots_are_bounded_and_the_newest_first(void **state)
{
    SourceNews news;
    char event[200];
    json_t *list;

    (void)state;
    assert_true(source_news_init(&news));
    for (int id = 1; id <= SOURCE_SNAPSHOTS_MAX + 10; id++) {
        (void)snprintf(event, sizeof event,
                       "{\"kind\": \"snapshot\", \"id\": %d, \"table\": \"t\", \"rows_done\": 1, "
                       "\"sent_at\": %d000}",
                       id, id);
        take(&news, event);
    }
    /* The last one goes on, the one before it is told of once more and late. */
    take(&news,
         "{\"kind\": \"snapshot\", \"id\": 74, \"schema\": \"s\", \"table\": \"t\", \"reason\": \"initial\", "
         "\"state\": \"done\", \"rows_done\": 7, \"estimated_rows\": 9, \"sent_at\": 90000}");
    take(&news, "{\"kind\": \"snapshot\", \"id\": 73, \"rows_done\": 5, \"sent_at\": 3000}");
    list = source_news_snapshots(&news);
    assert_int_equal(json_array_size(list), SOURCE_SNAPSHOTS_MAX);
    check(json_incref(json_array_get(list, 0)),
          "{\"id\": 74, \"schema\": \"s\", \"table\": \"t\", \"reason\": \"initial\", \"state\": \"done\", "
          "\"rows_done\": 7, \"estimated_rows\": 9, \"error\": null, \"sent_at_ms\": 90}");
    assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 1), "rows_done")), 1);
    assert_int_equal(
        json_integer_value(json_object_get(json_array_get(list, SOURCE_SNAPSHOTS_MAX - 1), "id")), 11);
    json_decref(list);
    source_news_fini(&news);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_newest_heartbeat_counts),
                                       cmocka_unit_test(an_older_publisher_says_less),
                                       cmocka_unit_test(a_publisher_that_has_just_begun_knows_no_position),
                                       cmocka_unit_test(other_things_are_passed_over),
                                       cmocka_unit_test(snapshots_are_bounded_and_the_newest_first)};

    return cmocka_run_group_tests_name("agent_source_news", tests, NULL, NULL);
}
