/* The answer's body: pieces of the engine's result, held back at first, then streamed, gzipped on the way if
 * wanted. */
#ifndef WAREHOUSE_RESULT_H
#define WAREHOUSE_RESULT_H

#include "warehouse/engine.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define RESULT_UNKNOWN_BYTES UINT64_MAX
#define RESULT_TAG_BYTES     16
#define RESULT_READ_FAILED   (-2)

struct result;

struct result_options {
    size_t buffer_bytes;    /* how much of the result is held back before the status goes out */
    bool wait_end_of_query; /* hold all of it back (what does not fit the buffer goes to an unlinked file) */
    bool gzip;
    int compression_level;
    const char *tag; /* RESULT_TAG_BYTES of lower-case letters that mark an exception at the end */
};

/* Takes over `source` on success, and reads from it until it ends or the buffer is full. NULL with an
 * exception when the statement failed that far; the source is then still the caller's. */
struct result *result_open(struct engine_result *source, const struct result_options *options,
                           struct exception *e);

/* Bytes of the whole answer when that is known before it is sent, else RESULT_UNKNOWN_BYTES. */
uint64_t result_bytes(const struct result *r);

/* Copies the next bytes to out (size > 0). 0 at the end. RESULT_READ_FAILED when the statement failed after
 * the answer began: then the exception's text has been given out as the last bytes, and the connection is to
 * be broken off. */
ssize_t result_read(struct result *r, char *out, size_t size);

/* True when everything was read and nothing failed. */
bool result_ended_well(const struct result *r);
/* The exception that ended it, or NULL. */
const struct exception *result_exception(const struct result *r);
void result_statistics(const struct result *r, struct engine_statistics *statistics);
void result_close(struct result *r);

#endif
