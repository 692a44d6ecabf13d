/*
 * httpd.h - the HTTP server of our plain programs: routes to handlers, JSON answers, a folder of static
 * files; httpd.c and httpd_static.c are the only files that know libmicrohttpd (the warehouse, whose whole
 * subject is HTTP, has its own).
 */
#ifndef WALHOUSE_LIB_HTTPD_H
#define WALHOUSE_LIB_HTTPD_H

#include <stdbool.h>
#include <stddef.h>

typedef struct Httpd Httpd;

/* Everything is valid while the handler runs. */
typedef struct HttpdRequest {
    const char *method;
    const char *path;
    const char *tail; /* what follows a route that ends in "*"; "" for others */
    const void *body;
    size_t body_size;
    struct MHD_Connection *connection;
} HttpdRequest;

/* Filled by the handler; zeroed before. */
typedef struct HttpdResponse {
    unsigned status;
    const char *content_type; /* a constant text */
    char *body;               /* malloc'ed; the server takes it over and frees it */
    size_t body_size;
    const char *allow; /* of a 405: the methods there are */
} HttpdResponse;

/* Several threads may be in it at once. A response without a status is a 500. */
typedef void (*HttpdHandler)(void *context, const HttpdRequest *request, HttpdResponse *response);

typedef struct HttpdRoute {
    const char *method; /* GET also answers HEAD */
    const char *path;   /* exact, or a prefix when it ends in "*": "/api/orders/" and an asterisk */
    HttpdHandler handler;
} HttpdRoute;

typedef struct HttpdSettings {
    const char *listen;       /* "127.0.0.1:8080" or "[::1]:8080" */
    const HttpdRoute *routes; /* constant: not copied */
    size_t route_count;
    void *context;                /* for the handlers */
    const char *static_directory; /* NULL or "": none */
    size_t body_bytes_max;        /* a longer body is a 413 */
    const char *events_path;      /* of the stream of httpd_broadcast(); NULL: there is none */
    unsigned streams_max;         /* viewers of it at the same time; each is one of the connections */
    unsigned connections_max;
    unsigned threads;
    unsigned timeout_s; /* an idle or slow connection is closed */
} HttpdSettings;

/* Serves until httpd_stop(). NULL: error says what is wrong, and what to do. */
Httpd *httpd_start(const HttpdSettings *settings, char *error, size_t error_size);
/* Takes no more requests, and lets those that are being answered finish, for 10 s. */
void httpd_stop(Httpd *httpd);

/* A line of text as a server-sent event to all who look at events_path. Any thread may call these two. */
void httpd_broadcast(Httpd *httpd, const char *line, size_t size);
size_t httpd_viewers(Httpd *httpd);

/* A parameter of the query string, decoded; NULL: not given. */
const char *httpd_query(const HttpdRequest *request, const char *name);

/* A header of the request; NULL: not given. */
const char *httpd_header(const HttpdRequest *request, const char *name);

/* Copies text into the response. false: out of memory, and the response is a 500. */
bool httpd_reply_text(HttpdResponse *response, unsigned status, const char *content_type, const char *text);

#endif
