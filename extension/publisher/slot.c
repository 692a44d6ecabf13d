/*
 * slot.c - judges a slot; see slot.h.
 *
 * Why comparing positions is sound: before the slot is told that everything up to an LSN is acknowledged,
 * Kafka has acknowledged a position record that says so (position.c). So the slot has never confirmed more
 * than the newest record of its epoch or, before the first one, than it had at its birth. If it has, somebody
 * recreated or advanced it, or these are not the topics that it was read into: what lies between never
 * reached them. Recreating a slot where nothing lies between is no loss, and not one here.
 */
#include "slot.h"

#include <inttypes.h>
#include <string.h>

#define LSN_FORMAT    "%" PRIX32 "/%" PRIX32
#define LSN_PARTS(at) (uint32_t)((at) >> 32), (uint32_t)(at)

/* false: reason says what is not as the pipeline knows it. */
static bool server_is_the_pipelines(const SlotFacts *f, const SlotExpectation *e, Failure *reason)
{
    if (e->system_identifier && strcmp(f->identity.system_identifier, e->system_identifier) != 0)
        return failure_set(reason, "this is another Postgres: its system identifier is %s, the pipeline's %s",
                           f->identity.system_identifier, e->system_identifier);
    if (e->timeline && f->identity.timeline != e->timeline)
        return failure_set(reason,
                           "Postgres is on timeline %" PRIu32 ", the pipeline on %" PRIu32
                           ": it was restored or promoted, and what was captured after that point did not "
                           "happen on this timeline",
                           f->identity.timeline, e->timeline);
    return true;
}

static bool slot_is_whole(const SlotFacts *f, const SlotExpectation *e, Failure *reason)
{
    if (!f->exists)
        return failure_set(reason, "replication slot \"%s\" does not exist", e->slot);
    if (!f->is_ours)
        return failure_set(
            reason,
            "replication slot \"%s\" is not a logical slot of output plugin walhouse in this database",
            e->slot);
    if (f->is_lost && f->invalidation[0])
        return failure_set(reason, "replication slot \"%s\" is lost: the server has invalidated it (%s)",
                           e->slot, f->invalidation);
    if (f->is_lost)
        return failure_set(
            reason,
            "replication slot \"%s\" is lost: the server removed WAL that it needed. Hint: raise "
            "max_slot_wal_keep_size.",
            e->slot);
    return true;
}

/* own: this pipeline's position at this epoch on this server, NULL: none. */
static bool slot_follows(const SlotFacts *f, const SlotExpectation *e, const PositionRecord *own,
                         Failure *reason)
{
    uint64_t known_lsn = own && own->lsn > e->slot_lsn ? own->lsn : e->slot_lsn;

    if (own && f->server_lsn < own->lsn)
        return failure_set(reason,
                           "the server's WAL ends at " LSN_FORMAT ", but was captured up to " LSN_FORMAT
                           " already: an older state of the server was restored",
                           LSN_PARTS(f->server_lsn), LSN_PARTS(own->lsn));
    if (f->confirmed_lsn > known_lsn)
        return failure_set(
            reason,
            "replication slot \"%s\" stands at " LSN_FORMAT
            ", but Kafka has everything only up to " LSN_FORMAT
            ": the slot was recreated or advanced by somebody else, or these are not the topics "
            "that it was read into",
            e->slot, LSN_PARTS(f->confirmed_lsn), LSN_PARTS(known_lsn));
    return true;
}

SlotVerdict slot_judge(const SlotFacts *f, const SlotExpectation *e, const Positions *positions,
                       uint16_t *highest_epoch, Failure *reason)
{
    const PositionRecord *own = NULL;
    bool foreign = false;

    *highest_epoch = positions ? positions->highest_epoch : 0;
    if (!server_is_the_pipelines(f, e, reason) || !slot_is_whole(f, e, reason))
        return SLOT_LOST;
    if (positions == NULL || !e->has_slot_lsn)
        return SLOT_USABLE;
    for (size_t i = 0; i < positions->count; i++) {
        const PositionRecord *record = &positions->records[i];
        bool same_server = server_identities_are_equal(&record->identity, &f->identity);

        if (strcmp(record->pipeline, e->pipeline) == 0 && record->epoch == e->epoch && same_server)
            own = record;
        foreign |= record->epoch > e->epoch || (record->epoch == e->epoch && !same_server);
    }
    if (!slot_follows(f, e, own, reason))
        return SLOT_LOST;
    return foreign && own == NULL ? SLOT_EPOCH_TOO_LOW : SLOT_USABLE;
}
