/*
 * cluster.c - what a statement for one server becomes in a cluster; see cluster.h.
 *
 * It knows the statements that the agent writes, not all of ClickHouse's: keywords are upper case, and names
 * that are not the agent's own are quoted.
 */
#include "agent/cluster.h"

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* Without macros of the server's own choice two tables of one name would meet in Keeper. */
#define REPLICATED "'/clickhouse/tables/{uuid}/{shard}', '{replica}'"

typedef struct Slice {
    const char *start;
    size_t size;
} Slice;

static bool takes(const char **p, const char *words)
{
    size_t size = strlen(words);

    if (strncmp(*p, words, size) != 0)
        return false;
    *p += size;
    return true;
}

static const char *skip_quoted(const char *p)
{
    char quote = *p++;

    while (*p && *p != quote)
        p += *p == '\\' && p[1] ? 2 : 1;
    return *p ? p + 1 : p;
}

/* Behind the next part of a text that is quoted, or one character. */
static const char *skip_one(const char *p)
{
    return *p == '\'' || *p == '`' || *p == '"' ? skip_quoted(p) : p + 1;
}

static Slice take_identifier(const char **p)
{
    Slice name = {.start = *p};

    if (**p == '`')
        *p = skip_quoted(*p);
    else
        while (isalnum((unsigned char)**p) || **p == '_')
            (*p)++;
    name.size = (size_t)(*p - name.start);
    return name;
}

/* A name with its database, if it has one: [qualifier, table]. */
typedef struct Name {
    Slice database; /* size 0: none */
    Slice table;
} Name;

static Name take_name(const char **p)
{
    Name name = {.table = take_identifier(p)};

    if (name.table.size > 0 && **p == '.') {
        (*p)++;
        name.database = name.table;
        name.table = take_identifier(p);
    }
    return name;
}

static void append_slice(Text *text, Slice slice)
{
    text_append(text, slice.start, slice.size);
}

/* With the suffix, quoted; it stays as it is where it has the suffix already. */
static void append_name(Text *text, const Name *name, const char *suffix)
{
    bool quoted = name->table.start[0] == '`';
    size_t size = name->table.size - (quoted && name->table.size > 1);
    size_t suffix_size = strlen(suffix);

    if (name->database.size > 0) {
        append_slice(text, name->database);
        text_append(text, ".", 1);
    }
    if (suffix_size == 0 || (quoted && size > suffix_size &&
                             strncmp(name->table.start + size - suffix_size, suffix, suffix_size) == 0)) {
        append_slice(text, name->table);
        return;
    }
    text_append(text, "`", quoted ? 0 : 1);
    text_append(text, name->table.start, size);
    text_appendf(text, "%s`", suffix);
}

static void append_on_cluster(Text *text, const char *cluster)
{
    text_appendf(text, " ON CLUSTER ");
    text_append_identifier(text, cluster, strlen(cluster));
}

/* An identifier as a literal: 'name' for `name`, with the same escapes but for the quotes. */
static void append_as_literal(Text *text, Slice name)
{
    const char *p = name.start;
    const char *end = name.start + name.size;

    if (name.size > 1 && *p == '`') {
        p++;
        end--;
    }
    text_append(text, "'", 1);
    for (; p < end; p++) {
        if (*p == '\'')
            text_append(text, "\\", 1);
        text_append(text, p, 1);
    }
    text_append(text, "'", 1);
}

static bool is_storage(const Name *name)
{
    const char *p = name->table.start + (name->table.size > 0 && name->table.start[0] == '`');

    return name->table.size > 0 && *p == '_';
}

/* What reads storage tables, or inserts: of all shards. */
static void append_data_statement(Text *text, const char *sql)
{
    const char *copied = sql;
    const char *p = sql;

    while (*p) {
        bool is_insert = takes(&p, "INSERT INTO ");
        Name name;

        if (!is_insert && !takes(&p, "FROM ") && !takes(&p, "JOIN ")) {
            p = skip_one(p);
            continue;
        }
        text_append(text, copied, (size_t)(p - copied));
        name = take_name(&p);
        append_name(text, &name, is_insert || is_storage(&name) ? CLUSTER_SUFFIX : "");
        copied = p;
    }
    text_append(text, copied, (size_t)(p - copied));
}

/* ---- tables ---- */

/* Where words stand outside of quotes; the end if nowhere. */
static const char *find_words(const char *p, const char *words)
{
    size_t size = strlen(words);

    while (*p && strncmp(p, words, size) != 0)
        p = skip_one(p);
    return p;
}

/* The expression behind ORDER BY: in brackets, or one name. */
static Slice sorting_key(const char *p)
{
    Slice key;
    int depth = 0;

    p = find_words(p, "ORDER BY ");
    if (*p)
        p += strlen("ORDER BY ");
    key.start = p;
    do {
        depth += *p == '(' ? 1 : *p == ')' ? -1 : 0;
        p = *p ? skip_one(p) : p;
    } while (*p && (depth > 0 || !isspace((unsigned char)*p)));
    key.size = (size_t)(p - key.start);
    return key;
}

static void append_replicated(Text *text, const char *sql)
{
    const char *engine = find_words(sql, "ENGINE = ");
    const char *p = engine;
    Slice name;

    if (!takes(&p, "ENGINE = ")) {
        text_append(text, sql, strlen(sql));
        return;
    }
    text_append(text, sql, (size_t)(p - sql));
    name = take_identifier(&p);
    text_appendf(text, "Replicated");
    append_slice(text, name);
    text_appendf(text, "(" REPLICATED);
    if (takes(&p, "("))
        text_appendf(text, *p == ')' ? "" : ", ");
    else
        text_append(text, ")", 1);
    text_append(text, p, strlen(p));
}

static void append_distributed(Text *text, const char *cluster, const Name *name, const char *rest)
{
    text_appendf(text, "CREATE TABLE IF NOT EXISTS ");
    append_name(text, name, CLUSTER_SUFFIX);
    append_on_cluster(text, cluster);
    text_appendf(text, " AS ");
    append_name(text, name, "");
    text_appendf(text, " ENGINE = Distributed(");
    text_append_literal(text, cluster, strlen(cluster));
    text_appendf(text, ", ");
    if (name->database.size > 0)
        append_as_literal(text, name->database);
    else
        text_appendf(text, "currentDatabase()");
    text_appendf(text, ", ");
    append_as_literal(text, name->table);
    text_appendf(text, ", cityHash64(");
    append_slice(text, sorting_key(rest));
    text_appendf(text, ")) COMMENT 'all shards'");
}

/* `head name ON CLUSTER rest`; p is behind the head. */
static void append_on(Text *text, const char *cluster, const char *sql, const char **p, Name *name,
                      const char *suffix)
{
    text_append(text, sql, (size_t)(*p - sql));
    *name = take_name(p);
    append_name(text, name, suffix);
    append_on_cluster(text, cluster);
}

static void rewrite_alter(const char *cluster, const char *sql, const char *p, Text *first, Text *second)
{
    const char *head = p;
    Name name;

    append_on(first, cluster, sql, &p, &name, "");
    text_append(first, p, strlen(p));
    /* The Distributed table has the same columns, and nothing else of it. */
    if (!*find_words(p, "COLUMN "))
        return;
    p = head;
    append_on(second, cluster, sql, &p, &name, CLUSTER_SUFFIX);
    text_append(second, p, strlen(p));
}

static void rewrite_drop(const char *cluster, const char *sql, const char *p, Text *first, Text *second)
{
    const char *head = p;
    Name name;

    append_on(first, cluster, sql, &p, &name, CLUSTER_SUFFIX);
    p = head;
    append_on(second, cluster, sql, &p, &name, "");
}

void cluster_rewrite(const char *cluster, const char *sql, Text *first, Text *second)
{
    const char *p = sql;
    Name name;

    text_clear(first);
    text_clear(second);
    if (takes(&p, "CREATE TABLE IF NOT EXISTS ")) {
        append_on(first, cluster, sql, &p, &name, "");
        append_replicated(first, p);
        append_distributed(second, cluster, &name, p);
    } else if (takes(&p, "CREATE DATABASE IF NOT EXISTS ") || takes(&p, "DROP VIEW IF EXISTS ")) {
        append_on(first, cluster, sql, &p, &name, "");
        text_append(first, p, strlen(p));
    } else if (takes(&p, "CREATE OR REPLACE VIEW ") || takes(&p, "CREATE VIEW ")) {
        append_on(first, cluster, sql, &p, &name, "");
        append_data_statement(first, p);
    } else if (takes(&p, "ALTER TABLE ")) {
        rewrite_alter(cluster, sql, p, first, second);
    } else if (takes(&p, "DROP TABLE IF EXISTS ")) {
        rewrite_drop(cluster, sql, p, first, second);
    } else if (takes(&p, "DELETE FROM ")) {
        append_on(first, cluster, sql, &p, &name, "");
        append_data_statement(first, p);
    } else {
        append_data_statement(first, sql);
    }
}
