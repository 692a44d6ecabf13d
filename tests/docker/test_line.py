"""The stack of compose.yaml, as far as there are images to be had: Postgres, pipeline, shop and agent run from images that were built
here; Kafka is the broker of `make demo` with the settings that compose.yaml gives the image, ClickHouse is walhouse-warehouse. They
start in the order and on the conditions of compose.yaml, and every health check is seen to fail and to pass."""
import json
import re
import shutil
import signal
import subprocess
import time
import urllib.parse

import pytest

import images
from composefile import DOCKER, TREE, Compose, depends, read_env, runs_once

CLUSTER = read_env(DOCKER / "cluster.env")
KAFKA_LIBS = images.CACHE / f"kafka-{images.VERSIONS['KAFKA_VERSION']}"
KAFKA_TOOLS = images.STORE / f"kafka-tools-{images.VERSIONS['KAFKA_VERSION']}"
WAREHOUSE = TREE / "build/bin/walhouse-warehouse"
# Parts of Kafka's settings that are none of the broker's, as its image knows them.
NOT_SETTINGS = ("KAFKA_HEAP_OPTS",)


class Stack:
    """Starts and asks the services, each as Compose would."""

    def __init__(self, folder, built):
        self.compose, self.profiles = Compose(), ()
        self.built, self.folder = built, folder
        for name in ("prepare", ".env.example"):
            shutil.copy(DOCKER / name, folder)
        subprocess.run([folder / "prepare"], check=True, stdout=subprocess.DEVNULL)
        self.machine = images.Machine(folder, folder / "secrets")
        self.once = {}

    def order(self):
        return self.compose.order(self.profiles)

    def long_running(self):
        return [name for name in self.order() if not runs_once(self.compose.services[name])]

    # ---- the parts that are no images here ----

    def _start_kafka(self, name, env):
        data = self.folder / name / env["KAFKA_LOG_DIRS"].rsplit("/", 1)[1]
        properties = {key[6:].lower().replace("_", "."): value for key, value in env.items()
                      if key.startswith("KAFKA_") and key not in NOT_SETTINGS}
        properties["log.dirs"] = data
        # All listen on one loopback here.
        properties["listeners"] = env["KAFKA_LISTENERS"].replace("://:", f"://{images.HOSTS[name]}:")
        file = self.folder / f"{name}.properties"
        file.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
        java = ["java", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", f"{KAFKA_LIBS}/*"]
        if not (data / "meta.properties").exists():
            self.machine.enter(*java, "kafka.tools.StorageTool", "format", "-t", env["CLUSTER_ID"], "-c", file)
        self.machine.launch(name, [*java, *env["KAFKA_HEAP_OPTS"].split(), "kafka.Kafka", file])

    def _kafka_tools(self):
        tool = self.folder / "kafka-bin/kafka-topics.sh"
        if not tool.exists():
            tool.parent.mkdir()
            # What the image's script of this name comes to.
            tool.write_text("#!/bin/sh\nexec java $KAFKA_HEAP_OPTS $KAFKA_JVM_PERFORMANCE_OPTS -Dorg.slf4j.simpleLogger.defaultLogLevel=warn "
                            f"-cp '{KAFKA_LIBS}/*:{KAFKA_TOOLS}/*' org.apache.kafka.tools.TopicCommand \"$@\"\n")
            tool.chmod(0o755)
        return tool.parent

    def _start_clickhouse(self, env):
        self.machine.launch("clickhouse", [WAREHOUSE, "--listen", "0.0.0.0:8123", "--data", self.folder / "clickhouse",
                                           "--user", env["CLICKHOUSE_USER"], "--password-file", self.folder / "secrets/clickhouse_password"])

    def _check_script(self, name, env):
        """The check of compose.yaml, with the file that it is mounted from."""
        service = self.compose.services[name]
        mounts = {target: DOCKER / source for source, target, *_ in (mount.split(":") for mount in service["volumes"])}
        words = [str(mounts.get(word, word)) for word in service["healthcheck"]["test"][1:]]
        return self.machine.run(words, {**service["environment"], **env})

    # ---- all of them ----

    def create(self, name):
        service = self.compose.services[name]
        if name == "agent2":
            service["environment"]["WALHOUSE_AGENT_HTTP_LISTEN"] = f"{images.HOSTS[name]}:8080"
        if service["image"].startswith("walhouse-"):
            self.machine.create(name, service, service["image"].split(":")[0])

    def start(self, name):
        service = self.compose.services[name]
        env = {key: str(value) for key, value in service.get("environment", {}).items()}
        if name.startswith("kafka"):
            self._start_kafka(name, env)
        elif name == "clickhouse":
            self._start_clickhouse(env)
        elif runs_once(service):
            self.once[name] = self.machine.exec(name, *self._command(service))
        else:
            self.machine.start(name, self._command(service))

    def _command(self, service):
        config = self.built[service["image"].split(":")[0].removeprefix("walhouse-")]["config"]
        return [*(config.get("Entrypoint") or []), *service.get("command", config.get("Cmd") or [])]

    def health(self, name):
        """The check's exit status and what it says."""
        if name.startswith("kafka"):
            port = self.compose.services[name]["environment"]["HEALTH_SERVER"].rsplit(":", 1)[1]
            return self._check_script(name, {"KAFKA_BIN": self._kafka_tools(), "HEALTH_SERVER": f"{name}:{port}"})
        if name == "clickhouse":
            return self._check_script(name, {"CLICKHOUSE_PASSWORD_FILE": self.folder / "secrets/clickhouse_password"})
        return self.machine.exec(name, *self.compose.services[name]["healthcheck"]["test"][1:])

    def until(self, name, healthy, says="", seconds=120):
        """Until its check passes, or fails and says so."""
        deadline = time.monotonic() + seconds
        while True:
            done = self.health(name)
            if (done.returncode == 0) == healthy and says in done.stdout + done.stderr:
                return
            assert time.monotonic() < deadline, (f"{name} is not {'' if healthy else 'un'}healthy: {done.stdout}{done.stderr}\n"
                                                 f"{self.machine.log(name)}")
            time.sleep(0.5)

    def up(self):
        for name in self.order():
            if name in self.machine.processes:
                continue
            for other, condition in depends(self.compose.services[name]).items():
                if condition == "service_healthy":
                    self.until(other, True)
                else:
                    assert self.once[other].returncode == 0, self.once[other].stdout + self.once[other].stderr
            self.start(name)
        for name in self.long_running():
            self.until(name, True)

    # ---- clients ----

    def sql(self, statement):
        done = self.machine.exec("postgres", "psql", "-XqAt", "-U", "postgres", "-d", "shop", "-c", statement)
        assert done.returncode == 0, f"{statement}: {done.stderr}"
        return done.stdout.strip()

    def curl(self, *arguments):
        return self.machine.enter("curl", "-sS", "-m", "20", "--fail-with-body", *arguments)

    def warehouse(self, query):
        password = (self.folder / "secrets/clickhouse_password").read_text()
        return self.curl("-u", f"walhouse:{password}", f"http://clickhouse:8123/?database=shop&query={urllib.parse.quote(query)}").strip()

    def until_warehouse(self, query, wanted, seconds=60):
        self.until_found(query, lambda: self.warehouse(query), wanted, seconds)

    def journey(self, order):
        answer = json.loads(self.curl(f"http://storefront:8081/api/orders/{order}/journey"))
        return [answer[station]["state"] for station in ("postgres", "kafka", "warehouse")]

    def until_found(self, what, find, wanted, seconds=60):
        deadline = time.monotonic() + seconds
        while True:
            try:
                found = find()
            except AssertionError as error:
                found = str(error)
            if found == wanted:
                return
            assert time.monotonic() < deadline, f"{what}: {found}, not {wanted}"
            time.sleep(0.3)

    def order_something(self):
        sku = re.search(r'"sku" *: *"([^"]*)"', self.curl("http://storefront:8081/api/products"))[1]
        body = {"customer": {"id": "00000000-0000-4000-8000-000000000001", "name": "Ada Lovelace"}, "items": [{"sku": sku, "quantity": 1}]}
        return json.loads(self.curl("-H", "Content-Type: application/json", "-d", json.dumps(body), "http://storefront:8081/api/orders"))["order_id"]


@pytest.fixture(scope="module")
def stack(built, tmp_path_factory):
    for path in (KAFKA_LIBS, KAFKA_TOOLS, WAREHOUSE):
        if not path.exists():
            pytest.skip(f"{path} is not there: make check-docker")
    folder = tmp_path_factory.mktemp("line")
    folder.parent.chmod(0o755)
    folder.chmod(0o755)
    stack = Stack(folder, built)
    try:
        yield stack
    finally:
        stack.machine.close()


def test_nothing_is_healthy_before_it_runs(stack):
    for name in stack.order():
        stack.create(name)
    for name in stack.long_running():
        done = stack.health(name)
        assert done.returncode != 0, f"{name} is healthy, and does not run"


def test_it_starts_in_the_order_of_the_compose_file(stack):
    stack.up()
    assert stack.sql("SELECT state FROM walhouse.status") == "streaming"
    assert stack.sql("SELECT active FROM pg_replication_slots") == "t"


def test_an_order_arrives(stack):
    order = stack.order_something()
    stack.until_warehouse(f"SELECT count() FROM orders WHERE id = {order}", "1")
    stack.until_found("the order's way, as the shop sees it", lambda: stack.journey(order), ["passed"] * 3)
    stack.until_warehouse("SELECT count() FROM products", stack.sql("SELECT count(*) FROM products"))
    page = stack.curl("http://agent:8080/")
    assert "<html" in page and "<html" in stack.curl("http://storefront:8081/")
    assert json.loads(stack.curl("http://agent:8080/readyz"))["ready"] is True


def test_processes_are_nobody_special(stack):
    for name in ("postgres", "agent", "storefront"):
        with open(f"/proc/{stack.machine.program(name)}/status") as status:
            uid = next(line for line in status if line.startswith("Uid:")).split()[1]
        assert uid != "0", name


def test_passwords_are_wanted_and_are_in_no_command_line(stack):
    done = stack.machine.exec("storefront", "bash", "-c", "cat /run/secrets/storefront_password")
    secrets = [path.read_text() for path in (stack.folder / "secrets").iterdir()]
    assert done.stdout in secrets
    lines = stack.machine.enter("sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    assert "walhouse-storefront" in lines and not any(secret in lines for secret in secrets)
    with pytest.raises(AssertionError, match="Authentication|password|403|516"):
        stack.curl("-u", "walhouse:wrong", "http://clickhouse:8123/?query=SELECT+1")
    refused = stack.machine.exec("pipeline", "env", "PGPASSWORD=wrong", "psql", "-c", "SELECT 1")
    assert refused.returncode != 0 and "password authentication failed" in refused.stderr


def test_without_kafka_the_pipeline_is_unhealthy_and_the_shop_is_not(stack):
    stack.machine.stop("kafka")
    stack.until("pipeline", False, "waiting_for_kafka")
    stack.until("agent", False)
    stack.until("kafka", False)
    order = stack.order_something()
    for name in ("postgres", "storefront", "clickhouse"):
        assert stack.health(name).returncode == 0, name
    stack.start("kafka")
    for name in ("kafka", "pipeline", "agent"):
        stack.until(name, True)
    stack.until_warehouse(f"SELECT count() FROM orders WHERE id = {order}", "1")


def test_without_clickhouse_the_agent_is_unhealthy(stack):
    stack.machine.stop("clickhouse")
    stack.until("clickhouse", False)
    stack.until("agent", False, "ClickHouse")
    order = stack.order_something()
    stack.start("clickhouse")
    stack.until("clickhouse", True)
    stack.until("agent", True)
    stack.until_warehouse(f"SELECT count() FROM orders WHERE id = {order}", "1")


def test_without_postgres_the_shop_is_unhealthy(stack):
    stack.machine.stop("postgres", signal.SIGINT)
    for name in ("postgres", "storefront", "pipeline"):
        stack.until(name, False)
    stack.start("postgres")
    for name in ("postgres", "storefront", "pipeline"):
        stack.until(name, True)


def test_down_and_up_again_keeps_the_data(stack):
    orders = stack.sql("SELECT count(*) FROM orders")
    begun = stack.sql("SELECT epoch, (SELECT count(*) FROM walhouse.snapshot_status) FROM walhouse.status")
    for name in reversed(stack.long_running()):
        stack.machine.stop(name, signal.SIGINT if name == "postgres" else signal.SIGTERM)
    stack.up()
    assert stack.sql("SELECT count(*) FROM orders") == orders
    order = stack.order_something()
    stack.until_warehouse("SELECT count(), max(id) FROM orders", f"{int(orders) + 1}\t{order}")
    # Nothing was made anew: the same epoch of the pipeline, and no further snapshot.
    assert stack.sql("SELECT epoch, (SELECT count(*) FROM walhouse.snapshot_status) FROM walhouse.status") == begun


@pytest.mark.skipif(not shutil.which("prometheus") or not shutil.which("prometheus-postgres-exporter"),
                    reason="prometheus or prometheus-postgres-exporter is not installed")
def test_prometheus_sees_the_line(stack):
    """Debian's Prometheus and postgres_exporter with the settings of the profile `observability`; their checks fail and pass."""
    services = stack.compose.services
    exporter = {**services["postgres-exporter"]["environment"], "DATA_SOURCE_PASS_FILE": str(stack.folder / "secrets/monitor_password")}
    config = stack.folder / "prometheus.yml"
    config.write_text((DOCKER / "prometheus.yml").read_text().replace("/etc/prometheus/alerts.yml", str(DOCKER / "alerts.yml")))
    checks = {}
    for name in ("postgres-exporter", "prometheus"):
        kind, *words = services[name]["healthcheck"]["test"]
        checks[name] = ["sh", "-c", *words] if kind == "CMD-SHELL" else words
        assert stack.machine.run(checks[name], {}).returncode != 0
    stack.machine.launch("postgres-exporter", ["prometheus-postgres-exporter", f"--extend.query-path={DOCKER}/postgres_exporter.yml"], exporter)
    stack.machine.launch("prometheus", ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={stack.folder}/prometheus"])

    def query(expression):
        answer = json.loads(stack.curl("--get", "--data-urlencode", f"query={expression}", "http://prometheus:9090/api/v1/query"))
        return {tuple(sorted(each["metric"].items())): each["value"][1] for each in answer["data"]["result"]}

    wanted = {'up{job="walhouse-agent",instance="agent:8080"}': "1", 'up{job="walhouse-source"}': "1",
              'walhouse_pipeline_running{pipeline="shop",state="streaming"}': "1", "walhouse_agent_clickhouse_up": "1"}
    deadline = time.monotonic() + 90
    while any(stack.machine.run(check, {}).returncode != 0 for check in checks.values()) or \
            any(list(query(expression).values()) != [value] for expression, value in wanted.items()):
        assert time.monotonic() < deadline, stack.machine.log("postgres-exporter") + stack.machine.log("prometheus") + str(query("up"))
        time.sleep(1)
    rules = json.loads(stack.curl("http://prometheus:9090/api/v1/rules"))["data"]["groups"]
    assert sum(len(group["rules"]) for group in rules) >= 13
    # A role that may only look.
    refused = stack.machine.exec("postgres", "bash", "-c", "PGPASSWORD=x psql -h 127.0.0.1 -U monitor -d shop -c 'SELECT 1'")
    assert "password authentication failed" in refused.stderr
    assert stack.sql("SELECT rolsuper, rolreplication FROM pg_roles WHERE rolname = 'monitor'") == "f|f"
    for name in ("prometheus", "postgres-exporter"):
        stack.machine.stop(name)


def test_the_cluster(stack):
    """Three brokers and two agents, as cluster.env says: the pipeline begins anew in them, and one broker may go."""
    epoch = stack.sql("SELECT epoch FROM walhouse.status")
    for name in ("agent", "pipeline", "kafka"):
        stack.machine.stop(name)
    stack.compose, stack.profiles = Compose(env=CLUSTER), {CLUSTER["COMPOSE_PROFILES"]}
    for name in ("pipeline", "agent", "agent2"):
        stack.create(name)
    # Each waits for the others, so none is healthy alone.
    for name in ("kafka", "kafka2", "kafka3"):
        stack.start(name)
    for name in ("kafka", "kafka2", "kafka3"):
        stack.until(name, True)
    # The publisher still has the settings of the single broker, and makes nothing of its own here.
    topics = [stack._kafka_tools() / "kafka-topics.sh", "--bootstrap-server", CLUSTER["KAFKA_BROKERS"]]
    time.sleep(5)
    assert stack.machine.run([*topics, "--list"], {}).stdout.split() == ["walhouse-health"]
    stack.up()
    assert int(stack.sql("SELECT epoch FROM walhouse.status")) > int(epoch)
    order = stack.order_something()
    stack.until_warehouse(f"SELECT count() FROM orders WHERE id = {order}", "1")
    orders = stack.machine.run([*topics, "--describe", "--topic", "shop.public.orders"], {}).stdout
    assert "PartitionCount: 6" in orders and "ReplicationFactor: 3" in orders and "min.insync.replicas=2" in orders

    stack.machine.stop("kafka2", signal.SIGKILL)
    stack.machine.stop("agent", signal.SIGKILL)
    order = stack.order_something()
    stack.until_warehouse(f"SELECT count() FROM orders WHERE id = {order}", "1")
    for name in ("kafka", "kafka3", "pipeline", "agent2"):
        stack.until(name, True)
    stack.until_warehouse("SELECT count() FROM orders", stack.sql("SELECT count(*) FROM orders"))
