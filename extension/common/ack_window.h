/*
 * ack_window.h - how far everything is acknowledged without a gap.
 *
 * Kafka acknowledges in any order over partitions; an LSN (publisher) or an offset may be passed on only when
 * everything before it is acknowledged. Each sent thing opens a ticket; tickets are numbered from 0 and
 * acknowledged in any order.
 *
 *          acknowledged, forgotten     some acknowledged      not yet opened
 *      0 ........................ done ................. next ..............
 *                                  |<--- at most capacity --->|
 *
 * Invariant: done <= next, next - done <= capacity, ticket `done` is not acknowledged (unless done == next).
 * The storage is the caller's; all functions are O(1), amortised for the advance of done.
 */
#ifndef WALHOUSE_COMMON_ACK_WINDOW_H
#define WALHOUSE_COMMON_ACK_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct WhAckWindow {
    uint8_t *acked; /* one byte a ticket, by ticket modulo capacity */
    uint64_t capacity;
    uint64_t done;
    uint64_t next;
} WhAckWindow;

/* acked: capacity bytes of the caller's, which outlive the window; capacity > 0. */
void wh_ack_window_init(WhAckWindow *w, uint8_t *acked, size_t capacity);
bool wh_ack_window_is_full(const WhAckWindow *w);
/* The next ticket; the window must not be full. */
uint64_t wh_ack_window_open(WhAckWindow *w);
/* Takes the newest ticket back (nothing was sent after all). It must be ticket, the last one opened. */
void wh_ack_window_cancel(WhAckWindow *w, uint64_t ticket);
/* false: the ticket was never opened or is acknowledged already. */
bool wh_ack_window_ack(WhAckWindow *w, uint64_t ticket);
/* Every ticket below this one is acknowledged. */
static inline uint64_t wh_ack_window_done(const WhAckWindow *w)
{
    return w->done;
}

#endif
