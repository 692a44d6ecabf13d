-- The shop's tables and its 30 products. Safe to run again: what is there stays.
CREATE TABLE IF NOT EXISTS products (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  sku text NOT NULL UNIQUE,
  name text NOT NULL,
  description text NOT NULL,
  category text NOT NULL,
  price numeric(10,2) NOT NULL CHECK (price >= 0),
  stock int NOT NULL CHECK (stock >= 0),
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS orders (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  customer_id uuid NOT NULL,
  customer_name text NOT NULL,
  status text NOT NULL DEFAULT 'placed',
  total numeric(12,2) NOT NULL,
  details jsonb NOT NULL DEFAULT '{}',
  -- Made by the page: the same order sent twice is one order.
  request_id uuid UNIQUE,
  placed_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS orders_customer_id_idx ON orders (customer_id, id DESC);

CREATE TABLE IF NOT EXISTS order_items (
  order_id bigint NOT NULL REFERENCES orders,
  line int NOT NULL,
  product_id bigint NOT NULL REFERENCES products,
  sku text NOT NULL,
  quantity int NOT NULL CHECK (quantity > 0),
  unit_price numeric(10,2) NOT NULL,
  PRIMARY KEY (order_id, line)
);

INSERT INTO products (sku, name, description, category, price, stock) VALUES
  ('COF-ETH-250', 'Ethiopia Guji, 250 g', 'Light roast with apricot and jasmine.', 'Coffee', 12.50, 5000),
  ('COF-COL-250', 'Colombia Huila, 250 g', 'Medium roast, caramel and red apple.', 'Coffee', 11.00, 5000),
  ('COF-BRA-250', 'Brazil Cerrado, 250 g', 'Dark and nutty, made for espresso.', 'Coffee', 9.80, 5000),
  ('COF-KEN-250', 'Kenya Nyeri, 250 g', 'Blackcurrant, bright and juicy.', 'Coffee', 14.20, 5000),
  ('COF-DEC-250', 'Decaf Peru, 250 g', 'Washed with water, cocoa and honey.', 'Coffee', 12.00, 5000),
  ('COF-HOU-1KG', 'House blend, 1 kg', 'What we drink all day.', 'Coffee', 29.90, 5000),
  ('COF-INS-TIN', 'Instant, tin', 'For tents and trains.', 'Coffee', 8.40, 3),
  ('TEA-EGR-100', 'Earl Grey, 100 g', 'Ceylon leaves and real bergamot.', 'Tea', 7.90, 5000),
  ('TEA-SEN-100', 'Sencha, 100 g', 'Green, grassy, from Kagoshima.', 'Tea', 11.50, 5000),
  ('TEA-DAR-050', 'Darjeeling first flush, 50 g', 'Picked in March.', 'Tea', 13.00, 5000),
  ('TEA-OOL-100', 'Milk oolong, 100 g', 'Creamy, lightly oxidised.', 'Tea', 14.80, 5000),
  ('TEA-ROO-100', 'Rooibos, 100 g', 'No caffeine, a little vanilla.', 'Tea', 6.20, 5000),
  ('TEA-MIN-050', 'Moroccan mint, 50 g', 'Gunpowder and spearmint.', 'Tea', 5.40, 5000),
  ('TEA-CHA-100', 'Masala chai, 100 g', 'Assam with cardamom, ginger and clove.', 'Tea', 8.60, 5000),
  ('BRW-V60-001', 'Dripper, porcelain', 'For one or two cups.', 'Brewing', 24.00, 5000),
  ('BRW-FIL-100', 'Paper filters, 100', 'Unbleached, size 02.', 'Brewing', 6.50, 5000),
  ('BRW-FRP-800', 'French press, 0.8 l', 'Borosilicate glass and steel.', 'Brewing', 34.90, 5000),
  ('BRW-MOK-003', 'Moka pot, 3 cups', 'Aluminium, eight sides.', 'Brewing', 28.00, 5000),
  ('BRW-KET-100', 'Gooseneck kettle, 1 l', 'Stops at the degree you set.', 'Brewing', 89.00, 5000),
  ('BRW-GRI-001', 'Hand grinder', 'Steel burrs, 24 steps.', 'Brewing', 74.50, 5000),
  ('BRW-SCA-002', 'Scale with timer', 'To a tenth of a gram.', 'Brewing', 49.00, 5000),
  ('BRW-TEA-600', 'Teapot, 0.6 l', 'Stoneware with a strainer.', 'Brewing', 39.00, 5000),
  ('CUP-ESP-002', 'Espresso cups, 2', 'Thick walls, 80 ml.', 'Cups', 18.00, 5000),
  ('CUP-CAP-002', 'Cappuccino cups, 2', '180 ml, with saucers.', 'Cups', 24.00, 5000),
  ('CUP-MUG-350', 'Mug, 350 ml', 'Glazed in slate blue.', 'Cups', 14.00, 5000),
  ('CUP-TRV-400', 'Travel mug, 400 ml', 'Keeps hot for six hours.', 'Cups', 27.50, 5000),
  ('CUP-GLS-004', 'Tea glasses, 4', 'Double walls, 250 ml.', 'Cups', 32.00, 5000),
  ('SWT-BIS-200', 'Almond biscotti, 200 g', 'Baked twice.', 'Sweets', 7.20, 5000),
  ('SWT-CHO-100', 'Dark chocolate, 100 g', '72 % cocoa, sea salt.', 'Sweets', 5.90, 5000),
  ('SWT-HON-250', 'Linden honey, 250 g', 'From the next valley.', 'Sweets', 9.40, 5000)
ON CONFLICT (sku) DO NOTHING;
