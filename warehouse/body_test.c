/* body_test.c - encoded bodies cut anywhere, in several frames, damaged or cut short. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <lz4frame.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "warehouse/body.h"

#define PLAIN_BYTES 300000

struct received {
    char data[PLAIN_BYTES * 2];
    size_t bytes;
    size_t stop_after; /* 0 is never */
};

static bool receive(void *receiver, const char *data, size_t bytes)
{
    struct received *r = receiver;

    assert_true(bytes > 0 && r->bytes + bytes <= sizeof r->data);
    memcpy(r->data + r->bytes, data, bytes);
    r->bytes += bytes;
    return r->stop_after == 0 || r->bytes < r->stop_after;
}

static size_t compress_gzip(const char *data, size_t bytes, char *out, size_t size)
{
    z_stream z = {0};

    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *)(size_t)data;
    z.avail_in = (uInt)bytes;
    z.next_out = (Bytef *)out;
    z.avail_out = (uInt)size;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    bytes = size - z.avail_out;
    assert_int_equal(deflateEnd(&z), Z_OK);
    return bytes;
}

static size_t compress_as(const char *encoding, const char *data, size_t bytes, char *out, size_t size)
{
    LZ4F_preferences_t checked = {.frameInfo.contentChecksumFlag = LZ4F_contentChecksumEnabled};

    if (strcmp(encoding, "zstd") == 0) {
        ZSTD_CCtx *context = ZSTD_createCCtx();

        (void)ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
        bytes = ZSTD_compress2(context, out, size, data, bytes);
        assert_false(ZSTD_isError(bytes));
        (void)ZSTD_freeCCtx(context);
        return bytes;
    }
    if (strcmp(encoding, "lz4") == 0) {
        bytes = LZ4F_compressFrame(out, size, data, bytes, &checked);
        assert_false(LZ4F_isError(bytes));
        return bytes;
    }
    return compress_gzip(data, bytes, out, size);
}

static const char *const encodings[] = {"gzip", "zstd", "lz4"};
#define ENCODINGS (sizeof encodings / sizeof encodings[0])

struct fixture {
    const char *encoding;
    char plain[PLAIN_BYTES];
    char packed[3 * PLAIN_BYTES];
    size_t packed_bytes;
    struct received received;
};

static void pack(struct fixture *f, const char *encoding)
{
    f->encoding = encoding;
    f->packed_bytes = compress_as(encoding, f->plain, PLAIN_BYTES, f->packed, sizeof f->packed / 2);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    for (size_t i = 0; i < PLAIN_BYTES; i++)
        f->plain[i] = (char)(i * i >> 7);
    pack(f, encodings[0]);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    free(*state);
    return 0;
}

/* Decodes f->packed in pieces. True when all was well to the end. */
static bool decode(struct fixture *f, size_t piece, struct exception *e)
{
    struct body_decoder *d;
    bool good = true;

    *e = (struct exception){0};
    f->received.bytes = 0;
    assert_true(body_open(&d, f->encoding, e));
    for (size_t at = 0; good && at < f->packed_bytes; at += piece) {
        size_t n = f->packed_bytes - at < piece ? f->packed_bytes - at : piece;

        good = body_decode(d, f->packed + at, n, receive, &f->received, e);
    }
    good = good && body_finish(d, e);
    body_free(d);
    return good;
}

static void test_pieces(void **state)
{
    static const size_t pieces[] = {1, 7, 4096, 2 * PLAIN_BYTES};
    struct fixture *f = *state;
    struct exception e;

    for (size_t n = 0; n < ENCODINGS; n++) {
        pack(f, encodings[n]);
        for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
            assert_true(decode(f, pieces[i], &e));
            assert_int_equal(f->received.bytes, PLAIN_BYTES);
            assert_memory_equal(f->received.data, f->plain, PLAIN_BYTES);
        }
    }
}

static void test_members(void **state)
{
    struct fixture *f = *state;
    struct exception e;

    for (size_t n = 0; n < ENCODINGS; n++) {
        pack(f, encodings[n]);
        memcpy(f->packed + f->packed_bytes, f->packed, f->packed_bytes);
        f->packed_bytes *= 2;
        assert_true(decode(f, 1000, &e));
        assert_int_equal(f->received.bytes, 2 * PLAIN_BYTES);
    }
}

static void test_cut_short_and_damaged(void **state)
{
    struct fixture *f = *state;
    struct exception e;

    for (size_t n = 0; n < ENCODINGS; n++) {
        pack(f, encodings[n]);
        f->packed_bytes -= 4;
        assert_false(decode(f, 1000, &e));
        assert_int_equal(e.code, EXCEPTION_ZLIB_INFLATE_FAILED);
        f->packed_bytes += 4;
        /* in the checksum; gzip has the size behind it */
        f->packed[f->packed_bytes - (n == 0 ? 6 : 2)] ^= 1;
        assert_false(decode(f, 1000, &e));
        assert_int_equal(e.code, EXCEPTION_ZLIB_INFLATE_FAILED);
        f->packed[0] = 'x';
        assert_false(decode(f, 1000, &e));
        assert_int_equal(e.code, EXCEPTION_ZLIB_INFLATE_FAILED);
    }
}

static void test_receiver_stops(void **state)
{
    struct fixture *f = *state;
    struct exception e;

    f->received.stop_after = 1;
    assert_false(decode(f, f->packed_bytes, &e));
    assert_int_equal(e.code, EXCEPTION_NONE);
    assert_true(f->received.bytes < PLAIN_BYTES);
}

static void test_encodings(void **state)
{
    struct fixture *f = *state;
    struct body_decoder *d;
    struct exception e = {0};

    assert_true(body_open(&d, NULL, &e) && d == NULL);
    assert_true(body_open(&d, "Identity", &e) && d == NULL);
    assert_true(body_decode(NULL, "plain", 5, receive, &f->received, &e) && body_finish(NULL, &e));
    assert_memory_equal(f->received.data, "plain", 5);
    assert_false(body_open(&d, "snappy", &e));
    assert_int_equal(e.code, EXCEPTION_NOT_IMPLEMENTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pieces, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_members, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cut_short_and_damaged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_receiver_stops, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_encodings, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("warehouse/body", tests, NULL, NULL);
}
