"""The images of docker/*.Dockerfile, built by buildah over the bases of tests/docker/bases, and containers of them in a machine of their
own: a network, processes and mounts that end with it. There is no Docker engine here; what this does in its place:

    compose.yaml ─► command, environment, user, secrets, volumes, names of hosts ─► buildah run --isolation=chroot
"""
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from composefile import DOCKER, TREE, read_env

VERSIONS = read_env(TREE / "tools/versions")
CACHE = Path(os.environ.get("WALHOUSE_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "walhouse")
STORE = CACHE / "docker"
BASES = (f"postgres:{VERSIONS['PG_MAJOR']}-bookworm", f"node:{VERSIONS['NODE_VERSION']}-bookworm-slim", "debian:bookworm-slim")
# Names of hosts, all on the loopback of the machine; those that listen on the same port have an address each.
HOSTS = {"postgres": 1, "clickhouse": 1, "agent": 1, "storefront": 1, "postgres-exporter": 1, "prometheus": 1, "kafka": 11, "kafka2": 12, "kafka3": 13, "agent2": 22}
HOSTS = {name: f"127.0.0.{last}" for name, last in HOSTS.items()}


def missing():
    """What there is not to build with, in words; None: it is all there."""
    if os.geteuid() != 0:
        return "only root may build images"
    if not shutil.which("buildah"):
        return "buildah is not installed: make check-docker"
    if not (STORE / "storage.conf").exists() or not all(Store().has(f"docker.io/library/{base}") for base in BASES):
        return "the base images are not made: make check-docker"
    return None


class Store:
    """buildah's store of images. What runs has a folder of its own, so that a run that was killed is nobody's trouble."""

    def __init__(self, folder=None):
        self.env = dict(os.environ, BUILDAH_ISOLATION="chroot", CONTAINERS_STORAGE_CONF=str(STORE / "storage.conf"))
        if folder:
            conf = folder / "storage.conf"
            conf.write_text(f'[storage]\ndriver = "overlay"\ngraphroot = "{STORE}/images"\nrunroot = "{folder}/run"\n')
            self.env["CONTAINERS_STORAGE_CONF"] = str(conf)

    def buildah(self, *arguments, **more):
        return subprocess.run(["buildah", *map(str, arguments)], env=self.env, capture_output=True, text=True, stdin=subprocess.DEVNULL, **more)

    def must(self, *arguments, **more):
        done = self.buildah(*arguments, **more)
        assert done.returncode == 0, f"buildah {arguments[0]}: {(done.stdout + done.stderr)[-4000:]}"
        return done.stdout.strip()

    def has(self, image):
        return self.buildah("inspect", "--type", "image", image).returncode == 0

    def build(self, name, arguments):
        """walhouse-NAME, from layers of earlier builds where nothing changed."""
        options = [word for pair in arguments.items() for word in ("--build-arg", "=".join(pair))]
        self.must("build", "--pull-never", "--layers", "--format", "docker", "-q", *options, "-f", DOCKER / f"{name}.Dockerfile", "-t",
                  f"walhouse-{name}", TREE, timeout=1200)
        return json.loads(self.must("inspect", "--type", "image", f"walhouse-{name}"))["Docker"]


class Machine:
    def __init__(self, folder, secrets):
        self.folder, self.store, self.secrets = folder, Store(folder), secrets
        self.containers, self.processes = {}, {}
        # The one that holds the namespaces: when it ends, everything in them does.
        self.holder = subprocess.Popen(["unshare", "--net", "--pid", "--mount", "--fork", "--kill-child", "--propagation", "private",
                                        "--mount-proc", "sleep", "infinity"], start_new_session=True)
        self.inside = self._first_child(self.holder.pid)
        hosts = folder / "hosts"
        hosts.write_text(f"127.0.0.1 localhost {os.uname().nodename}\n" + "".join(f"{address} {name}\n" for name, address in HOSTS.items()))
        self.enter("sh", "-c", f"mount --bind {hosts} /etc/hosts && python3 -c '{LOOPBACK_UP}'")

    @staticmethod
    def _first_child(pid):
        for _ in range(200):
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            # unshare mounts /proc after its fork and before it becomes sleep.
            if children and Path(f"/proc/{children[0]}/comm").read_text().strip() == "sleep":
                return int(children[0])
            time.sleep(0.05)
        raise AssertionError("no namespaces: unshare does not work here")

    def _prefix(self):
        return ["nsenter", "-t", str(self.inside), "--net", "--pid", "--mount", "--"]

    def enter(self, *command):
        done = subprocess.run([*self._prefix(), *map(str, command)], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                              env=self.store.env)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    # ---- containers ----

    def create(self, name, service, image):
        """From the image, with what compose.yaml gives the service. Named volumes begin with what the image has there."""
        if name in self.containers:
            self.store.must("rm", self.containers.pop(name)[0])
        container = self.store.must("from", "--pull-never", image)
        options = []
        for key, value in service.get("environment", {}).items():
            options += ["--env", f"{key}={value}"]
        for secret in service.get("secrets", []):
            options += ["-v", f"{self.secrets / secret}:/run/secrets/{secret}:ro"]
        for mount in service.get("volumes", []):
            source, target, *mode = mount.split(":")
            if source.startswith("."):
                source = (DOCKER / source).resolve()
            else:
                source = self._volume(source, container, target)
            options += ["-v", ":".join([str(source), target, *mode])]
        self.containers[name] = (container, options, service)

    def _volume(self, name, container, target):
        folder = self.folder / "volumes" / name
        if not folder.exists():
            folder.mkdir(parents=True)
            self.enter("buildah", "run", "--user", "root", "-v", f"{folder}:/volume", container, "--", "cp", "-a", f"{target}/.", "/volume/")
        return folder

    def _run(self, name, command):
        container, options, _ = self.containers[name]
        return [*self._prefix(), "buildah", "run", *options, container, "--", *command]

    def start(self, name, command):
        log = open(self.folder / f"{name}.log", "ab")
        self.processes[name] = subprocess.Popen(self._run(name, command), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                env=self.store.env, start_new_session=True)
        log.close()

    def exec(self, name, *command, timeout=60):
        return subprocess.run(self._run(name, command), capture_output=True, text=True, stdin=subprocess.DEVNULL, env=self.store.env,
                              timeout=timeout)

    # ---- parts that are no images here ----

    def launch(self, name, command, env=None):
        log = open(self.folder / f"{name}.log", "ab")
        self.processes[name] = subprocess.Popen([*self._prefix(), *map(str, command)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                env={**self.store.env, **(env or {})}, start_new_session=True)
        log.close()

    def run(self, command, env):
        """To its end, whatever that is."""
        return subprocess.run([*self._prefix(), *map(str, command)], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60,
                              env={**self.store.env, **{key: str(value) for key, value in env.items()}})

    # ---- stopping ----

    def program(self, name):
        """The process that the container is of: the last of those that only start one another."""
        pid = self.processes[name].pid
        while Path(f"/proc/{pid}/comm").read_text().strip() in ("nsenter", "buildah", "memfd:buildah-c"):
            children = [child for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]
            assert children, f"{name} has not begun, or has ended: {self.log(name)}"
            pid = int(children[0])
        return pid

    def stop(self, name, how=signal.SIGTERM, seconds=60):
        os.kill(self.program(name), how)
        return self.processes.pop(name).wait(seconds)

    def log(self, name, lines=25):
        path = self.folder / f"{name}.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""

    def close(self):
        os.killpg(self.holder.pid, signal.SIGKILL)
        self.holder.wait()
        for process in self.processes.values():
            process.wait(30)
        for container, _, _ in self.containers.values():
            self.store.buildah("rm", container)


LOOPBACK_UP = ("import fcntl, socket, struct; s = socket.socket(); "
               "fcntl.ioctl(s, 0x8914, struct.pack(\"16sH14x\", b\"lo\", 1))")
