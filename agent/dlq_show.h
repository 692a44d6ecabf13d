/*
 * dlq_show.h - dead letters printed, for a person or as JSON, one object a line.
 */
#ifndef WALHOUSE_AGENT_DLQ_SHOW_H
#define WALHOUSE_AGENT_DLQ_SHOW_H

#include "agent/dlq_select.h"

/* A letter's place, state, reason and key. */
void dlq_print_entry(const DlqEntry *entry, bool json);

/*
 * All that the letter holds: its headers, and its row as the warehouse reads it where the schema is known,
 * or its bytes.
 */
void dlq_print_letter(const DlqEntry *entry, const MessageView *message, Registry *registry,
                      ClickHouse *client, bool json);

/* What to do about a letter whose bytes are not here. pipeline is only a guess. */
void dlq_print_advice(const DlqEntry *entry, Registry *registry, const char *pipeline);

#endif
