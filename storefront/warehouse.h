/*
 * warehouse.h - questions to ClickHouse over its HTTP interface; of one thread.
 */
#ifndef WALHOUSE_STOREFRONT_WAREHOUSE_H
#define WALHOUSE_STOREFRONT_WAREHOUSE_H

#include <stdbool.h>

typedef struct Warehouse Warehouse;

typedef struct WarehouseSettings {
    const char *url;      /* with the database, such as http://127.0.0.1:8123/?database=shop */
    const char *user;     /* NULL: the server's default */
    const char *password; /* NULL: none */
} WarehouseSettings;

/* The settings are copied. NULL: out of memory, or no URL. */
Warehouse *warehouse_open(const WarehouseSettings *settings);
void warehouse_close(Warehouse *warehouse);

/*
 * The answer as text, valid until the next question. NULL: it does not answer in time, or refuses, and *why
 * is valid for as long. Where database or table are not there yet the answer is "", and *missing is set.
 */
const char *warehouse_ask(Warehouse *warehouse, const char *sql, bool *missing, const char **why);

#endif
