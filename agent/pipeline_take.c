/*
 * pipeline_take.c - a message becomes events of the batch that is being filled, or a dead letter; see
 * pipeline.h.
 *
 *      schema topic --schemas, leases--> what events are checked against
 *      message --of a table--> events --checked--> batch
 *              '-- dead letter, control --> mirror, statistics
 */
#include <stdlib.h>
#include <string.h>

#include "agent/dlq_mirror.h"
#include "agent/pipeline_internal.h"
#include "lib/clock.h"
#include "lib/log.h"

#define SCHEMA_READ_MS  5000
#define SCHEMA_PAUSE_MS 200

/* ---- schemas ---- */

static void take_schema(void *context, const MessageView *message)
{
    Pipeline *p = context;
    const TableSchema *added = NULL;
    Error error;
    Status status;

    if (lease_take(&p->lease, message))
        return;
    status = registry_add(p->registry, message->value.data, message->value.size, &added, &error);
    if (status == STATUS_OK && added) {
        atomic_fetch_add(&p->metrics->schemas, 1);
        log_info("schema %016llx of %s", (unsigned long long)added->fingerprint, added->topic);
        /* A rule may name a column as the new version calls it. */
        p->reshape = pipeline_rules(p)->count > 0;
        status = consumer_add_topic(p->consumer, added->topic, &error);
    }
    if (status == STATUS_FATAL)
        pipeline_fail(p, &error);
    else if (status != STATUS_OK)
        /* Its rows will be dead letters of an unknown schema, and nothing else suffers. */
        log_error("the schema at offset %lld cannot be read: %s", (long long)message->offset, error.text);
}

void pipeline_look_for_schemas(Pipeline *p)
{
    Error ignored;

    (void)consumer_read_schemas(p->consumer, 0, take_schema, p, &ignored);
}

/* Reads the schema topic to its end. false: the agent is to stop. */
static bool read_schemas(Pipeline *p, const atomic_bool *stop)
{
    Error error;

    while (!atomic_load(stop) && p->status == STATUS_OK) {
        if (consumer_read_schemas(p->consumer, SCHEMA_READ_MS, take_schema, p, &error) == STATUS_OK)
            return true;
        metrics_set_error(p->metrics, error.text);
        log_warning("%s; trying again", error.text);
        pipeline_pause(SCHEMA_PAUSE_MS);
    }
    return false;
}

/*
 * Reads on in the schema topic, as a message in hand names what is not known: to its end, then once more from
 * its beginning, as it may have been made anew. false: there was nothing to read that the message's sender
 * could have announced.
 */
static bool read_more_schemas(Pipeline *p, const atomic_bool *stop)
{
    if (p->schemas_read == SCHEMAS_READ_AGAIN)
        return false;
    if (p->schemas_read == SCHEMAS_READ_ON)
        consumer_restart_schemas(p->consumer);
    if (!read_schemas(p, stop)) {
        /* Nobody may say that it is not announced. */
        p->abandoned = true;
        return false;
    }
    p->schemas_read++;
    return true;
}

/* The schema of an event; NULL when it is not announced. */
static TableSchema *find_schema(Pipeline *p, uint64_t fingerprint, const atomic_bool *stop)
{
    TableSchema *table = registry_find(p->registry, fingerprint);

    while (table == NULL && read_more_schemas(p, stop))
        table = registry_find(p->registry, fingerprint);
    return table;
}

static bool is_plausible(Pipeline *p, const WhEvent *event, const atomic_bool *stop)
{
    bool admitted = lease_admits(&p->lease, event);

    while (!admitted && read_more_schemas(p, stop))
        admitted = lease_admits(&p->lease, event);
    return admitted;
}

void pipeline_read_all_schemas(Pipeline *p, const atomic_bool *stop)
{
    if (read_schemas(p, stop))
        atomic_store(&p->metrics->registry_loaded, true);
}

/* ---- messages ---- */

static bool belongs(Pipeline *p, const MessageView *view, const TableSchema *table)
{
    if (p->checked_topic == view->topic && p->checked_schema == table)
        return true;
    if (strcmp(view->topic, table->topic) != 0)
        return false;
    p->checked_topic = view->topic;
    p->checked_schema = table;
    return true;
}

/* One event of a message; STATUS_REJECT with the reason. */
static Status take_event(Pipeline *p, const MessageView *view, const WhEvent *event, uint32_t message,
                         const atomic_bool *stop, Reason *reason, Error *error)
{
    TableSchema *table = find_schema(p, event->fingerprint, stop);
    Status status;

    if (table == NULL) {
        *reason = REASON_UNKNOWN_SCHEMA;
        return status_fail(error, STATUS_REJECT, "schema %016llx is not in the schema topic",
                           (unsigned long long)event->fingerprint);
    }
    if (!belongs(p, view, table)) {
        *reason = REASON_UNDECODABLE;
        return status_fail(error, STATUS_REJECT, "schema %016llx belongs to topic %s",
                           (unsigned long long)event->fingerprint, table->topic);
    }
    if (!is_plausible(p, event, stop)) {
        *reason = REASON_IMPLAUSIBLE_VERSION;
        return lease_refuse(&p->lease, event, error);
    }
    status = batch_add_event(p->filling, table, event, message, reason, error);
    if (status == STATUS_OK && event->flags & WH_EVENT_ADJUSTED)
        atomic_fetch_add(&p->metrics->rows_adjusted, 1);
    return status;
}

static void take_events(Pipeline *p, const MessageView *view, uint32_t message, const atomic_bool *stop)
{
    WhReader r = wh_reader(view->value.data, view->value.size);
    Reason reason = REASON_UNDECODABLE;
    Status status = STATUS_OK;
    Error error;
    Error failure;
    WhEvent event;

    if (view->value.size == 0)
        status = status_fail(&error, STATUS_REJECT, "the message is empty");
    while (status == STATUS_OK && wh_reader_left(&r) > 0 && wh_event_get(&r, &event))
        status = take_event(p, view, &event, message, stop, &reason, &error);
    if (status == STATUS_OK && !wh_reader_ok(&r))
        status = status_fail(&error, STATUS_REJECT, "%s at byte %zu", r.error, r.error_offset);
    if (status == STATUS_REJECT) {
        status = batch_add_letter(p->filling, message, reason, &error, &failure) == STATUS_OK ? STATUS_OK
                                                                                              : STATUS_FATAL;
        if (status == STATUS_OK && pipeline_rules(p)->count > 0 &&
            registry_topic_hides_key(p->registry, view->topic))
            batch_hide_key(p->filling);
    }
    if (status == STATUS_FATAL)
        pipeline_fail(p, &error);
}

static bool is_control(const char *topic)
{
    static const char suffix[] = ".__control";
    size_t size = strlen(topic);

    return size >= sizeof suffix - 1 && strcmp(topic + size - (sizeof suffix - 1), suffix) == 0;
}

static void take_control(Pipeline *p, const MessageView *view)
{
    statistics_offer(p->statistics, view->value.data, view->value.size);
    source_news_take(&p->metrics->source, view->value.data, view->value.size);
}

void pipeline_take_message(Pipeline *p, const Message *message, const atomic_bool *stop)
{
    MessageView view = message_view(message);
    bool is_letter = dlq_mirror_is_topic(view.topic);
    uint32_t index;
    Error error;
    Status status;

    /* What was on its way when the partition was paused comes again when it goes on. */
    if (stopped_has(&p->stopped, view.topic, view.partition))
        return;
    if (!message_pack_headers(message, &view.headers)) {
        (void)status_fail(&error, STATUS_FATAL, "out of memory");
        pipeline_fail(p, &error);
        return;
    }
    if (is_letter)
        dlq_mirror_take(p->registry, &view, &p->letter_key);
    status = batch_add_message(p->filling, &view, &index, &error);
    free((void *)(uintptr_t)view.headers.data);
    if (status != STATUS_OK) {
        pipeline_fail(p, &error);
        return;
    }
    if (p->filling->opened_at_ms == 0)
        p->filling->opened_at_ms = clock_ms();
    if (is_letter)
        p->filling->dlq_messages++;
    else if (is_control(view.topic))
        take_control(p, &view);
    else
        take_events(p, &view, index, stop);
}
