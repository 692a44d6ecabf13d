"""How people and programs steer and watch the agent: signals, logs, subcommands, metrics."""

import json
import signal
import subprocess

import pytest

from agentline import AGENT, BUILD, Line, free_port
from stackctl import Stack


@pytest.fixture(scope="module")
def stack():
    with Stack("--no-agent") as running:
        yield running


@pytest.fixture
def line(stack, tmp_path, request):
    with Line(stack, tmp_path, request.node.name) as opened:
        yield opened


def run(*arguments, **options):
    return subprocess.run([str(AGENT), *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=60, check=False, **options)


def test_the_command_line():
    assert run().returncode == 2
    assert "no such subcommand: runn" in run("runn", "--config", "x").stderr
    refused = run("--config", "/nowhere/agent.conf")
    assert refused.returncode == 1 and "cannot open configuration file /nowhere/agent.conf" in refused.stderr
    refused = run(env={"WALHOUSE_AGENT_KAFKA_BROKERS": "x:1", "WALHOUSE_AGENT_KAFKA_TOPICS_PREFIX": "y"})
    assert refused.returncode == 1
    assert "WALHOUSE_AGENT_KAFKA_TOPICS_PREFIX; did you mean WALHOUSE_AGENT_KAFKA_TOPIC_PREFIX?" in refused.stderr


def test_the_manual_page_is_well_formed_and_complete():
    page = BUILD / "man/walhouse-agent.1"
    shown = subprocess.run(["groff", "-man", "-Tascii", "-P-cbou", "-ww", str(page)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                           timeout=30, check=True)
    assert shown.stderr == "" and "SIGHUP" in shown.stdout
    help_text = run("--help").stdout
    settings = [text.split()[0] for text in help_text[help_text.index("  [kafka]"):].splitlines() if text.startswith("    ")]
    assert len(settings) > 15 and all(f".B {name}\n" in page.read_text(encoding="ascii") for name in settings)


def test_sighup_reads_the_settings_again(line):
    agent = line.agent()
    text = agent.config.read_text(encoding="ascii")
    agent.config.write_text(text + "[log]\nformat = json\nlevl = debug\n", encoding="ascii")
    agent.process.send_signal(signal.SIGHUP)
    line.stack.until(lambda: "unknown setting [log] levl; did you mean [log] level?" in agent.log.read_text(), 20, "the error is said")
    agent.config.write_text(text.replace("[batch]", "[batch]\nmax_rows = 77") + "[log]\nformat = json\nlevel = debug\n",
                            encoding="ascii")
    agent.process.send_signal(signal.SIGHUP)
    line.stack.until(lambda: "were read again" in agent.log.read_text(), 20, "the settings are read again")
    assert "[batch] max_rows was changed: that takes a restart" in agent.log.read_text()
    said = [json.loads(text) for text in agent.log.read_text().splitlines() if "were read again" in text]
    assert [(each["level"], sorted(each)) for each in said] == [("info", ["level", "message", "time"])]
    line.produce(count=10)
    line.loaded(agent)
    line.assert_ids(1, 10)


def test_repeated_warnings_are_held_back(line, tmp_path):
    line.settings = f"[clickhouse]\nurl = http://127.0.0.1:{free_port()}\n"
    agent = line.agent(ready=False)
    line.stack.until(lambda: agent.metric("retries_total") >= 5, 30, "it has tried five times")
    said = [text for text in agent.log.read_text().splitlines() if "trying again" in text]
    assert 1 <= len(said) < agent.metric("retries_total")
