/*
 * httpd_stream.c - server-sent events; see httpd_stream.h.
 *
 * A viewer who has everything is suspended: libmicrohttpd does not ask for more until streams_send() resumes
 * it. Lock order: libmicrohttpd calls in here with locks of a response, never with those that suspending and
 * resuming take.
 */
#include "lib/httpd_stream.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/httpd_static.h"

#define BLOCK_BYTES 16384

/* Under the lock of its Streams. */
typedef struct Event {
    size_t holders;
    size_t size;
    char bytes[];
} Event;

typedef struct Stream {
    Streams *streams;
    struct MHD_Connection *connection;
    Event *event; /* being taken; NULL: none */
    size_t taken;
    Event *next; /* to be taken then; NULL: none */
    bool suspended;
    struct Stream *following;
} Stream;

struct Streams {
    pthread_mutex_t lock;
    Stream *first;
    unsigned count;
    unsigned max;
    bool ended;
};

Streams *streams_open(unsigned max)
{
    Streams *streams = calloc(1, sizeof *streams);

    if (streams == NULL || pthread_mutex_init(&streams->lock, NULL) != 0) {
        free(streams);
        return NULL;
    }
    streams->max = max;
    return streams;
}

void streams_free(Streams *streams)
{
    if (streams == NULL)
        return;
    (void)pthread_mutex_destroy(&streams->lock);
    free(streams);
}

static void let_go(Event **event)
{
    if (*event && --(*event)->holders == 0)
        free(*event);
    *event = NULL;
}

/* ---- libmicrohttpd's callbacks ---- */

static ssize_t copy_event(Stream *stream, char *buffer, size_t max)
{
    size_t left = stream->event->size - stream->taken;
    size_t size = left < max ? left : max;

    memcpy(buffer, stream->event->bytes + stream->taken, size);
    stream->taken += size;
    if (stream->taken == stream->event->size)
        let_go(&stream->event);
    return (ssize_t)size;
}

static ssize_t read_stream(void *context, uint64_t position, char *buffer, size_t max)
{
    Stream *stream = context;
    Streams *streams = stream->streams;
    ssize_t size = 0;

    (void)position;
    (void)pthread_mutex_lock(&streams->lock);
    if (stream->event == NULL) {
        stream->event = stream->next;
        stream->next = NULL;
        stream->taken = 0;
    }
    if (streams->ended) {
        size = MHD_CONTENT_READER_END_OF_STREAM;
    } else if (stream->event) {
        size = copy_event(stream, buffer, max);
    } else {
        stream->suspended = true;
        MHD_suspend_connection(stream->connection);
    }
    (void)pthread_mutex_unlock(&streams->lock);
    return size;
}

static void close_stream(void *context)
{
    Stream *stream = context;
    Streams *streams = stream->streams;
    Stream **link = &streams->first;

    (void)pthread_mutex_lock(&streams->lock);
    while (*link && *link != stream)
        link = &(*link)->following;
    if (*link) {
        *link = stream->following;
        streams->count--;
    }
    let_go(&stream->event);
    let_go(&stream->next);
    (void)pthread_mutex_unlock(&streams->lock);
    free(stream);
}

/* ---- answering ---- */

static enum MHD_Result refuse(struct MHD_Connection *connection)
{
    static char text[] =
        "{\"error\": {\"code\": \"too_many_viewers\", \"message\": \"Ask for the summary instead.\"}}\n";
    struct MHD_Response *response =
        MHD_create_response_from_buffer(sizeof text - 1, text, MHD_RESPMEM_PERSISTENT);
    enum MHD_Result result;

    if (response == NULL)
        return MHD_NO;
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "30");
    static_add_security_headers(response);
    result = MHD_queue_response(connection, MHD_HTTP_SERVICE_UNAVAILABLE, response);
    MHD_destroy_response(response);
    return result;
}

/* NULL: there are too many, or no memory. */
static Stream *add_stream(Streams *streams, struct MHD_Connection *connection)
{
    Stream *stream = calloc(1, sizeof *stream);

    if (stream == NULL)
        return NULL;
    stream->streams = streams;
    stream->connection = connection;
    (void)pthread_mutex_lock(&streams->lock);
    if (streams->ended || streams->count >= streams->max) {
        free(stream);
        stream = NULL;
    } else {
        stream->following = streams->first;
        streams->first = stream;
        streams->count++;
    }
    (void)pthread_mutex_unlock(&streams->lock);
    return stream;
}

enum MHD_Result streams_serve(Streams *streams, struct MHD_Connection *connection)
{
    Stream *stream = add_stream(streams, connection);
    struct MHD_Response *response;
    enum MHD_Result result;

    if (stream == NULL)
        return refuse(connection);
    response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES, read_stream, stream, close_stream);
    if (response == NULL) {
        close_stream(stream);
        return MHD_NO;
    }
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/event-stream");
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    static_add_security_headers(response);
    result = MHD_queue_response(connection, MHD_HTTP_OK, response);
    MHD_destroy_response(response);
    return result;
}

/* ---- sending ---- */

static void wake(Stream *stream)
{
    if (!stream->suspended)
        return;
    stream->suspended = false;
    MHD_resume_connection(stream->connection);
}

static Event *make_event(const char *line, size_t size)
{
    static const char head[] = "data: ", tail[] = "\n\n";
    Event *event = malloc(sizeof *event + sizeof head - 1 + size + sizeof tail - 1);

    if (event == NULL)
        return NULL;
    event->holders = 1;
    event->size = sizeof head - 1 + size + sizeof tail - 1;
    memcpy(event->bytes, head, sizeof head - 1);
    memcpy(event->bytes + sizeof head - 1, line, size);
    memcpy(event->bytes + sizeof head - 1 + size, tail, sizeof tail - 1);
    return event;
}

void streams_send(Streams *streams, const char *line, size_t size)
{
    Event *event = make_event(line, size);

    if (event == NULL)
        return;
    (void)pthread_mutex_lock(&streams->lock);
    for (Stream *stream = streams->first; stream; stream = stream->following) {
        let_go(&stream->next);
        stream->next = event;
        event->holders++;
        wake(stream);
    }
    let_go(&event);
    (void)pthread_mutex_unlock(&streams->lock);
}

size_t streams_count(Streams *streams)
{
    size_t count;

    (void)pthread_mutex_lock(&streams->lock);
    count = streams->count;
    (void)pthread_mutex_unlock(&streams->lock);
    return count;
}

void streams_end(Streams *streams)
{
    if (streams == NULL)
        return;
    (void)pthread_mutex_lock(&streams->lock);
    streams->ended = true;
    for (Stream *stream = streams->first; stream; stream = stream->following)
        wake(stream);
    (void)pthread_mutex_unlock(&streams->lock);
}
