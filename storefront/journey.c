/*
 * journey.c - how far orders have come; see journey.h.
 *
 *      journey_note() --> track <-- watch_kafka:     the slot's confirmed position, from Postgres
 *      journey_json() <--/     \-- watch_warehouse: rows of orders, with their times
 *
 * Each station has a thread, so that one that does not answer holds up nobody else. While nobody looks, both
 * sleep.
 */
#include "storefront/journey.h"

#include <inttypes.h>
#include <jansson.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/condition.h"
#include "lib/log.h"
#include "lib/lsn.h"
#include "storefront/track.h"

#define LOOK_EVERY_US   15000
#define AWAY_WAIT_US    500000
#define MISSING_WAIT_US 250000 /* the agent makes the table with the first order */
#define SQL_BYTES_MAX   8192
#define SERVER_LIMITS   "-c statement_timeout=2s"
#define CONNECT_TIMEOUT "2"

struct Journey {
    JourneySettings settings;
    pthread_mutex_t lock;
    pthread_cond_t wanted;
    pthread_t threads[STATION_COUNT];
    unsigned thread_count;
    bool stopping;
    bool away[STATION_COUNT];
    Track track;
};

static int64_t now_us(void)
{
    return clock_us(CLOCK_MONOTONIC);
}

/* ---- waiting; with the lock ---- */

static bool anybody_waits(const Journey *journey, Station station)
{
    int64_t now = now_us();

    for (size_t i = 0; i < TRACK_ORDERS; i++)
        if (track_is_awaited(&journey->track.orders[i], station, now))
            return true;
    return false;
}

static void sleep_us(Journey *journey, int64_t us)
{
    int64_t until = now_us() + us;

    while (!journey->stopping && condition_wait(&journey->wanted, &journey->lock, until) && now_us() < until)
        ;
}

/* false: the journey ends. */
static bool wait_for_somebody(Journey *journey, Station station)
{
    while (!journey->stopping && !anybody_waits(journey, station)) {
        journey->away[station] = false; /* nobody knows any more */
        (void)pthread_cond_wait(&journey->wanted, &journey->lock);
    }
    return !journey->stopping;
}

static void note_answer(Journey *journey, Station station, bool answered, const char *what, const char *why)
{
    if (!answered && !journey->away[station])
        log_warning("orders' way cannot be followed: %s: %s", what, why);
    journey->away[station] = !answered;
    if (!answered)
        sleep_us(journey, AWAY_WAIT_US);
}

/* ---- Kafka, by what the pipeline's slot has confirmed ---- */

typedef struct Slot {
    uint64_t flushed;
    uint64_t confirmed;
} Slot;

static PGconn *connect_again(PGconn *connection, const char *conninfo)
{
    static const char *const names[] = {"connect_timeout", "options", "dbname", NULL};
    const char *values[] = {CONNECT_TIMEOUT, SERVER_LIMITS, conninfo, NULL};

    if (connection && PQstatus(connection) == CONNECTION_OK)
        return connection;
    PQfinish(connection);
    return PQconnectdbParams(names, values, 1);
}

static bool ask_slot(PGconn *connection, const char *pipeline, Slot *slot)
{
    PGresult *result =
        PQexecParams(connection,
                     "SELECT pg_current_wal_flush_lsn(), confirmed_flush_lsn FROM "
                     "pg_replication_slots WHERE slot_name = 'walhouse_' || $1::text AND active",
                     1, NULL, &pipeline, NULL, NULL, 0);
    bool ok = PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1;

    *slot = (Slot){0};
    if (ok) {
        (void)lsn_parse(PQgetvalue(result, 0, 0), &slot->flushed);
        /* Of a slot that is being made it is null. */
        (void)lsn_parse(PQgetvalue(result, 0, 1), &slot->confirmed);
    }
    PQclear(result);
    return ok;
}

static void *watch_kafka(void *context)
{
    Journey *journey = context;
    PGconn *connection = NULL;

    (void)pthread_mutex_lock(&journey->lock);
    while (wait_for_somebody(journey, STATION_KAFKA)) {
        int64_t asked_at = now_us();
        Slot slot;
        bool ok;

        (void)pthread_mutex_unlock(&journey->lock);
        connection = connect_again(connection, journey->settings.database);
        ok = connection && ask_slot(connection, journey->settings.pipeline, &slot);
        (void)pthread_mutex_lock(&journey->lock);
        if (ok)
            track_take_slot(&journey->track, slot.confirmed, slot.flushed, asked_at, now_us());
        note_answer(journey, STATION_KAFKA, ok, "no publisher reads the pipeline's slot",
                    PQerrorMessage(connection));
        sleep_us(journey, LOOK_EVERY_US);
    }
    (void)pthread_mutex_unlock(&journey->lock);
    PQfinish(connection);
    return NULL;
}

/* ---- the warehouse ---- */

/* As many orders as fit; the others are asked for when these are there or nobody looks any more. */
static void write_question(const Journey *journey, char *sql, size_t room)
{
    static const char head[] =
        "SELECT id, toUnixTimestamp64Micro(_loaded_time) - toUnixTimestamp64Micro(_commit_time) FROM orders "
        "WHERE id IN (";
    static const char tail[] = ") FORMAT TSV";
    int64_t now = now_us();
    size_t size = (size_t)snprintf(sql, room, "%s", head);
    bool first = true;

    for (size_t i = 0; i < TRACK_ORDERS && size + 24 + sizeof tail < room; i++)
        if (track_is_awaited(&journey->track.orders[i], STATION_WAREHOUSE, now)) {
            size += (size_t)snprintf(sql + size, room - size, "%s%" PRId64, first ? "" : ",",
                                     journey->track.orders[i].id);
            first = false;
        }
    (void)snprintf(sql + size, room - size, "%s", tail);
}

/* Lines of "id TAB microseconds". */
static void take_answer(Journey *journey, const char *answer)
{
    int64_t id, took_us;

    for (const char *line = answer; sscanf(line, "%" SCNd64 "\t%" SCNd64, &id, &took_us) == 2;) {
        track_take_loaded(&journey->track, id, took_us < 0 ? 0 : took_us);
        line = strchr(line, '\n');
        if (line == NULL)
            return;
        line++;
    }
}

static void *watch_warehouse(void *context)
{
    Journey *journey = context;
    Warehouse *warehouse = warehouse_open(&journey->settings.warehouse);
    char sql[SQL_BYTES_MAX];

    (void)pthread_mutex_lock(&journey->lock);
    while (wait_for_somebody(journey, STATION_WAREHOUSE)) {
        const char *answer = NULL, *why = "out of memory";
        bool missing = false;

        write_question(journey, sql, sizeof sql);
        (void)pthread_mutex_unlock(&journey->lock);
        if (warehouse || (warehouse = warehouse_open(&journey->settings.warehouse)) != NULL)
            answer = warehouse_ask(warehouse, sql, &missing, &why);
        (void)pthread_mutex_lock(&journey->lock);
        if (answer)
            take_answer(journey, answer);
        note_answer(journey, STATION_WAREHOUSE, answer != NULL, "the warehouse does not answer", why);
        sleep_us(journey, missing ? MISSING_WAIT_US : LOOK_EVERY_US);
    }
    (void)pthread_mutex_unlock(&journey->lock);
    warehouse_close(warehouse);
    return NULL;
}

/* ---- starting and stopping ---- */

static bool init_locks(Journey *journey)
{
    if (!condition_init(&journey->wanted))
        return false;
    if (pthread_mutex_init(&journey->lock, NULL) == 0)
        return true;
    (void)pthread_cond_destroy(&journey->wanted);
    return false;
}

static bool start_thread(Journey *journey, void *(*watch)(void *))
{
    if (pthread_create(&journey->threads[journey->thread_count], NULL, watch, journey) != 0)
        return false;
    journey->thread_count++;
    return true;
}

Journey *journey_start(const JourneySettings *settings)
{
    Journey *journey = calloc(1, sizeof *journey);

    if (journey == NULL || !init_locks(journey)) {
        free(journey);
        return NULL;
    }
    journey->settings = *settings;
    if ((settings->pipeline == NULL || start_thread(journey, watch_kafka)) &&
        (settings->warehouse.url == NULL || start_thread(journey, watch_warehouse)))
        return journey;
    journey_stop(journey);
    return NULL;
}

void journey_stop(Journey *journey)
{
    if (journey == NULL)
        return;
    (void)pthread_mutex_lock(&journey->lock);
    journey->stopping = true;
    (void)pthread_cond_broadcast(&journey->wanted);
    (void)pthread_mutex_unlock(&journey->lock);
    for (unsigned i = 0; i < journey->thread_count; i++)
        (void)pthread_join(journey->threads[i], NULL);
    (void)pthread_cond_destroy(&journey->wanted);
    (void)pthread_mutex_destroy(&journey->lock);
    free(journey);
}

/* ---- what others see ---- */

void journey_note(Journey *journey, int64_t order, int64_t placing_us)
{
    (void)pthread_mutex_lock(&journey->lock);
    /* The same request sent again is an order that was noted before. */
    if (track_find(&journey->track, order) == NULL)
        (void)track_add(&journey->track, order, placing_us, now_us());
    (void)pthread_cond_broadcast(&journey->wanted);
    (void)pthread_mutex_unlock(&journey->lock);
}

bool journey_knows(Journey *journey, int64_t order)
{
    bool known;

    (void)pthread_mutex_lock(&journey->lock);
    known = track_find(&journey->track, order) != NULL;
    (void)pthread_mutex_unlock(&journey->lock);
    return known;
}

static json_t *make_station(const char *state, int64_t us)
{
    return json_pack("{s:s, s:o}", "state", state, "us",
                     us == TRACK_UNKNOWN ? json_null() : json_integer(us));
}

static json_t *describe(const Journey *journey, const TrackedOrder *order, Station station)
{
    bool known = station == STATION_KAFKA ? journey->settings.pipeline != NULL
                                          : journey->settings.warehouse.url != NULL;

    if (order->passed[station])
        return make_station("passed", order->took_us[station]);
    return make_station(!known ? "unknown" : journey->away[station] ? "away" : "waiting", TRACK_UNKNOWN);
}

char *journey_json(Journey *journey, int64_t id)
{
    TrackedOrder *order;
    json_t *json;
    char *text;

    (void)pthread_mutex_lock(&journey->lock);
    order = track_find(&journey->track, id);
    if (order == NULL)
        order = track_add(&journey->track, id, TRACK_UNKNOWN, now_us());
    order->asked_at = now_us();
    json =
        json_pack("{s:I, s:o, s:o, s:o}", "order_id", (json_int_t)id, "postgres",
                  make_station("passed", order->placing_us), "kafka", describe(journey, order, STATION_KAFKA),
                  "warehouse", describe(journey, order, STATION_WAREHOUSE));
    (void)pthread_cond_broadcast(&journey->wanted);
    (void)pthread_mutex_unlock(&journey->lock);
    text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    return text;
}
