/*
 * retention.h - warns in the server's log of slots that keep much WAL.
 */
#ifndef WALHOUSE_RETENTION_H
#define WALHOUSE_RETENTION_H

/* To be called often, outside a transaction; looks every ten seconds. */
extern void watch_retained_wal(void);

#endif
