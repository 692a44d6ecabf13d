"""Rows that were there before a pipeline, a table that joins, rows that no event tells of, and rows that are wrong in the warehouse:
afterwards every view holds what its table holds. What happens when parts are killed on the way is test_snapshot_faults.py.
"""

import contextlib
import copy
import os
import signal
import threading
import time

import psycopg2
import pytest

from agentline import Line
from stackctl import Stack


@pytest.fixture(scope="module")
def stack():
    with Stack("--partitions", "3") as running:
        yield running


def transaction(stack):
    """A connection whose transaction is the caller's to end."""
    connection = stack.connect()
    connection.autocommit = False
    return contextlib.closing(connection)


def open_snapshots(stack, pipeline="shop"):
    return stack.sql("SELECT count(*) FROM walhouse.snapshot WHERE pipeline = %s AND state IN ('waiting', 'running')", (pipeline,))[0][0]


def settle(stack, *tables):
    """Until nothing is to be read any more, and the warehouse has all of it; no snapshot has failed."""
    stack.until(lambda: open_snapshots(stack) == 0, 60, "all snapshots are done")
    assert stack.sql("SELECT table_name, error FROM walhouse.snapshot WHERE state = 'failed'") == []
    stack.wait(60)
    stack.assert_equal(*tables)


def take(stack, table, condition=None):
    return stack.sql("SELECT walhouse.snapshot('shop', %s::regclass, %s)", (table, condition))[0][0]


def state(stack, snapshot):
    return stack.sql("SELECT state FROM walhouse.snapshot WHERE id = %s", (snapshot,))[0][0]


class Second:
    """A second pipeline with its own topics, agent and database; two ends of its own for comparison."""

    def __init__(self, stack, directory, name):
        self.stack = stack
        self.line = Line(stack, directory, name)
        self.name = self.line.name
        self.ends = copy.copy(stack)
        self.ends.env = {**stack.env, "CLICKHOUSE_DATABASE": self.name}
        self.agent = None

    def create(self, publication, **options):
        more = "".join(f", {name} => {value!r}" for name, value in options.items())
        self.stack.sql(f"SELECT walhouse.create_pipeline('{self.name}', publication => '{publication}', partitions => 3, "
                       f"brokers => '{self.stack.env['KAFKA_BROKERS']}', topic_prefix => '{self.name}'{more})")

    def __enter__(self):
        self.agent = self.line.__enter__().agent()
        return self

    def __exit__(self, kind, value, trace):
        self.line.__exit__(kind, value, trace)
        self.stack.sql("SELECT walhouse.drop_pipeline(name) FROM walhouse.pipeline WHERE name = %s", (self.name,))

    def publisher(self):
        return self.stack.sql("SELECT publisher_pid FROM walhouse.status WHERE pipeline = %s", (self.name,))[0][0]

    def settle(self, *tables):
        stack = self.stack
        stack.until(lambda: open_snapshots(stack, self.name) == 0, 90, "all snapshots are done")
        assert stack.sql("SELECT table_name, error FROM walhouse.snapshot WHERE state = 'failed'") == []
        target = stack.sql("SELECT pg_logical_emit_message(true, 'walhouse.test', '')")[0][0]
        stack.until(lambda: stack.sql("SELECT confirmed_flush_lsn >= %s FROM pg_replication_slots WHERE slot_name = %s",
                                      (target, f"walhouse_{self.name}"))[0][0], 60, "the slot is there")
        stack.until(lambda: self.agent.lag() == 0, 60, "everything is loaded")
        self.ends.assert_equal(*tables)


@pytest.fixture
def second(stack, tmp_path, request):
    with Second(stack, tmp_path, request.node.name.removeprefix("test_")[:30]) as opened:
        yield opened


def test_rows_that_were_there_before(stack, second):
    """Initial snapshot of tables of every kind, with writers on them from before to after."""
    stack.sql("CREATE TABLE early (id int PRIMARY KEY, note text)")
    stack.sql("CREATE TABLE early_wide (a text, b numeric(8,2), c timestamptz, d int, PRIMARY KEY (b, a))")
    stack.sql("CREATE TABLE early_empty (id int PRIMARY KEY)")
    stack.sql("CREATE TABLE early_log (n int, note text)")
    stack.sql("INSERT INTO early SELECT g, 'row ' || g FROM generate_series(1, 30000) g")
    stack.sql("INSERT INTO early_wide SELECT 'ä' || g % 7, g / 4.0, timestamptz '2020-01-01' + g * interval '1 hour', NULLIF(g % 3, 0) "
              "FROM generate_series(1, 3000) g")
    stack.sql("INSERT INTO early_log SELECT g % 10, NULL FROM generate_series(1, 3000) g")
    stack.sql("CREATE PUBLICATION early FOR TABLE early, early_wide, early_empty, early_log")
    stop, failures = threading.Event(), []

    def write(writer):
        with contextlib.closing(stack.connect()) as connection, connection.cursor() as cursor:
            n = writer
            try:
                while not stop.is_set():
                    n += 2
                    cursor.execute("UPDATE early SET note = %s WHERE id = %s", (f"changed {n}", n * 7919 % 30000))
                    cursor.execute("UPDATE early SET id = -id WHERE id = %s", (n * 104729 % 30000,))
                    cursor.execute("DELETE FROM early_wide WHERE b = %s", (n % 3000 / 4,))
                    cursor.execute("INSERT INTO early_log VALUES (%s, %s)", (n, f"writer {writer}"))
                    time.sleep(0.003)
            except psycopg2.Error as error:
                failures.append(error)

    writers = [threading.Thread(target=write, args=(writer,)) for writer in range(2)]
    for thread in writers:
        thread.start()
    try:
        time.sleep(0.3)
        second.create("early")
        stack.until(lambda: stack.sql("SELECT sum(rows_done) > 0 FROM walhouse.snapshot WHERE pipeline = %s", (second.name,))[0][0],
                    60, "the snapshot has begun")
        time.sleep(0.5)
    finally:
        stop.set()
        for thread in writers:
            thread.join()
    assert not failures
    second.settle("early", "early_wide", "early_empty", "early_log")
    rows = stack.sql("SELECT table_name, reason, state, rows_done FROM walhouse.snapshot WHERE pipeline = %s", (second.name,))
    assert {row[:3] for row in rows} == {(table, "initial", "done") for table in ("early", "early_wide", "early_empty", "early_log")}
    assert {row[0]: row[3] for row in rows}["early_empty"] == 0
    # A second pipeline's snapshots are not the first one's.
    assert second.line.letters() == []


def test_never(stack, second):
    stack.sql("CREATE TABLE unread (id int PRIMARY KEY, note text)")
    stack.sql("INSERT INTO unread SELECT g, 'old' FROM generate_series(1, 100) g")
    stack.sql("CREATE PUBLICATION unread FOR TABLE unread")
    second.create("unread", snapshot="never")
    stack.sql("INSERT INTO unread VALUES (101, 'new')")
    stack.sql("UPDATE unread SET note = 'changed' WHERE id = 5")
    # A row that is loaded is seen once the view is made, a moment later.
    stack.until(lambda: len(second.ends.warehouse_rows("unread")) == 2, 60, "the changes are to be seen")
    assert sorted(second.ends.warehouse_rows("unread")) == [("101", "new"), ("5", "changed")]
    # On demand the rest comes.
    stack.sql("SELECT walhouse.snapshot(%s, 'unread')", (second.name,))
    second.settle("unread")


def test_killed_in_the_middle_of_a_large_one(stack, second):
    """It goes on where it was: rows done never become fewer, and changes flow meanwhile."""
    rows = 250000
    stack.sql("CREATE TABLE large (id int PRIMARY KEY, filler text)")
    stack.sql("INSERT INTO large SELECT g, repeat(md5(g::text), 6) FROM generate_series(1, %s) g", (rows,))
    stack.sql("CREATE PUBLICATION large FOR TABLE large")
    second.create("large")

    def progress():
        done, finished = stack.sql("SELECT rows_done, state = 'done' FROM walhouse.snapshot_status WHERE pipeline = %s",
                                   (second.name,))[0]
        return rows if finished else done

    seen = [0]
    for _ in range(3):
        stack.until(lambda: progress() > seen[-1] + rows // 20, 60, "rows are done")
        publisher = second.publisher()
        seen.append(progress())
        if publisher and seen[-1] < rows:
            os.kill(publisher, signal.SIGKILL)
        stack.sql("UPDATE large SET filler = 'changed' WHERE id %% 1000 = %s", (len(seen),))
        stack.until(lambda: progress() >= seen[-1], 30, "it goes on")
        assert progress() >= seen[-1]
    assert seen[1] < rows, "the first kill came too late to tell anything"
    second.settle("large")
    # What was acknowledged was not read again: at most what was on its way when the publisher died.
    assert stack.sql("SELECT rows_done FROM walhouse.snapshot WHERE pipeline = %s", (second.name,)) == [(rows,)]


def corrupt(stack, table, change, phantoms):
    """Rows of a storage table become wrong, as if by accident: changed, lost, and one that never was."""
    for statement in change:
        stack.clickhouse(f"ALTER TABLE _{table} {statement} SETTINGS mutations_sync = 2")
    version = stack.clickhouse(f"SELECT toString(max(_version)) FROM _{table}").strip()
    for number, values in enumerate(phantoms):
        stack.clickhouse(f"INSERT INTO _{table} (id, note, _version, _deleted, _commit_time) "
                         f"SELECT {values}, toUInt128('{version}') - {1 + number}, 0, now64(6)")
    missing, surplus = stack.differences(table)
    assert missing and surplus, "nothing is wrong"


def test_heals_what_is_wrong_in_the_warehouse(stack):
    stack.sql("CREATE TABLE healed (id int PRIMARY KEY, note text)")
    stack.sql("INSERT INTO healed SELECT g, 'right' FROM generate_series(1, 5000) g")
    settle(stack, "healed")
    corrupt(stack, "healed", ("UPDATE note = 'wrong' WHERE id IN (7, 4999)", "DELETE WHERE id = 8"),
            ("1000001, 'phantom'", "-5, 'phantom'"))
    take(stack, "healed", "id < 100")
    stack.until(lambda: open_snapshots(stack) == 0, 60, "the snapshot is done")
    stack.wait()
    # The condition's rows are right again; of the others nothing was said, and nothing swept.
    missing, surplus = stack.differences("healed")
    assert (sorted(missing), sorted(surplus)) == ([("4999", "right")], [("-5", "phantom"), ("1000001", "phantom"), ("4999", "wrong")])
    take(stack, "healed")
    settle(stack, "healed")


def test_heals_a_log(stack):
    stack.sql("CREATE TABLE healed_log (id int, note text)")
    stack.sql("INSERT INTO healed_log SELECT g % 50, 'right' FROM generate_series(1, 1000) g")
    settle(stack, "healed_log")
    corrupt(stack, "healed_log", ("UPDATE note = 'wrong' WHERE id = 7", "DELETE WHERE id = 8"), ())
    take(stack, "healed_log")
    # While it is read, and after.
    for n in range(20):
        stack.sql("INSERT INTO healed_log VALUES (%s, 'later')", (n,))
    settle(stack, "healed_log")


def test_a_table_that_joins(stack, second):
    """Changes of transactions that were in flight when it joined are no events: the snapshot waits for them."""
    stack.sql("CREATE TABLE first_one (id int PRIMARY KEY)")
    stack.sql("CREATE TABLE joined (id int PRIMARY KEY, note text)")
    stack.sql("INSERT INTO joined SELECT g, 'old' FROM generate_series(1, 1000) g")
    stack.sql("CREATE PUBLICATION joining FOR TABLE first_one")
    second.create("joining")
    second.settle("first_one")
    with transaction(stack) as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE joined SET note = 'in flight' WHERE id <= 10")
        cursor.execute("DELETE FROM joined WHERE id = 11")
        stack.sql("ALTER PUBLICATION joining ADD TABLE joined")
        stack.sql("UPDATE joined SET note = 'behind it' WHERE id = 20")
        time.sleep(2)
        waiting = stack.sql("SELECT state, rows_done FROM walhouse.snapshot WHERE pipeline = %s AND reason = 'joined'", (second.name,))
        assert waiting == [("waiting", 0)]
        cursor.execute("INSERT INTO joined VALUES (2001, 'in flight still')")
        connection.commit()
    second.settle("first_one", "joined")
    # It leaves, changes unseen, and comes back: deletes too are made good.
    stack.sql("ALTER PUBLICATION joining DROP TABLE joined")
    stack.sql("DELETE FROM joined WHERE id % 2 = 0")
    stack.sql("UPDATE joined SET note = 'unseen' WHERE id % 3 = 0")
    stack.sql("ALTER PUBLICATION joining ADD TABLE joined")
    second.settle("first_one", "joined")


def test_changes_that_send_no_row_events(stack):
    stack.sql("CREATE TABLE rewritten (id int PRIMARY KEY, n int, note text)")
    stack.sql("INSERT INTO rewritten SELECT g, g, 'x' FROM generate_series(1, 3000) g")
    settle(stack, "rewritten")
    stack.sql("ALTER TABLE rewritten ALTER COLUMN n TYPE int USING n * 10, ALTER COLUMN note TYPE text USING upper(note)")
    settle(stack, "rewritten")
    # A default for rows that are there already, constant and volatile.
    stack.sql("ALTER TABLE rewritten ADD COLUMN constant int DEFAULT 5")
    stack.sql("ALTER TABLE rewritten ADD COLUMN random float DEFAULT random()")
    settle(stack, "rewritten")
    stack.sql("CREATE UNLOGGED TABLE was_unlogged (id int PRIMARY KEY)")
    stack.sql("INSERT INTO was_unlogged SELECT generate_series(1, 500)")
    stack.sql("ALTER TABLE was_unlogged SET LOGGED")
    settle(stack, "was_unlogged")
    reasons = stack.sql("SELECT DISTINCT table_name, reason FROM walhouse.snapshot WHERE table_name IN ('rewritten', 'was_unlogged')")
    assert ("rewritten", "rewritten") in reasons and any(table == "was_unlogged" for table, _ in reasons)


def test_a_backend_that_waits_for_a_standby(stack):
    """It has committed and is decoded, and no snapshot sees it yet: rows read now must not outrank what it did."""
    stack.sql("CREATE TABLE replicated (id int PRIMARY KEY, note text)")
    stack.sql("INSERT INTO replicated SELECT g, 'old' FROM generate_series(1, 100) g")
    settle(stack, "replicated")
    stack.sql("ALTER DATABASE shop SET synchronous_commit = 'local'")
    stack.sql("ALTER SYSTEM SET synchronous_standby_names = 'absent'")
    stack.sql("SELECT pg_reload_conf()")
    try:
        with contextlib.closing(stack.connect()) as connection, connection.cursor() as cursor:
            cursor.execute("SET synchronous_commit = 'on'")
            waiter = threading.Thread(target=cursor.execute, args=("UPDATE replicated SET note = 'new' WHERE id <= 10",))
            waiter.start()
            new = "SELECT count() FROM replicated WHERE note = 'new'"
            stack.until(lambda: stack.clickhouse(new).strip() == "10", 30, "the change is in the warehouse")
            assert stack.sql("SELECT count(*) FROM replicated WHERE note = 'new'") == [(0,)]
            snapshot = take(stack, "replicated")
            time.sleep(2)
            assert state(stack, snapshot) == "waiting"
            assert stack.clickhouse(new).strip() == "10"
            stack.sql("ALTER SYSTEM RESET synchronous_standby_names")
            stack.sql("SELECT pg_reload_conf()")
            waiter.join(20)
    finally:
        stack.sql("ALTER SYSTEM RESET synchronous_standby_names")
        stack.sql("SELECT pg_reload_conf()")
        stack.sql("ALTER DATABASE shop RESET synchronous_commit")
    settle(stack, "replicated")
    assert state(stack, snapshot) == "done"


def test_a_truncate_while_it_is_read(stack):
    """Rows that were read before the TRUNCATE and come behind it must not live on."""
    stack.sql("CREATE TABLE emptied (id int PRIMARY KEY, note text)")
    settle(stack)
    for turn in range(6):
        stack.sql("INSERT INTO emptied SELECT g, 'turn %s' FROM generate_series(1, 20000) g", (turn,))
        take(stack, "emptied")
        time.sleep(0.1 * turn)
        stack.sql("TRUNCATE emptied")
        stack.sql("INSERT INTO emptied SELECT g, 'after %s' FROM generate_series(1, 20) g", (turn,))
        settle(stack, "emptied")
        stack.sql("DELETE FROM emptied")
