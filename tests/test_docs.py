"""The documentation says what the code does."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import datetime

import pendulum
import pytest
import yaml

from scripts import docs
from tap_litmos.streams import ENDPOINTS
from tap_litmos.windows import split_into_windows

DOCS = {
    path.stem: path.read_text("utf-8")
    for path in (*docs.ROOT.glob("*.md"), *(docs.ROOT / "docs").glob("*.md"))
}
README = DOCS["README"]
MELTANO = yaml.safe_load((docs.ROOT / "meltano.yml").read_text("utf-8"))
HUB = yaml.safe_load((docs.ROOT / "docs" / "tap-litmos.yml").read_text("utf-8"))
[EXTRACTOR] = MELTANO["plugins"]["extractors"]


def section(title: str, document: str = "README") -> str:
    """Return the text of a section of a document."""
    return re.split(r"\n#+ ", DOCS[document].partition(f"# {title}\n")[2])[0]


def rows(table: str) -> list[list[str]]:
    """Return the cells of all rows of a table, without its head."""
    lines = [line for line in table.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_generated_documents_are_up_to_date() -> None:
    """What the catalog says of each stream is reviewed in `tests/snapshots`."""
    texts = docs.documents()
    for path, text in texts.items():
        assert path.exists(), f"{path.name} is missing: make docs"
        assert path.read_text("utf-8") == text, f"{path.name} is out of date: make docs"
    assert not docs.left_over(texts)


def test_meltano_may_write_its_file_in_its_own_way() -> None:
    """As `meltano select` does, which drops comments and breaks lines elsewhere."""
    plugin = {name: EXTRACTOR[name] for name in ("capabilities", "settings", "select")}
    own = {**EXTRACTOR, "config": {"region": "eu"}}
    plugins = {**MELTANO["plugins"], "extractors": [{"name": "tap-other"}, own]}
    rewritten = yaml.safe_dump({**MELTANO, "plugins": plugins}, sort_keys=False, width=50)
    assert docs.with_definition(rewritten, plugin) == rewritten
    changed = docs.with_definition(rewritten, {**plugin, "select": ["*.*"]})
    assert yaml.safe_load(changed)["plugins"] == {
        **plugins,
        "extractors": [{"name": "tap-other"}, {**own, "select": ["*.*"]}],
    }
    loaders = rewritten.index("  loaders:")
    assert changed.endswith(rewritten[loaders:])


# Settings


def test_settings_have_kinds_that_fit_and_the_key_is_sensitive() -> None:
    kinds = {"string", "integer", "boolean", "date_iso8601", "options", "object", "array"}
    for plugin in (EXTRACTOR, HUB, *MELTANO["plugins"]["loaders"]):
        assert {setting["kind"] for setting in plugin["settings"]} <= kinds
    by_name = {setting["name"]: setting for setting in EXTRACTOR["settings"]}
    assert by_name["api_key"]["sensitive"] is True
    assert [option["value"] for option in by_name["region"]["options"]] == ["us", "eu", "au"]
    assert by_name["start_date"]["kind"] == by_name["end_date"]["kind"] == "date_iso8601"
    assert by_name["page_size"]["kind"] == "integer"
    assert by_name["detect_deletes"]["kind"] == "boolean"
    assert by_name["stream_maps"]["kind"] == "object"


def test_meltano_needs_no_hub_and_nothing_that_is_deprecated() -> None:
    assert "version" not in MELTANO
    for plugin in (EXTRACTOR, *MELTANO["plugins"]["loaders"]):
        assert {"name", "namespace", "pip_url", "executable", "settings"} <= set(plugin)
    assert {loader["name"] for loader in MELTANO["plugins"]["loaders"]} == {
        "target-jsonl",
        "target-postgres",
    }


# The definition for Meltano's hub

HUB_REQUIRES = {"name", "namespace", "variant", "quality"}
HUB_ALLOWS = HUB_REQUIRES | {
    "capabilities", "description", "docs", "domain_url", "executable", "keywords", "label",
    "log_parser", "logo_url", "maintenance_status", "pip_url", "repo", "select", "settings",
    "settings_group_validation", "supported_python_versions",
}  # fmt: skip
HUB_ALLOWS_IN_SETTINGS = {
    "name", "aliases", "label", "value", "placeholder", "kind", "description", "documentation",
    "env", "options", "hidden", "sensitive",
}  # fmt: skip
HUB_CAPABILITIES = {
    "about", "activate-version", "batch", "catalog", "discover", "log-based", "properties",
    "schema-flattening", "state", "stream-maps", "structured-logging", "test",
}  # fmt: skip


def test_the_hub_would_take_the_definition() -> None:
    assert all(list(mapping) == sorted(mapping) for mapping in (HUB, *HUB["settings"]))
    assert HUB_REQUIRES <= set(HUB) <= HUB_ALLOWS
    assert HUB["quality"] in {"gold", "silver", "bronze", "unknown"}
    assert HUB["maintenance_status"] in {"active", "beta", "development", "inactive", "unknown"}
    assert set(HUB["capabilities"]) <= HUB_CAPABILITIES
    assert all(re.fullmatch(r"3\.\d+", version) for version in HUB["supported_python_versions"])
    assert all(re.fullmatch(r"https://\S+", HUB[name]) for name in ("domain_url", "repo"))
    for setting in HUB["settings"]:
        assert {"name"} < set(setting) <= HUB_ALLOWS_IN_SETTINGS
        for option in setting.get("options", ()):
            assert set(map(type, option.values())) == {str}


# Windows


def test_how_long_a_backfill_takes() -> None:
    on = sum(endpoint.selected_by_default and not endpoint.is_listing for endpoint in ENDPOINTS)
    listed = rows(section("Which `start_date`?"))
    now = pendulum.datetime(2026, 11, 23, 12)
    for years, requests, took in listed:
        start = now.subtract(days=365 * int(years))
        needed = on * len(list(split_into_windows(start, now, days=7)))
        assert int(requests.replace(",", "")) == pytest.approx(needed, rel=0.02)
        number, unit = took.split()
        minutes = float(number) * {"minutes": 1, "hours": 60}[unit]
        assert minutes == pytest.approx(needed / 90, rel=0.05)


def test_the_picture_of_windows_is_what_the_tap_does() -> None:
    [picture] = re.findall(r"```mermaid\ngantt\n(.*?)```", DOCS["how-it-works"], re.DOTALL)
    first, second = picture.split("    section ")[1:]
    drawn = [
        [
            tuple(datetime.fromisoformat(end) for end in span)
            for span in re.findall(r"window\s*:\w+, ([^,]+), (.+)", part)
        ]
        for part in (first, second)
    ]
    noon = pendulum.datetime(2026, 1, 22, 12)
    backfill = split_into_windows(pendulum.datetime(2026, 1, 1), noon, days=7)
    assert drawn[0] == [(window.since.naive(), window.to.naive()) for window in backfill]
    later = split_into_windows(noon.subtract(hours=24), noon.add(days=1), days=7)
    assert drawn[1] == [(window.since.naive(), window.to.naive()) for window in later]


# Words, links, commands


def test_the_first_screens_say_what_it_is_how_to_try_it_and_how_to_run_it() -> None:
    first = README.partition("## Which")[0]
    for command in ("make demo", "TAP_LITMOS_API_KEY", "meltano run tap-litmos"):
        assert command in first
    assert len(first.splitlines()) < 95


def test_links_within_the_project_lead_somewhere() -> None:
    for name, text in DOCS.items():
        folder = docs.ROOT / ("" if (docs.ROOT / f"{name}.md").exists() else "docs")
        for target in re.findall(r"\]\(([^)]+)\)", text):
            path, _, anchor = target.partition("#")
            if "://" in target:
                continue
            file = folder / path if path else folder / f"{name}.md"
            assert file.exists(), (name, target)
            if anchor:
                headings = re.findall(r"^#+ (.+)$", file.read_text("utf-8"), re.MULTILINE)
                assert anchor in map(anchor_of, headings), (name, target)


def anchor_of(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def test_the_messages_in_the_troubleshooting_are_those_of_the_tap() -> None:
    sources = "".join(path.read_text("utf-8") for path in (docs.ROOT / "tap_litmos").glob("*.py"))
    said = re.sub(r'"\s+f?"', "", sources)  # a message may take several lines
    listed = rows(section("Troubleshooting", "troubleshooting"))
    assert len(listed) > 10
    for cells in listed:
        [message] = re.findall(r"`([^`]+)`", cells[0])[:1]
        assert all(part.strip() in said for part in message.split("…")), message


def said_by(*command: str) -> str:
    done = subprocess.run(command, cwd=docs.ROOT, check=True, capture_output=True, text=True)  # noqa: S603
    return done.stdout


def test_the_commands_that_the_documents_name_exist() -> None:
    listed, text = said_by("make", "help"), "\n".join(DOCS.values())
    named = {
        one or other
        for one, other in re.findall(r"`make ([a-z]+)`|^make ([a-z]+)", text, re.MULTILINE)
    }
    assert len(named) > 3
    for command in named - {"help"}:
        assert re.search(rf"^make {command} ", listed, re.MULTILINE), command
    sandbox = said_by(sys.executable, "-m", "tap_litmos.sandbox", "--help")
    options = re.findall(r"`(--[a-z-]+)", section("The sandbox", "sandbox"))
    assert len(options) > 5
    assert all(option in sandbox for option in options)


def test_nothing_names_a_place_on_one_machine() -> None:
    tracked = said_by("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    personal = re.compile(r"/(home|Users|root)/\w")
    for name in filter(None, tracked.split("\0")):
        path = docs.ROOT / name
        if path.suffix in {".py", ".md", ".yml", ".toml", ".html", ""} and path.is_file():
            assert not personal.search(path.read_text("utf-8")) or path.name == "test_docs.py"
