/*
 * dead_letters.c - a ring of letters, sent from its front; see dead_letters.h.
 */
#include "dead_letters.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "compose.h"

static DeadLetter *letter_at(DeadLetters *letters, size_t i)
{
    return &letters->letters[(letters->first + i) % DEAD_LETTERS_MAX];
}

static void drop_first(DeadLetters *letters)
{
    DeadLetter *letter = letter_at(letters, 0);

    free(letter->key);
    letter->key = NULL;
    letters->first = (letters->first + 1) % DEAD_LETTERS_MAX;
    letters->count--;
}

void dead_letters_clear(DeadLetters *letters)
{
    while (letters->count > 0)
        drop_first(letters);
}

static void log_letter(const DeadLetter *letter)
{
    const LetterOrigin *o = &letter->origin;

    message_log(MESSAGE_WARNING,
                "an event of topic \"%s\" at commit LSN %" PRIX32 "/%" PRIX32 " goes to the dead letters: %s",
                o->topic, (uint32_t)(o->commit_lsn >> 32), (uint32_t)o->commit_lsn, o->error);
}

bool dead_letters_add(DeadLetters *letters, uint64_t ticket, const LetterOrigin *origin, WhSlice key,
                      const WhEvent *marker, Failure *failure)
{
    DeadLetter *letter = letter_at(letters, letters->count);

    if (dead_letters_is_full(letters))
        return failure_set(failure, "more than %d events too large for Kafka wait for the dead-letter topic",
                           DEAD_LETTERS_MAX);
    *letter = (DeadLetter){.ticket = ticket, .origin = *origin, .key_size = key.size};
    if (key.data) {
        letter->key = malloc(key.size ? key.size : 1);
        if (letter->key == NULL)
            return failure_set(failure, "out of memory");
        memcpy(letter->key, key.data, key.size);
    }
    if (marker)
        letter->marker = *marker;
    (void)snprintf(letter->topic, sizeof letter->topic, "%s", origin->topic);
    (void)snprintf(letter->error, sizeof letter->error, "%s", origin->error);
    letter->origin.topic = letter->topic;
    letter->origin.error = letter->error;
    if (origin->message_lsn.data) {
        (void)snprintf(letter->message_lsn, sizeof letter->message_lsn, "%.*s", (int)origin->message_lsn.size,
                       (const char *)origin->message_lsn.data);
        letter->origin.message_lsn =
            (WhSlice){(const uint8_t *)letter->message_lsn, strlen(letter->message_lsn)};
    }
    letters->count++;
    log_letter(letter);
    (void)snprintf(letters->news, sizeof letters->news,
                   "an event too large for topic \"%s\" went to the dead letters", letter->topic);
    letters->has_news = true;
    return true;
}

const char *dead_letters_news(DeadLetters *letters)
{
    bool has_news = letters->has_news;

    letters->has_news = false;
    return has_news ? letters->news : NULL;
}

void dead_letters_marked(DeadLetters *letters, uint64_t ticket)
{
    for (size_t i = 0; i < letters->count; i++)
        if (letter_at(letters, i)->ticket == ticket)
            letter_at(letters, i)->marker.operation = 0;
}

static ProduceResult send_marker(DeadLetter *letter, Producer *producer, SchemaTopic *schemas,
                                 Failure *failure)
{
    WhChunkItem item = {.event = letter->marker, .key_size = letter->key_size};
    ProduceTopic *topic = schema_topic_find(schemas, letter->marker.fingerprint);
    ComposeBuffer buffer = {0};
    ProduceResult result = PRODUCE_REFUSED;
    WhSlice key, value;

    item.event.body = (WhSlice){letter->key, letter->key_size};
    if (topic == NULL)
        (void)failure_set(failure, "an event too large for topic \"%s\" names no schema", letter->topic);
    else if (compose_event(&buffer, &item, item.event.epoch, &key, &value, failure))
        result = producer_send(producer, topic, -1, key, value,
                               produce_tag(PRODUCE_TAG_MARKER, letter->ticket), failure);
    compose_buffer_free(&buffer);
    letter->marker_sent = result == PRODUCE_SENT;
    return result;
}

static ProduceResult send_markers(DeadLetters *letters, Producer *producer, SchemaTopic *schemas,
                                  Failure *failure)
{
    ProduceResult result = PRODUCE_SENT;

    for (size_t i = 0; i < letters->count && result == PRODUCE_SENT; i++)
        if (letter_at(letters, i)->marker.operation && !letter_at(letters, i)->marker_sent)
            result = send_marker(letter_at(letters, i), producer, schemas, failure);
    return result;
}

bool dead_letters_send(DeadLetters *letters, Producer *producer, SchemaTopic *schemas, Failure *failure)
{
    ProduceTopic *topic = schema_topic_dlq(schemas);
    ProduceResult marked = send_markers(letters, producer, schemas, failure);

    if (marked != PRODUCE_SENT)
        return marked == PRODUCE_LATER;
    while (letters->count > 0 && topic && !letter_at(letters, 0)->marker.operation) {
        DeadLetter *first = letter_at(letters, 0);
        WhSlice key = {first->key, first->key_size}, empty = {(const uint8_t *)"", 0};
        Letter letter;
        ProduceResult result;

        first->origin.time_us = clock_wall_us();
        letter_of_too_large(&letter, &first->origin);
        result = producer_send_with_headers(producer, topic, -1, key, empty, letter.headers, letter.count,
                                            produce_tag(PRODUCE_TAG_EVENT, first->ticket), failure);
        if (result != PRODUCE_SENT)
            return result == PRODUCE_LATER;
        drop_first(letters);
    }
    return true;
}
