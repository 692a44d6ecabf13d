/*
 * pool.c - a few connections to Postgres; see pool.h.
 */
#include "storefront/pool.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/condition.h"
#include "lib/log.h"

/* Nobody waits for ever: not for a server that is silent, nor for a row that another session holds. */
#define CONNECT_TIMEOUT_S "5"
#define SERVER_LIMITS     "-c lock_timeout=5s -c statement_timeout=10s"

struct Pool {
    char *conninfo;
    pthread_mutex_t lock;
    pthread_cond_t given;
    PGconn **idle; /* may hold NULLs: places whose connection is to be made */
    unsigned idle_count;
    unsigned size;
};

Pool *pool_new(const char *conninfo, unsigned size)
{
    Pool *pool = calloc(1, sizeof *pool);

    if (pool == NULL)
        return NULL;
    pool->conninfo = strdup(conninfo);
    pool->idle = calloc(size, sizeof(PGconn *));
    pool->size = pool->idle_count = size;
    if (pool->conninfo && pool->idle && pthread_mutex_init(&pool->lock, NULL) == 0) {
        if (condition_init(&pool->given))
            return pool;
        (void)pthread_mutex_destroy(&pool->lock);
    }
    free(pool->conninfo);
    free(pool->idle);
    free(pool);
    return NULL;
}

void pool_free(Pool *pool)
{
    if (pool == NULL)
        return;
    for (unsigned i = 0; i < pool->idle_count; i++)
        PQfinish(pool->idle[i]);
    (void)pthread_cond_destroy(&pool->given);
    (void)pthread_mutex_destroy(&pool->lock);
    free(pool->conninfo);
    free(pool->idle);
    free(pool);
}

static void put_back(Pool *pool, PGconn *connection)
{
    (void)pthread_mutex_lock(&pool->lock);
    pool->idle[pool->idle_count++] = connection;
    (void)pthread_cond_signal(&pool->given);
    (void)pthread_mutex_unlock(&pool->lock);
}

/* A place of the pool; false: none was free in time. */
static bool take_place(Pool *pool, int timeout_ms, PGconn **connection)
{
    int64_t until_us = clock_us(CLOCK_MONOTONIC) + timeout_ms * INT64_C(1000);
    bool taken;

    (void)pthread_mutex_lock(&pool->lock);
    while (pool->idle_count == 0 && condition_wait(&pool->given, &pool->lock, until_us))
        ;
    taken = pool->idle_count > 0;
    if (taken)
        *connection = pool->idle[--pool->idle_count];
    (void)pthread_mutex_unlock(&pool->lock);
    return taken;
}

/*
 * A connection that the server closed while it was idle is noticed here, not in the middle of an order. Two
 * reads: a server that shuts down says so first, and only what follows is the end of the connection.
 */
static bool still_open(PGconn *connection)
{
    return connection && PQconsumeInput(connection) && PQconsumeInput(connection) &&
           PQstatus(connection) == CONNECTION_OK;
}

/* What the conninfo itself says comes last and wins. */
static PGconn *open_connection(const char *conninfo)
{
    static const char *const names[] = {"connect_timeout", "options", "dbname", NULL};
    const char *values[] = {CONNECT_TIMEOUT_S, SERVER_LIMITS, conninfo, NULL};

    return PQconnectdbParams(names, values, 1);
}

PGconn *pool_take(Pool *pool, int timeout_ms, const char **why)
{
    PGconn *connection;

    if (!take_place(pool, timeout_ms, &connection)) {
        *why = "too many orders are being placed at once; try again in a moment";
        return NULL;
    }
    if (still_open(connection))
        return connection;
    PQfinish(connection);
    connection = open_connection(pool->conninfo);
    if (connection && PQstatus(connection) == CONNECTION_OK)
        return connection;
    if (connection)
        log_warning("Postgres does not answer: %s", PQerrorMessage(connection));
    PQfinish(connection);
    put_back(pool, NULL);
    *why = "the shop's database does not answer; try again in a moment";
    return NULL;
}

void pool_give(Pool *pool, PGconn *connection)
{
    if (PQstatus(connection) != CONNECTION_OK || PQtransactionStatus(connection) != PQTRANS_IDLE) {
        PQfinish(connection);
        connection = NULL;
    }
    put_back(pool, connection);
}
