"""The monitoring example: what it asks for is what the server tells, and its alerts fire.

Metrics that Prometheus does not find make no noise: a panel stays empty, an alert never fires.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gearpy.broker.broker import Broker
from gearpy.engine.statistics import Histogram
from gearpy.web.metrics import Snapshot, text
from tests.examples.programs import EXAMPLES, WAIT_S

FOLDER: Final = EXAMPLES / "monitoring"
YAML: Final = ("prometheus.yml", "alerts.yml", "alerts_test.yml", "scaledobject.yaml")

# What Prometheus adds to what it is told.
OWN: Final = {"up": {"job": {"gearpy"}, "instance": set[str]()}}
ADDED: Final = {"job", "instance"}

Labels = dict[str, set[str]]  # of a metric, with the values that were seen


# ---- what the server tells


def told() -> dict[str, Labels]:
    """Every sample's name, with its labels."""
    broker, took = Broker(), Histogram()
    for name in (b"resize", b"mail"):
        broker.engine.submit(None, name, b"", b"")
    took.add(0.01)
    functions = list(broker.engine.functions.all())
    snapshot = Snapshot(broker.statistics(), functions, 5.0, took.snapshot(), took.snapshot())
    found: dict[str, Labels] = {}
    for family in text_string_to_metric_families(text(snapshot).decode()):
        for sample in family.samples:
            labels = found.setdefault(sample.name, {label: set() for label in ADDED})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    return found


@pytest.fixture(scope="module")
def metrics() -> dict[str, Labels]:
    return told() | OWN


# ---- what the example asks for


def yaml_values(name: str, key: str) -> list[str]:
    """The values of a key, on its line or in a block below it."""
    lines = (FOLDER / name).read_text().splitlines()
    found = []
    for number, line in enumerate(lines):
        match = re.fullmatch(rf"( *(?:- )?){key}: *(.*)", line)
        if match is None:
            continue
        value = match[2]
        if value in ("|", ">-"):
            value = ""
            for below in lines[number + 1 :]:
                if below.strip() and len(below) - len(below.lstrip()) <= len(match[1]):
                    break
                value += below.strip() + " "
        found.append(value)
    return found


def dashboard() -> dict[str, Any]:
    read: dict[str, Any] = json.loads((FOLDER / "grafana.json").read_text())
    return read


def dashboard_expressions() -> list[str]:
    board = dashboard()
    asked = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    variables = [each["query"] for each in board["templating"]["list"] if each["type"] == "query"]
    for variable in variables:
        match = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"])
        assert match is not None, variable
        asked.append(f"count by ({match[2]}) ({match[1]})")
    return [expression.replace("$__rate_interval", "5m") for expression in asked]


def expressions() -> list[str]:
    found = yaml_values("alerts.yml", "expr") + yaml_values("scaledobject.yaml", "query")
    return found + dashboard_expressions()


_STRING: Final = r'"(?:[^"\\]|\\.)*"'
_GROUPING: Final = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right) *\(([^)]*)\)")
_SELECTOR: Final = re.compile(
    rf"(?<![\w\"])([a-zA-Z_:][\w:]*+)(?: *\{{((?:[^\"}}]|{_STRING})*)\}})?(?! *\()"
)
_MATCHER: Final = re.compile(rf"(\w+) *(=~|!~|!=|=) *({_STRING})")
_WORDS: Final = {"and", "or", "unless", "bool", "offset"}


def selectors(expression: str) -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """The metrics in an expression, with the labels that they are picked by."""
    rest = re.sub(r"\[[^\]]*\]", "", _GROUPING.sub("", expression))
    for match in _SELECTOR.finditer(rest):
        if match[1] not in _WORDS:
            matchers = _MATCHER.findall(match[2] or "")
            yield match[1], [(label, how, value[1:-1]) for label, how, value in matchers]


def grouping_labels(expression: str) -> set[str]:
    """The labels that results are grouped or joined by."""
    return {label.strip() for found in _GROUPING.findall(expression) for label in found.split(",")}


def complaints(expression: str, metrics: dict[str, Labels]) -> Iterator[str]:
    """What an expression asks for in vain."""
    known: set[str] = set()
    for metric, matchers in selectors(expression):
        if metric not in metrics:
            yield f"there is no metric {metric}"
            continue
        labels = metrics[metric]
        known |= labels.keys()
        for label, how, value in matchers:
            if label not in labels:
                yield f"{metric} has no label {label}"
            elif label in ("state", "job") and labels[label]:
                wanted = value.split("|") if "~" in how else [value]
                yield from (
                    f"{metric} has no {label} {each}"
                    for each in wanted
                    if each not in labels[label]
                )
    yield from (f"nothing has a label {each}" for each in grouping_labels(expression) - known)


def test_every_metric_and_label_that_is_asked_for_is_told(metrics: dict[str, Labels]) -> None:
    asked = expressions()
    assert len(asked) > 30
    wrong = [(each, said) for each in asked for said in complaints(each, metrics)]
    assert not wrong


def test_selectors_are_found() -> None:
    expression = 'sum by (f) (rate(a_total{f=~"x|y", g="(})"}[5m])) / on (f) b > 1e3 and c:d'
    a = ("a_total", [("f", "=~", "x|y"), ("g", "=", "(})")])
    assert list(selectors(expression)) == [a, ("b", []), ("c:d", [])]


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("rate(gearpy_jobs_done_total[5m]) > 0", ["there is no metric gearpy_jobs_done_total"]),
        ("gearpy_jobs_completed", ["there is no metric gearpy_jobs_completed"]),
        ('gearpy_jobs{state="waiting"}', ["gearpy_jobs has no state waiting"]),
        ('gearpy_jobs{state=~"queued|lost"}', ["gearpy_jobs has no state lost"]),
        ('gearpy_connections{function="f"}', ["gearpy_connections has no label function"]),
        ("sum by (name) (gearpy_jobs)", ["nothing has a label name"]),
        ('sum by (function, le) (gearpy_job_running_seconds_bucket{instance="a"})', []),
    ],
)
def test_what_is_asked_for_in_vain_is_found(
    expression: str, says: list[str], metrics: dict[str, Labels]
) -> None:
    assert list(complaints(expression, metrics)) == says


def test_the_words_name_what_is_there(metrics: dict[str, Labels]) -> None:
    """Metrics, alerts and files in the README; labels in the alerts' annotations."""
    words = (FOLDER / "README.md").read_text()
    for name in re.findall(r"\bgearpy_[a-z_]+", words):
        assert name in metrics, name
    alerts = yaml_values("alerts.yml", "- alert")
    assert re.findall(r"^\| `(Gearpy\w+)` \|", words, re.MULTILINE) == alerts
    linked = set(re.findall(r"\]\(([\w.]+)\)", words))
    assert linked == {*YAML, "grafana.json"}
    labels = set(re.findall(r"\$labels\.(\w+)", (FOLDER / "alerts.yml").read_text()))
    assert labels == {"function", "instance"}


# ---- the dashboard


def test_panels_have_their_own_ids_and_places() -> None:
    board = dashboard()
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        assert min(place.values()) >= 0
        assert place["x"] + place["w"] <= 24
    for one, other in combinations(panels, 2):
        assert not overlap(one["gridPos"], other["gridPos"]), (one["title"], other["title"])


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return all(
        one[at] < other[at] + other[size] and other[at] < one[at] + one[size]
        for at, size in (("x", "w"), ("y", "h"))
    )


def test_panels_are_whole() -> None:
    board = dashboard()
    assert board["id"] is None  # else it would take another one's place
    names = {variable["name"] for variable in board["templating"]["list"]}
    assert names == {"datasource", "instance", "function"}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(board["panels"])))
    assert used == names | {"__rate_interval"}
    for panel in board["panels"]:
        if panel["type"] == "row":
            continue
        assert panel["title"]
        assert panel["description"]
        letters = [target["refId"] for target in panel["targets"]]
        assert letters
        assert len(set(letters)) == len(letters)
        for source in (panel, *panel["targets"]):
            assert source["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


# ---- the rest


def test_each_alert_is_shown_to_fire_and_not_to() -> None:
    cases = re.findall(
        r"alertname: (\w+)\n +exp_alerts:( \[\])?\n", (FOLDER / "alerts_test.yml").read_text()
    )
    for alert in yaml_values("alerts.yml", "- alert"):
        assert {none for name, none in cases if name == alert} == {"", " []"}, alert


def test_the_yaml_is_read_as_it_was_meant() -> None:
    yaml = pytest.importorskip("yaml", reason="needs PyYAML, which comes with schemathesis")
    read = {name: yaml.safe_load((FOLDER / name).read_text()) for name in YAML}
    rules = [rule for group in read["alerts.yml"]["groups"] for rule in group["rules"]]
    queries = [each["metadata"]["query"] for each in read["scaledobject.yaml"]["spec"]["triggers"]]
    found = yaml_values("alerts.yml", "expr") + yaml_values("scaledobject.yaml", "query")
    meant = [rule["expr"] for rule in rules] + queries
    assert [each.split() for each in found] == [each.split() for each in meant]
    for rule in rules:
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"].keys() == {"summary", "description"}
        assert "function" in rule["annotations"]["description"]
    (scraped,) = read["prometheus.yml"]["scrape_configs"]
    assert scraped["job_name"] in OWN["up"]["job"]


@pytest.fixture
def prometheus(tmp_path: Path) -> Path:
    """A copy of the folder, with a token, and a rule for every expression of other programs."""
    if shutil.which("promtool") is None:
        sentence = "needs the Debian package prometheus, for promtool"
        pytest.skip(sentence)
    for name in YAML:
        shutil.copy(FOLDER / name, tmp_path)
    (tmp_path / "token").write_text("secret\n")
    rules = [
        {"record": f"number_{number}", "expr": expression}
        for number, expression in enumerate(expressions())
    ]
    others = {"groups": [{"name": "others", "rules": rules}]}
    (tmp_path / "others.yml").write_text(json.dumps(others))  # which is YAML, too
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "alerts.yml"),
        ("check", "rules", "others.yml"),
        ("test", "rules", "alerts_test.yml"),
    ],
)
def test_promtool_has_nothing_against_it(prometheus: Path, arguments: tuple[str, ...]) -> None:
    done = subprocess.run(
        ["promtool", *arguments],
        cwd=prometheus,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
