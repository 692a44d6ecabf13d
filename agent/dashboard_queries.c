/*
 * dashboard_queries.c - the queries of [http] queries, a file each; see dashboard.h.
 *
 * A query that fails is told beside the others, which still show. One that the warehouse does not answer at
 * all ends the asking.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/dashboard_internal.h"
#include "agent/report.h"

#define QUERY_FILES_MAX  50
#define QUERY_BYTES_MAX  65536
#define QUERY_NAME_MAX   64
#define QUERY_TIME_MAX_S 2 /* the page waits 4 s for everything */

/* Is it NAME.sql? Then name gets NAME. */
static bool query_name(const char *file, char name[QUERY_NAME_MAX])
{
    size_t size = strspn(file, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");

    if (size == 0 || size >= QUERY_NAME_MAX || strcmp(file + size, ".sql") != 0)
        return false;
    memcpy(name, file, size);
    name[size] = '\0';
    return true;
}

/* The statement in a file, without what may end it, and FORMAT. */
static Status read_query(const char *folder, const char *file, Text *sql, Error *error)
{
    char path[4096];
    char buffer[4096];
    FILE *in;
    size_t size;

    if (snprintf(path, sizeof path, "%s/%s", folder, file) >= (int)sizeof path)
        return status_fail(error, STATUS_REJECT, "the path is too long");
    in = fopen(path, "re");
    if (in == NULL)
        return status_fail(error, STATUS_REJECT, "cannot open %s: %s", path, strerror(errno));
    while (sql->size <= QUERY_BYTES_MAX && (size = fread(buffer, 1, sizeof buffer, in)) > 0)
        text_append(sql, buffer, size);
    (void)fclose(in);
    if (sql->size > QUERY_BYTES_MAX)
        return status_fail(error, STATUS_REJECT, "%s is larger than %d bytes", path, QUERY_BYTES_MAX);
    while (sql->size > 0 && strchr(" \t\r\n;", sql->data[sql->size - 1]))
        sql->size--;
    /* On a line of its own, as the last one may be a comment. */
    text_appendf(sql, "\nFORMAT JSONEachRow SETTINGS max_execution_time = %d", QUERY_TIME_MAX_S);
    return STATUS_OK;
}

/* false: the warehouse did not answer, and the next query need not be asked. */
static bool run_query(Dashboard *d, const char *file, const char *name, json_t *queries, json_t *errors)
{
    Text sql = {0};
    json_t *rows = NULL;
    Error error;
    Status status = read_query(d->config.http_queries, file, &sql, &error);
    bool answered = true;

    if (status == STATUS_OK) {
        status = dashboard_ask(d, &sql, &rows, &error);
        /* With a code it is this query that failed. */
        answered = status != STATUS_RETRY || clickhouse_exception_code(d->summary.client) != 0;
    }
    if (status == STATUS_OK)
        (void)json_object_set_new(queries, name, rows);
    else
        (void)json_object_set_new(errors, name, report_text(error.text));
    text_free(&sql);
    return answered;
}

/* The rows of every query in the folder; what failed goes into errors. */
void dashboard_run_queries(Dashboard *d, json_t *queries, json_t *errors)
{
    DIR *folder = d->config.http_queries[0] ? opendir(d->config.http_queries) : NULL;
    struct dirent *entry;
    char name[QUERY_NAME_MAX];
    bool answered = true;

    for (int files = 0; folder && files < QUERY_FILES_MAX;) {
        entry = readdir(folder);
        if (entry == NULL)
            break;
        if (!query_name(entry->d_name, name))
            continue;
        files++;
        if (answered)
            answered = run_query(d, entry->d_name, name, queries, errors);
        else
            (void)json_object_set_new(errors, name,
                                      json_string("not asked: the warehouse did not answer the one before"));
    }
    if (folder)
        (void)closedir(folder);
}
