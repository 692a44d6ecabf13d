"""Names of every kind, from Postgres to topics and views: each table has its own, and its rows are in them."""

import subprocess

import pytest

from stackctl import Stack, backtick, quote


@pytest.fixture(scope="module")
def stack():
    with Stack() as running:
        yield running


LONGEST = "0123456789" * 6 + "012"
NAMES = [
    # Only case, only what is escaped, only where the dot stands.
    ("public", "Case"), ("public", "case"), ("public", "a.b"), ("public", "a_x2E_b"), ("public", "_x"), ("public", "_x5F_x"),
    # To Kafka a dot and an underscore are one in the names of its metrics, and it refuses the second of two such topics.
    ("sales", "eu_orders"), ("sales_eu", "orders"), ("sales.eu", "orders"),
    # 63 bytes, of one byte a character and of more, and with everything escaped.
    ("public", LONGEST), (LONGEST, LONGEST), ("public", "ä" * 31), ("." * 63, "." * 63), ("." * 63, "." * 62 + ":"),
    # The view of one, were it not for its name's hash, is called as the storage table of another.
    ("public", "_case"), ("public", "__case"), ("a", "b"),
    ("public", "quote\" ' back\\slash `tick` $1 %s {x} \t"), ("public", "列"), ("public", " "), ("public", "select"),
]


def test_every_name_has_its_own_topic(stack):
    for schema, table in NAMES:
        stack.sql(f"CREATE SCHEMA IF NOT EXISTS {quote(schema)}; "
                  f"CREATE TABLE {quote(schema)}.{quote(table)} (id int PRIMARY KEY, name text)")
    for n, (schema, table) in enumerate(NAMES):
        stack.sql(f"INSERT INTO {quote(schema)}.{quote(table)} VALUES ({n}, 'x')")
    end = stack.sql("SELECT pg_current_wal_insert_lsn()")[0][0]
    stack.sql("SELECT pg_logical_emit_message(true, 'walhouse.tick', '')")
    stack.until(lambda: stack.sql("SELECT confirmed_flush_lsn >= %s FROM pg_replication_slots", (end,))[0][0], 60,
                "confirmation")
    assert stack.status()["publisher_starts"] == 1
    listed = subprocess.run(["kcat", "-b", stack.env["KAFKA_BROKERS"], "-L"], stdin=subprocess.DEVNULL, check=True,
                            stdout=subprocess.PIPE, timeout=30).stdout.decode()
    topics = {line.split('"')[1] for line in listed.splitlines() if line.startswith('  topic "')}
    tables = {t for t in topics if t.startswith(stack.env["TOPIC_PREFIX"] + ".") and not t.startswith(stack.env["TOPIC_PREFIX"] + ".__")}
    assert all(len(t) <= 249 for t in tables)
    with_rows = 0
    for topic in tables:
        found = stack.consume(topic)
        assert len(found) <= 1, f"{topic} holds the rows of {len(found)} tables"
        with_rows += len(found)
    assert with_rows == len(NAMES)
    stack.wait(90)
    views = [name for name, in stack.clickhouse_rows(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine = 'View' AND name NOT LIKE '\\_walhouse%'")]
    assert len(views) == len(NAMES)
    rows = [stack.clickhouse_rows(f"SELECT id FROM {backtick(view)}") for view in views]
    assert sorted(rows) == [[[n]] for n in range(len(NAMES))]
    assert {"case", "Case", "sales.eu_orders", "sales_eu.orders", "sales.eu.orders", LONGEST, "列", "select"} < set(views)
