"""How people and programs steer and watch the agent: signals, logs, subcommands, metrics."""

import contextlib
import json
import re
import signal
import subprocess
import time

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from agentline import AGENT, BUILD, Line, free_port
from stackctl import TREE, Stack


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
    assert "no such subcommand: statsu; did you mean status?" in run("statsu", "--config", "x").stderr
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


def write_config(line, name="c.conf", **changed):
    """A configuration for a subcommand; section_option=value changes a setting, and without listen nobody answers."""
    settings = {"kafka_brokers": line.stack.env["KAFKA_BROKERS"], "kafka_topic_prefix": line.name,
                "clickhouse_url": line.stack.env["CLICKHOUSE_URL"], "clickhouse_database": line.name,
                "http_listen": f"127.0.0.1:{free_port()}"} | changed
    path = line.directory / name
    path.write_text("".join(f"[{key.partition('_')[0]}]\n{key.partition('_')[2]} = {value}\n" for key, value in settings.items()),
                    encoding="ascii")
    return path


def test_check_says_what_is_wrong(line):
    agent = line.agent()
    line.produce(count=10)
    line.loaded(agent)
    tables = line.rows("SELECT count() FROM system.tables WHERE database = currentDatabase()")
    fine = run("check", "--config", write_config(line))
    assert fine.returncode == 0 and "WRONG" not in fine.stdout, fine.stdout
    assert re.search(r"topics \S+: 1 of tables\n.*group walhouse-agent-\S+ may be read\n.*schema topic may be read\n", fine.stdout)
    assert "takes user and settings: version 2" in fine.stdout and "tables and views may be made" in fine.stdout
    # Sections of tables are compared with the schemas that are announced.
    ruled = write_config(line, name="ruled.conf")
    with ruled.open("a", encoding="ascii") as out:
        out.write("[table public.orders]\ncolumns = id, quantty\n[table public.nothing]\nfilter = id > 1\n")
    ruled = run("check", "--config", ruled)
    assert ruled.returncode == 1 and ruled.stdout.count("WRONG") == 2, ruled.stdout
    assert "rules of orders: " in ruled.stdout and "quantity" in ruled.stdout, ruled.stdout
    assert "section [table public.nothing]: no such table is announced" in ruled.stdout
    # It leaves nothing behind.
    assert line.rows("SELECT count() FROM system.tables WHERE database = currentDatabase()") == tables
    # Both ends are told at once, each with what to do.
    away = run("check", "--config", write_config(line, kafka_brokers=f"127.0.0.1:{free_port()}",
                                                 clickhouse_url=f"http://127.0.0.1:{free_port()}"))
    assert away.returncode == 1 and away.stdout.count("WRONG") == 2 and away.stdout.count("what to do: compare") == 2, away.stdout
    other = run("check", "--config", write_config(line, kafka_topic_prefix="no_such_pipeline", clickhouse_database="not_there"))
    assert other.returncode == 1 and other.stdout.count("WRONG") == 1, other.stdout
    assert "there is no topic no_such_pipeline.__schema" in other.stdout and "database not_there is not there" in other.stdout


def test_check_and_logs_never_say_a_secret(line, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("s3cret-of-nobody\n", encoding="ascii")
    properties = tmp_path / "properties"
    properties.write_text("security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.username=u\n"
                          "sasl.password=s3cret-of-nobody\n", encoding="ascii")
    said = run("check", "--config", write_config(line, kafka_properties_file=properties, clickhouse_user="nobody",
                                                 clickhouse_password_file=secret, log_level="debug"))
    assert said.returncode == 1 and "with the server's users" in said.stdout, said.stdout
    assert "s3cret" not in said.stdout + said.stderr


def test_status_of_a_running_agent(line):
    agent = line.agent()
    line.produce(count=10)
    line.loaded(agent)
    shown = run("status", "--config", agent.config)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert re.search(r"^agent +\S+ running, ready, up for \d+ s$", shown.stdout, re.MULTILINE)
    assert re.search(r"^orders +loading +0 +-$", shown.stdout, re.MULTILINE)
    # A table that is stopped is said with the reason and the way out.
    line.stack.clickhouse("CREATE TABLE _others (id Int64) ENGINE = MergeTree ORDER BY id", database=line.name)
    line.produce(count=10, table="others")
    line.stack.until(lambda: agent.metric("tables_stopped") == 1, 30, "the table is stopped")
    line.stack.until(lambda: json.loads(agent.get("/api/status")[1])["lag_messages"] == 10, 20, "the lag that is kept is the newest")
    shown = run("status", "--config", agent.config)
    assert shown.returncode == 1
    assert re.search(r"^others +stopped +10 +\d+ s\n    stopped \(\w+\) for \d+ s: .+\n    what to do: .+$", shown.stdout, re.MULTILINE)
    report = json.loads(run("status", "--json", "--config", agent.config).stdout)
    assert report["ready"] is False and report["state"] == "table_stopped" and report["lag_messages"] == 10
    table, = [each for each in report["tables"] if each["table"] == "others"]
    assert (table["state"], table["lag_messages"], table["states"][0]["state"]) == ("stopped", 10, "stopped")
    seconds = agent.metric("consumer_lag_seconds")
    assert 0 < seconds < 600
    agent.terminate()
    gone = run("status", "--config", agent.config)
    assert gone.returncode == 1 and "does not answer" in gone.stderr


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


def documented_metrics():
    """Name, without a histogram's endings, to (type, labels), as the tables of docs/metrics.md have them."""
    rows = re.findall(r"^\| `(\w+)` \| (\w+)(?:; ([`\w, ]+))? \| \S", (TREE / "docs/metrics.md").read_text(encoding="utf-8"), re.MULTILINE)
    return {name: (kind, set(re.findall(r"\w+", labels))) for name, kind, labels in rows}


def test_metrics_are_well_formed_and_documented(line):
    agent = line.agent()
    line.produce(count=100)
    line.produce("garbage", count=1)
    line.loaded(agent)
    text = agent.get("/metrics")[1]
    families = list(text_string_to_metric_families(text))
    names = [family.name + "_total" * (family.type == "counter" and not family.name.endswith("_total")) for family in families]
    assert len(names) == len(set(names)), "each is there once"
    said = dict(zip(names, families))
    documented = {name: what for name, what in documented_metrics().items() if not name.startswith("walhouse_pipeline_")}
    assert sorted(said) == sorted(documented)
    for name, family in said.items():
        kind, labels = documented[name]
        assert family.type == kind and family.documentation, name
        assert {key for sample in family.samples for key in sample.labels} - {"le"} <= labels, name
    # Conventions: names, base units, and histograms that add up.
    for name, family in said.items():
        assert (family.type == "counter") == name.endswith("_total"), name
        assert not re.search(r"_(ms|us|milliseconds|kbytes|kb|mb)(_|$)", name), name
        if family.type == "histogram":
            values = {sample.labels["le"]: sample.value for sample in family.samples if "le" in sample.labels}
            counts = [sample.value for sample in family.samples if sample.name == name + "_count"]
            assert list(values.values()) == sorted(values.values()) and [values["+Inf"]] == counts, name
    assert agent.metric("rows_loaded_total") == 100 == agent.metric("insert_rows_sum")
    assert agent.metric("dead_letters_total") == 1
    assert agent.metric("insert_bytes_sum") > 1000 and agent.metric("insert_duration_seconds_sum") > 0
    assert agent.metric("table_inserts_total") >= 1 and agent.metric("tables_stopped") == 0
    assert 0 < said["process_start_time_seconds"].samples[0].value <= time.time()


def test_lag_is_known_in_seconds(line):
    agent = line.agent()
    line.produce(count=10)
    line.loaded(agent)
    line.stack.until(lambda: "consumer_lag_seconds{" in agent.get("/metrics")[1], 20, "it is known")
    assert agent.metric("consumer_lag_seconds") == 0
    line.stack.kill("warehouse")
    try:
        line.produce(count=10, first=11, lsn=2000)
        line.stack.until(lambda: agent.metric("consumer_lag_seconds") > 3, 60, "the age of what waits grows")
        assert agent.metric("consumer_lag_messages") == 10
        assert agent.metric("retries_total") > 0 and agent.metric("clickhouse_up") == 0
    finally:
        line.stack.start("warehouse")
    line.loaded(agent)
    line.stack.until(lambda: agent.metric("consumer_lag_seconds") == 0, 20, "nothing waits")


def test_the_exporters_query_is_one_that_the_source_answers(stack):
    query = yaml.safe_load((TREE / "docker/postgres_exporter.yml").read_text(encoding="utf-8"))["walhouse_pipeline"]
    with contextlib.closing(stack.connect()) as connection, connection.cursor() as cursor:
        cursor.execute(query["query"])
        assert [column.name for column in cursor.description] == [name for column in query["metrics"] for name in column]
        row, = cursor.fetchall()
        assert row[1] == "streaming" and row[2] > 0 and row[4] == 1
