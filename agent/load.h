/*
 * load.h - the loader: a thread that brings batches into ClickHouse, one at a time, for as long as it takes.
 *
 *      main thread --loader_give()--> tables made fit --> inserts --> dead letters
 *           ^                                                             |
 *           '------------------------ loader_take() ---------------------'
 *
 * An insert that fails for a reason outside is tried again with backoff, for ever: its rows carry versions,
 * so one that came through unnoticed does no harm. One that fails for its rows is split until the row is
 * found, and only that becomes a dead letter. A table that cannot take rows at all is stopped alone.
 */
#ifndef WALHOUSE_AGENT_LOAD_H
#define WALHOUSE_AGENT_LOAD_H

#include "agent/batch.h"

typedef struct Loader Loader;

/* The consumer is woken whenever a batch is done; it outlives the loader. */
Loader *loader_start(const Config *config, Metrics *metrics, Consumer *consumer, Error *error);
/* Ends the thread; a batch that it has is given up and comes back from loader_take() first if it was asked.
 */
void loader_stop(Loader *loader);

bool loader_is_idle(Loader *loader);
/* The loader must be idle; the batch is its own until loader_take() returns it. */
void loader_give(Loader *loader, Batch *batch);
/* The batch that is done, or NULL after timeout_ms. batch->loaded says whether it came to an end. */
Batch *loader_take(Loader *loader, int timeout_ms);
/* Makes the batch that is being tried again come back, not loaded. */
void loader_give_up(Loader *loader);

#endif
