/*
 * options_test.c - the command line: what is taken, defaulted, refused.
 */
#include "options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ARGUMENTS_MAX 64

static const char *const required[] = {
    "publisher",
    "--pipeline",
    "shop",
    "--slot",
    "walhouse_shop",
    "--publication",
    "p",
    "--conninfo",
    "dbname=shop",
    "--brokers",
    "127.0.0.1:9092",
    "--topic-prefix",
    "shop",
    "--partitions",
    "2",
    "--replication-factor",
    "1",
    "--epoch",
    "3",
};
#define REQUIRED_COUNT ((int)(sizeof required / sizeof required[0]))

static OptionsResult parse(Options *options, Failure *failure, int given, const char *extra1,
                           const char *extra2)
{
    const char *argv[ARGUMENTS_MAX];
    int argc = 0;

    for (; argc < given; argc++)
        argv[argc] = required[argc];
    if (extra1)
        argv[argc++] = extra1;
    if (extra2)
        argv[argc++] = extra2;
    *failure = (Failure){""};
    return options_parse(options, argc, argv, failure);
}

static void required_options_and_defaults(void **state)
{
    Options o;
    Failure failure;

    (void)state;
    assert_int_equal(parse(&o, &failure, REQUIRED_COUNT, NULL, NULL), OPTIONS_RUN);
    assert_string_equal(o.slot, "walhouse_shop");
    assert_int_equal(o.partitions, 2);
    assert_int_equal(o.epoch, 3);
    assert_int_equal(o.report_fd, -1);
    assert_null(o.system_identifier);
    assert_null(o.properties_file);
    assert_int_equal(o.statistics_interval_s, 2);
    assert_string_equal(o.log_level, "info");
    assert_int_equal(parse(&o, &failure, REQUIRED_COUNT, "--report-fd=5", NULL), OPTIONS_RUN);
    assert_int_equal(o.report_fd, 5);
    assert_int_equal(parse(&o, &failure, REQUIRED_COUNT, "--system-identifier", "7"), OPTIONS_RUN);
    assert_string_equal(o.system_identifier, "7");
    assert_true(o.messages);
    assert_int_equal(parse(&o, &failure, REQUIRED_COUNT, "--messages", "f"), OPTIONS_RUN);
    assert_false(o.messages);
    assert_int_equal(parse(&o, &failure, REQUIRED_COUNT, "--messages=on", NULL), OPTIONS_RUN);
    assert_true(o.messages);
}

static void what_is_wrong_is_named(void **state)
{
    Options o;
    Failure failure;

    (void)state;
    assert_int_equal(parse(&o, &failure, REQUIRED_COUNT - 2, NULL, NULL), OPTIONS_WRONG);
    assert_string_equal(failure.text, "option --epoch is missing");
    assert_int_equal(parse(&o, &failure, REQUIRED_COUNT, "--epoch", "65536"), OPTIONS_WRONG);
    assert_string_equal(failure.text, "option --epoch takes a number from 0 to 65535, not \"65536\"");
    assert_int_equal(parse(&o, &failure, REQUIRED_COUNT, "--partitions", "2x"), OPTIONS_WRONG);
    assert_int_equal(parse(&o, &failure, REQUIRED_COUNT, "--slot", ""), OPTIONS_WRONG);
    assert_int_equal(parse(&o, &failure, REQUIRED_COUNT, "--slot", NULL), OPTIONS_WRONG);
    assert_int_equal(parse(&o, &failure, REQUIRED_COUNT, "--slots", "x"), OPTIONS_WRONG);
    assert_string_equal(failure.text, "unknown option \"--slots\"; --help lists them");
    assert_int_equal(parse(&o, &failure, REQUIRED_COUNT, "slot", NULL), OPTIONS_WRONG);
    assert_int_equal(parse(&o, &failure, REQUIRED_COUNT, "--messages", "1"), OPTIONS_WRONG);
    assert_string_equal(failure.text, "option --messages takes \"on\" or \"off\", not \"1\"");
}

static void help_lists_every_option(void **state)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    Options o;
    Failure failure;

    (void)state;
    assert_non_null(out);
    options_print_help(out);
    assert_int_equal(fclose(out), 0);
    for (int i = 1; i < REQUIRED_COUNT; i += 2)
        assert_non_null(strstr(text, required[i]));
    assert_non_null(strstr(text, "--max-in-flight N"));
    free(text);
    assert_int_equal(parse(&o, &failure, 1, "--help", NULL), OPTIONS_HELP);
    assert_int_equal(parse(&o, &failure, 1, "--version", NULL), OPTIONS_VERSION);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(required_options_and_defaults),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(help_lists_every_option),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
