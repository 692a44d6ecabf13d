/*
 * topic_reader.h - one small topic partition, read from its beginning or from an offset.
 *
 * Nothing here blocks but closing, for as long as librdkafka's threads take to end.
 */
#ifndef WALHOUSE_PUBLISHER_TOPIC_READER_H
#define WALHOUSE_PUBLISHER_TOPIC_READER_H

#include "extension/common/wire.h"
#include "message.h"

typedef struct TopicReader TopicReader;

typedef struct TopicReaderSettings {
    const char *brokers;
    const char *properties_file; /* NULL: none */
    const char *topic;           /* its partition 0 */
    int64_t offset;              /* from the beginning where the topic does not have it */
    const char *fetch_wait_ms;   /* how long a broker keeps a question for which it has nothing */
    int wake_fd;                 /* gets a byte when something has come; -1: none */
} TopicReaderSettings;

/* NULL with *failure set. To be closed with topic_reader_close(). */
TopicReader *topic_reader_open(const TopicReaderSettings *settings, Failure *failure);
/* NULL is allowed. */
void topic_reader_close(TopicReader *reader);

/* value borrows for the call only. false: no more for now. */
typedef bool TopicReaderHandler(void *context, WhSlice value, int64_t offset);

/*
 * Hands on what has come; returns true when that was all there was when the end was reached. *trouble: why
 * there is nothing, a constant text; left alone while nothing is wrong. It is tried again all the same.
 */
bool topic_reader_poll(TopicReader *reader, TopicReaderHandler *handler, void *context, const char **trouble);

#endif
