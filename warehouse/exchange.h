/* One request from its head to the end of its answer, without any HTTP library: what http.c drives. */
#ifndef WAREHOUSE_EXCHANGE_H
#define WAREHOUSE_EXCHANGE_H

#include "warehouse/engine.h"
#include "warehouse/request.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct exchange;

#define EXCHANGE_UNKNOWN_BYTES UINT64_MAX

/* The answer's head. Pointers live as long as the exchange; NULL is "no such header". */
struct exchange_answer {
    unsigned status;
    uint64_t bytes; /* of the body, or EXCHANGE_UNKNOWN_BYTES */
    const char *content_type;
    const char *format;
    const char *query_id;
    const char *exception_tag;
    int exception_code;         /* 0 without */
    const char *exception_text; /* NULL without */
    bool gzip;
    char summary[320]; /* X-ClickHouse-Summary */
};

/* Begins. Takes over what `request` holds (it is left empty). gzip_accepted: the client takes a gzip answer.
 * NULL when memory is out. A failure, here and later, becomes the answer: the caller goes on feeding the
 * body. */
struct exchange *exchange_begin(struct engine *engine, struct request *request, const char *content_encoding,
                                bool gzip_accepted);

/* Makes e the answer, unless there is one already; the rest of the body is then dropped. */
void exchange_fail(struct exchange *x, const struct exception *e);

/* The next piece of the body, as it came over the wire. May wait for the engine. False when nobody wants it
 * any more. */
bool exchange_body(struct exchange *x, const char *data, size_t bytes);

/* The body is complete: runs the statement, or ends the insert, as far as the first bytes of the answer. */
void exchange_run(struct exchange *x, struct exchange_answer *answer);

/* The answer's body: bytes copied, 0 at the end, or negative: break the connection off. */
ssize_t exchange_read(struct exchange *x, char *out, size_t size);

/* Ends it at whatever point it is; an unfinished insert is given up, an unfinished query cancelled. */
void exchange_end(struct exchange *x);

#endif
