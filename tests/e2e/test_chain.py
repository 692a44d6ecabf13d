"""The main job, on real parts: what is committed in Postgres is in the warehouse's views, exactly once."""

import decimal
import gzip
import json
import random
import threading
import time
import urllib.request
import uuid

import psycopg2
import pytest

from stackctl import Stack

SHOP_TABLES = ("products", "orders", "order_items")


@pytest.fixture(scope="module")
def stack():
    with Stack("--storefront") as running:
        yield running


def place_order(stack, items, name="Ada", customer=None):
    return stack.storefront("/api/orders", {
        "customer": {"id": customer or str(uuid.uuid4()), "name": name},
        "items": [{"sku": sku, "quantity": quantity} for sku, quantity in items]})


def test_order_appears_with_the_same_figures(stack):
    _, products = stack.storefront("/api/products")
    products = products.get("products", products) if isinstance(products, dict) else products
    assert len(products) >= 25
    first, second = products[0]["sku"], products[1]["sku"]
    status, order = place_order(stack, [(first, 2), (second, 1)])
    assert status == 201, order
    stack.wait(30)
    stack.assert_equal(*SHOP_TABLES)
    total = stack.clickhouse(f"SELECT total FROM orders WHERE id = {order['order_id']}").strip()
    assert decimal.Decimal(total) == decimal.Decimal(order["total"])

    orders, revenue = stack.sql("SELECT count(*), sum(total)::text FROM orders")[0]
    def figures_agree():
        totals = stack.summary()["queries"]["totals"][0]
        return int(totals["orders"]) == orders and str(totals["revenue"]) == revenue
    stack.until(figures_agree, 10, "the dashboard's totals equal Postgres's")
    def counts_agree():
        tables = {t["table"]: t for t in stack.summary()["tables"] if t["schema"] == "public"}
        return all(tables[t]["source_rows"] == tables[t]["warehouse_rows"] == stack.sql(f"SELECT count(*) FROM {t}")[0][0]
                   for t in SHOP_TABLES)
    stack.until(counts_agree, 30, "row counts of both ends agree on the dashboard")
    latency = stack.summary()["latency_ms"]
    assert latency["rows"] > 0 and 0 < latency["p50"] <= latency["p95"] <= latency["p99"]


def test_update_and_delete(stack):
    stack.sql("CREATE TABLE thing (id int PRIMARY KEY, name text, price numeric(10,2), seen timestamptz DEFAULT now())")
    stack.sql("INSERT INTO thing SELECT g, 'thing ' || g, g / 3.0 FROM generate_series(1, 1000) g")
    stack.sql("UPDATE thing SET price = price * 2, name = NULL WHERE id % 3 = 0")
    stack.sql("UPDATE thing SET id = id + 5000 WHERE id % 7 = 0")
    stack.sql("DELETE FROM thing WHERE id % 5 = 0")
    stack.wait(30)
    stack.assert_equal("thing")
    assert len(stack.source_rows("thing")) == stack.sql("SELECT count(*) FROM thing")[0][0] > 500
    # Deleted rows are kept as deletes, so that nothing older can come back.
    deleted = int(stack.clickhouse("SELECT uniqExact(id) FROM _thing WHERE _deleted = 1"))
    assert deleted >= 1000 // 5


def test_types_arrive_unbent(stack):
    stack.sql("""CREATE TABLE typed (id int PRIMARY KEY, i2 int2, i8 int8, f4 float4, f8 float8, b bool, t text, v varchar(20),
        c char(4), n numeric(12,4), wide numeric(60,20), d date, ts timestamp, tz timestamptz, u uuid, j jsonb)""")
    stack.sql("""INSERT INTO typed SELECT g, g - 50, g * 10000000000, g / 7.0, exp(g::float8), g % 2 = 0, repeat('ä', g), 'v' || g, 'c',
        g / 8.0 - 6, (g - 50) * 1e30 / 3, date '1960-01-01' + g * 500, timestamp '1950-01-01' + g * interval '1 year 0.000001 s',
        timestamptz '2024-01-01 00:00:00+00' + g * interval '1.000001 s', gen_random_uuid(), jsonb_build_object('g', g, 'x', null)
        FROM generate_series(1, 100) g""")
    stack.sql("INSERT INTO typed (id) VALUES (0)")
    stack.sql("INSERT INTO typed (id, f4, f8, t) VALUES (-1, 'NaN', '-Infinity', E'tab\\tquote\"\\'\\\\ newline\\n')")
    stack.wait(30)
    stack.assert_equal("typed")


def test_rolled_back_and_large_transactions(stack):
    stack.sql("CREATE TABLE batch (id int PRIMARY KEY, filler text)")
    with stack.connect() as connection:
        connection.autocommit = False
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO batch SELECT g, 'kept' FROM generate_series(1, 30000) g")
            cursor.execute("SAVEPOINT s")
            cursor.execute("UPDATE batch SET filler = 'lost'")
            cursor.execute("ROLLBACK TO s")
            cursor.execute("DELETE FROM batch WHERE id % 2 = 0")
        connection.commit()
        with connection.cursor() as cursor:
            cursor.execute("UPDATE batch SET filler = 'lost too'")
        connection.rollback()
    connection.close()
    stack.wait(60)
    stack.assert_equal("batch")


def test_names_of_all_kinds(stack):
    stack.sql('CREATE SCHEMA "odd. Schema"')
    stack.sql('CREATE TABLE "odd. Schema"."Ta""b`le \\ ü" ("K e`y" int PRIMARY KEY, "select" text)')
    stack.sql('INSERT INTO "odd. Schema"."Ta""b`le \\ ü" VALUES (1, \'x\'), (2, NULL)')
    stack.wait(30)
    missing, surplus = stack.differences('Ta"b`le \\ ü', "odd. Schema")
    assert (missing, surplus) == ([], [])


def test_idle_slot_advances(stack):
    """WAL that concerns no published table must not be kept: keepalives move the slot."""
    before = stack.sql("SELECT pg_current_wal_lsn()")[0][0]
    stack.sql("SELECT pg_switch_wal()")
    stack.until(lambda: stack.sql("SELECT confirmed_flush_lsn > %s::pg_lsn FROM pg_replication_slots "
                                  "WHERE slot_name = 'walhouse_' || %s", (before, stack.env["PIPELINE"]))[0][0],
                30, "the idle slot's confirmed LSN advances")


def test_hot_keys_end_equal(stack):
    """8 clients insert and delete 3 keys: the case for which versions are in commit order."""
    stack.sql("CREATE TABLE hot (id int PRIMARY KEY, writer int, n int)")
    stop_at = time.monotonic() + 20
    done = [0] * 8
    failures = []

    def hammer(writer):
        connection = stack.connect()
        cursor = connection.cursor()
        n = 0
        try:
            while time.monotonic() < stop_at:
                key = n % 3
                try:
                    cursor.execute("INSERT INTO hot VALUES (%s, %s, %s)", (key, writer, n))
                except psycopg2.errors.UniqueViolation:
                    cursor.execute("DELETE FROM hot WHERE id = %s", (key,))
                n += 1
        except Exception as error:  # pylint: disable=broad-except
            failures.append(error)
        finally:
            done[writer] = n
            connection.close()

    threads = [threading.Thread(target=hammer, args=(writer,)) for writer in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert sum(done) > 1000, done
    # Whatever the end is, one more commit of each key would hide an error: none is made.
    stack.wait(60)
    stack.assert_equal("hot")


def test_garbage_goes_to_the_dead_letters_while_good_ones_flow(stack):
    before = stack.summary()["dlq"]["count"]
    topic = f"{stack.env['TOPIC_PREFIX']}.public.orders"
    garbage = b"this is no event \xff\x00"
    stack.produce(topic, garbage, "bad-key")
    status, order = place_order(stack, [(stack.sql("SELECT sku FROM products ORDER BY stock DESC LIMIT 1")[0][0], 1)])
    assert status == 201, order
    stack.wait(30)
    stack.assert_equal(*SHOP_TABLES)
    stack.until(lambda: stack.summary()["dlq"]["count"] == before + 1, 15, "the dead letter is counted")
    key, _, headers = stack.consume(f"{stack.env['TOPIC_PREFIX']}.__dlq")[-1]
    assert key == "bad-key"
    assert headers["walhouse.reason"] == "undecodable"
    assert headers["walhouse.topic"] == topic
    assert headers["walhouse.error"]
    assert headers["walhouse.offset"].isdigit() and headers["walhouse.partition"].isdigit()


def test_status_says_how_it_is(stack):
    status = stack.status()
    assert status["state"] == "streaming"
    assert status["events"] > 0 and status["transactions"] > 0
    assert status["publisher_pid"] and status["worker_pid"]
    assert status["retained_wal_bytes"] >= 0


def test_row_counts_hold_while_rows_are_written(stack):
    stack.sql("CREATE TABLE counted (id bigserial PRIMARY KEY, note text)")
    stack.sql("ALTER SYSTEM SET walhouse.statistics_interval = 1")
    stack.sql("SELECT pg_reload_conf()")
    stop = threading.Event()

    def write(seed):
        pauses = random.Random(seed)
        connection = stack.connect()
        connection.autocommit = True
        with connection.cursor() as cursor:
            while not stop.is_set():
                cursor.execute("INSERT INTO counted (note) SELECT 'x' FROM generate_series(1, %s)", (pauses.randint(1, 5),))
                time.sleep(pauses.uniform(0.002, 0.02))
        connection.close()

    def samples():
        return [e for e in (json.loads(value) for _, value, _ in stack.consume(f"{stack.env['TOPIC_PREFIX']}.__control"))
                if e["kind"] == "source_statistics" and any(t["table"] == "counted" and t["rows"] > 0 for t in e["tables"])]

    writers = [threading.Thread(target=write, args=(seed,)) for seed in range(3)]
    for writer in writers:
        writer.start()
    try:
        stack.until(lambda: sum(e["settled"] for e in samples()) >= 5, 60, "five samples taken while nobody committed")
    finally:
        stop.set()
        for writer in writers:
            writer.join()
        stack.sql("ALTER SYSTEM RESET walhouse.statistics_interval")
        stack.sql("SELECT pg_reload_conf()")
    stack.wait()
    for event in samples():
        rows = next(table["rows"] for table in event["tables"] if table["table"] == "counted")
        high, low = (int(part, 16) for part in event["lsn"].split("/"))
        version = event["epoch"] << 112 | (high << 32 | low) << 48
        committed = int(stack.clickhouse(f"SELECT count() FROM counted WHERE _version < toUInt128('{version}')"))
        assert rows == committed or not event["settled"], event

    def at_rest():
        return stack.clickhouse("SELECT source_rows = (SELECT count() FROM counted) AND source_rows = warehouse_rows AND warehouse_newer = 0 "
                                "FROM _walhouse_statistics WHERE table = 'counted' ORDER BY source_taken_at DESC LIMIT 1").strip() == "1"

    stack.until(at_rest, 30, "both counts are equal")
    explained = stack.clickhouse_rows("SELECT countIf(exact), countIf(exact AND abs(warehouse_rows - source_rows) > warehouse_newer), "
                                      "countIf(warehouse_newer > 0) FROM _walhouse_statistics WHERE table = 'counted'")
    exact, unexplained, moving = explained[0]
    assert exact >= 5 and unexplained == 0 and moving > 0, explained


def test_the_dashboard_goes_packed(stack):
    request = urllib.request.Request(stack.env["AGENT_URL"] + "/", headers={"Accept-Encoding": "gzip"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.headers["Content-Encoding"] == "gzip" and b"<html" in gzip.decompress(answer.read())
