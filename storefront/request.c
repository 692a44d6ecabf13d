/*
 * request.c - what a page sends; see request.h. Reading JSON is jansson's.
 */
#include "storefront/request.h"

#include <ctype.h>
#include <jansson.h>
#include <string.h>

bool uuid_is_valid(const char *text)
{
    if (strlen(text) != UUID_BYTES)
        return false;
    for (size_t i = 0; i < UUID_BYTES; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;

        if (dash ? text[i] != '-' : !isxdigit((unsigned char)text[i]))
            return false;
    }
    return true;
}

bool sku_is_valid(const char *text)
{
    size_t size = strlen(text);

    if (size == 0 || size > SKU_BYTES_MAX)
        return false;
    for (size_t i = 0; i < size; i++)
        if (!isalnum((unsigned char)text[i]) && text[i] != '-' && text[i] != '_')
            return false;
    return true;
}

static const char *take_customer(json_t *customer, OrderRequest *order)
{
    const char *id = json_string_value(json_object_get(customer, "id"));
    json_t *name = json_object_get(customer, "name");
    const char *text = json_string_value(name);
    bool blank = true;

    if (id == NULL || !uuid_is_valid(id))
        return "customer.id must be a UUID";
    if (text == NULL || json_string_length(name) > NAME_BYTES_MAX)
        return "customer.name must be a text of at most 100 bytes";
    for (size_t i = 0; i < json_string_length(name); i++) {
        if (iscntrl((unsigned char)text[i]))
            return "customer.name must not hold control characters";
        blank = blank && text[i] == ' ';
    }
    if (blank)
        return "customer.name must not be empty";
    memcpy(order->customer_id, id, UUID_BYTES + 1);
    memcpy(order->customer_name, text, json_string_length(name) + 1);
    return NULL;
}

static const char *take_item(json_t *item, OrderRequest *order)
{
    const char *sku = json_string_value(json_object_get(item, "sku"));
    json_t *quantity = json_object_get(item, "quantity");
    OrderItem *taken = &order->items[order->item_count];

    if (sku == NULL || !sku_is_valid(sku))
        return "each item needs a sku of 1 to 32 letters, digits, hyphens and underscores";
    if (!json_is_integer(quantity) || json_integer_value(quantity) < 1 ||
        json_integer_value(quantity) > ORDER_QUANTITY_MAX)
        return "each item needs a quantity of 1 to 99";
    for (size_t i = 0; i < order->item_count; i++)
        if (strcmp(order->items[i].sku, sku) == 0)
            return "a sku must not be named twice";
    memcpy(taken->sku, sku, strlen(sku) + 1);
    taken->quantity = (int)json_integer_value(quantity);
    order->item_count++;
    return NULL;
}

static const char *take_request_id(json_t *id, OrderRequest *order)
{
    const char *text = json_string_value(id);

    if (id == NULL || json_is_null(id))
        return NULL;
    if (text == NULL || !uuid_is_valid(text))
        return "request_id must be a UUID";
    memcpy(order->request_id, text, UUID_BYTES + 1);
    return NULL;
}

const char *order_request_parse(const void *body, size_t size, OrderRequest *order)
{
    json_t *json = size > 0 ? json_loadb(body, size, JSON_REJECT_DUPLICATES, NULL) : NULL;
    json_t *items = json_object_get(json, "items");
    const char *problem = NULL;

    memset(order, 0, sizeof *order);
    if (!json_is_object(json))
        problem = "the body must be a JSON object";
    else if (!json_is_array(items) || json_array_size(items) == 0 || json_array_size(items) > ORDER_ITEMS_MAX)
        problem = "items must be a list of 1 to 50 items";
    else
        problem = take_customer(json_object_get(json, "customer"), order);
    if (problem == NULL)
        problem = take_request_id(json_object_get(json, "request_id"), order);
    for (size_t i = 0; problem == NULL && i < json_array_size(items); i++)
        problem = take_item(json_array_get(items, i), order);
    json_decref(json);
    return problem;
}

const char *busy_day_request_parse(const void *body, size_t size, BusyDayRequest *request)
{
    json_t *json = size > 0 ? json_loadb(body, size, JSON_REJECT_DUPLICATES, NULL) : NULL;
    json_t *running = json_object_get(json, "running");
    json_t *rate = json_object_get(json, "rate");
    const char *problem = NULL;

    *request = (BusyDayRequest){.running = json_is_true(running)};
    if (!json_is_boolean(running))
        problem = "the body must be a JSON object with running: true or false";
    else if (rate && (!json_is_integer(rate) || json_integer_value(rate) < 1 ||
                      json_integer_value(rate) > BUSY_DAY_RATE_MAX))
        problem = "rate must be a number of orders a second, from 1 to 1000";
    else if (rate)
        request->rate = (unsigned)json_integer_value(rate);
    json_decref(json);
    return problem;
}
