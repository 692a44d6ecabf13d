/*
 * produce_test.c - what librdkafka calls delivered is believed only where a broker said so. The broker here
 * is librdkafka's own for tests: a real one shows this once in some thirty new topics.
 */
#include "produce.h"

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TURNS_MAX     300
#define TURN_MS       100
#define PRODUCE_API   0
#define RTT_MS        200
#define MESSAGE_BYTES 700000u /* two do not fit into a batch */

typedef struct Cluster {
    rd_kafka_t *handle;
    rd_kafka_mock_cluster_t *mock;
    Producer *producer;
    ProduceTopic *topic;
} Cluster;

typedef struct Seen {
    unsigned delivered;
    unsigned failed;
    uint64_t failed_tag;
    char text[512];
} Seen;

static void see(void *context, const ProducerEvent *event)
{
    Seen *seen = context;

    if (event->kind == PRODUCER_DELIVERED)
        seen->delivered++;
    if (event->kind != PRODUCER_DELIVERY_FAILED)
        return;
    seen->failed++;
    seen->failed_tag = event->tag;
    (void)snprintf(seen->text, sizeof seen->text, "%s", event->text);
}

static void wait_for(Cluster *cluster, Seen *seen, unsigned answers)
{
    struct pollfd fd = {.fd = producer_wake_fd(cluster->producer), .events = POLLIN};

    for (int turn = 0; turn < TURNS_MAX && seen->delivered + seen->failed < answers; turn++) {
        assert_true(poll(&fd, 1, TURN_MS) >= 0);
        (void)producer_poll(cluster->producer, see, seen, 100);
    }
    assert_int_equal(seen->delivered + seen->failed, answers);
}

static void send_large(Cluster *cluster, uint64_t tag)
{
    static const uint8_t bytes[MESSAGE_BYTES];
    Failure failure;

    assert_int_equal(producer_send(cluster->producer, cluster->topic, 0, (WhSlice){0},
                                   (WhSlice){bytes, sizeof bytes}, tag, &failure),
                     PRODUCE_SENT);
}

static int set_up(void **state)
{
    Cluster *cluster = calloc(1, sizeof *cluster);
    ProducerSettings settings = {.client_id = "test", .messages_max = 1000, .kbytes_max = 100000};
    Failure failure;
    char text[256];
    Seen seen = {0};

    assert_non_null(cluster);
    cluster->handle = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), text, sizeof text);
    assert_non_null(cluster->handle);
    cluster->mock = rd_kafka_mock_cluster_new(cluster->handle, 1);
    assert_non_null(cluster->mock);
    assert_int_equal(rd_kafka_mock_topic_create(cluster->mock, "orders", 1, 1), RD_KAFKA_RESP_ERR_NO_ERROR);
    settings.brokers = rd_kafka_mock_cluster_bootstraps(cluster->mock);
    cluster->producer = producer_open(&settings, &failure);
    assert_non_null(cluster->producer);
    cluster->topic = producer_topic(cluster->producer, "orders", &failure);
    assert_non_null(cluster->topic);
    /* So that what follows is on its way at once. */
    send_large(cluster, 1);
    wait_for(cluster, &seen, 1);
    assert_int_equal(seen.delivered, 1);
    assert_int_equal(rd_kafka_mock_broker_set_rtt(cluster->mock, 1, RTT_MS), RD_KAFKA_RESP_ERR_NO_ERROR);
    *state = cluster;
    return 0;
}

static int tear_down(void **state)
{
    Cluster *cluster = *state;

    producer_close(cluster->producer);
    rd_kafka_mock_cluster_destroy(cluster->mock);
    rd_kafka_destroy(cluster->handle);
    free(cluster);
    return 0;
}

static void what_a_broker_took_is_delivered(void **state)
{
    Seen seen = {0};

    send_large(*state, 7);
    send_large(*state, 8);
    wait_for(*state, &seen, 2);
    assert_int_equal(seen.delivered, 2);
}

/* The first is refused, the second, already on its way, is taken: librdkafka calls both delivered. */
static void what_only_a_later_message_speaks_for_is_not(void **state)
{
    Cluster *cluster = *state;
    Seen seen = {0};

    rd_kafka_mock_push_request_errors(cluster->mock, PRODUCE_API, 1,
                                      RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION);
    send_large(cluster, 7);
    send_large(cluster, 8);
    wait_for(cluster, &seen, 2);
    assert_int_equal(seen.failed, 1);
    assert_int_equal(seen.failed_tag, 7);
    assert_string_equal(seen.text,
                        "topic \"orders\" partition 0: a later message was taken, and what became of "
                        "this one is not known; it is sent again");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_a_broker_took_is_delivered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_only_a_later_message_speaks_for_is_not, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("publisher: produce", tests, NULL, NULL);
}
