/*
 * pipeline.c - the agent's line; the only file that decides what follows from a status.
 *
 *      consumer --messages--> events --checked--> batch --due--> loader --loaded--> offsets committed
 *         ^                      |                                  |
 *         |                      |                                  '--> dead letters acknowledged
 *         |                      '-- unknown fingerprint, implausible version: the schema topic is read to
 *         |                          its end
 *         '-- a stopped table's partitions pause, go back, and are tried again later
 *
 * A batch is due when it is full, or when nothing more is to be had at once.
 *
 * Invariant: an offset is committed only when every message before it in its partition is loaded, or an
 * acknowledged dead letter, or was committed before. Two batches take turns: one is filled while the other is
 * loaded.
 *
 * What a message becomes is pipeline_take.c's, rules that change are pipeline_rules.c's.
 */
#include "agent/pipeline.h"

#include <stdlib.h>
#include <time.h>

#include "agent/lag.h"
#include "agent/pipeline_internal.h"
#include "lib/clock.h"
#include "lib/log.h"

#define POLL_MESSAGES_MAX 10000
#define POLL_IDLE_MS      100
#define BLOCKED_WAIT_MS   50
#define BLOCKED_LONG_MS   30000 /* well below max.poll.interval.ms */
#define REVOKE_WAIT_MS    5000
#define DRAIN_MS          10000
#define RELOAD_WAIT_MS    5000 /* then the line goes on, and it is tried again */
#define KEEP_BATCHES      2    /* memory that a reset batch keeps, in max_bytes */

void pipeline_pause(int64_t ms)
{
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    (void)nanosleep(&pause, NULL);
}

void pipeline_fail(Pipeline *p, const Error *error)
{
    if (p->status == STATUS_OK)
        p->error = *error;
    p->status = STATUS_FATAL;
}

const Rules *pipeline_rules(const Pipeline *p)
{
    return p->rules ? p->rules : p->config->rules;
}

static bool batch_is_full(const Pipeline *p)
{
    return p->filling->rows >= (size_t)p->config->batch_max_rows ||
           p->filling->bytes >= (size_t)p->config->batch_max_bytes ||
           p->filling->message_count >= (size_t)p->config->batch_max_rows;
}

static void poll_messages(Pipeline *p, int timeout_ms, const atomic_bool *stop)
{
    size_t room = (size_t)p->config->batch_max_rows - p->filling->message_count;
    size_t max = room < POLL_MESSAGES_MAX ? room : POLL_MESSAGES_MAX;
    size_t count = consumer_poll(p->consumer, p->messages, max > 0 ? max : 1, timeout_ms);

    p->drained = count < max;
    p->schemas_read = SCHEMAS_NOT_READ;
    atomic_fetch_add(&p->metrics->messages_consumed, count);
    for (size_t i = 0; i < count; i++) {
        pipeline_take_message(p, p->messages[i], stop);
        message_release(p->messages[i]);
    }
    atomic_store(&p->metrics->batch_rows, p->filling->rows);
}

/* ---- batches ---- */

static void finish(Pipeline *p, Batch *batch)
{
    /* The topics' names that were remembered belong to messages that go now. */
    p->checked_topic = NULL;
    batch_reset(batch, KEEP_BATCHES * (size_t)p->config->batch_max_bytes);
}

/* A batch that came back: its offsets are committed, but for those of stopped tables. */
static void complete(Pipeline *p, Batch *batch, bool wait)
{
    PartitionOffset *offsets = calloc(batch->partition_count + 1, sizeof *offsets);
    size_t count = 0;
    Error error;
    Status status = STATUS_OK;

    /* A warehouse that has started again may have lost what was loaded before: that is read again first. */
    if (batch->loaded && !recovery_take(p->recovery, batch)) {
        free(offsets);
        finish(p, batch);
        return;
    }
    status = offsets && batch->loaded
                 ? stopped_take(&p->stopped, p->consumer, batch, p->filling, clock_ms(), &error)
                 : status_fail(&error, STATUS_FATAL, "a batch could not be loaded: out of memory");

    /* Later batches must not be committed past this one, so there is no going on without it. */
    if (status != STATUS_OK)
        pipeline_fail(p, &error);
    for (size_t i = 0; status == STATUS_OK && i < batch->partition_count; i++) {
        const PartitionRange *range = &batch->partitions[i];

        if (stopped_has(&p->stopped, range->topic, range->partition))
            continue;
        offsets[count] = (PartitionOffset){range->topic, range->partition, range->next};
        recovery_loaded(p->recovery, &offsets[count++], clock_ms());
    }
    lag_note_loaded(&p->metrics->lag_times, batch, p->filling, offsets, count);
    /* Of a stopped one everything before its first message is done. */
    for (size_t i = 0; status == STATUS_OK && i < batch->partition_count; i++) {
        const PartitionRange *range = &batch->partitions[i];

        if (stopped_has(&p->stopped, range->topic, range->partition))
            offsets[count++] = (PartitionOffset){range->topic, range->partition, range->first};
    }
    if (count > 0)
        consumer_commit(p->consumer, offsets, count, wait);
    free(offsets);
    finish(p, batch);
}

static void take_loaded(Pipeline *p, int timeout_ms, bool wait)
{
    Batch *batch = loader_take(p->loader, timeout_ms);

    if (batch)
        complete(p, batch, wait);
}

static void give(Pipeline *p)
{
    lag_note_taken(&p->metrics->lag_times, p->filling);
    recovery_give(p->recovery, p->filling, clock_ms());
    loader_give(p->loader, p->filling);
    p->filling = p->filling == &p->batches[0] ? &p->batches[1] : &p->batches[0];
    atomic_store(&p->metrics->batch_rows, 0);
}

/*
 * Milliseconds until the batch, which holds something, is due: its tables may have one more part each, and it
 * is full, nothing more is to be had at once, or its first row has waited long.
 */
static int64_t due_in_ms(Pipeline *p, int64_t now)
{
    int64_t delay = p->filling->opened_at_ms + p->config->batch_max_delay_ms - now;
    int64_t wait = budgets_wait_ms(&p->budgets, p->filling, now);

    return !batch_is_full(p) && !p->drained && delay > wait ? delay : wait;
}

static void give_when_due(Pipeline *p)
{
    int64_t now = clock_ms();

    if (!loader_is_idle(p->loader))
        return;
    if (p->filling->message_count == 0) {
        /* Nothing comes, and the warehouse does not know all that it should. */
        if (recovery_is_due(p->recovery, now, false))
            give(p);
        return;
    }
    if (due_in_ms(p, now) > 0)
        return;
    budgets_take(&p->budgets, p->filling, now);
    give(p);
}

/* Everything that was consumed, loaded and committed; false: not within timeout_ms, and nothing is given up.
 */
static bool flush(Pipeline *p, int timeout_ms)
{
    int64_t until = clock_ms() + timeout_ms;

    for (;;) {
        int64_t left = until - clock_ms();

        take_loaded(p, left > 0 ? (int)left : 0, true);
        /* Nothing is committed before the warehouse has again what it may have lost. */
        if (recovery_wants_rewind(p->recovery))
            return false;
        if (loader_is_idle(p->loader) && p->filling->message_count == 0 &&
            !recovery_is_due(p->recovery, clock_ms(), true))
            return true;
        if (left <= 0)
            return false;
        if (loader_is_idle(p->loader))
            give(p);
    }
}

static void on_assigned(void *context, PartitionStart *starts, size_t count)
{
    const Pipeline *p = context;

    recovery_assigned(p->recovery, starts, count);
}

static void on_unassigned(void *context, const char *topic, int32_t partition)
{
    const Pipeline *p = context;

    recovery_unassigned(p->recovery, topic, partition);
}

static void on_lost_place(void *context, const char *topic, int32_t partition)
{
    const Pipeline *p = context;

    recovery_lost_place(p->recovery, topic, partition);
}

/*
 * Partitions are about to be taken away. What cannot be loaded in time stays where it is: its rows may still
 * be loaded, which does no harm, and its offsets are not committed, because the consumer leaves out
 * partitions that are not assigned.
 */
static void on_revoke(void *context)
{
    Pipeline *p = context;

    if (p->loader && !flush(p, REVOKE_WAIT_MS))
        log_warning(
            "partitions are given away before their rows are loaded: the next owner reads them again");
    table_states_forget_stopped(&p->metrics->tables);
    lag_times_forget(&p->metrics->lag_times);
}

/* The batch is full and the loader is busy, or has no token for it: nothing is taken from Kafka, but the
 * group must see that the agent lives. */
static void wait_for_loader(Pipeline *p, const atomic_bool *stop)
{
    int64_t now = clock_ms();

    if (p->blocked_since_ms == 0)
        p->blocked_since_ms = now;
    atomic_store(&p->metrics->blocked_since_ms, p->blocked_since_ms);
    if (now - p->blocked_since_ms > BLOCKED_LONG_MS) {
        if (!p->paused_all)
            consumer_pause_all(p->consumer, true);
        p->paused_all = true;
        poll_messages(p, 0, stop);
    }
    if (loader_is_idle(p->loader))
        pipeline_pause(BLOCKED_WAIT_MS);
    else
        take_loaded(p, BLOCKED_WAIT_MS, false);
}

static void go_on(Pipeline *p)
{
    p->blocked_since_ms = 0;
    atomic_store(&p->metrics->blocked_since_ms, 0);
    if (!p->paused_all)
        return;
    consumer_pause_all(p->consumer, false);
    stopped_pause_again(&p->stopped, p->consumer);
    recovery_pause_again(p->recovery, p->consumer);
    p->paused_all = false;
}

/* To where the warehouse cannot have lost anything. false: not yet. */
static bool go_back(Pipeline *p)
{
    take_loaded(p, BLOCKED_WAIT_MS, false);
    if (!loader_is_idle(p->loader))
        return false;
    finish(p, p->filling);
    /* They find out anew. */
    stopped_fini(&p->stopped);
    return recovery_rewind(p->recovery, p->consumer, clock_ms());
}

/* The consumer is woken when the loader is done. */
static int poll_timeout(Pipeline *p)
{
    int64_t wait = POLL_IDLE_MS;

    if (p->filling->message_count > 0 && loader_is_idle(p->loader))
        wait = due_in_ms(p, clock_ms());
    return (int)(wait < POLL_IDLE_MS ? wait : POLL_IDLE_MS);
}

/* The batch takes nothing more, and cannot go yet. */
static bool is_blocked(Pipeline *p)
{
    return batch_is_full(p) && (!loader_is_idle(p->loader) || due_in_ms(p, clock_ms()) > 0);
}

static void turn(Pipeline *p, const atomic_bool *stop)
{
    pipeline_look_for_schemas(p);
    log_tick();
    consumer_tick(p->consumer);
    if (recovery_wants_rewind(p->recovery) && !go_back(p)) {
        wait_for_loader(p, stop);
        return;
    }
    recovery_tick(p->recovery, p->consumer, p->batches, clock_ms());
    stopped_retry(&p->stopped, p->consumer, clock_ms());
    if (is_blocked(p)) {
        wait_for_loader(p, stop);
        return;
    }
    go_on(p);
    if (!batch_is_full(p))
        poll_messages(p, poll_timeout(p), stop);
    take_loaded(p, 0, false);
    give_when_due(p);
}

/* ---- life ---- */

static void reload_when_asked(Pipeline *p, atomic_bool *asked)
{
    if (atomic_load(asked) && flush(p, RELOAD_WAIT_MS)) {
        atomic_store(asked, false);
        pipeline_reload(p);
    } else if (p->reshape && flush(p, RELOAD_WAIT_MS)) {
        pipeline_reshape(p);
    }
}

Status pipeline_run(Pipeline *p, PipelineSignals *signals, Error *error)
{
    const atomic_bool *stop = &signals->stop;

    pipeline_read_all_schemas(p, stop);
    pipeline_reshape(p);
    /* A batch without rows makes the agent's own tables, and says whether ClickHouse answers. */
    if (!atomic_load(stop))
        give(p);
    while (!atomic_load(stop) && p->status == STATUS_OK) {
        turn(p, stop);
        reload_when_asked(p, &signals->reload);
    }
    log_info("draining");
    /* A batch that is not whole is not loaded: its offsets would hide what it lacks. */
    if (p->status != STATUS_OK || p->abandoned || !flush(p, DRAIN_MS)) {
        log_warning("not everything that was read could be loaded; it is read again at the next start");
        loader_give_up(p->loader);
    }
    *error = p->error;
    return p->status;
}

Consumer *pipeline_consumer(Pipeline *p)
{
    return p->consumer;
}

Registry *pipeline_registry(Pipeline *p)
{
    return p->registry;
}

Pipeline *pipeline_open(const Config *config, Metrics *metrics, Error *error)
{
    Pipeline *p = calloc(1, sizeof *p);
    const ConsumerEvents events = {.revoke = on_revoke,
                                   .assigned = on_assigned,
                                   .unassigned = on_unassigned,
                                   .lost_place = on_lost_place,
                                   .context = p};

    if (p) {
        p->config = config;
        p->metrics = metrics;
        p->filling = &p->batches[0];
        batch_init(&p->batches[0]);
        batch_init(&p->batches[1]);
        budgets_init(&p->budgets, config->batch_max_parts_per_second);
        p->messages = calloc(POLL_MESSAGES_MAX, sizeof *p->messages);
        p->registry = registry_new(config);
    }
    if (p == NULL || p->messages == NULL || p->registry == NULL) {
        (void)status_fail(error, STATUS_FATAL, "out of memory");
        pipeline_close(p);
        return NULL;
    }
    p->recovery = recovery_open(config, metrics, p->registry, error);
    p->consumer = p->recovery ? consumer_open(config, metrics, &events, error) : NULL;
    p->statistics = p->consumer ? statistics_start(config, p->consumer, p->registry, error) : NULL;
    p->loader = p->statistics ? loader_start(config, metrics, p->consumer, error) : NULL;
    if (p->loader == NULL) {
        pipeline_close(p);
        return NULL;
    }
    return p;
}

void pipeline_close(Pipeline *p)
{
    if (p == NULL)
        return;
    statistics_stop(p->statistics);
    loader_stop(p->loader);
    p->loader = NULL; /* the consumer's last revoke finds nothing to flush */
    batch_fini(&p->batches[0]);
    batch_fini(&p->batches[1]);
    consumer_close(p->consumer);
    recovery_close(p->recovery);
    registry_free(p->registry);
    rules_free(p->rules);
    stopped_fini(&p->stopped);
    budgets_fini(&p->budgets);
    text_free(&p->letter_key);
    free(p->messages);
    free(p);
}
