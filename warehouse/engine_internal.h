/* What engine.c (the pool) and statement.c (what runs on a connection) share. Nobody else includes this. */
#ifndef WAREHOUSE_ENGINE_INTERNAL_H
#define WAREHOUSE_ENGINE_INTERNAL_H

#include "warehouse/chdb.h"
#include "warehouse/engine.h"

struct engine_connection {
    struct engine *engine;
    chdb_connection *handle;
    char *profile;                  /* what it was opened for; engine.c says what that is */
    struct engine_connection *next; /* among the idle, most recently used first */
};

#endif
