"""pg_logical_emit_message() in Postgres, messages in Kafka: the outbox pattern, read with kcat as any consumer would."""

import json
import subprocess

import pytest

from stackctl import Stack

TOPIC = "__message"


@pytest.fixture(scope="module")
def stack():
    with Stack("--no-agent", "--partitions", "2") as running:
        yield running


def messages(stack):
    """Every logical message: (key, value, headers), of each key in offset order; [] before the topic exists."""
    found = subprocess.run(
        ["kcat", "-b", stack.env["KAFKA_BROKERS"], "-C", "-t", f"{stack.env['TOPIC_PREFIX']}.{TOPIC}", "-e", "-q", "-J"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    lines = [json.loads(line) for line in found.stdout.decode(errors="replace").splitlines()]
    return [(m.get("key"), m.get("payload"), dict(zip(m["headers"][::2], m["headers"][1::2]))) for m in lines]


def confirm(stack):
    """Waits until the slot has confirmed everything that was written before the call."""
    stack.sql("CREATE TABLE IF NOT EXISTS tick (id int PRIMARY KEY); INSERT INTO tick VALUES (1); DELETE FROM tick")
    end = stack.sql("SELECT pg_current_wal_insert_lsn()")[0][0]
    stack.until(lambda: stack.sql("SELECT confirmed_flush_lsn >= %s FROM pg_replication_slots", (end,))[0][0],
                what="confirmation")


def test_a_message_arrives_as_it_is_with_its_transaction(stack):
    confirm(stack)
    assert messages(stack) == [], "no topic before the first message"
    with stack.connect() as connection:
        connection.autocommit = False
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE orders (id int PRIMARY KEY); INSERT INTO orders VALUES (1)")
            cursor.execute("""SELECT pg_logical_emit_message(true, 'orders', '{"order": 1}')""")
            lsn = cursor.fetchone()[0]
            cursor.execute("SELECT pg_current_xact_id()::text")
            xid = cursor.fetchone()[0]
        connection.commit()
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_logical_emit_message(true, 'orders', 'rolled back')")
        connection.rollback()
    confirm(stack)
    (key, value, headers), = messages(stack)
    assert (key, value) == ("orders", '{"order": 1}')
    assert headers["walhouse.prefix"] == "orders" and headers["walhouse.transactional"] == "true"
    assert headers["walhouse.message_lsn"] == lsn and headers["walhouse.xid"] == xid
    assert stack.sql("SELECT %s::pg_lsn >= %s::pg_lsn", (headers["walhouse.commit_lsn"], lsn)) == [(True,)]
    seconds = stack.sql("SELECT extract(epoch FROM now())::float8")[0][0] - int(headers["walhouse.commit_time"]) / 1e6
    assert 0 <= seconds < 60


def test_messages_outside_transactions_and_without_rows(stack):
    before = len(messages(stack))
    for n in range(50):
        stack.sql("SELECT pg_logical_emit_message(%s, 'mixed', %s)", (n % 2 == 0, str(n)))
    stack.sql("SELECT pg_logical_emit_message(true, 'walhouse.of its own', 'never')")
    confirm(stack)
    found = messages(stack)[before:]
    assert [value for _, value, _ in found] == [str(n) for n in range(50)], "one prefix keeps its order, signals stay inside"
    loose = [headers for _, _, headers in found if headers["walhouse.transactional"] == "false"]
    assert len(loose) == 25
    assert all("walhouse.message_lsn" in h and "walhouse.commit_lsn" not in h and "walhouse.commit_time" not in h
               for h in loose)


def test_a_large_message(stack):
    stack.sql("SELECT pg_logical_emit_message(true, 'large', repeat('x', 5000000))")
    confirm(stack)
    value, = [value for key, value, _ in messages(stack) if key == "large"]
    assert value == "x" * 5000000


def test_nothing_is_lost_when_the_publisher_is_killed(stack):
    """Kafka is away when they are written; the publisher dies with them unacknowledged: the slot must not have passed them."""
    stack.kill("kafka")
    for n in range(200):
        stack.sql("SELECT pg_logical_emit_message(false, 'loose', %s)", (str(n),))
        stack.sql("SELECT pg_logical_emit_message(true, 'tied', %s)", (str(n),))
    stack.kill("publisher")
    stack.until(lambda: stack.status()["publisher_pid"], what="another publisher")
    stack.start("kafka")
    confirm(stack)
    found = messages(stack)
    for prefix in ("loose", "tied"):
        assert {int(value) for key, value, _ in found if key == prefix} == set(range(200))


def test_a_pipeline_may_leave_them_out(stack):
    before = len(messages(stack))
    name = stack.env["PIPELINE"]
    publication = stack.status()["publication"]
    stack.sql("SELECT walhouse.drop_pipeline(%s)", (name,))
    stack.sql("SELECT walhouse.create_pipeline(%s, publication => %s, brokers => %s, topic_prefix => %s, messages => false)",
              (name, publication, stack.env["KAFKA_BROKERS"], stack.env["TOPIC_PREFIX"]))
    stack.sql("SELECT pg_logical_emit_message(true, 'unwanted', 'x')")
    confirm(stack)
    assert len(messages(stack)) == before
