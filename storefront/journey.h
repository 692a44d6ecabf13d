/*
 * journey.h - how far an order has come: committed in Postgres, in Kafka, in the warehouse, with how long
 * each took. Asked of the pipeline's slot and of the warehouse for as long as somebody looks, and only then.
 */
#ifndef WALHOUSE_STOREFRONT_JOURNEY_H
#define WALHOUSE_STOREFRONT_JOURNEY_H

#include <stdbool.h>
#include <stdint.h>

#include "storefront/warehouse.h"

typedef struct Journey Journey;

/* Texts that outlive the journey; no pipeline, or no warehouse.url: that station is not known. */
typedef struct JourneySettings {
    const char *database; /* conninfo */
    const char *pipeline; /* its name, for its slot */
    WarehouseSettings warehouse;
} JourneySettings;

/* NULL: out of memory, or no thread can be made. */
Journey *journey_start(const JourneySettings *settings);
void journey_stop(Journey *journey);

/* The order was committed just now; placing it took so long. */
void journey_note(Journey *journey, int64_t order, int64_t placing_us);

/* Was it noted, or asked for, among the newest? */
bool journey_knows(Journey *journey, int64_t order);

/*
 * {"order_id", "postgres": station, "kafka": station, "warehouse": station}, malloc'ed; NULL: out of memory.
 * A station: {"state": "passed", "waiting", "away" or "unknown", "us": microseconds or null}. To be asked
 * again and again by whoever looks.
 */
char *journey_json(Journey *journey, int64_t order);

#endif
