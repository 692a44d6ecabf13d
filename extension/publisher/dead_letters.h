/*
 * dead_letters.h - events too large for Kafka, on their way to the dead-letter topic.
 *
 * A letter holds the ticket of the event it stands for, so the slot is confirmed past that event only when
 * the letter is acknowledged. Letters wait here until the topic exists and librdkafka's queue takes them.
 * Where only the topic refused an event, its marker (flow.h) goes first, as late as it is, and the letter
 * when that is acknowledged: so the ticket stands for both.
 */
#ifndef WALHOUSE_PUBLISHER_DEAD_LETTERS_H
#define WALHOUSE_PUBLISHER_DEAD_LETTERS_H

#include "letter.h"
#include "schema_topic.h"

#define DEAD_LETTERS_MAX            256
#define DEAD_LETTER_ERROR_BYTES_MAX 160
#define DEAD_LETTER_NEWS_BYTES_MAX  (WH_TOPIC_BYTES_MAX + 80)
#define DEAD_LETTER_LSN_BYTES_MAX   24

typedef struct DeadLetter {
    uint64_t ticket;
    LetterOrigin origin; /* its texts are those below */
    char topic[WH_TOPIC_BYTES_MAX + 1];
    char error[DEAD_LETTER_ERROR_BYTES_MAX];
    char message_lsn[DEAD_LETTER_LSN_BYTES_MAX];
    uint8_t *key; /* its own; NULL: none */
    size_t key_size;
    WhEvent marker; /* to be sent first; operation 0: none, or it is acknowledged */
    bool marker_sent;
} DeadLetter;

/* A ring: count letters from first. Zeroed: empty. Not to be copied or moved while it holds letters. */
typedef struct DeadLetters {
    DeadLetter letters[DEAD_LETTERS_MAX];
    size_t first;
    size_t count;
    bool has_news;
    char news[DEAD_LETTER_NEWS_BYTES_MAX];
} DeadLetters;

/* Forgets what is there. */
void dead_letters_clear(DeadLetters *letters);
static inline bool dead_letters_is_full(const DeadLetters *letters)
{
    return letters->count == DEAD_LETTERS_MAX;
}
/* Copies everything. marker: of the event, or NULL. false: full, or out of memory. */
bool dead_letters_add(DeadLetters *letters, uint64_t ticket, const LetterOrigin *origin, WhSlice key,
                      const WhEvent *marker, Failure *failure);
/* The marker of this ticket is acknowledged. */
void dead_letters_marked(DeadLetters *letters, uint64_t ticket);
/* What is to be told of the newest letter, once; NULL: nothing. It does not name the event: one like it
 * counts up. */
const char *dead_letters_news(DeadLetters *letters);
/* Sends what can be sent now; the rest waits for the next call. */
bool dead_letters_send(DeadLetters *letters, Producer *producer, SchemaTopic *schemas, Failure *failure);

#endif
