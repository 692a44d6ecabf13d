/*
 * check_clickhouse.c - the ClickHouse half of `walhouse-agent check`; see check.h.
 *
 *      answers, takes user and settings? --> version, clock --> database there? --> a table made, changed,
 *      filled, shown by a view, and dropped
 *
 * Rights are tried, not read: what a role, a profile or a quota takes away shows in no list. The table has a
 * name of its own and is dropped in any case.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/check.h"
#include "agent/clickhouse.h"
#include "agent/endpoints.h"
#include "agent/text.h"
#include "lib/clock.h"

#define CHECK_TIMEOUT_S 15
#define CLOCKS_MAY_MS   2000
#define VERSION_MIN     "23.8" /* the oldest with everything that the statements use */

/* ClickHouse's exception codes (src/Common/ErrorCodes.cpp). */
#define UNKNOWN_SETTING              115
#define READONLY                     164
#define SETTING_CONSTRAINT_VIOLATION 452
#define ACCESS_DENIED                497

typedef struct ClickHouseCheck {
    Check *check;
    const Config *config;
    ClickHouse *client;
} ClickHouseCheck;

static const char *way_out(const ClickHouse *client)
{
    switch (clickhouse_exception_code(client)) {
    case ACCESS_DENIED:
        return "GRANT the user SELECT, INSERT, ALTER, CREATE DATABASE, CREATE TABLE, CREATE VIEW, DROP TABLE "
               "and DROP VIEW on the database";
    case READONLY:
        return "give the user a profile without readonly = 1: it has to write, and to change settings";
    case UNKNOWN_SETTING:
        return "use a newer ClickHouse: this one does not know a setting that correctness rests on";
    case SETTING_CONSTRAINT_VIOLATION:
        return "take the constraint on that setting from the user's profile: correctness rests on it";
    default:
        break;
    }
    switch (clickhouse_fault(client)) {
    case FAULT_AWAY:
        return "compare [clickhouse] url with the server's HTTP port, and see whether it runs";
    case FAULT_ACCESS:
        return "compare [clickhouse] user and password_file with the server's users";
    case FAULT_BUSY:
    case FAULT_READ_ONLY:
    case FAULT_DISK:
        return "see the server's log, memory and disk: the agent would wait for it";
    default:
        return "see the server's log";
    }
}

/* false: *error has been said. */
static bool ask(ClickHouseCheck *c, const char *database, const char *what, const char *sql,
                const char **body)
{
    Error error = {""};
    Status status = clickhouse_query(c->client, database, sql, body, NULL, &error);

    if (status != STATUS_OK)
        check_wrong(c->check, way_out(c->client), "%s: %s", what, error.text);
    return status == STATUS_OK;
}

/* ---- the server ---- */

/* "24.10" is above "24.9". */
static bool version_is_below(const char *version, const char *least)
{
    int major = 0, minor = 0, least_major = 0, least_minor = 0;

    (void)sscanf(version, "%d.%d", &major, &minor);
    (void)sscanf(least, "%d.%d", &least_major, &least_minor);
    return major < least_major || (major == least_major && minor < least_minor);
}

static void check_clock(ClickHouseCheck *c, int64_t server_ms)
{
    int64_t difference = server_ms - clock_wall_us() / 1000;

    if (difference > CLOCKS_MAY_MS || difference < -CLOCKS_MAY_MS)
        check_wrong(c->check, "let both hosts follow one clock: the latencies that are shown compare the two",
                    "the server's clock differs from this host's by %" PRId64 " ms", difference);
}

/* false: nothing more can be asked. */
static bool check_server(ClickHouseCheck *c)
{
    const char *body = "";
    char version[64] = "";
    long long server_ms = 0;

    if (!ask(c, "", "ClickHouse", "SELECT version(), toUnixTimestamp64Milli(now64(3)) FORMAT TSV", &body))
        return false;
    (void)sscanf(body, "%63s %lld", version, &server_ms);
    check_right(c->check, "ClickHouse at %s answers and takes user and settings: version %s",
                c->config->clickhouse_url, version);
    if (version_is_below(version, VERSION_MIN))
        check_wrong(c->check, "use " VERSION_MIN " or newer", "ClickHouse %s is too old", version);
    check_clock(c, server_ms);
    return true;
}

/* ---- the database ---- */

/* The agent makes a database that is not there: whether it may is the question. true: it is there. */
static bool check_database(ClickHouseCheck *c)
{
    const char *name = c->config->clickhouse_database;
    const char *body = "";
    Text sql = {0};
    Error error;
    bool there;

    text_appendf(&sql, "SELECT count() FROM system.databases WHERE name = ");
    text_append_literal(&sql, name, strlen(name));
    if (sql.failed || !ask(c, "", "looking for the database", sql.data, &body)) {
        text_free(&sql);
        return false;
    }
    there = body[0] == '1';
    text_clear(&sql);
    text_appendf(&sql, "CHECK GRANT CREATE DATABASE ON ");
    text_append_identifier(&sql, name, strlen(name));
    text_appendf(&sql, ".*");
    if (there)
        check_right(c->check, "database %s is there", name);
    else if (clickhouse_query(c->client, "", sql.data, &body, NULL, &error) != STATUS_OK)
        check_right(c->check, "database %s is not there; the agent makes it at its start", name);
    else if (body[0] == '1')
        check_right(c->check, "database %s is not there, and the agent may make it", name);
    else
        check_wrong(c->check, "create it, or GRANT CREATE DATABASE to the user",
                    "database %s is not there, and the agent may not make it", name);
    text_free(&sql);
    return there;
}

/* ---- what the agent does all day ---- */

typedef struct Trial {
    const char *what;
    const char *sql; /* %s is the name of the trial's table */
} Trial;

static bool try_statement(ClickHouseCheck *c, const Trial *trial, const char *name)
{
    const char *body;
    Text sql = {0};
    bool ok;

    for (const char *at = trial->sql; *at; at++) {
        if (*at == '%')
            text_append(&sql, name, strlen(name));
        else
            text_append(&sql, at, 1);
    }
    ok = !sql.failed && ask(c, NULL, trial->what, sql.data, &body);
    text_free(&sql);
    return ok;
}

static void check_statements(ClickHouseCheck *c)
{
    static const Trial trials[] = {
        {"making a table", "CREATE TABLE `%` (id Int64, `_version` UInt128, `_deleted` UInt8) ENGINE = "
                           "ReplacingMergeTree(`_version`, `_deleted`) ORDER BY id"},
        {"changing a table", "ALTER TABLE `%` ADD COLUMN note Nullable(String)"},
        {"inserting", "INSERT INTO `%` (id, `_version`, `_deleted`) VALUES (1, 1, 0)"},
        {"making a view", "CREATE VIEW `%_view` AS SELECT id, note FROM `%` FINAL WHERE `_deleted` = 0"},
        {"reading a view", "SELECT count() FROM `%_view`"},
    };
    static const Trial drops[] = {
        {"dropping a view", "DROP VIEW IF EXISTS `%_view`"},
        {"dropping a table", "DROP TABLE IF EXISTS `%`"},
    };
    char name[64];
    bool ok = true;

    (void)snprintf(name, sizeof name, "_walhouse_check_%ld", (long)getpid());
    for (size_t i = 0; ok && i < sizeof trials / sizeof trials[0]; i++)
        ok = try_statement(c, &trials[i], name);
    for (size_t i = 0; i < sizeof drops / sizeof drops[0]; i++)
        ok = try_statement(c, &drops[i], name) && ok;
    if (ok)
        check_right(c->check, "tables and views may be made, changed, filled, read and dropped in %s",
                    c->config->clickhouse_database);
}

static void check_one(Check *check, const Config *config)
{
    ClickHouseCheck c = {.check = check, .config = config};
    Error error = {""};

    c.client = clickhouse_open(config, &error);
    if (c.client == NULL) {
        check_wrong(check, "mend the settings of [clickhouse]", "ClickHouse: %s", error.text);
        return;
    }
    if (check_server(&c) && check_database(&c))
        check_statements(&c);
    clickhouse_close(c.client);
}

/* Each server of the list by itself: the agent would go to another one, and nobody would know. */
void check_clickhouse(Check *check, const Config *config)
{
    Config one = *config; /* its other strings are the original's */
    Endpoints endpoints;
    Error error = {""};

    if (one.clickhouse_timeout_s > CHECK_TIMEOUT_S)
        one.clickhouse_timeout_s = CHECK_TIMEOUT_S;
    if (endpoints_parse(&endpoints, config->clickhouse_url, &error) != STATUS_OK)
        check_wrong(check, "mend [clickhouse] url", "%s", error.text);
    for (size_t i = 0; i < endpoints.count; i++) {
        one.clickhouse_url = endpoints.list[i].url;
        check_one(check, &one);
    }
}
