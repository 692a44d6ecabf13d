/*
 * plugin_options.h - the options of START_REPLICATION (or of pg_logical_slot_get_binary_changes).
 */
#ifndef WALHOUSE_PLUGIN_OPTIONS_H
#define WALHOUSE_PLUGIN_OPTIONS_H

#include "nodes/pg_list.h"

#include "encode.h"

typedef struct PluginOptions
{
	List	   *publications;	/* char * */
	bool		messages;		/* those of pg_logical_emit_message(); the pipeline's own signals come always */
	int			batch_bytes;	/* a chunk is written when it has passed this size, and at commit */
	OutOfRangePolicy out_of_range;
} PluginOptions;

/* options: list of DefElem. Errors name the option and what it takes. Allocates in the current context. */
extern void plugin_options_parse(List *options, PluginOptions *parsed);

/* 'dlq', 'null' or 'clamp'; an error for anything else. */
extern OutOfRangePolicy out_of_range_parse(const char *text);

#endif
