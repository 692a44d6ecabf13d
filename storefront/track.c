/*
 * track.c - orders on their way; see track.h.
 */
#include "storefront/track.h"

TrackedOrder *track_add(Track *track, int64_t id, int64_t placing_us, int64_t now)
{
    TrackedOrder *order = &track->orders[track->next];

    track->next = (track->next + 1) % TRACK_ORDERS;
    *order = (TrackedOrder){.id = id,
                            .placing_us = placing_us,
                            .committed_at = placing_us == TRACK_UNKNOWN ? TRACK_UNKNOWN : now,
                            .asked_at = now};
    return order;
}

TrackedOrder *track_find(Track *track, int64_t id)
{
    for (size_t i = 0; i < TRACK_ORDERS; i++)
        if (track->orders[i].id == id)
            return &track->orders[i];
    return NULL;
}

bool track_is_awaited(const TrackedOrder *order, Station station, int64_t now)
{
    return order->id != 0 && !order->passed[station] && now - order->asked_at <= TRACK_KEEP_US;
}

static void pass(TrackedOrder *order, Station station, int64_t took_us)
{
    order->passed[station] = true;
    order->took_us[station] = took_us;
}

void track_take_slot(Track *track, uint64_t confirmed, uint64_t flushed, int64_t asked_at, int64_t now)
{
    for (size_t i = 0; i < TRACK_ORDERS; i++) {
        TrackedOrder *order = &track->orders[i];
        bool known = order->committed_at != TRACK_UNKNOWN;

        if (!track_is_awaited(order, STATION_KAFKA, now))
            continue;
        /* An order that came while the question was on its way may lie behind the answer. */
        if (order->lsn == 0 && (!known || order->committed_at <= asked_at))
            order->lsn = flushed;
        if (order->lsn != 0 && confirmed >= order->lsn)
            pass(order, STATION_KAFKA, known ? now - order->committed_at : TRACK_UNKNOWN);
    }
}

void track_take_loaded(Track *track, int64_t id, int64_t took_us)
{
    TrackedOrder *order = track_find(track, id);

    if (order == NULL)
        return;
    pass(order, STATION_WAREHOUSE, took_us);
    /* The slot confirms in steps, so the warehouse may well be heard of first. */
    if (!order->passed[STATION_KAFKA] || order->took_us[STATION_KAFKA] == TRACK_UNKNOWN ||
        order->took_us[STATION_KAFKA] > took_us)
        pass(order, STATION_KAFKA, took_us);
}
