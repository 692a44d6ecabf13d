"""The dashboard's SQL (dashboard/queries/*.sql) on the real engine, asked over HTTP the way the agent asks it.

The tables are made here as the agent makes them: storage tables that replace by version, and views of the current
rows. The rows are made up so that every answer can be worked out by hand.
"""

import json
import os
import pathlib
import re
import select
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest

TREE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("WALHOUSE_BUILD", TREE / "build"))
QUERIES = TREE / "dashboard" / "queries"
START_TIMEOUT_S = 30
STOP_TIMEOUT_S = 20

SYSTEM_COLUMNS = """_version UInt128, _deleted UInt8, _commit_time DateTime64(6, 'UTC'),
    _loaded_time DateTime64(6, 'UTC') DEFAULT now64(6)"""
TABLES = {
    "orders": (
        """id Int64, customer_id UUID, customer_name String, status String, total Decimal(12, 2), details String,
        placed_at DateTime64(6, 'UTC')""",
        "id",
    ),
    "order_items": (
        "order_id Int64, line Int32, product_id Int64, sku String, quantity Int32, unit_price Decimal(10, 2)",
        "(order_id, line)",
    ),
    "products": (
        """id Int64, sku String, name String, description String, category String, price Decimal(10, 2), stock Int32,
        created_at DateTime64(6, 'UTC'), updated_at DateTime64(6, 'UTC')""",
        "id",
    ),
}


class Warehouse:
    def __init__(self, address):
        self.url = f"http://{address}/"

    def ask(self, sql, **parameters):
        url = self.url + "?" + urllib.parse.urlencode(parameters)
        request = urllib.request.Request(url, data=sql.encode(), method="POST")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read().decode()

    def query(self, name, database):
        sql = (QUERIES / f"{name}.sql").read_text()
        answer = self.ask(sql, database=database, default_format="JSONEachRow")
        return [json.loads(line) for line in answer.splitlines()]


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory):
    program = BUILD / "bin" / "walhouse-warehouse"
    assert program.exists(), f"{program} is missing: run make first"
    data = tmp_path_factory.mktemp("warehouse")
    errors = open(data / "stderr", "wb")
    process = subprocess.Popen(
        [program, "--listen", "127.0.0.1:0", "--data", data / "data"], stdout=subprocess.PIPE, stderr=errors
    )
    try:
        yield Warehouse(listening_address(process, data / "stderr"))
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        errors.close()


def listening_address(process, stderr_path):
    """Reads the program's ready line; bounded in time, so that a program that says nothing fails the test."""
    deadline = time.monotonic() + START_TIMEOUT_S
    said = b""
    while time.monotonic() < deadline and process.poll() is None:
        if select.select([process.stdout], [], [], 0.2)[0]:
            said += os.read(process.stdout.fileno(), 4096)
            match = re.search(rb"listening on (\S+:\d+)\n", said)
            if match:
                return match.group(1).decode()
    raise AssertionError(f"walhouse-warehouse did not start: {said!r} {stderr_path.read_text()!r}")


@pytest.fixture
def shop(warehouse, request):
    """An empty shop in a database of the test's own."""
    database = re.sub(r"\W", "_", request.node.name)
    warehouse.ask(f"CREATE DATABASE {database}")
    for table, (columns, key) in TABLES.items():
        warehouse.ask(
            f"CREATE TABLE `_{table}` ({columns}, {SYSTEM_COLUMNS}) "
            f"ENGINE = ReplacingMergeTree(_version, _deleted) ORDER BY {key}",
            database=database,
        )
        warehouse.ask(
            f"CREATE VIEW `{table}` AS SELECT * EXCEPT (_deleted) FROM `{database}`.`_{table}` FINAL", database=database
        )
    return Shop(warehouse, database)


class Shop:
    def __init__(self, warehouse, database):
        self.warehouse = warehouse
        self.database = database

    def query(self, name):
        return self.warehouse.query(name, self.database)

    def order(self, order_id, total, age_s=0, version=1, deleted=0, name="Ann", latency_ms=40):
        self.insert(
            "orders",
            f"SELECT {order_id}, generateUUIDv4(), '{name}', 'placed', toDecimal64('{total}', 2), '{{}}',"
            f" now64(6) - toIntervalSecond({age_s}), {version}, {deleted}, now64(6) - toIntervalMillisecond({latency_ms}),"
            " now64(6)",
        )

    def item(self, order_id, line, sku, quantity, unit_price, version=1, deleted=0):
        product_id = int(sku.removeprefix("S"))
        self.insert(
            "order_items",
            f"SELECT {order_id}, {line}, {product_id}, '{sku}', {quantity}, toDecimal64('{unit_price}', 2),"
            f" {version}, {deleted}, now64(6), now64(6)",
        )

    def product(self, product_id, name, version=1):
        self.insert(
            "products",
            f"SELECT {product_id}, 'S{product_id}', '{name}', '', 'c', toDecimal64('1.00', 2), 5, now64(6), now64(6),"
            f" {version}, 0, now64(6), now64(6)",
        )

    def insert(self, table, select):
        self.warehouse.ask(f"INSERT INTO `_{table}` {select}", database=self.database)


def test_every_query_has_a_test():
    here = pathlib.Path(__file__).read_text()
    for path in QUERIES.glob("*.sql"):
        assert f'query("{path.stem}")' in here, path.name


def test_empty_shop(shop):
    assert shop.query("totals") == [
        {"orders": 0, "revenue": "0.00", "average_order_value": None, "orders_last_minute": 0}
    ]
    assert shop.query("top_skus") == []
    assert shop.query("recent_orders") == []
    minutes = shop.query("orders_per_minute")
    assert len(minutes) == 60
    quarters = shop.query("orders_per_quarter")
    assert len(quarters) == 100
    assert all(bucket["orders"] == 0 and bucket["revenue"] == "0.00" for bucket in minutes + quarters)


@pytest.mark.parametrize("name", ["totals", "orders_per_minute", "orders_per_quarter", "top_skus", "recent_orders"])
def test_missing_table_is_named_as_such(warehouse, name):
    """The page tells an empty shop from a broken warehouse by this word."""
    with pytest.raises(urllib.error.HTTPError) as refused:
        warehouse.query(name, "default")
    assert "UNKNOWN_TABLE" in refused.value.read().decode()


def test_totals_are_exact_and_of_current_rows(shop):
    shop.order(1, "0.10", age_s=3600)
    shop.order(2, "0.20", age_s=90)
    shop.order(3, "9999999999.99")
    shop.order(4, "500.00")
    shop.order(4, "500.00", version=2, deleted=1)
    shop.order(2, "0.25", age_s=90, version=2)
    shop.order(2, "7.00", age_s=90, version=1)
    assert shop.query("totals") == [
        # 10000000000.34 / 3 = 3333333333.4466…
        {"orders": 3, "revenue": "10000000000.34", "average_order_value": "3333333333.45", "orders_last_minute": 1}
    ]


def test_average_rounds_halves_up(shop):
    shop.order(1, "0.10")
    shop.order(2, "0.15")
    assert shop.query("totals")[0]["average_order_value"] == "0.13"


def test_orders_per_minute(shop):
    for order_id in range(1, 4):
        shop.order(order_id, "1.50", age_s=600)
    shop.order(4, "2.00", age_s=4000)
    shop.order(5, "3.00", age_s=1200)
    shop.order(5, "3.00", age_s=1200, version=2, deleted=1)
    minutes = shop.query("orders_per_minute")
    starts = [minute["minute_ms"] for minute in minutes]
    assert starts == list(range(starts[0], starts[0] + 60 * 60_000, 60_000))
    assert starts[0] % 60_000 == 0
    assert 0 <= time.time() * 1000 - starts[-1] < 70_000
    busy = [(minute["orders"], minute["revenue"]) for minute in minutes if minute["orders"]]
    # The three inserts may straddle a minute.
    assert sum(orders for orders, _ in busy) == 3
    assert sum(float(revenue) for _, revenue in busy) == pytest.approx(4.50)


def test_orders_per_quarter(shop):
    shop.order(1, "1.50", age_s=600)
    shop.order(2, "2.00", age_s=23 * 3600)
    shop.order(3, "9.00", age_s=26 * 3600)
    quarters = shop.query("orders_per_quarter")
    starts = [quarter["minute_ms"] for quarter in quarters]
    assert starts == list(range(starts[0], starts[0] + 100 * 900_000, 900_000))
    assert starts[0] % 900_000 == 0 and 0 <= time.time() * 1000 - starts[-1] < 910_000
    assert [(quarter["orders"], quarter["revenue"]) for quarter in quarters if quarter["orders"]] == [(1, "2.00"), (1, "1.50")]


def test_top_skus(shop):
    for product_id in range(1, 13):
        if product_id != 12:
            shop.product(product_id, f"Product {product_id}")
        shop.item(100 + product_id, 1, f"S{product_id}", 2, f"{product_id}.05")
    shop.product(11, "Renamed", version=2)
    shop.item(200, 1, "S1", 1, "0.95")
    shop.item(201, 1, "S3", 1000, "1000.00")
    shop.item(201, 1, "S3", 1000, "1000.00", version=2, deleted=1)
    rows = shop.query("top_skus")
    assert len(rows) == 10
    assert rows[0] == {"sku": "S12", "name": "", "units": 2, "revenue": "24.10"}
    assert rows[1] == {"sku": "S11", "name": "Renamed", "units": 2, "revenue": "22.10"}
    assert [row["sku"] for row in rows] == [f"S{n}" for n in range(12, 2, -1)]


def test_recent_orders(shop):
    for order_id in range(1, 13):
        shop.order(order_id, f"{order_id}.00", age_s=100 - order_id, name=f"Customer {order_id}")
    shop.order(2**60, "0.01", age_s=0)
    shop.item(12, 1, "S1", 2, "1.00")
    shop.item(12, 2, "S2", 3, "1.00")
    rows = shop.query("recent_orders")
    assert [row["order_id"] for row in rows] == [str(2**60)] + [str(n) for n in range(12, 3, -1)]
    second = rows[1]
    assert (second["customer_name"], second["status"], second["units"], second["total"]) == ("Customer 12", "placed", 5, "12.00")
    assert second["latency_ms"] == pytest.approx(40, abs=1)
    assert abs(second["placed_at_ms"] - (time.time() * 1000 - 88_000)) < 60_000
    assert rows[2]["units"] == 0
