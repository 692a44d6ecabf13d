/*
 * history.h - the table that keeps every version of every row, for tables whose rules ask for one.
 *
 *      rows of a batch --> <view>_history, ORDER BY (key, _version) --> then the storage table
 *      truncate        --> a row 'truncate' for each key that it takes away
 *
 * A replay writes the same (key, _version) again, and ReplacingMergeTree keeps one of them; read it with
 * FINAL. The history is written first, so whatever is killed in between, it has every row that the table has.
 */
#ifndef WALHOUSE_AGENT_HISTORY_H
#define WALHOUSE_AGENT_HISTORY_H

#include "agent/clickhouse.h"
#include "agent/registry.h"
#include "agent/text.h"

/* Check text->failed. */
void history_create_statement(Text *text, const Target *target);
/* "ADD COLUMN IF NOT EXISTS" for all that the table may lack. */
void history_columns_statement(Text *text, const Target *target);

/* The history, and the column _operation of the storage table, which must be there. */
Status history_ensure(ClickHouse *client, const Target *target, Error *error);

#endif
