-- The ten SKUs that brought most revenue. The price is the one the customer paid, not today's. The name is empty while
-- the product's own row has not arrived.
SELECT
    items.sku AS sku,
    any(products.name) AS name,
    sum(items.quantity) AS units,
    toDecimalString(sum(items.quantity * items.unit_price), 2) AS revenue
FROM order_items AS items
LEFT JOIN products ON products.id = items.product_id
GROUP BY items.sku
ORDER BY sum(items.quantity * items.unit_price) DESC, sku
LIMIT 10
