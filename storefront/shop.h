/*
 * shop.h - products and orders in Postgres. Answers are JSON texts, made by Postgres; money is text with two
 * decimals.
 */
#ifndef WALHOUSE_STOREFRONT_SHOP_H
#define WALHOUSE_STOREFRONT_SHOP_H

#include "storefront/pool.h"
#include "storefront/request.h"

typedef enum ShopResult {
    SHOP_OK,
    SHOP_NOT_FOUND,    /* no such product or order */
    SHOP_OUT_OF_STOCK, /* answer.sku, answer.available */
    SHOP_UNAVAILABLE,  /* nothing was changed; answer.problem */
    SHOP_UNKNOWN       /* the connection was lost while committing: the order may have been placed or not */
} ShopResult;

typedef struct ShopAnswer {
    char *json; /* malloc'ed, of SHOP_OK; free() it */
    const char *problem;
    char sku[SKU_BYTES_MAX + 1];
    int available;
} ShopAnswer;

ShopResult shop_products(Pool *pool, ShopAnswer *answer);
ShopResult shop_product(Pool *pool, const char *sku, ShopAnswer *answer);
/* The customer's newest 100 orders. */
ShopResult shop_orders(Pool *pool, const char *customer_id, ShopAnswer *answer);
/* id: decimal digits. */
ShopResult shop_order(Pool *pool, const char *id, ShopAnswer *answer);

/* Places an order in one transaction: the order, its items, the stock. Tried again a few times when
 * transactions collide. */
ShopResult shop_place_order(Pool *pool, const OrderRequest *order, ShopAnswer *answer);

#endif
