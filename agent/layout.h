/*
 * layout.h - is a storage table laid out as the rules of its table say?
 *
 *      Target under rules + system.tables, system.columns --layout_compare()--> what is otherwise
 *
 * Sorting key, partitions, TTL and codecs hold for tables that are made. One that is there keeps its own, and
 * loads all the same; somebody who has changed the rules should know.
 */
#ifndef WALHOUSE_AGENT_LAYOUT_H
#define WALHOUSE_AGENT_LAYOUT_H

#include "agent/clickhouse.h"
#include "agent/table_state.h"
#include "agent/target.h"

#define LAYOUT_WAY_OUT                                                                                       \
    "set the rule to what the table has; or stop the agents, drop or rename the table in ClickHouse, start " \
    "them and take a snapshot"

/* "_orders keeps the layout that it was made with: partition_by is id % 4, and not id % 8": appends nothing
 * where all is as it should be, or the table is not there. Check differences->failed. Statuses as
 * clickhouse_query(). */
Status layout_compare(ClickHouse *client, const Target *target, Text *differences, Error *error);

/* Sets or takes back the state `rules` of a table that is loaded. What ClickHouse cannot answer is not told.
 */
void layout_tell(ClickHouse *client, TableStates *states, const Target *target);

#endif
