/*
 * cluster_test.c - unit tests of what statements become in a cluster.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/cluster.h"

#define PATH "'/clickhouse/tables/{uuid}/{shard}', '{replica}'"

static void check(const char *sql, const char *first, const char *second)
{
    Text a = {0}, b = {0};

    cluster_rewrite("my`s", sql, &a, &b);
    assert_false(a.failed || b.failed);
    assert_string_equal(a.data ? a.data : "", first);
    assert_string_equal(b.data ? b.data : "", second);
    text_free(&a);
    text_free(&b);
}

static void tables(void **state)
{
    (void)state;
    check("CREATE TABLE IF NOT EXISTS `d`.`_orders` (`id` Int64 COMMENT 'ENGINE = x ORDER BY (y)', `a b` "
          "String) "
          "ENGINE = ReplacingMergeTree(`_version`, `_deleted`) PARTITION BY toYYYYMM(`t`) ORDER BY (`id`, `a "
          "b`) "
          "TTL `t` + INTERVAL 1 DAY COMMENT 'relation 1'",
          "CREATE TABLE IF NOT EXISTS `d`.`_orders` ON CLUSTER `my\\`s` (`id` Int64 COMMENT 'ENGINE = x "
          "ORDER BY (y)', "
          "`a b` String) ENGINE = ReplicatedReplacingMergeTree(" PATH ", `_version`, `_deleted`) "
          "PARTITION BY toYYYYMM(`t`) ORDER BY (`id`, `a b`) TTL `t` + INTERVAL 1 DAY COMMENT 'relation 1'",
          "CREATE TABLE IF NOT EXISTS `d`.`_orders@all` ON CLUSTER `my\\`s` AS `d`.`_orders` ENGINE = "
          "Distributed('my`s', 'd', '_orders', cityHash64((`id`, `a b`))) COMMENT 'all shards'");
    check("CREATE TABLE IF NOT EXISTS `_walhouse_truncates` (table String, version UInt128) ENGINE = "
          "ReplacingMergeTree(version) ORDER BY table",
          "CREATE TABLE IF NOT EXISTS `_walhouse_truncates` ON CLUSTER `my\\`s` (table String, version "
          "UInt128) ENGINE = "
          "ReplicatedReplacingMergeTree(" PATH ", version) ORDER BY table",
          "CREATE TABLE IF NOT EXISTS `_walhouse_truncates@all` ON CLUSTER `my\\`s` AS `_walhouse_truncates` "
          "ENGINE = "
          "Distributed('my`s', currentDatabase(), '_walhouse_truncates', cityHash64(table)) COMMENT 'all "
          "shards'");
    check("CREATE TABLE IF NOT EXISTS `x` (a String) ENGINE = MergeTree ORDER BY (a, b) TTL a",
          "CREATE TABLE IF NOT EXISTS `x` ON CLUSTER `my\\`s` (a String) ENGINE = ReplicatedMergeTree(" PATH
          ") ORDER BY (a, b) TTL a",
          "CREATE TABLE IF NOT EXISTS `x@all` ON CLUSTER `my\\`s` AS `x` ENGINE = Distributed('my`s', "
          "currentDatabase(), "
          "'x', cityHash64((a, b))) COMMENT 'all shards'");
}

static void names_with_quotes(void **state)
{
    (void)state;
    check("CREATE TABLE IF NOT EXISTS `d'b`.`_we\\`ird\\\\` (a String) ENGINE = ReplacingMergeTree() ORDER "
          "BY a",
          "CREATE TABLE IF NOT EXISTS `d'b`.`_we\\`ird\\\\` ON CLUSTER `my\\`s` (a String) ENGINE = "
          "ReplicatedReplacingMergeTree(" PATH ") ORDER BY a",
          "CREATE TABLE IF NOT EXISTS `d'b`.`_we\\`ird\\\\@all` ON CLUSTER `my\\`s` AS `d'b`.`_we\\`ird\\\\` "
          "ENGINE = "
          "Distributed('my`s', 'd\\'b', '_we\\`ird\\\\', cityHash64(a)) COMMENT 'all shards'");
}

static void views_and_databases(void **state)
{
    (void)state;
    check("CREATE DATABASE IF NOT EXISTS `d`", "CREATE DATABASE IF NOT EXISTS `d` ON CLUSTER `my\\`s`", "");
    check("CREATE OR REPLACE VIEW `d`.`orders` AS SELECT `a` AS `FROM _x` FROM `d`.`_orders` FINAL WHERE 1",
          "CREATE OR REPLACE VIEW `d`.`orders` ON CLUSTER `my\\`s` AS SELECT `a` AS `FROM _x` FROM "
          "`d`.`_orders@all` "
          "FINAL WHERE 1",
          "");
    check("DROP VIEW IF EXISTS `d`.`orders`", "DROP VIEW IF EXISTS `d`.`orders` ON CLUSTER `my\\`s`", "");
    check("DROP TABLE IF EXISTS `t`", "DROP TABLE IF EXISTS `t@all` ON CLUSTER `my\\`s`",
          "DROP TABLE IF EXISTS `t` ON CLUSTER `my\\`s`");
}

static void changes(void **state)
{
    (void)state;
    check("ALTER TABLE `d`.`_orders` ADD COLUMN IF NOT EXISTS `n` String",
          "ALTER TABLE `d`.`_orders` ON CLUSTER `my\\`s` ADD COLUMN IF NOT EXISTS `n` String",
          "ALTER TABLE `d`.`_orders@all` ON CLUSTER `my\\`s` ADD COLUMN IF NOT EXISTS `n` String");
    check("ALTER TABLE `d`.`_orders` MODIFY COMMENT 'ADD COLUMN '",
          "ALTER TABLE `d`.`_orders` ON CLUSTER `my\\`s` MODIFY COMMENT 'ADD COLUMN '", "");
    check("DELETE FROM `d`.`_log` WHERE `_version` < 5 SETTINGS mutations_sync = 2",
          "DELETE FROM `d`.`_log` ON CLUSTER `my\\`s` WHERE `_version` < 5 SETTINGS mutations_sync = 2", "");
}

static void data(void **state)
{
    (void)state;
    check("INSERT INTO `d`.`_orders` (`a`) FORMAT RowBinary",
          "INSERT INTO `d`.`_orders@all` (`a`) FORMAT RowBinary", "");
    check("INSERT INTO `d`.`_o` (`a`) SELECT `a` FROM `d`.`_o` FINAL WHERE b = 'FROM `_o`'",
          "INSERT INTO `d`.`_o@all` (`a`) SELECT `a` FROM `d`.`_o@all` FINAL WHERE b = 'FROM `_o`'", "");
    check("SELECT max(version) FROM `_walhouse_truncates` WHERE table = 'x'",
          "SELECT max(version) FROM `_walhouse_truncates@all` WHERE table = 'x'", "");
    check("SELECT count() FROM `orders`", "SELECT count() FROM `orders`", "");
    check("SELECT 1 FROM system.databases WHERE name = 'x'",
          "SELECT 1 FROM system.databases WHERE name = 'x'", "");
    check("SELECT a FROM (SELECT * FROM _x)", "SELECT a FROM (SELECT * FROM `_x@all`)", "");
    check("SELECT 1 FROM `d`.`_x@all`", "SELECT 1 FROM `d`.`_x@all`", "");
    check("SELECT 'not closed", "SELECT 'not closed", "");
    check("", "", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(tables), cmocka_unit_test(names_with_quotes),
                                       cmocka_unit_test(views_and_databases), cmocka_unit_test(changes),
                                       cmocka_unit_test(data)};

    return cmocka_run_group_tests_name("agent_cluster", tests, NULL, NULL);
}
