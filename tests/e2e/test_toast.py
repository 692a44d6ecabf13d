"""Values that are stored out of line and that an update leaves alone, so that no event holds them: the views hold them all the same,
without REPLICA IDENTITY FULL and whatever is killed on the way.
"""

import contextlib
import random
import re
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


def settle(stack, *tables, seconds=90):
    """Until nothing is to be read any more, and the views are equal, row by row."""
    def equal():
        if stack.sql("SELECT 1 FROM walhouse.snapshot WHERE state IN ('waiting', 'running')"):
            return False
        stack.wait(60)
        return all(stack.differences(table) == ([], []) for table in tables)
    stack.until(equal, seconds, f"{tables} are equal")
    stack.assert_equal(*tables)
    assert stack.sql("SELECT table_name, error FROM walhouse.snapshot WHERE state = 'failed'") == []
    assert stack.consume(f"{stack.env['TOPIC_PREFIX']}.__dlq") == []


def metric(stack, name):
    return sum(float(v) for v in re.findall(rf"^walhouse_agent_{name} (\S+)$", stack.agent("/metrics"), re.MULTILINE))


def create(stack, table, rows=0):
    """Two large columns, an array and one of jsonb; none is compressed away."""
    stack.sql(f"CREATE TABLE {table} (id int PRIMARY KEY, n int, body text NOT NULL, other text, list int[], doc jsonb)")
    stack.sql(f"ALTER TABLE {table} ALTER body SET STORAGE EXTERNAL, ALTER other SET STORAGE EXTERNAL, ALTER list SET STORAGE EXTERNAL, "
              "ALTER doc SET STORAGE EXTERNAL")
    if rows:
        stack.sql(insert(table, 1, rows))


def same_rows(stack, line, table, *large, where=""):
    """Does the view hold what the table holds? Large columns are compared by their hashes."""
    source = ", ".join(["id", "n", *(f"coalesce(md5({c}), '')" for c in large)])
    view = ", ".join(["id", "n", *(f"if(isNull({c}), '', lower(hex(MD5(assumeNotNull({c})))))" for c in large)])
    return [tuple(r) for r in line.rows(f"SELECT {view} FROM {table} ORDER BY id")] == \
        stack.sql(f"SELECT {source} FROM {table} {where} ORDER BY id")


def insert(table, first, last):
    return (f"INSERT INTO {table} SELECT g, 0, repeat('b' || g, 1500), CASE WHEN g % 5 > 0 THEN repeat('o' || g, 1200) END, "
            f"ARRAY(SELECT generate_series(g, g + 900)), jsonb_build_object('k', repeat('d' || g, 1000)) FROM generate_series({first}, {last}) g")


def test_values_are_taken_from_the_row_before(stack):
    create(stack, "document", 200)
    stack.wait()
    stack.assert_equal("document")
    before = metric(stack, "rows_resolved_total")
    # Many times in one batch and over several; one column changes while the other does not; NULL and back; short and long.
    for turn in range(4):
        stack.sql(f"UPDATE document SET n = n + 1 WHERE id % 2 = {turn % 2}")
        stack.sql("UPDATE document SET body = body || 'x' WHERE id % 7 = 0")
        stack.sql(f"UPDATE document SET other = repeat('new {turn}', 900), n = n + 1 WHERE id % 11 = 0")
        stack.sql(f"UPDATE document SET other = NULL WHERE id % 13 = {turn}")
        stack.sql("UPDATE document SET n = n + 1")
    settle(stack, "document")
    assert metric(stack, "rows_resolved_total") > before
    assert metric(stack, "rows_requested_total") == 0
    stack.sql("UPDATE document SET body = 'short' WHERE id = 1")
    stack.sql("DELETE FROM document WHERE id = 2")
    stack.sql(insert("document", 2, 2))
    stack.sql("UPDATE document SET n = 77 WHERE id <= 2")
    with contextlib.closing(stack.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN; UPDATE document SET n = 1 WHERE id = 3; UPDATE document SET body = repeat('in one transaction', 300) WHERE id = 3; "
                       "UPDATE document SET n = 2 WHERE id = 3; DELETE FROM document WHERE id = 4; " + insert("document", 4, 4) +
                       "; UPDATE document SET n = 3 WHERE id = 4; COMMIT")
    settle(stack, "document")
    assert metric(stack, "rows_requested_total") == 0


def test_a_column_is_added_between(stack):
    create(stack, "grown", 20)
    stack.sql("UPDATE grown SET n = 1")
    stack.sql("ALTER TABLE grown ADD extra text")
    stack.sql("UPDATE grown SET n = 2")
    stack.sql("UPDATE grown SET extra = repeat('e', 100) WHERE id % 2 = 0")
    stack.sql("UPDATE grown SET n = 3")
    settle(stack, "grown")


def test_key_changes(stack):
    """The row of the new key has no row before: the source is asked for it, also for what follows before it has come."""
    create(stack, "moved", 30)
    stack.wait()
    before = metric(stack, "rows_requested_total")
    stack.sql("UPDATE moved SET id = id + 1000 WHERE id <= 10")
    stack.sql("UPDATE moved SET n = n + 1 WHERE id > 1000")
    settle(stack, "moved")
    stack.sql("UPDATE moved SET n = n + 1")
    stack.sql("UPDATE moved SET id = id - 1000, body = body || 'y' WHERE id > 1005")
    stack.sql("UPDATE moved SET id = id + 1000 WHERE id = 11")
    stack.sql("UPDATE moved SET id = id - 1000 WHERE id = 1011")
    settle(stack, "moved")
    assert metric(stack, "rows_requested_total") > before


@contextlib.contextmanager
def second_pipeline(stack, directory, name, condition=""):
    """One table's own pipeline and topics; its agents are the test's to start."""
    stack.sql(f"CREATE PUBLICATION {name} FOR TABLE {name}{condition}")
    stack.sql(f"SELECT walhouse.create_pipeline('{name}', publication => '{name}', partitions => 3, "
              f"brokers => '{stack.env['KAFKA_BROKERS']}', topic_prefix => '{name}')")
    try:
        with Line(stack, directory, name) as line:
            yield line
    finally:
        stack.sql(f"SELECT walhouse.drop_pipeline('{name}')")


def test_a_row_filter_that_makes_an_insert_of_an_update(stack, tmp_path):
    stack.sql("CREATE TABLE filtered (id int, visible bool, n int, body text, PRIMARY KEY (id, visible))")
    stack.sql("ALTER TABLE filtered ALTER body SET STORAGE EXTERNAL")
    stack.sql("INSERT INTO filtered SELECT g, true, 0, repeat('b', 5000) FROM generate_series(1, 20) g")
    with second_pipeline(stack, tmp_path, "filtered", " WHERE (visible)") as line:
        agent = line.agent()
        stack.until(lambda: len(line.rows("SELECT id FROM filtered")) == 20, 60, "the first rows")
        stack.sql("UPDATE filtered SET visible = false WHERE id <= 10")
        stack.sql("UPDATE filtered SET n = 5, body = body || 'unseen' WHERE id <= 10")
        stack.sql("UPDATE filtered SET visible = true WHERE id <= 10")
        stack.sql("UPDATE filtered SET n = n + 1 WHERE id <= 5")
        stack.until(lambda: same_rows(stack, line, "filtered", "body", where="WHERE visible"), 90,
                    "the rows are back, as they became unseen")
        assert agent.metric("rows_requested_total") >= 10


def test_it_survives_kills_while_rows_change(stack):
    create(stack, "hot", 300)
    stop = threading.Event()
    failures = []

    def write(number):
        dice = random.Random(number)
        try:
            with contextlib.closing(stack.connect()) as connection, connection.cursor() as cursor:
                while not stop.is_set():
                    key = dice.randrange(1, 301)
                    try:
                        cursor.execute(dice.choice((
                            f"UPDATE hot SET n = n + 1 WHERE id BETWEEN {key} AND {key + 10}",
                            f"UPDATE hot SET n = n + 1, other = repeat('{dice.random()}', 200) WHERE id = {key}",
                            f"UPDATE hot SET body = body || 'z' WHERE id = {key}",
                            f"DELETE FROM hot WHERE id = {key}",
                            insert("hot", key, key) + " ON CONFLICT DO NOTHING",
                            f"UPDATE hot SET id = {dice.randrange(1, 301)} WHERE id = {key} AND {dice.random()} < 0.2")))
                    except (psycopg2.errors.UniqueViolation, psycopg2.errors.DeadlockDetected):
                        pass
        except Exception as error:  # pylint: disable=broad-except
            failures.append(error)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    try:
        for part in ("agent", "warehouse", "agent", "publisher", "agent"):
            time.sleep(1.5)
            stack.kill(part)
            if part != "publisher":
                stack.start(part)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures
    settle(stack, "hot")


def test_a_base_that_is_wrong_is_healed_with_the_snapshot(stack, tmp_path):
    """While the table is not published its values change; when it is again, rows change at once that leave these values alone. They
    outrank the snapshot's rows, and must not keep the old values."""
    create(stack, "left_out", 40)
    with second_pipeline(stack, tmp_path, "left_out") as line:
        agent = line.agent()
        stack.until(lambda: same_rows(stack, line, "left_out", "body"), 60, "the first rows")
        stack.sql("CREATE TABLE other_one (id int PRIMARY KEY)")
        stack.sql("ALTER PUBLICATION left_out SET TABLE other_one")
        stack.sql("UPDATE left_out SET body = body || 'unseen'")
        stack.sql("ALTER PUBLICATION left_out SET TABLE left_out, other_one")
        for _ in range(5):
            stack.sql("UPDATE left_out SET n = n + 1 WHERE id <= 20")
        stack.until(lambda: same_rows(stack, line, "left_out", "body"), 90, "the rows are right")
        assert agent.metric("rows_resolved_total") > 0


def test_during_an_initial_snapshot(stack, tmp_path):
    """Rows change before the snapshot has brought them; two agents share the work."""
    create(stack, "large", 3000)
    with second_pipeline(stack, tmp_path, "large") as line:
        line.agent()
        line.agent()
        for turn in range(12):
            stack.sql(f"UPDATE large SET n = n + 1 WHERE id % 12 = {turn}")
            stack.sql(f"UPDATE large SET other = repeat('later', 1000) WHERE id % 120 = {turn}")
            stack.sql("UPDATE large SET n = n + 1 WHERE id > 2950")
        stack.until(lambda: same_rows(stack, line, "large", "body", "other"), 120, "the view is whole")


def test_a_row_too_large_for_kafka_lends_nothing(stack, tmp_path):
    """Its event is not in the stream. An update behind it that leaves the large value alone must not become a row with the value from
    before it: in the same batch, in a later one, and after a restart."""
    stack.sql("CREATE TABLE huge (id int PRIMARY KEY, n int, body text); ALTER TABLE huge ALTER body SET STORAGE EXTERNAL")
    stack.sql("INSERT INTO huge SELECT g, 0, repeat('b' || g, 3000) FROM generate_series(1, 4) g")
    with second_pipeline(stack, tmp_path, "huge") as line:
        agent = line.agent()
        stack.until(lambda: same_rows(stack, line, "huge", "body"), 60, "the first rows")
        before = line.rows("SELECT id, n, body FROM huge ORDER BY id")

        def markers(key, snapshot):
            """What the agent remembers of the versions that were too large: of changes, or of snapshots."""
            return line.rows(f"SELECT uniqExact(version) FROM _walhouse_unchanged WHERE reinterpretAsInt32(key) = {key} AND source = 0 "
                             f"AND empty(columns) AND (bitAnd(version, toUInt128(281474976710655)) = 0) = {snapshot}")[0][0]

        def asked(key, times):
            stack.until(lambda: markers(key, snapshot=1) >= times, 90, f"row {key} was asked for in vain")

        stack.sql("UPDATE huge SET body = repeat('x', 11 * 1024 * 1024) WHERE id = 1")
        stack.until(lambda: markers(1, snapshot=0) == 1, 60, "the row that is not in the stream is remembered")
        stack.sql("UPDATE huge SET n = 1 WHERE id = 1")
        asked(1, 1)
        agent.kill()
        stack.sql("UPDATE huge SET body = repeat('y', 11 * 1024 * 1024) WHERE id = 2; UPDATE huge SET n = 1 WHERE id = 2")
        stack.sql("UPDATE huge SET n = 2 WHERE id = 1")
        stack.sql("UPDATE huge SET n = 3 WHERE id = 4")
        agent = line.agent()
        asked(2, 1)
        asked(1, 2)
        line.loaded(agent)
        assert line.rows("SELECT id, n, body FROM huge ORDER BY id") == before[:3] + [[4, 3, before[3][2]]]
        stack.sql("UPDATE huge SET body = repeat('small again', 1000) WHERE id = 1")
        stack.sql("UPDATE huge SET n = 4 WHERE id <= 3")
        asked(2, 2)
        stack.sql("UPDATE huge SET body = 'small again' WHERE id = 2")
        stack.until(lambda: same_rows(stack, line, "huge", "body"), 60, "the rows are whole")
        letters = [headers["walhouse.reason"] for _, _, headers in line.letters()]
        assert set(letters) == {"too_large"} and len(letters) >= 6
        # Three, and one more where the first agent had not committed what it asked for.
        assert 3 <= agent.metric("rows_requested_total") <= 4, "markers ask for nothing themselves"
