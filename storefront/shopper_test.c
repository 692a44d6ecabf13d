/* shopper_test.c - what simulated shoppers order can be ordered. */
#include "storefront/shopper.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void assert_orderable(const OrderRequest *order)
{
    assert_true(uuid_is_valid(order->customer_id));
    assert_true(order->customer_name[0] != '\0');
    assert_string_equal(order->request_id, "");
    assert_true(order->item_count >= 1 && order->item_count <= SHOPPER_ITEMS_MAX);
    for (size_t i = 0; i < order->item_count; i++) {
        assert_true(sku_is_valid(order->items[i].sku));
        assert_true(order->items[i].quantity >= 1 && order->items[i].quantity <= 3);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(order->items[i].sku, order->items[j].sku);
    }
}

static void test_orders(void **state)
{
    char products[2048];
    size_t size = (size_t)snprintf(products, sizeof products, "{\"products\": [");
    uint64_t random = 1;
    OrderRequest order;
    unsigned first = 0, last = 0;

    (void)state;
    for (int i = 0; i < 20; i++)
        size += (size_t)snprintf(products + size, sizeof products - size,
                                 "%s{\"sku\": \"S%02d\", \"stock\": 9}", i ? "," : "", i);
    (void)snprintf(products + size, sizeof products - size, "]}");
    for (int n = 0; n < 2000; n++) {
        assert_true(shopper_choose(products, &random, &order));
        assert_orderable(&order);
        for (size_t i = 0; i < order.item_count; i++) {
            first += strcmp(order.items[i].sku, "S00") == 0;
            last += strcmp(order.items[i].sku, "S19") == 0;
        }
    }
    assert_true(last > 0 && first > 5 * last);
}

static void test_little_is_left(void **state)
{
    static const char products[] =
        "{\"products\": [{\"sku\": \"A\", \"stock\": 0}, {\"sku\": \"B\", \"stock\": 1}, "
        "{\"sku\": \"C\", \"stock\": 0}]}";
    uint64_t random = 7;
    OrderRequest order;

    (void)state;
    for (int n = 0; n < 200; n++) {
        assert_true(shopper_choose(products, &random, &order));
        assert_int_equal(order.item_count, 1);
        assert_string_equal(order.items[0].sku, "B");
        assert_int_equal(order.items[0].quantity, 1);
    }
}

static void test_nothing_to_buy(void **state)
{
    static const char *const answers[] = {"",
                                          "nonsense",
                                          "[]",
                                          "{}",
                                          "{\"products\": []}",
                                          "{\"products\": [1, {}]}",
                                          "{\"products\": [{\"sku\": \"A\", \"stock\": 0}]}",
                                          "{\"products\": [{\"sku\": \"A,B\", \"stock\": 5}]}"};
    uint64_t random = 7;
    OrderRequest order;

    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++)
        assert_false(shopper_choose(answers[i], &random, &order));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_orders), cmocka_unit_test(test_little_is_left),
                                       cmocka_unit_test(test_nothing_to_buy)};

    return cmocka_run_group_tests_name("storefront_shopper", tests, NULL, NULL);
}
