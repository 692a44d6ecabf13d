"""docker/compose.yaml, the Dockerfiles and what they name, read without running anything."""
import itertools
import os
import re
import shutil
import stat
import subprocess

import pytest
import yaml

from composefile import DOCKER, TREE, Compose, ComposeError, depends, interpolate, read_env, runs_once
from dockerfile import Dockerfile, ignored

VERSIONS = read_env(TREE / "tools/versions")
CLUSTER = read_env(DOCKER / "cluster.env")
PROFILES = [set(some) for n in range(3) for some in itertools.combinations(("cluster", "observability"), n)]
DOCKERFILES = sorted(DOCKER.glob("*.Dockerfile"))
OURS = ("walhouse-postgres", "walhouse-agent", "walhouse-storefront")


@pytest.fixture(scope="module")
def compose():
    return Compose()


@pytest.fixture(scope="module")
def services(compose):
    return compose.services


def example():
    """NAME: default, from the lines of .env.example that are commented out."""
    lines = re.findall(r"^#([A-Z0-9_]+)=(.*)$", (DOCKER / ".env.example").read_text(), re.M)
    assert len(dict(lines)) == len(lines), "a name is explained twice"
    return dict(lines)


# ---- order -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("profiles", PROFILES, ids=lambda p: "+".join(sorted(p)) or "plain")
def test_every_start_has_an_order(compose, profiles):
    order = compose.order(profiles)
    assert set(order) == set(compose.active(profiles))
    for name, service in compose.active(profiles).items():
        for other in depends(service):
            assert order.index(other) < order.index(name)


def test_the_order_is_that_of_the_line(compose):
    order = compose.order({"cluster", "observability"})
    for first, then in itertools.pairwise(["postgres", "pipeline", "agent", "agent2"]):
        assert order.index(first) < order.index(then)
    for first, then in [("kafka", "pipeline"), ("clickhouse", "agent"), ("shop-schema", "storefront"), ("kafka2", "agent2"),
                        ("agent", "prometheus"), ("postgres-exporter", "prometheus"), ("prometheus", "grafana")]:
        assert order.index(first) < order.index(then)
    # The shop sells without Kafka and ClickHouse.
    assert set(depends(compose.services["storefront"])) == {"postgres", "shop-schema"}


WITH = "services: {a: {healthcheck: {test: [CMD, x]}, depends_on: {b: {condition: %s}}}, b: {%s}}"
HEALTHY = "healthcheck: {test: [CMD, x]}"


@pytest.mark.parametrize("text, says", [
    (WITH % ("service_healthy", HEALTHY + ", depends_on: {a: {condition: service_healthy}}"), "cycle"),
    (WITH % ("service_healthy", "image: x"), "no health check"),
    (WITH % ("service_started", HEALTHY), "says nothing"),
    (WITH % ("service_healthy", "restart: 'no'"), "says nothing"),
    (WITH % ("service_completed_successfully", HEALTHY), "says nothing"),
    (WITH % ("service_healthy", HEALTHY + ", profiles: [p]"), "not there"),
])
def test_a_wrong_order_is_found(text, says):
    with pytest.raises(ComposeError, match=says):
        Compose(text).order()


# ---- Compose's own parser --------------------------------------------------------------------------------------------

@pytest.mark.skipif(not shutil.which("docker-compose"), reason="docker-compose is not installed")
def test_compose_parses_it(compose, tmp_path):
    # Debian's version is an old one, which does not know these two.
    file = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    del file["name"]
    for service in file["services"].values():
        service.get("healthcheck", {}).pop("start_interval", None)
    (tmp_path / "compose.yaml").write_text(yaml.safe_dump(file))
    clean = {name: value for name, value in os.environ.items() if name not in compose.variables}
    done = subprocess.run(["docker-compose", "--project-directory", DOCKER, "-f", tmp_path / "compose.yaml", "--profile", "cluster",
                           "--profile", "observability", "config"], capture_output=True, text=True, env=clean)
    assert done.returncode == 0, done.stderr
    parsed = yaml.safe_load(done.stdout)["services"]
    assert set(parsed) == set(compose.services)
    # It and this project's reader agree on what the variables make of it.
    for name, service in compose.services.items():
        assert parsed[name].get("image") == service.get("image")
        ours = {key: str(value) for key, value in service.get("environment", {}).items()}
        assert {key: str(value).replace("$$", "$") for key, value in parsed[name].get("environment", {}).items()} == ours


# ---- references ------------------------------------------------------------------------------------------------------

def test_every_variable_is_explained_with_its_default(compose):
    explained = example()
    for name, defaults in compose.variables.items():
        assert len(defaults) == 1, f"{name} has several defaults: {defaults}"
        assert explained.get(name) == next(iter(defaults)), f"{name} in .env.example"
    assert set(explained) - {"COMPOSE_PROFILES"} == set(compose.variables)
    assert set(CLUSTER) - {"COMPOSE_PROFILES"} <= set(compose.variables)


def test_volumes_and_mounts(compose, services):
    used = set()
    for name, service in services.items():
        for mount in service.get("volumes", []):
            source, target, *mode = mount.split(":")
            assert target.startswith("/"), f"{name}: {mount}"
            if source.startswith("."):
                assert (DOCKER / source).resolve().is_file(), f"{name}: {mount}"
                assert mode == ["ro"], f"{name}: {mount}"
            else:
                used.add(source)
    assert used == set(compose.file["volumes"])
    # What holds data has a volume, each its own.
    for name in ("postgres", "kafka", "kafka2", "kafka3", "clickhouse", "prometheus", "grafana"):
        assert any(mount.startswith(f"{name}:") for mount in services[name]["volumes"])


def test_secrets(compose, services):
    used = set()
    for name, service in services.items():
        listed = set(service.get("secrets", []))
        text = yaml.safe_dump({key: value for key, value in service.items() if key != "secrets"})
        mounted = "".join((DOCKER / mount.split(":")[0]).read_text() for mount in service.get("volumes", [])
                          if mount.startswith("."))
        named = set(re.findall(r"/run/secrets/([a-z_]+)", text))
        assert named <= listed, f"{name} reads a secret that it is not given"
        for secret in listed - named:
            assert secret.removesuffix("_password") in mounted, f"{name} does not use {secret}"
        used |= listed
    assert used == set(compose.file["secrets"])
    assert not re.search(r"password(?!s?_file)\W*[:=]\s*[\"']?[a-z0-9]{3}", (DOCKER / "compose.yaml").read_text().replace("__FILE", "_FILE"), re.I)


def test_prepare_makes_what_is_missing_and_leaves_the_rest(compose, tmp_path):
    for name in ("prepare", ".env.example"):
        shutil.copy(DOCKER / name, tmp_path)
    for _ in range(2):
        subprocess.run([tmp_path / "prepare"], check=True, stdout=subprocess.DEVNULL)
    made = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    assert set(made) == {os.path.basename(entry["file"]) for entry in compose.file["secrets"].values()}
    assert all(re.fullmatch("[A-Za-z0-9]{24}", value) for value in made.values())
    assert len(set(made.values())) == len(made)
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    (tmp_path / ".env").write_text("PG_MAJOR=17\n")
    subprocess.run([tmp_path / "prepare"], check=True, stdout=subprocess.DEVNULL)
    assert (tmp_path / ".env").read_text() == "PG_MAJOR=17\n"
    assert {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()} == made


def test_nothing_secret_is_committed_or_built_in():
    for name in ("docker/.env", "docker/secrets/postgres_password"):
        assert ignored(name)
        assert subprocess.run(["git", "check-ignore", "-q", name], cwd=TREE).returncode == 0
        assert not subprocess.run(["git", "ls-files", name], cwd=TREE, capture_output=True).stdout


def test_hosts_that_are_named_are_services(services):
    found = 0
    for name, service in services.items():
        text = yaml.safe_dump([service.get("environment"), service.get("command")])
        hosts = re.findall(r"(?:://|\d@|,|: |host=)([a-z][a-z0-9-]*)(?=:\d|\b.*dbname)|PGHOST: (\S+)", text)
        for host in map("".join, hosts):
            assert host in services or host == "localhost", f"{name} names {host}"
            found += 1
    assert found > 12


def test_ports_are_on_loopback_and_do_not_meet(services):
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert all(port.startswith("127.0.0.1:") for port in ports)
    published = [port.split(":")[1] for port in ports]
    assert len(set(published)) == len(published)


def test_every_service_is_bounded_and_restarted(services):
    for name, service in services.items():
        assert service.get("mem_limit"), f"{name} has no memory limit"
        assert service["logging"]["options"]["max-size"], f"{name} logs without a bound"
        assert service["restart"] == ("no" if runs_once(service) else "unless-stopped"), name
        assert not runs_once(service) or name == "shop-schema"
        check = service.get("healthcheck")
        assert runs_once(service) or {"test", "interval", "timeout", "retries", "start_period"} <= set(check)


def test_images_have_tags(services):
    for name, service in services.items():
        image, _, tag = service["image"].rpartition(":")
        assert tag and image, f"{name} has no tag"
        if not image.startswith("walhouse-"):
            assert re.fullmatch(r"v?\d+(\.\d+)+", tag), f"{name}: {tag}"
        else:
            assert image in OURS


# ---- one home for versions -------------------------------------------------------------------------------------------

def test_versions_are_those_of_the_demo():
    defaults = example()
    for name in ("PG_MAJOR", "KAFKA_VERSION", "NODE_VERSION", "CLICKHOUSE_VERSION", "PROMETHEUS_VERSION", "GRAFANA_VERSION",
                 "POSTGRES_EXPORTER_VERSION"):
        assert defaults[name] == VERSIONS[name], f"{name}: docker/ and tools/versions differ"
    for path in DOCKERFILES:
        for name, default in Dockerfile(path).args.items():
            assert default == VERSIONS[name], f"{name}: {path.name} and tools/versions differ"
    version = re.search(r"default_version = '(.*)'", (TREE / "extension/walhouse.control").read_text())[1]
    for path in DOCKERFILES:
        assert f'image.version="{version}"' in path.read_text(), path.name


def settings(text):
    return dict(re.findall(r"^\s*([a-z_.]+) ?= ?('?[^\s'#$][^'#$\n]*'?)$", text, re.M))


def test_postgres_is_configured_as_in_the_demo():
    demo = settings((TREE / "tests/stack/postgres.sh").read_text().split("<<-CONF")[1].split("\tCONF")[0])
    here = settings((DOCKER / "postgresql.conf").read_text())
    assert len(demo) >= 5
    for name, value in demo.items():
        if name not in ("listen_addresses", "unix_socket_directories"):
            assert here.get(name) == value, name
    plugins = "output_plugin_libraries = 'pgoutput, test_decoding, walhouse'"
    assert plugins in (DOCKER / "postgres.Dockerfile").read_text() and plugins in (TREE / "tests/stack/postgres.sh").read_text()


def test_kafka_is_configured_as_in_the_demo():
    text = (TREE / "tests/stack/kafka.sh").read_text().split("<<-CONF")[1].split("\tCONF")[0]
    demo = dict(re.findall(r"^\s*([a-z.]+)=(.*)$", text, re.M))
    demo.update({name: "1" for name, value in demo.items() if value == "$replication"})
    demo["min.insync.replicas"] = "1"
    here = {name[6:].lower().replace("_", "."): str(value) for name, value in Compose().services["kafka"]["environment"].items()
            if name.startswith("KAFKA_")}
    # Where it listens, and how soon a broker counts as dead: that is short for tests which kill one.
    own = {"node.id", "controller.quorum.voters", "listeners", "advertised.listeners", "listener.security.protocol.map", "log.dirs",
           "broker.heartbeat.interval.ms", "broker.session.timeout.ms"}
    for name in set(demo) - own:
        assert here.get(name) == demo[name], name
    assert own <= set(demo)


def test_the_cluster(compose):
    cluster = Compose(env=CLUSTER)
    active = cluster.active({CLUSTER["COMPOSE_PROFILES"]})
    brokers = {name: service for name, service in active.items() if name.startswith("kafka")}
    assert len(brokers) == 3 and {"agent", "agent2"} <= set(active)
    for name, service in brokers.items():
        env = service["environment"]
        assert env["KAFKA_CONTROLLER_QUORUM_VOTERS"] == CLUSTER["KAFKA_VOTERS"]
        assert f"{env['KAFKA_NODE_ID']}@{name}:9093" in CLUSTER["KAFKA_VOTERS"].split(",")
        assert f"PLAINTEXT://{name}:{CLUSTER['KAFKA_INNER_PORT']}" in env["KAFKA_ADVERTISED_LISTENERS"]
        assert f"{name}:{CLUSTER['KAFKA_INNER_PORT']}" in CLUSTER["KAFKA_BROKERS"].split(",")
        assert (env["KAFKA_DEFAULT_REPLICATION_FACTOR"], env["KAFKA_MIN_INSYNC_REPLICAS"]) == ("3", "2")
    assert len({service["environment"]["KAFKA_NODE_ID"] for service in brokers.values()}) == 3
    pipeline = active["pipeline"]["environment"]
    assert (pipeline["PARTITIONS"], pipeline["REPLICATION_FACTOR"]) == ("6", "3")
    assert pipeline["KAFKA_BROKERS"] == active["agent"]["environment"]["WALHOUSE_AGENT_KAFKA_BROKERS"] == CLUSTER["KAFKA_BROKERS"]
    # A single broker's data are never given to a cluster, and who knows the one does not find the other.
    assert not set(CLUSTER["KAFKA_BROKERS"].split(",")) & set(compose.services["agent"]["environment"]["WALHOUSE_AGENT_KAFKA_BROKERS"].split(","))
    assert brokers["kafka"]["environment"]["KAFKA_LOG_DIRS"] != compose.services["kafka"]["environment"]["KAFKA_LOG_DIRS"]


def test_the_agents_settings_are_known(services):
    help_text = (TREE / "docs/configuration.md").read_text()
    named = {name for service in services.values() for name in service.get("environment", {}) if name.startswith("WALHOUSE_AGENT_")}
    named |= set(re.findall(r"WALHOUSE_AGENT_[A-Z_]+", (DOCKER / "agent.Dockerfile").read_text()))
    assert len(named) >= 9
    for name in named:
        section, _, setting = name.removeprefix("WALHOUSE_AGENT_").lower().partition("_")
        assert re.search(rf"\[{section}\](?:\n    \S.*)*\n    {setting} ", help_text), name


# ---- Dockerfiles -----------------------------------------------------------------------------------------------------

def test_each_image_has_a_dockerfile(services):
    built = {service["image"].partition(":")[0]: service["build"] for service in services.values() if "build" in service}
    assert set(built) == set(OURS)
    assert {build["dockerfile"] for build in built.values()} == {str(path.relative_to(TREE)) for path in DOCKERFILES}
    for build in built.values():
        context = (DOCKER / build["context"]).resolve()
        assert context == TREE
        assert set(build["args"]) == set(Dockerfile(context / build["dockerfile"]).args)


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_dockerfile(path):
    file = Dockerfile(path)
    names = [stage["name"] for stage in file.stages]
    for number, stage in enumerate(file.stages):
        base = file.base(stage)
        assert base in names[:number] or re.fullmatch(r"docker\.io/library/[a-z]+:[\w.-]*bookworm[\w-]*", base), base
        for copy in file.values("COPY", stage):
            origin = re.match(r"--from=(\S+) ", copy)
            *sources, target = copy.split()[1 if origin else 0:]
            if origin:
                assert origin[1] in names[:number], copy
                continue
            for source in sources:
                assert (TREE / source).exists(), f"{path.name}: COPY {source}"
                assert not ignored(source.rstrip("/")), f"{path.name}: COPY {source} is in .dockerignore"
    final = file.stages[-1]
    assert len(file.stages) > 1 and final["name"] is None
    assert final["instructions"] and file.values("USER", final)[-1] not in ("root", "0")
    assert file.values("HEALTHCHECK", final) and file.values("LABEL", final)
    installs = " ".join(file.values("RUN", final))
    assert "-dev" not in installs and "gcc" not in installs and "rm -rf /var/lib/apt/lists" in installs


def test_librdkafka_is_built_once_for_both_images():
    stages = [Dockerfile(DOCKER / f"{name}.Dockerfile").stages[0] for name in ("postgres", "agent")]
    assert stages[0] == stages[1], "the same lines are one layer in the builder's cache"


def test_health_checks_are_in_the_images(services):
    for name, script in (("postgres", "postgres-healthy"), ("pipeline", "pipeline"), ("storefront", "storefront-healthy")):
        assert services[name]["healthcheck"]["test"][1] == script
        assert os.access(DOCKER / script, os.X_OK)
        assert any(script in Dockerfile(path).values("COPY", Dockerfile(path).stages[-1])[-1] or
                   script in " ".join(Dockerfile(path).values("COPY")) for path in DOCKERFILES)


def test_what_is_ignored():
    assert ignored("build") and ignored("dashboard/node_modules") and ignored("storefront/web/node_modules/x") and ignored(".git")
    assert not ignored("agent") and not ignored("docker/pipeline") and not ignored("storefront/web")


def test_interpolation():
    assert interpolate("${A:-1} ${B:-2} $$x ${A:+y}${C:+z}", {"A": "7", "B": ""}) == "7 2 $x y"
    with pytest.raises(ComposeError, match="say so"):
        interpolate("${A:?say so}", {})
