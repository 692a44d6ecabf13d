/*
 * log_limit.c - repeated messages; see log_limit.h.
 */
#include "lib/log_limit.h"

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

bool log_limit_admit(LogLimit *limit, const char *text, int64_t now_ms, uint64_t *held)
{
    uint64_t hash = hash_kind(text);
    LogKind *kind = &limit->kinds[hash % LOG_KINDS];

    *held = 0;
    if (limit->every_ms == 0)
        return true;
    if (kind->hash == hash && now_ms - kind->said_at_ms < limit->every_ms) {
        kind->held++;
        return false;
    }
    if (kind->hash == hash)
        *held = kind->held;
    *kind = (LogKind){.hash = hash, .said_at_ms = now_ms};
    return true;
}
