/*
 * compat.h - every difference between Postgres versions that Walhouse supports, in one place.
 */
#ifndef WALHOUSE_COMPAT_H
#define WALHOUSE_COMPAT_H

#include "replication/reorderbuffer.h"

/* Since 16 the macros for out-of-line values have a header of their own. */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

#if PG_VERSION_NUM < 150000
#error "Walhouse needs PostgreSQL 15 or newer"
#endif

/* Since 17 a change holds the tuple itself, before it held a buffer around it. */
#if PG_VERSION_NUM >= 170000
#define change_tuple(held) (held)
#else
#define change_tuple(held) ((held) ? &(held)->tuple : NULL)
#endif

/* Since 18 the caller says whether a deferrable primary key will do. */
#if PG_VERSION_NUM >= 180000
#define primary_key_index(relation) RelationGetPrimaryKeyIndex(relation, false)
#else
#define primary_key_index(relation) RelationGetPrimaryKeyIndex(relation)
#endif

/* Since 18 a row filter may use a virtual generated column, which stands for its expression. */
#if PG_VERSION_NUM >= 180000
#include "rewrite/rewriteHandler.h"
#define expand_virtual_columns(list, relation) ((List *) expand_generated_columns_in_expr((Node *) (list), relation, 1))
#else
#define expand_virtual_columns(list, relation) (list)
#endif

/* Since 17 a wait event set belongs to a resource owner, before to a memory context. */
#if PG_VERSION_NUM >= 170000
#define create_wait_event_set(count) CreateWaitEventSet(NULL, count)
#else
#define create_wait_event_set(count) CreateWaitEventSet(TopMemoryContext, count)
#endif

/* Since 17 an extension's waits have names of their own in pg_stat_activity. */
#if PG_VERSION_NUM >= 170000
#include "utils/wait_event.h"
#define new_wait_event(name) WaitEventExtensionNew(name)
#else
#define new_wait_event(name) PG_WAIT_EXTENSION
#endif

/* Since 17 a slot says whether it follows a failover, and whether it was synchronised from a primary. */
#if PG_VERSION_NUM >= 170000
#define create_replication_slot(name, failover) ReplicationSlotCreate(name, true, RS_EPHEMERAL, false, failover, false)
#else
#define create_replication_slot(name, failover) ((void) (failover), ReplicationSlotCreate(name, true, RS_EPHEMERAL, false))
#endif

#endif
