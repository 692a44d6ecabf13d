"""What the agent makes of losses: the group's offsets, messages in Kafka, the warehouse's last seconds, its own life."""

import json
import re
import subprocess
import time

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


def gap_states(agent):
    return re.findall(r'walhouse_agent_table_state\{table="([^"]*)",state="([^"]*)",code="gap"\} 1', agent.get("/metrics")[1])


def test_a_gap_is_shown_and_healed(line):
    """Retention is faster than the agent: it says so, asks for a snapshot, and reads on with what there is."""
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
    assert gap_states(agent) == [("orders", "filling")]
    assert line.rows("SELECT count() FROM orders") == [[1000 + 500 - 200 + 100]]
    requests = [json.loads(value) for _, value, _ in line.stack.consume(f"{line.name}.__requests")]
    assert requests and all(r["kind"] == "snapshot" and (r["schema"], r["table"]) == ("public", "orders") for r in requests)
    # The snapshot comes, and its sweep.
    line.produce("snapshot", count=1600, first=1, lsn=0x4000000)
    line.produce("truncate", count=1, lsn=0x4000000 - 1)
    line.stack.until(lambda: not gap_states(agent), 30, "the table is whole again")
    line.loaded(agent)
    assert line.rows("SELECT count() FROM orders") == [[1600]]


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
