"""Each Dockerfile, built: what is in the image, and what is not."""
import json

import pytest

import images
from composefile import Compose

IMAGES = ("postgres", "agent", "storefront")
# What the image may weigh beyond its base, in MB.
EXTRA_MB = {"postgres": 20, "agent": 30, "storefront": 20}
PROGRAMS = {"postgres": ["/usr/lib/postgresql/{PG_MAJOR}/bin/walhouse-publisher", "/usr/lib/postgresql/{PG_MAJOR}/lib/walhouse.so"],
            "agent": ["/usr/local/bin/walhouse-agent"], "storefront": ["/usr/local/bin/walhouse-storefront"]}


@pytest.fixture(scope="module", params=IMAGES)
def image(request, built, tmp_path_factory):
    store = images.Store(tmp_path_factory.mktemp("image"))
    container = store.must("from", "--pull-never", f"walhouse-{request.param}")
    yield request.param, built[request.param]["config"], store, container
    store.buildah("rm", container)


def megabytes(text):
    number, unit = text.split()
    return float(number) * {"KB": 0.001, "MB": 1, "GB": 1000}[unit]


def test_it_is_small(image):
    name, _, store, _ = image
    sizes = {tag: megabytes(each["size"]) for each in json.loads(store.must("images", "--json")) for tag in each.get("names") or []}
    base = images.BASES[0] if name == "postgres" else "debian:bookworm-slim"
    extra = sizes[f"localhost/walhouse-{name}:latest"] - sizes[f"docker.io/library/{base}"]
    assert 0 < extra < EXTRA_MB[name]


def test_nothing_that_builds_is_left(image):
    _, _, store, container = image
    found = store.must("run", "--user", "root", container, "--", "sh", "-c",
                       "for p in gcc g++ cc make npm node pkg-config git curl; do command -v $p || true; done; "
                       "ls -d /src /out /opt/walhouse /var/lib/apt/lists/*Packages* 2>/dev/null; "
                       "dpkg-query -W -f '${Package}\\n' | grep -E -- '-dev(:|$|-)' || true")
    assert found == ""


def test_it_says_what_it_is(image):
    name, config, _, _ = image
    assert config["User"] not in ("", "root", "0")
    assert config["Labels"]["org.opencontainers.image.title"] == f"walhouse-{name}"
    assert config["Labels"]["org.opencontainers.image.licenses"] == "PostgreSQL"


def test_its_health_check_is_that_of_the_compose_file(image):
    name, config, _, _ = image
    check, service = config["Healthcheck"], Compose().services[name]["healthcheck"]
    assert check["Test"] == service["test"]
    assert check["Timeout"] == int(service["timeout"].rstrip("s")) * 10**9 and check["Retries"] == service["retries"]


def test_its_programs_find_their_libraries(image):
    name, _, store, container = image
    for program in PROGRAMS[name]:
        path = program.format(**images.VERSIONS)
        # The server's own symbols are not for ldd to find; a library is.
        assert "not found" not in store.must("run", container, "--", "ldd", path), path
    if name != "postgres":
        assert "0.2.0" in store.must("run", container, "--", PROGRAMS[name][0], "--version")


def test_it_does_not_write_where_it_runs(image):
    """Another user than root, who owns none of the programs."""
    name, _, store, container = image
    for program in PROGRAMS[name]:
        done = store.buildah("run", container, "--", "sh", "-c", f"id -u; echo x >>{program.format(**images.VERSIONS)}")
        assert done.returncode != 0 and done.stdout.strip() != "0"
