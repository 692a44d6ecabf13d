"""kill -9 of every part in the middle of a stream of orders: afterwards every committed row is in its view exactly once."""

import pathlib
import threading
import time
import uuid

import pytest

from stackctl import Stack

SHOP_TABLES = ("products", "orders", "order_items")
SHOPPERS = 4


@pytest.fixture(scope="module")
def stack():
    with Stack("--storefront") as running:
        # Nobody runs out of stock while parts are being killed.
        running.sql("UPDATE products SET stock = 1000000")
        yield running


class Shoppers:
    """Places orders through the storefront until told to stop; what the storefront refuses while a part is away is counted."""

    def __init__(self, stack):
        self.stack = stack
        self.skus = [row[0] for row in stack.sql("SELECT sku FROM products ORDER BY sku")]
        self.stop = threading.Event()
        self.placed = 0
        self.refused = 0
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.shop, args=(n,), daemon=True) for n in range(SHOPPERS)]

    def shop(self, number):
        customer = str(uuid.uuid4())
        n = number
        while not self.stop.is_set():
            n += 1
            order = {"customer": {"id": customer, "name": f"shopper {number}"},
                     "items": [{"sku": self.skus[n % len(self.skus)], "quantity": 1 + n % 3},
                               {"sku": self.skus[(n * 7 + 1) % len(self.skus)], "quantity": 1}]}
            if order["items"][0]["sku"] == order["items"][1]["sku"]:
                order["items"].pop()
            try:
                status, _ = self.stack.storefront("/api/orders", order)
            except OSError:
                status = 0
            with self.lock:
                if status == 201:
                    self.placed += 1
                else:
                    self.refused += 1
            time.sleep(0.01 if status == 201 else 0.1)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, kind, value, trace):
        self.stop.set()
        for thread in self.threads:
            thread.join(30)

    def wait_for_orders(self, count, seconds=60):
        """Until count more orders were placed."""
        goal = self.placed + count
        deadline = time.monotonic() + seconds
        while self.placed < goal:
            assert time.monotonic() < deadline, f"{self.placed} of {goal} orders placed, {self.refused} refused"
            time.sleep(0.05)


def kill_in_the_stream(stack, part, restart):
    """Orders flow, the part is killed, is away for a moment, comes back, and orders flow on."""
    with Shoppers(stack) as shoppers:
        shoppers.wait_for_orders(40)
        stack.kill(part)
        time.sleep(1.5)
        if restart:
            stack.start(part)
        shoppers.wait_for_orders(40)
    stack.wait(90)
    stack.assert_equal(*SHOP_TABLES)
    assert shoppers.placed >= 80


def test_kill_agent(stack):
    kill_in_the_stream(stack, "agent", restart=True)


def test_kill_warehouse(stack):
    kill_in_the_stream(stack, "warehouse", restart=True)


def test_kill_broker(stack):
    kill_in_the_stream(stack, "kafka", restart=True)


def test_kill_publisher_leaves_every_session_alive(stack):
    session = stack.connect()
    cursor = session.cursor()
    cursor.execute("CREATE TEMPORARY TABLE mine AS SELECT pg_postmaster_start_time() AS started, pg_backend_pid() AS pid")
    starts = stack.sql("SELECT publisher_starts FROM walhouse.status")[0][0]
    kill_in_the_stream(stack, "publisher", restart=False)
    cursor.execute("SELECT pid = pg_backend_pid() AND started = pg_postmaster_start_time() FROM mine")
    assert cursor.fetchone() == (True,)
    session.close()
    assert stack.sql("SELECT publisher_starts FROM walhouse.status")[0][0] > starts


def test_kill_worker(stack):
    # The postmaster restarts every session when a background worker is killed: that is its rule, not ours.
    worker = stack.status()["worker_pid"]
    publisher = stack.status()["publisher_pid"]
    kill_in_the_stream(stack, "worker", restart=False)
    assert stack.status()["worker_pid"] not in (None, worker)
    with pytest.raises(FileNotFoundError), open(f"/proc/{publisher}/stat", encoding="ascii"):
        pass


def test_kill_postgres(stack):
    publisher = stack.status()["publisher_pid"]
    kill_in_the_stream(stack, "postgres", restart=True)
    with pytest.raises(FileNotFoundError), open(f"/proc/{publisher}/stat", encoding="ascii"):
        pass


def test_kill_everything_at_once(stack):
    with Shoppers(stack) as shoppers:
        shoppers.wait_for_orders(20)
        for part in ("agent", "warehouse", "kafka", "postgres"):
            stack.kill(part)
        for part in ("kafka", "warehouse", "postgres", "agent"):
            stack.start(part)
        shoppers.wait_for_orders(20, 90)
    stack.wait(120)
    stack.assert_equal(*SHOP_TABLES)


def test_kafka_away_is_said_and_survived(stack):
    """The publisher waits, says so, stays connected to its slot, and goes on by itself."""
    stack.kill("kafka")
    try:
        stack.sql("UPDATE products SET stock = stock - 1")
        stack.until(lambda: stack.status()["state"] == "waiting_for_kafka", 30, "status says that Kafka is away")
        assert stack.status()["last_error"]
        publisher = stack.status()["publisher_pid"]
        # Longer than wal_sender_timeout would allow a client that does not answer.
        stack.sql("ALTER SYSTEM SET wal_sender_timeout = '3s'")
        stack.sql("SELECT pg_reload_conf()")
        for _ in range(8):
            stack.sql("UPDATE products SET stock = stock - 1")
            time.sleep(1)
        assert stack.status()["publisher_pid"] == publisher
        assert stack.sql("SELECT active FROM pg_replication_slots WHERE slot_name = 'walhouse_' || %s",
                         (stack.env["PIPELINE"],)) == [(True,)]
    finally:
        stack.start("kafka")
    stack.wait(60)
    stack.sql("ALTER SYSTEM RESET wal_sender_timeout")
    stack.sql("SELECT pg_reload_conf()")
    stack.assert_equal("products")
    stack.until(lambda: stack.status()["state"] == "streaming", 20, "status says that events flow again")


def test_shutdown_with_kafka_away_is_quick(stack):
    stack.kill("kafka")
    try:
        stack.sql("UPDATE products SET stock = stock - 1")
        publisher = stack.status()["publisher_pid"]
        stack.command("stop", "postgres", timeout=10)
        assert not pathlib.Path(f"/proc/{publisher}").exists()
    finally:
        stack.start("postgres")
        stack.start("kafka")
    stack.until(lambda: stack.sql("SELECT 1"), 30, "Postgres is back")
    stack.wait(60)
    stack.assert_equal("products")
