/*
 * consume_commit.c - the group's offsets; see consume.h.
 *
 *      partition has a place --> open --> consumer_commit() --acknowledged--> acked
 *                                 |             ^                  |
 *      partition is taken away --> closed       '-- not yet: consumer_commit_again()
 */
#include <stdlib.h>
#include <string.h>

#include "agent/consume_internal.h"
#include "lib/clock.h"
#include "lib/log.h"

#define RECOMMIT_MS 1000

static CommitState *find_commit(Consumer *consumer, const char *topic, int32_t partition)
{
    for (size_t i = 0; i < consumer->commit_count; i++) {
        CommitState *state = &consumer->commits[i];

        if (state->partition == partition && strcmp(state->topic, topic) == 0)
            return state;
    }
    return NULL;
}

void consumer_on_commit(rd_kafka_t *rk, rd_kafka_resp_err_t result, rd_kafka_topic_partition_list_t *offsets,
                        void *opaque)
{
    Consumer *consumer = opaque;

    (void)rk;
    if (result != RD_KAFKA_RESP_ERR_NO_ERROR && result != RD_KAFKA_RESP_ERR__NO_OFFSET)
        log_warning("Kafka did not take offsets, they will be committed again: %s", rd_kafka_err2str(result));
    for (int i = 0; offsets && i < offsets->cnt; i++) {
        const rd_kafka_topic_partition_t *p = &offsets->elems[i];
        CommitState *state = find_commit(consumer, p->topic, p->partition);

        if (state && result == RD_KAFKA_RESP_ERR_NO_ERROR && p->err == RD_KAFKA_RESP_ERR_NO_ERROR &&
            p->offset > state->acked && p->offset <= state->wanted)
            state->acked = p->offset;
    }
    if (result == RD_KAFKA_RESP_ERR_NO_ERROR)
        atomic_fetch_add(&consumer->metrics->commits, 1);
}

static CommitState *claim_commit(Consumer *consumer, const char *topic, int32_t partition)
{
    CommitState *state = find_commit(consumer, topic, partition);
    CommitState *grown;
    char *copy;

    if (state)
        return state;
    grown = realloc(consumer->commits, (consumer->commit_count + 1) * sizeof *grown);
    if (grown)
        consumer->commits = grown;
    copy = grown ? strdup(topic) : NULL;
    if (copy == NULL)
        return NULL;
    state = &grown[consumer->commit_count++];
    *state = (CommitState){copy, partition, COMMIT_CLOSED, COMMIT_CLOSED};
    return state;
}

void consumer_close_commit(Consumer *consumer, const char *topic, int32_t partition)
{
    CommitState *state = find_commit(consumer, topic, partition);

    if (state)
        state->wanted = state->acked = COMMIT_CLOSED;
}

bool consumer_open_commit(Consumer *consumer, const char *topic, int32_t partition, int64_t offset, bool tell)
{
    CommitState *state = claim_commit(consumer, topic, partition);

    if (state == NULL)
        return false;
    state->wanted = offset;
    state->acked = tell ? -1 : offset;
    return true;
}

/* Those that are wanted, not acknowledged, and of partitions that are ours. */
static rd_kafka_topic_partition_list_t *list_commits(Consumer *consumer)
{
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new((int)consumer->commit_count + 1);
    rd_kafka_topic_partition_list_t *assigned = NULL;

    if (rd_kafka_assignment(consumer->group, &assigned) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return list;
    for (size_t i = 0; i < consumer->commit_count; i++) {
        const CommitState *state = &consumer->commits[i];

        rd_kafka_topic_partition_t *partition;

        if (state->wanted <= state->acked ||
            !rd_kafka_topic_partition_list_find(assigned, state->topic, state->partition))
            continue;
        partition = rd_kafka_topic_partition_list_add(list, state->topic, state->partition);
        partition->offset = state->wanted;
        consumer_mark_commit(partition);
    }
    rd_kafka_topic_partition_list_destroy(assigned);
    return list;
}

static void commit_wanted(Consumer *consumer, bool wait)
{
    rd_kafka_topic_partition_list_t *list = list_commits(consumer);

    if (list->cnt > 0) {
        rd_kafka_resp_err_t result = rd_kafka_commit(consumer->group, list, !wait);

        if (result != RD_KAFKA_RESP_ERR_NO_ERROR)
            log_warning("Kafka: cannot commit offsets: %s", rd_kafka_err2str(result));
        else if (wait)
            consumer_on_commit(consumer->group, result, list, consumer);
    }
    consumer->recommit_at_ms = clock_ms() + RECOMMIT_MS;
    rd_kafka_topic_partition_list_destroy(list);
}

void consumer_commit(Consumer *consumer, const PartitionOffset *offsets, size_t count, bool wait)
{
    for (size_t i = 0; i < count; i++) {
        CommitState *state = find_commit(consumer, offsets[i].topic, offsets[i].partition);

        if (state && offsets[i].offset > state->wanted)
            state->wanted = offsets[i].offset;
    }
    commit_wanted(consumer, wait);
}

void consumer_commit_again(Consumer *consumer, int64_t now_ms)
{
    if (now_ms >= consumer->recommit_at_ms)
        commit_wanted(consumer, false);
}
