/*
 * server.h - the storefront's HTTP interface.
 */
#ifndef WALHOUSE_STOREFRONT_SERVER_H
#define WALHOUSE_STOREFRONT_SERVER_H

#include <stddef.h>

#include "storefront/busy_day.h"
#include "storefront/journey.h"
#include "storefront/pool.h"

typedef struct Server Server;

/* What it answers from; all of it outlives the server. */
typedef struct ServerParts {
    Pool *pool;
    Journey *journey;
    BusyDay *busy_day;
    const char *dashboard; /* its URL, for a link; NULL: not known */
} ServerParts;

/* listen: "127.0.0.1:8000"; web: the folder of the page. NULL: error says why. */
Server *server_start(const char *listen, const char *web, const ServerParts *parts, char *error,
                     size_t error_size);
/* Finishes the requests that are being answered. */
void server_stop(Server *server);

#endif
