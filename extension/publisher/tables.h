/*
 * tables.h - what was handed to Kafka of each table: counters that the supervisor shows as walhouse.tables.
 *
 * A counter is found once per schema version and then kept beside its topic, so counting an event is a few
 * additions. Their number is bounded; of further tables only the number is known.
 */
#ifndef WALHOUSE_PUBLISHER_TABLES_H
#define WALHOUSE_PUBLISHER_TABLES_H

#include <stdbool.h>
#include <stddef.h>

#include "extension/common/event.h"
#include "extension/common/schema.h"
#include "report.h"

#define TABLES_COUNTED_MAX 4096

typedef struct TableCounter {
    WhTableReport report;
    bool is_reported; /* the supervisor knows what stands here */
} TableCounter;

/* Zeroed: none. */
typedef struct Tables {
    TableCounter *counters[TABLES_COUNTED_MAX]; /* each its own allocation */
    size_t count;
    size_t uncounted; /* schema versions of tables that there was no room for */
    size_t next;      /* to be looked at when reporting */
} Tables;

void tables_free(Tables *tables);

/* The counter of the table of a new schema version; NULL: there is no room. */
TableCounter *tables_learn(Tables *tables, const WhSchema *schema, uint64_t fingerprint);

/* counter NULL: the table is not counted. size: of the message's value. A snapshot's events name no commit.
 */
void table_count(TableCounter *counter, const WhEvent *event, bool from_snapshot, size_t size);

/*
 * Calls report for tables that changed since they were last reported, until it says that it can take no more;
 * the others' turn comes first the next time.
 */
void tables_report(Tables *tables, bool (*report)(void *context, const WhTableReport *report), void *context);

#endif
