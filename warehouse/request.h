/* A request as ClickHouse reads it: the URL's parameters and headers, without any HTTP library. */
#ifndef WAREHOUSE_REQUEST_H
#define WAREHOUSE_REQUEST_H

#include "warehouse/buffer.h"
#include "warehouse/exception.h"
#include "warehouse/sql.h"

#include <stdbool.h>
#include <stddef.h>

#define REQUEST_PARAMETERS_MAX      256         /* param_… and settings of one request, each */
#define REQUEST_QUERY_BYTES_DEFAULT 262144      /* ClickHouse's max_query_size */
#define REQUEST_QUERY_BYTES_MAX     (16u << 20) /* the most that max_query_size= may ask for */
#define REQUEST_BUFFER_BYTES_DEFAULT                                                                         \
    (1u << 20) /* of a result, held back so that a late error still has its status */
#define REQUEST_BUFFER_BYTES_MAX (16u << 20)

struct request_pair {
    char *name;
    char *value;
    size_t value_bytes;
};

struct request_pairs {
    struct request_pair *items;
    size_t count;
};

/* Filled by request_init and request_add_*; owned by the caller, freed by request_free. */
struct request {
    bool readonly;                    /* GET and HEAD may not change anything */
    struct buffer query;              /* query= */
    char *database;                   /* or NULL: the engine's "default" */
    char format[SQL_FORMAT_NAME_MAX]; /* default format of the result; "" is TabSeparated */
    char query_id[128];
    struct request_pairs settings;   /* in the order of the URL */
    struct request_pairs parameters; /* param_x=value, name without its prefix */
    size_t query_bytes_max;
    size_t buffer_bytes;
    bool wait_end_of_query;
    bool enable_http_compression;
    int compression_level; /* zlib's, 1..9 */
};

void request_init(struct request *r, bool readonly);
void request_free(struct request *r);

/* The X-ClickHouse-Database, -Format and -Query-Id headers; they win over parameters, so they come first.
 * NULL is none. False with an exception when a value cannot be taken. */
bool request_add_headers(struct request *r, const char *database, const char *format, const char *query_id,
                         struct exception *e);

/* One parameter of the URL, decoded. value is not necessarily text (param_x may hold any bytes). What is
 * neither ClickHouse's own parameter nor param_… is a setting. False with an exception when it is not
 * acceptable. */
bool request_add_parameter(struct request *r, const char *name, const char *value, size_t value_bytes,
                           struct exception *e);

/* Appends "SET a = '1', b = '2'" for the request's settings, or nothing when there are none. */
void request_settings_statement(const struct request *r, struct buffer *out);

#endif
