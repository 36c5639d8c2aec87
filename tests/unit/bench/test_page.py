"""The page: whole, self-contained, and safe to open whatever a file is called."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from tests.unit.bench.fakes import block

from fastrestore.bench.document import document
from fastrestore.bench.page import check_page, render, write_page
from fastrestore.bench.peak import Peak
from fastrestore.bench.svg import Scale, bins, number
from fastrestore.errors import UsageError

NASTY = "<script>alert(1)</script> \"&' {{body}}"
_VOID = {"meta", "link", "br", "img", "input", "hr"}


class Strict(HTMLParser):
    """Notes every element and what is not closed as it was opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def times(value: float) -> dict[str, float]:
    return {"count": 3, **dict.fromkeys(("min", "mean", "median", "p90", "p95", "p99", "max"), value)}


def engine_result(label: str, operations: dict[str, int] | None) -> dict[str, Any]:
    return {
        "label": label,
        "throughput_fps": 12.5,
        "latency_ms": {"host": times(3.0)},
        "phases_note": "",
        "memory_bytes": 1 << 20,
        "operations": operations,
        "operations_note": "" if operations else "no onnx",
        "tflops": 0.02 if operations else None,
        "peak_share": 0.4 if operations else None,
        "bound": {"by": "compute", "why": NASTY},
        "blocks": [block(0, 3.0, samples_ms=[2.0, 3.0, 9.0])],
    }


def pipeline_result() -> dict[str, Any]:
    stage = {"workers": 2, "pieces": 5, "busy_s": 1.0, "share": 0.5, "busy_ms": times(2.0)}
    return {
        "label": NASTY,
        "verdict": "encode-bound",
        "fps": 10.0,
        "real_time_factor": 0.5,
        "frames": {"output": 20, "source": 8, "restored": 8, "synthesized": 12},
        "cores_busy": 0.9,
        "memory_bytes": 1 << 28,
        "stages": {
            "restore": {**stage, "wait_ms": times(1.0), "queue": {"mean": 1.0, "p95": 2.0, "max": 3}},
            "verify": {**stage, "wait_ms": None, "queue": None},
        },
        "fps_without": {"restore": 20.0, "verify": 11.0},
        "fps_without_model": "a model",
        "gantt": {
            "length_ms": 1000.0,
            "spans": [{"stage": "restore", "lane": lane, "begin_ms": 10.0, "end_ms": 500.0} for lane in (0, 1)],
        },
        "moved_bytes": {"decoded": 1000000},
    }


def sweep_result() -> dict[str, Any]:
    plain = {"label": NASTY, "fps": 2.0, "memory_bytes": 1 << 28, "output_bytes": 10, "verdict": "x", "problem": ""}
    return {**plain, "kept": True}


RESULTS = {
    "engine": [
        engine_result(NASTY, {"flops": 10**9, "layer_bytes": 10**7, "least_bytes": 10**6}),
        engine_result("b", None),
    ],
    "pipeline": [pipeline_result()],
    "sweep": [sweep_result(), {**sweep_result(), "kept": False}, {**sweep_result(), "problem": "cannot run"}],
}
PLOTS = {"engine": 3, "pipeline": 2, "sweep": 1}


@pytest.fixture(params=list(RESULTS))
def page(request: pytest.FixtureRequest) -> tuple[str, Strict, str]:
    peak = Peak(50.0, 20.0) if request.param == "engine" else None
    text = render(document(request.param, {}, RESULTS[request.param], peak))
    parser = Strict()
    parser.feed(text)
    parser.close()
    return request.param, parser, text


def test_it_is_well_formed_and_has_its_plots(page: tuple[str, Strict, str]) -> None:
    kind, parser, _ = page
    assert parser.open == []
    plots = [attributes for tag, attributes in parser.seen if tag == "svg"]
    assert len(plots) == PLOTS[kind]
    assert all(plot["aria-label"] and plot["role"] == "img" for plot in plots)


def test_it_asks_for_nothing_and_runs_nothing(page: tuple[str, Strict, str]) -> None:
    _, parser, text = page
    tags = {tag for tag, _ in parser.seen}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    names = {name for _, attributes in parser.seen for name in attributes}
    assert not names & {"src", "href", "srcset", "xlink:href"}
    assert not any(name.startswith("on") for name in names)
    assert not re.search(r"https?:|url\(|@import", text)
    assert "default-src 'none'" in text
    assert "prefers-color-scheme: dark" in text


def test_every_colour_class_has_a_style(page: tuple[str, Strict, str]) -> None:
    _, parser, text = page
    style = text[text.index("<style>") : text.index("</style>")]
    kinds = {word for _, attributes in parser.seen for word in (attributes.get("class") or "").split()}
    assert all(f".{kind}" in style for kind in kinds - {"stage", "note"})


def test_numbers_in_plots_are_finite_and_inside(page: tuple[str, Strict, str]) -> None:
    _, parser, text = page
    assert not re.search(r"\bnan\b|\binf\b", text, re.IGNORECASE)
    for tag, attributes in parser.seen:
        if tag == "rect":
            assert float(attributes["width"] or "") >= 0
            assert 0 <= float(attributes["x"] or "") <= 860


def test_a_page_is_written_where_it_can_be(tmp_path: Path) -> None:
    found = document("pipeline", {}, RESULTS["pipeline"], None)
    write_page(found, tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == render(found)
    for path in (tmp_path / "page.txt", tmp_path / "none" / "page.html"):
        with pytest.raises(UsageError):
            check_page(path)


def test_scales_and_numbers() -> None:
    assert Scale(0, 10, 100, 0)(5) == 50
    assert Scale(1, 100, 0, 200, log=True)(10) == pytest.approx(100)
    assert Scale(0, 97, 0, 1).ticks() == [0, 20, 40, 60, 80]
    assert Scale(0.3, 30, 0, 1, log=True).ticks() == pytest.approx([0.5, 1, 2, 5, 10, 20])
    assert Scale(3, 3, 0, 1).ticks() == [3]
    assert [number(value) for value in (0, 1234.5, 12.345, 0.012345, 100)] == ["0", "1234", "12.3", "0.0123", "100"]
    counts, edges = bins([1.0] * 99 + [1000.0])
    assert sum(counts) == 100
    assert edges[-1] < 1000
