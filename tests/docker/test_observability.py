"""Prometheus's settings and alert rules, and Grafana's dashboard: tried with promtool, and against the metrics that are documented."""
import json
import re
import shutil
import subprocess

import pytest
import yaml

from composefile import DOCKER, TREE, Compose

promtool = pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
TESTS = yaml.safe_load((TREE / "tests/docker/alerts_test.yml").read_text())
FUNCTIONS = re.compile(r"\b[a-z_]+(?=\s*\()|\b(?:by|without|le|and|or|unless|on)\b")


def rules():
    return [rule for group in yaml.safe_load((DOCKER / "alerts.yml").read_text())["groups"] for rule in group["rules"]]


def dashboard():
    return json.loads((DOCKER / "grafana/walhouse.json").read_text())


def expressions():
    """(where, PromQL) of every expression there is."""
    found = [(rule["alert"], rule["expr"]) for rule in rules()]
    found += [(panel["title"], target["expr"]) for panel in dashboard()["panels"] for target in panel["targets"]]
    return found


def run_promtool(*arguments):
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# ---- alerts ----------------------------------------------------------------------------------------------------------

@promtool
def test_rules_are_valid():
    assert f"SUCCESS: {len(rules())} rules found" in run_promtool("check", "rules", DOCKER / "alerts.yml")


@promtool
def test_alerts_fire_on_made_up_series(tmp_path):
    file = yaml.safe_load((DOCKER / "alerts.yml").read_text())
    for group in file["groups"]:
        for rule in group["rules"]:
            del rule["annotations"]
    (tmp_path / "alerts.yml").write_text(yaml.safe_dump(file))
    (tmp_path / "tests.yml").write_text(yaml.safe_dump(TESTS))
    assert "SUCCESS" in run_promtool("test", "rules", tmp_path / "tests.yml")


def test_names_of_alerts_are_their_own():
    assert len({rule["alert"] for rule in rules()}) == len(rules()) >= 14


@pytest.mark.parametrize("alert", [rule["alert"] for rule in rules()])
def test_each_alert_is_tried(alert):
    """It fires in one test, stays quiet in another, and says what to do."""
    tried = [bool(case.get("exp_alerts")) for test in TESTS["tests"] for case in test["alert_rule_test"] if case["alertname"] == alert]
    assert True in tried and False in tried
    rule = next(rule for rule in rules() if rule["alert"] == alert)
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert set(rule["annotations"]) == {"summary", "description"} and set(rule) - {"for"} == {"alert", "expr", "labels", "annotations"}
    assert rule["annotations"]["summary"].endswith(".") and len(rule["annotations"]["description"]) > 20
    # It names labels that its metrics have.
    shown = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
    assert shown <= {"instance"}.union(*(labels for name, (_, labels) in documented().items() if name in rule["expr"]))


# ---- metrics that exist ----------------------------------------------------------------------------------------------

def documented():
    """Metric name: (type, labels), from docs/metrics.md."""
    found = {}
    for name, kind, labels in re.findall(r"^\| `([a-z_]+)` \| (\w+)(?:; ([^|]*))? \|", (TREE / "docs/metrics.md").read_text(), re.M):
        found[name] = (kind, set(re.findall(r"`(\w+)`", labels)))
    return found


def test_every_expression_names_documented_metrics():
    known = documented()
    assert len(known) > 35
    for where, expression in expressions():
        bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(?:by|without)\s*\([^)]*\)", " ", expression)
        names = set(re.findall(r"[a-z_][a-z0-9_]*", FUNCTIONS.sub(" ", re.sub(r"\b\d[\d.e]*\b", " ", bare))))
        assert names, where
        for name in names:
            base = re.sub(r"_bucket$", "", name)
            assert base == "up" or base in known, f"{where}: {name}"
            assert ("_bucket" in name) == (known.get(base, ("", ""))[0] == "histogram"), f"{where}: {name}"
            if base != "up" and known[base][0] == "counter":
                assert re.search(rf"(?:rate|increase)\({name}", expression), f"{where}: {name} is a counter"


def test_every_label_is_documented():
    known = documented()
    always = {"job", "instance", "le", "severity"}
    for where, expression in expressions():
        labels = set().union(*(entry[1] for name, entry in known.items() if name in expression)) | always
        named = {label.strip() for group in re.findall(r"\bby\s*\(([^)]*)\)", expression) for label in group.split(",")}
        named |= set(re.findall(r"[{,]\s*(\w+)=", expression))
        assert named <= labels, f"{where}: {named - labels}"


# ---- Prometheus and Grafana ------------------------------------------------------------------------------------------

@promtool
def test_prometheus_settings_are_valid(tmp_path):
    text = (DOCKER / "prometheus.yml").read_text()
    assert "/etc/prometheus/alerts.yml" in text
    (tmp_path / "prometheus.yml").write_text(text.replace("/etc/prometheus/alerts.yml", str(DOCKER / "alerts.yml")))
    run_promtool("check", "config", tmp_path / "prometheus.yml")


def test_prometheus_asks_what_the_stack_has():
    services = Compose().services
    config = yaml.safe_load((DOCKER / "prometheus.yml").read_text())
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    assert set(jobs) == {"walhouse-agent", "walhouse-source"}
    targets = [target for job in jobs.values() for entry in job["static_configs"] for target in entry["targets"]]
    targets += [f"{name}:{entry['port']}" for job in jobs.values() for entry in job.get("dns_sd_configs", []) for name in entry["names"]]
    assert {target.split(":")[0] for target in targets} == {"agent", "agent2", "postgres-exporter"}
    assert all(target.split(":")[0] in services for target in targets)
    # The rules know the agents by the name of their job.
    assert all(f'job="{job}"' not in rule["expr"] or job in jobs for rule in rules() for job in re.findall(r'job="([^"]*)"', rule["expr"]))
    mounted = {mount.split(":")[1] for mount in services["prometheus"]["volumes"]}
    assert set(config["rule_files"]) <= mounted


@promtool
def test_the_dashboards_expressions_are_promql(tmp_path):
    file = {"groups": [{"name": "dashboard", "rules": [{"record": f"walhouse:panel{number}", "expr": expression}
                                                       for number, (_, expression) in enumerate(expressions())]}]}
    (tmp_path / "panels.yml").write_text(yaml.safe_dump(file))
    run_promtool("check", "rules", tmp_path / "panels.yml")


def test_grafana_finds_its_dashboard():
    source = yaml.safe_load((DOCKER / "grafana/datasources.yml").read_text())["datasources"][0]
    board = dashboard()
    used = {target["datasource"]["uid"] for panel in board["panels"] for target in panel["targets"]}
    assert used == {source["uid"]} and board["uid"] == "walhouse"
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    cells = [(x, y) for panel in board["panels"] for at in [panel["gridPos"]]
             for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])]
    assert len(set(cells)) == len(cells) and max(x for x, _ in cells) < 24, "panels overlap"
    folder = yaml.safe_load((DOCKER / "grafana/dashboards.yml").read_text())["providers"][0]["options"]["path"]
    services = Compose().services
    mounted = [mount.split(":")[1] for mount in services["grafana"]["volumes"]]
    assert f"{folder}/walhouse.json" in mounted
    assert services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] == f"{folder}/walhouse.json"
    assert source["url"].removeprefix("http://").split(":")[0] in services


def test_the_exporters_query_gives_the_documented_metrics():
    file = yaml.safe_load((DOCKER / "postgres_exporter.yml").read_text())
    given = {f"{query}_{name}" for query, entry in file.items() for metric in entry["metrics"] for name, kind in metric.items()
             if kind["usage"] != "LABEL"}
    assert given == {name for name in documented() if name.startswith("walhouse_pipeline_")}
