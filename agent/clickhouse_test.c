/*
 * clickhouse_test.c - unit tests of what needs no server: faults, the choice of a server, compression.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <lz4frame.h>
#include <zstd.h>

#include "agent/clickhouse_fault.h"
#include "agent/compress.h"
#include "agent/endpoints.h"

/* ---- faults ---- */

static void faults_are_told_apart(void **state)
{
    static const struct {
        int code;
        long http_status;
        const char *answer;
        Fault fault;
        Status status;
    } cases[] = {
        {0, 200, "", FAULT_NONE, STATUS_OK},
        {252, 500, "Code: 252", FAULT_BUSY, STATUS_RETRY},
        {241, 500, "Code: 241", FAULT_BUSY, STATUS_RETRY},
        {202, 500, "Code: 202", FAULT_BUSY, STATUS_RETRY},
        {201, 500, "Code: 201", FAULT_BUSY, STATUS_RETRY},
        {164, 500, "Code: 164", FAULT_READ_ONLY, STATUS_RETRY},
        {242, 500, "Code: 242", FAULT_READ_ONLY, STATUS_RETRY},
        {319, 500, "Code: 319", FAULT_READ_ONLY, STATUS_RETRY},
        {243, 500, "Code: 243", FAULT_DISK, STATUS_RETRY},
        {1001, 500, "Code: 1001. std::exception: No space left on device", FAULT_DISK, STATUS_RETRY},
        {193, 403, "Code: 193", FAULT_ACCESS, STATUS_RETRY},
        {516, 403, "Code: 516", FAULT_ACCESS, STATUS_RETRY},
        {497, 403, "Code: 497", FAULT_ACCESS, STATUS_STOP},
        {60, 404, "Code: 60", FAULT_TABLE, STATUS_STOP},
        {57, 500, "Code: 57", FAULT_TABLE, STATUS_STOP},
        {117, 400, "Code: 117", FAULT_DATA, STATUS_REJECT},
        {469, 500, "Code: 469", FAULT_DATA, STATUS_REJECT},
        {236, 500, "Code: 236", FAULT_AWAY, STATUS_RETRY},
        {0, 0, "", FAULT_AWAY, STATUS_RETRY},
        {0, 502, "<html>", FAULT_AWAY, STATUS_RETRY},
        {0, 503, "<html>", FAULT_BUSY, STATUS_RETRY},
        {0, 401, "", FAULT_ACCESS, STATUS_RETRY},
        {0, 500, "?", FAULT_OTHER, STATUS_RETRY},
        {777777, 500, "Code: 777777", FAULT_OTHER, STATUS_RETRY},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Fault fault = fault_of(cases[i].code, cases[i].http_status, cases[i].answer);

        assert_int_equal(fault, cases[i].fault);
        assert_int_equal(fault_status(fault, cases[i].code), cases[i].status);
    }
}

static void every_fault_has_a_name(void **state)
{
    (void)state;
    for (int i = 0; i < FAULT_COUNT; i++) {
        assert_non_null(fault_name((Fault)i));
        assert_non_null(fault_advice((Fault)i));
    }
}

static void another_server_is_asked_for_the_servers_own_faults(void **state)
{
    (void)state;
    assert_true(fault_is_of_the_server(FAULT_AWAY, 0));
    assert_true(fault_is_of_the_server(FAULT_READ_ONLY, 242));
    assert_true(fault_is_of_the_server(FAULT_DISK, 243));
    assert_false(fault_is_of_the_server(FAULT_READ_ONLY, 164));
    assert_false(fault_is_of_the_server(FAULT_BUSY, 252));
    assert_false(fault_is_of_the_server(FAULT_DATA, 117));
    assert_false(fault_is_of_the_server(FAULT_NONE, 0));
}

/* ---- servers ---- */

static void lists_of_servers_are_read(void **state)
{
    Endpoints e;
    Error error;

    (void)state;
    assert_int_equal(endpoints_parse(&e, " https://a:8443/ ,http://127.0.0.1:8123,https://[::1]:1 ", &error),
                     STATUS_OK);
    assert_int_equal(e.count, 3);
    assert_string_equal(e.list[0].url, "https://a:8443");
    assert_false(e.list[0].is_local);
    assert_string_equal(e.list[1].url, "http://127.0.0.1:8123");
    assert_true(e.list[1].is_local);
    assert_string_equal(e.list[2].url, "https://[::1]:1");
    assert_true(e.list[2].is_local);
    assert_int_equal(endpoints_parse(&e, "http://localhost.example.com", &error), STATUS_OK);
    assert_false(e.list[0].is_local);
}

static void what_is_no_list_of_servers_is_refused(void **state)
{
    static const char *const wrong[] = {"",        ",",         "http://",    "a:8123",
                                        "ftp://a", "http://a,", "http://a b", "http://a?x=1"};
    char many[ENDPOINTS_MAX * 12 + 24] = "http://a:1";
    char long_one[ENDPOINT_BYTES_MAX + 20] = "http://";
    Endpoints e;
    Error error;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(endpoints_parse(&e, wrong[i], &error), STATUS_FATAL);
    for (int i = 0; i < ENDPOINTS_MAX; i++)
        strcat(many, ",http://a:1");
    assert_int_equal(endpoints_parse(&e, many, &error), STATUS_FATAL);
    memset(long_one + 7, 'a', ENDPOINT_BYTES_MAX);
    assert_int_equal(endpoints_parse(&e, long_one, &error), STATUS_FATAL);
}

static void the_server_that_answers_is_kept(void **state)
{
    Endpoints e;
    Error error;

    (void)state;
    assert_int_equal(endpoints_parse(&e, "http://a,http://b,http://c", &error), STATUS_OK);
    endpoints_answered(&e);
    assert_string_equal(endpoints_current(&e)->url, "http://a");
    endpoints_failed(&e, 1000);
    assert_string_equal(endpoints_current(&e)->url, "http://b");
    /* a is back, and b goes on. */
    endpoints_answered(&e);
    assert_string_equal(endpoints_current(&e)->url, "http://b");
    endpoints_failed(&e, 2000);
    assert_string_equal(endpoints_current(&e)->url, "http://c");
    /* a failed a short while ago, and longer ago than b. */
    endpoints_failed(&e, 3000);
    assert_string_equal(endpoints_current(&e)->url, "http://a");
    endpoints_failed(&e, 4000);
    assert_string_equal(endpoints_current(&e)->url, "http://b");
    /* After its rest c is as good as any. */
    endpoints_failed(&e, 3000 + ENDPOINT_REST_MS);
    assert_string_equal(endpoints_current(&e)->url, "http://c");
}

static void one_server_alone_is_asked_again(void **state)
{
    Endpoints e;
    Error error;

    (void)state;
    assert_int_equal(endpoints_parse(&e, "http://a", &error), STATUS_OK);
    endpoints_failed(&e, 1000);
    assert_string_equal(endpoints_current(&e)->url, "http://a");
}

/* ---- compression ---- */

static void bodies_come_out_as_they_went_in(void **state)
{
    static unsigned char data[300000], back[300000];
    Compressor compressor = {0};
    LZ4F_dctx *lz4;
    size_t in, out = sizeof back;

    (void)state;
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i / 100 * 31);
    assert_true(compressor_run(&compressor, COMPRESSION_ZSTD, data, sizeof data));
    assert_true(compressor.size < sizeof data / 4);
    assert_int_equal(ZSTD_decompress(back, sizeof back, compressor.data, compressor.size), sizeof data);
    assert_memory_equal(back, data, sizeof data);

    assert_true(compressor_run(&compressor, COMPRESSION_LZ4, data, sizeof data));
    assert_true(compressor.size < sizeof data / 4);
    in = compressor.size;
    memset(back, 0, sizeof back);
    assert_false(LZ4F_isError(LZ4F_createDecompressionContext(&lz4, LZ4F_VERSION)));
    assert_int_equal(LZ4F_decompress(lz4, back, &out, compressor.data, &in, NULL), 0);
    assert_int_equal(out, sizeof data);
    assert_memory_equal(back, data, sizeof data);
    (void)LZ4F_freeDecompressionContext(lz4);
    compressor_fini(&compressor);
}

static void names_of_compressions(void **state)
{
    Compression compression;

    (void)state;
    assert_true(compression_parse("zstd", &compression));
    assert_int_equal(compression, COMPRESSION_ZSTD);
    assert_true(compression_parse("auto", &compression));
    assert_false(compression_parse("gzip", &compression));
    assert_string_equal(compression_name(COMPRESSION_LZ4), "lz4");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(faults_are_told_apart),
        cmocka_unit_test(every_fault_has_a_name),
        cmocka_unit_test(another_server_is_asked_for_the_servers_own_faults),
        cmocka_unit_test(lists_of_servers_are_read),
        cmocka_unit_test(what_is_no_list_of_servers_is_refused),
        cmocka_unit_test(the_server_that_answers_is_kept),
        cmocka_unit_test(one_server_alone_is_asked_again),
        cmocka_unit_test(bodies_come_out_as_they_went_in),
        cmocka_unit_test(names_of_compressions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
