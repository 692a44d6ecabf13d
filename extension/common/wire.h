/*
 * wire.h - the bounded reader and writer under every Walhouse byte format (docs/wire-format.md).
 *
 * Shared by the server extension, the publisher and the agent, compiled once per side: libc only, no
 * allocation, no logging, no globals. A reader hands out borrowed slices and keeps a sticky error with the
 * offset where it happened, so that callers check once; a writer keeps a sticky "full".
 */
#ifndef WALHOUSE_COMMON_WIRE_H
#define WALHOUSE_COMMON_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define WH_FORMAT_VERSION   1
#define WH_VARINT_BYTES_MAX 10

/* Bytes somebody else owns; not zero-terminated. */
typedef struct WhSlice {
    const uint8_t *data;
    size_t size;
} WhSlice;

/* Reads from [data, data + size). error is NULL while all is well, else a constant text. */
typedef struct WhReader {
    const uint8_t *data;
    size_t size;
    size_t offset;
    const char *error;
    size_t error_offset;
} WhReader;

/* Writes to [data, data + capacity), which the caller owns. */
typedef struct WhWriter {
    uint8_t *data;
    size_t capacity;
    size_t length;
    bool full;
} WhWriter;

WhReader wh_reader(const void *data, size_t size);
/* Records the first error only; later reads return zeros. error must be a constant string. */
void wh_reader_fail(WhReader *r, const char *error);
static inline bool wh_reader_ok(const WhReader *r)
{
    return r->error == NULL;
}
static inline size_t wh_reader_left(const WhReader *r)
{
    return r->error ? 0 : r->size - r->offset;
}

uint8_t wh_get_u8(WhReader *r);
uint16_t wh_get_u16(WhReader *r);
uint32_t wh_get_u32(WhReader *r);
uint64_t wh_get_u64(WhReader *r);
uint64_t wh_get_varint(WhReader *r);
/* The next size bytes; an empty slice and an error when fewer remain. */
WhSlice wh_get_bytes(WhReader *r, uint64_t size);
/* varint length and that many bytes, at most max_size of them. */
WhSlice wh_get_str(WhReader *r, size_t max_size);
/* An error unless everything has been read. */
void wh_get_end(WhReader *r);

WhWriter wh_writer(void *data, size_t capacity);
void wh_put_u8(WhWriter *w, uint8_t value);
void wh_put_u16(WhWriter *w, uint16_t value);
void wh_put_u32(WhWriter *w, uint32_t value);
void wh_put_u64(WhWriter *w, uint64_t value);
void wh_put_varint(WhWriter *w, uint64_t value);
void wh_put_bytes(WhWriter *w, const void *data, size_t size);
void wh_put_str(WhWriter *w, const void *data, size_t size);

/*
 * Unchecked stores for hot paths that made sure of the room before: each returns the address after what it
 * wrote. wh_store_varint writes at most WH_VARINT_BYTES_MAX bytes.
 */
static inline uint8_t *wh_store_u16(uint8_t *p, uint16_t value)
{
    p[0] = (uint8_t)value;
    p[1] = (uint8_t)(value >> 8);
    return p + 2;
}

static inline uint8_t *wh_store_u32(uint8_t *p, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(value >> (8 * i));
    return p + 4;
}

static inline uint8_t *wh_store_u64(uint8_t *p, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        p[i] = (uint8_t)(value >> (8 * i));
    return p + 8;
}

static inline uint8_t *wh_store_varint(uint8_t *p, uint64_t value)
{
    while (value >= 0x80) {
        *p++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *p++ = (uint8_t)value;
    return p;
}

/* Bytes that wh_store_varint needs for value. */
static inline size_t wh_varint_size(uint64_t value)
{
    size_t n = 1;

    while (value >= 0x80) {
        value >>= 7;
        n++;
    }
    return n;
}

/* Is the slice equal to a zero-terminated text? */
bool wh_slice_equals(WhSlice slice, const char *text);

#endif
