/*
 * server.c - the storefront's HTTP interface: each route checks what came, asks the shop, and says what
 * became of it.
 *
 *      GET  /healthz                    200 when Postgres answers
 *      GET  /api/products               all products
 *      GET  /api/products/SKU           one
 *      POST /api/orders                 places an order: 201, or 409 when something is out of stock
 *      GET  /api/orders?customer=UUID   a customer's orders
 *      GET  /api/orders/ID              one
 *      GET  /api/orders/ID/journey      how far it has come on its way to the warehouse
 *      GET  /api/busy-day               the load of simulated shoppers
 *      POST /api/busy-day               starts or stops it
 *      GET  /api/links                  where else to look
 *      everything else                  the page
 */
#include "storefront/server.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/httpd.h"
#include "storefront/shop.h"

#define BODY_BYTES_MAX  16384
#define CONNECTIONS_MAX 512
#define THREADS         16
#define TIMEOUT_S       30
#define ID_DIGITS_MAX   18

struct Server {
    ServerParts parts;
    Httpd *httpd;
};

static void reply_json(HttpdResponse *response, unsigned status, char *json)
{
    response->status = status;
    response->content_type = "application/json";
    response->body = json;
    response->body_size = json ? strlen(json) : 0;
}

/* {"error": {"code", "message"}}, and the item it is about where there is one. */
static void reply_error(HttpdResponse *response, unsigned status, const char *code, const char *message,
                        const ShopAnswer *about)
{
    json_t *error = json_pack("{s:s, s:s}", "code", code, "message", message);
    json_t *whole;

    if (about) {
        (void)json_object_set_new(error, "sku", json_string(about->sku));
        (void)json_object_set_new(error, "available", json_integer(about->available));
    }
    whole = json_pack("{s:o}", "error", error);
    reply_json(response, status, json_dumps(whole, JSON_COMPACT));
    json_decref(whole);
}

static void reply_out_of_stock(HttpdResponse *response, const ShopAnswer *answer)
{
    char message[128];

    if (answer->available > 0)
        (void)snprintf(message, sizeof message, "Only %d of %s are left in stock.", answer->available,
                       answer->sku);
    else
        (void)snprintf(message, sizeof message, "%s is out of stock.", answer->sku);
    reply_error(response, 409, "out_of_stock", message, answer);
}

static void reply(HttpdResponse *response, ShopResult result, ShopAnswer *answer, unsigned ok_status)
{
    switch (result) {
    case SHOP_OK:
        reply_json(response, ok_status, answer->json);
        return;
    case SHOP_NOT_FOUND:
        reply_error(response, 404, "not_found", "There is no such thing in the shop.",
                    answer->sku[0] ? answer : NULL);
        return;
    case SHOP_OUT_OF_STOCK:
        reply_out_of_stock(response, answer);
        return;
    case SHOP_UNAVAILABLE:
        reply_error(response, 503, "unavailable", answer->problem, NULL);
        return;
    case SHOP_UNKNOWN:
        reply_error(
            response, 503, "unknown_outcome",
            "The connection was lost while the order was being placed: it may have been placed or not. "
            "Look at your orders before you order again.",
            NULL);
        return;
    }
}

static void get_health(void *context, const HttpdRequest *request, HttpdResponse *response)
{
    Server *server = context;
    const char *why;
    PGconn *connection = pool_take(server->parts.pool, 1000, &why);

    (void)request;
    if (connection == NULL) {
        reply_error(response, 503, "unavailable", why, NULL);
        return;
    }
    pool_give(server->parts.pool, connection);
    (void)httpd_reply_text(response, 200, "text/plain", "ok\n");
}

static void get_products(void *context, const HttpdRequest *request, HttpdResponse *response)
{
    Server *server = context;
    ShopAnswer answer = {0};

    (void)request;
    reply(response, shop_products(server->parts.pool, &answer), &answer, 200);
}

static void get_product(void *context, const HttpdRequest *request, HttpdResponse *response)
{
    Server *server = context;
    ShopAnswer answer = {0};

    if (!sku_is_valid(request->tail))
        reply_error(response, 400, "invalid", "A sku is 1 to 32 letters, digits, hyphens and underscores.",
                    NULL);
    else
        reply(response, shop_product(server->parts.pool, request->tail, &answer), &answer, 200);
}

static void get_orders(void *context, const HttpdRequest *request, HttpdResponse *response)
{
    Server *server = context;
    ShopAnswer answer = {0};
    const char *customer = httpd_query(request, "customer");

    if (customer == NULL || !uuid_is_valid(customer))
        reply_error(response, 400, "invalid", "Say whose orders: ?customer= and a UUID.", NULL);
    else
        reply(response, shop_orders(server->parts.pool, customer, &answer), &answer, 200);
}

static void reply_journey(Server *server, const char *id, HttpdResponse *response)
{
    ShopAnswer answer = {0};
    int64_t number = strtoll(id, NULL, 10);
    ShopResult result = SHOP_OK;

    /* An order from before is followed too, but none that does not exist. */
    if (!journey_knows(server->parts.journey, number))
        result = shop_order(server->parts.pool, id, &answer);
    if (result == SHOP_OK)
        reply_json(response, 200, journey_json(server->parts.journey, number));
    else
        reply(response, result, &answer, 200);
    if (result == SHOP_OK)
        free(answer.json);
}

static void get_order_or_journey(void *context, const HttpdRequest *request, HttpdResponse *response)
{
    Server *server = context;
    ShopAnswer answer = {0};
    size_t digits = strspn(request->tail, "0123456789");
    const char *rest = request->tail + digits;
    char id[ID_DIGITS_MAX + 1] = "";

    if (digits == 0 || digits > ID_DIGITS_MAX || (*rest != '\0' && strcmp(rest, "/journey") != 0)) {
        reply_error(response, 400, "invalid", "An order's id is a number.", NULL);
        return;
    }
    memcpy(id, request->tail, digits);
    if (*rest == '\0')
        reply(response, shop_order(server->parts.pool, id, &answer), &answer, 200);
    else
        reply_journey(server, id, response);
}

static int64_t order_id_of(const char *text)
{
    json_t *json = json_loads(text, 0, NULL);
    int64_t id = json_integer_value(json_object_get(json, "order_id"));

    json_decref(json);
    return id;
}

/* Only a page names its requests, and only a page looks where its order is. */
static void place_order(Server *server, const OrderRequest *order, HttpdResponse *response)
{
    ShopAnswer answer = {0};
    int64_t began = clock_us(CLOCK_MONOTONIC);
    ShopResult result = shop_place_order(server->parts.pool, order, &answer);
    int64_t took_us = clock_us(CLOCK_MONOTONIC) - began;

    if (result == SHOP_OK && order->request_id[0])
        journey_note(server->parts.journey, order_id_of(answer.json), took_us);
    reply(response, result, &answer, 201);
}

static void post_order(void *context, const HttpdRequest *request, HttpdResponse *response)
{
    Server *server = context;
    OrderRequest *order = calloc(1, sizeof *order);
    const char *problem = order ? order_request_parse(request->body, request->body_size, order) : NULL;

    if (order == NULL)
        reply_error(response, 503, "unavailable", "out of memory", NULL);
    else if (problem)
        reply_error(response, 400, "invalid", problem, NULL);
    else
        place_order(server, order, response);
    free(order);
}

static void get_busy_day(void *context, const HttpdRequest *request, HttpdResponse *response)
{
    Server *server = context;

    (void)request;
    reply_json(response, 200, busy_day_json(server->parts.busy_day));
}

static void post_busy_day(void *context, const HttpdRequest *request, HttpdResponse *response)
{
    Server *server = context;
    BusyDayRequest wanted;
    const char *problem = busy_day_request_parse(request->body, request->body_size, &wanted);

    if (problem)
        reply_error(response, 400, "invalid", problem, NULL);
    else if (wanted.running && !busy_day_start(server->parts.busy_day, wanted.rate))
        reply_error(response, 400, "invalid", "The shop does not allow so many orders a second.", NULL);
    else if (!wanted.running)
        busy_day_stop(server->parts.busy_day);
    if (response->status == 0)
        get_busy_day(context, request, response);
}

static void get_links(void *context, const HttpdRequest *request, HttpdResponse *response)
{
    Server *server = context;
    json_t *links = json_pack("{s:s?}", "dashboard", server->parts.dashboard);

    (void)request;
    reply_json(response, 200, links ? json_dumps(links, JSON_COMPACT) : NULL);
    json_decref(links);
}

Server *server_start(const char *listen, const char *web, const ServerParts *parts, char *error,
                     size_t error_size)
{
    static const HttpdRoute routes[] = {
        {"GET", "/healthz", get_health},         {"GET", "/api/products", get_products},
        {"GET", "/api/products/*", get_product}, {"POST", "/api/orders", post_order},
        {"GET", "/api/orders", get_orders},      {"GET", "/api/orders/*", get_order_or_journey},
        {"GET", "/api/busy-day", get_busy_day},  {"POST", "/api/busy-day", post_busy_day},
        {"GET", "/api/links", get_links},
    };
    Server *server = calloc(1, sizeof *server);
    HttpdSettings settings = {.listen = listen,
                              .routes = routes,
                              .route_count = sizeof routes / sizeof routes[0],
                              .context = server,
                              .static_directory = web,
                              .body_bytes_max = BODY_BYTES_MAX,
                              .connections_max = CONNECTIONS_MAX,
                              .threads = THREADS,
                              .timeout_s = TIMEOUT_S};

    if (server == NULL) {
        (void)snprintf(error, error_size, "out of memory");
        return NULL;
    }
    server->parts = *parts;
    server->httpd = httpd_start(&settings, error, error_size);
    if (server->httpd)
        return server;
    free(server);
    return NULL;
}

void server_stop(Server *server)
{
    if (server == NULL)
        return;
    httpd_stop(server->httpd);
    free(server);
}
