/*
 * expression.c - ClickHouse expressions in the configuration; see expression.h.
 */
#include "agent/expression.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define DEPTH_MAX 64

typedef enum PieceKind { PIECE_END, PIECE_NAME, PIECE_TEXT, PIECE_NUMBER, PIECE_SIGN } PieceKind;

typedef struct Piece {
    PieceKind kind;
    WhSlice text; /* quotes included */
    WhSlice name; /* without them */
} Piece;

typedef struct Scanner {
    const char *at;
    char open[DEPTH_MAX]; /* what closes each parenthesis */
    unsigned depth;
    Error *error;
} Scanner;

static bool is_name_byte(char c)
{
    return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

/* Backslashes and doubled quotes are taken as ClickHouse does. */
static bool scan_quoted(Scanner *s, char quote)
{
    for (s->at++; *s->at; s->at++) {
        if (*s->at == '\\' && s->at[1])
            s->at++;
        else if (*s->at == quote && s->at[1] == quote)
            s->at++;
        else if (*s->at == quote)
            return s->at++, true;
    }
    (void)status_fail(s->error, STATUS_FATAL, "a %c is not closed", quote);
    return false;
}

/* Parentheses close what they opened. */
static bool scan_sign(Scanner *s)
{
    char c = *s->at;

    if (c == ';' || c == '#' || (c == '-' && s->at[1] == '-') || (c == '/' && s->at[1] == '*')) {
        (void)status_fail(s->error, STATUS_FATAL, "%c%s has no place in an expression", c,
                          c == '-'   ? "-"
                          : c == '/' ? "*"
                                     : "");
        return false;
    }
    if ((c == '(' || c == '[') && s->depth < DEPTH_MAX) {
        s->open[s->depth++] = c == '(' ? ')' : ']';
    } else if (c == '(' || c == '[' || c == ')' || c == ']') {
        if (s->depth == 0 || s->depth == DEPTH_MAX || s->open[s->depth - 1] != c) {
            (void)status_fail(s->error, STATUS_FATAL, "the parentheses do not match at %.20s", s->at);
            return false;
        }
        s->depth--;
    }
    s->at++;
    return true;
}

static bool scan(Scanner *s, Piece *piece)
{
    const char *start;
    bool ok = true;
    size_t cut = 0;

    while (isspace((unsigned char)*s->at))
        s->at++;
    start = s->at;
    if (*start == '\0') {
        piece->kind = PIECE_END;
    } else if (*start == '\'') {
        piece->kind = PIECE_TEXT;
        ok = scan_quoted(s, '\'');
    } else if (*start == '`' || *start == '"') {
        piece->kind = PIECE_NAME;
        ok = scan_quoted(s, *start);
        cut = 1;
    } else if (is_name_byte(*start)) {
        piece->kind = isdigit((unsigned char)*start) ? PIECE_NUMBER : PIECE_NAME;
        while (is_name_byte(*s->at) || (piece->kind == PIECE_NUMBER && *s->at == '.'))
            s->at++;
    } else {
        piece->kind = PIECE_SIGN;
        ok = scan_sign(s);
    }
    piece->text = (WhSlice){(const uint8_t *)start, (size_t)(s->at - start)};
    piece->name = (WhSlice){piece->text.data + cut, piece->text.size - (ok ? 2 * cut : 0)};
    return ok;
}

static bool is_word(const Piece *piece, const char *word)
{
    return piece->kind == PIECE_NAME && piece->text.size == strlen(word) &&
           strncasecmp((const char *)piece->text.data, word, piece->text.size) == 0;
}

static bool is_sign(const Piece *piece, char sign)
{
    return piece->kind == PIECE_SIGN && piece->text.data[0] == (uint8_t)sign;
}

static bool is_unit(const Piece *piece)
{
    static const char *const units[] = {"SECOND", "MINUTE", "HOUR",    "DAY",
                                        "WEEK",   "MONTH",  "QUARTER", "YEAR"};

    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (is_word(piece, units[i]))
            return true;
    return false;
}

/* Is the piece a column, by what stands before and behind it? */
static bool is_column(const Piece *before, const Piece *piece, const Piece *behind)
{
    if (piece->kind != PIECE_NAME || is_sign(behind, '('))
        return false;
    return !(is_word(piece, "INTERVAL") && behind->kind == PIECE_NUMBER) &&
           !(is_unit(piece) && before->kind == PIECE_NUMBER);
}

Status expression_append(const char *expression, ExpressionColumn visit, void *context, Text *sql,
                         Error *error)
{
    Scanner s = {.at = expression, .error = error};
    Piece before = {.kind = PIECE_END};
    Piece piece, behind;
    unsigned depth = 0;
    bool ok = scan(&s, &piece);

    while (ok && piece.kind != PIECE_END) {
        unsigned next_depth = s.depth;
        bool begins = before.kind == PIECE_END || (depth == 0 && is_sign(&before, ','));

        ok = scan(&s, &behind);
        if (!ok)
            break;
        if (before.kind != PIECE_END && piece.text.data > before.text.data + before.text.size)
            text_append(sql, " ", 1);
        if (visit && is_column(&before, &piece, &behind))
            ok = visit(context, piece.name,
                       begins && (behind.kind == PIECE_END || is_sign(&behind, ',')) && depth == 0, sql,
                       error);
        else
            text_append(sql, (const char *)piece.text.data, piece.text.size);
        before = piece;
        piece = behind;
        depth = next_depth;
    }
    if (ok && s.depth > 0) {
        (void)status_fail(error, STATUS_FATAL, "a parenthesis is not closed");
        ok = false;
    }
    return ok ? STATUS_OK : STATUS_FATAL;
}
