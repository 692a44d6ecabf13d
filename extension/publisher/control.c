/*
 * control.c - control events as JSON; see control.h.
 */
#include "control.h"

#include <inttypes.h>
#include <stdio.h>

void control_put_raw(WhWriter *w, const char *text)
{
    wh_put_bytes(w, text, strlen(text));
}

void control_put_string(WhWriter *w, const char *text)
{
    char escape[8];

    wh_put_u8(w, '"');
    for (const char *c = text; *c; c++) {
        if (*c == '"' || *c == '\\') {
            wh_put_u8(w, '\\');
            wh_put_u8(w, (uint8_t)*c);
        } else if ((unsigned char)*c < 0x20) {
            (void)snprintf(escape, sizeof escape, "\\u%04x", (unsigned)*c);
            control_put_raw(w, escape);
        } else {
            wh_put_u8(w, (uint8_t)*c);
        }
    }
    wh_put_u8(w, '"');
}

void control_put_lsn(WhWriter *w, uint64_t lsn)
{
    char text[32];

    (void)snprintf(text, sizeof text, "\"%" PRIX32 "/%" PRIX32 "\"", (uint32_t)(lsn >> 32), (uint32_t)lsn);
    control_put_raw(w, text);
}

void control_put_number(WhWriter *w, int64_t number)
{
    char text[32];

    (void)snprintf(text, sizeof text, "%" PRId64, number);
    control_put_raw(w, text);
}

void control_put_heartbeat(WhWriter *w, const ControlHeartbeat *heartbeat)
{
    control_put_raw(w, "{\"kind\": \"heartbeat\", \"pipeline\": ");
    control_put_string(w, heartbeat->pipeline);
    control_put_raw(w, ", \"lsn\": ");
    control_put_lsn(w, heartbeat->acked_lsn);
    control_put_raw(w, ", \"server_lsn\": ");
    control_put_lsn(w, heartbeat->server_lsn);
    if (heartbeat->retained_wal_bytes >= 0) {
        control_put_raw(w, ", \"retained_wal_bytes\": ");
        control_put_number(w, heartbeat->retained_wal_bytes);
    }
    control_put_raw(w, ", \"sent_at\": ");
    control_put_number(w, heartbeat->sent_at_us);
    control_put_raw(w, "}");
}

void control_put_statistics_head(WhWriter *w, const ControlStatistics *statistics)
{
    control_put_raw(w, "{\"kind\": \"source_statistics\", \"pipeline\": ");
    control_put_string(w, statistics->pipeline);
    control_put_raw(w, ", \"epoch\": ");
    control_put_number(w, statistics->epoch);
    control_put_raw(w, ", \"lsn\": ");
    control_put_lsn(w, statistics->lsn);
    control_put_raw(w, ", \"taken_at\": ");
    control_put_number(w, statistics->taken_at_us);
    control_put_raw(w, ", \"tables\": [");
}

void control_put_statistics_table(WhWriter *w, bool first, const char *schema, const char *table,
                                  int64_t rows, bool exact)
{
    control_put_raw(w, first ? "{\"schema\": " : ", {\"schema\": ");
    control_put_string(w, schema);
    control_put_raw(w, ", \"table\": ");
    control_put_string(w, table);
    control_put_raw(w, ", \"rows\": ");
    control_put_number(w, rows);
    control_put_raw(w, exact ? ", \"exact\": true}" : ", \"exact\": false}");
}

void control_put_statistics_end(WhWriter *w, bool settled)
{
    control_put_raw(w, settled ? "], \"settled\": true}" : "], \"settled\": false}");
}

void control_put_snapshot(WhWriter *w, const ControlSnapshot *snapshot)
{
    control_put_raw(w, "{\"kind\": \"snapshot\", \"pipeline\": ");
    control_put_string(w, snapshot->pipeline);
    control_put_raw(w, ", \"id\": ");
    control_put_number(w, snapshot->id);
    control_put_raw(w, ", \"schema\": ");
    control_put_string(w, snapshot->schema);
    control_put_raw(w, ", \"table\": ");
    control_put_string(w, snapshot->table);
    control_put_raw(w, ", \"reason\": ");
    control_put_string(w, snapshot->reason);
    control_put_raw(w, ", \"state\": ");
    control_put_string(w, snapshot->state);
    control_put_raw(w, ", \"rows_done\": ");
    control_put_number(w, snapshot->rows_done);
    if (snapshot->estimated_rows >= 0) {
        control_put_raw(w, ", \"estimated_rows\": ");
        control_put_number(w, snapshot->estimated_rows);
    }
    if (snapshot->error[0] != '\0') {
        control_put_raw(w, ", \"error\": ");
        control_put_string(w, snapshot->error);
    }
    control_put_raw(w, ", \"sent_at\": ");
    control_put_number(w, snapshot->sent_at_us);
    control_put_raw(w, "}");
}
