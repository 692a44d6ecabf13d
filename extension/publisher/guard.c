/*
 * guard.c - judges the slot, acts on the verdict, and keeps the pipeline's position in Kafka; see guard.h.
 */
#include "guard.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Making a slot waits for running transactions, however long; if this process ends meanwhile, so must that.
 */
#define SESSION_OPTIONS                                                                                      \
    "-c search_path=pg_catalog -c statement_timeout=0 -c lock_timeout=0 -c "                                 \
    "client_connection_check_interval=2000"

void guard_init(Guard *g, const GuardSettings *settings)
{
    *g = (Guard){.settings = settings};
}

void guard_close(Guard *g)
{
    topic_reader_close(g->reader);
    g->reader = NULL;
    sql_close(&g->sql);
}

int guard_fd(const Guard *g)
{
    return sql_fd(&g->sql);
}

short guard_events(const Guard *g)
{
    return sql_events(&g->sql);
}

/* ---- what Kafka remembers ---- */

static bool take_value(void *context, WhSlice value, int64_t offset)
{
    Guard *g = context;
    PositionRecord record;

    (void)offset;
    if (position_get(value, &record))
        positions_take(&g->positions, &record);
    else
        message_log(MESSAGE_WARNING, "topic \"%s.__position\" holds a record that is none",
                    g->settings->topic_prefix);
    return true;
}

static bool read_positions(Guard *g, const SchemaTopic *schemas, Failure *failure)
{
    const GuardSettings *s = g->settings;
    TopicReaderSettings settings = {
        .brokers = s->brokers, .properties_file = s->properties_file, .fetch_wait_ms = "100", .wake_fd = -1};

    if (g->positions_are_known || !schema_topic_is_ready(schemas))
        return true;
    settings.topic = producer_topic_name(schema_topic_position(schemas));
    if (g->reader == NULL)
        g->reader = topic_reader_open(&settings, failure);
    if (g->reader == NULL)
        return false;
    g->positions_are_known = topic_reader_poll(g->reader, take_value, g, &g->trouble);
    if (g->positions_are_known) {
        g->trouble = NULL;
        topic_reader_close(g->reader);
        g->reader = NULL;
    }
    return true;
}

static bool send_record(Guard *g, uint64_t lsn, const SchemaTopic *schemas, Producer *producer,
                        Failure *failure)
{
    const SlotExpectation *e = &g->settings->expected;
    PositionRecord record = {.epoch = e->epoch, .lsn = lsn, .identity = g->identity};
    uint8_t bytes[POSITION_BYTES_MAX];
    WhWriter w = wh_writer(bytes, sizeof bytes);
    ProduceResult result;

    (void)snprintf(record.pipeline, sizeof record.pipeline, "%s", e->pipeline);
    position_put(&w, &record);
    if (w.full)
        return failure_set(failure, "the pipeline's name is too long");
    result = producer_send(producer, schema_topic_position(schemas), 0,
                           (WhSlice){(const uint8_t *)record.pipeline, strlen(record.pipeline)},
                           (WhSlice){w.data, w.length}, produce_tag(PRODUCE_TAG_POSITION, 0), failure);
    if (result == PRODUCE_SENT)
        position_gate_sent(&g->gate, lsn);
    return result != PRODUCE_REFUSED;
}

bool guard_record(Guard *g, uint64_t acked_lsn, const SchemaTopic *schemas, Producer *producer,
                  Failure *failure)
{
    return g->state != GUARD_OPEN || !position_gate_wants(&g->gate, acked_lsn) ||
           send_record(g, acked_lsn, schemas, producer, failure);
}

void guard_recorded(Guard *g)
{
    position_gate_acked(&g->gate);
    if (g->state == GUARD_RECORDING)
        g->state = GUARD_OPEN;
}

/* ---- acting ---- */

static bool act(Guard *g, const char *function, uint16_t seen_epoch, int64_t now_ms, Failure *failure)
{
    SqlSettings settings = {.conninfo = g->settings->conninfo,
                            .pipeline = g->settings->expected.pipeline,
                            .purpose = "resync",
                            .options = SESSION_OPTIONS,
                            .replication = true};

    /* Names of pipelines are lower-case letters, digits and underscores. */
    (void)snprintf(g->command, sizeof g->command, "SELECT walhouse.%s('%s', %u)", function,
                   g->settings->expected.pipeline, (unsigned)seen_epoch);
    g->state = GUARD_ACTING;
    return sql_open(&g->sql, &settings, now_ms, failure);
}

static bool handle_answer(Guard *g, PGresult *answer, Failure *failure)
{
    bool ok = PQresultStatus(answer) == PGRES_TUPLES_OK;

    if (ok)
        g->state = GUARD_CHANGED;
    else
        failure_set(failure, "%s, and a new slot could not be made: %s", g->reason.text,
                    PQresultErrorMessage(answer));
    PQclear(answer);
    return ok;
}

static bool step_acting(Guard *g, short revents, int64_t now_ms, Failure *failure)
{
    PGresult *answer = NULL;

    switch (sql_step(&g->sql, revents, now_ms, &answer, failure)) {
    case SQL_NOTHING:
        return true;
    case SQL_CONNECTED:
        return sql_ask(&g->sql, g->command, now_ms, failure);
    case SQL_ANSWERED:
        return handle_answer(g, answer, failure);
    case SQL_BROKEN:
        return false;
    }
    return false;
}

/* ---- the verdict ---- */

void guard_slot_is_lost(Guard *g, const Failure *reason)
{
    assert(g->state == GUARD_OPEN);
    g->reason = *reason;
    g->is_lost = true;
    g->state = GUARD_CHECKING;
}

/* What is lost stays lost, whatever the server says of it later. */
static SlotVerdict judge(Guard *g, const SlotFacts *facts)
{
    const Positions *positions = g->positions_are_known ? &g->positions : NULL;
    uint16_t highest_epoch;

    if (g->is_lost)
        return SLOT_LOST;
    if (facts == NULL)
        return SLOT_USABLE;
    g->identity = facts->identity;
    return slot_judge(facts, &g->settings->expected, positions, &highest_epoch, &g->reason);
}

static bool step_checking(Guard *g, const SlotFacts *facts, const SchemaTopic *schemas, Producer *producer,
                          int64_t now_ms, Failure *failure)
{
    SlotVerdict verdict;

    if (!read_positions(g, schemas, failure))
        return false;
    verdict = judge(g, facts);
    g->is_lost = verdict == SLOT_LOST;
    if (g->is_lost && !g->settings->resync) {
        g->state = GUARD_LOST;
        return true;
    }
    if ((facts == NULL && !g->is_lost) || !g->positions_are_known)
        return true;
    if (verdict == SLOT_USABLE) {
        g->state = GUARD_RECORDING;
        return send_record(g, facts->confirmed_lsn, schemas, producer, failure);
    }
    message_log(MESSAGE_WARNING, "%s; %s",
                g->is_lost ? g->reason.text : "the topics hold rows of a higher epoch",
                g->is_lost ? "a new slot is made and every table taken again" : "the epoch is raised");
    return act(g, g->is_lost ? "_resync" : "_raise_epoch", g->positions.highest_epoch, now_ms, failure);
}

bool guard_step(Guard *g, const SlotFacts *facts, const SchemaTopic *schemas, Producer *producer,
                short revents, int64_t now_ms, Failure *failure)
{
    switch (g->state) {
    case GUARD_CHECKING:
        return step_checking(g, facts, schemas, producer, now_ms, failure);
    case GUARD_RECORDING:
        /* The queue may have been full. */
        return g->gate.in_flight || facts == NULL ||
               send_record(g, facts->confirmed_lsn, schemas, producer, failure);
    case GUARD_ACTING:
        return step_acting(g, revents, now_ms, failure);
    case GUARD_OPEN:
    case GUARD_LOST:
    case GUARD_CHANGED:
        return true;
    }
    return true;
}
