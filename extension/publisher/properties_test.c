/*
 * properties_test.c - what a properties file may say.
 */
#include "properties.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct Seen {
    char text[512];
} Seen;

static bool remember(void *context, const char *name, const char *value, Failure *failure)
{
    Seen *seen = context;
    size_t length = strlen(seen->text);

    (void)failure;
    (void)snprintf(seen->text + length, sizeof seen->text - length, "[%s|%s]", name, value);
    return true;
}

static bool read_text(const char *text, Seen *seen, Failure *failure)
{
    char path[] = "/tmp/walhouse-properties-XXXXXX";
    int fd = mkstemp(path);
    bool ok;

    *seen = (Seen){""};
    *failure = (Failure){""};
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(close(fd), 0);
    ok = properties_read(path, remember, seen, failure);
    assert_int_equal(unlink(path), 0);
    return ok;
}

static void lines_are_names_and_values(void **state)
{
    Failure failure;
    Seen seen;

    (void)state;
    assert_true(read_text("# how to log in\n\nsecurity.protocol = SASL_SSL \r\nsasl.password=a=b #c\n", &seen,
                          &failure));
    assert_string_equal(seen.text, "[security.protocol|SASL_SSL][sasl.password|a=b #c]");
}

static void dangerous_properties_are_refused(void **state)
{
    static const char *const names[] = {"plugin.library.paths",
                                        "sasl.oauthbearer.config",
                                        "ssl.engine.location",
                                        "sasl.kerberos.kinit.cmd",
                                        "enable.idempotence",
                                        "acks",
                                        "message.timeout.ms",
                                        "queue.buffering.max.messages",
                                        "partitioner",
                                        "bootstrap.servers",
                                        ""};
    Failure failure;
    Seen seen;
    char line[128];

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(line, sizeof line, "%s=secret\n", names[i]);
        assert_false(read_text(line, &seen, &failure));
        assert_non_null(strstr(failure.text, ":1: the Kafka property"));
        assert_null(strstr(failure.text, "secret"));
        assert_string_equal(seen.text, "");
    }
}

static void what_is_no_property_is_named_by_its_line(void **state)
{
    Failure failure = {""};
    Seen seen;
    char *long_line = calloc(1, 5001);

    (void)state;
    assert_non_null(long_line);
    memset(long_line, 'x', 5000);
    assert_false(read_text("linger.ms=1\nhello\n", &seen, &failure));
    assert_non_null(strstr(failure.text, ":2: a line must read name=value"));
    assert_false(read_text(long_line, &seen, &failure));
    assert_non_null(strstr(failure.text, ":1: the line is too long"));
    free(long_line);
    failure = (Failure){""};
    assert_false(properties_read("/nowhere/at/all", remember, &seen, &failure));
    assert_non_null(strstr(failure.text, "could not open properties file \"/nowhere/at/all\": No such file"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_names_and_values),
        cmocka_unit_test(dangerous_properties_are_refused),
        cmocka_unit_test(what_is_no_property_is_named_by_its_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
