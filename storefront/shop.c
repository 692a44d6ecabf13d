/*
 * shop.c - products and orders in Postgres; see shop.h.
 *
 * An order:  lock its products --> enough of each? --> order, items and stock in one statement --> commit
 *
 * Products are locked in the order of their ids, so that two orders never wait for each other in a circle.
 */
#include "storefront/shop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"

#define TAKE_WAIT_MS    5000
#define COLLISIONS_MAX  5
#define ARRAY_BYTES_MAX (ORDER_ITEMS_MAX * (SKU_BYTES_MAX + 1) + 3)

#define PRODUCT_JSON                                                                                         \
    "json_build_object('sku', sku, 'name', name, 'description', description, 'category', category, "         \
    "'price', price::text, 'stock', stock)"

/* Of a row o of orders. */
#define ORDER_JSON                                                                                           \
    "json_build_object('order_id', o.id, 'status', o.status, 'total', o.total::text, 'customer_name', "      \
    "o.customer_name, "                                                                                      \
    "'placed_at', to_char(o.placed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), "            \
    "'items', (SELECT json_agg(json_build_object('sku', i.sku, 'name', p.name, 'quantity', i.quantity, "     \
    "'unit_price', i.unit_price::text) ORDER BY i.line) FROM order_items i JOIN products p ON p.id = "       \
    "i.product_id "                                                                                          \
    "WHERE i.order_id = o.id))"

/* The one value of a one-row answer as malloc'ed text; SHOP_NOT_FOUND where it is NULL or there is no row. */
static ShopResult take_json(PGresult *result, ShopAnswer *answer)
{
    if (PQresultStatus(result) != PGRES_TUPLES_OK) {
        log_warning("a query failed: %s", PQresultErrorMessage(result));
        answer->problem = "the shop's database does not answer; try again in a moment";
        return SHOP_UNAVAILABLE;
    }
    if (PQntuples(result) == 0 || PQgetisnull(result, 0, 0))
        return SHOP_NOT_FOUND;
    answer->json = strdup(PQgetvalue(result, 0, 0));
    answer->problem = "out of memory";
    return answer->json ? SHOP_OK : SHOP_UNAVAILABLE;
}

static ShopResult ask(Pool *pool, const char *sql, const char *parameter, ShopAnswer *answer)
{
    PGconn *connection = pool_take(pool, TAKE_WAIT_MS, &answer->problem);
    PGresult *result;
    ShopResult outcome;

    if (connection == NULL)
        return SHOP_UNAVAILABLE;
    result = PQexecParams(connection, sql, parameter ? 1 : 0, NULL, &parameter, NULL, NULL, 0);
    outcome = take_json(result, answer);
    PQclear(result);
    pool_give(pool, connection);
    return outcome;
}

ShopResult shop_products(Pool *pool, ShopAnswer *answer)
{
    return ask(pool,
               "SELECT json_build_object('products', coalesce(json_agg(" PRODUCT_JSON " ORDER BY id), '[]')) "
               "FROM products",
               NULL, answer);
}

ShopResult shop_product(Pool *pool, const char *sku, ShopAnswer *answer)
{
    return ask(pool, "SELECT " PRODUCT_JSON " FROM products WHERE sku = $1", sku, answer);
}

ShopResult shop_orders(Pool *pool, const char *customer_id, ShopAnswer *answer)
{
    return ask(pool,
               "SELECT json_build_object('orders', coalesce(json_agg(" ORDER_JSON
               " ORDER BY o.id DESC), '[]')) "
               "FROM (SELECT * FROM orders WHERE customer_id = $1 ORDER BY id DESC LIMIT 100) o",
               customer_id, answer);
}

ShopResult shop_order(Pool *pool, const char *id, ShopAnswer *answer)
{
    return ask(pool, "SELECT " ORDER_JSON " FROM orders o WHERE o.id = $1", id, answer);
}

/* ---- placing an order ---- */

/* The items as two Postgres arrays; skus were checked to need no quoting. */
typedef struct ItemArrays {
    char skus[ARRAY_BYTES_MAX];
    char quantities[ARRAY_BYTES_MAX];
} ItemArrays;

static void fill_arrays(const OrderRequest *order, ItemArrays *arrays)
{
    size_t skus = 0, quantities = 0;

    for (size_t i = 0; i < order->item_count; i++) {
        skus += (size_t)snprintf(arrays->skus + skus, sizeof arrays->skus - skus, "%c%s", i ? ',' : '{',
                                 order->items[i].sku);
        quantities +=
            (size_t)snprintf(arrays->quantities + quantities, sizeof arrays->quantities - quantities, "%c%d",
                             i ? ',' : '{', order->items[i].quantity);
    }
    (void)snprintf(arrays->skus + skus, sizeof arrays->skus - skus, "}");
    (void)snprintf(arrays->quantities + quantities, sizeof arrays->quantities - quantities, "}");
}

/* Is there enough of every item? The rows are (sku, stock) of the products that were locked. */
static ShopResult check_stock(PGresult *locked, const OrderRequest *order, ShopAnswer *answer)
{
    for (size_t i = 0; i < order->item_count; i++) {
        int row = 0;

        while (row < PQntuples(locked) && strcmp(PQgetvalue(locked, row, 0), order->items[i].sku) != 0)
            row++;
        (void)snprintf(answer->sku, sizeof answer->sku, "%s", order->items[i].sku);
        if (row == PQntuples(locked))
            return SHOP_NOT_FOUND;
        answer->available = atoi(PQgetvalue(locked, row, 1));
        if (answer->available < order->items[i].quantity)
            return SHOP_OUT_OF_STOCK;
    }
    return SHOP_OK;
}

/*
 * 40001 serialization_failure and 40P01 deadlock_detected pass when tried again; after 23505 unique_violation
 * the same request, sent twice at once, finds the order that the other one placed.
 */
static bool is_collision(const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

    return state &&
           (strcmp(state, "40001") == 0 || strcmp(state, "40P01") == 0 || strcmp(state, "23505") == 0);
}

static ShopResult note_failure(PGresult *result, ShopAnswer *answer, bool *collided)
{
    *collided = is_collision(result);
    log_warning("an order failed: %s", PQresultErrorMessage(result));
    answer->problem = "the order was not placed: the shop's database does not answer; try again in a moment";
    return SHOP_UNAVAILABLE;
}

static ShopResult lock_products(PGconn *connection, const OrderRequest *order, const ItemArrays *arrays,
                                ShopAnswer *answer, bool *collided)
{
    const char *parameters[] = {arrays->skus};
    PGresult *result = PQexecParams(
        connection, "SELECT sku, stock FROM products WHERE sku = ANY ($1::text[]) ORDER BY id FOR UPDATE", 1,
        NULL, parameters, NULL, NULL, 0);
    ShopResult outcome = PQresultStatus(result) == PGRES_TUPLES_OK ? check_stock(result, order, answer)
                                                                   : note_failure(result, answer, collided);

    PQclear(result);
    return outcome;
}

/* The order, its items and the stock; clang-format would break the lines where they read worst. */
/* clang-format off */
static const char write_order_sql[] =
    "WITH i AS (SELECT p.id, p.sku, p.price, w.quantity, w.line "
    "  FROM unnest($3::text[], $4::int[]) WITH ORDINALITY w (sku, quantity, line) JOIN products p USING (sku)), "
    "o AS (INSERT INTO orders (customer_id, customer_name, total, details, request_id) "
    "  SELECT $1::uuid, $2, sum(price * quantity), jsonb_build_object('items', count(*), 'source', 'storefront'), $5::uuid "
    "  FROM i RETURNING id), "
    "l AS (INSERT INTO order_items (order_id, line, product_id, sku, quantity, unit_price) "
    "  SELECT o.id, i.line, i.id, i.sku, i.quantity, i.price FROM o, i), "
    "u AS (UPDATE products p SET stock = p.stock - i.quantity, updated_at = now() FROM i WHERE p.id = i.id) "
    "SELECT id FROM o";
/* clang-format on */

static ShopResult write_order(PGconn *connection, const OrderRequest *order, const ItemArrays *arrays,
                              char *id, size_t id_size, ShopAnswer *answer, bool *collided)
{
    const char *parameters[] = {order->customer_id, order->customer_name, arrays->skus, arrays->quantities,
                                order->request_id[0] ? order->request_id : NULL};
    PGresult *result = PQexecParams(connection, write_order_sql, 5, NULL, parameters, NULL, NULL, 0);
    ShopResult outcome = SHOP_OK;

    if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1)
        (void)snprintf(id, id_size, "%s", PQgetvalue(result, 0, 0));
    else
        outcome = note_failure(result, answer, collided);
    PQclear(result);
    return outcome;
}

static ShopResult run(PGconn *connection, const char *sql, ShopAnswer *answer, bool *collided)
{
    PGresult *result = PQexec(connection, sql);
    ShopResult outcome =
        PQresultStatus(result) == PGRES_COMMAND_OK ? SHOP_OK : note_failure(result, answer, collided);

    PQclear(result);
    return outcome;
}

static ShopResult commit(PGconn *connection, ShopAnswer *answer, bool *collided)
{
    ShopResult outcome = run(connection, "COMMIT", answer, collided);

    /* An answer that says no is a no; without an answer nobody knows. */
    return outcome != SHOP_OK && PQstatus(connection) != CONNECTION_OK ? SHOP_UNKNOWN : outcome;
}

/* The order that this request placed before; SHOP_NOT_FOUND: none. */
static ShopResult find_earlier(PGconn *connection, const OrderRequest *order, ShopAnswer *answer)
{
    const char *parameters[] = {order->request_id, order->customer_id};
    PGresult *result;
    ShopResult outcome;

    if (order->request_id[0] == '\0')
        return SHOP_NOT_FOUND;
    result = PQexecParams(
        connection, "SELECT " ORDER_JSON " FROM orders o WHERE o.request_id = $1 AND o.customer_id = $2", 2,
        NULL, parameters, NULL, NULL, 0);
    outcome = take_json(result, answer);
    PQclear(result);
    return outcome;
}

/* The answer is read before the commit: after it nothing that fails may look as if the order had. */
static ShopResult read_order(PGconn *connection, const char *id, ShopAnswer *answer)
{
    PGresult *result = PQexecParams(connection, "SELECT " ORDER_JSON " FROM orders o WHERE o.id = $1", 1,
                                    NULL, &id, NULL, NULL, 0);
    ShopResult outcome = take_json(result, answer);

    PQclear(result);
    return outcome == SHOP_NOT_FOUND ? SHOP_UNAVAILABLE : outcome;
}

static ShopResult try_order(PGconn *connection, const OrderRequest *order, const ItemArrays *arrays,
                            ShopAnswer *answer, bool *collided)
{
    char id[24] = "";
    ShopResult outcome = find_earlier(connection, order, answer);

    if (outcome != SHOP_NOT_FOUND)
        return outcome;
    outcome = run(connection, "BEGIN", answer, collided);
    if (outcome == SHOP_OK)
        outcome = lock_products(connection, order, arrays, answer, collided);
    if (outcome == SHOP_OK)
        outcome = write_order(connection, order, arrays, id, sizeof id, answer, collided);
    if (outcome == SHOP_OK)
        outcome = read_order(connection, id, answer);
    if (outcome == SHOP_OK)
        outcome = commit(connection, answer, collided);
    else
        PQclear(
            PQexec(connection, "ROLLBACK")); /* a connection that does not take it is closed by the pool */
    return outcome;
}

ShopResult shop_place_order(Pool *pool, const OrderRequest *order, ShopAnswer *answer)
{
    ItemArrays arrays;
    PGconn *connection = pool_take(pool, TAKE_WAIT_MS, &answer->problem);
    ShopResult outcome = SHOP_UNAVAILABLE;
    bool collided = true;

    if (connection == NULL)
        return SHOP_UNAVAILABLE;
    fill_arrays(order, &arrays);
    for (int tries = 0; tries < COLLISIONS_MAX && collided; tries++) {
        collided = false;
        outcome = try_order(connection, order, &arrays, answer, &collided);
        if (outcome != SHOP_OK) {
            free(answer->json);
            answer->json = NULL;
        }
    }
    pool_give(pool, connection);
    return outcome;
}
