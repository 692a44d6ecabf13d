/*
 * clickhouse.h - statements and inserts over ClickHouse's HTTP interface; clickhouse.c is the only file that
 * knows libcurl.
 *
 *      statement --> settings (clickhouse_settings.c) --> body (compress.c) --> server (endpoints.c) -->
 * answer ^                       |
 *                                                                                 '-- next -- fault
 * (clickhouse_fault.c)
 *
 * A client is one connection (kept alive) and belongs to one thread. Every request carries the settings that
 * correctness rests on, whatever the server's profile says. It goes to the server that answered last; where
 * that one is at fault, to each other one once.
 */
#ifndef WALHOUSE_AGENT_CLICKHOUSE_H
#define WALHOUSE_AGENT_CLICKHOUSE_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/clickhouse_fault.h"
#include "agent/config.h"
#include "agent/status.h"

typedef struct ClickHouse ClickHouse;

/* NULL: out of memory, or libcurl does not take the URL (*error says so). The config outlives the client. */
ClickHouse *clickhouse_open(const Config *config, Error *error);
void clickhouse_close(ClickHouse *client);

/*
 * Runs a statement; database NULL means the configured one, "" none. The answer is *body (owned by the
 * client, zero-terminated, valid until the next call); body may be NULL. The status classifies a failure:
 *   STATUS_RETRY   no connection, a timeout, a server in trouble; an insert's outcome is unknown
 *   STATUS_REJECT  the data do not fit the statement
 *   STATUS_STOP    the statement does not fit the server's tables
 */
Status clickhouse_query(ClickHouse *client, const char *database, const char *sql, const char **body,
                        size_t *size, Error *error);
/* INSERT ... FORMAT ... with data as the body; classified in the same way. */
Status clickhouse_insert(ClickHouse *client, const char *sql, const void *data, size_t size, Error *error);

/* From another thread: the request that is under way, and every later one, ends within about a second with
 * STATUS_RETRY. */
void clickhouse_cancel(ClickHouse *client);

/* ClickHouse's exception code of the last request, 0 for none; and those of what is not there (yet). */
#define CLICKHOUSE_UNKNOWN_TABLE    60
#define CLICKHOUSE_UNKNOWN_DATABASE 81
int clickhouse_exception_code(const ClickHouse *client);
/* What was wrong with the last request. */
Fault clickhouse_fault(const ClickHouse *client);

#endif
