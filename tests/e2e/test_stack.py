"""tests/stack/stack itself: what it refuses, and that it leaves no process behind."""

import pathlib
import signal
import subprocess
import time

import pytest

from stackctl import STACK, Stack


def processes_of(directory):
    mark = f"WALHOUSE_STACK_DIR={directory}".encode()
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            pass  # ended while we looked
    return found


def run(*arguments):
    return subprocess.run([str(STACK), *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("arguments, status, text", [
    ([], 2, "stack up DIR"),
    (["dance", "/tmp"], 2, "stack up DIR"),
    (["up"], 1, "wants a folder"),
    (["env", "/nonexistent"], 1, "there is no stack in /nonexistent"),
    (["up", "/tmp/walhouse-never-made", "--brokers", "none"], 1, "--brokers wants a number"),
    (["up", "/tmp/walhouse-never-made", "--bogus"], 1, "does not know '--bogus'"),
])
def test_what_it_refuses(arguments, status, text):
    answer = run(*arguments)
    assert (answer.returncode, answer.stdout) == (status, "")
    assert text in answer.stderr
    assert not pathlib.Path("/tmp/walhouse-never-made").exists()


@pytest.mark.parametrize("seconds", [0.5, 2.5])
def test_interrupted_up_leaves_nothing(tmp_path, seconds):
    tmp_path.chmod(0o755)
    for parent in list(tmp_path.parents)[:2]:
        parent.chmod(0o755)  # Postgres runs as a user of its own
    process = subprocess.Popen([str(STACK), "up", str(tmp_path), "--no-agent"], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(seconds)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) != 0
    assert processes_of(tmp_path) == []


def test_down_leaves_nothing_and_parts_are_named():
    with Stack("--no-agent", "--brokers", "3") as stack:
        assert processes_of(stack.directory) != []
        assert "holds an earlier stack" in run("up", stack.directory).stderr
        assert "unknown part 'everything'" in run("kill", stack.directory, "everything").stderr
        assert "agent is not running" in run("kill", stack.directory, "agent").stderr
        stack.kill("kafka2")
        again = run("kill", stack.directory, "kafka2")
        assert (again.returncode, again.stderr.strip()) == (1, "stack: kafka2 is not running")
        assert stack.command("down").returncode == 0
        assert processes_of(stack.directory) == []
