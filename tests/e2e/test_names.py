"""Names of every kind, from Postgres to their topics: each table has a topic of its own, and its rows are in it."""

import subprocess

import pytest

from stackctl import Stack, quote


@pytest.fixture(scope="module")
def stack():
    with Stack("--no-agent") as running:
        yield running


LONGEST = "0123456789" * 6 + "012"
NAMES = [
    # Only case, only what is escaped, only where the dot stands.
    ("public", "Case"), ("public", "case"), ("public", "a.b"), ("public", "a_x2E_b"), ("public", "_x"), ("public", "_x5F_x"),
    # To Kafka a dot and an underscore are one in the names of its metrics, and it refuses the second of two such topics.
    ("sales", "eu_orders"), ("sales_eu", "orders"), ("sales.eu", "orders"),
    # 63 bytes, of one byte a character and of more, and with everything escaped.
    ("public", LONGEST), (LONGEST, LONGEST), ("public", "ä" * 31), ("." * 63, "." * 63), ("." * 63, "." * 62 + ":"),
    ("public", "quote\" ' back\\slash `tick` $1 %s {x} \t"), ("public", "列"), ("public", " "), ("public", "select"),
]


def test_every_name_has_its_own_topic(stack):
    for schema, table in NAMES:
        stack.sql(f"CREATE SCHEMA IF NOT EXISTS {quote(schema)}; "
                  f"CREATE TABLE {quote(schema)}.{quote(table)} (id int PRIMARY KEY, name text)")
    for n, (schema, table) in enumerate(NAMES):
        stack.sql(f"INSERT INTO {quote(schema)}.{quote(table)} VALUES ({n}, 'x')")
    end = stack.sql("SELECT pg_current_wal_insert_lsn()")[0][0]
    stack.sql("CREATE TABLE tick (); DROP TABLE tick")
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
