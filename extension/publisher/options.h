/*
 * options.h - the command line.
 *
 * One table (in options.c) gives the parser, its checks and --help.
 */
#ifndef WALHOUSE_PUBLISHER_OPTIONS_H
#define WALHOUSE_PUBLISHER_OPTIONS_H

#include <stdio.h>

#include "message.h"

/* Texts point into argv or are constants. */
typedef struct Options {
    const char *pipeline;
    const char *slot;
    const char *publication;
    const char *conninfo;
    const char *brokers;
    const char *topic_prefix;
    int64_t partitions;
    int64_t replication_factor;
    int64_t epoch;
    const char *system_identifier; /* NULL: not checked */
    int64_t timeline;              /* 0: not checked */
    const char *slot_lsn;          /* NULL: positions are not compared */
    const char *on_slot_loss;      /* stop or resync */
    int64_t report_fd;             /* -1: none */
    int64_t statistics_interval_s; /* 0: off */
    int64_t snapshot_workers;      /* 0: no snapshots */
    int64_t snapshot_chunk_ms;
    int64_t max_in_flight;
    const char *out_of_range;    /* checked by the output plugin */
    bool messages;               /* logical messages travel too */
    const char *properties_file; /* NULL: none */
    const char *log_level;
} Options;

typedef enum OptionsResult { OPTIONS_RUN, OPTIONS_HELP, OPTIONS_VERSION, OPTIONS_WRONG } OptionsResult;

/* OPTIONS_WRONG: failure says why. */
OptionsResult options_parse(Options *options, int argc, const char *const *argv, Failure *failure);
void options_print_help(FILE *out);

#endif
