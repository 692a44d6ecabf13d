/*
 * rowbinary.c - lengths and defaults of RowBinary values; see rowbinary.h.
 */
#include "rowbinary.h"

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

bool wh_type_parse(WhSlice name, bool nullable, WhType *type)
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

    *type = (WhType){.nullable = nullable};
    if (wh_slice_equals(name, "String")) {
        type->is_string = true;
        return true;
    }
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++)
        if (wh_slice_equals(name, fixed[i].name))
            type->width = fixed[i].width;
    if (type->width == 0)
        type->width = decimal_width(name);
    return type->width != 0;
}

WhSlice wh_type_get(WhReader *r, const WhType *type)
{
    size_t start = r->offset;

    if (type->nullable) {
        uint8_t is_null = wh_get_u8(r);

        if (is_null > 1)
            wh_reader_fail(r, "a NULL byte is neither 0 nor 1");
        if (is_null || !wh_reader_ok(r))
            return (WhSlice){r->data + start, wh_reader_ok(r) ? 1 : 0};
    }
    if (type->is_string)
        (void)wh_get_str(r, SIZE_MAX);
    else
        (void)wh_get_bytes(r, type->width);
    return (WhSlice){r->data + start, wh_reader_ok(r) ? r->offset - start : 0};
}

void wh_type_put_default(WhWriter *w, const WhType *type)
{
    static const uint8_t zeros[32];

    if (type->nullable)
        wh_put_u8(w, 1);
    else if (type->is_string)
        wh_put_u8(w, 0);
    else
        wh_put_bytes(w, zeros, type->width);
}
