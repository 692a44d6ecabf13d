/*
 * plan.h - what has to be done to a storage table before it can take a target's rows: pure.
 *
 *      Target + Storage --plan_fit()--> for each column: keep, add or widen; or why it cannot be
 */
#ifndef WALHOUSE_AGENT_PLAN_H
#define WALHOUSE_AGENT_PLAN_H

#include "agent/storage.h"

typedef enum PlanAction {
    PLAN_KEEP,
    PLAN_ADD,
    PLAN_WIDEN /* MODIFY COLUMN to type */
} PlanAction;

typedef struct PlanColumn {
    PlanAction action;
    char *stored; /* malloc'ed: its name in the storage table, for good */
    char *type;   /* malloc'ed: in the storage table, when the action is done */
    char *was;    /* malloc'ed: what it was before it became String, or NULL */
} PlanColumn;

typedef struct Plan {
    PlanColumn *columns; /* the target's */
    uint32_t column_count;
    bool changes;   /* one of them is not PLAN_KEEP */
    bool converts;  /* one of them has another type than the target's rows */
    Text conflicts; /* "3:Int32,5:String": attributes whose types nothing holds; empty: it fits */
    Text reason;    /* of the conflicts, for a person */
} Plan;

/*
 * plan->conflicts.size > 0: the table cannot take these rows, and plan->reason says why. STATUS_RETRY: out of
 * memory. plan_free() in either case.
 */
Status plan_fit(Plan *plan, const Target *target, const Storage *storage, Error *error);
void plan_free(Plan *plan);

/*
 * May a table that no agent has marked be taken as the target's? One of an earlier release may. false:
 * reason says why not.
 */
bool plan_may_adopt(const Target *target, const Storage *storage, Text *reason);

#endif
