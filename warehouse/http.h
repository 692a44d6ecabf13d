/* ClickHouse's HTTP interface on a socket. */
#ifndef WAREHOUSE_HTTP_H
#define WAREHOUSE_HTTP_H

#include "warehouse/auth.h"
#include "warehouse/engine.h"

#include <netinet/in.h>
#include <stdbool.h>

struct http_server;

struct http_options {
    struct sockaddr_storage address;
    unsigned clients_max;       /* HTTP connections at a time */
    unsigned receive_timeout_s; /* how long a client may be silent while the server waits for it */
    struct auth_user user;
};

/* Listens and serves, each connection on a thread of its own. NULL with a message in `error` on failure. The
 * engine is borrowed and must outlive the server. */
struct http_server *http_start(struct engine *engine, const struct http_options *options, char *error,
                               size_t error_size);

/* The port it listens on, for when the options said 0. */
unsigned http_port(const struct http_server *server);

/* Stops accepting, waits up to grace_s for requests under way, then breaks the rest off and frees the server.
 */
void http_stop(struct http_server *server, unsigned grace_s);

#endif
