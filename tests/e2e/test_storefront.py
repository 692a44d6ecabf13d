"""The shop's backend against a real Postgres: orders are whole or not there, and nobody gets the last piece twice."""

import collections
import concurrent.futures
import gzip
import http.client
import json
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

import pytest

from stackctl import TREE, Stack

SKU = "COF-KEN-250"


@pytest.fixture(scope="module")
def stack():
    with Stack("--storefront", "--no-agent") as running:
        yield running


@pytest.fixture(autouse=True)
def enough(stack):
    stack.until(lambda: stack.sql("UPDATE products SET stock = 1000 RETURNING id"), 30, "Postgres answers")


def order(stack, *items, customer=None, name="Ada"):
    return stack.storefront("/api/orders", {
        "customer": {"id": customer or str(uuid.uuid4()), "name": name},
        "items": [{"sku": sku, "quantity": quantity} for sku, quantity in items]}, timeout=30)


def counts(stack):
    return stack.sql("SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM order_items), (SELECT sum(stock) FROM products)")[0]


def test_catalogue(stack):
    status, answer = stack.storefront("/api/products")
    assert status == 200 and len(answer["products"]) == 30
    product = answer["products"][0]
    assert set(product) == {"sku", "name", "description", "category", "price", "stock"}
    assert stack.storefront(f"/api/products/{SKU}") == (200, next(p for p in answer["products"] if p["sku"] == SKU))
    assert stack.storefront("/api/products/NO-SUCH")[0] == 404


def test_order_is_one_transaction(stack):
    customer = str(uuid.uuid4())
    status, placed = order(stack, (SKU, 2), ("SWT-HON-250", 1), customer=customer, name="Zoë O'Hara")
    assert status == 201
    assert placed["total"] == "37.80" and placed["status"] == "placed"
    assert [(i["sku"], i["quantity"], i["unit_price"]) for i in placed["items"]] == [(SKU, 2, "14.20"), ("SWT-HON-250", 1, "9.40")]
    assert stack.sql("SELECT customer_name, total::text, (SELECT sum(quantity * unit_price)::text FROM order_items "
                     "WHERE order_id = id), xmin::text = (SELECT max(i.xmin::text) FROM order_items i WHERE order_id = id) "
                     "FROM orders WHERE id = %s", (placed["order_id"],)) == [("Zoë O'Hara", "37.80", "37.80", True)]
    assert stack.sql("SELECT stock FROM products WHERE sku = %s", (SKU,)) == [(998,)]
    assert stack.storefront(f"/api/orders?customer={customer}")[1]["orders"] == [placed]
    assert stack.storefront(f"/api/orders/{placed['order_id']}") == (200, placed)


def test_the_same_request_sent_again_is_one_order(stack):
    body = {"customer": {"id": str(uuid.uuid4()), "name": "Ada"}, "items": [{"sku": SKU, "quantity": 3}],
            "request_id": str(uuid.uuid4())}
    with concurrent.futures.ThreadPoolExecutor(8) as tries:
        answers = list(tries.map(lambda _: stack.storefront("/api/orders", body), range(8)))
    assert all(answer == answers[0] and answer[0] == 201 for answer in answers)
    assert stack.sql("SELECT stock FROM products WHERE sku = %s", (SKU,)) == [(997,)]


def test_out_of_stock_leaves_nothing(stack):
    stack.sql("UPDATE products SET stock = 1 WHERE sku = %s", (SKU,))
    before = counts(stack)
    status, answer = order(stack, ("SWT-HON-250", 1), (SKU, 2))
    assert status == 409
    assert answer["error"]["code"] == "out_of_stock" and answer["error"]["available"] == 1 and answer["error"]["sku"] == SKU
    assert SKU in answer["error"]["message"]
    assert order(stack, ("NO-SUCH", 1))[0] == 404
    assert counts(stack) == before


def test_last_pieces_are_sold_once(stack):
    stack.sql("UPDATE products SET stock = 10 WHERE sku = %s", (SKU,))
    with concurrent.futures.ThreadPoolExecutor(40) as shoppers:
        statuses = list(shoppers.map(lambda _: order(stack, (SKU, 1))[0], range(40)))
    assert sorted(set(statuses)) == [201, 409]
    assert statuses.count(201) == 10
    assert stack.sql("SELECT stock FROM products WHERE sku = %s", (SKU,)) == [(0,)]


def test_orders_that_cross_do_not_deadlock(stack):
    pairs = [((SKU, 1), ("SWT-HON-250", 1)), (("SWT-HON-250", 1), (SKU, 1))]
    with concurrent.futures.ThreadPoolExecutor(16) as shoppers:
        statuses = list(shoppers.map(lambda n: order(stack, *pairs[n % 2])[0], range(200)))
    assert statuses == [201] * 200


def test_200_concurrent_shoppers_without_an_error(stack):
    """Each with a connection of its own, all at once: they look around, order, and look at their orders."""
    url = urllib.parse.urlparse(stack.env["STOREFRONT_URL"])
    skus = [product["sku"] for product in stack.storefront("/api/products")[1]["products"]]

    def shop(n):
        connection = http.client.HTTPConnection(url.hostname, url.port, timeout=60)
        customer = str(uuid.uuid4())
        body = json.dumps({"customer": {"id": customer, "name": "Ada"}, "items": [
            {"sku": skus[n % len(skus)], "quantity": 1}, {"sku": skus[(n + 7) % len(skus)], "quantity": 2}]})
        statuses = []
        for method, path, data in [("GET", "/", None), ("GET", "/api/products", None), ("GET", f"/api/products/{SKU}", None),
                                   ("POST", "/api/orders", body), ("GET", f"/api/orders?customer={customer}", None)]:
            connection.request(method, path, data)
            answer = connection.getresponse()
            text = answer.read()
            statuses.append(answer.status)
        connection.close()
        return statuses, len(json.loads(text)["orders"])

    with concurrent.futures.ThreadPoolExecutor(200) as shoppers:
        results = list(shoppers.map(shop, range(200)))
    assert collections.Counter(status for statuses, _ in results for status in statuses) == {200: 800, 201: 200}
    assert [orders for _, orders in results] == [1] * 200


@pytest.mark.parametrize("body", [
    b"", b"nonsense", b"[]", b'{"items": []}', b'{"customer": {"id": "x", "name": "A"}, "items": [{"sku": "A", "quantity": 1}]}',
])
def test_bad_orders_are_refused(stack, body):
    before = counts(stack)
    request = urllib.request.Request(stack.env["STOREFRONT_URL"] + "/api/orders", data=body)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    assert refused.value.code == 400
    assert counts(stack) == before


def test_limits_and_addresses(stack):
    def status(path, **options):
        try:
            return urllib.request.urlopen(urllib.request.Request(stack.env["STOREFRONT_URL"] + path, **options), timeout=10).status
        except urllib.error.HTTPError as error:
            return error.code
    assert status("/api/orders", data=b"x" * 20000) == 413
    assert status("/api/orders?customer=nobody") == 400
    assert status("/api/orders/1x") == 400
    assert status("/api/nothing") == 404
    assert status("/api/products", method="DELETE") == 405
    assert status("/") == status("/my/orders") == 200
    assert status("/../schema.sql") == status("/.git/config") == status("/no.such") == 404


def test_slow_clients_hold_up_nobody(stack):
    """Who never finishes a request holds a connection, no thread, until the timeout; everybody else is served."""
    url = urllib.parse.urlparse(stack.env["STOREFRONT_URL"])
    slow = [socket.create_connection((url.hostname, url.port), timeout=10) for _ in range(200)]
    try:
        for n, connection in enumerate(slow):
            connection.sendall([b"GET /api/pro", b"POST /api/orders HTTP/1.1\r\nHost: shop\r\nContent-Length: 900\r\n\r\n{"][n % 2])
        assert order(stack, (SKU, 1))[0] == 201
        connection = http.client.HTTPConnection(url.hostname, url.port, timeout=10)
        for _ in range(20):  # and one connection serves many requests
            connection.request("GET", "/healthz")
            assert connection.getresponse().read() == b"ok\n"
            assert connection.sock is not None
        connection.close()
    finally:
        for connection in slow:
            connection.close()


def test_pages_are_cached_by_their_content(stack):
    url = stack.env["STOREFRONT_URL"] + "/"
    with urllib.request.urlopen(url, timeout=10) as first:
        etag = first.headers["ETag"]
        assert "default-src 'self'" in first.headers["Content-Security-Policy"]
    with pytest.raises(urllib.error.HTTPError) as unchanged:
        urllib.request.urlopen(urllib.request.Request(url, headers={"If-None-Match": etag}), timeout=10)
    assert unchanged.value.code == 304


def test_pages_are_packed_for_who_takes_it(stack):
    def get(**headers):
        return urllib.request.urlopen(urllib.request.Request(stack.env["STOREFRONT_URL"] + "/", headers=headers), timeout=10)
    with get() as plain, get(**{"Accept-Encoding": "br, gzip"}) as packed:
        assert plain.headers["Content-Encoding"] is None and packed.headers["Content-Encoding"] == "gzip"
        assert packed.headers["Vary"] == "Accept-Encoding" and packed.headers["ETag"] != plain.headers["ETag"]
        assert gzip.decompress(packed.read()) == plain.read()


def test_busy_day_is_bounded_and_stops(stack):
    def day(**wanted):
        return stack.storefront("/api/busy-day", wanted or None)

    assert day()[1]["running"] is False
    for wanted in ({"running": True, "rate": 51}, {"running": True, "rate": 0}, {"running": "yes"}):
        assert day(**wanted)[0] == 400
    assert day()[1]["running"] is False
    began = counts(stack)[0]
    status, answer = day(running=True, rate=20)
    assert status == 200 and answer["running"] and answer["rate"] == 20 and 590 < answer["ends_in_s"] <= 600
    stack.until(lambda: day()[1]["placed"] >= 20, 30, "shoppers order")
    # The command line sees and ends the same day.
    url = stack.env["STOREFRONT_URL"]
    run = [str(TREE / "tools" / "busy-day"), url]
    assert json.loads(subprocess.check_output([*run, "status"], timeout=20))["running"] is True
    assert json.loads(subprocess.check_output([*run, "stop"], timeout=20))["running"] is False

    def settled():
        placed = day()[1]["placed"]
        return counts(stack)[0] - began == placed and placed
    placed = stack.until(settled, 20, "every order that is counted is there")
    time.sleep(1)
    assert counts(stack)[0] - began == placed, "nobody orders any more"
    assert day()[1]["failed"] == 0
    assert stack.sql("SELECT count(*) FROM orders o WHERE total <> (SELECT sum(quantity * unit_price) FROM order_items WHERE order_id = o.id)") == [(0,)]


def test_busy_day_buys_what_is_left_and_no_more(stack):
    stack.sql("UPDATE products SET stock = CASE WHEN sku = %s THEN 4 ELSE 0 END", (SKU,))
    stack.storefront("/api/busy-day", {"running": True, "rate": 50})
    stack.until(lambda: stack.storefront("/api/busy-day")[1]["sold_out"] >= 5, 30, "shelves are found empty")
    status, answer = stack.storefront("/api/busy-day", {"running": False})
    assert answer["failed"] == 0 and 2 <= answer["placed"] <= 4
    assert stack.sql("SELECT sum(stock)::int FROM products") == [(0,)]


def test_journey_without_an_agent(stack):
    """Kafka has the order, and the warehouse waits: nobody is there to load it."""
    body = {"customer": {"id": str(uuid.uuid4()), "name": "Ada"}, "items": [{"sku": SKU, "quantity": 1}],
            "request_id": str(uuid.uuid4())}
    status, placed = stack.storefront("/api/orders", body)
    path = f"/api/orders/{placed['order_id']}/journey"

    def journey():
        return stack.storefront(path)[1]
    assert journey()["order_id"] == placed["order_id"]
    stack.until(lambda: journey()["kafka"]["state"] == "passed", 30, "Kafka has the order")
    answer = journey()
    assert answer["postgres"]["state"] == "passed" and 0 < answer["postgres"]["us"] < 30_000_000
    assert 0 < answer["kafka"]["us"] < 30_000_000
    assert answer["warehouse"] == {"state": "waiting", "us": None}
    # An order that no page placed is followed too; one that is not there is not.
    status, other = order(stack, (SKU, 1))
    stack.until(lambda: stack.storefront(f"/api/orders/{other['order_id']}/journey")[1]["kafka"]["state"] == "passed", 30, "Kafka has it")
    assert stack.storefront(f"/api/orders/{other['order_id']}/journey")[1]["kafka"]["us"] is None
    assert stack.storefront("/api/orders/999999999/journey")[0] == 404
    assert stack.storefront("/api/orders/1/nothing")[0] == 400

    stack.kill("warehouse")
    try:
        stack.until(lambda: journey()["warehouse"]["state"] == "away", 30, "the warehouse is away")
    finally:
        stack.start("warehouse")
    stack.until(lambda: journey()["warehouse"]["state"] == "waiting", 30, "the warehouse is back")


def test_stops_in_the_middle_of_a_busy_day(stack):
    stack.storefront("/api/busy-day", {"running": True, "rate": 50})
    stack.until(lambda: stack.storefront("/api/busy-day")[1]["placed"] >= 5, 30, "shoppers order")
    stack.command("stop", "storefront")
    before = counts(stack)
    time.sleep(0.5)
    assert counts(stack) == before
    stack.start("storefront")
    assert stack.storefront("/api/busy-day")[1]["running"] is False


def test_an_order_that_is_being_placed_is_answered_before_the_end(stack):
    with concurrent.futures.ThreadPoolExecutor(2) as other:
        held = other.submit(stack.sql, "UPDATE products SET stock = stock WHERE sku = %s RETURNING pg_sleep(3)::text", (SKU,))
        time.sleep(0.7)
        placed = other.submit(order, stack, (SKU, 1))
        time.sleep(0.7)
        assert not held.done() and not placed.done()
        stack.command("stop", "storefront")
        try:
            assert placed.result(30)[0] == 201
        finally:
            stack.start("storefront")


def test_postgres_away_and_back(stack):
    stack.command("stop", "postgres")
    try:
        began = time.monotonic()
        status, answer = order(stack, (SKU, 1))
        assert status == 503 and answer["error"]["message"]
        assert time.monotonic() - began < 15
    finally:
        stack.start("postgres")
    stack.until(lambda: order(stack, (SKU, 1))[0] == 201, 30, "orders are taken again")


def test_a_restart_of_postgres_costs_no_order(stack):
    """Connections that the restart closed are found out before an order is placed over them."""
    with concurrent.futures.ThreadPoolExecutor(24) as shoppers:
        assert set(shoppers.map(lambda _: order(stack, (SKU, 1))[0], range(48))) == {201}  # all connections are open
        stack.command("stop", "postgres")
        stack.start("postgres")
        stack.until(lambda: stack.sql("SELECT 1"), 30, "Postgres answers")
        assert set(shoppers.map(lambda _: order(stack, (SKU, 1))[0], range(48))) == {201}


def test_an_order_does_not_wait_for_ever(stack):
    """A session that holds a product's row makes orders fail clearly and in bounded time, and leaves nothing."""
    before = counts(stack)
    with concurrent.futures.ThreadPoolExecutor(1) as other:
        held = other.submit(stack.sql, "UPDATE products SET stock = stock WHERE sku = %s RETURNING pg_sleep(8)::text", (SKU,))
        time.sleep(1)
        status, answer = order(stack, (SKU, 1))
        assert status == 503 and "not placed" in answer["error"]["message"]
        assert not held.done()
    assert counts(stack) == before
    assert order(stack, (SKU, 1))[0] == 201
