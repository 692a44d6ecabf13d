/*
 * command_dlq.c - `walhouse-agent dlq`: letters listed, shown, replayed, discarded.
 *
 *      list, show:  selection --> printed
 *      discard:     selection --> marked in the mirror
 *      replay:      selection --> the topic once more --> original messages --acknowledged--> marked
 *
 * Replaying twice does no harm, as versions decide: so a letter is marked after Kafka has its message, and
 * one that was not marked in time is still waiting.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/command.h"
#include "agent/ddl.h"
#include "agent/dlq.h"
#include "agent/dlq_mirror.h"
#include "agent/dlq_select.h"
#include "agent/dlq_show.h"
#include "agent/schema_scan.h"
#include "agent/topic_scan.h"
#include "lib/clock.h"

#define PARCEL_MAX       500
#define PARCEL_BYTES_MAX (16u << 20)

/* Letters on their way back, acknowledged and marked together. */
typedef struct Parcels {
    const DlqEntry *entries[PARCEL_MAX];
    Receipt receipts[PARCEL_MAX];
    size_t count;
    size_t bytes;
} Parcels;

typedef struct Job {
    const Config *config;
    DlqOptions options;
    Registry *registry;
    ClickHouse *client;
    Dlq *dlq;
    DlqSelection selection;
    Parcels *parcels;
    size_t done;
    size_t failed;
} Job;

static int complain(const char *what, const Error *error)
{
    (void)fprintf(stderr, "walhouse-agent: %s%s\n", what, error->text);
    return EXIT_TROUBLE;
}

static void dlq_topic(const Config *config, char topic[WH_TOPIC_BYTES_MAX + 1])
{
    (void)snprintf(topic, WH_TOPIC_BYTES_MAX + 1, "%.200s.__dlq", config->kafka_topic_prefix);
}

/* ---- list and show ---- */

static void print_sum(const Job *job)
{
    if (job->options.json)
        return;
    (void)printf("%zu letters", job->selection.count);
    if (job->selection.left_out > 0)
        (void)printf(", and %zu more (--limit)", job->selection.left_out);
    if (job->selection.strangers > 0)
        (void)printf("; %zu messages of the topic are no dead letters", job->selection.strangers);
    (void)printf("\n");
}

static int list(const Job *job)
{
    for (size_t i = 0; i < job->selection.count; i++)
        dlq_print_entry(&job->selection.entries[i], job->options.json);
    print_sum(job);
    return 0;
}

static Status show_message(void *context, const MessageView *message, Error *error)
{
    const Job *job = context;
    const DlqEntry *entry = dlq_selection_find(&job->selection, message->partition, message->offset);

    (void)error;
    if (entry)
        dlq_print_letter(entry, message, job->registry, job->client, job->options.json);
    return STATUS_OK;
}

/* Calls visit for every message of the dead-letter topic. */
static Status scan_letters(Job *job, TopicVisit visit, Error *error)
{
    char topic[WH_TOPIC_BYTES_MAX + 1];
    bool exists;

    dlq_topic(job->config, topic);
    return topic_scan(job->config, topic, &exists, visit, job, error);
}

static int show(Job *job)
{
    Error error;

    if (job->selection.count > 0 && scan_letters(job, show_message, &error) != STATUS_OK)
        return complain("", &error);
    print_sum(job);
    return 0;
}

/* ---- marking ---- */

static Status mark(Job *job, const DlqEntry *const *entries, size_t count, const char *state, Error *error)
{
    Letter *letters = calloc(count + 1, sizeof *letters);
    WhSlice *keys = calloc(count + 1, sizeof *keys);
    Status status = STATUS_OK;

    if (letters == NULL || keys == NULL)
        status = status_fail(error, STATUS_FATAL, "out of memory");
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        letters[i] = entries[i]->letter;
        keys[i] = entries[i]->key_text;
    }
    if (status == STATUS_OK)
        status = dlq_mirror_put(job->client, letters, keys, count, state, error);
    free(letters);
    free(keys);
    return status;
}

static int discard(Job *job)
{
    const DlqEntry **entries = calloc(job->selection.count + 1, sizeof *entries);
    Error error = {"out of memory"};
    Status status = STATUS_FATAL;

    for (size_t i = 0; entries && i < job->selection.count; i++)
        entries[i] = &job->selection.entries[i];
    if (entries)
        status = mark(job, entries, job->selection.count, "discarded", &error);
    free(entries);
    if (status != STATUS_OK)
        return complain("the letters could not be marked: ", &error);
    (void)printf("discarded %zu letters\n", job->selection.count);
    return 0;
}

/* ---- replay ---- */

static void fail_entry(Job *job, const DlqEntry *entry, const char *why)
{
    job->failed++;
    (void)fprintf(stderr, "walhouse-agent: letter %" PRId32 "/%" PRId64 " was not replayed: %s\n",
                  entry->letter.dlq_partition, entry->letter.dlq_offset, why);
}

/* Waits for what is on its way, and marks what arrived. */
static Status settle(Job *job, Error *error)
{
    Parcels *parcels = job->parcels;
    const DlqEntry *arrived[PARCEL_MAX];
    size_t count = 0;
    Status status = dlq_flush(job->dlq, error);
    Error why;

    for (size_t i = 0; i < parcels->count; i++) {
        if (parcels->receipts[i].acknowledged)
            arrived[count++] = parcels->entries[i];
        else
            fail_entry(job, parcels->entries[i], parcels->receipts[i].failure);
    }
    parcels->count = parcels->bytes = 0;
    job->done += count;
    if (count > 0 && mark(job, arrived, count, "replayed", &why) != STATUS_OK)
        status = status_fail(error, STATUS_FATAL,
                             "%zu messages are in their topics again, but their letters could not be marked "
                             "as replayed (doing it again does no harm): %.300s",
                             count, why.text);
    return status;
}

static Status put_back(Job *job, const DlqEntry *entry, const Letter *letter, Error *error)
{
    Parcels *parcels = job->parcels;
    Status status = dlq_put_back(job->dlq, letter, &parcels->receipts[parcels->count], error);

    if (status != STATUS_OK)
        return status;
    parcels->entries[parcels->count++] = entry;
    parcels->bytes += letter->value.size;
    return parcels->count == PARCEL_MAX || parcels->bytes >= PARCEL_BYTES_MAX ? settle(job, error)
                                                                              : STATUS_OK;
}

/* The message of a letter whose value stayed where it came from. */
typedef struct Fetch {
    Job *job;
    const DlqEntry *entry;
} Fetch;

static Status put_back_original(void *context, const MessageView *message, Error *error)
{
    Fetch *fetch = context;
    Letter letter = fetch->entry->letter;

    letter.key = message->key;
    letter.value = message->value;
    letter.originals = message->headers;
    return put_back(fetch->job, fetch->entry, &letter, error);
}

static Status fetch_original(Job *job, const DlqEntry *entry, Error *error)
{
    char topic[WH_TOPIC_BYTES_MAX + 1];
    Fetch fetch = {job, entry};
    Status status;

    (void)snprintf(topic, sizeof topic, "%.*s", (int)entry->letter.topic.size,
                   (const char *)entry->letter.topic.data);
    status = topic_fetch(job->config, topic, entry->letter.partition, entry->letter.offset, put_back_original,
                         &fetch, error);
    if (status != STATUS_REJECT)
        return status;
    fail_entry(job, entry, error->text);
    return STATUS_OK;
}

static Status replay_message(void *context, const MessageView *message, Error *error)
{
    Job *job = context;
    const DlqEntry *entry = dlq_selection_find(&job->selection, message->partition, message->offset);
    Letter letter;

    if (entry == NULL || letter_is_too_large(&entry->letter) || !letter_read(message, &letter))
        return STATUS_OK;
    return letter.size >= 0 ? fetch_original(job, entry, error) : put_back(job, entry, &letter, error);
}

/* Letters that hold nothing to replay are told about, and stay. */
static size_t advise(const Job *job)
{
    size_t count = 0;

    for (size_t i = 0; i < job->selection.count; i++) {
        if (!letter_is_too_large(&job->selection.entries[i].letter))
            continue;
        dlq_print_advice(&job->selection.entries[i], job->registry, job->config->kafka_topic_prefix);
        count++;
    }
    return count;
}

static int replay(Job *job)
{
    size_t too_large = advise(job);
    Error error = {""}, settling = {""};
    Status status = STATUS_OK;

    job->dlq = dlq_open(job->config, &error);
    job->parcels = calloc(1, sizeof *job->parcels);
    if (job->dlq == NULL || job->parcels == NULL)
        return complain("", &error);
    if (job->selection.count > too_large)
        status = scan_letters(job, replay_message, &error);
    if (settle(job, &settling) != STATUS_OK && status == STATUS_OK) {
        status = STATUS_FATAL;
        error = settling;
    }
    (void)printf("replayed %zu letters", job->done);
    if (too_large > 0)
        (void)printf(", %zu hold nothing to replay", too_large);
    (void)printf("\n");
    if (status != STATUS_OK)
        return complain("", &error);
    return job->failed > 0 ? EXIT_TROUBLE : 0;
}

/* ---- the command ---- */

/* Is it all right to change the state of these? */
static bool may_change(Job *job, Error *error)
{
    const char *name = job->options.action == DLQ_REPLAY ? "replayed" : "discarded";

    if (!job->selection.states_known) {
        (void)status_fail(error, STATUS_FATAL, "what was done about the letters is not known: %.400s",
                          job->selection.states_error.text);
        return false;
    }
    if (!job->options.filtered && !job->options.yes && job->selection.count > 0) {
        (void)status_fail(error, STATUS_FATAL,
                          "all %zu letters that wait would be %s: narrow it by a filter, or give --yes",
                          job->selection.count + job->selection.left_out, name);
        return false;
    }
    /* The mirror, where the states are kept, may have been lost. */
    return ddl_ensure_system(job->client, job->config, error) == STATUS_OK;
}

static int act(Job *job)
{
    Error error = {""};
    bool changes = job->options.action == DLQ_REPLAY || job->options.action == DLQ_DISCARD;

    if (changes && !may_change(job, &error))
        return complain("", &error);
    if (!job->selection.states_known)
        (void)fprintf(stderr, "walhouse-agent: every letter is shown as waiting: %s\n",
                      job->selection.states_error.text);
    switch (job->options.action) {
    case DLQ_LIST:
        return list(job);
    case DLQ_SHOW:
        return show(job);
    case DLQ_REPLAY:
        return replay(job);
    default:
        return discard(job);
    }
}

int command_dlq(const Config *config, int argc, char **argv)
{
    Job job = {.config = config};
    Error error = {""};
    int result = EXIT_TROUBLE;
    bool exists;

    if (!dlq_options_parse(&job.options, config->kafka_topic_prefix, clock_wall_us(), argc, argv, &error)) {
        (void)complain("dlq: ", &error);
        return EXIT_USAGE;
    }
    job.client = clickhouse_open(config, &error);
    job.registry = job.client ? schema_scan(config, &exists, NULL, NULL, &error) : NULL;
    if (job.registry &&
        dlq_select(&job.selection, config, &job.options, job.registry, job.client, &error) == STATUS_OK)
        result = act(&job);
    else
        (void)complain("", &error);
    dlq_selection_free(&job.selection);
    dlq_close(job.dlq);
    free(job.parcels);
    if (job.registry)
        registry_free(job.registry);
    clickhouse_close(job.client);
    return result;
}
