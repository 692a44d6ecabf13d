-- The shop in one row. Money is text with two decimals, exact: JSON numbers are binary. average_order_value is null
-- while there are no orders, and rounded at the cent, halves up.
SELECT
    count() AS orders,
    toDecimalString(sum(total), 2) AS revenue,
    if(count() = 0, NULL, toDecimalString(round(toDecimal128(sum(total), 6) / greatest(count(), 1), 2), 2)) AS average_order_value,
    countIf(placed_at > now64(6, 'UTC') - INTERVAL 1 MINUTE) AS orders_last_minute
FROM orders
