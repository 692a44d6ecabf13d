/*
 * statistics.h - how many rows the source has, and at which LSN.
 *
 *                                .--------------.  not at rest
 *                                v              |
 *      idle --> connecting --> locating --> fixing --> listing --> counting (by table) --> ready --> idle
 *        ^          |             |           |           |           |
 *        +----------+-------------+-----------+-----------+-----------+ an error: said once, tried later
 *
 * One short, ordinary SQL connection per sample, opened and read without blocking and closed at once: one
 * that stayed open would make a smart shutdown wait. All counts come from one REPEATABLE READ snapshot; a
 * sample may be published once the confirmed LSN has reached the WAL insert position that was read with it.
 *
 * What a snapshot shows is not what was committed before an LSN: a transaction's commit is in the WAL a while
 * before others see it. "Locating" takes a floor sample (extension/floors.c): a snapshot whose xmin is not
 * below its transaction id sees all that was committed before its position. Where the WAL stands there still
 * when the snapshot is there ("fixing"), it sees nothing else either. Such a moment is looked for, a bounded
 * number of times; a sample without one says that it is not settled.
 */
#ifndef WALHOUSE_PUBLISHER_STATISTICS_H
#define WALHOUSE_PUBLISHER_STATISTICS_H

#include "extension/common/wire.h"
#include "sql_connection.h"

typedef struct StatisticsSettings {
    const char *conninfo;
    const char *pipeline;
    const char *publication;
    const char *slot;
    int64_t epoch;
    int interval_s; /* 0: never */
} StatisticsSettings;

typedef enum StatisticsState {
    STATISTICS_IDLE,
    STATISTICS_CONNECTING,
    STATISTICS_LOCATING,
    STATISTICS_FIXING,
    STATISTICS_LISTING,
    STATISTICS_COUNTING,
    STATISTICS_READY
} StatisticsState;

typedef struct Statistics {
    const StatisticsSettings *settings;
    StatisticsState state;
    SqlConnection sql;
    PGresult *tables; /* the listing */
    int table;        /* the one being counted */
    int64_t started_ms;
    int64_t next_ms;
    uint64_t lsn;
    int tries;     /* to find a moment at rest, in this sample */
    bool settled;  /* it was found */
    uint8_t *json; /* STATISTICS_JSON_BYTES_MAX, while a sample is taken or ready */
    WhWriter writer;
    int64_t exact_rows_max;     /* tables with more rows are estimated; falls when a count takes too long */
    int64_t retained_wal_bytes; /* that the slot kept at the last sample; -1: not known */
    char last_error[256];       /* said already */
} Statistics;

/* A sample that would be larger is not taken. */
#define STATISTICS_JSON_BYTES_MAX (1024 * 1024)

/* settings must outlive s. */
void statistics_init(Statistics *s, const StatisticsSettings *settings, int64_t now_ms);
/* Ends the connection and frees what s holds; may be called at any time. */
void statistics_close(Statistics *s);

/* -1: no socket at the moment. */
int statistics_fd(const Statistics *s);
short statistics_events(const Statistics *s);
/* Goes on as far as it can. revents: what poll() said of the socket. wanted: is a new sample welcome now? */
void statistics_step(Statistics *s, short revents, bool wanted, int64_t now_ms);

/* Is there a sample, and does confirmed_lsn cover it? *json borrows from s until statistics_done(). */
bool statistics_is_due(const Statistics *s, uint64_t confirmed_lsn, WhSlice *json);
/* The sample is sent. */
void statistics_done(Statistics *s);

#endif
