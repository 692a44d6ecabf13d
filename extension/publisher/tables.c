/*
 * tables.c - counters of tables; see tables.h.
 */
#include "tables.h"

#include <stdlib.h>
#include <string.h>

void tables_free(Tables *t)
{
    for (size_t i = 0; i < t->count; i++)
        free(t->counters[i]);
    t->count = 0;
}

/* Cut to fit, and ended. */
static void copy_name(char out[WH_REPORT_NAME_BYTES], WhSlice name)
{
    size_t size = name.size < WH_REPORT_NAME_BYTES ? name.size : WH_REPORT_NAME_BYTES - 1;

    memcpy(out, name.data, size);
    out[size] = '\0';
}

static TableCounter *find(const Tables *t, uint32_t relation_oid)
{
    for (size_t i = 0; i < t->count; i++)
        if (t->counters[i]->report.relation_oid == relation_oid)
            return t->counters[i];
    return NULL;
}

TableCounter *tables_learn(Tables *t, const WhSchema *schema, uint64_t fingerprint)
{
    TableCounter *counter = find(t, schema->relation_oid);
    WhTableReport *report;

    if (counter == NULL) {
        counter = t->count < TABLES_COUNTED_MAX ? calloc(1, sizeof *counter) : NULL;
        if (counter == NULL) {
            t->uncounted++;
            return NULL;
        }
        t->counters[t->count++] = counter;
    }
    report = &counter->report;
    report->magic = WH_TABLE_REPORT_MAGIC;
    report->size = sizeof *report;
    report->relation_oid = schema->relation_oid;
    report->schema_versions++;
    report->fingerprint = fingerprint;
    report->replica_identity = schema->replica_identity;
    report->key_columns = schema->key_column_count;
    copy_name(report->schema_name, schema->schema_name);
    copy_name(report->table_name, schema->table_name);
    counter->is_reported = false;
    return counter;
}

void table_count(TableCounter *counter, const WhEvent *event, bool from_snapshot, size_t size)
{
    WhTableReport *report = counter ? &counter->report : NULL;

    if (report == NULL)
        return;
    report->inserts += event->operation == WH_OP_INSERT;
    report->updates += event->operation == WH_OP_UPDATE;
    report->deletes += event->operation == WH_OP_DELETE;
    report->truncates += event->operation == WH_OP_TRUNCATE && !from_snapshot;
    report->snapshot_rows += event->operation == WH_OP_SNAPSHOT;
    report->bytes += size;
    if (!from_snapshot) {
        report->last_commit_lsn = event->commit_lsn;
        report->last_commit_time_us = event->commit_time_us;
    }
    counter->is_reported = false;
}

void tables_report(Tables *t, bool (*report)(void *context, const WhTableReport *report), void *context)
{
    for (size_t i = 0; i < t->count; i++) {
        TableCounter *counter = t->counters[t->next % t->count];

        if (!counter->is_reported && !report(context, &counter->report))
            return;
        counter->is_reported = true;
        t->next = (t->next + 1) % t->count;
    }
}
