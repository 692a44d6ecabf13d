/* config_test.c - settings: defaults, files, and what is said about wrong ones. */
#include "agent/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Writes text to a new file; free() the path. */
static char *write_file(const char *text)
{
    char *path = strdup("/tmp/walhouse-config-test-XXXXXX");
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(close(fd), 0);
    return path;
}

static const char *const no_environment[] = {NULL};

static Status read_text(Config *config, const char *text, Error *error)
{
    char *path = write_file(text);
    Status status = config_read(config, path, no_environment, error);

    assert_int_equal(unlink(path), 0);
    free(path);
    return status;
}

static void assert_refused(const char *text, const char *expected)
{
    Config config;
    Error error = {""};

    assert_true(config_init(&config));
    if (read_text(&config, text, &error) == STATUS_OK)
        assert_int_equal(config_check(&config, &error), STATUS_FATAL);
    if (strstr(error.text, expected) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", expected, error.text);
    config_fini(&config);
}

static void test_defaults_and_file(void **state)
{
    Config config;
    Error error = {""};

    (void)state;
    assert_true(config_init(&config));
    assert_int_equal(read_text(&config,
                               "# a comment\n[kafka]\nbrokers = a:1,b:2\ntopic_prefix = shop\n"
                               "[clickhouse]\nurl = https://c:8443\n[batch]\nmax_rows = 5000\n",
                               &error),
                     STATUS_OK);
    assert_int_equal(config_check(&config, &error), STATUS_OK);
    assert_string_equal(config.kafka_brokers, "a:1,b:2");
    assert_string_equal(config.clickhouse_url, "https://c:8443");
    assert_string_equal(config.clickhouse_database, "default");
    assert_int_equal(config.batch_max_rows, 5000);
    assert_int_equal(config.batch_max_delay_ms, 1000);
    assert_null(config.clickhouse_password);
    config_fini(&config);
}

static void test_password_file(void **state)
{
    Config config;
    Error error = {""};
    char *password = write_file("s3cret word\nsecond line\n");
    char text[256];

    (void)state;
    assert_true(config_init(&config));
    (void)snprintf(text, sizeof text, "[clickhouse]\npassword_file = %s\n", password);
    assert_int_equal(read_text(&config, text, &error), STATUS_OK);
    assert_string_equal(config.clickhouse_password, "s3cret word");
    config_fini(&config);
    assert_int_equal(unlink(password), 0);
    free(password);
}

static void test_refusals(void **state)
{
    (void)state;
    assert_refused("[kafka]\nbrokrs = x\n",
                   "line 2: unknown setting [kafka] brokrs; did you mean [kafka] brokers?");
    assert_refused("[clickhouse]\ndatabse = x\n", "did you mean [clickhouse] database?");
    assert_refused("[batch]\nmax_rows = 0\n", "it takes a number from 1 to 1000000");
    assert_refused("[batch]\nmax_rows = 12x\n", "it takes a number");
    assert_refused("[batch]\nmax_rows = 99999999999999999999\n", "it takes a number");
    assert_refused("[kafka\n", "line 1");
    assert_refused("", "[kafka] brokers is missing");
    assert_refused("[kafka]\nbrokers = x:1\n", "[kafka] topic_prefix is missing");
    assert_refused("[kafka]\nbrokers = x:1\ntopic_prefix = p\n[clickhouse]\nurl = file:///etc/passwd\n",
                   "it takes http://");
    assert_refused("[kafka]\nbrokers = x:1\ntopic_prefix = p\n[clickhouse]\nurl = http://me:s3cret@c:8123\n",
                   "url holds an @");
    assert_refused("[kafka]\nbrokers = x:1\ntopic_prefix = p\n[log]\nlevel = loud\n", "it takes debug, info");
    assert_refused("[kafka]\nbrokers = x:1\ntopic_prefix = p\n[log]\nformat = xml\n",
                   "it takes text or json");
    assert_refused("[clickhouse]\npassword_file = /nowhere/at/all\n",
                   "[clickhouse] password_file /nowhere/at/all cannot be opened");
}

static void test_environment(void **state)
{
    static const char *const environment[] = {"PATH=/bin", "WALHOUSE_AGENT_KAFKA_BROKERS=e:1",
                                              "WALHOUSE_AGENT_BATCH_MAX_ROWS=7", NULL};
    static const char *const unknown[] = {"WALHOUSE_AGENT_CLICKHOUSE_PASSWORD=s3cret", NULL};
    static const char *const wrong[] = {"WALHOUSE_AGENT_BATCH_MAX_ROWS=many", NULL};
    char *path = write_file("[kafka]\nbrokers = f:1\ntopic_prefix = shop\n");
    Config config;
    Error error = {""};

    (void)state;
    assert_true(config_init(&config));
    assert_int_equal(config_read(&config, path, environment, &error), STATUS_OK);
    assert_string_equal(config.kafka_brokers, "e:1");
    assert_string_equal(config.kafka_topic_prefix, "shop");
    assert_int_equal(config.batch_max_rows, 7);
    assert_int_equal(config_read(&config, NULL, unknown, &error), STATUS_FATAL);
    assert_string_equal(error.text, "unknown setting WALHOUSE_AGENT_CLICKHOUSE_PASSWORD; did you mean "
                                    "WALHOUSE_AGENT_CLICKHOUSE_PASSWORD_FILE?");
    assert_int_equal(config_read(&config, NULL, wrong, &error), STATUS_FATAL);
    assert_non_null(strstr(error.text, "WALHOUSE_AGENT_BATCH_MAX_ROWS = many: it takes a number"));
    config_fini(&config);
    assert_int_equal(unlink(path), 0);
    free(path);
}

static void test_missing_file(void **state)
{
    Config config;
    Error error = {""};

    (void)state;
    assert_true(config_init(&config));
    assert_int_equal(config_read(&config, "/nowhere/agent.conf", no_environment, &error), STATUS_FATAL);
    assert_non_null(strstr(error.text, "cannot open configuration file /nowhere/agent.conf"));
    config_fini(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_defaults_and_file),
                                       cmocka_unit_test(test_password_file), cmocka_unit_test(test_refusals),
                                       cmocka_unit_test(test_environment),
                                       cmocka_unit_test(test_missing_file)};

    return cmocka_run_group_tests_name("agent_config", tests, NULL, NULL);
}
