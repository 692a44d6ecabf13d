/*
 * filter.c - the condition on a table's rows; see filter.h.
 *
 * Nodes lie in one array, operands before what connects them. Literals are parsed once, in the type of their
 * column.
 */
#include "agent/filter.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

#include "agent/scalar.h"

typedef enum NodeKind { NODE_OR, NODE_AND, NODE_NOT, NODE_COMPARE, NODE_IS_NULL } NodeKind;

typedef enum Comparison { EQUAL, NOT_EQUAL, LESS, LESS_EQUAL, GREATER, GREATER_EQUAL } Comparison;

/* What a condition is, of a row. */
typedef enum Truth { FALSE, TRUE, UNKNOWN } Truth;

typedef struct Node {
    NodeKind kind;
    size_t left, right; /* of OR, AND; NOT has left */
    uint32_t column;
    bool nullable;
    ScalarType type;
    Comparison comparison;
    ScalarValue literal;
} Node;

struct Filter {
    char *text; /* literals borrow from it */
    Node *nodes;
    size_t count;
    size_t root;
};

typedef enum TokenKind { TOKEN_END, TOKEN_WORD, TOKEN_NAME, TOKEN_TEXT, TOKEN_NUMBER, TOKEN_SIGN } TokenKind;

typedef struct Token {
    TokenKind kind;
    WhSlice text; /* without quotes */
} Token;

typedef struct Parser {
    Filter *filter;
    const WhSchema *schema;
    FilterResolve resolve;
    void *context;
    char *at;
    Token token; /* the next one */
    unsigned depth;
    Error *error;
} Parser;

/* ---- tokens ---- */

static bool fail_at(Parser *p, const char *expected)
{
    if (p->token.kind == TOKEN_END)
        (void)status_fail(p->error, STATUS_FATAL, "the condition ends where %s should follow", expected);
    else
        (void)status_fail(p->error, STATUS_FATAL, "%s should stand where \"%.*s\" does", expected,
                          (int)(p->token.text.size < 60 ? p->token.text.size : 60),
                          (const char *)p->token.text.data);
    return false;
}

/* A text in quotes of this kind, with doubled ones made single in place. */
static bool quoted(Parser *p, char quote, TokenKind kind)
{
    char *from = p->at + 1;
    char *to = from;
    char *start = from;
    bool closed = false;

    for (; *from && !closed; from++) {
        closed = *from == quote && from[1] != quote;
        from += *from == quote && !closed;
        if (!closed)
            *to++ = *from;
    }
    if (!closed) {
        (void)status_fail(p->error, STATUS_FATAL, "a %c is not closed", quote);
        return false;
    }
    p->at = from;
    p->token = (Token){kind, {(const uint8_t *)start, (size_t)(to - start)}};
    return true;
}

static bool is_word_byte(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '$' || (unsigned char)c >= 0x80;
}

/* Moves to the next token. */
static bool next(Parser *p)
{
    char *start;

    while (isspace((unsigned char)*p->at))
        p->at++;
    start = p->at;
    if (*start == '\0') {
        p->token = (Token){TOKEN_END, {(const uint8_t *)start, 0}};
        return true;
    }
    if (*start == '\'' || *start == '"')
        return quoted(p, *start, *start == '"' ? TOKEN_NAME : TOKEN_TEXT);
    if (isdigit((unsigned char)*start) || *start == '-' || *start == '+' || *start == '.') {
        for (p->at++; is_word_byte(*p->at) || *p->at == '.' ||
                      ((*p->at == '-' || *p->at == '+') && (p->at[-1] == 'e' || p->at[-1] == 'E'));
             p->at++)
            ;
        p->token.kind = TOKEN_NUMBER;
    } else if (is_word_byte(*start)) {
        while (is_word_byte(*p->at))
            p->at++;
        p->token.kind = TOKEN_WORD;
    } else {
        p->at += strchr("<>!", *start) && strchr("=>", start[1]) && start[1] ? 2 : 1;
        p->token.kind = TOKEN_SIGN;
    }
    p->token.text = (WhSlice){(const uint8_t *)start, (size_t)(p->at - start)};
    return true;
}

static bool is_word(const Token *token, const char *word)
{
    return token->kind == TOKEN_WORD && token->text.size == strlen(word) &&
           strncasecmp((const char *)token->text.data, word, token->text.size) == 0;
}

static bool is_sign(const Token *token, const char *sign)
{
    return token->kind == TOKEN_SIGN && wh_slice_equals(token->text, sign);
}

/* ---- nodes ---- */

static bool add_node(Parser *p, const Node *node, size_t *index)
{
    Filter *filter = p->filter;
    Node *nodes;

    if (filter->count == FILTER_NODES_MAX) {
        (void)status_fail(p->error, STATUS_FATAL, "the condition has more than %d parts", FILTER_NODES_MAX);
        return false;
    }
    nodes = realloc(filter->nodes, (filter->count + 1) * sizeof *nodes);
    if (nodes == NULL) {
        (void)status_fail(p->error, STATUS_FATAL, "out of memory");
        return false;
    }
    filter->nodes = nodes;
    *index = filter->count;
    filter->nodes[filter->count++] = *node;
    return true;
}

static bool connect(Parser *p, NodeKind kind, size_t left, size_t right, size_t *index)
{
    return add_node(p, &(Node){.kind = kind, .left = left, .right = right}, index);
}

/* Column and type of a comparison from the name that comes next. */
static bool parse_column(Parser *p, Node *node, WhSlice *name)
{
    const WhColumn *column;

    if (p->token.kind != TOKEN_WORD && p->token.kind != TOKEN_NAME)
        return fail_at(p, "a column");
    *name = p->token.text;
    if (!p->resolve(p->context, *name, &node->column, p->error))
        return false;
    if (node->column == FILTER_NO_COLUMN)
        return next(p);
    column = &p->schema->columns[node->column];
    node->nullable = column->nullable;
    if (!scalar_type(column->clickhouse_type, &node->type)) {
        (void)status_fail(p->error, STATUS_FATAL, "column %.*s is %.*s, which a filter cannot compare",
                          (int)name->size, (const char *)name->data, (int)column->clickhouse_type.size,
                          (const char *)column->clickhouse_type.data);
        return false;
    }
    return next(p);
}

static bool parse_literal(Parser *p, Node *node, WhSlice name)
{
    const char *wanted;

    if (p->token.kind != TOKEN_TEXT && p->token.kind != TOKEN_NUMBER && !is_word(&p->token, "true") &&
        !is_word(&p->token, "false"))
        return fail_at(p, "a number, a 'text', true or false");
    wanted =
        node->column == FILTER_NO_COLUMN ? NULL : scalar_parse(&node->type, p->token.text, &node->literal);
    if (wanted) {
        (void)status_fail(p->error, STATUS_FATAL, "column %.*s takes %s, not %.*s", (int)name.size,
                          (const char *)name.data, wanted,
                          (int)(p->token.text.size < 60 ? p->token.text.size : 60),
                          (const char *)p->token.text.data);
        return false;
    }
    return next(p);
}

static bool parse_sign(Parser *p, Comparison *comparison)
{
    static const struct {
        const char *sign;
        Comparison comparison;
    } signs[] = {{"=", EQUAL},       {"<>", NOT_EQUAL}, {"!=", NOT_EQUAL},    {"<", LESS},
                 {"<=", LESS_EQUAL}, {">", GREATER},    {">=", GREATER_EQUAL}};

    for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++) {
        if (is_sign(&p->token, signs[i].sign)) {
            *comparison = signs[i].comparison;
            return next(p);
        }
    }
    return fail_at(p, "a comparison, is or in");
}

/* "(" literal, literal ")": one of them is equal. */
static bool parse_list(Parser *p, Node *node, WhSlice name, size_t *index)
{
    bool first = true;
    size_t other;

    if (!is_sign(&p->token, "("))
        return fail_at(p, "(");
    node->kind = NODE_COMPARE;
    node->comparison = EQUAL;
    do {
        if (!next(p) || !parse_literal(p, node, name) || !add_node(p, node, &other))
            return false;
        if (!first && !connect(p, NODE_OR, *index, other, &other))
            return false;
        *index = other;
        first = false;
    } while (is_sign(&p->token, ","));
    return is_sign(&p->token, ")") ? next(p) : fail_at(p, ")");
}

static bool parse_comparison(Parser *p, size_t *index)
{
    Node node = {.kind = NODE_COMPARE};
    bool negated = false;
    WhSlice name;

    if (!parse_column(p, &node, &name))
        return false;
    if (is_word(&p->token, "is")) {
        node.kind = NODE_IS_NULL;
        if (!next(p))
            return false;
        negated = is_word(&p->token, "not");
        if (negated && !next(p))
            return false;
        if (!is_word(&p->token, "null"))
            return fail_at(p, "null");
        return next(p) && add_node(p, &node, index) && (!negated || connect(p, NODE_NOT, *index, 0, index));
    }
    negated = is_word(&p->token, "not");
    if (negated && !next(p))
        return false;
    if (is_word(&p->token, "in"))
        return next(p) && parse_list(p, &node, name, index) &&
               (!negated || connect(p, NODE_NOT, *index, 0, index));
    if (negated)
        return fail_at(p, "in");
    return parse_sign(p, &node.comparison) && parse_literal(p, &node, name) && add_node(p, &node, index);
}

static bool parse_condition(Parser *p, size_t *index);

static bool parse_factor(Parser *p, size_t *index)
{
    bool negated = is_word(&p->token, "not");
    bool ok;

    if (negated && !next(p))
        return false;
    if (!is_sign(&p->token, "(")) {
        ok = parse_comparison(p, index);
    } else if (++p->depth > FILTER_DEPTH_MAX) {
        (void)status_fail(p->error, STATUS_FATAL, "more than %d parentheses in each other", FILTER_DEPTH_MAX);
        return false;
    } else {
        ok = next(p) && parse_condition(p, index);
        if (ok)
            ok = is_sign(&p->token, ")") ? next(p) : fail_at(p, "and, or or )");
        p->depth--;
    }
    return ok && (!negated || connect(p, NODE_NOT, *index, 0, index));
}

static bool parse_term(Parser *p, size_t *index)
{
    size_t right;

    if (!parse_factor(p, index))
        return false;
    while (is_word(&p->token, "and"))
        if (!next(p) || !parse_factor(p, &right) || !connect(p, NODE_AND, *index, right, index))
            return false;
    return true;
}

static bool parse_condition(Parser *p, size_t *index)
{
    size_t right;

    if (!parse_term(p, index))
        return false;
    while (is_word(&p->token, "or"))
        if (!next(p) || !parse_term(p, &right) || !connect(p, NODE_OR, *index, right, index))
            return false;
    return true;
}

Filter *filter_compile(const char *text, const WhSchema *schema, FilterResolve resolve, void *context,
                       Error *error)
{
    Filter *filter = calloc(1, sizeof *filter);
    Parser p = {.filter = filter, .schema = schema, .resolve = resolve, .context = context, .error = error};

    if (filter)
        filter->text = strdup(text);
    if (filter == NULL || filter->text == NULL) {
        (void)status_fail(error, STATUS_FATAL, "out of memory");
        filter_free(filter);
        return NULL;
    }
    p.at = filter->text;
    if (next(&p) && parse_condition(&p, &filter->root) &&
        (p.token.kind == TOKEN_END || fail_at(&p, "and, or or the end")))
        return filter;
    filter_free(filter);
    return NULL;
}

void filter_free(Filter *filter)
{
    if (filter == NULL)
        return;
    free(filter->text);
    free(filter->nodes);
    free(filter);
}

/* ---- rows ---- */

/* The value without its NULL byte; false: NULL. */
static bool take_value(const Node *node, const WhSlice *values, WhSlice *value)
{
    if (node->column == FILTER_NO_COLUMN)
        return false;
    *value = values[node->column];
    if (!node->nullable)
        return true;
    if (value->data[0])
        return false;
    value->data++;
    value->size--;
    return true;
}

static Truth compare(const Node *node, const WhSlice *values)
{
    bool unordered;
    WhSlice bytes;
    ScalarValue value;
    int order;

    if (!take_value(node, values, &bytes))
        return UNKNOWN;
    value = scalar_read(&node->type, bytes);
    order = scalar_compare(&node->type, &value, &node->literal, &unordered);
    if (unordered)
        return node->comparison == NOT_EQUAL ? TRUE : FALSE;
    switch (node->comparison) {
    case EQUAL:
        return order == 0 ? TRUE : FALSE;
    case NOT_EQUAL:
        return order != 0 ? TRUE : FALSE;
    case LESS:
        return order < 0 ? TRUE : FALSE;
    case LESS_EQUAL:
        return order <= 0 ? TRUE : FALSE;
    case GREATER:
        return order > 0 ? TRUE : FALSE;
    default:
        return order >= 0 ? TRUE : FALSE;
    }
}

/* Chains of and, or go to the left; the recursion is bounded by FILTER_NODES_MAX. */
static Truth evaluate(const Filter *filter, size_t index, const WhSlice *values)
{
    const Node *node = &filter->nodes[index];
    WhSlice unused;
    Truth left, right, decisive;

    if (node->kind == NODE_COMPARE)
        return compare(node, values);
    if (node->kind == NODE_IS_NULL)
        return take_value(node, values, &unused) ? FALSE : TRUE;
    left = evaluate(filter, node->left, values);
    if (node->kind == NODE_NOT)
        return left == UNKNOWN ? UNKNOWN : left == TRUE ? FALSE : TRUE;
    decisive = node->kind == NODE_OR ? TRUE : FALSE;
    if (left == decisive)
        return left;
    right = evaluate(filter, node->right, values);
    return right == decisive || left != UNKNOWN ? right : UNKNOWN;
}

bool filter_matches(const Filter *filter, const WhSlice *values)
{
    return evaluate(filter, filter->root, values) == TRUE;
}

bool filter_reads(const Filter *filter, uint32_t column)
{
    for (size_t i = 0; i < filter->count; i++)
        if (filter->nodes[i].kind >= NODE_COMPARE && filter->nodes[i].column == column)
            return true;
    return false;
}
