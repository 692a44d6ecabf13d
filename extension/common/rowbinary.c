/*
 * rowbinary.c - lengths and defaults of RowBinary values; see rowbinary.h.
 */
#include "rowbinary.h"

/* ---- names ---- */

/* The name being parsed, and what has been made of it. */
typedef struct Parser {
    WhSlice name;
    size_t at;
    WhType *type;
    unsigned count; /* nodes used */
} Parser;

static bool parse_node(Parser *p, bool nullable_allowed);

/* Steps over text if it comes next. */
static bool take(Parser *p, const char *text)
{
    size_t size = strlen(text);

    if (p->name.size - p->at < size || memcmp(p->name.data + p->at, text, size) != 0)
        return false;
    p->at += size;
    return true;
}

/* "Decimal(P, S)": the width of P digits. 0 if it is no such type. */
static uint8_t decimal_width(WhSlice name)
{
    static const char prefix[] = "Decimal(";
    size_t at = sizeof prefix - 1;
    unsigned precision = 0;

    if (name.size <= at || memcmp(name.data, prefix, at) != 0 || name.data[name.size - 1] != ')')
        return 0;
    while (at < name.size && name.data[at] >= '0' && name.data[at] <= '9' && precision < 100)
        precision = precision * 10 + (unsigned)(name.data[at++] - '0');
    if (at >= name.size || name.data[at] != ',')
        return 0;
    if (precision < 1 || precision > 76)
        return 0;
    return precision <= 9 ? 4 : precision <= 18 ? 8 : precision <= 38 ? 16 : 32;
}

static uint8_t fixed_width(WhSlice name)
{
    static const struct {
        const char *name;
        uint8_t width;
    } fixed[] = {
        {"Bool", 1},    {"Int8", 1},
        {"Int16", 2},   {"Int32", 4},
        {"Int64", 8},   {"UInt8", 1},
        {"UInt16", 2},  {"UInt32", 4},
        {"UInt64", 8},  {"Float32", 4},
        {"Float64", 8}, {"Date32", 4},
        {"UUID", 16},   {"DateTime64(6, 'UTC')", 8},
    };

    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++)
        if (wh_slice_equals(name, fixed[i].name))
            return fixed[i].width;
    return decimal_width(name);
}

/* Up to the comma or parenthesis that ends a name inside of another one, or to the end. */
static bool parse_scalar(Parser *p, WhTypeNode *node)
{
    size_t start = p->at;
    unsigned depth = 0;
    WhSlice name;

    while (p->at < p->name.size) {
        uint8_t c = p->name.data[p->at];

        if (depth == 0 && (c == ',' || c == ')'))
            break;
        depth += c == '(';
        depth -= c == ')';
        p->at++;
    }
    name = (WhSlice){p->name.data + start, p->at - start};
    node->kind = wh_slice_equals(name, "String") ? WH_TYPE_STRING : WH_TYPE_FIXED;
    node->width = node->kind == WH_TYPE_FIXED ? fixed_width(name) : 0;
    return node->kind == WH_TYPE_STRING || node->width > 0;
}

/* Is the name of node a before that of node b, byte by byte? */
static bool name_precedes(const Parser *p, unsigned a, unsigned b)
{
    const WhTypeNode *first = &p->type->nodes[a], *second = &p->type->nodes[b];
    size_t common = first->name_size < second->name_size ? first->name_size : second->name_size;
    int order = memcmp(p->name.data + first->name_at, p->name.data + second->name_at, common);

    return order < 0 || (order == 0 && first->name_size < second->name_size);
}

/* Discriminators count the alternatives in the order of their names, so no other order is taken. */
static bool parse_alternatives(Parser *p)
{
    unsigned previous = 0;

    do {
        unsigned alternative = p->count;

        if (!parse_node(p, false) || p->type->nodes[alternative].kind == WH_TYPE_VARIANT)
            return false;
        if (previous > 0 && !name_precedes(p, previous, alternative))
            return false;
        previous = alternative;
    } while (take(p, ", "));
    return take(p, ")");
}

static bool parse_node(Parser *p, bool nullable_allowed)
{
    WhTypeNode *node;
    bool ok;

    if (p->count == WH_TYPE_NODES_MAX)
        return false;
    node = &p->type->nodes[p->count++];
    node->nullable = nullable_allowed && take(p, "Nullable(");
    node->name_at = (uint16_t)p->at;
    if (!node->nullable && take(p, "Array(")) {
        node->kind = WH_TYPE_ARRAY;
        ok = parse_node(p, true) && take(p, ")");
    } else if (!node->nullable && take(p, "Variant(")) {
        node->kind = WH_TYPE_VARIANT;
        ok = parse_alternatives(p);
    } else
        ok = parse_scalar(p, node);
    node->name_size = (uint16_t)(p->at - node->name_at);
    node->end = (uint8_t)p->count;
    return ok && (!node->nullable || take(p, ")"));
}

bool wh_type_parse(WhSlice name, bool nullable, WhType *type)
{
    Parser p = {.name = name, .type = type};
    WhTypeNode *whole = &type->nodes[0];

    *type = (WhType){0};
    if (name.size > UINT16_MAX || !parse_node(&p, false) || p.at != name.size)
        return false;
    whole->nullable = nullable;
    return !nullable || whole->kind == WH_TYPE_FIXED || whole->kind == WH_TYPE_STRING;
}

/* ---- values ---- */

unsigned wh_type_alternative(const WhType *type, unsigned node, uint8_t discriminator)
{
    unsigned end = type->nodes[node].end;
    unsigned at = node + 1;

    while (discriminator > 0 && at < end) {
        at = type->nodes[at].end;
        discriminator--;
    }
    return at < end ? at : 0;
}

/* Recursion is as deep as the type's nodes are nested. */
static void skip_value(WhReader *r, const WhType *type, unsigned at)
{
    const WhTypeNode *node = &type->nodes[at];
    uint64_t count;
    uint8_t byte;
    unsigned alternative;

    if (node->nullable) {
        byte = wh_get_u8(r);
        if (byte > 1)
            wh_reader_fail(r, "a NULL byte is neither 0 nor 1");
        if (byte)
            return;
    }
    switch ((WhTypeKind)node->kind) {
    case WH_TYPE_FIXED:
        (void)wh_get_bytes(r, node->width);
        break;
    case WH_TYPE_STRING:
        (void)wh_get_str(r, SIZE_MAX);
        break;
    case WH_TYPE_ARRAY:
        count = wh_get_varint(r);
        /* Every element is at least one byte, so this bounds the loop by the bytes that are there. */
        if (count > wh_reader_left(r))
            wh_reader_fail(r, "the bytes end too early");
        for (uint64_t i = 0; i < count && wh_reader_ok(r); i++)
            skip_value(r, type, at + 1);
        break;
    case WH_TYPE_VARIANT:
        byte = wh_get_u8(r);
        alternative = wh_type_alternative(type, at, byte);
        if (alternative)
            skip_value(r, type, alternative);
        else if (byte != WH_VARIANT_NULL)
            wh_reader_fail(r, "a Variant has no such alternative");
        break;
    }
}

WhSlice wh_type_get_node(WhReader *r, const WhType *type, unsigned node)
{
    size_t start = r->offset;

    skip_value(r, type, node);
    return (WhSlice){r->data + start, wh_reader_ok(r) ? r->offset - start : 0};
}

WhSlice wh_type_get(WhReader *r, const WhType *type)
{
    return wh_type_get_node(r, type, 0);
}

void wh_type_put_default(WhWriter *w, const WhType *type)
{
    static const uint8_t zeros[32];
    const WhTypeNode *whole = &type->nodes[0];

    if (whole->nullable)
        wh_put_u8(w, 1);
    else if (whole->kind == WH_TYPE_VARIANT)
        wh_put_u8(w, WH_VARIANT_NULL);
    else if (whole->kind == WH_TYPE_FIXED)
        wh_put_bytes(w, zeros, whole->width);
    else
        wh_put_u8(w, 0);
}
