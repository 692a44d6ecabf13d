/*
 * pipeline_rules.c - tables' rules come into force: those of the settings that SIGHUP has read again, and
 * those in force for schemas that are new; see pipeline.h.
 */
#include <unistd.h>

#include "agent/pipeline_internal.h"
#include "lib/log.h"

static void forget_misfit(void *context, const TableSchema *table)
{
    Pipeline *p = context;

    if (table->section || table->rules_error)
        table_states_clear(&p->metrics->tables, table->target.view_name, "rules");
}

/* Before a row of it comes, and in the list until rules that fit it are read. */
static void tell_misfit(void *context, const TableSchema *table)
{
    Pipeline *p = context;

    if (table->rules_error && table_states_set(&p->metrics->tables, table->target.view_name, TABLE_STOPPED,
                                               "rules", table->rules_error, RULES_WAY_OUT))
        log_error("table %s is stopped: %s", table->target.view_name, table->rules_error);
}

/*
 * With both batches empty, so that no row was shaped by the old rules and is loaded by the new. false: they
 * cannot be used, and nothing changed.
 */
static bool use_rules(Pipeline *p, const Rules *rules)
{
    Error error;
    Status status;

    registry_each_table(p->registry, forget_misfit, p);
    status = registry_use_rules(p->registry, rules, &error);
    registry_each_table(p->registry, tell_misfit, p);
    if (status != STATUS_OK) {
        metrics_set_error(p->metrics, error.text);
        log_error("the rules of tables stay as they are: %s", error.text);
        return false;
    }
    /* Buffers that were kept begin with the old columns. */
    batch_reset(&p->batches[0], 0);
    batch_reset(&p->batches[1], 0);
    p->stopped.retry_at_ms = 0;
    return true;
}

/* What is wrong with the file changes nothing. */
void pipeline_reload(Pipeline *p)
{
    Config fresh;
    Error error;
    bool done = false;

    if (config_reread(p->config, (const char *const *)environ, &fresh, &error) != STATUS_OK) {
        metrics_set_error(p->metrics, error.text);
        log_error("the settings are not read again: %s", error.text);
    } else if (use_rules(p, fresh.rules)) {
        rules_free(p->rules);
        p->rules = fresh.rules;
        fresh.rules = NULL;
        config_set_log(&fresh);
        done = true;
        log_info("the settings were read again: the log's and the tables' are in force");
    }
    atomic_store(&p->metrics->reload_failed, !done);
    config_fini(&fresh);
}

void pipeline_reshape(Pipeline *p)
{
    p->reshape = false;
    if (pipeline_rules(p)->count > 0)
        (void)use_rules(p, pipeline_rules(p));
}
