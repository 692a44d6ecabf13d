"""The server stops when it is told to, and goes on when it is not: whatever Kafka, the publisher or its worker do.

tests/e2e/test_faults.py kills each part while orders flow; here Kafka is away and a backlog waits.
"""

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

# A promise of the project, whatever machine this runs on: a stop of the server takes less than 5 s with Kafka away.
STOP_SECONDS = 5
BACKLOG_ROWS = 60000
WRITERS = 2


@pytest.fixture(scope="module")
def stack():
    with Stack("--no-agent") as running:
        running.sql("CREATE TABLE load (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text)")
        running.sql("CREATE TABLE journal (note text)")
        running.sql("INSERT INTO journal SELECT repeat('j', 100) FROM generate_series(1, 300000)")
        running.confirm()
        yield running


# ---- processes ----

def part_pid(stack, part):
    return int((pathlib.Path(stack.directory) / "pid" / part).read_text(encoding="ascii").split()[0])


def is_running(pid):
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def memory_kib(pid, field):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    raise AssertionError(f"no {field} of process {pid}")


@contextlib.contextmanager
def kafka_away(stack, how):
    """Killed, so that connections are refused, or stopped, so that they are open and nobody answers."""
    broker = part_pid(stack, "kafka1")
    if how == "killed":
        stack.kill("kafka")
    else:
        os.kill(broker, signal.SIGSTOP)
    try:
        yield
    finally:
        if how == "killed":
            stack.start("kafka")
        else:
            os.kill(broker, signal.SIGCONT)


class Writers:
    """Sessions that insert rows one by one until the server ends them; keep: in one connection each, not one a row."""

    def __init__(self, stack, keep):
        self.stack = stack
        self.keep = keep
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self.write, daemon=True) for _ in range(WRITERS)]

    def write(self):
        try:
            while not self.stop.is_set():
                with contextlib.closing(self.stack.connect()) as connection, connection.cursor() as cursor:
                    for _ in range(10 ** 9 if self.keep else 1):
                        cursor.execute("INSERT INTO load (note) VALUES ('one of many')")
                        if self.stop.is_set():
                            break
        except psycopg2.Error:
            pass

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, kind, value, trace):
        self.stop.set()
        for thread in self.threads:
            thread.join(30)


# ---- both ends ----

def rows_in_kafka(stack, table):
    """How many different keys the table's topic holds."""
    keys = subprocess.run(
        ["kcat", "-b", stack.env["KAFKA_BROKERS"], "-C", "-t", f"{stack.env['TOPIC_PREFIX']}.public.{table}", "-e", "-q",
         "-f", "%k", "-D", ""], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True, timeout=60).stdout
    assert len(keys) % 8 == 0, "a key is a bigint"
    return len({keys[i:i + 8] for i in range(0, len(keys), 8)})


def make_known(stack):
    """A table's first event waits for its topic and its schema, and all others behind it: here it has come."""
    stack.sql("INSERT INTO load (note) VALUES ('known'); INSERT INTO journal VALUES ('known')")
    stack.confirm()


def await_backlog(stack):
    """More rows than the publisher takes without an acknowledgement."""
    stack.sql("INSERT INTO load (note) SELECT repeat('x', 200) FROM generate_series(1, %s)", (BACKLOG_ROWS,))
    stack.until(lambda: stack.status()["in_flight"] >= 10000, 30, "events wait for Kafka")


def stop_server(stack, how):
    """Sends the postmaster its signal; returns how long it took to end."""
    postmaster = part_pid(stack, "postgres")
    begun = time.monotonic()
    os.kill(postmaster, how)
    while is_running(postmaster):
        assert time.monotonic() < begun + 60, "the server does not stop"
        time.sleep(0.01)
    return time.monotonic() - begun


@pytest.mark.parametrize("kafka", ["killed", "hung"])
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT], ids=["smart", "fast", "immediate"])
def test_the_server_stops_in_time(stack, how, kafka):
    """Under load, with Kafka away, a backlog in the publisher and snapshots under way. Afterwards nothing is missing."""
    make_known(stack)
    for table in ("load", "journal"):
        stack.sql("SELECT walhouse.snapshot('shop', %s::regclass)", (table,))
    with kafka_away(stack, kafka):
        await_backlog(stack)
        publisher = stack.status()["publisher_pid"]
        # A smart shutdown waits for sessions, so there they are short ones.
        with Writers(stack, keep=how != signal.SIGTERM):
            time.sleep(0.5)
            seconds = stop_server(stack, how)
        assert not is_running(publisher)
        stack.start("postgres")
    assert seconds < STOP_SECONDS
    stack.until(lambda: stack.status()["state"] == "streaming", 30, "events flow again")
    stack.confirm()
    assert rows_in_kafka(stack, "load") == stack.sql("SELECT count(*) FROM load")[0][0]


def test_the_server_stops_while_the_publisher_hangs(stack):
    """It does not answer SIGTERM any more, so the worker kills it."""
    publisher = stack.status()["publisher_pid"]
    os.kill(publisher, signal.SIGSTOP)
    seconds = stop_server(stack, signal.SIGINT)
    assert not is_running(publisher)
    stack.start("postgres")
    assert seconds < STOP_SECONDS
    stack.until(lambda: stack.status()["state"] == "streaming", 30, "events flow again")


def test_the_server_stops_while_the_publisher_floods_its_log(stack):
    """A program that writes faster than the worker reads must not keep the worker from hearing anything else."""
    flood = pathlib.Path(stack.directory) / "flood"
    flood.write_text("#!/bin/sh\nexec yes INFO: again and again\n", encoding="ascii")
    flood.chmod(0o755)
    size = (pathlib.Path(stack.directory) / "log" / "postgres.log").stat().st_size
    stack.sql(f"ALTER SYSTEM SET walhouse.publisher_path = '{flood}'")
    stack.sql("SELECT pg_reload_conf()")
    stack.until(lambda: (pathlib.Path(stack.directory) / "log" / "postgres.log").stat().st_size > size + 1000000, 20, "a flood")
    # It hears a change of settings, and the stop of the server.
    stack.sql("ALTER SYSTEM SET walhouse.statistics_interval = 6")
    starts = stack.status()["publisher_starts"]
    stack.sql("SELECT pg_reload_conf()")
    stack.until(lambda: stack.status()["publisher_starts"] > starts, 10, "another publisher")
    seconds = stop_server(stack, signal.SIGINT)
    # While the server is down its settings are files.
    (pathlib.Path(stack.directory) / "postgres" / "data" / "postgresql.auto.conf").write_text("", encoding="ascii")
    stack.start("postgres")
    assert seconds < STOP_SECONDS
    stack.until(lambda: stack.status()["state"] == "streaming", 30, "events flow again")


@pytest.mark.parametrize("who", ["worker_pid", "publisher's walsender"])
def test_a_terminated_process_comes_back(stack, who):
    """pg_terminate_backend() ends it, the pipeline goes on, and no session notices."""
    session = stack.connect()
    cursor = session.cursor()
    cursor.execute("CREATE TEMPORARY TABLE mine AS SELECT pg_postmaster_start_time() AS started")
    before = stack.status()
    stack.sql("INSERT INTO load (note) VALUES ('before')")
    if who == "worker_pid":
        pid = before["worker_pid"]
    else:
        pid = stack.sql("SELECT active_pid FROM pg_replication_slots WHERE slot_name = %s", (before["slot_name"],))[0][0]
    assert stack.sql("SELECT pg_terminate_backend(%s, 5000)", (pid,)) == [(True,)]
    assert not is_running(pid)
    stack.until(lambda: (s := stack.status())["state"] == "streaming" and s["publisher_pid"] != before["publisher_pid"], 30,
                "another publisher streams")
    assert not is_running(before["publisher_pid"])
    stack.sql("INSERT INTO load (note) VALUES ('after')")
    stack.confirm()
    assert rows_in_kafka(stack, "load") == stack.sql("SELECT count(*) FROM load")[0][0]
    cursor.execute("SELECT started = pg_postmaster_start_time() FROM mine")
    assert cursor.fetchone() == (True,)
    session.close()


def test_a_worker_that_waits_for_a_lock_can_be_terminated(stack):
    """Whoever holds walhouse.pipeline must not keep the worker from ending."""
    with contextlib.closing(stack.connect()) as session, session.cursor() as cursor:
        session.autocommit = False
        cursor.execute("LOCK TABLE walhouse.pipeline")
        stack_pid = session.info.backend_pid
        cursor.execute("SELECT worker_pid FROM walhouse._pipeline_states()")
        worker = cursor.fetchone()[0]
        cursor.execute("SELECT pg_reload_conf()")
        stack.until(lambda: stack.sql("SELECT %s = ANY (pg_blocking_pids(%s))", (stack_pid, worker))[0][0], 10,
                    "the worker reads the table")
        assert stack.sql("SELECT pg_terminate_backend(%s, 5000)", (worker,)) == [(True,)]
        session.rollback()
    stack.until(lambda: (s := stack.status())["state"] == "streaming" and s["worker_pid"] != worker, 30, "another worker")


def test_memory_is_bounded_while_a_backlog_waits(stack):
    """Kafka is away, and the source goes on: many small rows, some large ones, snapshots. What waits, waits in the WAL."""
    stack.sql("CREATE TABLE large (id bigint PRIMARY KEY, note text); INSERT INTO large VALUES (-1, '')")
    make_known(stack)
    with kafka_away(stack, "killed"):
        stack.sql("INSERT INTO load (note) SELECT repeat('x', 200) FROM generate_series(1, 400000)")
        for i in range(40):
            stack.sql("INSERT INTO large SELECT %s, string_agg(md5(i::text), '') FROM generate_series(1, 130000) i", (i,))
        for table in ("load", "journal", "large"):
            stack.sql("SELECT walhouse.snapshot('shop', %s::regclass)", (table,))
        stack.until(lambda: stack.status()["state"] == "waiting_for_kafka", 30, "status says that Kafka is away")
        status = stack.until(lambda: (s := stack.status())["in_flight"] >= 50000 and s, 30, "a full window")
        time.sleep(3)
        walsender = stack.sql("SELECT active_pid FROM pg_replication_slots WHERE slot_name = %s", (status["slot_name"],))[0][0]
        publisher_kib = memory_kib(status["publisher_pid"], "VmHWM")
        walsender_kib = memory_kib(walsender, "RssAnon")
    # The source has produced some 300 MB. librdkafka's queue is 64 MiB, the window of events in flight 100,000.
    assert publisher_kib < 200 * 1024
    # logical_decoding_work_mem (64 MiB) and what the allocator keeps of it.
    assert walsender_kib < 200 * 1024
    stack.confirm(120)
    assert rows_in_kafka(stack, "load") == stack.sql("SELECT count(*) FROM load")[0][0]
    assert rows_in_kafka(stack, "large") == 41
