/*
 * sql.c - a lexer for ClickHouse's SQL, and the two questions asked of it.
 *
 * The parser is the engine's. But bytes after "INSERT INTO t FORMAT RowBinary" are data of any length, so the
 * front has to know where they begin, without parsing them, while the request is still arriving. For that it
 * is enough to tell words, quoted things, comments and parentheses apart. Pure functions of bytes; nothing is
 * allocated.
 */
#include "warehouse/sql.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

enum token_kind {
    TOKEN_END,
    TOKEN_PARTIAL, /* the bytes end within a token, and more may come */
    TOKEN_WORD,    /* identifier, keyword or number */
    TOKEN_QUOTED,  /* '…', "…", `…` or a heredoc */
    TOKEN_OPEN,
    TOKEN_CLOSE,
    TOKEN_OTHER,
};

struct token {
    enum token_kind kind;
    const char *start;
    size_t bytes;
};

struct lexer {
    const char *at;
    const char *end;
    bool complete;
};

static bool is_word_byte(unsigned char c)
{
    return isalnum(c) || c == '_' || c >= 0x80;
}

static struct token token_of(enum token_kind kind, const char *start, const char *end)
{
    return (struct token){.kind = kind, .start = start, .bytes = (size_t)(end - start)};
}

/* At the end of the bytes: either the text ends here, or it is unknown how it goes on. */
static struct token out_of_bytes(struct lexer *l, enum token_kind kind_if_complete, const char *start)
{
    struct token t = token_of(l->complete ? kind_if_complete : TOKEN_PARTIAL, start, l->end);

    l->at = l->end;
    return t;
}

/* Steps over blanks and comments. False when the bytes end in a comment that is not closed. */
static bool skip_blanks(struct lexer *l)
{
    while (l->at < l->end) {
        size_t left = (size_t)(l->end - l->at);
        const char *close;

        if (isspace((unsigned char)*l->at)) {
            l->at++;
        } else if ((left >= 2 && memcmp(l->at, "--", 2) == 0) ||
                   (left >= 2 && l->at[0] == '#' && (l->at[1] == ' ' || l->at[1] == '!'))) {
            close = memchr(l->at, '\n', left);
            if (close == NULL)
                return false;
            l->at = close + 1;
        } else if (left >= 2 && memcmp(l->at, "/*", 2) == 0) {
            close = memmem(l->at + 2, left - 2, "*/", 2);
            if (close == NULL)
                return false;
            l->at = close + 2;
        } else {
            break;
        }
    }
    return true;
}

/* '…', "…" or `…`: a backslash escapes, and a doubled quote stands for itself. */
static struct token quoted_token(struct lexer *l)
{
    const char *start = l->at;
    char quote = *start;
    const char *p = start + 1;

    while (p < l->end) {
        if (*p == '\\') {
            p += p + 1 < l->end ? 2 : 1;
        } else if (*p == quote) {
            if (p + 1 == l->end && !l->complete)
                return out_of_bytes(l, TOKEN_QUOTED, start);
            if (p + 1 < l->end && p[1] == quote) {
                p += 2;
                continue;
            }
            l->at = p + 1;
            return token_of(TOKEN_QUOTED, start, l->at);
        } else {
            p++;
        }
    }
    return out_of_bytes(l, TOKEN_OTHER, start);
}

/* $tag$…$tag$, or just a dollar sign. */
static struct token heredoc_token(struct lexer *l)
{
    const char *start = l->at;
    const char *p = start + 1;
    const char *close;
    size_t tag_bytes;

    while (p < l->end && is_word_byte((unsigned char)*p))
        p++;
    if (p == l->end && !l->complete)
        return out_of_bytes(l, TOKEN_OTHER, start);
    if (p == l->end || *p != '$') {
        l->at = start + 1;
        return token_of(TOKEN_OTHER, start, l->at);
    }
    tag_bytes = (size_t)(p + 1 - start);
    close = memmem(p + 1, (size_t)(l->end - p - 1), start, tag_bytes);
    if (close == NULL)
        return out_of_bytes(l, TOKEN_OTHER, start);
    l->at = close + tag_bytes;
    return token_of(TOKEN_QUOTED, start, l->at);
}

static struct token next_token(struct lexer *l)
{
    const char *start;

    if (!skip_blanks(l))
        return out_of_bytes(l, TOKEN_END, l->at);
    start = l->at;
    if (start == l->end)
        return out_of_bytes(l, TOKEN_END, start);
    if (is_word_byte((unsigned char)*start)) {
        while (l->at < l->end && is_word_byte((unsigned char)*l->at))
            l->at++;
        if (l->at == l->end)
            return out_of_bytes(l, TOKEN_WORD, start);
        return token_of(TOKEN_WORD, start, l->at);
    }
    /* A sign that could begin a comment cannot be told from the last byte alone. */
    if (l->at + 1 == l->end && !l->complete)
        return out_of_bytes(l, TOKEN_OTHER, start);
    switch (*start) {
    case '\'':
    case '"':
    case '`':
        return quoted_token(l);
    case '$':
        return heredoc_token(l);
    default:
        break;
    }
    l->at++;
    if (strchr("([{", *start) != NULL)
        return token_of(TOKEN_OPEN, start, l->at);
    if (strchr(")]}", *start) != NULL)
        return token_of(TOKEN_CLOSE, start, l->at);
    return token_of(TOKEN_OTHER, start, l->at);
}

static bool is_word(const struct token *t, const char *word)
{
    return t->kind == TOKEN_WORD && t->bytes == strlen(word) && strncasecmp(t->start, word, t->bytes) == 0;
}

static bool is_sign(const struct token *t, char sign)
{
    return t->kind == TOKEN_OTHER && t->bytes == 1 && *t->start == sign;
}

static bool copy_name(const struct token *t, char *name)
{
    if (t->kind != TOKEN_WORD || t->bytes >= SQL_FORMAT_NAME_MAX)
        return false;
    memcpy(name, t->start, t->bytes);
    name[t->bytes] = '\0';
    return true;
}

/* Steps over INSERT [INTO] [TABLE | FUNCTION] name[.name]. Returns the first token after them. */
static struct token skip_target(struct lexer *l)
{
    struct token t = next_token(l);

    if (is_word(&t, "into"))
        t = next_token(l);
    if (is_word(&t, "table") || is_word(&t, "function"))
        t = next_token(l);
    while (t.kind == TOKEN_WORD || t.kind == TOKEN_QUOTED) {
        t = next_token(l);
        if (!is_sign(&t, '.'))
            break;
        t = next_token(l);
    }
    return t;
}

/* After FORMAT: its name, then blanks, then one line end. */
static enum sql_insert data_after_format(struct lexer *l, const char *text, struct sql_insert_head *head)
{
    struct token t = next_token(l);
    const char *p = l->at;

    if (t.kind == TOKEN_PARTIAL)
        return SQL_INSERT_MORE;
    if (!copy_name(&t, head->format))
        return SQL_INSERT_NO;
    if (p < l->end && *p == ';')
        return SQL_INSERT_NO; /* the engine says what is wrong with it */
    while (p < l->end && (*p == ' ' || *p == '\t' || *p == '\f'))
        p++;
    if (p < l->end && *p == '\r')
        p++;
    if (p == l->end && !l->complete)
        return SQL_INSERT_MORE;
    if (p < l->end && *p == '\n')
        p++;
    head->data_at = (size_t)(p - text);
    return SQL_INSERT_DATA;
}

enum sql_insert sql_scan_insert(const char *text, size_t bytes, bool complete, struct sql_insert_head *head)
{
    struct lexer l = {.at = text, .end = text + bytes, .complete = complete};
    struct token t = next_token(&l);
    int depth = 0;

    if (t.kind == TOKEN_PARTIAL)
        return SQL_INSERT_MORE;
    if (!is_word(&t, "insert"))
        return SQL_INSERT_NO;
    for (t = skip_target(&l); t.kind != TOKEN_END; t = next_token(&l)) {
        if (t.kind == TOKEN_PARTIAL)
            return SQL_INSERT_MORE;
        if (t.kind == TOKEN_OPEN)
            depth++;
        else if (t.kind == TOKEN_CLOSE)
            depth--;
        if (depth > 0)
            continue;
        if (is_sign(&t, ';') || is_word(&t, "select") || is_word(&t, "with") || is_word(&t, "watch"))
            return SQL_INSERT_NO;
        if (is_word(&t, "from")) {
            t = next_token(&l);
            if (t.kind == TOKEN_PARTIAL)
                return SQL_INSERT_MORE;
            return is_word(&t, "infile") ? SQL_INSERT_INFILE : SQL_INSERT_NO;
        }
        head->statement_bytes = (size_t)(t.start - text);
        if (is_word(&t, "format"))
            return data_after_format(&l, text, head);
        if (is_word(&t, "values")) {
            memcpy(head->format, "Values", sizeof "Values");
            head->data_at = (size_t)(l.at - text);
            return SQL_INSERT_DATA;
        }
    }
    return SQL_INSERT_NO;
}

void sql_describe(const char *text, size_t bytes, struct sql_shape *shape)
{
    struct lexer l = {.at = text, .end = text + bytes, .complete = true};
    struct token t, before = {.kind = TOKEN_END};
    int depth = 0, tokens = 0;
    bool first_is_word = false;

    *shape = (struct sql_shape){.empty = true};
    for (t = next_token(&l); t.kind != TOKEN_END; before = t, t = next_token(&l)) {
        if (is_sign(&t, ';'))
            continue;
        shape->empty = false;
        if (tokens++ == 0) {
            first_is_word = t.kind == TOKEN_WORD;
            shape->set_or_use = is_word(&t, "set") || is_word(&t, "use");
        }
        if (t.kind == TOKEN_OPEN)
            depth++;
        else if (t.kind == TOKEN_CLOSE)
            depth--;
        if (depth > 0)
            continue;
        if (is_word(&before, "format") && t.kind == TOKEN_WORD)
            (void)copy_name(&t, shape->format); /* a name too long is no format's: the engine says so */
        if (is_word(&before, "into") && is_word(&t, "outfile"))
            shape->into_outfile = true;
    }
    shape->lone_word = tokens == 1 && first_is_word;
}
