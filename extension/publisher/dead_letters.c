/*
 * dead_letters.c - a ring of letters, sent from its front; see dead_letters.h.
 */
#include "dead_letters.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static void drop_first(DeadLetters *letters)
{
    DeadLetter *letter = &letters->letters[letters->first];

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
                      Failure *failure)
{
    DeadLetter *letter = &letters->letters[(letters->first + letters->count) % DEAD_LETTERS_MAX];

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

bool dead_letters_send(DeadLetters *letters, Producer *producer, const SchemaTopic *schemas, Failure *failure)
{
    ProduceTopic *topic = schema_topic_dlq(schemas);

    while (letters->count > 0 && topic) {
        DeadLetter *first = &letters->letters[letters->first];
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
