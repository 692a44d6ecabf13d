/*
 * flow.c - takes chunks through, and the deliveries back; see flow.h.
 */
#include "flow.h"
#include "letter.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define RETRY_MS 1000

bool flow_init(Flow *f, Producer *producer, SchemaTopic *schemas, uint16_t epoch, size_t in_flight_max,
               Failure *failure)
{
    f->producer = producer;
    f->schemas = schemas;
    f->epoch = epoch;
    f->in_flight_max = in_flight_max;
    f->acked = malloc(in_flight_max);
    if (f->acked == NULL)
        return failure_set(failure, "out of memory");
    flow_start(f, 0);
    return true;
}

void flow_fini(Flow *f)
{
    compose_buffer_free(&f->compose);
    dead_letters_clear(&f->dead_letters);
    free(f->acked);
    f->acked = NULL;
}

void flow_on_signal(Flow *f, FlowSignalHandler *handler, void *context)
{
    f->signal = handler;
    f->signal_context = context;
}

void flow_start(Flow *f, uint64_t start_lsn)
{
    dead_letters_clear(&f->dead_letters);
    progress_init(&f->progress, f->acked, f->in_flight_max, f->marks, FLOW_MARKS_MAX, start_lsn);
}

void flow_begin_chunk(Flow *f, const uint8_t *data, size_t size, uint64_t lsn)
{
    assert(!f->has_chunk);
    f->chunk = wh_chunk_reader(data, size);
    f->chunk_lsn = lsn;
    f->has_chunk = true;
    f->has_item = false;
    f->from_snapshot = false;
}

void flow_begin_snapshot(Flow *f, const uint8_t *data, size_t size)
{
    flow_begin_chunk(f, data, size, 0);
    f->from_snapshot = true;
}

/* A ticket is taken as for any event; the letter will bring it back. */
static FlowStep send_dead_letter(Flow *f, ProduceTopic *topic, uint64_t size, WhSlice key, Failure *failure)
{
    const WhEvent *event = &f->item.event;
    LetterOrigin origin = {.topic = producer_topic_name(topic),
                           .commit_lsn = event->commit_lsn,
                           .ordinal = event->ordinal,
                           .xid = event->xid,
                           .size = size};
    char error[DEAD_LETTER_ERROR_BYTES_MAX], message_lsn[DEAD_LETTER_LSN_BYTES_MAX];

    if (progress_is_full(&f->progress) || dead_letters_is_full(&f->dead_letters))
        return FLOW_BLOCKED;
    if (f->item.kind == WH_CHUNK_MESSAGE) {
        (void)snprintf(message_lsn, sizeof message_lsn, "%" PRIX32 "/%" PRIX32,
                       (uint32_t)(f->item.message.lsn >> 32), (uint32_t)f->item.message.lsn);
        origin.message_lsn = (WhSlice){(const uint8_t *)message_lsn, strlen(message_lsn)};
    }
    (void)snprintf(error, sizeof error, "it takes %" PRIu64 " bytes, and a Kafka message at most %u", size,
                   PRODUCE_MESSAGE_BYTES_MAX);
    origin.error = error;
    return dead_letters_add(&f->dead_letters, progress_open(&f->progress), &origin, key, NULL, failure)
               ? FLOW_DONE
               : FLOW_FAILED;
}

/* What is of the whole table says in a header how many partitions it goes to: a sweep acts when it has come
 * in all of them. */
static ProduceResult send_composed(Flow *f, int32_t partition, WhSlice key, WhSlice value, uint64_t tag,
                                   Failure *failure)
{
    char number[16];
    ProduceHeader header = {.name = "walhouse.partitions"};

    if (!wh_op_is_of_table(f->item.event.operation))
        return producer_send(f->producer, f->topic, partition, key, value, tag, failure);
    (void)snprintf(number, sizeof number, "%" PRId32, f->truncate.partitions);
    header.value = (WhSlice){(const uint8_t *)number, strlen(number)};
    return producer_send_with_headers(f->producer, f->topic, partition, key, value, &header, 1, tag, failure);
}

static FlowStep send_event(Flow *f, int32_t partition, Failure *failure)
{
    WhSlice key, value;
    uint64_t ticket;
    ProduceResult result;
    Failure why = {""};

    if (progress_is_full(&f->progress))
        return FLOW_BLOCKED;
    if (!compose_event(&f->compose, &f->item, f->epoch, &key, &value, &why)) {
        failure_set(failure,
                    "an event of topic \"%s\" at commit LSN %" PRIX32 "/%" PRIX32 " cannot be sent: %s",
                    producer_topic_name(f->topic), (uint32_t)(f->item.event.commit_lsn >> 32),
                    (uint32_t)f->item.event.commit_lsn, why.text);
        return FLOW_FAILED;
    }
    ticket = progress_open(&f->progress);
    result = send_composed(f, partition, key, value, produce_tag(PRODUCE_TAG_EVENT, ticket), failure);
    if (result == PRODUCE_SENT) {
        if (partition <= 0)
            table_count(f->counter, &f->item.event, f->from_snapshot, value.size);
        return FLOW_DONE;
    }
    progress_cancel(&f->progress, ticket);
    return result == PRODUCE_LATER ? FLOW_BLOCKED : FLOW_FAILED;
}

static FlowStep send_truncate(Flow *f, int64_t now_ms, Failure *failure)
{
    FlowTruncate *t = &f->truncate;
    FlowStep step;

    if (t->state == TRUNCATE_NONE && now_ms >= t->retry_at_ms) {
        if (!producer_describe_topic(f->producer, producer_topic_name(f->topic),
                                     produce_tag(PRODUCE_TAG_DESCRIBE, ++t->number), failure))
            return FLOW_FAILED;
        t->state = TRUNCATE_ASKED;
    }
    if (t->state != TRUNCATE_SENDING)
        return FLOW_BLOCKED;
    for (; t->next_partition < t->partitions; t->next_partition++) {
        step = send_event(f, t->next_partition, failure);
        if (step != FLOW_DONE)
            return step;
    }
    t->state = TRUNCATE_NONE;
    t->retry_at_ms = 0;
    return FLOW_DONE;
}

static WhSlice item_key(const Flow *f)
{
    return (WhSlice){f->item.key_size ? f->item.event.body.data : NULL, f->item.key_size};
}

/* An event behind a row may leave out values that only this row has: this is what stands in its place. */
static void make_marker(WhEvent *event, size_t key_size)
{
    event->operation = WH_OP_LARGE;
    event->flags = 0;
    event->lists = (WhSlice){0};
    event->body.size = key_size;
}

/* Its letter, then its marker. The item becomes the marker, so that what is blocked goes on there. */
static FlowStep send_large(Flow *f, uint64_t size, Failure *failure)
{
    FlowStep step = send_dead_letter(f, f->topic, size, item_key(f), failure);

    if (step != FLOW_DONE)
        return step;
    f->item.kind = WH_CHUNK_EVENT;
    make_marker(&f->item.event, f->item.key_size);
    /* Without a key no row has a row before it. */
    return f->item.key_size == 0 || compose_size(&f->item) > COMPOSE_BYTES_MAX ? FLOW_DONE
                                                                               : send_event(f, -1, failure);
}

static FlowStep take_event(Flow *f, int64_t now_ms, Failure *failure)
{
    uint64_t fingerprint = f->item.event.fingerprint;

    if (!f->from_snapshot)
        progress_begin(&f->progress);
    if (!lease_allows(&f->lease, f->item.event.commit_lsn))
        return FLOW_BLOCKED;
    if (f->topic == NULL || f->topic_fingerprint != fingerprint) {
        f->topic = schema_topic_find(f->schemas, fingerprint);
        f->counter = schema_topic_counter(f->schemas, fingerprint);
        f->topic_fingerprint = fingerprint;
        if (f->topic == NULL) {
            failure_set(failure, "an event names schema %016" PRIx64 ", which was not sent before it",
                        fingerprint);
            return f->from_snapshot ? FLOW_REJECTED : FLOW_FAILED;
        }
    }
    if (f->item.kind == WH_CHUNK_LARGE)
        return send_large(f, f->item.size, failure);
    if (compose_size(&f->item) > COMPOSE_BYTES_MAX)
        return send_large(f, f->item.event.body.size, failure);
    return wh_op_is_of_table(f->item.event.operation) ? send_truncate(f, now_ms, failure)
                                                      : send_event(f, -1, failure);
}

static FlowStep take_schema(Flow *f, int64_t now_ms, Failure *failure)
{
    SchemaStep step = schema_topic_offer(f->schemas, f->item.fingerprint, f->item.schema, now_ms, failure);

    return step == SCHEMA_READY ? FLOW_DONE : step == SCHEMA_WAIT ? FLOW_BLOCKED : FLOW_FAILED;
}

static FlowStep send_message(Flow *f, ProduceTopic *topic, Failure *failure)
{
    const WhMessage *message = &f->item.message;
    Letter letter;
    uint64_t ticket;
    ProduceResult result;

    if (progress_is_full(&f->progress))
        return FLOW_BLOCKED;
    letter_of_message(&letter, &f->item);
    ticket = progress_open(&f->progress);
    result =
        producer_send_with_headers(f->producer, topic, -1, message->prefix, message->content, letter.headers,
                                   letter.count, produce_tag(PRODUCE_TAG_EVENT, ticket), failure);
    if (result == PRODUCE_SENT)
        return FLOW_DONE;
    progress_cancel(&f->progress, ticket);
    return result == PRODUCE_LATER ? FLOW_BLOCKED : FLOW_FAILED;
}

static bool is_signal(const WhMessage *message)
{
    size_t size = strlen(WH_SIGNAL_PREFIX);

    return message->prefix.size >= size && memcmp(message->prefix.data, WH_SIGNAL_PREFIX, size) == 0;
}

/*
 * A message that is not transactional stands between transactions, so when it and everything before it is
 * acknowledged the slot may be confirmed up to its end, as after a keepalive.
 */
static FlowStep take_message(Flow *f, int64_t now_ms, Failure *failure)
{
    const WhMessage *message = &f->item.message;
    ProduceTopic *topic;
    SchemaStep step;
    FlowStep sent;

    if (f->from_snapshot) {
        failure_set(failure, "a snapshot's chunk holds a logical message");
        return FLOW_REJECTED;
    }
    if (message->transactional)
        progress_begin(&f->progress);
    if (is_signal(message)) {
        if (f->signal)
            f->signal(f->signal_context, message->prefix, message->content);
    } else {
        step = schema_topic_message(f->schemas, now_ms, &topic, failure);
        if (step != SCHEMA_READY)
            return step == SCHEMA_WAIT ? FLOW_BLOCKED : FLOW_FAILED;
        sent = message->size > PRODUCE_MESSAGE_BYTES_MAX
                   ? send_dead_letter(f, topic, message->size, message->prefix, failure)
                   : send_message(f, topic, failure);
        if (sent != FLOW_DONE)
            return sent;
    }
    if (!message->transactional)
        progress_keepalive(&f->progress, message->end_lsn);
    return FLOW_DONE;
}

static FlowStep take_commit(Flow *f, Failure *failure)
{
    if (f->from_snapshot) {
        failure_set(failure, "a snapshot's chunk holds a commit record");
        return FLOW_REJECTED;
    }
    if (progress_commit(&f->progress, f->item.end_lsn, f->item.event.commit_time_us))
        return FLOW_DONE;
    failure_set(failure,
                "a transaction ends at LSN %" PRIX32 "/%" PRIX32 ", before the one that came earlier",
                (uint32_t)(f->item.end_lsn >> 32), (uint32_t)f->item.end_lsn);
    return FLOW_FAILED;
}

static FlowStep take_item(Flow *f, int64_t now_ms, Failure *failure)
{
    switch (f->item.kind) {
    case WH_CHUNK_SCHEMA:
        return take_schema(f, now_ms, failure);
    case WH_CHUNK_EVENT:
    case WH_CHUNK_LARGE:
        return take_event(f, now_ms, failure);
    case WH_CHUNK_MESSAGE:
        return take_message(f, now_ms, failure);
    case WH_CHUNK_COMMIT:
        return take_commit(f, failure);
    case WH_CHUNK_ERROR:
        if (f->from_snapshot) {
            failure_set(failure, "a snapshot's chunk is damaged: %s at byte %zu", f->chunk.reader.error,
                        f->chunk.reader.error_offset);
            return FLOW_REJECTED;
        }
        failure_set(failure,
                    "the output plugin's chunk at LSN %" PRIX32 "/%" PRIX32 " is damaged: %s at byte %zu",
                    (uint32_t)(f->chunk_lsn >> 32), (uint32_t)f->chunk_lsn, f->chunk.reader.error,
                    f->chunk.reader.error_offset);
        return FLOW_FAILED;
    case WH_CHUNK_END:
        break;
    }
    return FLOW_DONE;
}

FlowStep flow_continue(Flow *f, int64_t now_ms, Failure *failure)
{
    FlowStep step;

    for (;;) {
        if (!f->has_item) {
            wh_chunk_next(&f->chunk, &f->item);
            f->has_item = true;
        }
        step = take_item(f, now_ms, failure);
        if (step == FLOW_REJECTED)
            f->has_chunk = false;
        if (step != FLOW_DONE)
            return step;
        f->has_item = false;
        if (f->item.kind == WH_CHUNK_END)
            break;
    }
    if (f->chunk.in_transaction && !f->from_snapshot)
        progress_begin(&f->progress);
    f->has_chunk = false;
    return FLOW_DONE;
}

static bool handle_partitions(Flow *f, const ProducerEvent *event, int64_t now_ms, Failure *failure)
{
    FlowTruncate *t = &f->truncate;

    if (t->state != TRUNCATE_ASKED || produce_tag_number(event->tag) != t->number)
        return true;
    if (event->kind == PRODUCER_TOPIC_PARTITIONS) {
        t->state = TRUNCATE_SENDING;
        t->partitions = event->partitions;
        t->next_partition = 0;
        return true;
    }
    t->state = TRUNCATE_NONE;
    t->retry_at_ms = now_ms + RETRY_MS;
    return event->retriable || failure_set(failure, "%s", event->text);
}

/* The topic takes less than we do: the event becomes a marker and a dead letter under its own ticket. */
static bool handle_too_large(Flow *f, const ProducerEvent *event, Failure *failure)
{
    LetterOrigin origin = {.topic = event->topic,
                           .error = event->text,
                           .size = event->value.size,
                           .message_lsn = event->message_lsn};
    WhReader reader = wh_reader(event->value.data, event->value.size);
    WhEvent lost;
    bool is_row = event->message_lsn.data == NULL && wh_event_get(&reader, &lost);
    ProduceTopic *dlq = schema_topic_dlq(f->schemas);

    if (dlq && strcmp(producer_topic_name(dlq), event->topic) == 0)
        return failure_set(failure, "a dead letter cannot be sent: %s", event->text);
    if (is_row) {
        origin.commit_lsn = lost.commit_lsn;
        origin.ordinal = lost.ordinal;
        origin.xid = lost.xid;
        make_marker(&lost, event->key.size);
    }
    return dead_letters_add(&f->dead_letters, produce_tag_number(event->tag), &origin, event->key,
                            is_row && event->key.size > 0 ? &lost : NULL, failure);
}

bool flow_send_dead_letters(Flow *f, Failure *failure)
{
    return dead_letters_send(&f->dead_letters, f->producer, f->schemas, failure);
}

bool flow_handle(Flow *f, const ProducerEvent *event, int64_t now_ms, Failure *failure)
{
    if (produce_tag_kind(event->tag) == PRODUCE_TAG_DESCRIBE)
        return handle_partitions(f, event, now_ms, failure);
    if (produce_tag_kind(event->tag) == PRODUCE_TAG_MARKER) {
        dead_letters_marked(&f->dead_letters, produce_tag_number(event->tag));
        return true;
    }
    if (event->kind == PRODUCER_TOO_LARGE)
        return handle_too_large(f, event, failure);
    return progress_ack(&f->progress, produce_tag_number(event->tag)) ||
           failure_set(failure, "Kafka's client acknowledged an event twice");
}
