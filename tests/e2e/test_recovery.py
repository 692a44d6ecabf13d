"""What the agent makes of losses: the group's offsets, messages in Kafka, the warehouse's last seconds, its own life."""

import contextlib
import json
import random
import re
import select
import signal
import socket
import subprocess
import threading
import time
import urllib.parse

import pytest

from agentline import BUILD, Line
from stackctl import Stack


@pytest.fixture(scope="module")
def stack():
    with Stack("--no-agent") as running:
        yield running


@pytest.fixture
def line(stack, tmp_path, request):
    with Line(stack, tmp_path, request.node.name) as opened:
        yield opened


def group(line):
    return f"walhouse-agent-{line.name}"


def forget(line, *what):
    subprocess.run([str(BUILD / "tests" / "kafka_forget"), line.stack.env["KAFKA_BROKERS"], *map(str, what)], check=True,
                   stdin=subprocess.DEVNULL, timeout=60)


def forget_group(line):
    """As its expiry does."""
    forget(line, "group", group(line))


def offsets(line):
    """What the warehouse knows: offset and safe offset by partition."""
    return {p: (o, s) for p, o, s in line.rows(
        f"SELECT partition, offset, safe_offset FROM _walhouse_offsets FINAL WHERE `group` = '{group(line)}' "
        "AND topic LIKE '%.orders'")}


def test_a_lost_group_goes_on_at_the_warehouses_offsets(line):
    agent = line.agent()
    line.produce(count=5000)
    line.loaded(agent)
    assert agent.terminate() == 0
    known = offsets(line)
    assert sum(offset for offset, _ in known.values()) == 5000
    forget_group(line)
    agent = line.agent()
    line.produce(count=100, first=5001, lsn=0x2000000)
    line.loaded(agent)
    line.assert_ids(1, 5100)
    assert agent.metric("messages_consumed_total") < 200, "only what is new was read"


def test_without_either_all_is_read_again(line):
    agent = line.agent()
    line.produce(count=1000)
    line.loaded(agent)
    assert agent.terminate() == 0
    line.rows("DROP TABLE _walhouse_offsets")
    forget_group(line)
    agent = line.agent()
    line.loaded(agent)
    line.assert_ids(1, 1000)
    assert agent.metric("messages_consumed_total") >= 1000


def ends(line):
    """Up to where each partition is loaded."""
    return {partition: offset for partition, (offset, _) in offsets(line).items()}


def kafka_ends(agent):
    return {p["partition"]: p["end"] for p in json.loads(agent.get("/api/lag")[1])["partitions"]}


def gap_states(agent):
    return re.findall(r'walhouse_agent_table_state\{table="([^"]*)",state="([^"]*)",code="gap"\} 1', agent.get("/metrics")[1])


@pytest.mark.parametrize("database", ["", "elsewhere"])
def test_a_gap_is_shown_and_healed(line, database):
    """Retention is faster than the agent: it says so, asks for a snapshot, and reads on with what there is."""
    view = f"{database}.orders" if database else "orders"
    line.settings = f"[table public.orders]\ndatabase = {database}\n" if database else ""
    agent = line.agent()
    line.produce(count=1000)
    line.loaded(agent)
    assert agent.terminate() == 0
    before = ends(line)
    line.produce(count=500, first=1001, lsn=0x2000000)
    for partition, offset in before.items():
        forget(line, "records", f"{line.name}.public.orders", partition, offset + 100)
    agent = line.agent(ready=False)
    line.produce(count=100, first=2001, lsn=0x3000000)
    line.loaded(agent)
    assert agent.metric("gaps_total") == 2 and agent.metric("gap_messages_total") == 200
    assert [state for _, state in gap_states(agent)] == ["filling"]
    assert line.rows(f"SELECT count() FROM {view}") == [[1000 + 500 - 200 + 100]]
    requests = [json.loads(value) for _, value, _ in line.stack.consume(f"{line.name}.__requests")]
    assert requests and all(r["kind"] == "snapshot" and (r["schema"], r["table"]) == ("public", "orders") for r in requests)
    # The snapshot comes, and its sweep.
    line.produce("snapshot", count=1600, first=1, lsn=0x4000000)
    line.produce("truncate", count=1, lsn=0x4000000 - 1)
    line.stack.until(lambda: not gap_states(agent), 30, "the table is whole again")
    line.loaded(agent)
    assert line.rows(f"SELECT count() FROM {view}") == [[1600]]


def test_a_gap_is_asked_about_once(line):
    """A restart does not find it again."""
    agent = line.agent()
    line.produce(count=100)
    line.loaded(agent)
    assert agent.terminate() == 0
    before = ends(line)
    line.produce(count=100, first=101, lsn=0x2000000)
    for partition, offset in before.items():
        forget(line, "records", f"{line.name}.public.orders", partition, offset + 1)
    agent = line.agent(ready=False)
    line.loaded(agent)
    agent.kill()
    asked = len(line.stack.consume(f"{line.name}.__requests"))
    agent = line.agent(ready=False)
    line.produce(count=10, first=301, lsn=0x3000000)
    line.loaded(agent)
    assert agent.metric("gaps_total") == 0 and len(line.stack.consume(f"{line.name}.__requests")) == asked


def test_a_topic_made_anew_is_a_gap(line):
    """With more messages than the old one had, so that the old offset would be valid, and skip."""
    agent = line.agent()
    line.produce(count=100)
    line.loaded(agent)
    assert agent.terminate() == 0
    subprocess.run([str(BUILD / "tests" / "delete_topic"), line.stack.env["KAFKA_BROKERS"], f"{line.name}.public.orders"],
                   check=True, stdin=subprocess.DEVNULL, timeout=60)
    line.stack.until(lambda: produced(line, count=300, first=1001, lsn=0x2000000), 60, "the topic is there again")
    agent = line.agent(ready=False)
    line.loaded(agent)
    assert agent.metric("gaps_total") > 0
    assert gap_states(agent) == [("orders", "filling")]
    assert line.rows("SELECT count() FROM orders WHERE id > 1000") == [[300]]


def produced(line, **options):
    return line.start_produce(**options).wait(60) == 0


def test_a_restarted_warehouse_is_filled_again(line):
    """What a power loss takes: rows that were acknowledged and not yet on disk. Deleting them here stands for that."""
    line.settings = "[clickhouse]\nrewind_s = 20\n"
    agent = line.agent()
    line.produce(count=1000)
    line.loaded(agent)
    line.rows("ALTER TABLE `_orders` DELETE WHERE id > 500 SETTINGS mutations_sync = 2")
    assert line.rows("SELECT count() FROM orders") == [[500]]
    line.stack.kill("warehouse")
    time.sleep(4)  # a start within three seconds of the last one is not told from it
    line.stack.start("warehouse")
    line.stack.until(lambda: agent.metric("warehouse_restarts_total") == 1, 60, "the restart is noticed")
    line.loaded(agent)
    line.stack.until(lambda: line.rows("SELECT count() FROM orders") == [[1000]], 30, "the rows are there again")
    line.assert_ids(1, 1000)


def test_an_agent_that_was_away_notices_the_restart(line):
    agent = line.agent()
    line.produce(count=1000)
    line.loaded(agent)
    agent.kill()
    line.rows("ALTER TABLE `_orders` DELETE WHERE id > 500 SETTINGS mutations_sync = 2")
    line.stack.kill("warehouse")
    time.sleep(4)
    line.stack.start("warehouse")
    agent = line.agent()
    line.stack.until(lambda: line.rows("SELECT count() FROM orders") == [[1000]], 30, "the rows are there again")
    line.assert_ids(1, 1000)


def test_where_to_begin_waits_for_the_warehouse(line):
    """Nothing is read before both have said what they know."""
    agent = line.agent()
    line.produce(count=1000)
    line.loaded(agent)
    agent.kill()
    forget_when_empty(line)
    line.stack.kill("warehouse")
    try:
        agent = line.agent(ready=False)
        line.produce(count=500, first=1001, lsn=0x2000000)
        line.stack.until(lambda: "is not known until ClickHouse answers" in agent.log.read_text(encoding="utf-8"), 60, "it waits")
    finally:
        line.stack.start("warehouse")
    line.loaded(agent)
    line.assert_ids(1, 1500)
    assert "begins at" in agent.log.read_text(encoding="utf-8")


def test_partitions_that_waited_and_went_away_come_back(line):
    """What stood still while its owner waited for the warehouse, and was another's in between, is read again."""
    first = line.agent()
    line.produce(count=100, partitions=4)
    line.loaded(first)
    assert first.terminate() == 0
    line.stack.kill("warehouse")
    try:
        first = line.agent(ready=False)
        line.stack.until(lambda: "is not known until ClickHouse answers" in first.log.read_text(encoding="utf-8"), 60, "it waits")
        second = line.agent(ready=False)
        line.stack.until(lambda: "partitions assigned" in second.log.read_text(encoding="utf-8")
                         and "partitions revoked" in first.log.read_text(encoding="utf-8"), 60, "the second has some of them")
    finally:
        line.stack.start("warehouse")
    line.stack.until(lambda: "begins at" in second.log.read_text(encoding="utf-8") or second.lag() == 0, 60, "the second reads")
    assert second.terminate() == 0
    line.produce("update", count=100, partitions=4, quantity=2, lsn=0x2000000)
    line.loaded(first)
    line.assert_ids(1, 100, 2)


def forget_when_empty(line):
    """A killed member is in the group for another six seconds."""
    def forgotten():
        try:
            forget_group(line)
        except subprocess.CalledProcessError:
            return False
        return True
    line.stack.until(forgotten, 30, "the group is empty and forgotten")


class Cutter:
    """A TCP proxy that cuts connections: some while the request is on its way, some when the answer begins to come."""

    def __init__(self, target, seed):
        self.target = target
        self.dice = random.Random(seed)
        self.cut = threading.Event()
        self.cuts = {"request": 0, "answer": 0}
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        server = socket.create_connection(self.target)
        fate = self.dice.choice(("request", "answer"))
        # Of the request's bytes, or of the number of the answer: connections are kept alive.
        left = {"request": self.dice.randrange(1, 600000), "answer": self.dice.randrange(1, 8)}[fate]
        with contextlib.suppress(OSError), client, server:
            while True:
                for ready in select.select([client, server], [], [])[0]:
                    data = ready.recv(65536)
                    if not data:
                        return
                    if self.cut.is_set() and (fate, ready) in (("request", client), ("answer", server)):
                        left -= len(data) if fate == "request" else 1
                        if left <= 0:
                            if fate == "request":
                                server.sendall(data[:len(data) // 2])
                            self.cuts[fate] += 1
                            return
                    (server if ready is client else client).sendall(data)


def test_inserts_with_an_unknown_outcome_are_made_again(line):
    """A log table too: there a row that came twice would be two, if versions did not tell."""
    url = urllib.parse.urlsplit(line.stack.env["CLICKHOUSE_URL"])
    cutter = Cutter((url.hostname, url.port), 1)
    line.settings = f"[clickhouse]\nurl = http://127.0.0.1:{cutter.port}/\n"
    line.batch = "max_rows = 2000"
    agent = line.agent()
    cutter.cut.set()
    line.produce(count=40000)
    line.produce(count=20000, table="log", keyless=1, lsn=0x2000000)
    line.stack.until(lambda: min(cutter.cuts.values()) >= 2, 60, "connections are cut")
    line.loaded(agent, 120)
    cutter.cut.clear()
    assert agent.metric("retries_total") > 0
    line.assert_ids(1, 40000)
    line.assert_ids(1, 20000, table="log")
    assert line.letters() == []


def test_a_zombie_neither_commits_nor_loses(line):
    """An agent that stands still while its partitions go to another, and wakes with rows in its hands."""
    line.batch = "max_rows = 500"
    first, second = line.agent(), line.agent()

    def both_load():
        line.produce(count=100, partitions=4)
        line.loaded(second)
        return first.metric("rows_loaded_total") > 0 and second.metric("rows_loaded_total") > 0

    line.stack.until(both_load, 60, "both have partitions")
    with line.start_produce(count=20000, partitions=4, seconds=4) as produce:
        time.sleep(1)
        first.process.send_signal(signal.SIGSTOP)
        assert produce.wait(60) == 0
    line.loaded(second, 60)
    line.assert_ids(1, 20000)
    first.process.send_signal(signal.SIGCONT)
    line.stack.until(lambda: re.search("partitions lost.*partitions assigned.*partitions assigned", first.log.read_text(), re.DOTALL),
                     60, "it has partitions again")
    time.sleep(2)
    # The rows in its hands are loaded, and do not take the group back to where they end.
    assert second.lag() == 0
    line.produce("update", count=20000, partitions=4, quantity=2, lsn=0x3000000)
    line.loaded(second, 60)
    line.assert_ids(1, 20000, 2)
    line.stack.until(lambda: first.lag() == 0 and ends(line) == kafka_ends(first), 30, "offsets are at the end")
    # Nothing went back: whoever comes next reads nothing again.
    for agent in (first, second):
        assert agent.terminate() == 0
    third = line.agent()
    line.loaded(third)
    assert third.metric("rows_loaded_total") == 0
    assert line.letters() == []


def test_partitions_move_while_rows_are_in_flight(line):
    """Agents come, go and are killed in the middle of a stream."""
    line.batch = "max_rows = 500"
    # With the topics of control events and of dead letters 11 partitions, so that each of three agents has some of the rows'.
    partitions = 9
    agents = [line.agent()]
    with line.start_produce(count=30000, partitions=partitions, seconds=8) as produce:
        agents.append(line.agent())
        agents.append(line.agent())
        line.stack.until(lambda: agents[2].metric("rows_loaded_total") > 0, 60, "the third has partitions")
        agents[0].kill()
        assert agents[1].terminate() == 0
        agents.append(line.agent())
        assert produce.wait(60) == 0
    line.loaded(agents[3], 90)
    line.assert_ids(1, 30000)
    assert line.letters() == []


def test_a_gap_is_healed_by_the_source(stack, tmp_path):
    """The whole way: rows, changes and deletes that no agent will ever see, the request, the snapshot, its sweep."""
    stack.sql("CREATE TABLE gappy (id bigint PRIMARY KEY, note text); INSERT INTO gappy SELECT g, 'first' FROM generate_series(1, 1000) g")
    with Line(stack, tmp_path, "shop") as line:
        agent = line.agent()
        stack.until(lambda: line.rows("SELECT count() FROM gappy") == [[1000]], 60, "the first rows are there")
        stack.confirm()
        line.loaded(agent)
        assert agent.terminate() == 0
        stack.sql("INSERT INTO gappy SELECT g, 'lost' FROM generate_series(1001, 1500) g")
        stack.sql("UPDATE gappy SET note = 'changed' WHERE id <= 300; DELETE FROM gappy WHERE id BETWEEN 301 AND 400")
        stack.confirm()
        for partition in (0, 1):
            forget(line, "records", "shop.public.gappy", partition, -1)
        agent = line.agent(ready=False)
        stack.sql("INSERT INTO gappy VALUES (2000, 'after')")
        stack.until(lambda: agent.metric("gaps_total") > 0, 60, "the gap is noticed")
        stack.until(lambda: not gap_states(agent), 120, "the table is whole again")
        stack.confirm()
        line.loaded(agent)
        stack.assert_equal("gappy")
        assert stack.sql("SELECT count(*) FROM walhouse.snapshot_status WHERE reason = 'agent' AND \"table\" = 'gappy'"
                         )[0][0] > 0
