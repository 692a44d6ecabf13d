/*
 * dlq.c - dead letters to Kafka; see dlq.h.
 */
#include "agent/dlq.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/command.h"
#include "agent/version.h"
#include "extension/common/schema.h"
#include "lib/clock.h"

#define REPLAYED      "walhouse.replayed"
#define KEY_BYTES_MAX 65536 /* of a letter without its value */

struct Dlq {
    Producer *producer;
    char topic[WH_TOPIC_BYTES_MAX + 1];
};

Dlq *dlq_open(const Config *config, Error *error)
{
    Dlq *dlq = calloc(1, sizeof *dlq);

    if (dlq == NULL) {
        (void)status_fail(error, STATUS_FATAL, "out of memory");
        return NULL;
    }
    (void)snprintf(dlq->topic, sizeof dlq->topic, "%.200s.__dlq", config->kafka_topic_prefix);
    dlq->producer = producer_open(config, error);
    if (dlq->producer)
        return dlq;
    free(dlq);
    return NULL;
}

void dlq_close(Dlq *dlq)
{
    if (dlq == NULL)
        return;
    producer_close(dlq->producer);
    free(dlq);
}

Status dlq_flush(Dlq *dlq, Error *error)
{
    return producer_flush(dlq->producer, error);
}

static Status send_parcel(Dlq *dlq, const Parcel *parcel, Receipt *receipt, Error *error)
{
    if (parcel->headers == NULL)
        return status_fail(error, STATUS_RETRY, "out of memory");
    return producer_send(dlq->producer, parcel, receipt, error);
}

/* ---- headers ---- */

static bool add_header(rd_kafka_headers_t *headers, const char *name, const char *value)
{
    return rd_kafka_header_add(headers, name, -1, value, -1) == RD_KAFKA_RESP_ERR_NO_ERROR;
}

static bool add_number(rd_kafka_headers_t *headers, const char *name, int64_t number)
{
    char digits[24];

    (void)snprintf(digits, sizeof digits, "%" PRId64, number);
    return add_header(headers, name, digits);
}

static bool add_packed(rd_kafka_headers_t *headers, WhSlice packed)
{
    WhReader r = wh_reader(packed.data, packed.size);
    WhSlice name, value;

    while (letter_next_header(&r, &name, &value))
        if (rd_kafka_header_add(headers, (const char *)name.data, (ssize_t)name.size, value.data,
                                (ssize_t)value.size) != RD_KAFKA_RESP_ERR_NO_ERROR)
            return false;
    return true;
}

static int64_t count_packed(WhSlice packed)
{
    WhReader r = wh_reader(packed.data, packed.size);
    WhSlice name, value;
    int64_t count = 0;

    while (letter_next_header(&r, &name, &value))
        count++;
    return count;
}

/* The row that it is about, as far as it can be read. */
static bool add_row(rd_kafka_headers_t *headers, WhSlice value)
{
    WhReader r = wh_reader(value.data, value.size);
    char version[VERSION_DIGITS_MAX + 1];
    char fingerprint[WH_FINGERPRINT_HEX_SIZE];
    WhEvent event;

    if (value.size == 0 || !wh_event_get(&r, &event))
        return true;
    version_print(version_of(&event), version);
    wh_fingerprint_hex(event.fingerprint, fingerprint);
    return add_header(headers, "walhouse.version", version) &&
           add_header(headers, "walhouse.fingerprint", fingerprint);
}

/* Where it came from, why it is here, and what it had itself, unless it is cut. NULL: out of memory. */
static rd_kafka_headers_t *make_headers(const DeadLetter *letter, const MessageView *view, bool cut)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new(16);
    WhSlice originals = cut ? (WhSlice){0} : view->headers;

    if (add_header(headers, "walhouse.reason", reason_code(letter->reason)) &&
        add_header(headers, "walhouse.error", letter->error.text) &&
        add_header(headers, "walhouse.topic", view->topic) &&
        add_number(headers, "walhouse.partition", view->partition) &&
        add_number(headers, "walhouse.offset", view->offset) &&
        add_number(headers, "walhouse.time", clock_wall_us()) &&
        add_header(headers, "walhouse.agent", AGENT_VERSION) && add_row(headers, view->value) &&
        (!cut || add_number(headers, "walhouse.size", (int64_t)view->value.size)) &&
        add_number(headers, "walhouse.original_headers", count_packed(originals)) &&
        add_packed(headers, originals))
        return headers;
    rd_kafka_headers_destroy(headers);
    return NULL;
}

/* ---- letters ---- */

static Status send_letter(Dlq *dlq, const Batch *batch, const DeadLetter *letter, bool cut, Receipt *receipt,
                          Error *error)
{
    const MessageView *view = &batch->messages[letter->message];
    Parcel parcel = {.topic = dlq->topic,
                     .partition = RD_KAFKA_PARTITION_UA,
                     .key = cut && view->key.size > KEY_BYTES_MAX ? (WhSlice){0} : view->key,
                     .value = cut ? (WhSlice){0} : view->value,
                     .headers = make_headers(letter, view, cut)};

    return send_parcel(dlq, &parcel, receipt, error);
}

/* A letter that was refused may have been too large together with others only: once more alone, then cut. */
static Status send_refused(Dlq *dlq, const Batch *batch, const DeadLetter *letter, Receipt *receipt,
                           Error *error)
{
    Status status = STATUS_OK;

    for (int cut = 0; cut < 2 && status == STATUS_OK && receipt->too_large; cut++) {
        status = send_letter(dlq, batch, letter, cut, receipt, error);
        if (status == STATUS_OK)
            status = dlq_flush(dlq, error);
    }
    return status;
}

Status dlq_send(Dlq *dlq, const Batch *batch, Error *error)
{
    Receipt *receipts = calloc(batch->letter_count + 1, sizeof *receipts);
    Status status = receipts ? STATUS_OK : status_fail(error, STATUS_RETRY, "out of memory");
    Error ignored;

    for (size_t i = 0; i < batch->letter_count && status == STATUS_OK; i++)
        status = send_letter(dlq, batch, &batch->letters[i], false, &receipts[i], error);
    if (dlq_flush(dlq, status == STATUS_OK ? error : &ignored) != STATUS_OK)
        status = STATUS_RETRY;
    for (size_t i = 0; i < batch->letter_count && status == STATUS_OK; i++) {
        status = send_refused(dlq, batch, &batch->letters[i], &receipts[i], error);
        if (status == STATUS_OK && !receipts[i].acknowledged)
            status = status_fail(error, STATUS_RETRY, "Kafka did not take a dead letter to %s: %s",
                                 dlq->topic, receipts[i].failure);
    }
    free(receipts);
    return status;
}

/* Once, however often. What was replayed may be older than a truncate that has been carried out: see batch.c.
 */
static bool add_replayed(rd_kafka_headers_t *headers)
{
    (void)rd_kafka_header_remove(headers, REPLAYED);
    return add_header(headers, REPLAYED, "true");
}

Status dlq_put_back(Dlq *dlq, const Letter *letter, Receipt *receipt, Error *error)
{
    char topic[WH_TOPIC_BYTES_MAX + 1];
    Parcel parcel = {.topic = topic,
                     .partition = letter->partition,
                     .key = letter->key,
                     .value = letter->value,
                     .headers = rd_kafka_headers_new(4)};

    (void)snprintf(topic, sizeof topic, "%.*s", (int)letter->topic.size, (const char *)letter->topic.data);
    if (!add_packed(parcel.headers, letter->originals) || !add_replayed(parcel.headers)) {
        rd_kafka_headers_destroy(parcel.headers);
        parcel.headers = NULL;
    }
    return send_parcel(dlq, &parcel, receipt, error);
}
