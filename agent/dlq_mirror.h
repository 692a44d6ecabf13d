/*
 * dlq_mirror.h - the dead letters' mirror in the warehouse, _walhouse_dead_letters: what the dashboard
 * counts, and what somebody has done about each of them.
 *
 *      __dlq --read by the group, as any topic--> dlq_mirror_take() --> batch --> dlq_mirror_batch()
 *      walhouse-agent dlq replay, discard --> dlq_mirror_put()
 *
 * So the publisher's letters are in it too, and an agent that dies between a letter and its row loses
 * nothing.
 */
#ifndef WALHOUSE_AGENT_DLQ_MIRROR_H
#define WALHOUSE_AGENT_DLQ_MIRROR_H

#include "agent/batch.h"
#include "agent/clickhouse.h"
#include "agent/letter.h"
#include "agent/text.h"

/* Is it the topic of dead letters? */
bool dlq_mirror_is_topic(const char *topic);

/* The schema that the letter names, else the newest one of its topic; NULL: none is known. Main thread. */
const TableSchema *dlq_mirror_table(Registry *registry, const Letter *letter);

/* Appends the key as a condition, or in hexadecimal digits where its schema is not known. Main thread. */
void dlq_mirror_key(Text *text, Registry *registry, const Letter *letter);

/* A message of the dead-letter topic as the mirror needs it: with the text of its key in place of the key,
 * and without its value. scratch holds the text until it is used again. */
void dlq_mirror_take(Registry *registry, MessageView *view, Text *scratch);

/* Writes a batch's messages of the dead-letter topic into the mirror. Statuses as clickhouse_query(). */
Status dlq_mirror_batch(ClickHouse *client, const Batch *batch, Error *error);

/* Writes letters with their state; keys are their keys' texts. */
Status dlq_mirror_put(ClickHouse *client, const Letter *letters, const WhSlice *keys, size_t count,
                      const char *state, Error *error);

#endif
