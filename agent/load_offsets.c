/*
 * load_offsets.c - after a batch's rows: is the server still the one that took them, and what it is to know
 * of offsets; see load.h.
 *
 * Both cost a request each, so they are made about once a second, and whenever a request has failed: that is
 * what a restart looks like.
 */
#include "agent/ddl.h"
#include "agent/load_internal.h"
#include "agent/recover_internal.h"
#include "lib/clock.h"

#define ASK_EVERY_MS 1000

static Status ask_step(Loader *loader, void *context, Error *error)
{
    Batch *batch = context;
    const char *body;
    size_t size;
    Status status;

    /* Before the question: what was inserted until then may be what a restart has taken. */
    batch->server.seen_ms = clock_ms();
    status = clickhouse_query(loader->client, "", server_question, &body, &size, error);
    if (status == STATUS_OK)
        status = server_read(body, size, &batch->server, error);
    return status == STATUS_OK ? STATUS_OK : STATUS_RETRY;
}

static Status write_step(Loader *loader, void *context, Error *error)
{
    const Batch *batch = context;
    Status status =
        loader->system_ready ? STATUS_OK : ddl_ensure_system(loader->client, loader->config, error);

    loader->system_ready = status == STATUS_OK;
    if (status == STATUS_OK)
        status = batch->offsets_sql.failed
                     ? status_fail(error, STATUS_RETRY, "out of memory")
                     : clickhouse_query(loader->client, NULL, batch->offsets_sql.data, NULL, NULL, error);
    /* Somebody may have dropped the table. */
    loader->system_ready = status != STATUS_STOP;
    return status == STATUS_OK ? STATUS_OK : STATUS_RETRY;
}

Status load_offsets(Loader *loader, Batch *batch, Error *error)
{
    int64_t now = clock_ms();
    Status status = STATUS_OK;

    if (loader->failed || now >= loader->ask_at_ms || batch->offsets_sql.size > 0) {
        status = loader_persist(loader, ask_step, batch, error);
        batch->server_asked = status == STATUS_OK;
        loader->failed = loader->failed && status != STATUS_OK;
        loader->ask_at_ms = now + ASK_EVERY_MS;
    }
    if (status == STATUS_OK && batch->offsets_sql.size > 0)
        status = loader_persist(loader, write_step, batch, error);
    return status;
}
