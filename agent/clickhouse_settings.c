/*
 * clickhouse_settings.c - the settings that go with every request; see clickhouse_settings.h.
 *
 * Only what correctness rests on, or what the agent reads answers by. Limits (memory, time, rows) stay the
 * operator's: all of them fail a statement rather than bend it, which is what the overflow modes are for.
 */
#include "agent/clickhouse_settings.h"

#include <stddef.h>

static const char *const always[] = {
    /* A row counts only when the server has written it, and an equal block is not dropped because it was
     * seen before: versions do that, and the warehouse may have been set back since. */
    "async_insert=0",
    "insert_deduplicate=0",
    /* No value is made up: not from NULL, not for an unknown field, not for an unreadable row. */
    "input_format_null_as_default=0",
    "insert_null_as_default=0",
    "input_format_skip_unknown_fields=0",
    "input_format_with_names_use_header=1",
    "input_format_with_types_use_header=1",
    "input_format_defaults_for_omitted_fields=1",
    "input_format_force_null_for_omitted_fields=0",
    "input_format_allow_errors_num=0",
    "input_format_allow_errors_ratio=0",
    /* A batch may reach over more partitions than the default lets it; it would never get smaller. */
    "max_partitions_per_insert_block=0",
    /* Answers are whole or errors. */
    "limit=0",
    "offset=0",
    "read_overflow_mode=throw",
    "read_overflow_mode_leaf=throw",
    "group_by_overflow_mode=throw",
    "sort_overflow_mode=throw",
    "result_overflow_mode=throw",
    "timeout_overflow_mode=throw",
    "set_overflow_mode=throw",
    "join_overflow_mode=throw",
    "transfer_overflow_mode=throw",
    "distinct_overflow_mode=throw",
    /* The status line comes when the statement has ended, and says how. */
    "wait_end_of_query=1",
    "send_progress_in_http_headers=0",
    "http_write_exception_in_output_format=0",
    /* What a SELECT means. */
    "final=0",
    "do_not_merge_across_partitions_select_final=0",
    "apply_deleted_mask=1",
    "allow_experimental_parallel_reading_from_replicas=0",
    "use_query_cache=0",
    "aggregate_functions_null_for_empty=0",
    "empty_result_for_aggregation_by_empty_set=0",
    "join_use_nulls=0",
    "transform_null_in=0",
    "cast_keep_nullable=0",
    "prefer_column_name_to_alias=0",
    "session_timezone=UTC",
    "max_query_size=16777216",
    /* What a CREATE TABLE means, and when an ALTER or a DELETE is done. */
    "data_type_default_nullable=0",
    "alter_sync=1",
    "mutations_sync=1",
    /* How answers are written. */
    "date_time_output_format=simple",
    "output_format_json_quote_64bit_integers=0",
    "output_format_json_quote_decimals=0",
    "output_format_json_quote_denormals=0",
    "output_format_json_named_tuples_as_objects=0",
    "output_format_json_array_of_rows=0",
};

/* Younger than the oldest supported server. */
static const char *const recent[] = {
    "deduplicate_insert=disable",       "deduplicate_insert_select=disable",
    "lightweight_deletes_sync=2",       "input_format_binary_decode_types_in_binary_format=0",
    "timeout_overflow_mode_leaf=throw",
};

/*
 * Where several servers hold the data, what one took is read from another: the floors of truncates must not
 * be missed. So a majority has an insert before it counts, and a replica that lacks one answers with an
 * error. One replica, the same in each request, is asked as long as it answers.
 */
static const char *const replicated[] = {
    "insert_quorum=auto",
    "insert_quorum_parallel=0",
    "select_sequential_consistency=1",
    "load_balancing=in_order",
    /* Inserts into a Distributed table return when the shards have the rows, and none goes to a random one.
     */
    "insert_distributed_sync=1",
    "insert_distributed_one_random_shard=0",
    "skip_unavailable_shards=0",
    "distributed_ddl_output_mode=throw",
};

static void append(Text *url, const char *const *settings, size_t count)
{
    for (size_t i = 0; i < count; i++)
        text_appendf(url, "%s&", settings[i]);
}

void clickhouse_settings_append(Text *url, const Config *config, bool with_recent)
{
    append(url, always, sizeof always / sizeof always[0]);
    if (with_recent)
        append(url, recent, sizeof recent / sizeof recent[0]);
    if (config->clickhouse_cluster[0])
        append(url, replicated, sizeof replicated / sizeof replicated[0]);
}

bool clickhouse_settings_unknown(int code)
{
    return code == 115;
}
