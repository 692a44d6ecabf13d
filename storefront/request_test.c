/* request_test.c - what is an order, and what is said about what is none. */
#include "storefront/request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define CUSTOMER "\"customer\": {\"id\": \"00112233-4455-6677-8899-aabbccddeeff\", \"name\": \"Ada\"}"

static const char *parse(const char *text, OrderRequest *order)
{
    return order_request_parse(text, strlen(text), order);
}

static void assert_refused(const char *text, const char *expected)
{
    OrderRequest order;
    const char *problem = parse(text, &order);

    if (problem == NULL || strstr(problem, expected) == NULL)
        fail_msg("%s: \"%s\" instead of \"%s\"", text, problem ? problem : "(taken)", expected);
}

static void test_order(void **state)
{
    OrderRequest order;

    (void)state;
    assert_null(
        parse("{" CUSTOMER
              ", \"items\": [{\"sku\": \"A-1\", \"quantity\": 2}, {\"sku\": \"b_2\", \"quantity\": 99}]}",
              &order));
    assert_string_equal(order.customer_id, "00112233-4455-6677-8899-aabbccddeeff");
    assert_string_equal(order.customer_name, "Ada");
    assert_int_equal(order.item_count, 2);
    assert_string_equal(order.items[1].sku, "b_2");
    assert_int_equal(order.items[1].quantity, 99);
}

static void test_refusals(void **state)
{
    (void)state;
    assert_refused("", "JSON object");
    assert_refused("[]", "JSON object");
    assert_refused("{\"items\": 1}", "items must be");
    assert_refused("{" CUSTOMER ", \"items\": []}", "items must be");
    assert_refused("{" CUSTOMER ", \"request_id\": \"x\", \"items\": [{}]}", "request_id must be");
    assert_refused("{" CUSTOMER ", \"request_id\": 1, \"items\": [{}]}", "request_id must be");
    assert_refused("{\"customer\": {\"id\": \"x\", \"name\": \"A\"}, \"items\": [{}]}", "customer.id");
    assert_refused("{\"customer\": {\"id\": \"00112233-4455-6677-8899-aabbccddeefg\", \"name\": \"A\"}, "
                   "\"items\": [{}]}",
                   "customer.id");
    assert_refused("{\"customer\": {\"id\": \"00112233-4455-6677-8899-aabbccddeeff\", \"name\": \"  \"}, "
                   "\"items\": [{}]}",
                   "must not be empty");
    assert_refused("{\"customer\": {\"id\": \"00112233-4455-6677-8899-aabbccddeeff\", \"name\": \"a\\nb\"}, "
                   "\"items\": [{}]}",
                   "control characters");
    assert_refused("{" CUSTOMER ", \"items\": [{\"sku\": \"\", \"quantity\": 1}]}", "sku");
    assert_refused("{" CUSTOMER ", \"items\": [{\"sku\": \"a,b\", \"quantity\": 1}]}", "sku");
    assert_refused("{" CUSTOMER
                   ", \"items\": [{\"sku\": \"012345678901234567890123456789012\", \"quantity\": 1}]}",
                   "sku");
    assert_refused("{" CUSTOMER ", \"items\": [{\"sku\": \"A\", \"quantity\": 0}]}", "quantity");
    assert_refused("{" CUSTOMER ", \"items\": [{\"sku\": \"A\", \"quantity\": 100}]}", "quantity");
    assert_refused("{" CUSTOMER ", \"items\": [{\"sku\": \"A\", \"quantity\": 1.5}]}", "quantity");
    assert_refused("{" CUSTOMER ", \"items\": [{\"sku\": \"A\", \"quantity\": \"1\"}]}", "quantity");
    assert_refused("{" CUSTOMER
                   ", \"items\": [{\"sku\": \"A\", \"quantity\": 1}, {\"sku\": \"A\", \"quantity\": 1}]}",
                   "twice");
    assert_refused("{" CUSTOMER ", " CUSTOMER ", \"items\": [{\"sku\": \"A\", \"quantity\": 1}]}",
                   "JSON object");
}

/* Fifty items fit, one more is refused before it is looked at. */
static void test_item_bound(void **state)
{
    char text[8192];
    OrderRequest order;

    (void)state;
    for (int count = ORDER_ITEMS_MAX; count <= ORDER_ITEMS_MAX + 1; count++) {
        size_t size = (size_t)snprintf(text, sizeof text, "{" CUSTOMER ", \"items\": [");

        for (int i = 0; i < count; i++)
            size += (size_t)snprintf(text + size, sizeof text - size, "%s{\"sku\": \"S%d\", \"quantity\": 1}",
                                     i ? "," : "", i);
        (void)snprintf(text + size, sizeof text - size, "]}");
        assert_int_equal(parse(text, &order) == NULL, count == ORDER_ITEMS_MAX);
    }
}

/* A body that ends anywhere is refused, and nothing beyond it is read. */
static void test_cut_bodies(void **state)
{
    static const char whole[] = "{" CUSTOMER ", \"items\": [{\"sku\": \"A\", \"quantity\": 1}]}";
    OrderRequest order;

    (void)state;
    for (size_t size = 0; size < sizeof whole - 1; size++) {
        char *copy = test_malloc(size + 1);

        memcpy(copy, whole, size);
        assert_non_null(order_request_parse(copy, size, &order));
        test_free(copy);
    }
}

static void test_busy_day(void **state)
{
    static const char *const refused[] = {"",
                                          "[]",
                                          "{}",
                                          "{\"running\": 1}",
                                          "{\"running\": \"true\"}",
                                          "{\"running\": true, \"rate\": 0}",
                                          "{\"running\": true, \"rate\": 1001}",
                                          "{\"running\": true, \"rate\": 1.5}",
                                          "{\"running\": true, \"rate\": null}",
                                          "{\"running\": true, \"running\": false}"};
    static const char start[] = "{\"running\": true, \"rate\": 20}", stop[] = "{\"running\": false}";
    BusyDayRequest request;

    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        assert_non_null(busy_day_request_parse(refused[i], strlen(refused[i]), &request));
    assert_null(busy_day_request_parse(start, strlen(start), &request));
    assert_true(request.running);
    assert_int_equal(request.rate, 20);
    assert_null(busy_day_request_parse(stop, strlen(stop), &request));
    assert_false(request.running);
    assert_int_equal(request.rate, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_order), cmocka_unit_test(test_refusals),
                                       cmocka_unit_test(test_item_bound), cmocka_unit_test(test_cut_bodies),
                                       cmocka_unit_test(test_busy_day)};

    return cmocka_run_group_tests_name("storefront_request", tests, NULL, NULL);
}
