/* What must be known about a statement before the engine sees it: where an INSERT's data begins. */
#ifndef WAREHOUSE_SQL_H
#define WAREHOUSE_SQL_H

#include <stdbool.h>
#include <stddef.h>

#define SQL_FORMAT_NAME_MAX 64

enum sql_insert {
    SQL_INSERT_NO,     /* not an INSERT followed by data: a statement to run as it is */
    SQL_INSERT_MORE,   /* cannot be told from these bytes alone */
    SQL_INSERT_DATA,   /* data begins at head->data_at */
    SQL_INSERT_INFILE, /* INSERT … FROM INFILE, which only a command line client may do */
};

struct sql_insert_head {
    size_t statement_bytes;           /* "INSERT INTO t (a, b) " without its VALUES or FORMAT clause */
    char format[SQL_FORMAT_NAME_MAX]; /* the FORMAT's name; "Values" for VALUES */
    size_t data_at;
};

/* Looks at the beginning of "statement, then data". complete says that no more bytes will come. Data begins
 * where ClickHouse lets it begin (ParserInsertQuery): right after VALUES; after FORMAT name, blanks, and one
 * line end. */
enum sql_insert sql_scan_insert(const char *text, size_t bytes, bool complete, struct sql_insert_head *head);

struct sql_shape {
    bool empty;        /* nothing but blanks and comments */
    bool into_outfile; /* has INTO OUTFILE outside of parentheses */
    bool lone_word;    /* a single word: "exit" and the like, which the engine's client would obey */
    bool set_or_use;   /* begins with SET or USE */
    char format[SQL_FORMAT_NAME_MAX]; /* name of a FORMAT clause outside of parentheses, or "" */
};

void sql_describe(const char *text, size_t bytes, struct sql_shape *shape);

#endif
