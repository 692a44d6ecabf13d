/* httpd_static_test.c - which paths may name a file, and what is said of it. */
#include "lib/httpd_static.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_paths(void **state)
{
    static const char *const safe[] = {"/", "/index.html", "/assets/index-B1c.js", "/a/b/c.svg",
                                       "/orders/12"};
    static const char *const unsafe[] = {"",           "index.html",   "/..",          "/../etc/passwd",
                                         "/a/../b",    "/.git/config", "//etc/passwd", "/a//b",
                                         "/a/.hidden", "/a\\b",        "/a\nb",        "/a\x7f"};

    (void)state;
    for (size_t i = 0; i < sizeof safe / sizeof safe[0]; i++)
        assert_true(static_path_is_safe(safe[i]));
    for (size_t i = 0; i < sizeof unsafe / sizeof unsafe[0]; i++)
        assert_false(static_path_is_safe(unsafe[i]));
}

static void test_content_types(void **state)
{
    (void)state;
    assert_string_equal(static_content_type("/index.html"), "text/html; charset=utf-8");
    assert_string_equal(static_content_type("/assets/a.b.js"), "text/javascript; charset=utf-8");
    assert_string_equal(static_content_type("/X.SVG"), "image/svg+xml");
    assert_string_equal(static_content_type("/file"), "application/octet-stream");
}

static void test_etags(void **state)
{
    (void)state;
    assert_true(static_etag_matches("\"a-1\"", "\"a-1\""));
    assert_true(static_etag_matches("\"b\", W/\"a-1\" , \"c\"", "\"a-1\""));
    assert_true(static_etag_matches("*", "\"a-1\""));
    assert_false(static_etag_matches("\"a-12\"", "\"a-1\""));
    assert_false(static_etag_matches("", "\"a-1\""));
    assert_false(static_etag_matches(",,,", "\"a-1\""));
}

static void test_encodings(void **state)
{
    static const char *const taken[] = {"gzip", "br, gzip", "deflate,GZIP;q=0.5 , br", "gzip; q=1.0",
                                        "gzip;q=0.001"};
    static const char *const refused[] = {"",      "br",      "gzip;q=0", "gzip; q=0.000, br",
                                          "xgzip", "gzipped", ",",        "identity;q=1, *;q=0"};

    (void)state;
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++)
        assert_true(static_accepts_gzip(taken[i]));
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        assert_false(static_accepts_gzip(refused[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_paths), cmocka_unit_test(test_content_types),
                                       cmocka_unit_test(test_etags), cmocka_unit_test(test_encodings)};

    return cmocka_run_group_tests_name("lib_httpd_static", tests, NULL, NULL);
}
