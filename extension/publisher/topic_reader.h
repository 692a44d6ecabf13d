/*
 * topic_reader.h - one small topic partition, read from its beginning to its end.
 *
 * Nothing here blocks but closing, for as long as librdkafka's threads take to end.
 */
#ifndef WALHOUSE_PUBLISHER_TOPIC_READER_H
#define WALHOUSE_PUBLISHER_TOPIC_READER_H

#include "extension/common/wire.h"
#include "message.h"

typedef struct TopicReader TopicReader;

/* Partition 0 of topic. NULL with *failure set. To be closed with topic_reader_close(). */
TopicReader *topic_reader_open(const char *brokers, const char *properties_file, const char *topic,
                               Failure *failure);
/* NULL is allowed. */
void topic_reader_close(TopicReader *reader);

/* value borrows for the call only. */
typedef void TopicReaderHandler(void *context, WhSlice value);

/*
 * Hands on what has come; returns true when that was all there was when the end was reached. *trouble: why
 * there is nothing, a constant text; left alone while nothing is wrong. It is tried again all the same.
 */
bool topic_reader_poll(TopicReader *reader, TopicReaderHandler *handler, void *context, const char **trouble);

#endif
