/*
 * nearest.h - which of the known names somebody may have meant.
 */
#ifndef WALHOUSE_AGENT_NEAREST_H
#define WALHOUSE_AGENT_NEAREST_H

#include <stddef.h>

#define NEAREST_BYTES_MAX 127 /* names are cut to so many bytes */

/* Edits that turn a into b (Levenshtein). */
size_t nearest_distance(const char *a, const char *b);

#endif
