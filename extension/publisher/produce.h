/*
 * produce.h - the way to Kafka. Its implementation is the only file that knows librdkafka.
 *
 * Nothing here blocks. Messages are copied into librdkafka's bounded queue; what became of them, errors,
 * librdkafka's log and the answers to topic requests come back through producer_poll(), and the wake
 * descriptor becomes readable when there is something to poll for.
 */
#ifndef WALHOUSE_PUBLISHER_PRODUCE_H
#define WALHOUSE_PUBLISHER_PRODUCE_H

#include "extension/common/event.h"
#include "message.h"

/* The largest message value that is accepted, in bytes; the topics that are created here take it. */
#define PRODUCE_MESSAGE_BYTES_MAX WH_MESSAGE_BYTES_MAX

/* What is on its way: the kind in the low bits, and a number within the kind. */
typedef enum ProduceTagKind {
    PRODUCE_TAG_EVENT,    /* number: the ticket */
    PRODUCE_TAG_SCHEMA,   /* number: which schema */
    PRODUCE_TAG_CONTROL,  /* number: the sender's */
    PRODUCE_TAG_TOPIC,    /* a topic being created; number: which */
    PRODUCE_TAG_DESCRIBE, /* a question how many partitions a topic has */
    PRODUCE_TAG_POSITION, /* the pipeline's position; no number */
    PRODUCE_TAG_MARKER,   /* of an event that its topic refused; number: the event's ticket */
    PRODUCE_TAG_LEASE     /* how far events may go; no number */
} ProduceTagKind;

#define PRODUCE_TAG_BITS 3

static inline uint64_t produce_tag(ProduceTagKind kind, uint64_t number)
{
    return number << PRODUCE_TAG_BITS | (uint64_t)kind;
}
static inline ProduceTagKind produce_tag_kind(uint64_t tag)
{
    return (ProduceTagKind)(tag & ((1u << PRODUCE_TAG_BITS) - 1));
}
static inline uint64_t produce_tag_number(uint64_t tag)
{
    return tag >> PRODUCE_TAG_BITS;
}

typedef struct Producer Producer;
/* A topic that can be produced to; owned by its producer, never freed before it. */
typedef struct ProduceTopic ProduceTopic;

typedef struct ProducerSettings {
    const char *brokers;
    const char *client_id;
    const char *properties_file; /* NULL: none; lines key=value, only of keys that are allowed */
    uint32_t messages_max;       /* in the queue and in flight */
    uint32_t kbytes_max;         /* of keys and values in the queue and in flight */
} ProducerSettings;

typedef enum ProduceResult {
    PRODUCE_SENT,   /* copied; a delivery event will come with its tag */
    PRODUCE_LATER,  /* the queue is full, or the partition not known yet: try again after the next poll */
    PRODUCE_REFUSED /* it can never be sent; failure says why */
} ProduceResult;

typedef enum ProducerEventKind {
    PRODUCER_DELIVERED, /* tag, size */
    PRODUCER_TOO_LARGE, /* tag, topic, key, value, message_lsn: the broker takes no message of this size */
    PRODUCER_DELIVERY_FAILED,  /* tag, text: the message is lost, the producer must be given up */
    PRODUCER_FATAL,            /* text: likewise */
    PRODUCER_UNREACHABLE,      /* text: no broker answers; librdkafka goes on trying */
    PRODUCER_TROUBLE,          /* text: what librdkafka is recovering from, at one broker perhaps */
    PRODUCER_TOPIC_CREATED,    /* tag: the topic is new, and its leaders are to be asked for */
    PRODUCER_TOPIC_READY,      /* tag: the topic can be produced to */
    PRODUCER_TOPIC_LEADERLESS, /* tag, text: ask again */
    PRODUCER_TOPIC_FAILED,     /* tag, retriable, text */
    PRODUCER_TOPIC_PARTITIONS  /* tag, partitions */
} ProducerEventKind;

typedef struct ProducerEvent {
    ProducerEventKind kind;
    bool retriable;
    bool name_is_taken; /* of PRODUCER_TOPIC_FAILED: another topic's name differs in '.' and '_' only */
    uint64_t tag;
    size_t size;        /* of the message's value, in bytes */
    int32_t partitions; /* how many the topic has */
    /* Borrowed, for the call only. */
    const char *text;
    const char *topic;
    WhSlice key; /* data NULL: none */
    WhSlice value;
    WhSlice message_lsn; /* the header of a logical message; data NULL: none */
} ProducerEvent;

/*
 * A message larger than a batch may grow travels alone, so when a broker finds a batch too large that has
 * such a message, it is that message. A smaller one may only have been in bad company.
 */
#define PRODUCE_BATCH_BYTES_MAX 1000000u

typedef void ProducerHandler(void *context, const ProducerEvent *event);

/* NULL with *failure set. The producer is the caller's, to be closed with producer_close(). */
Producer *producer_open(const ProducerSettings *settings, Failure *failure);
/* Drops what is still queued. Does not wait for deliveries. NULL is allowed. */
void producer_close(Producer *producer);

/* Readable when producer_poll() has something to do. */
int producer_wake_fd(const Producer *producer);
/* Where a byte makes it readable; for other handles' queues. */
int producer_wake_end(const Producer *producer);
/* Calls handler for at most events_max librdkafka events (one may carry many deliveries). true: there is
 * more. */
bool producer_poll(Producer *producer, ProducerHandler *handler, void *context, unsigned events_max);

/* NULL with *failure set. The same name gives the same topic. */
ProduceTopic *producer_topic(Producer *producer, const char *name, Failure *failure);
const char *producer_topic_name(const ProduceTopic *topic);
/* key.data NULL: no key. partition -1: by murmur2 of the key, as the Java clients do. */
ProduceResult producer_send(Producer *producer, ProduceTopic *topic, int32_t partition, WhSlice key,
                            WhSlice value, uint64_t tag, Failure *failure);

/* A header of a message: name ends in 0, value is bytes. */
typedef struct ProduceHeader {
    const char *name;
    WhSlice value;
} ProduceHeader;

/* The same, with headers. */
ProduceResult producer_send_with_headers(Producer *producer, ProduceTopic *topic, int32_t partition,
                                         WhSlice key, WhSlice value, const ProduceHeader *headers,
                                         size_t header_count, uint64_t tag, Failure *failure);

/* Asks for a topic; PRODUCER_TOPIC_CREATED, _READY or _FAILED follows with tag. false: it could not even be
 * asked. */
bool producer_create_topic(Producer *producer, const char *name, int partitions, int replication_factor,
                           bool compacted, uint64_t tag, Failure *failure);
/*
 * Asks whether the leader of each of a new topic's partitions is at work; PRODUCER_TOPIC_READY or _FAILED
 * follows with tag. What is sent before may be refused, and the message behind it taken: see "unproven" in
 * produce.c.
 */
void producer_ask_leaders(Producer *producer, const ProduceTopic *topic, int partitions, uint64_t tag);
/* Asks how many partitions a topic has; PRODUCER_TOPIC_PARTITIONS or _FAILED follows with tag. */
bool producer_describe_topic(Producer *producer, const char *name, uint64_t tag, Failure *failure);

#endif
