/* answer.c - how ClickHouse words the type and the statistics of an answer. */
#include "warehouse/answer.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

const char *answer_content_type(const char *format)
{
    static const struct {
        const char *prefix, *type;
    } types[] = {
        {"JSONEachRow", "application/x-ndjson; charset=UTF-8"},
        {"JSONStringsEachRow", "application/x-ndjson; charset=UTF-8"},
        {"JSONCompactEachRow", "application/x-ndjson; charset=UTF-8"},
        {"JSON", "application/json; charset=UTF-8"},
        {"CSV", "text/csv; charset=UTF-8"},
        {"TabSeparated", "text/tab-separated-values; charset=UTF-8"},
        {"TSV", "text/tab-separated-values; charset=UTF-8"},
        {"XML", "application/xml; charset=UTF-8"},
        {"RowBinary", "application/octet-stream"},
        {"Native", "application/octet-stream"},
        {"Parquet", "application/octet-stream"},
        {"Arrow", "application/octet-stream"},
        {"Avro", "application/octet-stream"},
        {"ORC", "application/octet-stream"},
    };

    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strncasecmp(format, types[i].prefix, strlen(types[i].prefix)) == 0)
            return types[i].type;
    return "text/plain; charset=UTF-8";
}

void answer_summary(const struct engine_statistics *s, long long elapsed_ns, char *out, size_t size)
{
    (void)snprintf(out, size,
                   "{\"read_rows\":\"%llu\",\"read_bytes\":\"%llu\",\"written_rows\":\"%llu\","
                   "\"written_bytes\":\"%llu\",\"total_rows_to_read\":\"0\",\"result_rows\":\"%llu\","
                   "\"result_bytes\":\"0\",\"elapsed_ns\":\"%lld\"}",
                   (unsigned long long)s->read_rows, (unsigned long long)s->read_bytes,
                   (unsigned long long)s->written_rows, (unsigned long long)s->written_bytes,
                   (unsigned long long)s->result_rows, elapsed_ns);
}
