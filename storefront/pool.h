/*
 * pool.h - a few connections to Postgres, shared by the HTTP threads.
 */
#ifndef WALHOUSE_STOREFRONT_POOL_H
#define WALHOUSE_STOREFRONT_POOL_H

#include <libpq-fe.h>

typedef struct Pool Pool;

/* No connection is made yet. NULL: out of memory. conninfo is copied. */
Pool *pool_new(const char *conninfo, unsigned size);
void pool_free(Pool *pool); /* all connections must have been given back */

/*
 * A connection that is open and outside of a transaction, made anew where the last one was lost. Waits up to
 * timeout_ms for one to be free. NULL: none was free, or Postgres does not answer; *why is a constant text.
 */
PGconn *pool_take(Pool *pool, int timeout_ms, const char **why);
/* Gives it back; one that is broken or inside a transaction is closed. */
void pool_give(Pool *pool, PGconn *connection);

#endif
