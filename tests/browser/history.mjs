// An hour of trade, so that the picture shows what a running shop looks like. It goes through the pipeline like any other,
// a minute of it in each transaction.
const MINUTES = 60;

export async function addHistory(stack) {
  for (let minute = MINUTES; minute > 0; minute--) await addMinute(stack, minute, Math.round(60 + 18 * Math.sin(minute / 3)));
}

async function addMinute(stack, minute, orders) {
  await stack.postgres(`
    WITH people(n, name) AS (
      SELECT row_number() OVER (), name FROM unnest(ARRAY['Ada Lovelace', 'Barbara Liskov', 'Edgar F. Codd',
        'Frances Allen', 'Grace Hopper', 'Jim Gray', 'Michael Stonebraker']) AS name
    ), made AS (
      INSERT INTO orders (customer_id, customer_name, status, total, details, placed_at)
      SELECT gen_random_uuid(), name, 'placed', 0, '{}', now() - interval '1 minute' * (${minute} - i / ${orders}.0)
      FROM generate_series(1, ${orders}) AS i JOIN people ON people.n = 1 + (i * 5 + i / 7) % 7
      RETURNING id
    ), lines AS (
      INSERT INTO order_items (order_id, line, product_id, sku, quantity, unit_price)
      SELECT made.id, line, p.id, p.sku, 1 + (made.id * line) % 3, p.price
      FROM made CROSS JOIN generate_series(1, 2) AS line
      JOIN products p ON p.id = (SELECT min(id) FROM products) + (made.id * made.id * line / 3 + line) % (SELECT count(*) FROM products)
      RETURNING order_id
    ) SELECT count(*) FROM lines;
    UPDATE orders SET total = t.total FROM (SELECT order_id, sum(quantity * unit_price) AS total FROM order_items GROUP BY order_id) AS t
    WHERE order_id = id AND orders.total = 0`);
}
