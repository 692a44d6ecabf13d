/*
 * wire.c - the bounded reader and writer under every Walhouse byte format; see wire.h.
 */
#include "wire.h"

WhReader wh_reader(const void *data, size_t size)
{
    WhReader r = {.data = data, .size = size};

    return r;
}

void wh_reader_fail(WhReader *r, const char *error)
{
    if (r->error)
        return;
    r->error = error;
    r->error_offset = r->offset;
}

WhSlice wh_get_bytes(WhReader *r, uint64_t size)
{
    WhSlice slice = {0};

    if (r->error)
        return slice;
    if (size > r->size - r->offset) {
        wh_reader_fail(r, "the bytes end too early");
        return slice;
    }
    slice.data = r->data + r->offset;
    slice.size = (size_t)size;
    r->offset += (size_t)size;
    return slice;
}

static uint64_t get_little_endian(WhReader *r, size_t size)
{
    WhSlice slice = wh_get_bytes(r, size);
    uint64_t value = 0;

    for (size_t i = 0; i < slice.size; i++)
        value |= (uint64_t)slice.data[i] << (8 * i);
    return value;
}

uint8_t wh_get_u8(WhReader *r)
{
    return (uint8_t)get_little_endian(r, 1);
}

uint16_t wh_get_u16(WhReader *r)
{
    return (uint16_t)get_little_endian(r, 2);
}

uint32_t wh_get_u32(WhReader *r)
{
    return (uint32_t)get_little_endian(r, 4);
}

uint64_t wh_get_u64(WhReader *r)
{
    return get_little_endian(r, 8);
}

uint64_t wh_get_varint(WhReader *r)
{
    uint64_t value = 0;

    for (int i = 0; i < WH_VARINT_BYTES_MAX; i++) {
        uint8_t byte = wh_get_u8(r);

        if (r->error)
            return 0;
        /* The tenth byte has room for one bit; a last byte of 0 means that a shorter form existed. */
        if ((i == WH_VARINT_BYTES_MAX - 1 && byte > 1) || (i > 0 && byte == 0)) {
            wh_reader_fail(r, "a varint is too long");
            return 0;
        }
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80)
            return value;
    }
    wh_reader_fail(r, "a varint is too long");
    return 0;
}

WhSlice wh_get_str(WhReader *r, size_t max_size)
{
    uint64_t size = wh_get_varint(r);

    if (size > max_size) {
        wh_reader_fail(r, "a text is longer than allowed");
        size = 0;
    }
    return wh_get_bytes(r, size);
}

void wh_get_end(WhReader *r)
{
    if (wh_reader_left(r) > 0)
        wh_reader_fail(r, "bytes are left over");
}

WhWriter wh_writer(void *data, size_t capacity)
{
    WhWriter w = {.data = data, .capacity = capacity};

    return w;
}

void wh_put_bytes(WhWriter *w, const void *data, size_t size)
{
    if (w->full || size > w->capacity - w->length) {
        w->full = true;
        return;
    }
    if (size > 0)
        memcpy(w->data + w->length, data, size);
    w->length += size;
}

static void put_little_endian(WhWriter *w, uint64_t value, size_t size)
{
    uint8_t bytes[8];

    wh_store_u64(bytes, value);
    wh_put_bytes(w, bytes, size);
}

void wh_put_u8(WhWriter *w, uint8_t value)
{
    put_little_endian(w, value, 1);
}

void wh_put_u16(WhWriter *w, uint16_t value)
{
    put_little_endian(w, value, 2);
}

void wh_put_u32(WhWriter *w, uint32_t value)
{
    put_little_endian(w, value, 4);
}

void wh_put_u64(WhWriter *w, uint64_t value)
{
    put_little_endian(w, value, 8);
}

void wh_put_varint(WhWriter *w, uint64_t value)
{
    uint8_t bytes[WH_VARINT_BYTES_MAX];

    wh_put_bytes(w, bytes, (size_t)(wh_store_varint(bytes, value) - bytes));
}

void wh_put_str(WhWriter *w, const void *data, size_t size)
{
    wh_put_varint(w, size);
    wh_put_bytes(w, data, size);
}

bool wh_slice_equals(WhSlice slice, const char *text)
{
    return slice.size == strlen(text) && memcmp(slice.data, text, slice.size) == 0;
}
