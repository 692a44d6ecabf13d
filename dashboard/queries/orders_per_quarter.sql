-- The last 25 hours in quarters of an hour, the present one included, one row each: the page takes from them what is
-- today where its reader is. Every time zone is off UTC by whole quarters, and a day has 25 hours at most.
WITH
    toStartOfFifteenMinutes(now('UTC')) AS this_quarter,
    this_quarter - INTERVAL 1485 MINUTE AS first_quarter
SELECT
    toUnixTimestamp(quarter) * 1000 AS minute_ms,
    countIf(is_order) AS orders,
    toDecimalString(sum(amount), 2) AS revenue
FROM
(
    SELECT toStartOfFifteenMinutes(toDateTime(placed_at, 'UTC')) AS quarter, total AS amount, true AS is_order
    FROM orders
    WHERE placed_at >= first_quarter
    UNION ALL
    SELECT arrayJoin(arrayMap(i -> first_quarter + toIntervalMinute(15 * i), range(100))), toDecimal64(0, 2), false
)
WHERE quarter <= this_quarter
GROUP BY quarter
ORDER BY quarter
