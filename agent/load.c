/*
 * load.c - the loader thread; see load.h.
 */
#include "agent/load.h"

#include <stdlib.h>
#include <string.h>

#include "agent/dlq_mirror.h"
#include "agent/load_internal.h"
#include "lib/clock.h"
#include "lib/condition.h"
#include "lib/log.h"

#define BACKOFF_FIRST_MS 50
#define BACKOFF_BUSY_MS  500 /* what has too much to do is not asked again at once */
#define BACKOFF_LAST_MS  5000

static int64_t us_after(int64_t ms)
{
    return (clock_ms() + ms) * 1000;
}

/* ---- trying again ---- */

/* Waits before another try; false: the batch is to be given up. */
static bool back_off(Loader *loader, int *backoff_ms)
{
    int64_t jitter = rand_r(&loader->random) % (*backoff_ms / 2 + 1);
    int64_t until_us = us_after(*backoff_ms + jitter);
    bool go_on;

    (void)pthread_mutex_lock(&loader->lock);
    while (!loader->give_up && !loader->stop && condition_wait(&loader->changed, &loader->lock, until_us))
        ;
    go_on = !loader->give_up && !loader->stop;
    (void)pthread_mutex_unlock(&loader->lock);
    *backoff_ms = *backoff_ms * 2 < BACKOFF_LAST_MS ? *backoff_ms * 2 : BACKOFF_LAST_MS;
    return go_on;
}

/* Where ClickHouse answered well, it was the other end that did not. */
static void note_retry(Loader *loader)
{
    Fault fault = clickhouse_fault(loader->client);

    labels_add(&loader->metrics->retries, fault == FAULT_NONE ? "kafka" : fault_name(fault), 1);
}

static void note_outcome(Loader *loader, Status status, const Error *error)
{
    bool reachable = status != STATUS_RETRY;

    if (reachable && !atomic_load(&loader->metrics->clickhouse_reachable))
        log_info("ClickHouse answers");
    if (status == STATUS_RETRY) {
        loader->failed = true;
        note_retry(loader);
        metrics_set_error(loader->metrics, error->text);
        log_warning("%s; trying again", error->text);
    }
    atomic_store(&loader->metrics->clickhouse_reachable, reachable);
}

Status loader_persist(Loader *loader, LoaderStep step, void *context, Error *error)
{
    int backoff_ms = BACKOFF_FIRST_MS;
    Status status;

    for (;;) {
        status = step(loader, context, error);
        note_outcome(loader, status, error);
        if (clickhouse_fault(loader->client) == FAULT_BUSY && backoff_ms < BACKOFF_BUSY_MS)
            backoff_ms = BACKOFF_BUSY_MS;
        if (status != STATUS_RETRY || !back_off(loader, &backoff_ms))
            return status;
    }
}

/* ---- dead letters ---- */

static Status send_letters_step(Loader *loader, void *context, Error *error)
{
    return dlq_send(loader->dlq, context, error);
}

static Status mirror_letters_step(Loader *loader, void *context, Error *error)
{
    Status status = dlq_mirror_batch(loader->client, context, error);

    return status == STATUS_OK ? STATUS_OK : STATUS_RETRY;
}

/* The publisher's letters are counted where they are read; the agent's where they are written. */
static void count_read_letters(Loader *loader, const Batch *batch)
{
    Letter letter;

    for (size_t i = 0; i < batch->message_count; i++)
        if (dlq_mirror_is_topic(batch->messages[i].topic) && letter_read(&batch->messages[i], &letter) &&
            letter_is_too_large(&letter))
            atomic_fetch_add(&loader->metrics->dead_letters[REASON_TOO_LARGE], 1);
}

static Status mirror_letters(Loader *loader, Batch *batch, Error *error)
{
    Status status;

    if (batch->dlq_messages == 0)
        return STATUS_OK;
    status = loader_persist(loader, mirror_letters_step, batch, error);
    if (status == STATUS_OK)
        count_read_letters(loader, batch);
    return status;
}

static Status judge_step(Loader *loader, void *context, Error *error)
{
    return breaker_judge(&loader->breaker, context, &loader->metrics->tables, error);
}

static Status bring_letters(Loader *loader, Batch *batch, Error *error)
{
    Status status = loader_persist(loader, judge_step, batch, error);

    if (status == STATUS_OK)
        status = load_note_gaps(loader, batch, error);
    if (status != STATUS_OK || batch->letter_count == 0)
        return status;
    if (status == STATUS_OK)
        status = loader_persist(loader, send_letters_step, batch, error);
    for (size_t i = 0; i < batch->letter_count && status == STATUS_OK; i++) {
        atomic_fetch_add(&loader->metrics->dead_letters[batch->letters[i].reason], 1);
        log_warning("dead letter (%s): %s", reason_code(batch->letters[i].reason),
                    batch->letters[i].error.text);
    }
    return status;
}

/* ---- the thread ---- */

static Status load_batch(Loader *loader, Batch *batch, Error *error)
{
    Status status = load_tables(loader, batch, error);

    if (status == STATUS_OK)
        status = bring_letters(loader, batch, error);
    if (status == STATUS_OK)
        status = mirror_letters(loader, batch, error);
    return status == STATUS_OK ? load_offsets(loader, batch, error) : status;
}

static void *run(void *context)
{
    Loader *loader = context;
    Error error = {""};

    (void)pthread_mutex_lock(&loader->lock);
    while (!loader->stop) {
        Batch *batch = loader->given;

        if (batch == NULL) {
            (void)pthread_cond_wait(&loader->changed, &loader->lock);
            continue;
        }
        (void)pthread_mutex_unlock(&loader->lock);
        batch->loaded = load_batch(loader, batch, &error) == STATUS_OK;
        (void)pthread_mutex_lock(&loader->lock);
        loader->given = NULL;
        loader->done = batch;
        loader->give_up = false;
        (void)pthread_cond_broadcast(&loader->changed);
        consumer_wake(loader->consumer);
    }
    (void)pthread_mutex_unlock(&loader->lock);
    return NULL;
}

static bool init_sync(Loader *loader)
{
    if (pthread_mutex_init(&loader->lock, NULL) != 0)
        return false;
    if (condition_init(&loader->changed))
        return true;
    (void)pthread_mutex_destroy(&loader->lock);
    return false;
}

/* Its thread has ended, or never began. */
static void free_loader(Loader *loader)
{
    evolve_free(loader->evolve);
    requests_close(loader->requests);
    dlq_close(loader->dlq);
    breaker_fini(&loader->breaker);
    clickhouse_close(loader->client);
    (void)pthread_cond_destroy(&loader->changed);
    (void)pthread_mutex_destroy(&loader->lock);
    free(loader);
}

Loader *loader_start(const Config *config, Metrics *metrics, Consumer *consumer, Error *error)
{
    Loader *loader = calloc(1, sizeof *loader);

    if (loader == NULL || !init_sync(loader)) {
        free(loader);
        (void)status_fail(error, STATUS_FATAL, "out of memory");
        return NULL;
    }
    loader->config = config;
    loader->metrics = metrics;
    loader->consumer = consumer;
    loader->breaker.limit = config->dlq_breaker_letters;
    loader->random = (unsigned)clock_us(CLOCK_MONOTONIC);
    loader->client = clickhouse_open(config, error);
    loader->dlq = loader->client ? dlq_open(config, error) : NULL;
    loader->requests = loader->dlq ? requests_open(config, error) : NULL;
    loader->evolve = loader->requests ? evolve_new(config, loader->client, metrics, loader->requests) : NULL;
    if (loader->evolve && pthread_create(&loader->thread, NULL, run, loader) == 0)
        return loader;
    if (loader->requests)
        (void)status_fail(error, STATUS_FATAL, "cannot start a thread");
    free_loader(loader);
    return NULL;
}

void loader_stop(Loader *loader)
{
    if (loader == NULL)
        return;
    (void)pthread_mutex_lock(&loader->lock);
    loader->stop = true;
    (void)pthread_cond_broadcast(&loader->changed);
    (void)pthread_mutex_unlock(&loader->lock);
    clickhouse_cancel(loader->client);
    (void)pthread_join(loader->thread, NULL);
    free_loader(loader);
}

bool loader_is_idle(Loader *loader)
{
    bool idle;

    (void)pthread_mutex_lock(&loader->lock);
    idle = loader->given == NULL && loader->done == NULL;
    (void)pthread_mutex_unlock(&loader->lock);
    return idle;
}

void loader_give(Loader *loader, Batch *batch)
{
    (void)pthread_mutex_lock(&loader->lock);
    loader->given = batch;
    (void)pthread_cond_broadcast(&loader->changed);
    (void)pthread_mutex_unlock(&loader->lock);
}

Batch *loader_take(Loader *loader, int timeout_ms)
{
    int64_t until_us = us_after(timeout_ms);
    Batch *batch;

    (void)pthread_mutex_lock(&loader->lock);
    while (loader->done == NULL && loader->given != NULL && timeout_ms > 0 &&
           condition_wait(&loader->changed, &loader->lock, until_us))
        ;
    batch = loader->done;
    loader->done = NULL;
    (void)pthread_mutex_unlock(&loader->lock);
    return batch;
}

void loader_give_up(Loader *loader)
{
    (void)pthread_mutex_lock(&loader->lock);
    loader->give_up = loader->given != NULL;
    (void)pthread_cond_broadcast(&loader->changed);
    (void)pthread_mutex_unlock(&loader->lock);
}
