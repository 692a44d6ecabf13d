/*
 * control_test.c - control events as the JSON of docs/wire-format.md.
 */
#include "control.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void assert_text(const WhWriter *w, const char *expected)
{
    char text[1024];

    assert_false(w->full);
    (void)snprintf(text, sizeof text, "%.*s", (int)w->length, (const char *)w->data);
    assert_string_equal(text, expected);
}

static void a_heartbeat_is_as_documented(void **state)
{
    uint8_t bytes[CONTROL_HEARTBEAT_BYTES_MAX];
    WhWriter w = wh_writer(bytes, sizeof bytes);
    ControlHeartbeat heartbeat = {.pipeline = "shop",
                                  .acked_lsn = UINT64_C(0x1A2B3C4),
                                  .server_lsn = UINT64_C(0x1A2B400),
                                  .retained_wal_bytes = 16777216,
                                  .sent_at_us = INT64_C(1767225600000000)};

    (void)state;
    control_put_heartbeat(&w, &heartbeat);
    assert_text(&w, "{\"kind\": \"heartbeat\", \"pipeline\": \"shop\", \"lsn\": \"0/1A2B3C4\", "
                    "\"server_lsn\": \"0/1A2B400\", \"retained_wal_bytes\": 16777216, "
                    "\"sent_at\": 1767225600000000}");
    heartbeat.retained_wal_bytes = -1;
    w = wh_writer(bytes, sizeof bytes);
    control_put_heartbeat(&w, &heartbeat);
    assert_text(&w, "{\"kind\": \"heartbeat\", \"pipeline\": \"shop\", \"lsn\": \"0/1A2B3C4\", "
                    "\"server_lsn\": \"0/1A2B400\", \"sent_at\": 1767225600000000}");
}

static void statistics_are_as_documented(void **state)
{
    uint8_t bytes[1024];
    WhWriter w = wh_writer(bytes, sizeof bytes);

    (void)state;
    control_put_statistics_head(
        &w,
        &(ControlStatistics){.pipeline = "shop", .epoch = 2, .lsn = UINT64_C(0x500000010), .taken_at_us = 5});
    control_put_statistics_table(&w, true, "public", "orders", 1234, true);
    control_put_statistics_table(&w, false, "odd \"one\"\\", "tab\there", 5000000, false);
    control_put_statistics_end(&w, true);
    assert_text(
        &w, "{\"kind\": \"source_statistics\", \"pipeline\": \"shop\", \"epoch\": 2, \"lsn\": \"5/10\", "
            "\"taken_at\": 5, "
            "\"tables\": [{\"schema\": \"public\", \"table\": \"orders\", \"rows\": 1234, \"exact\": true}, "
            "{\"schema\": \"odd \\\"one\\\"\\\\\", \"table\": \"tab\\u0009here\", \"rows\": 5000000, "
            "\"exact\": false}], \"settled\": true}");
}

static void what_does_not_fit_is_said(void **state)
{
    uint8_t bytes[60];
    WhWriter w = wh_writer(bytes, sizeof bytes);

    (void)state;
    control_put_heartbeat(&w, &(ControlHeartbeat){.pipeline = "shop"});
    assert_true(w.full);
}

static void a_snapshot_is_as_documented(void **state)
{
    uint8_t bytes[CONTROL_SNAPSHOT_BYTES_MAX];
    WhWriter w = wh_writer(bytes, sizeof bytes);
    ControlSnapshot snapshot = {.pipeline = "shop",
                                .id = 7,
                                .schema = "public",
                                .table = "orders",
                                .reason = "initial",
                                .state = "running",
                                .error = "",
                                .rows_done = 1000,
                                .estimated_rows = 5000,
                                .sent_at_us = INT64_C(1767225600000000)};

    (void)state;
    control_put_snapshot(&w, &snapshot);
    assert_text(
        &w, "{\"kind\": \"snapshot\", \"pipeline\": \"shop\", \"id\": 7, \"schema\": \"public\", "
            "\"table\": \"orders\", \"reason\": \"initial\", \"state\": \"running\", \"rows_done\": 1000, "
            "\"estimated_rows\": 5000, \"sent_at\": 1767225600000000}");
    w = wh_writer(bytes, sizeof bytes);
    snapshot.state = "failed";
    snapshot.error = "permission denied for table \"orders\"";
    snapshot.estimated_rows = -1;
    control_put_snapshot(&w, &snapshot);
    assert_text(&w,
                "{\"kind\": \"snapshot\", \"pipeline\": \"shop\", \"id\": 7, \"schema\": \"public\", "
                "\"table\": \"orders\", \"reason\": \"initial\", \"state\": \"failed\", \"rows_done\": 1000, "
                "\"error\": \"permission denied for table \\\"orders\\\"\", \"sent_at\": 1767225600000000}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_heartbeat_is_as_documented),
        cmocka_unit_test(statistics_are_as_documented),
        cmocka_unit_test(a_snapshot_is_as_documented),
        cmocka_unit_test(what_does_not_fit_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
