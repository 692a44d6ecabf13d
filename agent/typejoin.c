/*
 * typejoin.c - the type that holds all values of two types; see typejoin.h.
 */
#include "agent/typejoin.h"

#include <stdio.h>
#include <string.h>

#define DECIMAL_DIGITS_MAX 76

typedef struct Slice {
    const char *data;
    size_t size;
} Slice;

/* Nullable(T) without its Nullable(). */
static Slice strip_nullable(const char *type, bool *nullable)
{
    static const char before[] = "Nullable(";
    size_t size = strlen(type);

    *nullable = strncmp(type, before, sizeof before - 1) == 0 && type[size - 1] == ')';
    return *nullable ? (Slice){type + sizeof before - 1, size - sizeof before} : (Slice){type, size};
}

static bool is(Slice type, const char *name)
{
    return type.size == strlen(name) && memcmp(type.data, name, type.size) == 0;
}

static bool same(Slice a, Slice b)
{
    return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

/* Digits of the largest value; 0: no integer. */
static unsigned integer_digits(Slice type)
{
    return is(type, "Int16") ? 5 : is(type, "Int32") ? 10 : is(type, "Int64") ? 19 : 0;
}

/* Digits before and after the point; integers are decimals without a fraction here. */
static bool decimal_digits(Slice type, unsigned *whole, unsigned *fraction)
{
    char text[32];
    unsigned precision;
    int end = 0;

    *fraction = 0;
    *whole = integer_digits(type);
    if (*whole > 0)
        return true;
    if (type.size >= sizeof text)
        return false;
    memcpy(text, type.data, type.size);
    text[type.size] = '\0';
    if (sscanf(text, "Decimal(%u, %u)%n", &precision, fraction, &end) != 2 || (size_t)end != type.size ||
        *fraction > precision)
        return false;
    *whole = precision - *fraction;
    return true;
}

static bool join_decimals(Text *joined, Slice a, Slice b)
{
    unsigned whole_a, fraction_a, whole_b, fraction_b, whole, fraction;

    if (!decimal_digits(a, &whole_a, &fraction_a) || !decimal_digits(b, &whole_b, &fraction_b))
        return false;
    whole = whole_a > whole_b ? whole_a : whole_b;
    fraction = fraction_a > fraction_b ? fraction_a : fraction_b;
    if (whole + fraction > DECIMAL_DIGITS_MAX)
        return false;
    if (integer_digits(a) && integer_digits(b))
        text_appendf(joined, "%.*s", (int)(whole_a > whole_b ? a : b).size, (whole_a > whole_b ? a : b).data);
    else
        text_appendf(joined, "Decimal(%u, %u)", whole + fraction, fraction);
    return true;
}

/* Array(T) and Variant(Array(T), String): an array column that has become nullable, or is no longer. */
static bool is_array_and_variant(Slice array, Slice variant)
{
    static const char before[] = "Variant(";
    static const char after[] = ", String)";

    return array.size > 6 && memcmp(array.data, "Array(", 6) == 0 &&
           variant.size == sizeof before - 1 + array.size + sizeof after - 1 &&
           memcmp(variant.data, before, sizeof before - 1) == 0 &&
           memcmp(variant.data + sizeof before - 1, array.data, array.size) == 0 &&
           memcmp(variant.data + variant.size - (sizeof after - 1), after, sizeof after - 1) == 0;
}

static bool has_same_text(Slice type)
{
    return integer_digits(type) > 0 || is(type, "UInt32") || is(type, "UInt64") || is(type, "UUID") ||
           is(type, "Date32");
}

static bool join_bare(Text *joined, Slice a, Slice b)
{
    if (same(a, b) || is_array_and_variant(b, a) || (is(a, "Float64") && is(b, "Float32")) ||
        (is(a, "UInt64") && is(b, "UInt32")) || (is(a, "String") && has_same_text(b)))
        text_append(joined, a.data, a.size);
    else if (is_array_and_variant(a, b) || (is(b, "Float64") && is(a, "Float32")) ||
             (is(b, "UInt64") && is(a, "UInt32")) || (is(b, "String") && has_same_text(a)))
        text_append(joined, b.data, b.size);
    else
        return join_decimals(joined, a, b);
    return true;
}

bool type_join(Text *joined, const char *a, const char *b)
{
    bool a_nullable, b_nullable;
    Slice a_bare = strip_nullable(a, &a_nullable);
    Slice b_bare = strip_nullable(b, &b_nullable);
    bool ok;

    if (a_nullable || b_nullable)
        text_appendf(joined, "Nullable(");
    ok = join_bare(joined, a_bare, b_bare);
    if (a_nullable || b_nullable)
        text_append(joined, ")", 1);
    return ok && !joined->failed;
}
