/*
 * shopper.c - what a simulated shopper orders; see shopper.h.
 */
#include "storefront/shopper.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define UNITS_MAX 3

/* xorshift64: even enough for a shop, and the same on every machine. */
static unsigned below(uint64_t *random, unsigned end)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return (unsigned)(*random >> 33) % end;
}

static void choose_person(uint64_t *random, OrderRequest *order)
{
    static const char *const first[] = {"Ada",  "Grace",    "Edsger", "Barbara", "Donald", "Frances",
                                        "Alan", "Margaret", "Ken",    "Radia",   "Dennis", "Adele"};
    static const char *const last[] = {"Lovelace", "Hopper",   "Dijkstra", "Liskov",  "Knuth",   "Allen",
                                       "Turing",   "Hamilton", "Thompson", "Perlman", "Ritchie", "Goldberg"};
    unsigned person = below(random, SHOPPERS_KNOWN);

    (void)snprintf(order->customer_id, sizeof order->customer_id, "00000000-0000-4000-8000-%012u", person);
    (void)snprintf(order->customer_name, sizeof order->customer_name, "%s %s", first[person % 12],
                   last[person * 7 / 12 % 12]);
}

static bool is_in(const OrderRequest *order, const char *sku)
{
    for (size_t i = 0; i < order->item_count; i++)
        if (strcmp(order->items[i].sku, sku) == 0)
            return true;
    return false;
}

static void take(const json_t *product, uint64_t *random, OrderRequest *order)
{
    const char *sku = json_string_value(json_object_get(product, "sku"));
    json_int_t stock = json_integer_value(json_object_get(product, "stock"));
    unsigned wanted = 1 + below(random, UNITS_MAX);

    if (sku == NULL || !sku_is_valid(sku) || stock < 1 || is_in(order, sku))
        return;
    memcpy(order->items[order->item_count].sku, sku, strlen(sku) + 1);
    order->items[order->item_count++].quantity = stock < (json_int_t)wanted ? (int)stock : (int)wanted;
}

bool shopper_choose(const char *products, uint64_t *random, OrderRequest *order)
{
    json_t *json = json_loads(products, 0, NULL);
    const json_t *list = json_object_get(json, "products");
    unsigned count = (unsigned)json_array_size(list);
    unsigned wanted = 1 + below(random, SHOPPER_ITEMS_MAX);

    memset(order, 0, sizeof *order);
    choose_person(random, order);
    /* The smaller of two draws, so that some products sell better than others. */
    for (unsigned tries = 0; count > 0 && tries < 2 * count && order->item_count < wanted; tries++) {
        unsigned one = below(random, count), other = below(random, count);

        take(json_array_get(list, one < other ? one : other), random, order);
    }
    /* Whatever is left, where luck found nothing. */
    for (unsigned i = 0; i < count && order->item_count == 0; i++)
        take(json_array_get(list, i), random, order);
    json_decref(json);
    return order->item_count > 0;
}
