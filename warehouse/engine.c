/*
 * engine.c - the only file that knows libchdb.
 *
 * The engine lives in this process. It takes one statement at a time per connection, and a connection is a
 * session: SET, USE and temporary tables stay in it. So a pool:
 *
 *      acquire ── an idle connection with the same profile? ──► lease it            (no round trip at all)
 *         │        else room for one more?                  ──► open one, USE, SET
 *         │        else an idle one of another profile?     ──► close it, open one
 *         └─────── else wait for a release, at most queue_wait_ms ──► exception 202
 *      release ── reusable ──► idle,  else ──► close
 *
 * A profile is the right to write, the database and the settings, as text. Settings are never undone: a
 * connection that has some is only ever given to a request that wants exactly those, and closed when the
 * place is needed. Opening one costs 0.5 ms, so nothing is gained by resetting, and nothing can leak. The
 * first connection is never leased: the engine shuts down when its last connection closes.
 *
 * Locks: engine->lock guards the pool's counts and the list of idle connections. It is never held over a call
 * into the engine.
 */
#include "warehouse/engine.h"

#include "warehouse/chdb.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CONNECT_ARGUMENTS_MAX 6
#define ARGUMENT_BYTES_MAX    4200

struct engine_connection {
    struct engine *engine;
    chdb_connection *handle;
    char *profile;
    struct engine_connection *next; /* among the idle, most recently used first */
};

struct engine {
    struct engine_options options;
    char path_argument[ARGUMENT_BYTES_MAX];
    char memory_argument[64];
    char threads_argument[64];
    char version[32];
    char timezone[64];
    chdb_connection *keeper;
    pthread_mutex_t lock;
    pthread_cond_t released;
    struct engine_connection *idle;
    unsigned open_count; /* leased and idle; at most options.connections_max */
};

struct engine_result {
    struct engine_connection *connection;
    chdb_result *stream; /* NULL when the result is there whole */
    chdb_result *piece;  /* the last one handed out, or the whole */
    bool whole_taken;
    bool ended;
    struct engine_statistics statistics;
};

struct engine_insert {
    struct engine_connection *connection;
    chdb_insert_stream stream;
};

/* Pointers to names and values, as the library wants them: four arrays in one allocation. */
struct parameter_arrays {
    const char **names, **values;
    size_t *name_bytes, *value_bytes;
    size_t count;
};

static bool make_parameter_arrays(const struct request_pairs *pairs, struct parameter_arrays *arrays)
{
    size_t n = pairs == NULL ? 0 : pairs->count;

    *arrays = (struct parameter_arrays){.count = n};
    if (n == 0)
        return true;
    arrays->names = calloc(n, sizeof *arrays->names + sizeof *arrays->values + 2 * sizeof(size_t));
    if (arrays->names == NULL)
        return false;
    arrays->values = arrays->names + n;
    arrays->name_bytes = (size_t *)(void *)(arrays->values + n);
    arrays->value_bytes = arrays->name_bytes + n;
    for (size_t i = 0; i < n; i++) {
        arrays->names[i] = pairs->items[i].name;
        arrays->name_bytes[i] = strlen(pairs->items[i].name);
        arrays->values[i] = pairs->items[i].value;
        arrays->value_bytes[i] = pairs->items[i].value_bytes;
    }
    return true;
}

static void no_memory(struct exception *e)
{
    exception_raise(e, EXCEPTION_CANNOT_ALLOCATE_MEMORY, "No memory for the statement");
}

/* Connections */

static chdb_connection *connect_engine(struct engine *engine, bool readonly)
{
    char name[] = "walhouse-warehouse";
    /* Only SELECT is a SELECT: the library's command line heritage would read "foo" as "SELECT foo". */
    char implicit_select[] = "--implicit_select=0";
    /* GET may set any setting but readonly, as on a server. */
    char readonly_argument[] = "--readonly=2";
    char *arguments[CONNECT_ARGUMENTS_MAX] = {name, engine->path_argument, implicit_select};
    int count = 3;

    if (engine->memory_argument[0] != '\0')
        arguments[count++] = engine->memory_argument;
    if (engine->threads_argument[0] != '\0')
        arguments[count++] = engine->threads_argument;
    if (readonly)
        arguments[count++] = readonly_argument;
    return chdb_connect(count, arguments);
}

/* Runs a statement that returns nothing. False with an exception. */
static bool run_simple(struct engine *engine, chdb_connection handle, const char *sql, struct exception *e)
{
    chdb_result *result =
        chdb_query_with_params_n(handle, sql, strlen(sql), "Null", 4, NULL, NULL, NULL, NULL, 0);
    const char *error = chdb_result_error(result);

    if (error != NULL)
        exception_from_engine(e, error, engine->version);
    chdb_destroy_query_result(result);
    return error == NULL;
}

/* Asks for one short value. */
static bool ask(struct engine *engine, const char *sql, char *out, size_t size, struct exception *e)
{
    chdb_result *result =
        chdb_query_with_params_n(*engine->keeper, sql, strlen(sql), "TSVRaw", 6, NULL, NULL, NULL, NULL, 0);
    const char *error = chdb_result_error(result);
    size_t n = chdb_result_length(result);

    if (error != NULL) {
        exception_from_engine(e, error, NULL);
    } else {
        while (n > 0 && chdb_result_buffer(result)[n - 1] == '\n')
            n--;
        if (n >= size)
            n = size - 1;
        if (n > 0)
            memcpy(out, chdb_result_buffer(result), n);
        out[n] = '\0';
    }
    chdb_destroy_query_result(result);
    return error == NULL;
}

struct engine *engine_open(const struct engine_options *options, struct exception *e)
{
    struct engine *engine = calloc(1, sizeof *engine);
    pthread_condattr_t attributes;

    if (engine == NULL) {
        no_memory(e);
        return NULL;
    }
    engine->options = *options;
    (void)snprintf(engine->path_argument, sizeof engine->path_argument, "--path=%s", options->data_directory);
    if (options->memory_bytes_max > 0)
        (void)snprintf(engine->memory_argument, sizeof engine->memory_argument,
                       "--max_server_memory_usage=%llu", (unsigned long long)options->memory_bytes_max);
    if (options->threads_max > 0)
        (void)snprintf(engine->threads_argument, sizeof engine->threads_argument, "--max_threads=%u",
                       options->threads_max);
    if (pthread_mutex_init(&engine->lock, NULL) != 0 || pthread_condattr_init(&attributes) != 0 ||
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) != 0 ||
        pthread_cond_init(&engine->released, &attributes) != 0) {
        exception_raise(e, EXCEPTION_UNKNOWN, "Cannot make the pool's lock");
        free(engine);
        return NULL;
    }
    chdb_set_signal_handlers_enabled(0);
    engine->keeper = connect_engine(engine, false);
    if (engine->keeper == NULL) {
        exception_raise(e, EXCEPTION_UNKNOWN, "The ClickHouse engine does not start on %s",
                        options->data_directory);
        engine_close(engine);
        return NULL;
    }
    if (!ask(engine, "SELECT version()", engine->version, sizeof engine->version, e) ||
        !ask(engine, "SELECT timezone()", engine->timezone, sizeof engine->timezone, e)) {
        engine_close(engine);
        return NULL;
    }
    return engine;
}

static void close_connection(struct engine_connection *c)
{
    if (c->handle != NULL)
        chdb_close_conn(c->handle);
    free(c->profile);
    free(c);
}

void engine_close(struct engine *engine)
{
    while (engine->idle != NULL) {
        struct engine_connection *c = engine->idle;

        engine->idle = c->next;
        close_connection(c);
    }
    if (engine->keeper != NULL)
        chdb_close_conn(engine->keeper);
    (void)pthread_cond_destroy(&engine->released);
    (void)pthread_mutex_destroy(&engine->lock);
    free(engine);
}

const char *engine_version(const struct engine *engine)
{
    return engine->version;
}

const char *engine_timezone(const struct engine *engine)
{
    return engine->timezone;
}

/* Opens a connection and brings it to the request's profile. Takes over `profile` on success only. */
static struct engine_connection *open_connection(struct engine *engine, const struct request *request,
                                                 char *profile, struct exception *e)
{
    struct engine_connection *c = calloc(1, sizeof *c);
    struct buffer sql = {0};

    if (c == NULL) {
        no_memory(e);
        return NULL;
    }
    c->engine = engine;
    c->handle = connect_engine(engine, request->readonly);
    if (c->handle == NULL) {
        exception_raise(e, EXCEPTION_UNKNOWN, "The ClickHouse engine gives no further connection");
        goto failed;
    }
    if (request->database != NULL) {
        buffer_append_text(&sql, "USE ");
        buffer_append_identifier(&sql, request->database);
        if (sql.failed) {
            no_memory(e);
            goto failed;
        }
        if (!run_simple(engine, *c->handle, sql.data, e))
            goto failed;
        buffer_clear(&sql);
    }
    request_settings_statement(request, &sql);
    if (sql.failed) {
        no_memory(e);
        goto failed;
    }
    if (sql.length > 0 && !run_simple(engine, *c->handle, sql.data, e))
        goto failed;
    buffer_free(&sql);
    c->profile = profile;
    return c;
failed:
    buffer_free(&sql);
    close_connection(c);
    return NULL;
}

/* The profile as text, to be compared with others; NULL when memory is out. The caller frees it. */
static char *profile_of(const struct request *request)
{
    struct buffer text = {0};

    buffer_append_text(&text, request->readonly ? "r" : "w");
    if (request->database != NULL)
        buffer_append_identifier(&text, request->database);
    request_settings_statement(request, &text);
    if (text.failed) {
        buffer_free(&text);
        return NULL;
    }
    return text.data;
}

/* Takes the idle connection of that profile, or, with profile NULL, the one that has been idle longest. */
static struct engine_connection *take_idle(struct engine *engine, const char *profile)
{
    struct engine_connection **link = &engine->idle;
    struct engine_connection *c;

    while (*link != NULL) {
        if (profile != NULL ? strcmp((*link)->profile, profile) == 0 : (*link)->next == NULL)
            break;
        link = &(*link)->next;
    }
    c = *link;
    if (c != NULL)
        *link = c->next;
    return c;
}

static struct timespec time_in(unsigned ms)
{
    struct timespec t;

    if (clock_gettime(CLOCK_MONOTONIC, &t) != 0)
        abort(); /* cannot fail on Linux */
    t.tv_sec += ms / 1000;
    t.tv_nsec += (long)(ms % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

/* Waits for a place. Returns true with either *found (a connection of the profile), or the right to open one,
 * after closing *evicted where that is not NULL. False when the wait was in vain. */
static bool wait_for_place(struct engine *engine, const char *profile, struct engine_connection **found,
                           struct engine_connection **evicted)
{
    struct timespec deadline = time_in(engine->options.queue_wait_ms);
    bool have_place = false;
    int status = 0;

    *found = NULL;
    *evicted = NULL;
    (void)pthread_mutex_lock(&engine->lock);
    while (!have_place) {
        *found = take_idle(engine, profile);
        if (*found != NULL) {
            have_place = true;
        } else if (engine->open_count < engine->options.connections_max) {
            engine->open_count++;
            have_place = true;
        } else if ((*evicted = take_idle(engine, NULL)) != NULL) {
            have_place = true; /* it had a place in open_count, and gives it on */
        } else if (status != 0) {
            break;
        } else {
            status = pthread_cond_timedwait(&engine->released, &engine->lock, &deadline);
        }
    }
    (void)pthread_mutex_unlock(&engine->lock);
    return have_place;
}

static void give_up_place(struct engine *engine)
{
    (void)pthread_mutex_lock(&engine->lock);
    engine->open_count--;
    (void)pthread_cond_signal(&engine->released);
    (void)pthread_mutex_unlock(&engine->lock);
}

struct engine_connection *engine_acquire(struct engine *engine, const struct request *request,
                                         struct exception *e)
{
    char *profile = profile_of(request);
    struct engine_connection *found, *evicted;

    if (profile == NULL) {
        no_memory(e);
        return NULL;
    }
    if (!wait_for_place(engine, profile, &found, &evicted)) {
        free(profile);
        exception_raise(e, EXCEPTION_TOO_MANY_SIMULTANEOUS_QUERIES,
                        "Too many simultaneous queries. Maximum: %u (waited %u ms for a place)",
                        engine->options.connections_max, engine->options.queue_wait_ms);
        return NULL;
    }
    if (evicted != NULL)
        close_connection(evicted);
    if (found != NULL) {
        free(profile);
        return found;
    }
    found = open_connection(engine, request, profile, e);
    if (found == NULL) {
        free(profile);
        give_up_place(engine);
    }
    return found;
}

void engine_release(struct engine_connection *c, bool reusable)
{
    struct engine *engine = c->engine;

    if (!reusable) {
        close_connection(c);
        give_up_place(engine);
        return;
    }
    (void)pthread_mutex_lock(&engine->lock);
    c->next = engine->idle;
    engine->idle = c;
    (void)pthread_cond_signal(&engine->released);
    (void)pthread_mutex_unlock(&engine->lock);
}

/* Statements and their results */

enum engine_class engine_classify(struct engine_connection *c, const char *sql, size_t bytes,
                                  unsigned *statements)
{
    chdb_query_analysis_v1 analysis = {.struct_size = sizeof analysis};

    *statements = 0;
    if (chdb_classify_query_n(*c->handle, sql, bytes, NULL, 0, &analysis) != 0)
        return ENGINE_UNKNOWN;
    *statements = analysis.statement_count;
    switch (analysis.query_class) {
    case CHDB_QUERY_READ_ONLY:
        return ENGINE_READ;
    case CHDB_QUERY_MUTATING:
    case CHDB_QUERY_MUTATING_GLOBAL:
        return ENGINE_CHANGE;
    case CHDB_QUERY_CONTROL:
        return ENGINE_SESSION;
    default:
        return ENGINE_UNKNOWN;
    }
}

static void count_piece(struct engine_result *result)
{
    result->statistics.read_rows += chdb_result_storage_rows_read(result->piece);
    result->statistics.read_bytes += chdb_result_storage_bytes_read(result->piece);
    result->statistics.written_rows += chdb_result_rows_written(result->piece);
    result->statistics.written_bytes += chdb_result_bytes_written(result->piece);
    result->statistics.result_rows += chdb_result_rows_read(result->piece);
}

/* The library streams SELECT only; SHOW, DESCRIBE, EXPLAIN and the rest are refused with this text,
 * untouched. */
static bool cannot_stream(const char *error)
{
    return strstr(error, "Streaming query is not supported for query") != NULL;
}

struct engine_result *engine_query(struct engine_connection *c, const char *sql, size_t bytes,
                                   const char *format, const struct request_pairs *parameters, bool streaming,
                                   struct exception *e)
{
    struct engine_result *result = calloc(1, sizeof *result);
    struct parameter_arrays p;
    const char *error = NULL;

    if (result == NULL || !make_parameter_arrays(parameters, &p)) {
        free(result);
        no_memory(e);
        return NULL;
    }
    result->connection = c;
    if (streaming) {
        result->stream =
            chdb_stream_query_with_params_n(*c->handle, sql, bytes, format, strlen(format), p.names,
                                            p.name_bytes, p.values, p.value_bytes, p.count);
        error = chdb_result_error(result->stream);
        if (error != NULL && cannot_stream(error)) {
            chdb_destroy_query_result(result->stream);
            result->stream = NULL;
            error = NULL;
            streaming = false;
        }
    }
    if (!streaming) {
        result->piece = chdb_query_with_params_n(*c->handle, sql, bytes, format, strlen(format), p.names,
                                                 p.name_bytes, p.values, p.value_bytes, p.count);
        error = chdb_result_error(result->piece);
        if (error == NULL)
            count_piece(result);
    }
    free(p.names);
    if (error != NULL) {
        exception_from_engine(e, error, c->engine->version);
        result->ended = true;
        engine_result_close(result);
        return NULL;
    }
    return result;
}

bool engine_fetch(struct engine_result *result, const char **data, size_t *bytes, struct exception *e)
{
    const char *error;

    *bytes = 0;
    *data = NULL;
    if (result->ended)
        return true;
    if (result->stream == NULL) {
        result->ended = true; /* after this piece */
        *data = chdb_result_buffer(result->piece);
        *bytes = chdb_result_length(result->piece);
        return true;
    }
    chdb_destroy_query_result(result->piece);
    result->piece = chdb_stream_fetch_result(*result->connection->handle, result->stream);
    error = chdb_result_error(result->piece);
    if (error != NULL) {
        exception_from_engine(e, error, result->connection->engine->version);
        result->ended = true;
        return false;
    }
    *data = chdb_result_buffer(result->piece);
    *bytes = chdb_result_length(result->piece);
    if (*bytes == 0)
        result->ended = true;
    else
        count_piece(result);
    return true;
}

void engine_result_statistics(const struct engine_result *result, struct engine_statistics *statistics)
{
    *statistics = result->statistics;
}

void engine_result_close(struct engine_result *result)
{
    if (result->stream != NULL && !result->ended)
        chdb_stream_cancel_query(*result->connection->handle, result->stream);
    chdb_destroy_query_result(result->piece);
    chdb_destroy_query_result(result->stream);
    free(result);
}

/* Inserts */

struct engine_insert *engine_insert_open(struct engine_connection *c, const char *sql, size_t bytes,
                                         const char *format, const struct request_pairs *parameters,
                                         struct exception *e)
{
    struct engine_insert *insert = calloc(1, sizeof *insert);
    struct parameter_arrays p;
    const char *error;

    if (insert == NULL || !make_parameter_arrays(parameters, &p)) {
        free(insert);
        no_memory(e);
        return NULL;
    }
    insert->connection = c;
    insert->stream = chdb_stream_insert_with_params_n(*c->handle, sql, bytes, format, strlen(format), p.names,
                                                      p.name_bytes, p.values, p.value_bytes, p.count);
    free(p.names);
    error = chdb_stream_insert_error(insert->stream);
    if (error != NULL) {
        exception_from_engine(e, error, c->engine->version);
        engine_insert_abort(insert);
        return NULL;
    }
    return insert;
}

bool engine_insert_append(struct engine_insert *insert, const void *data, size_t bytes)
{
    return chdb_stream_append(insert->stream, data, bytes) == 0;
}

bool engine_insert_finish(struct engine_insert *insert, struct engine_statistics *statistics,
                          struct exception *e)
{
    chdb_result *result = chdb_stream_done(insert->stream);
    const char *error = chdb_result_error(result);

    *statistics = (struct engine_statistics){0};
    if (error != NULL) {
        exception_from_engine(e, error, insert->connection->engine->version);
    } else {
        statistics->written_rows = chdb_result_rows_written(result);
        statistics->written_bytes = chdb_result_bytes_written(result);
    }
    chdb_destroy_query_result(result);
    chdb_destroy_insert_stream(insert->stream);
    free(insert);
    return error == NULL;
}

void engine_insert_abort(struct engine_insert *insert)
{
    chdb_stream_cancel_insert(insert->stream);
    chdb_destroy_insert_stream(insert->stream);
    free(insert);
}
