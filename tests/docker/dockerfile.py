"""Dockerfiles, as far as docker/*.Dockerfile use them."""
import fnmatch
import re
from pathlib import Path

from composefile import TREE


class Dockerfile:
    """Stages, each a dict: base, name, instructions (word, rest)."""

    def __init__(self, path):
        text = re.sub(r"^\s*#.*\n", "", Path(path).read_text(), flags=re.M).replace("\\\n", " ")
        self.args, self.stages = {}, []
        for line in filter(str.strip, text.splitlines()):
            word, rest = line.strip().split(None, 1)
            if word == "ARG" and not self.stages:
                name, _, default = rest.partition("=")
                self.args[name] = default
            elif word == "FROM":
                match = re.fullmatch(r"(\S+)(?: AS (\S+))?", rest)
                self.stages.append({"base": match[1], "name": match[2], "instructions": []})
            else:
                self.stages[-1]["instructions"].append((word, " ".join(rest.split())))

    def base(self, stage):
        """With the default arguments."""
        return re.sub(r"\$\{(\w+)\}", lambda m: self.args[m[1]], stage["base"])

    def values(self, word, stage=None):
        stages = self.stages if stage is None else [stage]
        return [rest for each in stages for found, rest in each["instructions"] if found == word]


def ignored(path):
    """Whether .dockerignore keeps a path of the tree out of the build: the last line that matches it, or a folder above it, decides."""
    parents = [str(path), *map(str, Path(path).parents)][:-1]
    out = False
    for line in (TREE / ".dockerignore").read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        pattern = line.lstrip("!").strip("/")
        patterns = [pattern, pattern.removeprefix("**/")] if pattern.startswith("**/") else [pattern]
        if any(fnmatch.fnmatchcase(each, p) for each in parents for p in patterns):
            out = not line.startswith("!")
    return out
