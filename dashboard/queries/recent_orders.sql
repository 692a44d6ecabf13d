-- The ten newest orders, with the time each took from commit in Postgres to loaded here. The rows of an order come in
-- one transaction but through two topics: units are 0 for the moment in which only the order has arrived.
WITH newest AS
(
    SELECT id, customer_name, status, total, placed_at, _commit_time, _loaded_time
    FROM orders
    ORDER BY placed_at DESC, id DESC
    LIMIT 10
)
SELECT
    toString(newest.id) AS order_id,
    customer_name,
    status,
    units,
    toDecimalString(total, 2) AS total,
    toUnixTimestamp64Milli(placed_at) AS placed_at_ms,
    dateDiff('millisecond', _commit_time, _loaded_time) AS latency_ms
FROM newest
LEFT JOIN
(
    SELECT order_id, sum(quantity) AS units
    FROM order_items
    WHERE order_id IN (SELECT id FROM newest)
    GROUP BY order_id
) AS items ON items.order_id = newest.id
ORDER BY placed_at DESC, newest.id DESC
