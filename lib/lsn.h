/*
 * lsn.h - a position in the WAL as Postgres prints it: 16/B374D848.
 */
#ifndef WALHOUSE_LIB_LSN_H
#define WALHOUSE_LIB_LSN_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

/* false: the text is something else, and *lsn as it was. */
static inline bool lsn_parse(const char *text, uint64_t *lsn)
{
    uint32_t high, low;
    char end;

    if (sscanf(text, "%" SCNx32 "/%" SCNx32 "%c", &high, &low, &end) != 2)
        return false;
    *lsn = (uint64_t)high << 32 | low;
    return true;
}

#endif
