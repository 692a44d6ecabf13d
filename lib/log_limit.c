/*
 * log_limit.c - repeated messages; see log_limit.h.
 */
#include "lib/log_limit.h"

#include <stdio.h>

/* FNV-1a over the text, in which every number is the same. */
static uint64_t hash_kind(const char *text)
{
    uint64_t hash = 0xcbf29ce484222325u;
    bool in_number = false;

    for (; *text; text++) {
        bool digit = *text >= '0' && *text <= '9';

        if (!digit || !in_number)
            hash = (hash ^ (digit ? '0' : (unsigned char)*text)) * 0x100000001b3u;
        in_number = digit;
    }
    return hash ? hash : 1;
}

bool log_limit_admit(LogLimit *limit, int level, const char *text, int64_t now_ms, LogKind *replaced)
{
    uint64_t hash = hash_kind(text);
    LogKind *kind = &limit->kinds[hash % LOG_KINDS];

    replaced->held = 0;
    if (limit->every_ms == 0)
        return true;
    if (kind->hash == hash && now_ms - kind->said_at_ms < limit->every_ms) {
        kind->held++;
        kind->level = level;
        (void)snprintf(kind->text, sizeof kind->text, "%s", text);
        return false;
    }
    if (kind->held > 0)
        *replaced = *kind;
    kind->hash = hash;
    kind->said_at_ms = now_ms;
    kind->held = 0;
    return true;
}

bool log_limit_due(LogLimit *limit, int64_t now_ms, LogKind *due)
{
    for (int i = 0; i < LOG_KINDS; i++) {
        LogKind *kind = &limit->kinds[i];

        if (kind->held > 0 && now_ms - kind->said_at_ms >= limit->every_ms) {
            *due = *kind;
            kind->said_at_ms = now_ms; /* what follows is held back again */
            kind->held = 0;
            return true;
        }
    }
    return false;
}
