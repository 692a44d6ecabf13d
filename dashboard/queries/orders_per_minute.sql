-- The last 60 minutes, the present one included, one row each: minutes without an order are rows of zero.
WITH
    toStartOfMinute(now('UTC')) AS this_minute,
    this_minute - INTERVAL 59 MINUTE AS first_minute
SELECT
    toUnixTimestamp(minute) * 1000 AS minute_ms,
    countIf(is_order) AS orders,
    toDecimalString(sum(amount), 2) AS revenue
FROM
(
    SELECT toStartOfMinute(toDateTime(placed_at, 'UTC')) AS minute, total AS amount, true AS is_order
    FROM orders
    WHERE placed_at >= first_minute
    UNION ALL
    SELECT arrayJoin(arrayMap(i -> first_minute + toIntervalMinute(i), range(60))), toDecimal64(0, 2), false
)
WHERE minute <= this_minute
GROUP BY minute
ORDER BY minute
