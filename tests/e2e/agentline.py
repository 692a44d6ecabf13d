"""Agents of a test's own, with topics and a database of their own, in a stack that others may use too."""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import urllib.error
import urllib.request

from stackctl import TREE

BUILD = pathlib.Path(os.environ.get("WALHOUSE_BUILD", TREE / "build"))
AGENT = BUILD / "bin" / "walhouse-agent"
PRODUCE = BUILD / "tests" / "produce_events"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Agent:
    """A walhouse-agent process."""

    def __init__(self, line, group):
        self.port = free_port()
        self.log = line.directory / f"agent-{self.port}.log"
        self.config = line.directory / f"agent-{self.port}.conf"
        topics = f"{line.topics}\ngroup = {group or line.name}" if line.topics else line.name
        self.config.write_text(
            f"[kafka]\nbrokers = {line.stack.env['KAFKA_BROKERS']}\ntopic_prefix = {topics}\n"
            f"[clickhouse]\nurl = {line.url}\ndatabase = {line.name}\n{line.clickhouse}\n"
            f"[http]\nlisten = 127.0.0.1:{self.port}\nqueries = {line.directory}\n[batch]\n{line.batch}\n{line.settings}", encoding="ascii")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([str(AGENT), "--config", str(self.config)], stdin=subprocess.DEVNULL, stderr=log)

    def get(self, path, timeout=15):
        """Status and text."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=timeout) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def is_ready(self):
        return self.get("/readyz")[0] == 200

    def ready(self):
        return json.loads(self.get("/readyz")[1])

    def lag(self):
        status, text = self.get("/api/lag")
        assert status == 200, text
        return json.loads(text)["messages"]

    def metric(self, name):
        """The sum of a metric over its labels."""
        text = self.get("/metrics")[1]
        return sum(float(v) for v in re.findall(rf"^walhouse_agent_{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE))

    def kill(self):
        self.process.kill()
        self.process.wait(10)

    def terminate(self, seconds=25):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)


class Line:
    """Topics and a database of one test, and its agents, which end with it."""

    def __init__(self, stack, directory, name):
        self.stack = stack
        self.directory = directory
        self.name = re.sub(r"[^a-z0-9]", "_", name.lower())[:60]
        self.batch = ""
        self.url = stack.env["CLICKHOUSE_URL"]
        self.clickhouse = ""  # further settings of that section
        self.settings = ""  # further sections
        self.topics = ""  # prefix, where the topics are not the test's own: then the consumer group is
        self.agents = []

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        for agent in self.agents:
            if agent.process.poll() is None:
                agent.kill()

    def agent(self, ready=True, group=None):
        agent = Agent(self, group)
        self.agents.append(agent)
        self.stack.until(agent.is_ready if ready else lambda: agent.get("/healthz"), 30, "the agent is up")
        return agent

    def start_produce(self, kind="insert", **options):
        arguments = [str(PRODUCE), "--brokers", self.stack.env["KAFKA_BROKERS"], "--prefix", self.name, "--kind", kind]
        for name, value in options.items():
            arguments += ["--" + name.replace("_", "-"), str(value)]
        return subprocess.Popen(arguments, stdin=subprocess.DEVNULL)

    def produce(self, kind="insert", **options):
        status = self.start_produce(kind, **options).wait(180)
        assert status == 0, f"produce_events ended with {status}"

    def rows(self, query):
        return self.stack.clickhouse_rows(query, database=self.name)

    def loaded(self, agent, seconds=60):
        self.stack.until(lambda: agent.lag() == 0, seconds, "everything is loaded")

    def assert_ids(self, first, count, quantity=1, table="orders"):
        """The view holds these ids, each once, with this quantity, and nothing else."""
        last = first + count - 1
        [found] = self.rows(f"SELECT count(), uniqExact(id), min(id), max(id), min(quantity), max(quantity) FROM `{table}`")
        expected = [count, count, first, last, quantity, quantity]
        assert found == expected, f"rows, ids, first, last, least and greatest quantity of {table}: {found}, not {expected}"

    def letters(self):
        return self.stack.consume(f"{self.name}.__dlq")
