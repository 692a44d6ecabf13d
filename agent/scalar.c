/*
 * scalar.c - single values of ClickHouse types; see scalar.h.
 */
#include "agent/scalar.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define NUMBER_TEXT_MAX    64
#define DECIMAL_DIGITS_MAX 38

/* ---- types ---- */

/* "Decimal(P, S)" of at most 38 digits, as ClickHouse prints it. */
static bool decimal_type(WhSlice name, ScalarType *type)
{
    char copy[32], printed[32];
    unsigned precision, scale;

    if (name.size >= sizeof copy)
        return false;
    memcpy(copy, name.data, name.size);
    copy[name.size] = '\0';
    if (sscanf(copy, "Decimal(%2u, %2u)", &precision, &scale) != 2)
        return false;
    (void)snprintf(printed, sizeof printed, "Decimal(%u, %u)", precision, scale);
    if (strcmp(printed, copy) != 0 || precision < 1 || precision > DECIMAL_DIGITS_MAX || scale > precision)
        return false;
    *type = (ScalarType){.kind = SCALAR_DECIMAL,
                         .width = precision <= 9    ? 4
                                  : precision <= 18 ? 8
                                                    : 16,
                         .scale = (uint8_t)scale};
    return true;
}

bool scalar_type(WhSlice name, ScalarType *type)
{
    static const struct {
        const char *name;
        ScalarType type;
    } known[] = {
        {"Bool", {SCALAR_BOOL, 1, true, 0}},      {"Int8", {SCALAR_INTEGER, 1, false, 0}},
        {"Int16", {SCALAR_INTEGER, 2, false, 0}}, {"Int32", {SCALAR_INTEGER, 4, false, 0}},
        {"Int64", {SCALAR_INTEGER, 8, false, 0}}, {"UInt8", {SCALAR_INTEGER, 1, true, 0}},
        {"UInt16", {SCALAR_INTEGER, 2, true, 0}}, {"UInt32", {SCALAR_INTEGER, 4, true, 0}},
        {"UInt64", {SCALAR_INTEGER, 8, true, 0}}, {"Float32", {SCALAR_FLOAT, 4, false, 0}},
        {"Float64", {SCALAR_FLOAT, 8, false, 0}}, {"Date32", {SCALAR_DATE, 4, false, 0}},
        {"UUID", {SCALAR_UUID, 16, true, 0}},     {"DateTime64(6, 'UTC')", {SCALAR_TIME, 8, false, 0}},
        {"String", {SCALAR_TEXT, 0, false, 0}},
    };

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (wh_slice_equals(name, known[i].name)) {
            *type = known[i].type;
            return true;
        }
    }
    return decimal_type(name, type);
}

/* ---- texts ---- */

/* false: more digits than a number here has. */
static bool append_digit(ScalarNumber *number, unsigned *digits, int digit)
{
    if (*digits == DECIMAL_DIGITS_MAX)
        return false;
    *number = *number * 10 + digit;
    *digits += *number != 0;
    return true;
}

/* Digits with at most scale of them after a point, times 10^scale. */
static bool parse_decimal(const char *text, unsigned scale, ScalarNumber *number)
{
    bool negative = *text == '-';
    unsigned digits = 0, after_point = 0;
    bool point = false;

    *number = 0;
    text += *text == '-' || *text == '+';
    for (; *text; text++) {
        if (*text == '.' && !point) {
            point = true;
            continue;
        }
        if (*text < '0' || *text > '9' || (point && ++after_point > scale) ||
            !append_digit(number, &digits, *text - '0'))
            return false;
    }
    if (*(text - 1) < '0' || *(text - 1) > '9')
        return false;
    for (; after_point < scale; after_point++)
        if (!append_digit(number, &digits, 0))
            return false;
    if (negative)
        *number = -*number;
    return true;
}

static bool fits(const ScalarType *type, ScalarNumber number)
{
    ScalarNumber one = 1;
    unsigned bits = type->width * 8u;

    if (type->kind == SCALAR_DECIMAL)
        bits = type->width == 16 ? 127 : bits;
    if (type->is_unsigned)
        return number >= 0 && number < one << bits;
    return bits >= 127 || (number >= -(one << (bits - 1)) && number < one << (bits - 1));
}

/* "YYYY-MM-DD", and "YYYY-MM-DD hh:mm:ss[.ffffff]" where time is wanted, in UTC, to microseconds. */
static bool parse_time(const char *text, bool wants_time, ScalarNumber *microseconds)
{
    struct tm tm = {0};
    const char *rest = strptime(text, "%Y-%m-%d", &tm);
    struct tm asked;
    int64_t fraction = 0;
    int64_t unit = 100000;
    time_t seconds;

    if (rest && wants_time && (*rest == ' ' || *rest == 'T')) {
        rest = strptime(rest + 1, "%H:%M:%S", &tm);
        if (rest && *rest == '.')
            for (rest++; *rest >= '0' && *rest <= '9' && unit > 0; unit /= 10)
                fraction += (*rest++ - '0') * unit;
    }
    if (rest == NULL || *rest)
        return false;
    asked = tm;
    seconds = timegm(&tm);
    if (tm.tm_mday != asked.tm_mday || tm.tm_mon != asked.tm_mon)
        return false; /* 30 February */
    *microseconds = (ScalarNumber)seconds * 1000000 + fraction;
    return true;
}

/* A UUID is ordered as its text; the sign bit is turned, as numbers here are signed. */
static ScalarNumber uuid_number(uint64_t high, uint64_t low)
{
    return (ScalarNumber)((Version)(high ^ (UINT64_C(1) << 63)) << 64 | low);
}

static bool parse_uuid(const char *text, ScalarNumber *number)
{
    uint64_t halves[2] = {0, 0};
    unsigned digits = 0;

    for (size_t i = 0; text[i]; i++) {
        char c = text[i];
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A' + 10)
                                                : 16;
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;

        if (i >= 36 || dash != (c == '-') || (!dash && digit == 16))
            return false;
        if (dash)
            continue;
        halves[digits / 16] = halves[digits / 16] << 4 | digit;
        digits++;
    }
    *number = uuid_number(halves[0], halves[1]);
    return digits == 32;
}

static bool parse_float(const char *text, double *real)
{
    char *end;

    errno = 0;
    *real = strtod(text, &end);
    return end != text && *end == '\0' && errno == 0;
}

const char *scalar_parse(const ScalarType *type, WhSlice text, ScalarValue *value)
{
    char copy[NUMBER_TEXT_MAX];

    *value = (ScalarValue){.text = text};
    if (type->kind == SCALAR_TEXT)
        return NULL;
    copy[0] = '\0';
    if (text.size < sizeof copy) {
        memcpy(copy, text.data, text.size);
        copy[text.size] = '\0';
    }
    if (strlen(copy) != text.size)
        copy[0] = '\0';
    switch (type->kind) {
    case SCALAR_BOOL:
        value->number = strcmp(copy, "true") == 0;
        return value->number || strcmp(copy, "false") == 0 ? NULL : "true or false";
    case SCALAR_INTEGER:
        return copy[0] && parse_decimal(copy, 0, &value->number) && fits(type, value->number)
                   ? NULL
                   : "a whole number that it can hold";
    case SCALAR_DECIMAL:
        return copy[0] && parse_decimal(copy, type->scale, &value->number) && fits(type, value->number)
                   ? NULL
                   : "a number with no more decimals than it has";
    case SCALAR_DATE:
        if (!copy[0] || !parse_time(copy, false, &value->number))
            return "a date as '2026-01-31'";
        value->number /= (ScalarNumber)86400 * 1000000;
        return NULL;
    case SCALAR_TIME:
        return copy[0] && parse_time(copy, true, &value->number) ? NULL
                                                                 : "a time in UTC as '2026-01-31 12:00:00'";
    case SCALAR_UUID:
        return parse_uuid(copy, &value->number) ? NULL : "a UUID";
    default:
        if (!parse_float(copy, &value->real))
            return "a number";
        if (type->width == 4)
            value->real = (double)(float)value->real;
        return NULL;
    }
}

/* ---- bytes ---- */

static uint64_t load(const uint8_t *bytes, unsigned width)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < width; i++)
        value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

static ScalarNumber read_number(const ScalarType *type, const uint8_t *bytes)
{
    uint64_t low;
    unsigned unused_bits = 64u - type->width * 8u;

    if (type->kind == SCALAR_UUID)
        return uuid_number(load(bytes, 8), load(bytes + 8, 8));
    if (type->width == 16)
        return (ScalarNumber)((Version)load(bytes + 8, 8) << 64 | load(bytes, 8));
    low = load(bytes, type->width);
    return type->is_unsigned ? (ScalarNumber)low
                             : (ScalarNumber)((int64_t)(low << unused_bits) >> unused_bits);
}

static double read_float(const ScalarType *type, const uint8_t *bytes)
{
    uint64_t bits = load(bytes, type->width);
    uint32_t half = (uint32_t)bits;
    double real;
    float single;

    if (type->width == 8) {
        memcpy(&real, &bits, sizeof real);
        return real;
    }
    memcpy(&single, &half, sizeof single);
    return (double)single;
}

ScalarValue scalar_read(const ScalarType *type, WhSlice bytes)
{
    WhReader r = wh_reader(bytes.data, bytes.size);
    ScalarValue value = {0};

    if (type->kind == SCALAR_TEXT)
        value.text = wh_get_str(&r, SIZE_MAX);
    else if (type->kind == SCALAR_FLOAT)
        value.real = read_float(type, bytes.data);
    else
        value.number = read_number(type, bytes.data);
    return value;
}

static void put_number(WhWriter *w, const ScalarType *type, ScalarNumber number)
{
    Version bits = (Version)number;

    if (type->kind == SCALAR_UUID) {
        wh_put_u64(w, (uint64_t)(bits >> 64) ^ (UINT64_C(1) << 63));
        wh_put_u64(w, (uint64_t)bits);
        return;
    }
    for (unsigned i = 0; i < type->width; i++)
        wh_put_u8(w, (uint8_t)(bits >> (8 * i)));
}

static void put_float(WhWriter *w, const ScalarType *type, double real)
{
    float single = (float)real;
    uint64_t bits;
    uint32_t half;

    memcpy(&bits, &real, sizeof bits);
    memcpy(&half, &single, sizeof half);
    if (type->width == 8)
        wh_put_u64(w, bits);
    else
        wh_put_u32(w, half);
}

void scalar_put(WhWriter *w, const ScalarType *type, const ScalarValue *value)
{
    if (type->kind == SCALAR_TEXT)
        wh_put_str(w, value->text.data, value->text.size);
    else if (type->kind == SCALAR_FLOAT)
        put_float(w, type, value->real);
    else
        put_number(w, type, value->number);
}

static int compare_texts(WhSlice a, WhSlice b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common > 0 ? memcmp(a.data, b.data, common) : 0;

    return order ? order : (a.size > b.size) - (a.size < b.size);
}

int scalar_compare(const ScalarType *type, const ScalarValue *a, const ScalarValue *b, bool *unordered)
{
    *unordered = false;
    if (type->kind == SCALAR_TEXT)
        return compare_texts(a->text, b->text);
    if (type->kind == SCALAR_FLOAT) {
        *unordered = isnan(a->real) || isnan(b->real);
        return (a->real > b->real) - (a->real < b->real);
    }
    return (a->number > b->number) - (a->number < b->number);
}
