/*
 * produce_events.c - puts a table's schema and events into Kafka as the publisher would, without a Postgres:
 * for tests of the agent alone, and to fill a topic before its speed is measured.
 *
 *      options --> topics --> schema, acknowledged --> events, keyed, one a message --> all acknowledged, or
 * exit 1
 *
 * The table: id Int64 key, customer_id Int32, sku String, quantity Int32, price Decimal(12, 2), note
 * Nullable(String), placed_at DateTime64. Row i is a function of i and --quantity, so that a test can tell
 * what must be there.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "extension/common/event.h"
#include "extension/common/lease.h"
#include "extension/common/schema.h"

#define VALUE_BYTES_MAX   512
#define SCHEMA_BYTES_MAX  4096
#define CREATE_TIMEOUT_MS 15000
#define FLUSH_TIMEOUT_MS  120000

typedef struct Options {
    const char *brokers;
    const char *prefix;
    const char *schema_name;
    const char *table;
    const char *kind; /* what the events are */
    int64_t first;
    int64_t count;
    int64_t lsn;
    int64_t epoch;
    int64_t lease; /* an LSN; 0: none is written */
    int64_t partitions;
    int64_t partition; /* of a truncate; -1: all */
    int64_t quantity;
    int64_t extra_columns;
    int64_t keyless; /* 1: the table has no key */
    int64_t per_transaction;
    int64_t seconds; /* the time that producing is spread over; 0: as fast as it goes */
} Options;

typedef struct Producer {
    const Options *options;
    rd_kafka_t *kafka;
    rd_kafka_topic_t *topic;
    char topic_name[WH_TOPIC_BYTES_MAX + 1];
    uint64_t fingerprint;
    int64_t failed;
} Producer;

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    Producer *producer = opaque;

    (void)rk;
    if (message->err || message->offset < 0) {
        if (producer->failed++ == 0)
            (void)fprintf(stderr, "produce_events: not delivered: %s\n", rd_kafka_err2str(message->err));
    }
}

static bool open_kafka(Producer *producer)
{
    const char *const settings[][2] = {{"bootstrap.servers", producer->options->brokers},
                                       {"enable.idempotence", "true"},
                                       /* Of two requests to a new topic the first can be lost: see
                                        * "unproven" in extension/publisher/produce.c. */
                                       {"max.in.flight.requests.per.connection", "1"},
                                       {"partitioner", "murmur2"},
                                       {"compression.type", "lz4"},
                                       {"linger.ms", "5"},
                                       {"queue.buffering.max.messages", "200000"}};
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char reason[256] = "";

    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        if (rd_kafka_conf_set(conf, settings[i][0], settings[i][1], reason, sizeof reason) !=
            RD_KAFKA_CONF_OK) {
            rd_kafka_conf_destroy(conf);
            (void)fprintf(stderr, "produce_events: %s\n", reason);
            return false;
        }
    }
    rd_kafka_conf_set_opaque(conf, producer);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    producer->kafka = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof reason);
    if (producer->kafka == NULL) {
        rd_kafka_conf_destroy(conf);
        (void)fprintf(stderr, "produce_events: %s\n", reason);
        return false;
    }
    return true;
}

/* ---- topics ---- */

static bool create_topic(Producer *producer, const char *name, int partitions, bool compacted)
{
    char reason[256];
    rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(name, partitions, 1, reason, sizeof reason);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(producer->kafka);
    rd_kafka_event_t *event = NULL;
    rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR__INVALID_ARG;
    const rd_kafka_topic_result_t **results;
    size_t count = 0;

    if (topic) {
        if (compacted)
            (void)rd_kafka_NewTopic_set_config(topic, "cleanup.policy", "compact");
        rd_kafka_CreateTopics(producer->kafka, &topic, 1, NULL, queue);
        event = rd_kafka_queue_poll(queue, CREATE_TIMEOUT_MS);
        error = event ? rd_kafka_event_error(event) : RD_KAFKA_RESP_ERR__TIMED_OUT;
    }
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR) {
        results = rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
        error = count == 1 ? rd_kafka_topic_result_error(results[0]) : RD_KAFKA_RESP_ERR__FAIL;
    }
    if (event)
        rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    if (topic)
        rd_kafka_NewTopic_destroy(topic);
    if (error && error != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) {
        (void)fprintf(stderr, "produce_events: cannot create topic %s: %s\n", name, rd_kafka_err2str(error));
        return false;
    }
    return true;
}

static bool create_topics(Producer *producer)
{
    static const char *const suffixes[] = {"__schema", "__control", "__dlq", "__requests"};
    char name[WH_TOPIC_BYTES_MAX + 1];

    for (int i = 0; i < 4; i++) {
        (void)snprintf(name, sizeof name, "%s.%s", producer->options->prefix, suffixes[i]);
        if (!create_topic(producer, name, 1, i == 0))
            return false;
    }
    return create_topic(producer, producer->topic_name, (int)producer->options->partitions, false);
}

/* ---- the schema ---- */

static WhSlice slice(const char *text)
{
    return (WhSlice){(const uint8_t *)text, strlen(text)};
}

static WhColumn column(uint32_t number, const char *name, uint32_t oid, const char *type,
                       const char *clickhouse_type)
{
    return (WhColumn){.attribute_number = number,
                      .key_position = number == 1,
                      .name = slice(name),
                      .type_oid = oid,
                      .typmod = -1,
                      .type_name = slice(type),
                      .clickhouse_type = slice(clickhouse_type)};
}

/* Sends one message and waits until it is acknowledged. */
static bool produce_now(Producer *producer, const char *topic, WhSlice key, WhSlice value)
{
    rd_kafka_resp_err_t error =
        rd_kafka_producev(producer->kafka, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                          RD_KAFKA_V_KEY(key.data, key.size),
                          RD_KAFKA_V_VALUE((void *)(uintptr_t)value.data, value.size), RD_KAFKA_V_END);

    return error == RD_KAFKA_RESP_ERR_NO_ERROR &&
           rd_kafka_flush(producer->kafka, FLUSH_TIMEOUT_MS) == RD_KAFKA_RESP_ERR_NO_ERROR &&
           producer->failed == 0;
}

/* The publisher's promise, as far as the tool is one. */
static bool produce_lease(Producer *producer)
{
    const WhLease lease = {(uint16_t)producer->options->epoch, (uint64_t)producer->options->lease};
    uint8_t bytes[WH_LEASE_BYTES];
    WhWriter w = wh_writer(bytes, sizeof bytes);
    char topic[WH_TOPIC_BYTES_MAX + 1];

    (void)snprintf(topic, sizeof topic, "%s.__schema", producer->options->prefix);
    wh_lease_put(&w, &lease);
    return lease.lsn == 0 ||
           produce_now(producer, topic, slice(WH_LEASE_KEY_PREFIX "test"), (WhSlice){bytes, w.length});
}

/* Another table is another relation. */
static uint32_t relation_of(const Options *options)
{
    return (uint32_t)wh_schema_fingerprint(slice(options->schema_name)) ^
           (uint32_t)wh_schema_fingerprint(slice(options->table));
}

/* Makes the schema, remembers its fingerprint, and announces it unless the events' schema is to stay unknown.
 */
static bool announce_schema(Producer *producer, bool produce)
{
    static char names[64][16];
    WhColumn columns[7 + 64] = {
        column(1, "id", 20, "bigint", "Int64"),
        column(2, "customer_id", 23, "integer", "Int32"),
        column(3, "sku", 25, "text", "String"),
        column(4, "quantity", 23, "integer", "Int32"),
        column(5, "price", 1700, "numeric(12,2)", "Decimal(12, 2)"),
        column(6, "note", 25, "text", "String"),
        column(7, "placed_at", 1184, "timestamp with time zone", "DateTime64(6, 'UTC')"),
    };
    WhSchema schema = {.relation_oid = relation_of(producer->options),
                       .replica_identity = 'd',
                       .schema_name = slice(producer->options->schema_name),
                       .table_name = slice(producer->options->table),
                       .columns = columns,
                       .column_count = 7 + (uint32_t)producer->options->extra_columns,
                       .key_column_count = 1};
    uint8_t bytes[SCHEMA_BYTES_MAX], message[SCHEMA_BYTES_MAX + 512];
    WhWriter w = wh_writer(bytes, sizeof bytes), m = wh_writer(message, sizeof message);
    char name[WH_TOPIC_BYTES_MAX + 1];
    char hex[WH_FINGERPRINT_HEX_SIZE];

    if (producer->options->keyless) {
        columns[0].key_position = 0;
        schema.key_column_count = 0;
    }
    columns[5].nullable = true;
    for (uint32_t i = 7; i < schema.column_count; i++) {
        (void)snprintf(names[i - 7], sizeof names[0], "extra_%u", i - 6);
        columns[i] = column(i + 1, names[i - 7], 23, "integer", "Int32");
        columns[i].nullable = true;
    }
    wh_schema_put(&w, &schema);
    producer->fingerprint = wh_schema_fingerprint((WhSlice){bytes, w.length});
    wh_fingerprint_hex(producer->fingerprint, hex);
    wh_schema_message_put(&m, producer->fingerprint, slice(producer->topic_name), (WhSlice){bytes, w.length});
    if (w.full || m.full) {
        (void)fprintf(stderr, "produce_events: the schema does not fit %d bytes\n", SCHEMA_BYTES_MAX);
        return false;
    }
    (void)snprintf(name, sizeof name, "%s.__schema", producer->options->prefix);
    return !produce || produce_now(producer, name, slice(hex), (WhSlice){message, m.length});
}

/* ---- events ---- */

/* The body of row i; a delete has only the key. */
static size_t put_body(WhWriter *w, const Options *options, int64_t i, char operation)
{
    size_t begin = w->length;
    char text[64];

    wh_put_u64(w, (uint64_t)i);
    if (operation == WH_OP_DELETE)
        return w->length - begin;
    wh_put_u32(w, (uint32_t)(i % 1000));
    (void)snprintf(text, sizeof text, "SKU-%" PRId64, i % 500);
    wh_put_str(w, text, strlen(text));
    wh_put_u32(w, (uint32_t)options->quantity);
    wh_put_u64(w, (uint64_t)(i % 10000));
    wh_put_u8(w, i % 10 == 0);
    if (i % 10 != 0)
        wh_put_str(w, "a little note here", 18);
    wh_put_u64(w, UINT64_C(1767225600000000) + (uint64_t)i);
    for (int64_t e = 0; e < options->extra_columns; e++) {
        wh_put_u8(w, 0);
        wh_put_u32(w, (uint32_t)(i + e));
    }
    return w->length - begin;
}

static int64_t now_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static bool is_truncate(const char *kind)
{
    return strcmp(kind, "truncate") == 0 || strcmp(kind, "unknown_truncate") == 0;
}

static bool is_announced(const char *kind)
{
    return strncmp(kind, "unknown", 7) != 0 && strcmp(kind, "unannounced") != 0;
}

/* The value of the message about row i; *kind says what is wrong with it, if anything. */
static size_t put_event(const Producer *producer, int64_t i, uint8_t *value)
{
    static const uint8_t unchanged[] = {1, 5};
    static const uint8_t out_of_range[] = {1, 6, 8, 'i', 'n', 'f', 'i', 'n', 'i', 't', 'y'};
    const Options *options = producer->options;
    const char *kind = options->kind;
    uint8_t body[VALUE_BYTES_MAX / 2];
    WhWriter b = wh_writer(body, sizeof body), w = wh_writer(value, VALUE_BYTES_MAX);
    int64_t n = i - options->first;
    WhEvent event = {.operation = WH_OP_INSERT,
                     .epoch = (uint16_t)options->epoch,
                     .fingerprint = producer->fingerprint,
                     .commit_lsn = (uint64_t)(options->lsn + n / options->per_transaction * 256),
                     .ordinal = (uint64_t)(n % options->per_transaction) + 1,
                     .xid = (uint32_t)(700 + n / options->per_transaction),
                     .commit_time_us = now_us()};

    if (strcmp(kind, "update") == 0)
        event.operation = WH_OP_UPDATE;
    else if (strcmp(kind, "delete") == 0)
        event.operation = WH_OP_DELETE;
    else if (is_truncate(kind))
        event.operation = WH_OP_TRUNCATE;
    else if (strcmp(kind, "snapshot") == 0) {
        event.operation = WH_OP_SNAPSHOT;
        event.ordinal = 0;
    }
    if (event.operation != WH_OP_TRUNCATE)
        event.body = (WhSlice){body, put_body(&b, options, i, event.operation)};
    if (strcmp(kind, "unchanged") == 0) {
        event.operation = WH_OP_UPDATE;
        event.flags = WH_EVENT_HAS_UNCHANGED;
        event.lists = (WhSlice){unchanged, sizeof unchanged};
    } else if (strcmp(kind, "out_of_range") == 0) {
        event.flags = WH_EVENT_HAS_OUT_OF_RANGE;
        event.lists = (WhSlice){out_of_range, sizeof out_of_range};
    } else if (strcmp(kind, "long_body") == 0) {
        body[event.body.size++] = 0;
    } else if (strncmp(kind, "unknown", 7) == 0) {
        event.fingerprint ^= 1;
    }
    wh_event_put(&w, &event);
    if (strcmp(kind, "garbage") == 0) {
        for (size_t j = 0; j < w.length; j++)
            value[j] ^= (uint8_t)(0x5a + i + (int64_t)j);
    }
    return w.full ? 0 : w.length;
}

static bool produce_value(Producer *producer, uint8_t *value, size_t size, const uint8_t *key,
                          size_t key_size)
{
    while (rd_kafka_produce(producer->topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, value, size, key,
                            key_size, NULL) != 0) {
        if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
            (void)fprintf(stderr, "produce_events: %s\n", rd_kafka_err2str(rd_kafka_last_error()));
            return false;
        }
        (void)rd_kafka_poll(producer->kafka, 10);
    }
    return true;
}

/* A truncate goes into one partition, or all of them, without a key, and says how many there are. */
static bool produce_truncate(Producer *producer, uint8_t *value, size_t size)
{
    const Options *options = producer->options;
    char number[16];
    bool ok = true;

    (void)snprintf(number, sizeof number, "%" PRId64, options->partitions);
    for (int32_t p = 0; p < options->partitions && ok; p++)
        if (options->partition < 0 || options->partition == p)
            ok = rd_kafka_producev(producer->kafka, RD_KAFKA_V_TOPIC(producer->topic_name),
                                   RD_KAFKA_V_PARTITION(p), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                                   RD_KAFKA_V_VALUE(value, size),
                                   RD_KAFKA_V_HEADER("walhouse.partitions", number, -1),
                                   RD_KAFKA_V_END) == RD_KAFKA_RESP_ERR_NO_ERROR;
    return ok;
}

static bool produce_row(Producer *producer, int64_t i)
{
    uint8_t value[VALUE_BYTES_MAX];
    uint8_t key[8];
    size_t size = put_event(producer, i, value);

    (void)wh_store_u64(key, (uint64_t)i);
    if (size == 0) {
        (void)fprintf(stderr, "produce_events: the event does not fit %d bytes\n", VALUE_BYTES_MAX);
        return false;
    }
    if (is_truncate(producer->options->kind))
        return produce_truncate(producer, value, size);
    return produce_value(producer, value, size, producer->options->keyless ? NULL : key,
                         producer->options->keyless ? 0 : sizeof key);
}

static bool produce_rows(Producer *producer)
{
    const Options *options = producer->options;
    int64_t begun = now_us();

    for (int64_t n = 0; n < options->count; n++) {
        int64_t due = options->seconds > 0 ? begun + n * (options->seconds * 1000000) / options->count : 0;

        while (now_us() < due)
            (void)rd_kafka_poll(producer->kafka, 1);
        if (!produce_row(producer, options->first + n))
            return false;
        if (n % 1000 == 0)
            (void)rd_kafka_poll(producer->kafka, 0);
    }
    return rd_kafka_flush(producer->kafka, FLUSH_TIMEOUT_MS) == RD_KAFKA_RESP_ERR_NO_ERROR &&
           producer->failed == 0;
}

/* ---- options ---- */

static void usage(FILE *out)
{
    (void)fputs("produce_events --brokers LIST --prefix PREFIX [--kind KIND] [--first ID] [--count N]\n"
                "    [--schema NAME] [--table NAME] [--quantity N] [--lsn N] [--epoch N] [--lease LSN]\n"
                "    [--per-transaction N] [--partitions N] [--partition N] [--extra-columns N]\n"
                "    [--keyless 1] [--seconds N]\n"
                "KIND: insert update delete snapshot truncate unchanged out_of_range long_body unknown "
                "unknown_truncate\n    unannounced garbage\n",
                out);
}

static bool parse_number(const char *text, int64_t min, int64_t max, int64_t *number)
{
    char *end;

    errno = 0;
    *number = strtoll(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' && *number >= min && *number <= max;
}

static bool parse(int argc, char **argv, Options *options)
{
    static const struct option longs[] = {
        {"brokers", required_argument, NULL, 'b'},       {"prefix", required_argument, NULL, 'p'},
        {"schema", required_argument, NULL, 's'},        {"table", required_argument, NULL, 't'},
        {"kind", required_argument, NULL, 'k'},          {"first", required_argument, NULL, 'f'},
        {"count", required_argument, NULL, 'n'},         {"lsn", required_argument, NULL, 'l'},
        {"epoch", required_argument, NULL, 'e'},         {"lease", required_argument, NULL, 'L'},
        {"partitions", required_argument, NULL, 'P'},    {"partition", required_argument, NULL, 'o'},
        {"quantity", required_argument, NULL, 'q'},      {"per-transaction", required_argument, NULL, 'T'},
        {"extra-columns", required_argument, NULL, 'x'}, {"keyless", required_argument, NULL, 'K'},
        {"seconds", required_argument, NULL, 'S'},       {NULL, 0, NULL, 0}};
    int c;
    bool ok = true;

    while (ok && (c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (c) {
        case 'b':
            options->brokers = optarg;
            break;
        case 'p':
            options->prefix = optarg;
            break;
        case 's':
            options->schema_name = optarg;
            break;
        case 't':
            options->table = optarg;
            break;
        case 'k':
            options->kind = optarg;
            break;
        case 'f':
            ok = parse_number(optarg, 0, INT64_MAX / 2, &options->first);
            break;
        case 'n':
            ok = parse_number(optarg, 0, 1000000000, &options->count);
            break;
        case 'l':
            ok = parse_number(optarg, 1, INT64_MAX / 2, &options->lsn);
            break;
        case 'e':
            ok = parse_number(optarg, 0, UINT16_MAX, &options->epoch);
            break;
        case 'L':
            ok = parse_number(optarg, 0, INT64_MAX / 2, &options->lease);
            break;
        case 'P':
            ok = parse_number(optarg, 1, 100, &options->partitions);
            break;
        case 'o':
            ok = parse_number(optarg, 0, 99, &options->partition);
            break;
        case 'q':
            ok = parse_number(optarg, 0, INT32_MAX, &options->quantity);
            break;
        case 'T':
            ok = parse_number(optarg, 1, 1000000, &options->per_transaction);
            break;
        case 'x':
            ok = parse_number(optarg, 0, 32, &options->extra_columns);
            break;
        case 'K':
            ok = parse_number(optarg, 0, 1, &options->keyless);
            break;
        case 'S':
            ok = parse_number(optarg, 0, 3600, &options->seconds);
            break;
        default:
            ok = false;
        }
    }
    return ok && optind == argc && options->brokers && options->prefix;
}

int main(int argc, char **argv)
{
    Options options = {.schema_name = "public",
                       .table = "orders",
                       .kind = "insert",
                       .first = 1,
                       .lsn = 0x1000000,
                       .epoch = 1,
                       .partitions = 2,
                       .partition = -1,
                       .quantity = 1,
                       .per_transaction = 1000};
    Producer producer = {.options = &options};
    bool ok;

    if (!parse(argc, argv, &options)) {
        usage(stderr);
        return 2;
    }
    if (!wh_topic_name(producer.topic_name, options.prefix, slice(options.schema_name),
                       slice(options.table)) ||
        !open_kafka(&producer))
        return 1;
    ok = create_topics(&producer) && announce_schema(&producer, is_announced(options.kind)) &&
         produce_lease(&producer);
    producer.topic = ok ? rd_kafka_topic_new(producer.kafka, producer.topic_name, NULL) : NULL;
    ok = producer.topic && produce_rows(&producer);
    if (producer.topic)
        rd_kafka_topic_destroy(producer.topic);
    rd_kafka_destroy(producer.kafka);
    if (!ok)
        (void)fprintf(stderr, "produce_events: not everything was acknowledged\n");
    return ok ? 0 : 1;
}
