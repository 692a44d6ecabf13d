"""The agent by itself: what it does with messages that are no events, with tables that do not fit, and when it is stopped."""

import json
import subprocess
import time

import pytest

from stackctl import Stack


@pytest.fixture(scope="module")
def stack():
    with Stack() as running:
        running.sql("CREATE TABLE note (id int PRIMARY KEY, body text)")
        running.sql("INSERT INTO note VALUES (1, 'first')")
        running.wait(30)
        yield running


def letters(stack):
    """Dead letters in the warehouse's mirror, as [reason, topic, error], in the order they came."""
    return stack.clickhouse_rows("SELECT reason, topic, error FROM _walhouse_dead_letters FINAL ORDER BY time, offset")


def test_readiness_and_metrics(stack):
    assert stack.agent("/healthz").strip() == "ok"
    assert json.loads(stack.agent("/readyz"))["ready"] is True
    metrics = stack.agent("/metrics")
    values = {}
    for line in metrics.splitlines():
        if line.startswith("#"):
            assert line.split()[1] in ("HELP", "TYPE"), line
            continue
        name, value = line.rsplit(" ", 1)
        values[name] = float(value)
    assert values["walhouse_agent_rows_loaded_total"] >= 1
    assert values["walhouse_agent_clickhouse_up"] == values["walhouse_agent_kafka_up"] == 1
    assert values["walhouse_agent_tables_stopped"] == 0
    assert values['walhouse_agent_insert_duration_seconds_bucket{le="+Inf"}'] == \
        values["walhouse_agent_insert_duration_seconds_count"] >= 1
    assert values['walhouse_agent_dead_letters_total{reason="undecodable"}'] == 0


def test_lag_is_exact(stack):
    lag = json.loads(stack.agent("/api/lag"))
    assert lag["messages"] == 0
    assert {p["topic"] for p in lag["partitions"]} == {"shop.public.note"}
    assert sum(p["end"] for p in lag["partitions"]) == 1
    stack.kill("agent")
    stack.sql("INSERT INTO note SELECT g, 'more' FROM generate_series(2, 50) g")
    time.sleep(1)
    stack.start("agent")
    stack.wait(60)
    assert json.loads(stack.agent("/api/lag"))["messages"] == 0
    stack.assert_equal("note")


@pytest.mark.parametrize("value, reason", [
    (b"no event", "undecodable"),
    (b"\x01", "undecodable"),
    (b"\x02I\x00", "undecodable"),
    (bytes([1]) + b"I\x00" + bytes(2) + b"\x11" * 8 + bytes(8) + b"\x01" + bytes(4) + bytes(8) + b"\x01x", "unknown_schema"),
])
def test_what_is_no_event_is_a_dead_letter(stack, value, reason):
    before = len(letters(stack))
    topic = "shop.public.note"
    stack.produce(topic, value, "k")
    stack.sql("UPDATE note SET body = body || '.' WHERE id = 1")
    stack.wait(30)
    stack.assert_equal("note")
    assert len(letters(stack)) == before + 1
    assert letters(stack)[-1][:2] == [reason, topic]
    key, payload, headers = stack.consume("shop.__dlq")[-1]
    assert key == "k"
    assert payload.encode(errors="replace")[:4] == value.decode(errors="replace").encode()[:4]
    assert headers["walhouse.reason"] == reason


def test_values_that_cannot_be_held(stack):
    stack.sql("CREATE TABLE day (id int PRIMARY KEY, d date)")
    before = len(letters(stack))
    stack.sql("INSERT INTO day VALUES (1, '2024-01-01'), (2, 'infinity'), (3, '0001-01-01')")
    stack.wait(30)
    assert [row[0] for row in stack.warehouse_rows("day")] == ["1"]
    new = letters(stack)[before:]
    assert [letter[0] for letter in new] == ["value_out_of_range"] * 2
    assert any("infinity" in letter[2] for letter in new)


def test_unchanged_out_of_line_values(stack):
    stack.sql("CREATE TABLE doc (id int PRIMARY KEY, title text, body text)")
    stack.sql("ALTER TABLE doc ALTER body SET STORAGE EXTERNAL")
    stack.sql("INSERT INTO doc VALUES (1, 'a', repeat('x', 10000))")
    before = len(letters(stack))
    stack.sql("UPDATE doc SET title = 'b'")
    stack.wait(30)
    assert [letter[0] for letter in letters(stack)[before:]] == ["unchanged_value"]
    # What the message tells to do helps.
    stack.sql("ALTER TABLE doc REPLICA IDENTITY FULL")
    stack.sql("UPDATE doc SET title = 'c'")
    stack.wait(30)
    stack.assert_equal("doc")


def test_new_column_and_new_table(stack):
    stack.sql("ALTER TABLE note ADD stars int, ADD author text NOT NULL DEFAULT 'nobody'")
    stack.sql("INSERT INTO note VALUES (1000, 'new', 5, 'Ada')")
    stack.sql("UPDATE note SET stars = 1")
    stack.sql("CREATE TABLE fresh (id int PRIMARY KEY)")
    stack.sql("INSERT INTO fresh SELECT generate_series(1, 1000)")
    stack.wait(30)
    stack.assert_equal("note", "fresh")


def test_table_that_does_not_fit_is_stopped_alone(stack):
    stack.sql("CREATE TABLE bent (id int PRIMARY KEY, v int)")
    stack.sql("INSERT INTO bent VALUES (1, 1)")
    stack.wait(30)
    stack.sql("ALTER TABLE bent ALTER v TYPE text")
    stack.sql("INSERT INTO bent VALUES (2, 'two')")
    stack.until(lambda: "walhouse_agent_tables_stopped 1" in stack.agent("/metrics"), 30, "the table is stopped")
    with pytest.raises(OSError) as refused:
        stack.agent("/readyz")
    assert refused.value.code == 503
    assert "bent" in refused.value.read().decode()
    # Others go on, and what is stopped waits in Kafka.
    stack.sql("INSERT INTO fresh VALUES (5000)")
    stack.until(lambda: not any(stack.differences("fresh")), 30, "other tables go on")
    assert json.loads(stack.agent("/api/lag"))["messages"] == 1
    # Mended as the reason says, it goes on by itself.
    stack.clickhouse("ALTER TABLE _bent MODIFY COLUMN v Nullable(String)")
    stack.wait(90)
    stack.assert_equal("bent")
    stack.until(lambda: json.loads(stack.agent("/readyz"))["ready"], 30, "the agent is ready again")


def test_warehouse_away_for_a_while(stack):
    stack.kill("warehouse")
    stack.sql("INSERT INTO fresh SELECT generate_series(10000, 11000)")
    stack.until(lambda: "walhouse_agent_clickhouse_up 0" in stack.agent("/metrics"), 30, "the metrics say so")
    stack.start("warehouse")
    stack.wait(60)
    stack.assert_equal("fresh")


def test_stopping_loads_and_commits_what_was_consumed(stack):
    stack.sql("INSERT INTO fresh SELECT generate_series(20000, 30000)")
    stack.command("stop", "agent", timeout=30)
    log = open(f"{stack.directory}/log/agent.log", encoding="utf-8").read()
    assert "draining" in log and "ERROR" not in log.split("draining")[-1]
    stack.start("agent")
    stack.wait(60)
    stack.assert_equal("fresh")


def test_refuses_a_wrong_configuration(stack, tmp_path):
    path = tmp_path / "agent.conf"
    path.write_text("[kafka]\nbrokers = x\ntopic_prefx = y\n", encoding="utf-8")
    command = subprocess.run(["tr", "\\0", "\\n"], check=True, stdout=subprocess.PIPE,
                             stdin=open(f"/proc/{int(open(f'{stack.directory}/pid/agent').read().split()[0])}/cmdline", "rb")).stdout
    program = command.decode().split("\n")[0]
    result = subprocess.run([program, "--config", str(path)], stderr=subprocess.PIPE, text=True, timeout=20)
    assert result.returncode == 1
    assert "line 3: unknown setting [kafka] topic_prefx; did you mean [kafka] topic_prefix?" in result.stderr
    assert subprocess.run([program], stderr=subprocess.PIPE, timeout=20).returncode == 2
