/*
 * recover.h - where partitions begin, and what is done when Kafka or the warehouse has lost something.
 *
 *      assigned --> group's commit, _walhouse_offsets --> first offset (offsets.h)
 *      loaded --> _walhouse_offsets, with the next batch
 *      offset not in Kafka any more --> gap: table shown, snapshot asked for --> read on from the earliest
 *      warehouse started again --> back to what was loaded long enough before
 *
 * All of it belongs to the main thread.
 */
#ifndef WALHOUSE_AGENT_RECOVER_H
#define WALHOUSE_AGENT_RECOVER_H

#include "agent/batch.h"
#include "agent/registry.h"
#include "agent/request.h"

typedef struct Recovery Recovery;

Recovery *recovery_open(const Config *config, Metrics *metrics, Registry *registry, Error *error);
void recovery_close(Recovery *recovery);

/* What the consumer tells; see ConsumerEvents. */
void recovery_assigned(Recovery *recovery, PartitionStart *starts, size_t count);
void recovery_unassigned(Recovery *recovery, const char *topic, int32_t partition);
void recovery_lost_place(Recovery *recovery, const char *topic, int32_t partition);

/* Is there something for the warehouse to know, or to be asked? hurry: nothing more is to come for now. */
bool recovery_is_due(const Recovery *recovery, int64_t now_ms, bool hurry);
/* Gives a batch what the warehouse is to know. */
void recovery_give(Recovery *recovery, Batch *batch, int64_t now_ms);
/* Takes what a batch has brought. false: the warehouse may have lost rows, nothing is to be committed. */
bool recovery_take(Recovery *recovery, const Batch *batch);
/* Everything before the offset is loaded. */
void recovery_loaded(Recovery *recovery, const PartitionOffset *offset, int64_t now_ms);

/* recovery_take() said so, and recovery_rewind() has not gone back yet. */
bool recovery_wants_rewind(const Recovery *recovery);
/* Goes back. Both batches must be empty. false: try again. */
bool recovery_rewind(Recovery *recovery, Consumer *consumer, int64_t now_ms);

/* After all partitions were resumed: those that have no place yet are not. */
void recovery_pause_again(const Recovery *recovery, Consumer *consumer);

/* What is due: partitions that have no place yet, gaps. batches are the two that take turns. Call it often.
 */
void recovery_tick(Recovery *recovery, Consumer *consumer, const Batch *batches, int64_t now_ms);

#endif
