/*
 * version.h - a row's version as one number: epoch (16 bits), commit LSN (64), ordinal in the transaction
 * (48). Of the rows of one key the highest counts; see docs/guarantees.md.
 */
#ifndef WALHOUSE_AGENT_VERSION_H
#define WALHOUSE_AGENT_VERSION_H

#include "extension/common/event.h"

typedef unsigned __int128 Version;

#define VERSION_DIGITS_MAX 39 /* of a UInt128 */

static inline Version version_of(const WhEvent *event)
{
    uint64_t high, low;

    wh_version(event->epoch, event->commit_lsn, event->ordinal, &high, &low);
    return (Version)high << 64 | low;
}

static inline uint16_t version_epoch(Version version)
{
    return (uint16_t)(version >> 112);
}

/* As it is stored: little-endian. */
static inline Version version_load(const uint8_t *bytes)
{
    Version version = 0;

    for (int i = 15; i >= 0; i--)
        version = version << 8 | bytes[i];
    return version;
}

static inline uint8_t *version_store(uint8_t *p, Version version)
{
    return wh_store_u64(wh_store_u64(p, (uint64_t)version), (uint64_t)(version >> 64));
}

static inline Version version_get(WhReader *r)
{
    Version low = wh_get_u64(r);

    return (Version)wh_get_u64(r) << 64 | low;
}

/* Decimal, as ClickHouse reads and prints it. */
static inline void version_print(Version version, char text[VERSION_DIGITS_MAX + 1])
{
    char digits[VERSION_DIGITS_MAX];
    int count = 0;

    do {
        digits[count++] = (char)('0' + (int)(version % 10));
        version /= 10;
    } while (version > 0);
    for (int i = 0; i < count; i++)
        text[i] = digits[count - 1 - i];
    text[count] = '\0';
}

/* Reads what version_print() and ClickHouse print; returns where the digits end. No digits: 0. */
static inline const char *version_parse(const char *text, Version *version)
{
    *version = 0;
    for (; *text >= '0' && *text <= '9'; text++)
        *version = *version * 10 + (Version)(*text - '0');
    return text;
}

#endif
