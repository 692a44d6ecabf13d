/* The ClickHouse engine: a bounded pool of its connections, statements, streamed results, streamed inserts.
 */
#ifndef WAREHOUSE_ENGINE_H
#define WAREHOUSE_ENGINE_H

#include "warehouse/exception.h"
#include "warehouse/request.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct engine;            /* one per process: the library allows one data directory per process */
struct engine_connection; /* leased to one request at a time */
struct engine_result;
struct engine_insert;

struct engine_options {
    const char *data_directory;
    const char *arguments_file; /* the engine's own arguments, one a line; NULL: none */
    unsigned connections_max;   /* statements at a time */
    unsigned queue_wait_ms;     /* how long one may wait for its turn before exception 202 */
    uint64_t memory_bytes_max; /* of the whole engine; 0 is the engine's own choice (90 % of the machine's) */
    unsigned threads_max;      /* of one statement; 0 is the engine's own choice (the processors) */
};

enum engine_class {
    ENGINE_READ,    /* leaves no trace: SELECT, SHOW, … */
    ENGINE_CHANGE,  /* changes data or tables */
    ENGINE_SESSION, /* SET, USE, temporary tables: changes the connection itself */
    ENGINE_UNKNOWN, /* does not parse */
};

struct engine_statistics {
    uint64_t read_rows, read_bytes;
    uint64_t written_rows, written_bytes;
    uint64_t result_rows;
};

/* Opens the engine on its directory (created if missing). NULL with an exception on failure. Call it once. */
struct engine *engine_open(const struct engine_options *options, struct exception *e);
/* Closes every connection; all leases must have been given back. */
void engine_close(struct engine *engine);
const char *engine_version(const struct engine *engine);
const char *engine_timezone(const struct engine *engine);

/* Leases a connection that has exactly the request's database, settings and right to write. May wait for one.
 * NULL with an exception: 202 when none came free, 81 for an unknown database, 115 for an unknown setting, …
 */
struct engine_connection *engine_acquire(struct engine *engine, const struct request *request,
                                         struct exception *e);
/* Gives it back. reusable: nothing but reads and inserts ran, and they came to their end. */
void engine_release(struct engine_connection *connection, bool reusable);

/* What a text would do, asked of the engine's own parser. *statements is how many it holds. */
enum engine_class engine_classify(struct engine_connection *connection, const char *sql, size_t bytes,
                                  unsigned *statements);

/* Starts a statement. With streaming, rows are produced as they are fetched; without it (or when the engine
 * cannot, as for SHOW), the result is there whole. parameters may be empty. NULL with an exception on
 * failure. */
struct engine_result *engine_query(struct engine_connection *connection, const char *sql, size_t bytes,
                                   const char *format, const struct request_pairs *parameters, bool streaming,
                                   struct exception *e);
/* The next piece, valid until the next call; *bytes = 0 at the end. False with an exception on failure. */
bool engine_fetch(struct engine_result *result, const char **data, size_t *bytes, struct exception *e);
void engine_result_statistics(const struct engine_result *result, struct engine_statistics *statistics);
/* Frees it; a statement that has not come to its end is cancelled. */
void engine_result_close(struct engine_result *result);

/* Starts "INSERT INTO … " (without FORMAT) whose data will be appended in `format`. NULL with an exception.
 */
struct engine_insert *engine_insert_open(struct engine_connection *connection, const char *sql, size_t bytes,
                                         const char *format, const struct request_pairs *parameters,
                                         struct exception *e);
/* Hands data to the engine, which copies it; waits while the engine is behind (it holds at most 16 pieces).
 * False when the insert has failed: engine_insert_finish tells why. */
bool engine_insert_append(struct engine_insert *insert, const void *data, size_t bytes);
/* Ends the data, waits until the rows are in the table, and frees the insert. False with an exception on
 * failure. */
bool engine_insert_finish(struct engine_insert *insert, struct engine_statistics *statistics,
                          struct exception *e);
/* Gives up and frees the insert: rows not yet formed into a block are dropped, blocks already written stay
 * (as in ClickHouse; a block is 1,048,449 rows by default, so a smaller insert is all or nothing). */
void engine_insert_abort(struct engine_insert *insert);

#endif
