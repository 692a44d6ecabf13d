/* request_test.c - parameters, settings, users and exceptions: the pure parts around a request. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "warehouse/auth.h"
#include "warehouse/exception.h"
#include "warehouse/options.h"
#include "warehouse/request.h"

static bool add(struct request *r, const char *name, const char *value, struct exception *e)
{
    return request_add_parameter(r, name, value, strlen(value), e);
}

static void test_own_parameters(void **state)
{
    struct request r;
    struct exception e = {0};

    (void)state;
    request_init(&r, true);
    assert_true(r.readonly);
    assert_true(add(&r, "query", "SELECT 1", &e) && add(&r, "database", "shop", &e));
    assert_true(add(&r, "default_format", "CSV", &e) && add(&r, "query_id", "id-1", &e));
    assert_true(add(&r, "wait_end_of_query", "1", &e) && add(&r, "enable_http_compression", "true", &e));
    assert_true(add(&r, "buffer_size", "5", &e) && add(&r, "http_zlib_compression_level", "7", &e));
    assert_true(add(&r, "user", "x", &e) && add(&r, "session_id", "y", &e) && add(&r, "compress", "0", &e));
    assert_string_equal(r.query.data, "SELECT 1");
    assert_string_equal(r.database, "shop");
    assert_string_equal(r.format, "CSV");
    assert_string_equal(r.query_id, "id-1");
    assert_true(r.wait_end_of_query && r.enable_http_compression);
    assert_int_equal(r.buffer_bytes, 5);
    assert_int_equal(r.compression_level, 7);
    assert_int_equal(r.settings.count, 0);
    assert_int_equal(r.parameters.count, 0);
    request_free(&r);
}

static void test_headers_win(void **state)
{
    struct request r;
    struct exception e = {0};

    (void)state;
    request_init(&r, false);
    assert_true(request_add_headers(&r, "from_header", "JSON", "header-id", &e));
    assert_true(add(&r, "database", "other", &e) && add(&r, "default_format", "CSV", &e) &&
                add(&r, "query_id", "x", &e));
    assert_string_equal(r.database, "from_header");
    assert_string_equal(r.format, "JSON");
    assert_string_equal(r.query_id, "header-id");
    request_free(&r);
}

static void test_settings_and_parameters(void **state)
{
    struct request r;
    struct exception e = {0};
    struct buffer sql = {0};

    (void)state;
    request_init(&r, false);
    assert_true(add(&r, "max_threads", "1", &e) && add(&r, "log_comment", "it's \\ ;", &e));
    assert_true(add(&r, "max_threads", "2", &e));
    assert_true(request_add_parameter(&r, "param_x", "a\0b", 3, &e));
    request_settings_statement(&r, &sql);
    assert_string_equal(sql.data, "SET max_threads = '2', log_comment = 'it\\'s \\\\ ;'");
    assert_int_equal(r.parameters.count, 1);
    assert_string_equal(r.parameters.items[0].name, "x");
    assert_int_equal(r.parameters.items[0].value_bytes, 3);
    buffer_free(&sql);
    request_free(&r);
}

static void test_refused_parameters(void **state)
{
    static const struct {
        const char *name, *value;
        int code;
    } cases[] = {
        {"a b", "1", 115},          {"x = 1, y", "1", 115},          {"1x", "1", 115},
        {"compress", "1", 48},      {"role", "admin", 48},           {"query_id", "a\nb", 36},
        {"query_id", "a b", 36},    {"default_format", "CSV x", 36}, {"buffer_size", "-1", 36},
        {"buffer_size", "ten", 36}, {"max_query_size", "x", 36},
    };
    struct request r;
    struct exception e;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        request_init(&r, false);
        assert_false(add(&r, cases[i].name, cases[i].value, &e));
        assert_int_equal(e.code, cases[i].code);
        request_free(&r);
    }
    request_init(&r, false);
    assert_false(request_add_parameter(&r, "max_threads", "1\0002", 3, &e));
    request_free(&r);
}

static void test_number_of_settings_is_limited(void **state)
{
    struct request r;
    struct exception e = {0};
    char name[32];

    (void)state;
    request_init(&r, false);
    for (int i = 0; i < REQUEST_PARAMETERS_MAX; i++) {
        (void)snprintf(name, sizeof name, "s%d", i);
        assert_true(add(&r, name, "1", &e));
    }
    assert_false(add(&r, "one_more", "1", &e));
    assert_int_equal(e.code, EXCEPTION_BAD_ARGUMENTS);
    assert_true(add(&r, "s7", "2", &e));
    request_free(&r);
}

static void test_quoting(void **state)
{
    struct buffer b = {0};

    (void)state;
    buffer_append_identifier(&b, "a`b\\c");
    buffer_append_string(&b, "d'e\\f");
    assert_string_equal(b.data, "`a\\`b\\\\c`'d\\'e\\\\f'");
    buffer_free(&b);
    b.limit = 4;
    buffer_append_text(&b, "1234");
    assert_false(b.failed);
    buffer_append_text(&b, "5");
    assert_true(b.failed);
    assert_string_equal(b.data, "1234");
    buffer_free(&b);
}

static void test_basic_header(void **state)
{
    char user[AUTH_NAME_MAX], password[AUTH_NAME_MAX];
    char long_header[1024] = "Basic ";

    (void)state;
    assert_true(auth_parse_basic("Basic YWdlbnQ6czNjcmV0OiB4", user, password)); /* agent:s3cret: x */
    assert_string_equal(user, "agent");
    assert_string_equal(password, "s3cret: x");
    assert_true(auth_parse_basic("basic  OnA=", user, password)); /* :p */
    assert_string_equal(user, "");
    assert_string_equal(password, "p");
    assert_false(auth_parse_basic("Basic YWdlbnQ=", user, password)); /* agent, no colon */
    assert_false(auth_parse_basic("Basic YWdl*bnQ6eA==", user, password));
    assert_false(auth_parse_basic("Basic YQBiOmM=", user, password)); /* a, zero byte, b:c */
    assert_false(auth_parse_basic("Basic", user, password));
    assert_false(auth_parse_basic("Bearer YWdlbnQ6eA==", user, password));
    memset(long_header + 6, 'Q', 900);
    assert_false(auth_parse_basic(long_header, user, password));
}

static int code_of(const struct auth_user *user, struct auth_claim claim)
{
    struct exception e = {0};

    return auth_check(user, &claim, &e) ? 0 : e.code;
}

static void test_users(void **state)
{
    const struct auth_user open = {.name = "default"};
    const struct auth_user guarded = {.name = "agent", .password = "secret"};

    (void)state;
    assert_int_equal(code_of(&open, (struct auth_claim){0}), 0);
    assert_int_equal(code_of(&open, (struct auth_claim){.parameter_password = "x"}), 194);
    assert_int_equal(code_of(&open, (struct auth_claim){.header_user = "other"}), 516);
    assert_int_equal(code_of(&guarded, (struct auth_claim){0}), 194);
    assert_int_equal(code_of(&guarded, (struct auth_claim){.header_user = "agent", .header_key = "secret"}),
                     0);
    assert_int_equal(
        code_of(&guarded, (struct auth_claim){.parameter_user = "agent", .parameter_password = "secret"}), 0);
    assert_int_equal(code_of(&guarded, (struct auth_claim){.authorization = "Basic YWdlbnQ6c2VjcmV0"}), 0);
    assert_int_equal(code_of(&guarded, (struct auth_claim){.header_user = "agent", .header_key = "secre"}),
                     516);
    assert_int_equal(
        code_of(&guarded, (struct auth_claim){.header_user = "agent", .header_key = "secretsecret"}), 516);
    assert_int_equal(code_of(&guarded, (struct auth_claim){.header_user = "agent", .header_key = ""}), 516);
    assert_int_equal(code_of(&guarded, (struct auth_claim){.authorization = "Basic YWdlbnQ6c2VjcmV0",
                                                           .header_user = "agent"}),
                     516);
}

static void test_exceptions(void **state)
{
    struct exception e;
    static char long_text[3 * EXCEPTION_TEXT_MAX];

    (void)state;
    exception_from_engine(&e, "Code: 60. DB::Exception: No table. (UNKNOWN_TABLE)", "26.7");
    assert_int_equal(e.code, 60);
    assert_string_equal(e.text, "Code: 60. DB::Exception: No table. (UNKNOWN_TABLE) (version 26.7)");
    exception_from_engine(
        &e, "Error: Code: 33. DB::Exception: x (Y), Stack trace (when copying this message):\n\n0. f", NULL);
    assert_int_equal(e.code, 33);
    assert_string_equal(e.text, "Code: 33. DB::Exception: x (Y)");
    exception_from_engine(&e, "Query processing failed", NULL);
    assert_int_equal(e.code, EXCEPTION_UNKNOWN);
    assert_string_equal(e.text, "Code: 1002. DB::Exception: Query processing failed (UNKNOWN_EXCEPTION)");
    memset(long_text, 'x', sizeof long_text - 1);
    exception_from_engine(&e, long_text, "26.7");
    assert_true(strlen(e.text) < EXCEPTION_TEXT_MAX);
    exception_raise(&e, EXCEPTION_SYNTAX_ERROR, "Syntax error: %s", "Empty query");
    assert_string_equal(e.text, "Code: 62. DB::Exception: Syntax error: Empty query (SYNTAX_ERROR)");
}

static void test_statuses(void **state)
{
    static const struct {
        int code;
        unsigned status;
    } cases[] = {{194, 401}, {516, 403}, {497, 403}, {62, 400},  {27, 400},  {117, 400},
                 {60, 404},  {81, 404},  {115, 404}, {73, 404},  {229, 413}, {48, 501},
                 {202, 503}, {381, 411}, {159, 408}, {241, 500}, {164, 500}, {1002, 500}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(exception_http_status(cases[i].code), cases[i].status);
}

static void test_addresses(void **state)
{
    struct sockaddr_storage address;
    bool loopback;
    char message[256];

    (void)state;
    assert_true(options_parse_address("127.0.0.1:8123", &address, &loopback, message, sizeof message));
    assert_true(loopback);
    assert_true(options_parse_address("[::1]:0", &address, &loopback, message, sizeof message));
    assert_true(loopback && address.ss_family == AF_INET6);
    assert_true(options_parse_address("0.0.0.0:1", &address, &loopback, message, sizeof message));
    assert_false(loopback);
    assert_true(options_parse_address("[::]:1", &address, &loopback, message, sizeof message));
    assert_false(loopback);
    assert_true(options_parse_address("[::ffff:127.0.0.1]:1", &address, &loopback, message, sizeof message));
    assert_false(options_parse_address("localhost:1", &address, &loopback, message, sizeof message));
    assert_false(options_parse_address("127.0.0.1", &address, &loopback, message, sizeof message));
    assert_false(options_parse_address("127.0.0.1:65536", &address, &loopback, message, sizeof message));
    assert_false(options_parse_address("127.0.0.1:1x", &address, &loopback, message, sizeof message));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_parameters),
        cmocka_unit_test(test_headers_win),
        cmocka_unit_test(test_settings_and_parameters),
        cmocka_unit_test(test_refused_parameters),
        cmocka_unit_test(test_number_of_settings_is_limited),
        cmocka_unit_test(test_quoting),
        cmocka_unit_test(test_basic_header),
        cmocka_unit_test(test_users),
        cmocka_unit_test(test_exceptions),
        cmocka_unit_test(test_statuses),
        cmocka_unit_test(test_addresses),
    };

    return cmocka_run_group_tests_name("warehouse/request", tests, NULL, NULL);
}
