"""More than one of everything, and large: brokers and agents that share the work while some of them are killed, hundreds of tables,
a thousand columns, rows just below the largest message, and an agent whose memory stays within its bound (docs/operations.md).
"""

import contextlib
import pathlib
import threading
import time

import pytest

from agentline import Line
from stackctl import Stack


@pytest.fixture(scope="module")
def stack():
    with Stack("--partitions", "2") as running:
        yield running


def test_brokers_and_agents_share_the_work_and_may_die(tmp_path):
    with Stack("--brokers", "3", "--partitions", "6") as stack, Line(stack, tmp_path, "shop") as line:
        stack.sql("CREATE TABLE orders (id int PRIMARY KEY, n int NOT NULL, note text)")
        stack.sql("CREATE TABLE second (id int PRIMARY KEY, n int NOT NULL)")
        stack.sql("INSERT INTO orders SELECT g, 0, 'note' FROM generate_series(1, 3000) g")
        stack.sql("INSERT INTO second SELECT g, 0 FROM generate_series(1, 3000) g")
        agents = [line.agent(), line.agent()]
        loaded = [0, 0]
        stop = threading.Event()
        failures = []

        def write(number):
            try:
                with contextlib.closing(stack.connect()) as connection, connection.cursor() as cursor:
                    n = 0
                    while not stop.is_set():
                        n += 1
                        cursor.execute(f"UPDATE orders SET n = n + 1 WHERE id % 50 = {n % 50} AND id % 2 = {number}")
                        cursor.execute(f"UPDATE second SET n = n + 1 WHERE id % 40 = {n % 40} AND id % 2 = {number}")
                        cursor.execute(f"DELETE FROM orders WHERE id = {2 * n + number}")
                        cursor.execute(f"INSERT INTO orders VALUES ({100000 + 2 * n + number}, 0, NULL)")
            except Exception as error:  # pylint: disable=broad-except
                failures.append(error)

        threads = [threading.Thread(target=write, args=(n,)) for n in range(2)]
        for thread in threads:
            thread.start()
        try:
            # Partitions are divided: each agent loads some of the rows.
            stack.until(lambda: all(agent.metric("rows_loaded_total") > 0 for agent in agents), 60, "both agents load rows")
            loaded = [agent.metric("rows_loaded_total") for agent in agents]
            agents[0].kill()
            time.sleep(2)
            stack.kill("kafka3")
            time.sleep(4)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert not failures and min(loaded) > 0
        # Two brokers and two agents do the whole work.
        stack.wait(120)
        stack.assert_equal("orders", "second")
        stack.start("kafka3")
        stack.sql("UPDATE orders SET note = 'after'")
        stack.wait(60)
        stack.assert_equal("orders")


def test_hundreds_of_tables(stack):
    tables = [f"many_{n}" for n in range(300)]
    with contextlib.closing(stack.connect()) as connection, connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"CREATE TABLE {table} (id int PRIMARY KEY, note text)")
        for table in tables:
            cursor.execute(f"INSERT INTO {table} SELECT g, '{table}' FROM generate_series(1, 5) g")
    stack.wait(180)
    for first in range(0, 300, 100):
        count = " + ".join(f"(SELECT count() FROM {table} WHERE note = '{table}')" for table in tables[first:first + 100])
        assert stack.clickhouse(f"SELECT {count}").strip() == "500"
    stack.assert_equal(*tables[::50])
    with contextlib.closing(stack.connect()) as connection, connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"UPDATE {table} SET note = 'again' WHERE id = 1")
    stack.wait(120)
    stack.assert_equal(*tables[::50])


def test_a_thousand_columns(stack):
    columns = ", ".join(f"c{n} {('int', 'text', 'timestamptz', 'numeric(10,2)')[n % 4]}" for n in range(999))
    values = ", ".join(("g", "'text ' || g", "now()", "g / 4.0")[n % 4] for n in range(999))
    stack.sql(f"CREATE TABLE wide (id int PRIMARY KEY, {columns})")
    stack.sql(f"INSERT INTO wide SELECT g, {values} FROM generate_series(1, 200) g")
    stack.sql("UPDATE wide SET c0 = -1, c998 = NULL WHERE id % 3 = 0")
    stack.wait(60)
    stack.assert_equal("wide")
    stack.sql("ALTER TABLE wide ADD last_one int")
    stack.sql("UPDATE wide SET last_one = id")
    stack.wait(60)
    stack.assert_equal("wide")


def peak_bytes(pid):
    """The largest resident memory that a process has had."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")


def test_rows_just_below_the_largest_message_in_bounded_memory(stack, tmp_path):
    """A backlog of large rows, and an agent that may not have more of it in memory than it was told to."""
    max_bytes, queue_kbytes = 1 << 20, 2048
    stack.sql("CREATE TABLE giant (id int PRIMARY KEY, n int, body text)")
    stack.sql("ALTER TABLE giant ALTER body SET STORAGE EXTERNAL")
    stack.sql("CREATE PUBLICATION giant FOR TABLE giant")
    stack.sql("SELECT walhouse.create_pipeline('giant', publication => 'giant', partitions => 2, "
              f"brokers => '{stack.env['KAFKA_BROKERS']}', topic_prefix => 'giant')")
    try:
        with Line(stack, tmp_path, "giant") as line:
            line.batch = f"max_bytes = {max_bytes}\n[kafka]\nqueue_kbytes = {queue_kbytes}\n"
            agent = line.agent()
            idle = peak_bytes(agent.process.pid)
            agent.terminate()
            stack.sql("INSERT INTO giant SELECT g, 0, repeat(chr(97 + g % 26), 10480000) FROM generate_series(1, 12) g")
            stack.sql("INSERT INTO giant SELECT g, 0, repeat('m', 500000) FROM generate_series(101, 180) g")
            # Small events, large rows.
            stack.sql("UPDATE giant SET n = 1")
            agent = line.agent(ready=False)
            sizes = "SELECT count(), sum(length(body)), sum(n) FROM giant"
            stack.until(lambda: line.rows(sizes) == [list(stack.sql("SELECT count(*), sum(length(body)), sum(n) FROM giant")[0])],
                        120, "everything is loaded")
            # The bound of docs/operations.md; the largest message is 10 MiB.
            bound = (64 << 20) + 2 * queue_kbytes * 1024 + 8 * max_bytes + 20 * 10485760
            peak = peak_bytes(agent.process.pid)
            assert peak < bound, f"{peak} bytes, {idle} when idle, and at most {bound}"
    finally:
        stack.sql("SELECT walhouse.drop_pipeline('giant')")
