"""Parts are killed in the middle of a snapshot: it goes on where it was, live changes flow, and both ends are equal."""

import contextlib
import os
import pathlib
import signal
import subprocess
import threading
import time

import psycopg2
import pytest

from stackctl import Stack

ROWS = 100_000
# Makes a snapshot last for some seconds, so that it has a middle. With a condition nothing is swept.
SLOWLY = "md5(repeat(note, 100)) IS NOT NULL"
# A row of "big" in Kafka is at least this long, so a chunk of 1 MiB has at most so many rows.
CHUNK_ROWS = 1_048_576 // 150
CHUNKS_AHEAD = 2


@pytest.fixture(scope="module")
def stack():
    with Stack() as running:
        running.sql("CREATE TABLE big (id int PRIMARY KEY, note text NOT NULL)")
        running.sql("CREATE TABLE live (id int PRIMARY KEY, n int NOT NULL)")
        running.sql(f"INSERT INTO big SELECT g, repeat(md5(g::text), 5) FROM generate_series(1, {ROWS}) g")
        running.sql("INSERT INTO live SELECT g, 0 FROM generate_series(1, 100) g")
        running.wait(120)
        settle(running, "big", "live")
        yield running


def settle(stack, *tables):
    """Until the pipeline knows the tables and has read what it wanted of them by itself."""
    stack.until(lambda: stack.sql("SELECT (SELECT count(*) FROM walhouse.captured c WHERE c.relation = ANY (%s::regclass[])), "
                                  "(SELECT count(*) FROM walhouse.snapshot WHERE state IN ('waiting', 'running'))",
                                  (list(tables),)) == [(len(tables), 0)], 60, "the tables to be covered")


class Writer:
    """Changes rows of both tables all the time; what Postgres refuses while it is away is tried again."""

    def __init__(self, stack):
        self.stack = stack
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        n = 0
        while not self.stop.is_set():
            try:
                with contextlib.closing(self.stack.connect()) as connection, connection.cursor() as cursor:
                    while not self.stop.is_set():
                        n += 1
                        cursor.execute("UPDATE live SET n = n + 1 WHERE id = %s", (1 + n % 100,))
                        cursor.execute("UPDATE big SET note = %s WHERE id = %s", (f"changed {n}", 1 + n * 7919 % ROWS))
                        time.sleep(0.01)
            except psycopg2.Error:
                time.sleep(0.1)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, kind, value, trace):
        self.stop.set()
        self.thread.join(30)


def snapshot(stack, snapshot_id):
    return stack.sql("SELECT state, rows_done, error FROM walhouse.snapshot WHERE id = %s", (snapshot_id,))[0]


def request(stack, table, condition=None):
    return stack.sql("SELECT walhouse.snapshot(%s, %s, %s)", (stack.env["PIPELINE"], table, condition))[0][0]


def until_rows(stack, snapshot_id, rows):
    """Until so many rows are done, and not all of them."""
    def is_there():
        state, done, _ = snapshot(stack, snapshot_id)
        assert state in ("waiting", "running"), f"the snapshot was {state} before it could be disturbed"
        return done >= rows and done
    return stack.until(is_there, 60, f"{rows} rows of snapshot {snapshot_id}")


def until_over(stack, snapshot_id, seconds=120):
    stack.until(lambda: snapshot(stack, snapshot_id)[0] not in ("waiting", "running"), seconds, "the end of the snapshot")
    return snapshot(stack, snapshot_id)


def messages(stack, table):
    """How many messages the topic of a table ever had."""
    total = 0
    for partition in range(2):
        topic = f"{stack.env['TOPIC_PREFIX']}.public.{table}"
        out = subprocess.run(["kcat", "-b", stack.env["KAFKA_BROKERS"], "-Q", "-t", f"{topic}:{partition}:-1"], check=True,
                             timeout=30, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True).stdout
        total += int(out.rsplit(" ", 1)[1])
    return total


def sessions(stack):
    """Ordinary connections of the publisher that read chunks."""
    return stack.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'walhouse\\_%\\_snapshot'")[0][0]


def test_kill_publisher_goes_on_where_it_was(stack):
    before = messages(stack, "big")
    snapshot_id = request(stack, "big", SLOWLY)
    done, kills = 0, 0
    for part in range(1, 4):
        until_rows(stack, snapshot_id, part * ROWS // 5)
        stack.kill("publisher")
        kills += 1
        now = snapshot(stack, snapshot_id)[1]
        assert now >= done, "what was done is not undone"
        done = now
    state, rows_done, error = until_over(stack, snapshot_id)
    assert (state, rows_done, error) == ("done", ROWS, None)
    surplus = messages(stack, "big") - before - ROWS
    # Each kill repeats at most what was read ahead.
    assert 0 <= surplus <= kills * CHUNKS_AHEAD * CHUNK_ROWS
    stack.wait(60)
    stack.assert_equal("big", "live")


def test_kill_publisher_under_writes_equals(stack):
    with Writer(stack):
        snapshot_id = request(stack, "big", SLOWLY)
        until_rows(stack, snapshot_id, ROWS // 3)
        stack.kill("publisher")
        assert until_over(stack, snapshot_id)[0] == "done"
    stack.wait(60)
    stack.assert_equal("big", "live")


def test_live_changes_flow_meanwhile(stack):
    """A change is not held up by the snapshot of another table: it is there long before the snapshot's end."""
    snapshot_id = request(stack, "big", SLOWLY)
    until_rows(stack, snapshot_id, 1)
    stack.sql("UPDATE live SET n = -1 WHERE id = 1")
    stack.until(lambda: stack.clickhouse("SELECT n FROM live WHERE id = 1").strip() == "-1", 30, "the change")
    assert snapshot(stack, snapshot_id)[0] == "running", "the snapshot outlasts the change"
    assert until_over(stack, snapshot_id)[0] == "done"


def test_kafka_away(stack):
    with Writer(stack):
        snapshot_id = request(stack, "big", SLOWLY)
        until_rows(stack, snapshot_id, ROWS // 3)
        stack.kill("kafka")
        try:
            time.sleep(1)
            done = snapshot(stack, snapshot_id)[1]
            time.sleep(3)
            assert snapshot(stack, snapshot_id) == ("running", done, None), "nothing is done that Kafka has not acknowledged"
            assert sessions(stack) == 0, "no connection is held while nothing can be read"
        finally:
            stack.start("kafka")
        assert until_over(stack, snapshot_id) == ("done", ROWS, None)
    stack.wait(90)
    stack.assert_equal("big", "live")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=["smart", "fast", "crash"])
def test_postgres_restarted(stack, how):
    """A smart shutdown waits for ordinary sessions: those that read chunks are gone in a moment."""
    snapshot_id = request(stack, "big", SLOWLY)
    done = until_rows(stack, snapshot_id, ROWS // 4)
    publisher = stack.status()["publisher_pid"]
    if how == signal.SIGKILL:
        stack.kill("postgres")
    else:
        postmaster = stack.sql("SELECT pg_read_file('postmaster.pid', 0, 20)")[0][0].split()[0]
        os.kill(int(postmaster), how)
        stack.until(lambda: not os.path.exists(f"/proc/{postmaster}/fd/0"), 8, "the end of the postmaster")
    stack.until(lambda: not os.path.exists(f"/proc/{publisher}/fd/0"), 5, "the end of the publisher")
    stack.start("postgres")
    # Progress is not flushed: a crash may take back the last moments of it.
    now = stack.until(lambda: snapshot(stack, snapshot_id), 30, "Postgres")[1]
    assert now >= done or how == signal.SIGKILL
    assert until_over(stack, snapshot_id)[:2] == ("done", ROWS)
    stack.wait(60)
    stack.assert_equal("big", "live")


def test_one_table_that_fails_holds_up_no_other(stack):
    stack.sql("CREATE TABLE other (id int PRIMARY KEY, note text)")
    stack.sql("INSERT INTO other SELECT g, 'note' FROM generate_series(1, 1000) g")
    settle(stack, "other")
    failing = request(stack, "live", "1 / (id - 50) IS NOT NULL")
    good = request(stack, "other")
    assert until_over(stack, good)[0] == "done"
    assert snapshot(stack, failing)[0] in ("waiting", "running"), "it is tried again"
    state, _, error = until_over(stack, failing, 60)
    assert state == "failed" and "division by zero" in error
    stack.until(lambda: sessions(stack) == 0, 5, "the end of every connection")


def test_more_tables_than_workers(stack):
    """A request that comes while every worker is busy waits for the first that ends, and none is taken up twice."""
    stack.sql("CREATE TABLE IF NOT EXISTS other (id int PRIMARY KEY, note text)")
    settle(stack)
    log = pathlib.Path(stack.directory, "log", "postgres.log")
    before = log.read_text(encoding="utf-8", errors="replace").count("goes on")
    slow = [request(stack, "big", f"{SLOWLY} AND id % 2 = {n}") for n in range(2)]
    for snapshot_id in slow:
        until_rows(stack, snapshot_id, 1)
    last = request(stack, "other")
    for snapshot_id in (*slow, last):
        assert until_over(stack, snapshot_id)[0] == "done"
    assert log.read_text(encoding="utf-8", errors="replace").count("goes on") == before


def test_kill_publisher_without_a_key_starts_again(stack):
    """Rows without a key cannot replace each other: what the first try left is swept, and each row is there once."""
    stack.sql("CREATE TABLE log (n int, note text)")
    stack.sql(f"INSERT INTO log SELECT g % 1000, repeat(md5((g % 1000)::text), 5) FROM generate_series(1, {ROWS}) g")
    stack.wait(60)
    settle(stack, "log")
    snapshot_id = request(stack, "log")
    until_rows(stack, snapshot_id, 1)
    stack.sql("INSERT INTO log SELECT 7, 'while it is read' FROM generate_series(1, 10)")
    stack.kill("publisher")
    assert until_over(stack, snapshot_id)[0] == "done"
    assert stack.sql("SELECT count(*) FROM pg_replication_slots WHERE temporary") == [(0,)]
    stack.wait(60)
    stack.assert_equal("log")


def test_a_slot_that_waits_holds_up_nothing(stack):
    """The slot of a scan waits for every running transaction; meanwhile the stream flows, and a stop is quick."""
    stack.sql("CREATE TABLE small_log (n int)")
    stack.sql("INSERT INTO small_log SELECT generate_series(1, 100)")
    stack.wait(60)
    settle(stack, "small_log")
    with contextlib.closing(stack.connect()) as connection, connection.cursor() as cursor:
        connection.autocommit = False
        cursor.execute("INSERT INTO small_log VALUES (0)")
        snapshot_id = request(stack, "small_log")
        stack.until(lambda: stack.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'walhouse\\_%\\_scan'") == [(1,)],
                    20, "the scan's connection")
        stack.sql("UPDATE live SET n = -2 WHERE id = 2")
        stack.until(lambda: stack.clickhouse("SELECT n FROM live WHERE id = 2").strip() == "-2", 30, "the change")
        publisher = stack.status()["publisher_pid"]
        stack.sql("SELECT walhouse.pause(%s)", (stack.env["PIPELINE"],))
        stack.until(lambda: not os.path.exists(f"/proc/{publisher}/fd/0"), 5, "the end of the publisher")
        stack.sql("SELECT walhouse.resume(%s)", (stack.env["PIPELINE"],))
        assert snapshot(stack, snapshot_id)[:2] == ("waiting", 0)
        connection.commit()
    assert until_over(stack, snapshot_id) == ("done", 101, None)
    stack.wait(60)
    stack.assert_equal("small_log", "live")


def test_a_table_that_is_dropped_meanwhile(stack):
    """Its snapshot is let go of, and its worker takes the next table."""
    stack.sql("CREATE TABLE doomed (LIKE big INCLUDING ALL)")
    stack.sql("INSERT INTO doomed SELECT * FROM big")
    settle(stack, "doomed")
    snapshot_id = request(stack, "doomed", SLOWLY)
    until_rows(stack, snapshot_id, 1)
    stack.sql("DROP TABLE doomed")
    assert until_over(stack, snapshot_id, 30)[0] == "cancelled"
    assert until_over(stack, request(stack, "live"))[0] == "done"
    stack.until(lambda: sessions(stack) == 0, 5, "the end of every connection")
