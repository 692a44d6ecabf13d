"""The agent alone, between a real broker and a real warehouse: what produce_events puts into Kafka is in the view exactly once, or
a dead letter, whatever is killed on the way. Each test has topics, database and consumer group of its own.
"""

import collections
import http.client
import json
import re
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from agentline import AGENT, Line
from stackctl import Stack


@pytest.fixture(scope="module")
def stack():
    with Stack("--no-agent") as running:
        yield running


@pytest.fixture
def line(stack, tmp_path, request):
    with Line(stack, tmp_path, request.node.name) as opened:
        yield opened


def test_rows_of_every_operation(line):
    agent = line.agent()
    line.produce(count=1000, first=1, quantity=1, lsn=1000)
    line.produce("update", count=500, first=1, quantity=2, lsn=2000)
    line.produce("delete", count=100, first=901, lsn=3000)
    line.loaded(agent)
    assert line.rows("SELECT count(), uniqExact(id), sum(quantity), max(id) FROM orders") == [[900, 900, 1400, 900]]
    # Every value as it was sent.
    assert line.rows("SELECT customer_id, sku, toString(price), note, toString(placed_at), toString(_version) FROM orders "
                     "WHERE id = 7") == [[7, "SKU-7", "0.07", "a little note here", "2026-01-01 00:00:00.000007",
                                          str(1 << 112 | 2000 << 48 | 7)]]
    assert line.rows("SELECT note FROM orders WHERE id = 10") == [[None]]
    # What comes late, or again, changes nothing.
    line.produce(count=1000, first=1, quantity=1, lsn=1000)
    line.loaded(agent)
    assert line.rows("SELECT count(), sum(quantity) FROM orders") == [[900, 1400]]


def test_other_schemas_and_strange_names(line):
    agent = line.agent()
    line.produce(count=10, schema="audit", table="we`ird 'name\\")
    line.loaded(agent)
    line.assert_ids(1, 10, table="audit.we\\`ird 'name\\\\")


def test_bad_messages_become_dead_letters_and_good_ones_flow(line):
    agent = line.agent()
    line.produce(count=100)
    kinds = {"garbage": "undecodable", "long_body": "undecodable", "unknown": "unknown_schema",
             "out_of_range": "value_out_of_range"}
    for number, kind in enumerate(kinds):
        line.produce(kind, count=3, first=1000 + 10 * number, lsn=0x3000000)
        line.produce(count=1, first=101 + number)
    line.stack.produce(f"{line.name}.public.orders", b"not an event at all", "a key")
    line.produce(count=4, first=105)
    line.loaded(agent)
    line.assert_ids(1, 108)

    letters = line.letters()
    reasons = collections.Counter(headers["walhouse.reason"] for _, _, headers in letters)
    assert reasons == {"undecodable": 7, "unknown_schema": 3, "value_out_of_range": 3}
    [(key, value, headers)] = [letter for letter in letters if letter[1] == "not an event at all"]
    assert key == "a key"
    assert headers["walhouse.topic"] == f"{line.name}.public.orders"
    assert headers["walhouse.partition"] in ("0", "1") and headers["walhouse.offset"].isdigit()
    assert abs(int(headers["walhouse.time"]) / 1e6 - time.time()) < 120 and headers["walhouse.error"]

    line.stack.until(lambda: json.loads(agent.get("/api/summary")[1])["dlq"]["by_reason"] == dict(reasons), 15,
                     "the dashboard counts them")
    assert agent.metric("dead_letters_total") == 13


def test_a_row_that_clickhouse_refuses_is_found(line):
    agent = line.agent()
    line.produce(count=1)
    line.loaded(agent)
    line.stack.clickhouse("ALTER TABLE _orders ADD CONSTRAINT no_77 CHECK id % 1000 != 77", database=line.name)
    line.produce(count=5000, first=1)
    line.loaded(agent)
    assert line.rows("SELECT count(), uniqExact(id), countIf(id % 1000 = 77) FROM orders") == [[4995, 4995, 0]]
    letters = line.letters()
    assert len(letters) == 5 and {headers["walhouse.reason"] for _, _, headers in letters} == {"rejected"}
    assert all("no_77" in headers["walhouse.error"] for _, _, headers in letters)


def test_warehouse_away_and_back(line):
    agent = line.agent()
    line.produce(count=1000)
    line.loaded(agent)
    line.stack.kill("warehouse")
    try:
        line.produce(count=1000, first=1001)
        line.stack.until(lambda: not agent.is_ready(), 15, "readiness says that ClickHouse is away")
        assert any("ClickHouse" in reason for reason in agent.ready()["reasons"])
        assert agent.lag() == 1000
        assert json.loads(agent.get("/api/summary")[1])["agent"]["last_error"]
        assert agent.get("/healthz")[0] == 200
    finally:
        line.stack.start("warehouse")
    line.loaded(agent)
    line.assert_ids(1, 2000)
    line.stack.until(agent.is_ready, 15, "ready again")
    assert agent.metric("retries_total") > 0 and line.letters() == []


def test_kafka_away_and_back(line):
    agent = line.agent()
    line.produce(count=1000)
    line.loaded(agent)
    line.stack.kill("kafka")
    try:
        line.stack.until(lambda: not agent.is_ready(), 20, "readiness says that Kafka is away")
        assert any("Kafka" in reason for reason in agent.ready()["reasons"])
    finally:
        line.stack.start("kafka")
    line.produce(count=1000, first=1001)
    line.loaded(agent)
    line.assert_ids(1, 2000)


def test_terminated_without_the_others_it_still_ends_soon(line):
    agent = line.agent()
    line.produce(count=100)
    line.loaded(agent)
    line.stack.kill("warehouse")
    try:
        line.produce(count=100, first=101)
        line.stack.until(lambda: agent.metric("retries_total") > 0, 15, "the load is tried")
        assert agent.terminate() == 0
    finally:
        line.stack.start("warehouse")
    again = line.agent()
    line.loaded(again)
    line.assert_ids(1, 200)
    line.stack.kill("kafka")
    try:
        assert again.terminate() == 0
    finally:
        line.stack.start("kafka")


def test_killed_again_and_again(line):
    line.batch = "max_rows = 500\n"
    agent = line.agent()
    producer = line.start_produce(count=40000, seconds=8, partitions=3)
    for pause in (1.0, 0.6, 1.3):
        time.sleep(pause)
        agent.kill()
        agent = line.agent()
    assert producer.wait(60) == 0
    line.loaded(agent)
    line.assert_ids(1, 40000)


def test_terminated_it_has_committed_what_it_loaded(line):
    agent = line.agent()
    producer = line.start_produce(count=20000, seconds=2)
    line.stack.until(lambda: agent.metric("rows_loaded_total") > 1000, 15, "rows flow")
    assert agent.terminate() == 0
    loaded = line.rows("SELECT count() FROM _orders")[0][0]
    assert producer.wait(60) == 0
    again = line.agent()
    line.loaded(again)
    line.assert_ids(1, 20000)
    # Nothing was loaded twice.
    assert again.metric("rows_loaded_total") == 20000 - loaded
    last = line.agent()
    assert last.lag() == 0 and last.metric("rows_loaded_total") == 0


def test_two_agents_share_and_one_is_killed(line):
    line.produce(count=10, partitions=4)
    first, second = line.agent(), line.agent()
    line.loaded(first)
    producer = line.start_produce(count=30000, first=11, seconds=6, partitions=4)
    line.stack.until(lambda: first.metric("rows_loaded_total") > 1000 and second.metric("rows_loaded_total") > 1000, 20,
                     "both load")
    second.kill()
    assert producer.wait(60) == 0
    line.loaded(first)
    line.assert_ids(1, 30010)


def test_a_new_column_is_added_and_old_rows_still_load(line):
    agent = line.agent()
    line.produce(count=10)
    line.loaded(agent)
    line.produce(count=10, first=11, extra_columns=2, lsn=0x2000000)
    line.produce(count=10, first=21, lsn=0x2000000)
    line.loaded(agent)
    line.assert_ids(1, 30)
    assert line.rows("SELECT id, extra_1, extra_2 FROM orders WHERE id IN (10, 15, 25) ORDER BY id") == [
        [10, None, None], [15, 15, 16], [25, None, None]]


def test_a_table_that_does_not_fit_is_stopped_alone(line):
    line.stack.clickhouse(f"CREATE DATABASE `{line.name}`", database="default")
    line.stack.clickhouse(
        "CREATE TABLE _orders (id Int64 COMMENT 'attribute 1', quantity String COMMENT 'attribute 4') ENGINE = MergeTree "
        "ORDER BY id", database=line.name)
    agent = line.agent()
    line.produce(count=1000)
    line.produce(count=1000, table="others")
    line.stack.until(lambda: agent.metric("tables_stopped") == 1, 20, "the table is stopped")
    reason = " ".join(agent.ready()["reasons"])
    assert "_orders is there and was not made for table orders" in reason and agent.get("/readyz")[0] == 503
    line.produce(count=1000, first=1001)
    line.produce(count=1000, first=1001, table="others")
    line.stack.until(lambda: line.rows("SELECT count() FROM others") == [[2000]], 20, "the other table goes on")
    assert agent.lag() == 2000 and line.letters() == []
    # Its rows wait in Kafka until somebody mends it, also over a restart.
    assert agent.terminate() == 0
    again = line.agent(ready=False)
    line.stack.until(lambda: again.metric("tables_stopped") == 1, 20, "the table is stopped again")
    line.stack.clickhouse("DROP TABLE _orders", database=line.name)
    line.loaded(again, 60)
    line.assert_ids(1, 2000)
    line.assert_ids(1, 2000, table="others")
    line.stack.until(again.is_ready, 10, "ready again")


def test_metrics_are_prometheus_text(line):
    agent = line.agent()
    line.produce(count=100)
    line.loaded(agent)
    status, text = agent.get("/metrics")
    assert status == 200
    announced = {}
    for row in text.splitlines():
        if row.startswith("# TYPE "):
            _, _, name, kind = row.split(" ")
            announced[name] = kind
        elif not row.startswith("# HELP "):
            match = re.fullmatch(r'([a-z_:][a-z0-9_:]*)(?:\{([a-z_]+="[^"\\\n]*"(?:,[a-z_]+="[^"\\\n]*")*)\})? (\S+)', row)
            assert match, row
            float(match[3])
            name = re.sub(r"_(bucket|sum|count)$", "", match[1]) if match[1] not in announced else match[1]
            assert name in announced, row
    assert announced["walhouse_agent_rows_loaded_total"] == "counter"
    assert announced["walhouse_agent_end_to_end_seconds"] == "histogram"
    assert agent.metric("rows_loaded_total") == 100
    assert agent.metric("end_to_end_seconds_count") >= 1


def test_http_gives_no_more_than_it_should(line):
    agent = line.agent()
    (line.directory / "good.sql").write_text("SELECT 1 AS one -- the end", encoding="ascii")
    (line.directory / "bad.sql").write_text("SELECT nothing", encoding="ascii")
    (line.directory / ".hidden.sql").write_text("SELECT 2", encoding="ascii")
    summary = json.loads(agent.get("/api/summary")[1])
    assert summary["queries"] == {"good": [{"one": 1}]} and set(summary["queries_errors"]) == {"bad"}
    connection = http.client.HTTPConnection("127.0.0.1", agent.port, timeout=10)
    for method, path, status in (("GET", "/../../etc/passwd", 404), ("GET", "/%2e%2e/etc/passwd", 404), ("GET", "/nothing", 404),
                                 ("POST", "/api/lag", 405), ("DELETE", "/metrics", 405), ("HEAD", "/healthz", 200)):
        connection.request(method, path)
        response = connection.getresponse()
        response.read()
        assert response.status == status, (method, path)
    connection.close()


@pytest.mark.parametrize("text, message", [
    ("[kafka]\nbroker = x\n", "did you mean [kafka] brokers?"),
    ("[kafka]\nbrokers = x\n", "[kafka] topic_prefix is missing"),
    ("[kafka]\nbrokers = x\ntopic_prefix = y\n[batch]\nmax_rows = many\n", "max_rows"),
    ("[kafka]\nbrokers = x\ntopic_prefix = y\n[http]\nlisten = nowhere\n", "[http] cannot listen"),
    ("[kafka]\nbrokers = x\ntopic_prefix = y\n[clickhouse]\npassword_file = /nonexistent\n", "password_file"),
])
def test_settings_that_cannot_be_are_refused(tmp_path, text, message):
    config = tmp_path / "agent.conf"
    config.write_text(text, encoding="ascii")
    result = subprocess.run([str(AGENT), "--config", str(config)], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                            timeout=20)
    assert result.returncode == 1 and message in result.stderr.splitlines()[-1]


def test_usage():
    result = subprocess.run([str(AGENT)], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=20)
    assert result.returncode == 2 and "usage" in result.stderr
    help_text = subprocess.run([str(AGENT), "--help"], stdout=subprocess.PIPE, text=True, timeout=20, check=True).stdout
    assert "max_parts_per_second" in help_text
