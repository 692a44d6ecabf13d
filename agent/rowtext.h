/*
 * rowtext.h - key bytes as a condition that a person can read, and Postgres can too. Pure.
 */
#ifndef WALHOUSE_AGENT_ROWTEXT_H
#define WALHOUSE_AGENT_ROWTEXT_H

#include "agent/registry.h"
#include "agent/text.h"

/*
 * Appends "id" = 42 AND "region" = 'eu'. false, and nothing is appended: the bytes are no key of this schema,
 * or a value is of a type that has no such text here.
 */
bool rowtext_key(Text *text, const TableSchema *table, WhSlice key);

/* Appends a name as Postgres takes it, in quotes. */
void rowtext_name(Text *text, WhSlice name);

#endif
