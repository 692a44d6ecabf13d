"""What the documentation says of the programs is what the programs say."""

import os
import pathlib
import re
import subprocess

TREE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("WALHOUSE_BUILD", TREE / "build"))


def test_agent_settings_are_documented_as_they_are():
    text = subprocess.run([BUILD / "bin/walhouse-agent", "--help"], check=True, stdout=subprocess.PIPE, text=True,
                          timeout=20).stdout
    settings = text[text.index("  [kafka]"):]
    assert settings in (TREE / "docs/configuration.md").read_text(encoding="utf-8")


def test_server_settings_are_documented():
    source = (TREE / "extension/walhouse.c").read_text(encoding="utf-8")
    documented = (TREE / "docs/configuration.md").read_text(encoding="utf-8")
    names = re.findall(r'DefineCustom\w+Variable\("([a-z_.]+)"', source)
    assert len(names) >= 5
    assert [name for name in names if f"`{name}`" not in documented] == []


def test_links_lead_somewhere():
    broken = []
    for page in [TREE / "README.md", TREE / "CHANGELOG.md", *(TREE / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if "://" not in target and not (page.parent / target).exists():
                broken.append(f"{page.name}: {target}")
    assert broken == []


def test_every_mapped_type_is_documented():
    source = (TREE / "extension/typemap.c").read_text(encoding="utf-8")
    documented = (TREE / "docs/types.md").read_text(encoding="utf-8")
    types = set(re.findall(r'\{[A-Z0-9]+OID, "([^"]+)"', source))
    assert types and [name for name in types if name not in documented] == []


def test_every_code_of_a_tables_state_is_documented():
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (TREE / "agent").glob("*.c") if not path.name.endswith("_test.c"))
    codes = set(re.findall(r'#define (?:\w+_)?CODE(?:_\w+)? +"([a-z_]+)"', sources)) | set(
        re.findall(r'TABLE_(?:STOPPED|FILLING|LOADING),\s*"([a-z_]+)"', sources))
    documented = (TREE / "docs/operations.md").read_text(encoding="utf-8")
    assert len(codes) >= 4 and [code for code in codes if f"| `{code}` |" not in documented] == []
