/*
 * statement.c - what runs on a leased connection: statements with their results, and inserts fed piece by
 * piece.
 *
 * One thread uses a connection at a time. The library streams a SELECT block by block; an insert has a thread
 * of the library's own, which parses what is appended, and a queue of 16 pieces in front of it.
 */
#include "warehouse/engine_internal.h"

#include <stdlib.h>
#include <string.h>

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
        exception_from_engine(e, error, engine_version(c->engine));
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
        exception_from_engine(e, error, engine_version(result->connection->engine));
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
        exception_from_engine(e, error, engine_version(c->engine));
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
        exception_from_engine(e, error, engine_version(insert->connection->engine));
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
