"""Schemas of a living source: every change of a table is followed in the warehouse, row by row, while rows are written."""

import contextlib
import pathlib
import signal
import subprocess
import threading
import time

import pytest

from agentline import AGENT, Line, free_port
from stackctl import Stack


@pytest.fixture(scope="module")
def stack():
    with Stack("--partitions", "3") as running:
        yield running


def transaction(stack, *statements):
    with contextlib.closing(stack.connect()) as connection:
        connection.autocommit = False
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
        connection.commit()


def storages(stack, table):
    """The storage tables of a table, by name."""
    oid = stack.sql(f"SELECT '{table}'::regclass::oid::int")[0][0]
    return [row[0] for row in stack.clickhouse_rows(
        f"SELECT name FROM system.tables WHERE database = currentDatabase() AND comment LIKE 'walhouse % relation {oid} %' ORDER BY name")]


def arrives(stack, *tables, seconds=60):
    """Whatever was committed, and the snapshots that the changes asked for."""
    stack.wait(seconds)
    for table in tables:
        stack.until(lambda: stack.assert_equal(table) is None, seconds, f"{table} is equal")


class Writer:
    """Writes rows of a table, in transactions of its own, until it is told to end; DDL may come between any two."""

    def __init__(self, stack, statement):
        self.stack = stack
        self.statement = statement
        self.stop = threading.Event()
        self.count = 0
        self.failure = None
        self.thread = threading.Thread(target=self.run)

    def run(self):
        try:
            with contextlib.closing(self.stack.connect()) as connection, connection.cursor() as cursor:
                while not self.stop.is_set():
                    self.count += 1
                    cursor.execute(self.statement, {"n": self.count})
                    time.sleep(0.002)
        except Exception as error:  # pylint: disable=broad-except
            self.failure = error

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, kind, value, trace):
        self.stop.set()
        self.thread.join(60)
        assert kind or self.failure is None, self.failure


CHANGES = (
    "ALTER TABLE live ADD COLUMN added int",
    "ALTER TABLE live RENAME COLUMN note TO remark",
    "ALTER TABLE live ADD COLUMN constant text NOT NULL DEFAULT 'c'",
    "ALTER TABLE live ALTER COLUMN small TYPE bigint",
    "ALTER TABLE live DROP COLUMN gone",
    "ALTER TABLE live ADD COLUMN gone text",  # the name of another column that still is in the storage table
    "ALTER TABLE live ALTER COLUMN price TYPE numeric(14, 4)",
    "ALTER TABLE live ALTER COLUMN required DROP NOT NULL",
    "ALTER TABLE live ALTER COLUMN ratio TYPE double precision",
    "ALTER TABLE live ALTER COLUMN tags DROP NOT NULL",
    "ALTER TABLE live ALTER COLUMN code TYPE text USING 'code ' || code",
    "BEGIN; ALTER TABLE live RENAME a TO c; ALTER TABLE live RENAME b TO a; ALTER TABLE live RENAME c TO b; COMMIT",
    "ALTER TABLE live ALTER constant DROP DEFAULT, ALTER constant TYPE int USING length(constant), ALTER constant SET DEFAULT 1",  # no type holds both
)


def test_changes_while_rows_are_written(stack):
    stack.sql("""CREATE TABLE live (id int PRIMARY KEY, note text, small smallint, gone int, price numeric(10, 2),
              required int NOT NULL DEFAULT 1, ratio real, tags text[] NOT NULL DEFAULT '{x}', code int, a int, b text)""")
    stack.sql("INSERT INTO live SELECT g, 'before', g, g, g, g, g / 3.0, '{a,b}', g, g, 'b' FROM generate_series(1, 500) g")
    with Writer(stack, """INSERT INTO live (id, price, required) VALUES (1000 + %(n)s, %(n)s, %(n)s);
                          UPDATE live SET price = price + 1 WHERE id = 1 + %(n)s %% 500;
                          DELETE FROM live WHERE id = 1000 + %(n)s / 2 AND %(n)s %% 10 = 0"""):
        for change in CHANGES:
            transaction(stack, *[part for part in change.split("; ") if part not in ("BEGIN", "COMMIT")])
            stack.sql("UPDATE live SET required = 7 WHERE id % 50 = 0")
            time.sleep(0.3)
    arrives(stack, "live")
    types = stack.warehouse_types("live")
    assert types["small"] == "Nullable(Int64)" and types["required"] == "Nullable(Int32)" and types["constant"] == "Int32"
    assert "note" not in types and types["gone"] == "Nullable(String)"
    assert stack.clickhouse_rows("SELECT count() FROM `_walhouse_dead_letters` WHERE topic LIKE '%live'") == [[0]]


def test_a_dropped_column_keeps_its_values_in_the_storage_table(stack):
    stack.sql("CREATE TABLE slim (id int PRIMARY KEY, fat text NOT NULL); INSERT INTO slim VALUES (1, 'kept')")
    stack.wait()
    stack.sql("ALTER TABLE slim DROP fat; INSERT INTO slim VALUES (2)")
    arrives(stack, "slim")
    assert stack.clickhouse_rows("SELECT id, fat FROM _slim FINAL ORDER BY id") == [[1, "kept"], [2, ""]]
    assert "fat" not in stack.warehouse_types("slim")


def test_narrowing_keeps_the_wider_column(stack):
    stack.sql("CREATE TABLE narrow (id int PRIMARY KEY, n bigint, name text); INSERT INTO narrow VALUES (1, 1, 'one')")
    stack.wait()
    stack.sql("ALTER TABLE narrow ALTER n TYPE smallint, ALTER n SET NOT NULL; INSERT INTO narrow VALUES (2, 2, 'two')")
    arrives(stack, "narrow")
    assert stack.warehouse_types("narrow")["n"] == "Nullable(Int64)"
    assert storages(stack, "narrow") == ["_narrow"]


def test_a_table_is_renamed_moved_and_made_anew(stack):
    stack.sql("CREATE TABLE first_name (id int PRIMARY KEY, n int); INSERT INTO first_name VALUES (1, 1), (2, 2)")
    arrives(stack, "first_name")
    stack.sql("ALTER TABLE first_name RENAME TO second_name; INSERT INTO second_name VALUES (3, 3)")
    arrives(stack, "second_name")
    assert storages(stack, "second_name") == ["_first_name"] and stack.warehouse_types("first_name") == {}
    # Another table of the first name, while the old one lives on.
    stack.sql("CREATE TABLE first_name (id int CONSTRAINT another_key PRIMARY KEY, n text); INSERT INTO first_name VALUES (1, 'another')")
    arrives(stack, "first_name", "second_name")
    stack.sql("CREATE SCHEMA moved; ALTER TABLE second_name SET SCHEMA moved; UPDATE moved.second_name SET n = 33 WHERE id = 3")
    stack.wait()
    stack.until(lambda: stack.differences("second_name", "moved") == ([], []), 60, "the moved table is equal")
    stack.until(lambda: stack.warehouse_types("second_name") == {}, 60, "the old view is gone")
    # Made anew: same name, another relation.
    stack.sql("DROP TABLE first_name; CREATE TABLE first_name (id int CONSTRAINT third_key PRIMARY KEY, n int); INSERT INTO first_name VALUES (5, 5)")
    arrives(stack, "first_name")
    assert len(storages(stack, "first_name")) == 1 and storages(stack, "first_name") != ["_first_name"]
    # Two tables change places.
    transaction(stack, "ALTER TABLE first_name RENAME TO other_name", "ALTER TABLE moved.second_name SET SCHEMA public",
                "ALTER TABLE second_name RENAME TO first_name", "INSERT INTO other_name VALUES (6, 6)",
                "INSERT INTO first_name VALUES (7, 7)")
    arrives(stack, "first_name", "other_name")


def test_another_key_gets_a_storage_table_of_its_own(stack):
    stack.sql("CREATE TABLE keyed (id int PRIMARY KEY, code text NOT NULL UNIQUE, n int); "
              "INSERT INTO keyed SELECT g, 'code ' || g, g FROM generate_series(1, 2000) g")
    stack.wait()
    with Writer(stack, "INSERT INTO keyed VALUES (10000 + %(n)s, 'new ' || %(n)s, 0); UPDATE keyed SET n = n + 1 WHERE id = 1 + %(n)s %% 2000"):
        time.sleep(0.3)
        stack.sql("ALTER TABLE keyed DROP CONSTRAINT keyed_pkey, ADD PRIMARY KEY (code)")
        time.sleep(0.5)
        stack.sql("UPDATE keyed SET id = -id WHERE id <= 100")
        time.sleep(0.3)
    arrives(stack, "keyed")
    assert len(storages(stack, "keyed")) == 2
    stack.sql("ALTER TABLE keyed ALTER code TYPE varchar(99), ALTER id TYPE bigint; DELETE FROM keyed WHERE n > 1")
    arrives(stack, "keyed")
    # The key's own type: ClickHouse cannot change a column of ORDER BY.
    stack.sql("ALTER TABLE keyed DROP CONSTRAINT keyed_pkey, ADD PRIMARY KEY (id)")
    stack.sql("INSERT INTO keyed VALUES (3000000000, 'wide', 1)")
    arrives(stack, "keyed")


def test_a_snapshot_of_before_does_not_fill_a_new_storage_table(stack):
    """The table was empty and read; then its shape changes, and the source's own snapshot does not come: the agent's request has to be heard."""
    stack.sql("CREATE TABLE refilled (id int PRIMARY KEY, n text); INSERT INTO refilled VALUES (1, 'a'); DELETE FROM refilled")
    stack.wait()
    stack.sql("SELECT walhouse.snapshot('shop', 'refilled')")
    states = "SELECT reason, state FROM walhouse.snapshot WHERE table_name = 'refilled' ORDER BY id"
    stack.until(lambda: stack.sql(states) == [("requested", "done")], 60, "the snapshot is done")
    stack.wait()
    transaction(stack, "ALTER TABLE refilled ALTER n TYPE int USING 1",
                "SELECT walhouse.cancel_snapshot(max(id)) FROM walhouse.snapshot WHERE table_name = 'refilled'",
                "INSERT INTO refilled VALUES (2, 2)")
    arrives(stack, "refilled")
    assert stack.warehouse_types("refilled")["n"] == "Nullable(Int32)"
    assert stack.sql(states)[-2:] == [("rewritten", "cancelled"), ("agent", "done")]


def test_a_publication_that_leaves_deletes_out(stack):
    """Snapshots take nothing away there, so they say otherwise that a new storage table has all rows."""
    publication = stack.sql("SELECT publication FROM walhouse.pipeline")[0][0]
    stack.sql("CREATE TABLE archive (id int PRIMARY KEY, code text NOT NULL UNIQUE); INSERT INTO archive SELECT g, 'code ' || g FROM generate_series(1, 50) g")
    stack.wait()
    states = "SELECT reason, state FROM walhouse.snapshot WHERE table_name = 'archive' ORDER BY id"
    stack.sql(f"ALTER PUBLICATION {publication} SET (publish = 'insert, update')")
    try:
        stack.sql("DELETE FROM archive WHERE id > 40")
        stack.sql("SELECT walhouse.snapshot('shop', 'archive')")
        stack.until(lambda: stack.sql(states) == [("requested", "done")], 60, "the snapshot is done")
        stack.wait()
        assert stack.clickhouse_rows("SELECT count() FROM archive") == [[50]]
        stack.sql("ALTER TABLE archive DROP CONSTRAINT archive_pkey, ADD PRIMARY KEY (code); INSERT INTO archive VALUES (60, 'new')")
        arrives(stack, "archive")
        assert len(storages(stack, "archive")) == 2
        stack.until(lambda: "new_storage" not in stack.agent("/api/status"), 30, "it is whole")
    finally:
        stack.sql(f"ALTER PUBLICATION {publication} SET (publish = 'insert, update, delete, truncate')")


def test_without_a_key_and_with_one_again(stack):
    stack.sql("CREATE TABLE sometimes (id int PRIMARY KEY, n int); INSERT INTO sometimes SELECT g, g FROM generate_series(1, 100) g")
    stack.wait()
    stack.sql("ALTER TABLE sometimes DROP CONSTRAINT sometimes_pkey; INSERT INTO sometimes VALUES (1, 1), (1, 1)")
    arrives(stack, "sometimes")
    stack.sql("TRUNCATE sometimes; ALTER TABLE sometimes ADD PRIMARY KEY (id); INSERT INTO sometimes VALUES (1, 5)")
    arrives(stack, "sometimes")


def test_the_publisher_sends_old_schemas_again(stack):
    stack.sql("CREATE TABLE again (id int PRIMARY KEY, a int, b text); INSERT INTO again VALUES (1, 1, 'x')")
    stack.sql("ALTER TABLE again RENAME a TO c; INSERT INTO again VALUES (2, 2, 'y')")
    arrives(stack, "again")
    stack.kill("publisher")
    stack.sql("INSERT INTO again VALUES (3, 3, 'z')")
    arrives(stack, "again")
    # Back to the first shape: its fingerprint is an old one.
    stack.sql("ALTER TABLE again RENAME c TO a; INSERT INTO again VALUES (4, 4, 'z')")
    arrives(stack, "again")


def test_two_agents_and_a_killed_one(stack):
    """Changes, two agents of one group, and kill -9 of one of them again and again, in the middle of it."""
    stack.sql("CREATE TABLE shared (id int PRIMARY KEY, a int, b int); INSERT INTO shared SELECT g, g, -g FROM generate_series(1, 300) g")
    stack.sql("CREATE TABLE shared_2 (id int PRIMARY KEY, n int NOT NULL)")
    second = second_agent(stack)
    try:
        with Writer(stack, "INSERT INTO shared (id) VALUES (1000 + %(n)s); UPDATE shared SET id = -id WHERE id = 1 + %(n)s %% 300; "
                           "INSERT INTO shared_2 (id, n) VALUES (%(n)s, 1)"):
            for i in range(8):
                stack.sql(f"ALTER TABLE shared ADD added_{i} int DEFAULT {i}")
                transaction(stack, "ALTER TABLE shared RENAME a TO x", "ALTER TABLE shared RENAME b TO a", "ALTER TABLE shared RENAME x TO b")
                stack.sql("UPDATE shared SET a = coalesce(a, 0) + 1 WHERE id % 7 = 0")
                stack.sql(f"ALTER TABLE shared_2 ALTER n TYPE {('bigint', 'numeric(20, 2)', 'text', 'int USING 3')[i % 4]}")
                if i % 2:
                    stack.kill("agent")
                    stack.start("agent")
                else:
                    time.sleep(0.3)
        arrives(stack, "shared", "shared_2", seconds=120)
    finally:
        second.kill()
        second.wait(10)


def test_a_table_of_an_earlier_release_is_adopted(stack):
    """0.1.0 wrote no comment on its tables: one that fits is taken as it is, with its rows."""
    stack.command("stop", "agent")
    stack.sql("CREATE TABLE legacy (id int PRIMARY KEY, note text, n int NOT NULL); INSERT INTO legacy VALUES (1, 'one', 1), (2, 'two', 2)")
    stack.clickhouse("""CREATE TABLE _legacy (id Int32 COMMENT 'attribute 1', note Nullable(String) COMMENT 'attribute 2', n Int32 COMMENT 'attribute 3',
        `_version` UInt128, `_deleted` UInt8, `_commit_time` DateTime64(6, 'UTC'), `_loaded_time` DateTime64(6, 'UTC') DEFAULT now64(6),
        INDEX `_loaded_time_index` `_loaded_time` TYPE minmax GRANULARITY 1)
        ENGINE = ReplacingMergeTree(`_version`, `_deleted`) ORDER BY (id)""")
    stack.clickhouse("CREATE VIEW legacy AS SELECT id, note, n, _version, _commit_time, _loaded_time FROM _legacy FINAL WHERE `_deleted` = 0")
    stack.clickhouse("INSERT INTO _legacy (id, note, n, _version, _deleted, _commit_time) VALUES (1, 'old', 0, 1, 0, 0), (100, 'of then', 7, 1, 0, 0)")
    stack.start("agent")
    stack.wait()
    rows = "SELECT id, note, n FROM legacy ORDER BY id"  # no snapshot has swept what only 0.1.0 loaded
    assert stack.clickhouse_rows(rows) == [[1, "one", 1], [2, "two", 2], [100, "of then", 7]]
    assert storages(stack, "legacy") == ["_legacy"]
    # From then on it is as any other.
    stack.sql("ALTER TABLE legacy ALTER n DROP NOT NULL, ADD more text; INSERT INTO legacy VALUES (3, 'three', NULL, 'more')")
    stack.wait()
    assert stack.clickhouse_rows(rows) == [[1, "one", 1], [2, "two", 2], [3, "three", None], [100, "of then", 7]]
    assert storages(stack, "legacy") == ["_legacy"] and stack.warehouse_types("legacy")["more"] == "Nullable(String)"


def test_a_wider_type_overtakes_the_backlog_of_a_stopped_agent(stack, tmp_path):
    """It wakes with rows of the narrow type before it, and with a picture of the table from before."""
    with Line(stack, tmp_path, "overtaken") as line:
        line.topics = stack.env["TOPIC_PREFIX"]
        sleeper, other = line.agent(), line.agent(group="overtaken_other")  # each loads everything
        stack.sql("CREATE TABLE overtaken (id int PRIMARY KEY, n int NOT NULL, note text); INSERT INTO overtaken SELECT g, g, 'early' FROM generate_series(1, 100) g")
        stack.confirm()
        for agent in (sleeper, other):
            line.loaded(agent)
        sleeper.process.send_signal(signal.SIGSTOP)
        try:
            stack.sql("INSERT INTO overtaken SELECT -g, g, 'backlog' FROM generate_series(1, 300) g")
            stack.sql("INSERT INTO overtaken SELECT -1000, 0, repeat('\\', 9000000)")  # nearly as large as an event can be, and all to be escaped
            stack.sql("ALTER TABLE overtaken ALTER n TYPE bigint; INSERT INTO overtaken SELECT 1000 + g, 3000000000 + g, 'wide' FROM generate_series(1, 300) g")
            stack.until(lambda: line.rows("SELECT count() FROM overtaken WHERE note = 'wide'") == [[300]], 60, "the column is wider")
            line.loaded(other)
            assert line.rows("SELECT type FROM system.columns WHERE database = currentDatabase() AND table = '_overtaken' AND name = 'n'") == [["Int64"]]
        finally:
            sleeper.process.send_signal(signal.SIGCONT)
        line.loaded(sleeper)
        rows = "SELECT note, count(), min(n), max(n) FROM overtaken WHERE note IN ('backlog', 'wide') GROUP BY note ORDER BY note"
        stack.until(lambda: line.rows(rows) == [["backlog", 300, 1, 300], ["wide", 300, 3000000001, 3000000300]], 60, "all of it is there")
        assert line.rows("SELECT n, length(note), replaceAll(note, '\\\\', '') FROM overtaken WHERE id = -1000") == [[0, 9000000, ""]]
        # Not only by the other one: 100 before, and the 601 that waited.
        assert sleeper.metric("rows_loaded_total") >= 701 and sleeper.metric("tables_stopped") == 0
        assert line.rows("SELECT count() FROM `_walhouse_dead_letters`") == [[0]]


def test_a_table_is_made_anew_while_its_slot_is_lost(stack):
    """Nobody saw it go: in the next epoch another relation has its name, and the view, once all its rows are there."""
    stack.sql("CREATE TABLE reborn (id int PRIMARY KEY, n int); INSERT INTO reborn SELECT g, g FROM generate_series(1, 100) g")
    arrives(stack, "reborn")
    epoch = stack.sql("SELECT epoch FROM walhouse.pipeline")[0][0]
    stack.sql("SELECT walhouse.pause('shop')")
    stack.until(lambda: not stack.sql("SELECT active FROM pg_replication_slots WHERE slot_name = 'walhouse_shop'")[0][0], 60, "the slot is free")
    stack.sql("SELECT pg_drop_replication_slot('walhouse_shop')")
    stack.sql("DROP TABLE reborn; CREATE TABLE reborn (id int PRIMARY KEY, n text, more int); "
              "INSERT INTO reborn SELECT g, 'new ' || g, g FROM generate_series(50, 120) g")
    stack.sql("SELECT walhouse.resume('shop')")
    stack.until(lambda: stack.status()["state"] == "slot_lost", 60, "the loss is said")
    stack.sql("SELECT walhouse.resync('shop')")
    stack.until(lambda: stack.status()["state"] == "streaming", 60, "the pipeline streams")
    stack.sql("INSERT INTO reborn VALUES (1, 'later', 1); UPDATE reborn SET n = 'changed' WHERE id = 60")
    arrives(stack, "reborn")
    assert stack.sql("SELECT epoch FROM walhouse.pipeline")[0][0] == epoch + 1
    assert len(storages(stack, "reborn")) == 1 and storages(stack, "reborn") != ["_reborn"]
    assert stack.clickhouse_rows("SELECT count() FROM _reborn FINAL") == [[100]]


def second_agent(stack):
    """One more agent of the stack's group."""
    directory = pathlib.Path(stack.directory)
    config = next(directory.rglob("agent*.conf")).read_text(encoding="utf-8")
    lines = [f"listen = 127.0.0.1:{free_port()}" if line.startswith("listen") else line for line in config.splitlines()]
    path = directory / "second.conf"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with (directory / "second.log").open("ab") as log:
        return subprocess.Popen([str(AGENT), "--config", str(path)], stdin=subprocess.DEVNULL, stderr=log)
