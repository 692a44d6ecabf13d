"""kill -9 of the agent at random moments, while orders are placed, changed and deleted: afterwards every row is in its view, once.

KILLS (20) and KILL_SEED (random, printed) set number and dice; make kill-test KILLS=300 does it for long.
"""

import contextlib
import os
import random
import threading
import time

import pytest

from agentline import Agent, Line
from stackctl import Stack

KILLS = int(os.environ.get("KILLS", "20"))
SEED = int(os.environ.get("KILL_SEED", random.SystemRandom().randrange(1000000)))
COMPARE_EVERY = 25
TABLES = ("orders", "order_items")

SCHEMA = """
CREATE TABLE orders (id bigint PRIMARY KEY, customer int NOT NULL, total numeric(12, 2) NOT NULL, note text, placed timestamptz NOT NULL);
CREATE TABLE order_items (order_id bigint, line int, sku text NOT NULL, quantity int NOT NULL, PRIMARY KEY (order_id, line));
"""


@pytest.fixture(scope="module")
def stack():
    with Stack("--no-agent", "--partitions", "3") as running:
        running.sql(SCHEMA)
        yield running


class Shop:
    """Transactions of several clients until told to stop: new orders with items, changes, deletions, some rolled back."""

    def __init__(self, stack, seed):
        self.stop = threading.Event()
        self.commits = 0
        self.threads = [threading.Thread(target=self.work, args=(stack, n, random.Random(seed + n)), daemon=True) for n in range(3)]

    def work(self, stack, number, dice):
        with contextlib.closing(stack.connect()) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT coalesce(max(id), 0) / 3 FROM orders")
            order = number + 3 * cursor.fetchone()[0] + 3
            while not self.stop.is_set():
                cursor.execute("BEGIN")
                for _ in range(dice.choice((1, 1, 1, 20, 200))):
                    order += 3
                    cursor.execute("INSERT INTO orders VALUES (%s, %s, %s, %s, clock_timestamp())",
                                   (order, number, dice.randrange(100000) / 100, dice.choice((None, "", "a note"))))
                    cursor.execute("INSERT INTO order_items SELECT %s, g, 'SKU-' || g, 1 FROM generate_series(1, %s) g", (order, dice.randrange(4)))
                # The clients' orders are apart, so nobody waits for another.
                old = number + 3 * dice.randrange(1, 1 + order // 3)
                cursor.execute("UPDATE orders SET total = total + 1, note = 'changed' WHERE id = %s", (old,))
                cursor.execute("DELETE FROM order_items WHERE order_id = %s", (number + 3 * dice.randrange(1, 1 + order // 3),))
                if dice.random() < 0.2:
                    cursor.execute("DELETE FROM orders WHERE id = %s", (old,))
                cursor.execute("ROLLBACK" if dice.random() < 0.1 else "COMMIT")
                self.commits += 1
                time.sleep(0.01)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, kind, value, trace):
        self.stop.set()
        for thread in self.threads:
            thread.join(30)


def compare(stack, line):
    agent = line.agent()
    stack.confirm(120)
    line.loaded(agent, 120)
    stack.assert_equal(*TABLES)
    agent.kill()


def test_killed_at_any_moment(stack, tmp_path):
    print(f"KILL_SEED={SEED} KILLS={KILLS}")
    dice = random.Random(SEED)
    kills = at_work = 0
    properties = tmp_path / "properties"
    # One that comes back under its name takes its partitions at once; the broker would wait for the dead one otherwise.
    properties.write_text("group.instance.id=killed\n", encoding="ascii")
    with Line(stack, tmp_path, "shop") as line:
        line.settings = f"[kafka]\nproperties_file = {properties}\n"
        # A member that comes back with other topics than it had would wait for a rebalance that nobody asks for.
        stack.sql("INSERT INTO orders VALUES (1, 1, 1, NULL, now()); INSERT INTO order_items VALUES (1, 1, 'SKU', 1)")
        compare(stack, line)
        while kills < KILLS:
            with Shop(stack, SEED + kills):
                for _ in range(min(COMPARE_EVERY, KILLS - kills)):
                    agent = Agent(line, "")
                    line.agents = [agent]
                    # Half of them while they begin, the others at work.
                    time.sleep(dice.uniform(0, 0.5) if dice.random() < 0.5 else dice.uniform(1, 3))
                    with contextlib.suppress(OSError):
                        at_work += agent.metric("rows_loaded_total") > 0
                        # From here on to the microsecond.
                        time.sleep(dice.uniform(0, 0.2))
                    assert agent.process.poll() is None, "it lived until it was killed"
                    agent.kill()
                    kills += 1
            compare(stack, line)
        orders = stack.sql("SELECT count(*) FROM orders")[0][0]
    print(f"{kills} kills survived, {at_work} of them after rows were loaded; {orders} orders")
    assert at_work > 0
    assert stack.consume("shop.__dlq") == []
