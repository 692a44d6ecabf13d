/*
 * letter.h - what the headers of a message in <prefix>.__dlq say; docs/wire-format.md names them. Pure.
 *
 *      message in __dlq --headers, packed--> letter_read() --> Letter --> mirror table, `walhouse-agent dlq`
 *
 * Packed headers are one after the other: varint size and name, varint size and value.
 */
#ifndef WALHOUSE_AGENT_LETTER_H
#define WALHOUSE_AGENT_LETTER_H

#include "agent/consume.h"

/* A dead letter; its slices borrow from the message. Texts that it lacks are empty. */
typedef struct Letter {
    int32_t dlq_partition; /* where it lies */
    int64_t dlq_offset;
    WhSlice reason;
    WhSlice error;
    WhSlice topic;     /* where the message was, or should have gone */
    int32_t partition; /* < 0: it was in none, as the publisher could not send it */
    int64_t offset;
    int64_t time_us;
    int64_t size;        /* bytes of what is not here; -1: all is here */
    WhSlice agent;       /* release of the agent that wrote it */
    WhSlice version;     /* of the row, decimal */
    WhSlice fingerprint; /* of its schema, 16 hexadecimal digits */
    WhSlice commit_lsn;
    WhSlice message_lsn; /* of a logical message */
    WhSlice originals;   /* the original message's headers, packed */
    WhSlice key;
    WhSlice value;
} Letter;

/*
 * false: the message is no dead letter. A letter of the publisher has no place of its own: its partition is
 * -1 less the one it lies in, and its offset the one it lies at, so that (topic, partition, offset) names
 * every letter.
 */
bool letter_read(const MessageView *message, Letter *letter);

/* Are bytes missing that only the source still has? */
bool letter_is_too_large(const Letter *letter);

/* The next of packed headers. false: there is none. */
bool letter_next_header(WhReader *headers, WhSlice *name, WhSlice *value);

#endif
