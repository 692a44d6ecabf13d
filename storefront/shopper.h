/*
 * shopper.h - a simulated shopper: what would such a person order, looking at the shop's products?
 */
#ifndef WALHOUSE_STOREFRONT_SHOPPER_H
#define WALHOUSE_STOREFRONT_SHOPPER_H

#include <stdint.h>

#include "storefront/request.h"

#define SHOPPERS_KNOWN    60 /* persons; each is always the same customer */
#define SHOPPER_ITEMS_MAX 3

/*
 * products: the answer of shop_products(). *random is the state of a sequence, never 0. false: there is
 * nothing to be bought.
 */
bool shopper_choose(const char *products, uint64_t *random, OrderRequest *order);

#endif
