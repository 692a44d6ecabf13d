/*
 * truncate_test.c - versions as numbers, and the statements of a truncate. tests/e2e/test_truncate.py lets
 * the engine run them.
 */
#include "agent/truncate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/vectors.h"

Status clickhouse_query(ClickHouse *client, const char *database, const char *sql, const char **body,
                        size_t *size, Error *error)
{
    (void)client;
    (void)database;
    (void)sql;
    (void)body;
    (void)size;
    return status_fail(error, STATUS_FATAL, "no test asks a server");
}

static void check_digits(Version version, const char *expected)
{
    char text[VERSION_DIGITS_MAX + 1];

    version_print(version, text);
    assert_string_equal(text, expected);
}

static void test_versions(void **state)
{
    WhEvent event = {.epoch = 1, .commit_lsn = 0x1000000, .ordinal = 7};
    WhEvent next = {.epoch = 1, .commit_lsn = 0x1000008, .ordinal = 0};
    WhEvent sweep = {.epoch = 1, .commit_lsn = 0x1000007, .ordinal = WH_ORDINAL_LIMIT - 1};
    WhEvent last = {.epoch = UINT16_MAX, .commit_lsn = UINT64_MAX, .ordinal = WH_ORDINAL_LIMIT - 1};
    uint8_t bytes[16];
    uint64_t high, low;

    (void)state;
    check_digits(0, "0");
    check_digits(version_of(&event), "5192296858539549995013365974433799");
    check_digits(version_of(&last), "340282366920938463463374607431768211455");
    /* A sweep is between the last change below the floor and the first one above. */
    assert_true(version_of(&event) < version_of(&sweep) && version_of(&sweep) < version_of(&next));
    wh_version(event.epoch, event.commit_lsn, event.ordinal, &high, &low);
    (void)wh_store_u64(bytes, low);
    (void)wh_store_u64(bytes + 8, high);
    assert_true(version_load(bytes) == version_of(&event));
}

static TableSchema *get_schema(Registry *registry, const char *name)
{
    Vectors *vectors = vectors_read("wire-1.txt");
    WhSlice bytes = vectors_find(vectors, name);
    const TableSchema *added = NULL;
    Error error = {""};

    assert_int_equal(registry_add(registry, bytes.data, bytes.size, &added, &error), STATUS_OK);
    vectors_free(vectors);
    assert_non_null(added);
    return registry_find(registry, added->fingerprint);
}

static void test_statements(void **state)
{
    char database[] = "sh`op";
    Config config = {.clickhouse_database = database};
    Registry *registry = registry_new(&config);
    TableSchema *table = get_schema(registry, "schema_message.orders");
    Truncate truncate = {.version = ((Version)1 << 112) + 5, .commit_time_us = -1};
    Text text = {0};

    (void)state;
    truncate_note_statement(&text, table, &truncate);
    assert_string_equal(text.data,
                        "INSERT INTO `_walhouse_truncates` (table, version, commit_time) SELECT '_orders', "
                        "toUInt128('5192296858534827628530496329220101'), "
                        "fromUnixTimestamp64Micro(toInt64(-1), 'UTC')");
    text_clear(&text);
    truncate_marker_statement(&text, table, &truncate);
    assert_non_null(strstr(text.data, "INSERT INTO `sh\\`op`.`_orders` (`id`, `_version`, `_deleted`, "
                                      "`_commit_time`) SETTINGS "));
    assert_non_null(strstr(text.data, " SELECT `id`, toUInt128('5192296858534827628530496329220101'), 1, "
                                      "fromUnixTimestamp64Micro(toInt64(-1), 'UTC') FROM `sh\\`op`.`_orders` "
                                      "FINAL WHERE `_version` < "
                                      "toUInt128('5192296858534827628530496329220101')"));
    text_clear(&text);
    truncate_delete_statement(&text, table, &truncate);
    assert_string_equal(text.data, "DELETE FROM `sh\\`op`.`_orders` WHERE `_version` < "
                                   "toUInt128('5192296858534827628530496329220101') "
                                   "SETTINGS lightweight_deletes_sync = 2, mutations_sync = 2");
    text_free(&text);
    registry_free(registry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_statements),
    };

    return cmocka_run_group_tests_name("agent_truncate", tests, NULL, NULL);
}
