/*
 * server.h - the storefront's HTTP interface.
 */
#ifndef WALHOUSE_STOREFRONT_SERVER_H
#define WALHOUSE_STOREFRONT_SERVER_H

#include <stddef.h>

#include "storefront/pool.h"

typedef struct Server Server;

/* listen: "127.0.0.1:8000"; web: the folder of the page. The pool outlives the server. NULL: error says why.
 */
Server *server_start(const char *listen, const char *web, Pool *pool, char *error, size_t error_size);
/* Finishes the requests that are being answered. */
void server_stop(Server *server);

#endif
