/*
 * httpd_stream.h - server-sent events: one sender, a bounded number of viewers.
 *
 *      httpd_broadcast() --> the newest event --> each viewer, when it has taken the one before it
 *
 * A viewer that is slow gets fewer events, not older ones: of what it has not begun to take only the newest
 * is kept. One that takes nothing is dropped by the server's timeout. All viewers share an event's bytes.
 */
#ifndef WALHOUSE_LIB_HTTPD_STREAM_H
#define WALHOUSE_LIB_HTTPD_STREAM_H

#include <microhttpd.h>
#include <stddef.h>

typedef struct Streams Streams;

/* NULL: out of memory. */
Streams *streams_open(unsigned max);
/* After the daemon has stopped. */
void streams_free(Streams *streams);

/* Answers with a stream, or with 503 when there are max. The result is what MHD_queue_response() says. */
enum MHD_Result streams_serve(Streams *streams, struct MHD_Connection *connection);

/* One line of text to every viewer; copied. Without memory nobody gets it. */
void streams_send(Streams *streams, const char *line, size_t size);
size_t streams_count(Streams *streams);

/* Ends all of them, so that the daemon may be stopped. */
void streams_end(Streams *streams);

#endif
