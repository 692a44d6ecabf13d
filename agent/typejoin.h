/*
 * typejoin.h - the type that holds all values of two types, exactly.
 */
#ifndef WALHOUSE_AGENT_TYPEJOIN_H
#define WALHOUSE_AGENT_TYPEJOIN_H

#include <stdbool.h>

#include "agent/text.h"

/*
 * Appends the smallest such type, written as ClickHouse writes it; false: there is none, or none that this
 * version knows. A number's, a date's and a UUID's text is the same on both sides, so String holds them;
 * those of decimals, floats and times are not.
 */
bool type_join(Text *joined, const char *a, const char *b);

#endif
