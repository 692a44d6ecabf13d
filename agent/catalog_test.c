/*
 * catalog_test.c - which schema takes over, and which does not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/catalog.h"

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

static CatalogRow row(uint32_t relation, uint64_t fingerprint, const char *view, const char *storage,
                      uint64_t version)
{
    return (CatalogRow){.relation = relation,
                        .fingerprint = fingerprint,
                        .database = "shop",
                        .view = view,
                        .storage = storage,
                        .version = version};
}

static void assert_claim(const Catalog *catalog, CatalogRow candidate, Version whole, Claim expected)
{
    assert_int_equal(catalog_judge(catalog, &candidate, whole), expected);
}

static void test_order(void **state)
{
    CatalogRow rows[] = {row(1, 10, "orders", "_orders", 100)};
    Catalog none = {0};
    Catalog catalog = {.rows = rows, .count = 1};

    (void)state;
    assert_claim(&none, rows[0], 0, CLAIM_TAKES);
    assert_claim(&catalog, row(1, 10, "orders", "_orders", 50), 0, CLAIM_IN_FORCE);
    assert_claim(&catalog, row(1, 10, "orders", "_orders", 500), 0, CLAIM_IN_FORCE);
    assert_claim(&catalog, row(1, 11, "orders", "_orders", 99), 0, CLAIM_LATE);
    assert_claim(&catalog, row(1, 11, "orders", "_orders", 101), 0, CLAIM_TAKES);
    assert_claim(&catalog, row(1, 11, "purchases", "_orders", 101), 0, CLAIM_TAKES);
}

static void test_storage(void **state)
{
    CatalogRow rows[] = {row(1, 10, "orders", "_orders", 100)};
    Catalog catalog = {.rows = rows, .count = 1};

    (void)state;
    assert_claim(&catalog, row(1, 11, "orders", "_orders_2", 200), 0, CLAIM_WAITS);
    assert_claim(&catalog, row(1, 11, "orders", "_orders_2", 200), 100, CLAIM_WAITS);
    assert_claim(&catalog, row(1, 11, "orders", "_orders_2", 200), 101, CLAIM_TAKES);
    assert_claim(&catalog, row(1, 11, "orders", "_orders_2", 99), 101, CLAIM_LATE);
}

static void test_names(void **state)
{
    CatalogRow rows[] = {row(1, 10, "orders", "_orders", 100), row(2, 20, "orders", "_orders_2", 200)};
    Catalog catalog = {.rows = rows, .count = 2};
    Version later = (Version)1 << 112;

    (void)state;
    assert_int_equal(catalog_view(&catalog, "shop", "orders")->relation, 2);
    assert_null(catalog_view(&catalog, "other", "orders"));
    /* A relation that lost its name and has it again, though its schema was in force all the time. */
    assert_claim(&catalog, row(1, 10, "orders", "_orders", 150), 0, CLAIM_LATE);
    assert_claim(&catalog, row(1, 10, "orders", "_orders", 300), 0, CLAIM_TAKES);
    /* Made anew: at once in the same epoch, and in a later one when all its rows are there. */
    assert_claim(&catalog, row(3, 30, "orders", "_orders_3", 300), 0, CLAIM_TAKES);
    assert_claim(&catalog, (CatalogRow){3, 30, "shop", "orders", "_orders_3", later}, 0, CLAIM_WAITS);
    assert_claim(&catalog, (CatalogRow){3, 30, "shop", "orders", "_orders_3", later}, later, CLAIM_TAKES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_storage),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests_name("agent_catalog", tests, NULL, NULL);
}
