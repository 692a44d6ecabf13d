/*
 * request.h - what a page sends, checked before anything is done about it.
 */
#ifndef WALHOUSE_STOREFRONT_REQUEST_H
#define WALHOUSE_STOREFRONT_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#define ORDER_ITEMS_MAX    50
#define ORDER_QUANTITY_MAX 99
#define SKU_BYTES_MAX      32
#define NAME_BYTES_MAX     100
#define UUID_BYTES         36
#define BUSY_DAY_RATE_MAX  1000

typedef struct OrderItem {
    char sku[SKU_BYTES_MAX + 1];
    int quantity;
} OrderItem;

typedef struct OrderRequest {
    char customer_id[UUID_BYTES + 1];
    char customer_name[NAME_BYTES_MAX + 1];
    char request_id[UUID_BYTES + 1];  /* "": none; sent again, the order is the one that is there already */
    OrderItem items[ORDER_ITEMS_MAX]; /* each sku once */
    size_t item_count;
} OrderRequest;

/* NULL when body is an order, else what is wrong with it (a constant text). */
const char *order_request_parse(const void *body, size_t size, OrderRequest *order);

typedef struct BusyDayRequest {
    bool running;
    unsigned rate; /* orders a second; 0: none was given */
} BusyDayRequest;

/* {"running": true or false, "rate": orders a second}. NULL, or what is wrong with it (a constant text). */
const char *busy_day_request_parse(const void *body, size_t size, BusyDayRequest *request);

/* 8-4-4-4-12 hexadecimal digits. */
bool uuid_is_valid(const char *text);
/* 1 to SKU_BYTES_MAX of A-Z a-z 0-9 - _ */
bool sku_is_valid(const char *text);

#endif
