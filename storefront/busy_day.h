/*
 * busy_day.h - a bounded load of simulated shoppers, who look at the products and place orders as customers
 * do. It ends by itself.
 */
#ifndef WALHOUSE_STOREFRONT_BUSY_DAY_H
#define WALHOUSE_STOREFRONT_BUSY_DAY_H

#include <stdbool.h>

#include "storefront/pool.h"

#define BUSY_DAY_S       600 /* then it is over */
#define BUSY_DAY_RATE    20  /* orders a second, where nobody says */
#define BUSY_DAY_THREADS 4   /* shoppers at the same moment; half of the default pool stays for customers */

typedef struct BusyDay BusyDay;

/* The pool outlives it. rate_max 0: there are no busy days. NULL: out of memory, or no thread can be made. */
BusyDay *busy_day_new(Pool *pool, unsigned rate_max);
/* Waits for the orders that are being placed. */
void busy_day_free(BusyDay *day);

/* rate: orders a second, 0 for the usual one. A day that runs begins anew. false: that is more than allowed.
 */
bool busy_day_start(BusyDay *day, unsigned rate);
void busy_day_stop(BusyDay *day);

/* {"running", "rate", "rate_max", "placed", "sold_out", "failed", "ends_in_s"}, malloc'ed; NULL: out of
 * memory. The counts are of the day that runs, or of the last one. */
char *busy_day_json(BusyDay *day);

#endif
