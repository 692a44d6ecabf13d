/*
 * requests.h - what agents ask for: read from <prefix>.__requests, handed to Postgres, which makes snapshots
 * of it.
 *
 *      idle --> locating --> reading <--> giving          (walhouse._take_requests())
 *        ^         |                        |
 *        +---------+------------------------+   an error: said once, tried again later
 *
 * The place up to which the topic is taken is kept by Postgres, in the transaction that takes the requests,
 * so nothing need be remembered here, and each is taken once. The SQL connection is open while the place is
 * asked for and while requests are handed in. What is wrong with a request is Postgres's to find; it says so,
 * and the request is left behind.
 */
#ifndef WALHOUSE_PUBLISHER_REQUESTS_H
#define WALHOUSE_PUBLISHER_REQUESTS_H

#include "extension/common/wire.h"
#include "sql_connection.h"
#include "topic_reader.h"

/* Larger ones are refused unseen. */
#define REQUEST_BYTES_MAX (1024u * 1024)
/* Handed in together. */
#define REQUESTS_BATCH_MAX 100

typedef struct RequestsSettings {
    const char *conninfo;
    const char *pipeline;
    const char *brokers;
    const char *properties_file; /* NULL: none */
} RequestsSettings;

typedef enum RequestsState {
    REQUESTS_IDLE,
    REQUESTS_LOCATING,
    REQUESTS_READING,
    REQUESTS_GIVING
} RequestsState;

typedef struct Requests {
    const RequestsSettings *settings;
    RequestsState state;
    SqlConnection sql;
    TopicReader *reader;
    int64_t due_ms;       /* nothing is begun before */
    int64_t from_offset;  /* all before it is taken */
    int64_t next_offset;  /* just after the batch */
    WhWriter batch;       /* a literal of type bytea[], as far as it has come; data NULL: no batch */
    size_t batch_bytes;   /* of its requests */
    int count;            /* requests in it */
    int count_max;        /* 1 after a batch that failed as a whole: which of them is it? */
    int failures;         /* of a batch of one */
    char last_error[256]; /* said already */
} Requests;

/* settings must outlive it. */
void requests_init(Requests *requests, const RequestsSettings *settings);
/* Ends the connections; blocks for as long as librdkafka's threads take to end. May be called on a zeroed
 * one. */
void requests_close(Requests *requests);
/* Ends the SQL connection at once, for good as long as no step follows. */
void requests_stop(Requests *requests);

/* -1: no socket at the moment. */
int requests_fd(const Requests *requests);
short requests_events(const Requests *requests);
/* When a step is wanted without any socket. */
int64_t requests_due_ms(const Requests *requests);
/*
 * Goes on as far as it can. topic must exist; something to read writes a byte to wake_fd. Returns true when
 * Postgres may have new snapshots to make.
 */
bool requests_step(Requests *requests, const char *topic, int wake_fd, short revents, int64_t now_ms);

#endif
