/*
 * engine.c - the engine and the pool of its connections. This file and statement.c are the only ones that
 * know libchdb.
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
#include "warehouse/engine_internal.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define OWN_ARGUMENTS_MAX     6
#define FILE_ARGUMENTS_MAX    200
#define CONNECT_ARGUMENTS_MAX (OWN_ARGUMENTS_MAX + FILE_ARGUMENTS_MAX)
#define ARGUMENT_BYTES_MAX    4200

struct engine {
    struct engine_options options;
    char path_argument[ARGUMENT_BYTES_MAX];
    char memory_argument[64];
    char threads_argument[64];
    char *file_arguments[FILE_ARGUMENTS_MAX];
    int file_argument_count;
    char version[32];
    char timezone[64];
    chdb_connection *keeper;
    pthread_mutex_t lock;
    pthread_cond_t released;
    struct engine_connection *idle;
    unsigned open_count; /* leased and idle; at most options.connections_max */
};

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

    for (int i = 0; i < engine->file_argument_count; i++)
        arguments[count++] = engine->file_arguments[i];
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

/* Lines that begin with -- ; others are comments. False with an exception. */
static bool read_arguments(struct engine *engine, const char *path, struct exception *e)
{
    char line[ARGUMENT_BYTES_MAX];
    FILE *file = fopen(path, "re");

    if (file == NULL) {
        exception_raise(e, EXCEPTION_BAD_ARGUMENTS, "Cannot read the engine's arguments in %s: %m", path);
        return false;
    }
    while (fgets(line, sizeof line, file) != NULL && engine->file_argument_count < FILE_ARGUMENTS_MAX) {
        line[strcspn(line, "\r\n")] = '\0';
        if (strncmp(line, "--", 2) != 0)
            continue;
        engine->file_arguments[engine->file_argument_count] = strdup(line);
        if (engine->file_arguments[engine->file_argument_count] == NULL)
            break;
        engine->file_argument_count++;
    }
    if (!feof(file)) {
        exception_raise(e, EXCEPTION_BAD_ARGUMENTS, "%s has more than %d arguments, or cannot be read", path,
                        FILE_ARGUMENTS_MAX);
        (void)fclose(file);
        return false;
    }
    (void)fclose(file);
    return true;
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
    if (options->arguments_file != NULL && !read_arguments(engine, options->arguments_file, e)) {
        engine_close(engine);
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
    if (!ask(engine, "SELECT version() SETTINGS offset = 0", engine->version, sizeof engine->version, e) ||
        !ask(engine, "SELECT timezone() SETTINGS offset = 0", engine->timezone, sizeof engine->timezone, e)) {
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
    for (int i = 0; i < engine->file_argument_count; i++)
        free(engine->file_arguments[i]);
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
