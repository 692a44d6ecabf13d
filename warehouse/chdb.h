/*
 * The part of libchdb's C interface that the warehouse uses.
 *
 * The npm package that carries libchdb.so has no header. These declarations were written from the library's
 * public documentation (programs/local/chdb.h of github.com/chdb-io/chdb, release 26.7.3, Apache-2.0); only
 * the functions called from engine.c are here. tools/setup pins the release, and with it this interface.
 */
#ifndef WAREHOUSE_CHDB_H
#define WAREHOUSE_CHDB_H

#include <stddef.h>
#include <stdint.h>

typedef struct chdb_result_ chdb_result;
typedef struct chdb_connection_ *chdb_connection;
typedef struct chdb_insert_stream_ *chdb_insert_stream;

/* What chdb_classify_query_n says about a text; ascending, a batch has the highest of its members. */
enum {
    CHDB_QUERY_READ_ONLY = 0,
    CHDB_QUERY_MUTATING = 1,
    CHDB_QUERY_MUTATING_GLOBAL = 2,
    CHDB_QUERY_CONTROL = 3,
    CHDB_QUERY_UNKNOWN = 4
};

typedef struct {
    uint32_t struct_size; /* in: sizeof this struct */
    uint32_t statement_count;
    uint32_t flags;
    uint32_t query_class;
} chdb_query_analysis_v1;

extern void chdb_set_signal_handlers_enabled(int enabled);
extern chdb_connection *chdb_connect(int argc, char **argv);
extern void chdb_close_conn(chdb_connection *connection);

extern int chdb_classify_query_n(chdb_connection connection, const char *sql, size_t sql_bytes,
                                 const char *target_database, size_t target_database_bytes,
                                 chdb_query_analysis_v1 *analysis);

extern chdb_result *chdb_query_with_params_n(chdb_connection connection, const char *sql, size_t sql_bytes,
                                             const char *format, size_t format_bytes,
                                             const char *const *names, const size_t *name_bytes,
                                             const char *const *values, const size_t *value_bytes,
                                             size_t count);
extern chdb_result *chdb_stream_query_with_params_n(chdb_connection connection, const char *sql,
                                                    size_t sql_bytes, const char *format, size_t format_bytes,
                                                    const char *const *names, const size_t *name_bytes,
                                                    const char *const *values, const size_t *value_bytes,
                                                    size_t count);
extern chdb_result *chdb_stream_fetch_result(chdb_connection connection, chdb_result *stream);
extern void chdb_stream_cancel_query(chdb_connection connection, chdb_result *stream);

extern chdb_insert_stream chdb_stream_insert_with_params_n(chdb_connection connection, const char *sql,
                                                           size_t sql_bytes, const char *format,
                                                           size_t format_bytes, const char *const *names,
                                                           const size_t *name_bytes,
                                                           const char *const *values,
                                                           const size_t *value_bytes, size_t count);
extern int chdb_stream_append(chdb_insert_stream stream, const void *data, size_t bytes); /* 0 is success */
extern chdb_result *chdb_stream_done(chdb_insert_stream stream);
extern void chdb_stream_cancel_insert(chdb_insert_stream stream);
extern const char *chdb_stream_insert_error(chdb_insert_stream stream);
extern void chdb_destroy_insert_stream(chdb_insert_stream stream);

extern const char *chdb_result_error(chdb_result *result);
extern char *chdb_result_buffer(chdb_result *result);
extern size_t chdb_result_length(chdb_result *result);
extern uint64_t chdb_result_rows_read(chdb_result *result);
extern uint64_t chdb_result_storage_rows_read(chdb_result *result);
extern uint64_t chdb_result_storage_bytes_read(chdb_result *result);
extern uint64_t chdb_result_rows_written(chdb_result *result);
extern uint64_t chdb_result_bytes_written(chdb_result *result);
extern void chdb_destroy_query_result(chdb_result *result);

#endif
