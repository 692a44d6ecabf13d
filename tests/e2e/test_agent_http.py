"""What the agent says over HTTP when a part of the line is away or a question fails: never a figure that it does not know."""

import concurrent.futures
import json
import os
import pathlib
import re
import signal
import socket
import time
import urllib.error
import urllib.request

from agentline import Agent
from test_agent import line, stack  # noqa: F401 (fixtures)


def summary(agent):
    status, text = agent.get("/api/summary")
    return status, json.loads(text)


def lag_by_partition(agent):
    """{} while the brokers do not tell."""
    text = agent.get("/metrics")[1]
    found = re.findall(r'^walhouse_agent_consumer_lag_messages\{topic="([^"]+)",partition="(\d+)"\} (\d+)$', text, re.MULTILINE)
    return {(topic, int(partition)): int(lag) for topic, partition, lag in found}


def test_a_query_that_fails_is_told_alone(line):  # noqa: F811
    broken = {"broken_function": "SELECT no_such_function(1)", "broken_types": "SELECT toString(1) + 1",
              "broken_while_it_runs": "SELECT throwIf(1)", "broken_table": "SELECT * FROM nowhere",
              "broken_slow": "SELECT sleepEachRow(1) FROM numbers(30) SETTINGS max_block_size = 1"}
    good = {f"good_{i}": f"SELECT {i} AS i" for i in range(5)}
    for name, sql in (broken | good).items():
        (line.directory / f"{name}.sql").write_text(sql, encoding="ascii")
    status, answer = summary(line.agent())
    assert status == 200
    assert answer["queries"] == {f"good_{i}": [{"i": i}] for i in range(5)}
    assert set(answer["queries_errors"]) == set(broken)
    assert "UNKNOWN_TABLE" in answer["queries_errors"]["broken_table"]
    assert "TIMEOUT_EXCEEDED" in answer["queries_errors"]["broken_slow"]


def test_a_foreign_table_does_not_hide_the_latency(line):  # noqa: F811
    agent = line.agent()
    line.produce(count=10)
    line.loaded(agent)
    line.stack.clickhouse("CREATE TABLE _foreign (a UInt64) ENGINE = ReplacingMergeTree ORDER BY a", database=line.name)
    line.stack.until(lambda: summary(agent)[1]["latency_ms"]["rows"] == 10, 10, "the latency is of the ten rows")


def test_no_zeros_for_figures_of_a_warehouse_that_is_away(line):  # noqa: F811
    agent = line.agent()
    line.produce(count=10)
    line.loaded(agent)
    line.stack.kill("warehouse")
    try:
        line.stack.until(lambda: summary(agent)[0] == 503, 10, "the summary says that the warehouse is away")
        answer = summary(agent)[1]
        assert set(answer) == {"generated_at_ms", "agent", "line", "error"}
        assert answer["agent"]["state"] == "waiting_for_clickhouse"
        assert answer["error"]["code"] == "warehouse_away" and line.stack.env["CLICKHOUSE_URL"] in answer["error"]["message"]
        assert agent.ready()["state"] == "waiting_for_clickhouse"
        line.produce(count=100, first=101)
        line.stack.until(lambda: sum(lag_by_partition(agent).values()) == 100, 15, "the metrics have the lag")
        assert {topic for topic, _ in lag_by_partition(agent)} == {f"{line.name}.public.orders"}
    finally:
        line.stack.start("warehouse")
    line.loaded(agent)
    line.stack.until(lambda: summary(agent)[0] == 200, 10, "there are figures again")
    assert summary(agent)[1]["dlq"] == {"count": 0, "by_reason": {}, "replayed": 0, "discarded": 0}
    line.stack.until(lambda: set(lag_by_partition(agent).values()) == {0}, 15, "nothing is left to load")
    line.stack.until(lambda: summary(agent)[1]["agent"]["state"] == "running", 15, "it runs")


def test_kafka_away_is_said_and_forgotten(line):  # noqa: F811
    agent = line.agent()
    line.produce(count=10)
    line.loaded(agent)
    line.stack.kill("kafka")
    try:
        line.stack.until(lambda: summary(agent)[1]["agent"]["state"] == "waiting_for_kafka", 20, "the summary says that Kafka is away")
        line.stack.until(lambda: summary(agent)[1]["agent"]["lag_messages"] is None, 20, "the lag is not known")
        status, answer = summary(agent)
        assert status == 200 and answer["latency_ms"]["rows"] == 10
        line.stack.until(lambda: lag_by_partition(agent) == {}, 20, "the metrics have no lag")
    finally:
        line.stack.start("kafka")
    # Nothing is produced: the state must not wait for a message.
    line.stack.until(lambda: summary(agent)[1]["agent"] | {"last_error": None} == {
        "state": "running", "lag_messages": 0, "rows_loaded": 10, "last_error": None, "table_states": []}, 30, "it runs, and the lag is known")


def test_viewers_of_a_frozen_warehouse_do_not_take_all_threads(line):  # noqa: F811
    agent = line.agent()
    assert summary(agent)[0] == 200
    # The file's first line is the process, which this test's stack has started.
    warehouse = int((pathlib.Path(line.stack.directory) / "pid" / "warehouse").read_text(encoding="ascii").split()[0])
    os.kill(warehouse, signal.SIGSTOP)
    try:
        time.sleep(1.1)  # the last answer is no longer kept
        with concurrent.futures.ThreadPoolExecutor(32) as viewers:
            asked = [viewers.submit(agent.get, "/api/summary", 30) for _ in range(32)]
            time.sleep(1)
            for _ in range(20):
                assert agent.get("/healthz", 3)[0] == 200
            answers = [viewer.result() for viewer in asked]
        assert {status for status, _ in answers} <= {200, 503}
    finally:
        os.kill(warehouse, signal.SIGCONT)
    line.stack.until(lambda: summary(agent)[0] == 200, 30, "there are figures again")


def test_an_agent_is_ready_when_the_group_has_given_out_partitions(line):  # noqa: F811
    first = line.agent()
    line.produce(count=10)
    line.loaded(first)
    # The group waits for a member that says nothing until it counts as dead.
    first.process.send_signal(signal.SIGSTOP)
    second = line.agent(ready=False)
    line.stack.until(lambda: "the consumer group has given out no partitions yet" in second.ready()["reasons"], 15, "it waits for the group")
    assert not second.is_ready()
    line.stack.until(second.is_ready, 30, "the group has let it in")
    first.kill()
    # Agents that get none, as there are more of them than partitions, are ready too.
    others = [line.agent() for _ in range(7)]
    assert any(" 0 partitions assigned" in agent.log.read_text() for agent in others)


VIEWERS_MAX = 32


class Viewer:
    """Looks at /api/events over a socket of its own."""

    def __init__(self, agent, receive_bytes=None):
        self.socket = socket.socket()
        if receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(20)
        self.socket.connect(("127.0.0.1", agent.port))
        self.socket.sendall(b"GET /api/events HTTP/1.1\r\nHost: test\r\n\r\n")
        self.stream = self.socket.makefile("rb")
        self.status = int(self.stream.readline().split()[1])
        self.headers = dict(line.decode().strip().lower().split(": ", 1) for line in iter(self.stream.readline, b"\r\n"))

    def event(self):
        """The next one; an event is in one or more chunks. None: the stream has ended."""
        text = b""
        while not text.endswith(b"\n\n"):
            size = int(self.stream.readline() or b"0", 16)
            text += self.stream.read(size)
            self.stream.readline()
            if size == 0:
                return None
        assert text.startswith(b"data: ") and text.count(b"\n") == 2
        return json.loads(text[6:])

    def close(self):
        self.stream.close()
        self.socket.close()


def test_viewers_see_the_summary_each_second(line):  # noqa: F811
    agent = line.agent()
    viewers = [Viewer(agent) for _ in range(3)]
    assert {(viewer.status, viewer.headers["content-type"]) for viewer in viewers} == {(200, "text/event-stream")}
    line.produce(count=10)
    seen = [[viewer.event() for _ in range(4)] for viewer in viewers]
    for events in seen:
        moments = [event["generated_at_ms"] for event in events]
        assert moments == sorted(set(moments)), "each is newer than the one before"
    line.stack.until(lambda: viewers[0].event()["agent"]["rows_loaded"] == 10, 20, "the rows show")
    assert set(viewers[0].event()) == set(summary(agent)[1])
    for viewer in viewers:
        viewer.close()


def test_viewers_are_bounded_and_a_slow_one_holds_up_nobody(line):  # noqa: F811
    agent = line.agent()
    slow = Viewer(agent, receive_bytes=4096)  # and reads nothing
    viewers = [Viewer(agent) for _ in range(VIEWERS_MAX - 1)]
    refused = Viewer(agent)
    assert (refused.status, refused.headers["retry-after"]) == (503, "30")
    assert agent.get("/api/events")[0] == 503 and summary(agent)[0] == 200, "they can ask instead"
    for viewer in viewers:
        assert viewer.event()["agent"]["state"] == "running"
    viewers.pop().close()
    line.stack.until(lambda: Viewer(agent).status == 200, 15, "a place that was left is free again")
    slow.close()
    # Viewers do not keep the agent from ending, and their streams end in order.
    assert agent.terminate(10) == 0
    last = viewers[0]
    while last.event() is not None:
        pass


TOKEN = "a token of a test's own"


def ask_for_replay(agent, body, token=TOKEN):
    request = urllib.request.Request(f"http://127.0.0.1:{agent.port}/api/dlq/replay", data=json.dumps(body).encode(), method="POST")
    if token is not None:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=15) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code


def test_replaying_by_button_is_off_unless_a_token_is_set(line):  # noqa: F811
    agent = line.agent()
    assert ask_for_replay(agent, {"reason": "rejected", "letters": 1}) == 404
    assert summary(agent)[1]["replay"] == {"offered": False, "running": False, "last": None}
    agent.terminate()
    short = line.directory / "short"
    short.write_text("too short\n", encoding="ascii")
    line.settings = f"[http]\nreplay_token_file = {short}\n"
    refused = Agent(line, None)
    line.agents.append(refused)
    assert refused.process.wait(20) != 0 and "takes at least 16" in refused.log.read_text()


def test_letters_are_replayed_by_those_who_have_the_token(line):  # noqa: F811
    (line.directory / "token").write_text(TOKEN + "\n", encoding="ascii")
    line.settings = f"[http]\nreplay_token_file = {line.directory / 'token'}\n"
    agent = line.agent()
    line.produce(count=1)
    line.loaded(agent)
    line.stack.clickhouse("ALTER TABLE _orders ADD CONSTRAINT refused CHECK id < 100", database=line.name)
    line.produce(count=2, first=101, lsn=3000)
    line.produce("garbage", count=1, first=201)
    line.loaded(agent)
    line.stack.until(lambda: summary(agent)[1]["dlq"]["by_reason"] == {"rejected": 2, "undecodable": 1}, 20, "the letters wait")
    samples = summary(agent)[1]["dead_letters"]
    assert sorted((letter["reason"], letter["key"]) for letter in samples if letter["reason"] == "rejected") == [
        ("rejected", '"id" = 101'), ("rejected", '"id" = 102')]
    assert all(letter["error"] and letter["time_ms"] > 0 for letter in samples)

    good = {"reason": "rejected", "letters": 2}
    for token in (None, "", "a token of a test's owN", TOKEN[:-1], TOKEN + TOKEN):
        assert ask_for_replay(agent, good, token) == 401, token
    for body in ([], {}, {"reason": "rejected"}, {"letters": 2}, {"reason": "--yes", "letters": 2}, {"reason": "too_large", "letters": 2},
                 {"reason": "rejected", "letters": 0}, {"reason": "rejected", "letters": "2"}):
        assert ask_for_replay(agent, body) == 400, body
    assert summary(agent)[1]["replay"] == {"offered": True, "running": False, "last": None}, "nothing was begun"

    line.stack.clickhouse("ALTER TABLE _orders DROP CONSTRAINT refused", database=line.name)
    assert ask_for_replay(agent, good) == 202
    line.stack.until(lambda: summary(agent)[1]["replay"]["last"], 30, "it has ended")
    last = summary(agent)[1]["replay"]["last"]
    assert (last["reason"], last["done"], last["message"]) == ("rejected", True, "replayed 2 letters")
    line.loaded(agent)
    assert line.rows("SELECT id FROM orders ORDER BY id") == [[1], [101], [102]]
    line.stack.until(lambda: summary(agent)[1]["dlq"] == {"count": 1, "by_reason": {"undecodable": 1}, "replayed": 2, "discarded": 0}, 20, "they are marked")
