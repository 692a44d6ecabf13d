/*
 * source_news.h - what the publisher last said of itself: where it is in the WAL, how much of it the slot
 * keeps, how far snapshots are; for the dashboard.
 *
 * It comes by the control topic, which has one partition: of several agents one knows it. Any thread may call
 * anything here.
 */
#ifndef WALHOUSE_AGENT_SOURCE_NEWS_H
#define WALHOUSE_AGENT_SOURCE_NEWS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#define SOURCE_SNAPSHOTS_MAX 64 /* the newest */

typedef struct SourceSnapshot {
    int64_t id;
    int64_t sent_at_us;
    json_t *event; /* as docs/wire-format.md has it */
} SourceSnapshot;

typedef struct SourceNews {
    pthread_mutex_t lock;
    json_t *heartbeat; /* the newest; NULL: none has come */
    int64_t heartbeat_at_us;
    SourceSnapshot snapshots[SOURCE_SNAPSHOTS_MAX];
    size_t snapshot_count;
} SourceNews;

/* false: no mutex to be had. */
bool source_news_init(SourceNews *news);
void source_news_fini(SourceNews *news);

/* A control event; what is no heartbeat and no snapshot's, or older than what is known, is passed over. */
void source_news_take(SourceNews *news, const void *event, size_t size);

/*
 * {"pipeline", "lsn", "server_lsn", "lag_bytes", "retained_wal_bytes", "sent_at_ms"}, of which what is not
 * known is null; null when no heartbeat has come.
 */
json_t *source_news_source(SourceNews *news);
/* [{"id", "schema", "table", "reason", "state", "rows_done", "estimated_rows", "error", "sent_at_ms"}], the
 * newest first. */
json_t *source_news_snapshots(SourceNews *news);

#endif
