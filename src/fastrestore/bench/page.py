"""One self-contained HTML page for a measurement: it opens from disk and asks nothing of any network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastrestore.bench import plots
from fastrestore.bench.document import Document
from fastrestore.bench.svg import number
from fastrestore.errors import UsageError
from fastrestore.files import write_whole

SUFFIXES = (".html", ".htm")
_LONG = 60
"""Characters from which on a cell may take several lines."""
_STATISTICS = ("min", "mean", "median", "p90", "p95", "p99", "max")


def check_page(path: Path) -> None:
    """Refuse a page that cannot be written, before any work.

    Raises:
        UsageError: If it has another extension than HTML's, or lies in no folder.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"page {path} has the extension `{path.suffix}`", "use `.html`")
    if not path.parent.is_dir():
        raise UsageError(f"cannot write {path}: there is no folder {path.parent}", "make it first")


def write_page(document: Document, path: Path) -> None:
    """Write the page.

    Raises:
        UsageError: If it has another extension than HTML's, or lies in no folder.
        EncodeError: If it cannot be written.
    """
    check_page(path)
    write_whole(path, render(document))


def render(document: Document) -> str:
    """Return the page as text."""
    sections = {"engine": _engine, "pipeline": _pipeline, "sweep": _sweep}[document["kind"]](document)
    fields = {
        "title": escape(f"fastrestore bench {document['kind']}"),
        "facts": escape(_facts(document)),
        "body": sections,
    }
    page = files("fastrestore.bench").joinpath("page.html").read_text(encoding="utf-8")
    for name, value in fields.items():
        page = page.replace(f"{{{{{name}}}}}", value)
    return page


def _facts(document: Document) -> str:
    machine, software = document["machine"], document["software"]
    words = [
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_bytes'] / (1 << 30):.0f} GiB",
        ", ".join(f"{name} {version}" for name, version in software.items()),
        document["made"].replace("T", " ").replace("+00:00", " UTC"),
    ]
    if peak := document["peak"]:
        words.insert(1, f"matrix product {peak['gemm_gflops']:.0f} GFLOPS, copy {peak['copy_gb_per_s']:.1f} GB/s")
    if document["load"] > machine["cores"]:
        words.append(f"the machine was busy: {document['load']:.1f} threads wanted to run before it began")
    return " · ".join(words)


def _engine(document: Document) -> str:
    sections = []
    if roof := plots.roofline(document):
        sections.append(_section("Roofline", "How near each engine comes to what this machine can do.", roof))
    for result in document["results"]:
        bound = result["bound"]
        figures = [
            ("throughput", f"{number(result['throughput_fps'])} pictures/s"),
            ("bound by", bound["by"]),
            ("memory", f"{result['memory_bytes'] / (1 << 20):.0f} MiB"),
            ("effective", "unknown" if result["tflops"] is None else f"{number(result['tflops'] * 1e3)} GFLOPS"),
            ("share of peak", "unknown" if result["peak_share"] is None else f"{result['peak_share']:.0%}"),
        ]
        latencies = [
            [phase, *(number(times[name]) for name in _STATISTICS)] for phase, times in result["latency_ms"].items()
        ]
        table = _table(["ms", *_STATISTICS], latencies)
        note = "; ".join(word for word in (bound["why"], result["phases_note"], result["operations_note"]) if word)
        sections.append(_section(result["label"], note, _figures(figures) + plots.histogram(result) + table))
    return "".join(sections)


def _pipeline(document: Document) -> str:
    sections = []
    for result in document["results"]:
        frames = result["frames"]
        figures = [
            ("output", f"{number(result['fps'])} fps"),
            ("real time", f"{number(result['real_time_factor'])} x"),
            ("frames", f"{frames['output']} from {frames['source']}"),
            ("cores busy", f"{result['cores_busy']:.0%}"),
            ("memory", f"{result['memory_bytes'] / (1 << 20):.0f} MiB"),
        ]
        sections.append(_section(result["label"], result["verdict"], _figures(figures) + plots.stage_bars(result)))
        sections.append(
            _section("A second of film", "What every thread did while it was finished.", plots.stage_gantt(result))
        )
        sections.append(_section("Stages", result["fps_without_model"], _stage_table(result["stages"])))
        moved = [[step, f"{count / 1e6:.1f}"] for step, count in result["moved_bytes"].items()]
        sections.append(_section("Bytes moved", "Pictures made by each step, in MB.", _table(["step", "MB"], moved)))
    return "".join(sections)


def _stage_table(stages: Mapping[str, Any]) -> str:
    rows = []
    for stage, times in stages.items():
        busy, wait, queue = times["busy_ms"], times["wait_ms"], times["queue"]
        cells = [stage, str(times["workers"]), str(times["pieces"]), f"{times['share']:.0%}"]
        cells += [number(busy[name]) for name in ("median", "p95", "p99")]
        cells += [number(wait[name]) if wait else "" for name in ("median", "p95", "p99")]
        cells += [number(queue["mean"]) if queue else "", str(queue["max"]) if queue else ""]
        rows.append(cells)
    heads = [
        "stage",
        "threads",
        "pieces",
        "busy",
        *(f"{kind} {p}" for kind in ("busy", "wait") for p in ("p50", "p95", "p99")),
    ]
    return _table([*heads, "queue mean", "max"], rows)


def _sweep(document: Document) -> str:
    results = document["results"]
    rows = [
        [
            "kept" if result["kept"] else "",
            result["label"],
            number(result["fps"]),
            f"{result['memory_bytes'] / (1 << 20):.0f}",
            number(result["output_bytes"] / 1e6),
            result["problem"] or result["verdict"],
        ]
        for result in results
    ]
    plot = plots.ways(results)
    table = _table(["", "way", "fps", "MiB", "MB written", ""], rows)
    return _section("Every way", "Kept: no other is faster, needs less memory and writes less at once.", plot + table)


def _section(title: str, note: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2><p>{escape(note)}</p>{content}</section>"


def _figures(pairs: Sequence[tuple[str, str]]) -> str:
    cells = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in pairs)
    return f"<dl>{cells}</dl>"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(word)}</th>" for word in heads)
    body = "".join("<tr>" + "".join(_cell(cell) for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(words: str) -> str:
    kind = ' class="long"' if len(words) > _LONG else ""
    return f"<td{kind}>{escape(words)}</td>"
