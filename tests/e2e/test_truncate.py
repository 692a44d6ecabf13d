"""TRUNCATE, from Postgres into the views: after it no older row is there, whatever partition, batch or schema version brought it, and
every newer one is. The last tests give the agent events of their own, in an order that Postgres would make rarely.
"""

import random
import threading
import time

import pytest

from agentline import Line
from stackctl import Stack


@pytest.fixture(scope="module")
def stack():
    with Stack("--partitions", "3") as running:
        yield running


@pytest.fixture
def line(stack, tmp_path, request):
    with Line(stack, tmp_path, request.node.name) as opened:
        yield opened


def transaction(stack, *statements, commit=True):
    with stack.connect() as connection:
        connection.autocommit = False
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
        if commit:
            connection.commit()
        else:
            connection.rollback()
    connection.close()


def count(stack, table):
    return int(stack.clickhouse(f"SELECT count() FROM {table}"))


def test_rows_before_it_are_gone_and_rows_after_it_stay(stack):
    stack.sql("CREATE TABLE item (id int PRIMARY KEY, note text)")
    stack.sql("INSERT INTO item SELECT g, 'old' FROM generate_series(1, 1000) g")
    stack.wait()
    stack.assert_equal("item")
    # Keys that come again, keys that do not, and new ones, all in the transaction of the TRUNCATE.
    transaction(stack, "UPDATE item SET note = 'changed' WHERE id <= 10",
                "INSERT INTO item VALUES (2000, 'gone in the same transaction')",
                "TRUNCATE item",
                "INSERT INTO item SELECT g, 'new' FROM generate_series(501, 1500) g",
                "DELETE FROM item WHERE id BETWEEN 501 AND 510")
    stack.wait()
    stack.assert_equal("item")
    assert count(stack, "item") == 990
    stack.sql("TRUNCATE item")
    stack.wait()
    assert count(stack, "item") == 0
    stack.sql("INSERT INTO item VALUES (1, 'again')")
    stack.wait()
    stack.assert_equal("item")
    assert stack.consume(f"{stack.env['TOPIC_PREFIX']}.__dlq") == []


def test_a_table_that_was_never_filled(stack):
    stack.sql("CREATE TABLE never_filled (id int PRIMARY KEY)")
    stack.sql("TRUNCATE never_filled")
    stack.wait()
    assert count(stack, "never_filled") == 0
    stack.sql("INSERT INTO never_filled VALUES (1)")
    stack.wait()
    stack.assert_equal("never_filled")


def test_several_tables_and_cascade(stack):
    stack.sql("CREATE TABLE parent (id serial PRIMARY KEY, name text)")
    stack.sql("CREATE TABLE child (parent int REFERENCES parent, n int, note text, PRIMARY KEY (parent, n))")
    stack.sql("CREATE TABLE other (id text PRIMARY KEY)")
    stack.sql("INSERT INTO parent (name) SELECT 'p' || g FROM generate_series(1, 100) g")
    stack.sql("INSERT INTO child SELECT g, n, NULL FROM generate_series(1, 100) g, generate_series(1, 3) n")
    stack.sql("INSERT INTO other SELECT 'key ' || g FROM generate_series(1, 100) g")
    stack.wait()
    transaction(stack, "TRUNCATE parent, other RESTART IDENTITY CASCADE", "INSERT INTO parent (name) VALUES ('first again')",
                "INSERT INTO child VALUES (1, 1, 'x')")
    stack.wait()
    stack.assert_equal("parent", "child", "other")
    assert (count(stack, "parent"), count(stack, "child"), count(stack, "other")) == (1, 1, 0)


def test_rolled_back_it_did_not_happen(stack):
    stack.sql("CREATE TABLE kept (id int PRIMARY KEY)")
    stack.sql("INSERT INTO kept SELECT generate_series(1, 100)")
    transaction(stack, "TRUNCATE kept", commit=False)
    transaction(stack, "INSERT INTO kept VALUES (101)", "SAVEPOINT s", "TRUNCATE kept", "ROLLBACK TO s")
    stack.wait()
    stack.assert_equal("kept")
    assert count(stack, "kept") == 101


def test_log_table(stack):
    stack.sql("CREATE TABLE journal (line text, n int)")
    stack.sql("INSERT INTO journal SELECT 'same line', 1 FROM generate_series(1, 500)")
    stack.wait()
    stack.assert_equal("journal")
    transaction(stack, "INSERT INTO journal VALUES ('before', 2)", "TRUNCATE journal",
                "INSERT INTO journal SELECT 'after', 3 FROM generate_series(1, 20)")
    stack.wait()
    stack.assert_equal("journal")
    assert count(stack, "journal") == 20
    stack.sql("TRUNCATE journal")
    stack.sql("INSERT INTO journal VALUES ('last', 4)")
    stack.wait()
    stack.assert_equal("journal")


def test_schema_versions_on_both_sides_of_it(stack):
    """The truncate names one schema version and takes the rows of all of them."""
    stack.sql("CREATE TABLE shape (id int PRIMARY KEY, a text)")
    transaction(stack, "INSERT INTO shape SELECT g, 'a' FROM generate_series(1, 100) g",
                "ALTER TABLE shape ADD COLUMN b int",
                "INSERT INTO shape SELECT g, 'a', g FROM generate_series(101, 200) g",
                "TRUNCATE shape",
                "ALTER TABLE shape ADD COLUMN c int",
                "INSERT INTO shape SELECT g, 'a', g, g FROM generate_series(150, 250) g")
    stack.wait()
    stack.assert_equal("shape")
    assert count(stack, "shape") == 101


def test_a_stopped_table_waits_with_its_truncate(stack):
    stack.sql("CREATE TABLE mended (id int PRIMARY KEY, n int NOT NULL)")
    stack.sql("INSERT INTO mended SELECT g, g FROM generate_series(1, 100) g")
    stack.wait()
    stack.clickhouse("ALTER TABLE _mended RENAME COLUMN _commit_time TO away")
    transaction(stack, "INSERT INTO mended VALUES (1000, 1)", "TRUNCATE mended", "INSERT INTO mended VALUES (2, 3)")
    stack.until(lambda: "\nwalhouse_agent_tables_stopped 1\n" in stack.agent("/metrics"), 20, "the table is stopped")
    assert count(stack, "_mended FINAL") == 100
    stack.clickhouse("ALTER TABLE _mended RENAME COLUMN away TO _commit_time")
    stack.wait(60)
    stack.assert_equal("mended")


def test_writers_and_kills_around_it(stack):
    """Writers, a TRUNCATE every moment, and an agent that is killed again and again."""
    stack.sql("CREATE TABLE busy (id int PRIMARY KEY, writer int, n int)")
    stack.sql("CREATE TABLE busy_log (writer int, n int)")
    stop = threading.Event()
    failures = []
    done = []

    def write(writer):
        dice = random.Random(writer)
        connection = stack.connect()
        cursor = connection.cursor()
        n = 0
        try:
            while not stop.is_set():
                n += 1
                cursor.execute("INSERT INTO busy VALUES (%s, %s, %s) ON CONFLICT (id) DO UPDATE SET writer = %s, n = %s",
                               (dice.randrange(200), writer, n, writer, n))
                if n % 3 == 0:
                    cursor.execute("INSERT INTO busy_log VALUES (%s, %s)", (writer, n))
                if dice.random() < 0.01:
                    cursor.execute("TRUNCATE busy")
                if dice.random() < 0.01:
                    cursor.execute("TRUNCATE busy_log")
        except Exception as error:  # pylint: disable=broad-except
            failures.append(error)
        finally:
            done.append(n)
            connection.close()

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(4):
            time.sleep(1.5)
            stack.kill("agent")
            stack.start("agent")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures
    assert sum(done) > 500, done
    stack.wait(90)
    stack.assert_equal("busy", "busy_log")


# ---- the agent alone ----

def test_each_partition_has_its_own(line):
    agent = line.agent()
    line.produce(count=3000, lsn=1000, partitions=3)
    line.loaded(agent)
    # In one partition it takes the rows of all of them ...
    line.produce("truncate", count=1, lsn=5000000, partitions=3, partition=1)
    line.loaded(agent)
    assert line.rows("SELECT count() FROM orders") == [[0]]
    # ... and what the others had not brought yet goes with theirs; newer rows stay.
    line.produce(count=100, first=9001, lsn=2000, partitions=3)
    line.produce(count=10, first=5001, lsn=6000000, partitions=3)
    for partition in (0, 2, 1):
        line.produce("truncate", count=1, lsn=5000000, partitions=3, partition=partition)
    line.loaded(agent)
    line.assert_ids(5001, 10)
    markers = line.rows("SELECT count() FROM _orders WHERE _deleted = 1")
    # Again and again it changes nothing: there is nothing left to mark.
    line.produce("truncate", count=3, lsn=4000000, partitions=3)
    line.loaded(agent)
    line.assert_ids(5001, 10)
    assert line.rows("SELECT count() FROM _orders WHERE _deleted = 1") <= markers
    assert line.letters() == []


def test_a_sweep_waits_for_all_its_partitions(line):
    """Rows whose snapshot row is still on its way in another partition must not be away for a while."""
    agent = line.agent()
    sweep = 5000000 - 1
    line.produce(count=1000, lsn=1000, partitions=3)
    line.produce("truncate", count=1, lsn=sweep, partitions=3, partition=2)
    line.produce("snapshot", count=600, lsn=5000000, partitions=3)
    line.produce("truncate", count=1, lsn=sweep, partitions=3, partition=0)
    line.produce("truncate", count=1, lsn=sweep, partitions=3, partition=2)
    line.loaded(agent)
    line.assert_ids(1, 1000)
    # Another agent knows of them; a phantom that comes in between goes with the rest.
    agent.kill()
    agent = line.agent()
    line.produce(count=10, first=3001, lsn=1000, partitions=3)
    line.produce("truncate", count=1, lsn=sweep, partitions=3, partition=1)
    line.loaded(agent)
    line.assert_ids(1, 600)
    assert line.letters() == []


def test_snapshot_rows_that_come_too_late(line):
    """Read from Postgres before a TRUNCATE, in Kafka behind it: no delete outranks them, so the agent must remember."""
    agent = line.agent()
    line.produce("snapshot", count=100, lsn=4000000)
    line.loaded(agent)
    line.assert_ids(1, 100)
    line.produce("truncate", count=1, lsn=5000000)
    line.loaded(agent)
    line.produce("snapshot", count=50, first=1001, lsn=4000000)
    line.produce("snapshot", count=20, first=1, lsn=6000000)
    line.loaded(agent)
    line.assert_ids(1, 20)
    agent.kill()
    agent = line.agent()
    line.produce("snapshot", count=50, first=1001, lsn=4000000)
    line.produce("snapshot", count=5, first=21, lsn=6000000)
    line.loaded(agent)
    line.assert_ids(1, 25)
    assert agent.metric("late_rows_total") >= 50
    assert line.letters() == []


def test_log_rows_that_come_too_late(line):
    """The stream behind the sweep of a log table: the rows that the snapshot holds already do not come twice."""
    agent = line.agent()
    line.produce("truncate", count=1, lsn=5000000, keyless=1)
    # In one batch with what follows it would act last, and there would be nothing late.
    line.loaded(agent)
    line.produce("snapshot", count=50, lsn=5000008, per_transaction=1, keyless=1)
    line.produce(count=50, lsn=1000, keyless=1)
    line.produce(count=10, first=51, lsn=6000000, keyless=1)
    line.loaded(agent)
    line.assert_ids(1, 60)
    line.produce("truncate", count=1, lsn=7000000, keyless=1)
    line.loaded(agent)
    assert line.rows("SELECT count() FROM orders") == [[0]]
    assert line.letters() == []


def test_killed_in_the_middle(line):
    line.batch = "max_rows = 500\n"
    agent = line.agent()
    dice = random.Random(7)
    for turn in range(1, 6):
        producer = line.start_produce(count=5000, first=turn * 100, lsn=turn * 10000000, partitions=3, quantity=turn)
        time.sleep(dice.random() * 0.4)
        agent.kill()
        assert producer.wait(60) == 0
        line.produce("truncate", count=1, lsn=turn * 10000000 + 5000000, partitions=3)
        agent = line.agent()
        time.sleep(dice.random() * 0.4)
    line.produce(count=200, first=10, lsn=90000000, partitions=3)
    line.loaded(agent, 90)
    line.assert_ids(10, 200)


def test_a_big_table(line):
    """The markers are made in the server, in blocks: two million rows are no burden."""
    agent = line.agent()
    line.produce(count=1)
    line.loaded(agent)
    version = (1 << 112) + (1000 << 48)
    line.stack.clickhouse(
        "INSERT INTO _orders (id, sku, quantity, _version, _deleted, _commit_time) "
        f"SELECT number, 'SKU', 1, toUInt128('{version}') + number, 0, now64(6) FROM numbers(2000000)", database=line.name)
    line.produce("truncate", count=1, lsn=3000)
    line.produce(count=10, first=1, lsn=4000)
    line.loaded(agent, 60)
    assert line.rows("SELECT count(), max(_version > toUInt128(1) * bitShiftLeft(toUInt128(3000), 48)) FROM orders") == [[10, 1]]
