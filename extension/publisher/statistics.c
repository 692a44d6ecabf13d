/*
 * statistics.c - samples the source's row counts over a short connection; see statistics.h.
 */
#include "statistics.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "control.h"
#include "lib/lsn.h"

/* Tables of more rows than this are not counted but estimated. */
#define EXACT_ROWS_MAX 1000000
/* One sample may take this long in all, and its queries together at most a tenth of the time. */
#define SAMPLE_TIMEOUT_MS    10000
#define STATEMENT_TIMEOUT_MS "5000"
#define REST_FACTOR          9
/* To find a moment at which nobody commits: two short questions each. */
#define TRIES_MAX      30
#define LOCATING_QUERY "SELECT floor_lsn, next_xid FROM walhouse._take_floor()"
/* WAL pages are of this size unless Postgres was built otherwise, and begin with a head of up to 40 bytes. */
#define WAL_PAGE_BYTES      8192
#define WAL_PAGE_HEAD_BYTES 40

/*
 * The publication's tables with an estimate of their rows, as the planner makes it: the density that the last
 * analysis found times the present size; 100 bytes a row where there was none. Partitioned tables have no
 * storage of their own: their leaves are added up. Walhouse's own tables are no user's data.
 */
static const char listing_query[] =
    "SELECT p.schemaname, p.tablename, "
    "  sum(CASE WHEN l.reltuples > 0 AND l.relpages > 0 "
    "    THEN l.reltuples / l.relpages * (pg_relation_size(l.oid) / current_setting('block_size')::int) "
    "    ELSE pg_relation_size(l.oid) / 100 END)::bigint, "
    "  pg_catalog.quote_ident(p.schemaname) || '.' || pg_catalog.quote_ident(p.tablename), %s "
    "FROM pg_catalog.pg_publication_tables p "
    "JOIN pg_catalog.pg_namespace n ON n.nspname = p.schemaname "
    "JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename "
    "CROSS JOIN LATERAL (SELECT c.oid AS leaf WHERE c.relkind <> 'p' UNION ALL "
    "  SELECT t.relid FROM pg_catalog.pg_partition_tree(c.oid) t WHERE c.relkind = 'p' AND t.isleaf) t "
    "JOIN pg_catalog.pg_class l ON l.oid = t.leaf "
    "WHERE p.pubname = %s AND p.schemaname <> 'walhouse' GROUP BY 1, 2, 4, 5 ORDER BY 1, 2";

void statistics_init(Statistics *s, const StatisticsSettings *settings, int64_t now_ms)
{
    *s = (Statistics){
        .settings = settings, .next_ms = now_ms, .exact_rows_max = EXACT_ROWS_MAX, .retained_wal_bytes = -1};
}

static void end_connection(Statistics *s)
{
    PQclear(s->tables);
    s->tables = NULL;
    sql_close(&s->sql);
}

static void forget_sample(Statistics *s)
{
    end_connection(s);
    free(s->json);
    s->json = NULL;
    s->state = STATISTICS_IDLE;
}

void statistics_close(Statistics *s)
{
    forget_sample(s);
}

/* Plans the next sample, not before nine times what this one took: counting must never be what the server
 * does. */
static void rest(Statistics *s, int64_t now_ms)
{
    int64_t interval_ms = (int64_t)s->settings->interval_s * 1000;
    int64_t after = now_ms + REST_FACTOR * (now_ms - s->started_ms);

    s->next_ms = s->started_ms + interval_ms > after ? s->started_ms + interval_ms : after;
}

static void give_up(Statistics *s, const char *reason, int64_t now_ms)
{
    if (strncmp(s->last_error, reason, sizeof s->last_error - 1) != 0) {
        message_log(MESSAGE_WARNING, "could not take source statistics: %s", reason);
        (void)snprintf(s->last_error, sizeof s->last_error, "%s", reason);
    }
    forget_sample(s);
    rest(s, now_ms);
}

static void start(Statistics *s, int64_t now_ms)
{
    SqlSettings settings = {.conninfo = s->settings->conninfo,
                            .pipeline = s->settings->pipeline,
                            .purpose = "statistics",
                            .options = "-c statement_timeout=" STATEMENT_TIMEOUT_MS
                                       " -c default_transaction_isolation=repeatable\\ read"
                                       " -c default_transaction_read_only=on -c search_path=pg_catalog"};
    Failure failure = {""};

    s->started_ms = now_ms;
    s->json = malloc(STATISTICS_JSON_BYTES_MAX);
    if (s->json == NULL) {
        give_up(s, "out of memory", now_ms);
        return;
    }
    s->writer = wh_writer(s->json, STATISTICS_JSON_BYTES_MAX);
    if (sql_open(&s->sql, &settings, now_ms, &failure))
        s->state = STATISTICS_CONNECTING;
    else
        give_up(s, failure.text, now_ms);
}

int statistics_fd(const Statistics *s)
{
    return sql_fd(&s->sql);
}

short statistics_events(const Statistics *s)
{
    return sql_events(&s->sql);
}

static void ask(Statistics *s, const char *query, StatisticsState state, int64_t now_ms)
{
    Failure failure = {""};

    if (sql_ask(&s->sql, query, now_ms, &failure))
        s->state = state;
    else
        give_up(s, failure.text, now_ms);
}

static void ask_for_tables(Statistics *s, int64_t now_ms)
{
    char query[2048];
    char *name =
        PQescapeLiteral(s->sql.connection, s->settings->publication, strlen(s->settings->publication));
    const char *filter =
        PQserverVersion(s->sql.connection) >= 150000 ? "coalesce(p.rowfilter, '')" : "''::text";
    int length = name ? snprintf(query, sizeof query, listing_query, filter, name) : -1;

    PQfreemem(name);
    if (length < 0 || (size_t)length >= sizeof query)
        give_up(s, "the publication's name is too long", now_ms);
    else
        ask(s, query, STATISTICS_LISTING, now_ms);
}

static void finish(Statistics *s, int64_t now_ms)
{
    control_put_statistics_end(&s->writer, s->settled);
    end_connection(s);
    if (s->writer.full) {
        give_up(s, "the publication has too many tables for one control event", now_ms);
        return;
    }
    s->last_error[0] = '\0';
    s->state = STATISTICS_READY;
    rest(s, now_ms);
}

/* Writes the tables that are only estimated, and asks for the next one that is to be counted. */
static void count_next(Statistics *s, int64_t now_ms)
{
    char query[8192];
    int length;

    for (; s->table < PQntuples(s->tables); s->table++) {
        int64_t estimate = strtoll(PQgetvalue(s->tables, s->table, 2), NULL, 10);
        const char *filter = PQgetvalue(s->tables, s->table, 4);

        if (estimate > s->exact_rows_max) {
            control_put_statistics_table(&s->writer, s->table == 0, PQgetvalue(s->tables, s->table, 0),
                                         PQgetvalue(s->tables, s->table, 1), estimate, false);
            continue;
        }
        length = snprintf(query, sizeof query, "SELECT pg_catalog.count(*) FROM %s%s%s",
                          PQgetvalue(s->tables, s->table, 3), *filter ? " WHERE " : "", filter);
        if (length < 0 || (size_t)length >= sizeof query)
            give_up(s, "a row filter is too long", now_ms);
        else
            ask(s, query, STATISTICS_COUNTING, now_ms);
        return;
    }
    finish(s, now_ms);
}

/* In a transaction of its own, as the snapshot must be younger than what this says. */
static void locate(Statistics *s, int64_t now_ms)
{
    bool in_transaction = PQtransactionStatus(s->sql.connection) != PQTRANS_IDLE;

    s->tries++;
    ask(s, in_transaction ? "ROLLBACK; " LOCATING_QUERY : LOCATING_QUERY, STATISTICS_LOCATING, now_ms);
}

/* Takes the snapshot: does it see all transactions from before, and where is the server now? And how much WAL
 * does our slot keep? Names of slots need no quoting. */
static void fix(Statistics *s, uint64_t next_xid, int64_t now_ms)
{
    char query[512];

    (void)snprintf(query, sizeof query,
                   "BEGIN; SELECT lsn, pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot()) >= "
                   "'%" PRIu64 "'::xid8, (SELECT pg_catalog.pg_wal_lsn_diff(lsn, restart_lsn)::bigint "
                   "FROM pg_catalog.pg_replication_slots WHERE slot_name = '%.63s') "
                   "FROM pg_catalog.pg_current_wal_insert_lsn() AS lsn",
                   next_xid, s->settings->slot);
    ask(s, query, STATISTICS_FIXING, now_ms);
}

static void handle_located(Statistics *s, const PGresult *result, uint64_t lsn, int64_t now_ms)
{
    s->lsn = lsn;
    fix(s, strtoull(PQgetvalue(result, 0, 1), NULL, 10), now_ms);
}

static void handle_fixed(Statistics *s, const PGresult *result, uint64_t lsn, int64_t now_ms)
{
    s->settled = lsn == s->lsn && PQgetvalue(result, 0, 1)[0] == 't';
    s->lsn = lsn;
    s->retained_wal_bytes = PQgetisnull(result, 0, 2) ? -1 : strtoll(PQgetvalue(result, 0, 2), NULL, 10);
    if (!s->settled && s->tries < TRIES_MAX) {
        locate(s, now_ms);
        return;
    }
    control_put_statistics_head(&s->writer, &(ControlStatistics){.pipeline = s->settings->pipeline,
                                                                 .epoch = s->settings->epoch,
                                                                 .lsn = s->lsn,
                                                                 .taken_at_us = clock_wall_us()});
    ask_for_tables(s, now_ms);
}

static void handle_position(Statistics *s, const PGresult *result, int64_t now_ms)
{
    uint64_t lsn;

    if (!lsn_parse(PQgetvalue(result, 0, 0), &lsn))
        give_up(s, "Postgres gave an unknown WAL position", now_ms);
    else if (s->state == STATISTICS_LOCATING)
        handle_located(s, result, lsn, now_ms);
    else
        handle_fixed(s, result, lsn, now_ms);
}

static void handle_count(Statistics *s, const PGresult *result, int64_t now_ms)
{
    control_put_statistics_table(&s->writer, s->table == 0, PQgetvalue(s->tables, s->table, 0),
                                 PQgetvalue(s->tables, s->table, 1),
                                 strtoll(PQgetvalue(result, 0, 0), NULL, 10), true);
    s->table++;
    count_next(s, now_ms);
}

/* A count that took too long is not tried again: from now on tables of that size are estimated. */
static void learn_from_failure(Statistics *s, const PGresult *result)
{
    if (s->state == STATISTICS_COUNTING && sql_error_is(result, SQLSTATE_QUERY_CANCELED))
        s->exact_rows_max = strtoll(PQgetvalue(s->tables, s->table, 2), NULL, 10) / 2;
}

/* Takes ownership of result. */
static void handle_result(Statistics *s, PGresult *result, int64_t now_ms)
{
    char reason[256];

    if (PQresultStatus(result) != PGRES_TUPLES_OK) {
        (void)snprintf(reason, sizeof reason, "%s", PQresultErrorMessage(result));
        learn_from_failure(s, result);
        PQclear(result);
        give_up(s, reason, now_ms);
        return;
    }
    if (s->state == STATISTICS_LISTING) {
        s->tables = result;
        s->table = 0;
        count_next(s, now_ms);
        return;
    }
    if (s->state == STATISTICS_COUNTING)
        handle_count(s, result, now_ms);
    else
        handle_position(s, result, now_ms);
    PQclear(result);
}

void statistics_step(Statistics *s, short revents, bool wanted, int64_t now_ms)
{
    PGresult *result = NULL;
    Failure failure = {""};

    if (s->settings->interval_s == 0 || s->state == STATISTICS_READY)
        return;
    if (s->state == STATISTICS_IDLE) {
        if (wanted && now_ms >= s->next_ms)
            start(s, now_ms);
        return;
    }
    if (now_ms - s->started_ms > SAMPLE_TIMEOUT_MS) {
        give_up(s, "it takes too long", now_ms);
        return;
    }
    switch (sql_step(&s->sql, revents, now_ms, &result, &failure)) {
    case SQL_NOTHING:
        break;
    case SQL_CONNECTED:
        s->tries = 0;
        locate(s, now_ms);
        break;
    case SQL_ANSWERED:
        handle_result(s, result, now_ms);
        break;
    case SQL_BROKEN:
        give_up(s, failure.text, now_ms);
        break;
    }
}

/*
 * At the very start of a WAL page the insert position lies after the page's head, while the server's last
 * record ends before it: both mean the same place.
 */
static bool lsn_is_reached(uint64_t lsn, uint64_t confirmed_lsn)
{
    uint64_t in_page = lsn % WAL_PAGE_BYTES;

    return confirmed_lsn >= lsn || (in_page <= WAL_PAGE_HEAD_BYTES && confirmed_lsn >= lsn - in_page);
}

bool statistics_is_due(const Statistics *s, uint64_t confirmed_lsn, WhSlice *json)
{
    if (s->state != STATISTICS_READY || !lsn_is_reached(s->lsn, confirmed_lsn))
        return false;
    *json = (WhSlice){s->writer.data, s->writer.length};
    return true;
}

void statistics_done(Statistics *s)
{
    forget_sample(s);
}
