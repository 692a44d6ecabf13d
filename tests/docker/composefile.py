"""docker/compose.yaml as Compose reads it: variables, profiles, what waits for what. It knows what that file uses, no more."""
import re
from pathlib import Path

import yaml

TREE = Path(__file__).resolve().parents[2]
DOCKER = TREE / "docker"
VARIABLE = re.compile(r"\$(?:(\$)|\{([A-Z0-9_]+)(?::([-+?])([^{}]*))?\})")


class ComposeError(Exception):
    pass


def read_env(path):
    """NAME=value lines, as Compose and the shell read them."""
    pairs = {}
    for line in Path(path).read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            name, _, value = line.partition("=")
            pairs[name] = value
    return pairs


def interpolate(value, env, seen=None):
    """Replaces ${NAME}, ${NAME:-default}, ${NAME:+other}, ${NAME:?message} and $$; notes names and defaults in seen."""
    def replace(match):
        dollar, name, operator, argument = match.groups()
        if dollar:
            return "$"
        if seen is not None:
            seen.setdefault(name, set()).add(argument if operator == "-" else None)
        have = env.get(name)
        if operator == "-":
            return have or argument
        if operator == "+":
            return argument if have else ""
        if operator == "?" and not have:
            raise ComposeError(f"{name}: {argument}")
        if have is None:
            raise ComposeError(f"{name} is not set and has no default")
        return have

    if isinstance(value, str):
        return VARIABLE.sub(replace, value)
    if isinstance(value, list):
        return [interpolate(item, env, seen) for item in value]
    if isinstance(value, dict):
        return {key: interpolate(item, env, seen) for key, item in value.items()}
    return value


class Compose:
    def __init__(self, text=None, env=None):
        self.variables = {}
        self.raw = yaml.safe_load(text if text is not None else (DOCKER / "compose.yaml").read_text())
        self.file = interpolate(self.raw, env or {}, self.variables)
        self.services = self.file["services"]

    def active(self, profiles=()):
        """The services of an `up` with these profiles."""
        return {name: service for name, service in self.services.items()
                if not service.get("profiles") or set(service["profiles"]) & set(profiles)}

    def order(self, profiles=()):
        """Names of services, each behind those that it waits for. ComposeError: a cycle, or a condition that cannot come true."""
        services = self.active(profiles)
        waits = {name: depends(service) for name, service in services.items()}
        for name, conditions in waits.items():
            check_service(name, services[name])
            for other, condition in conditions.items():
                if other not in services:
                    raise ComposeError(f"{name} waits for {other}, which is not there with the profiles {sorted(profiles)}")
                check_condition(name, other, condition, services[other])
        ordered = []
        while waits:
            ready = sorted(name for name, conditions in waits.items() if all(other in ordered for other in conditions))
            if not ready:
                raise ComposeError(f"a cycle among {sorted(waits)}")
            ordered += ready
            for name in ready:
                del waits[name]
        return ordered


def depends(service):
    """Who is waited for, and until what."""
    found = service.get("depends_on", {})
    if isinstance(found, list):
        return {name: "service_started" for name in found}
    return {name: entry.get("condition", "service_started") for name, entry in found.items()}


def runs_once(service):
    return service.get("restart") == "no"


def check_service(name, service):
    if not runs_once(service) and not service.get("healthcheck", {}).get("test"):
        raise ComposeError(f"{name} has no health check")


def check_condition(name, other, condition, service):
    if condition == "service_healthy" and not runs_once(service):
        return
    if condition == "service_completed_successfully" and runs_once(service):
        return
    raise ComposeError(f"{name} waits for {other} with {condition}, which says nothing of what it needs")
