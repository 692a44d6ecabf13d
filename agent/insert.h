/*
 * insert.h - rows on their way into a table: the header that says what they are, and their conversion where
 * the table's columns are wider by now.
 */
#ifndef WALHOUSE_AGENT_INSERT_H
#define WALHOUSE_AGENT_INSERT_H

#include "agent/batch.h"
#include "agent/clickhouse.h"

#define INSERT_FORMAT " FORMAT RowBinaryWithNamesAndTypes"

/*
 * Rows [first, end) of the buffer by a statement that ends in INSERT_FORMAT; no rows are a question whether
 * the table would take them. Statuses as clickhouse_insert(). Of rows that are converted a part may be in
 * when it fails.
 */
Status insert_rows_of(ClickHouse *client, TableBuffer *buffer, size_t first, size_t end, const char *sql,
                      Error *error);

#endif
