/*
 * ack_window.c - the contiguous acknowledged prefix; see ack_window.h.
 */
#include "ack_window.h"

#include <assert.h>
#include <string.h>

void wh_ack_window_init(WhAckWindow *w, uint8_t *acked, size_t capacity)
{
    assert(capacity > 0);
    memset(acked, 0, capacity);
    *w = (WhAckWindow){.acked = acked, .capacity = capacity};
}

bool wh_ack_window_is_full(const WhAckWindow *w)
{
    return w->next - w->done == w->capacity;
}

uint64_t wh_ack_window_open(WhAckWindow *w)
{
    assert(!wh_ack_window_is_full(w));
    w->acked[w->next % w->capacity] = 0;
    return w->next++;
}

void wh_ack_window_cancel(WhAckWindow *w, uint64_t ticket)
{
    assert(w->next > w->done && ticket == w->next - 1);
    assert(!w->acked[ticket % w->capacity]);
    w->next--;
}

bool wh_ack_window_ack(WhAckWindow *w, uint64_t ticket)
{
    if (ticket < w->done || ticket >= w->next || w->acked[ticket % w->capacity])
        return false;
    w->acked[ticket % w->capacity] = 1;
    while (w->done < w->next && w->acked[w->done % w->capacity])
        w->done++;
    assert(w->done <= w->next);
    return true;
}
