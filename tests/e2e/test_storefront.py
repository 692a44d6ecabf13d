"""The shop's backend against a real Postgres: orders are whole or not there, and nobody gets the last piece twice."""

import collections
import concurrent.futures
import http.client
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

import pytest

from stackctl import Stack

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
    """Each with a connection of its own, all at once."""
    url = urllib.parse.urlparse(stack.env["STOREFRONT_URL"])

    def shop(_):
        connection = http.client.HTTPConnection(url.hostname, url.port, timeout=60)
        statuses = []
        for _ in range(5):
            connection.request("GET", "/api/products")
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
        connection.close()
        return statuses

    with concurrent.futures.ThreadPoolExecutor(200) as shoppers:
        statuses = collections.Counter(status for result in shoppers.map(shop, range(200)) for status in result)
    assert statuses == {200: 1000}


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


def test_pages_are_cached_by_their_content(stack):
    url = stack.env["STOREFRONT_URL"] + "/"
    with urllib.request.urlopen(url, timeout=10) as first:
        etag = first.headers["ETag"]
        assert "default-src 'self'" in first.headers["Content-Security-Policy"]
    with pytest.raises(urllib.error.HTTPError) as unchanged:
        urllib.request.urlopen(urllib.request.Request(url, headers={"If-None-Match": etag}), timeout=10)
    assert unchanged.value.code == 304


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
