/*
 * request.c - which parameter of the URL means what.
 *
 * ClickHouse's HTTP interface has a handful of parameters of its own; param_x are the values of {x:Type} in
 * the statement; every other parameter is a setting for this request. Pure: no engine, no HTTP library, no
 * global state, so that the tests can feed it anything.
 */
#include "warehouse/request.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void request_init(struct request *r, bool readonly)
{
    *r = (struct request){
        .readonly = readonly,
        .query_bytes_max = REQUEST_QUERY_BYTES_DEFAULT,
        .buffer_bytes = REQUEST_BUFFER_BYTES_DEFAULT,
        .compression_level = 3,
    };
    r->query.limit = REQUEST_QUERY_BYTES_MAX;
}

static void free_pairs(struct request_pairs *pairs)
{
    for (size_t i = 0; i < pairs->count; i++) {
        free(pairs->items[i].name);
        free(pairs->items[i].value);
    }
    free(pairs->items);
    *pairs = (struct request_pairs){NULL, 0};
}

void request_free(struct request *r)
{
    buffer_free(&r->query);
    free(r->database);
    r->database = NULL;
    free_pairs(&r->settings);
    free_pairs(&r->parameters);
}

static bool out_of_memory(struct exception *e)
{
    exception_raise(e, EXCEPTION_CANNOT_ALLOCATE_MEMORY, "No memory for the request's parameters");
    return false;
}

/* Takes a copy of name and value. A later pair of the same name replaces the earlier one, as a later SET
 * would. */
static bool add_pair(struct request_pairs *pairs, const char *name, const char *value, size_t value_bytes,
                     struct exception *e)
{
    struct request_pair pair = {
        .name = strdup(name), .value = malloc(value_bytes + 1), .value_bytes = value_bytes};
    struct request_pair *items;

    if (pair.name == NULL || pair.value == NULL)
        goto no_memory;
    memcpy(pair.value, value, value_bytes);
    pair.value[value_bytes] = '\0';
    for (size_t i = 0; i < pairs->count; i++) {
        if (strcmp(pairs->items[i].name, name) == 0) {
            free(pairs->items[i].name);
            free(pairs->items[i].value);
            pairs->items[i] = pair;
            return true;
        }
    }
    if (pairs->count == REQUEST_PARAMETERS_MAX) {
        free(pair.name);
        free(pair.value);
        exception_raise(e, EXCEPTION_BAD_ARGUMENTS, "More than %d settings or parameters in the URL",
                        REQUEST_PARAMETERS_MAX);
        return false;
    }
    items = realloc(pairs->items, (pairs->count + 1) * sizeof *items);
    if (items == NULL)
        goto no_memory;
    pairs->items = items;
    items[pairs->count++] = pair;
    return true;
no_memory:
    free(pair.name);
    free(pair.value);
    return out_of_memory(e);
}

static bool set_format(struct request *r, const char *value, struct exception *e)
{
    for (const char *p = value; *p != '\0'; p++) {
        if (!isalnum((unsigned char)*p) && *p != '_') {
            exception_raise(e, EXCEPTION_BAD_ARGUMENTS, "Unknown format %.64s", value);
            return false;
        }
    }
    if (strlen(value) >= sizeof r->format) {
        exception_raise(e, EXCEPTION_BAD_ARGUMENTS, "Unknown format %.64s", value);
        return false;
    }
    memcpy(r->format, value, strlen(value) + 1);
    return true;
}

/* The id is echoed in a header, so it may hold nothing that ends one. */
static bool set_query_id(struct request *r, const char *value, struct exception *e)
{
    for (const char *p = value; *p != '\0'; p++) {
        if (!isgraph((unsigned char)*p)) {
            exception_raise(e, EXCEPTION_BAD_ARGUMENTS, "query_id may hold printable ASCII characters only");
            return false;
        }
    }
    if (strlen(value) >= sizeof r->query_id) {
        exception_raise(e, EXCEPTION_BAD_ARGUMENTS, "query_id is longer than %zu bytes",
                        sizeof r->query_id - 1);
        return false;
    }
    memcpy(r->query_id, value, strlen(value) + 1);
    return true;
}

static bool set_database(struct request *r, const char *value, struct exception *e)
{
    r->database = strdup(value);
    return r->database != NULL || out_of_memory(e);
}

bool request_add_headers(struct request *r, const char *database, const char *format, const char *query_id,
                         struct exception *e)
{
    if (database != NULL && database[0] != '\0' && !set_database(r, database, e))
        return false;
    if (format != NULL && format[0] != '\0' && !set_format(r, format, e))
        return false;
    return query_id == NULL || query_id[0] == '\0' || set_query_id(r, query_id, e);
}

static bool parse_number(const char *name, const char *value, unsigned long long max, size_t *out,
                         struct exception *e)
{
    char *end = NULL;
    unsigned long long number;

    errno = 0;
    number = strtoull(value, &end, 10);
    if (errno != 0 || end == value || *end != '\0' || value[0] == '-') {
        exception_raise(e, EXCEPTION_BAD_ARGUMENTS, "Parameter %s is not a number: %.64s", name, value);
        return false;
    }
    *out = number > max ? (size_t)max : (size_t)number;
    return true;
}

static bool is_true(const char *value)
{
    return strcmp(value, "1") == 0 || strcmp(value, "true") == 0;
}

/* Parameters of the interface itself. Sets *known when name is one of them. */
static bool add_own_parameter(struct request *r, const char *name, const char *value, size_t value_bytes,
                              bool *known, struct exception *e)
{
    /* Settled elsewhere, or without a meaning here: one user, no quotas, no sessions (each request
     * stands alone, whatever session it names). */
    static const char *const ignored[] = {"",
                                          "user",
                                          "password",
                                          "quota_key",
                                          "session_id",
                                          "stacktrace",
                                          "session_timeout",
                                          "session_check",
                                          "close_session",
                                          "client_protocol_version"};
    static const char *const refused[] = {"compress", "decompress", "role"};
    size_t number;

    *known = true;
    for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
        if (strcmp(name, ignored[i]) == 0)
            return true;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        if (strcmp(name, refused[i]) != 0)
            continue;
        if (value[0] == '\0' || strcmp(value, "0") == 0 || strcmp(value, "false") == 0)
            return true;
        exception_raise(e, EXCEPTION_NOT_IMPLEMENTED, "Parameter %s is not supported by this warehouse",
                        name);
        return false;
    }
    if (strcmp(name, "query") == 0) {
        buffer_append(&r->query, value, value_bytes);
        return !r->query.failed || out_of_memory(e);
    }
    if (strcmp(name, "database") == 0)
        return r->database != NULL || value[0] == '\0' || set_database(r, value, e);
    if (strcmp(name, "query_id") == 0)
        return r->query_id[0] != '\0' || set_query_id(r, value, e);
    if (strcmp(name, "wait_end_of_query") == 0) {
        r->wait_end_of_query = is_true(value);
        return true;
    }
    if (strcmp(name, "enable_http_compression") == 0) {
        r->enable_http_compression = is_true(value);
        return true;
    }
    if (strcmp(name, "buffer_size") == 0)
        return parse_number(name, value, REQUEST_BUFFER_BYTES_MAX, &r->buffer_bytes, e);
    if (strcmp(name, "http_zlib_compression_level") == 0) {
        if (!parse_number(name, value, 9, &number, e))
            return false;
        r->compression_level = number == 0 ? 1 : (int)number;
        return true;
    }
    *known = false;
    return true;
}

static bool is_setting_name(const char *name)
{
    if (!isalpha((unsigned char)name[0]) && name[0] != '_')
        return false;
    for (; *name != '\0'; name++)
        if (!isalnum((unsigned char)*name) && *name != '_')
            return false;
    return true;
}

bool request_add_parameter(struct request *r, const char *name, const char *value, size_t value_bytes,
                           struct exception *e)
{
    static const char prefix[] = "param_";
    bool known;

    if (!add_own_parameter(r, name, value, value_bytes, &known, e))
        return false;
    if (known)
        return true;
    if (strcmp(name, "default_format") == 0)
        return r->format[0] != '\0' || value[0] == '\0' || set_format(r, value, e);
    if (strncmp(name, prefix, sizeof prefix - 1) == 0)
        return add_pair(&r->parameters, name + sizeof prefix - 1, value, value_bytes, e);
    if (!is_setting_name(name)) {
        exception_raise(e, EXCEPTION_UNKNOWN_SETTING, "Unknown setting '%.64s'", name);
        return false;
    }
    if (memchr(value, '\0', value_bytes) != NULL) {
        exception_raise(e, EXCEPTION_BAD_ARGUMENTS, "The value of setting '%.64s' holds a zero byte", name);
        return false;
    }
    if (strcmp(name, "max_query_size") == 0 &&
        !parse_number(name, value, REQUEST_QUERY_BYTES_MAX, &r->query_bytes_max, e))
        return false;
    return add_pair(&r->settings, name, value, value_bytes, e);
}

void request_settings_statement(const struct request *r, struct buffer *out)
{
    for (size_t i = 0; i < r->settings.count; i++) {
        buffer_append_text(out, i == 0 ? "SET " : ", ");
        buffer_append_text(out, r->settings.items[i].name);
        buffer_append_text(out, " = ");
        buffer_append_string(out, r->settings.items[i].value);
    }
}
