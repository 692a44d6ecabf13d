/*
 * letter_test.c - headers of dead letters, packed and read.
 */
#include "agent/letter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define PACKED_BYTES_MAX 1024

typedef struct Headers {
    uint8_t data[PACKED_BYTES_MAX];
    WhWriter w;
} Headers;

static void begin(Headers *headers)
{
    headers->w = wh_writer(headers->data, sizeof headers->data);
}

static void put(Headers *headers, const char *name, const char *value)
{
    wh_put_str(&headers->w, name, strlen(name));
    wh_put_str(&headers->w, value, strlen(value));
}

static MessageView message_of(const Headers *headers)
{
    return (MessageView){
        .topic = "shop.__dlq", .partition = 2, .offset = 17, .headers = {headers->data, headers->w.length}};
}

static void put_place(Headers *headers)
{
    put(headers, "walhouse.reason", "rejected");
    put(headers, "walhouse.topic", "shop.public.orders");
    put(headers, "walhouse.partition", "3");
    put(headers, "walhouse.offset", "123456789012");
    put(headers, "walhouse.time", "1767225600000000");
}

static void test_of_the_agent(void **state)
{
    Headers headers;
    MessageView message;
    Letter letter;
    WhReader r;
    WhSlice name, value;

    (void)state;
    begin(&headers);
    put_place(&headers);
    put(&headers, "walhouse.original_headers", "2");
    /* What the original calls by the same names is its own. */
    put(&headers, "walhouse.offset", "5");
    put(&headers, "trace", "");
    message = message_of(&headers);
    assert_true(letter_read(&message, &letter));
    assert_true(wh_slice_equals(letter.reason, "rejected"));
    assert_int_equal(letter.partition, 3);
    assert_int_equal(letter.offset, 123456789012);
    assert_int_equal(letter.time_us, 1767225600000000);
    assert_int_equal(letter.size, -1);
    assert_false(letter_is_too_large(&letter));
    r = wh_reader(letter.originals.data, letter.originals.size);
    assert_true(letter_next_header(&r, &name, &value));
    assert_true(wh_slice_equals(name, "walhouse.offset") && wh_slice_equals(value, "5"));
    assert_true(letter_next_header(&r, &name, &value));
    assert_true(wh_slice_equals(name, "trace") && value.size == 0);
    assert_false(letter_next_header(&r, &name, &value));
}

static void test_of_the_publisher(void **state)
{
    Headers headers;
    MessageView message;
    Letter letter;

    (void)state;
    begin(&headers);
    put(&headers, "walhouse.reason", "too_large");
    put(&headers, "walhouse.topic", "shop.public.orders");
    put(&headers, "walhouse.size", "11000000");
    message = message_of(&headers);
    assert_true(letter_read(&message, &letter));
    assert_true(letter_is_too_large(&letter));
    assert_int_equal(letter.partition, -3);
    assert_int_equal(letter.offset, 17);
    assert_int_equal(letter.size, 11000000);
    assert_int_equal(letter.originals.size, 0);
}

/* Whatever somebody has put into the topic. */
static void test_of_others(void **state)
{
    Headers headers;
    MessageView message;
    Letter letter;

    (void)state;
    begin(&headers);
    message = message_of(&headers);
    assert_false(letter_read(&message, &letter));
    put(&headers, "walhouse.reason", "rejected");
    message = message_of(&headers);
    assert_false(letter_read(&message, &letter));
    put(&headers, "walhouse.topic", "t");
    put(&headers, "walhouse.partition", "99999999999999999999999");
    put(&headers, "walhouse.offset", "12x");
    put(&headers, "walhouse.original_headers", "1000");
    message = message_of(&headers);
    assert_true(letter_read(&message, &letter));
    assert_int_equal(letter.partition, -3);
    assert_int_equal(letter.originals.size, 0);
    for (size_t size = 0; size < headers.w.length; size++) {
        uint8_t *exact = malloc(size + 1);

        assert_non_null(exact);
        memcpy(exact, headers.data, size);
        message.headers = (WhSlice){exact, size};
        (void)letter_read(&message, &letter);
        free(exact);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_of_the_agent),
                                       cmocka_unit_test(test_of_the_publisher),
                                       cmocka_unit_test(test_of_others)};

    return cmocka_run_group_tests_name("letter", tests, NULL, NULL);
}
