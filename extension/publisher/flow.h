/*
 * flow.h - chunks on their way into Kafka, item by item.
 *
 *      chunk --> schema --> schema_topic: known to Kafka before anything that names it
 *            \-> event  --> within the lease? --> compose --> message with a ticket --> produce
 *            \-> what is too large for Kafka --> dead_letters, and a marker in its place
 *            \-> logical message --> likewise, or to the handler when it is a signal of the pipeline's own
 *            \-> commit --> progress <-- deliveries
 *
 * Snapshots' chunks take their turn between those of the stream. Their events have tickets like all others,
 * but belong to no transaction of the stream: they never move the LSN.
 *
 * Back-pressure: when the window of tickets or librdkafka's queue is full, or a schema or a lease is on its
 * way, the flow is blocked, and the chunk stays where it is until it is gone on with.
 */
#ifndef WALHOUSE_PUBLISHER_FLOW_H
#define WALHOUSE_PUBLISHER_FLOW_H

#include "compose.h"
#include "dead_letters.h"
#include "extension/common/chunk.h"
#include "lease.h"
#include "progress.h"
#include "schema_topic.h"

/* Marks between two confirmed LSNs; when they are used up, LSNs are confirmed in larger steps. */
#define FLOW_MARKS_MAX 4096

typedef enum FlowStep {
    FLOW_DONE,     /* the chunk has gone through */
    FLOW_BLOCKED,  /* go on after the next poll of the producer */
    FLOW_REJECTED, /* a snapshot's chunk that cannot be sent, and is dropped; failure says why */
    FLOW_FAILED    /* failure says why */
} FlowStep;

/* A truncate goes to every partition; how many there are is asked when it comes. */
typedef struct FlowTruncate {
    enum { TRUNCATE_NONE, TRUNCATE_ASKED, TRUNCATE_SENDING } state;
    int32_t partitions;
    int32_t next_partition;
    int64_t retry_at_ms;
    uint64_t number; /* tags the newest question */
} FlowTruncate;

/* Called for a logical message whose prefix begins with WH_SIGNAL_PREFIX, in the stream's order. */
typedef void FlowSignalHandler(void *context, WhSlice prefix, WhSlice content);

typedef struct Flow {
    Producer *producer;
    SchemaTopic *schemas;
    uint16_t epoch;
    Lease lease; /* renewed by the pipeline */
    Progress progress;
    uint8_t *acked; /* in_flight_max bytes, its own */
    size_t in_flight_max;
    ProgressMark marks[FLOW_MARKS_MAX];

    /* the chunk on its way, borrowed, and the item of it that is next */
    bool has_chunk;
    bool has_item;
    bool from_snapshot;
    WhChunkReader chunk;
    WhChunkItem item;
    uint64_t chunk_lsn;
    ComposeBuffer compose;
    FlowTruncate truncate;
    DeadLetters dead_letters;
    FlowSignalHandler *signal; /* NULL: signals are passed over */
    void *signal_context;
    uint64_t topic_fingerprint; /* of the last event */
    ProduceTopic *topic;        /* and its topic; NULL: none yet */
    TableCounter *counter;      /* and its table's; NULL: not counted */
} Flow;

/* producer and schemas must outlive it. */
bool flow_init(Flow *flow, Producer *producer, SchemaTopic *schemas, uint16_t epoch, size_t in_flight_max,
               Failure *failure);
/* handler may be NULL. */
void flow_on_signal(Flow *flow, FlowSignalHandler *handler, void *context);
/* May be called on a zeroed flow. */
void flow_fini(Flow *flow);

/* The stream begins: the slot has confirmed start_lsn. */
void flow_start(Flow *flow, uint64_t start_lsn);
/* Takes up a chunk, when there is none; data must stay until it is DONE. lsn: where the server says it is. */
void flow_begin_chunk(Flow *flow, const uint8_t *data, size_t size, uint64_t lsn);
/* Likewise, of a snapshot. */
void flow_begin_snapshot(Flow *flow, const uint8_t *data, size_t size);
/* Goes on with the chunk where it was left. */
FlowStep flow_continue(Flow *flow, int64_t now_ms, Failure *failure);

/* Sends the dead letters that wait; to be called at every turn of the loop. */
bool flow_send_dead_letters(Flow *flow, Failure *failure);
/* Takes the producer's deliveries of events, those it found too large among them, and answers about
 * partitions. */
bool flow_handle(Flow *flow, const ProducerEvent *event, int64_t now_ms, Failure *failure);

/* The next event's ticket, and the one below which all are acknowledged. */
static inline uint64_t flow_next_ticket(const Flow *flow)
{
    return flow->progress.window.next;
}
static inline uint64_t flow_done_ticket(const Flow *flow)
{
    return flow->progress.window.done;
}

#endif
