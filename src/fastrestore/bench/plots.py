"""The plots of a result page: latency histogram, stages over a second of film, roofline, the ways of a sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastrestore.bench.svg import Scale, bins, dot, figure, line, number, rect, text
from fastrestore.runtime.report import STAGES

_WIDTH = 860
_MARKS = ("median", "p95", "p99")


def histogram(result: Mapping[str, Any]) -> str:
    """Draw how often an engine's runs took how long."""
    samples = [value for block in result["blocks"] for value in block["samples_ms"]]
    counts, edges = bins(samples)
    height, left, right, top, bottom = 240, 50, _WIDTH - 15, 30, 200
    across = Scale(edges[0], edges[-1], left, right)
    up = Scale(0, max(counts), bottom, top)
    parts = _axes(across, up, "ms", "runs")
    for count, first, last in zip(counts, edges[:-1], edges[1:], strict=True):
        if count:
            box = (across(first), up(count), max(across(last) - across(first) - 1, 1), bottom - up(count))
            parts.append(rect(box, "bar", f"{number(first)} to {number(last)} ms: {count} runs"))
    marked = [(name, result["latency_ms"]["host"][name]) for name in _MARKS]
    for row, (name, value) in enumerate(marked):
        x = min(across(value), right)
        parts.append(line([(x, top - 4), (x, bottom)], "mark"))
        parts.append(text(x + 4, top + 4 + 14 * row, f"{name} {number(value)} ms", "note"))
    return figure(_WIDTH, height, f"latency of {result['label']}", parts)


def stage_gantt(result: Mapping[str, Any]) -> str:
    """Draw when each stage's threads worked while one second of film was finished."""
    spans, length = result["gantt"]["spans"], max(result["gantt"]["length_ms"], 1e-3)
    rows: list[tuple[str, int]] = sorted(
        {(span["stage"], span["lane"]) for span in spans}, key=lambda row: (STAGES.index(row[0]), row[1])
    )
    row_px, left, right, top = 26, 110, _WIDTH - 15, 10
    bottom = top + row_px * max(len(rows), 1)
    across = Scale(0, length, left, right)
    parts = []
    for tick in across.ticks():
        parts.append(line([(across(tick), top), (across(tick), bottom)], "grid"))
        parts.append(text(across(tick), bottom + 16, f"{number(tick)} ms", "tick", "middle"))
    for number_of_row, (stage, lane) in enumerate(rows):
        name = stage if lane == 0 else f"{stage} {lane + 1}"
        parts.append(text(left - 8, top + row_px * number_of_row + 17, name, "tick", "end"))
    for span in spans:
        y = top + row_px * rows.index((span["stage"], span["lane"])) + 4
        x, wide = across(span["begin_ms"]), across(span["end_ms"]) - across(span["begin_ms"])
        title = f"{span['stage']}: {number(span['end_ms'] - span['begin_ms'])} ms from {number(span['begin_ms'])} ms"
        parts.append(rect((x, y, max(wide, 0.8), row_px - 8), f"stage s{STAGES.index(span['stage'])}", title))
    return figure(_WIDTH, bottom + 26, "what each stage did while a second of film was finished", parts)


def stage_bars(result: Mapping[str, Any]) -> str:
    """Draw the share of the run in which each stage worked."""
    stages = result["stages"]
    row_px, left, right, top = 30, 110, _WIDTH - 150, 6
    across = Scale(0, 1, left, right)
    parts = []
    for row, (stage, times) in enumerate(stages.items()):
        y, share = top + row_px * row, min(times["share"], 1)
        parts.append(text(left - 8, y + 19, stage, "tick", "end"))
        parts.append(rect((left, y + 4, right - left, row_px - 10), "empty"))
        title = f"{stage}: busy {times['busy_s']:.2f} s a thread"
        parts.append(rect((left, y + 4, across(share) - left, row_px - 10), f"stage s{STAGES.index(stage)}", title))
        without = result["fps_without"].get(stage)
        words = f"{share:.0%}" + (f", without: {number(without)} fps" if without else "")
        parts.append(text(right + 8, y + 19, words, "note"))
    return figure(_WIDTH, top + row_px * len(stages) + 6, "share of the time in which each stage worked", parts)


def roofline(document: Mapping[str, Any]) -> str:
    """Draw each engine under the two roofs that were measured beside it; empty where nothing is known."""
    peak, points = document["peak"], []
    for result in document["results"]:
        operations = result.get("operations")
        if operations and result["peak_share"] is not None:
            intensity = operations["flops"] / operations["layer_bytes"]
            points.append((intensity, result["tflops"] * 1e3, result["label"]))
    if peak is None or not points:
        return ""
    roof, bandwidth, ridge = peak["gemm_gflops"], peak["copy_gb_per_s"], peak["ridge"]
    xs, ys = [ridge, *(point[0] for point in points)], [roof, *(point[1] for point in points)]
    row_px, left, right, top, bottom = 18, 60, _WIDTH - 20, 20, 280
    across = Scale(min(xs) / 8, max(xs) * 8, left, right, log=True)
    up = Scale(min(min(ys) / 4, roof / 20), roof * 2.5, bottom, top, log=True)
    parts = _axes(across, up, "operations per byte, layer by layer", "GFLOPS")
    start = max(across.low, up.low / bandwidth)
    roofs = [(across(start), up(start * bandwidth)), (across(ridge), up(roof)), (right, up(roof))]
    parts.append(line(roofs, "roof", f"copy {bandwidth:.1f} GB/s, matrix product {roof:.0f} GFLOPS"))
    parts.append(text(right - 4, up(roof) - 8, f"matrix product {roof:.0f} GFLOPS", "note", "end"))
    parts.append(text(across(start) + 16, up(start * bandwidth) + 4, f"copy {bandwidth:.1f} GB/s", "note"))
    for row, (intensity, speed, label) in enumerate(points):
        x, y = across(intensity), up(max(speed, up.low))
        words = f"{label}: {speed:.0f} GFLOPS, {intensity:.0f} operations a byte, {speed / roof:.0%} of the roof"
        parts.append(dot(x, y, "point", words))
        parts.append(text(x + 9 + 11 * (row % 8), y + 4, str(row + 1), "note"))
        parts.append(text(left, bottom + 56 + row_px * row, f"{row + 1}  {words}", "note"))
    height = bottom + 56 + row_px * len(points)
    return figure(_WIDTH, height, "engines under the roofs of this machine", parts)


def ways(results: Sequence[Mapping[str, Any]]) -> str:
    """Draw the ways of a sweep: speed against memory, those kept filled."""
    able = [result for result in results if not result["problem"]]
    if not able:
        return ""
    height, left, right, top, bottom = 320, 60, _WIDTH - 20, 20, 280
    across = Scale(0, max(result["memory_bytes"] for result in able) * 1.1 / (1 << 20), left, right)
    up = Scale(0, max(result["fps"] for result in able) * 1.15, bottom, top)
    parts = _axes(across, up, "peak memory, MiB", "fps")
    for result in able:
        mib = result["memory_bytes"] / (1 << 20)
        words = (
            f"{result['label']}: {result['fps']:.2f} fps, {mib:.0f} MiB, {result['output_bytes'] / 1e6:.2f} MB written"
        )
        parts.append(dot(across(mib), up(result["fps"]), "point" if result["kept"] else "point lost", words))
    return figure(_WIDTH, height, "speed and memory of every way", parts)


def _axes(across: Scale, up: Scale, x_label: str, y_label: str) -> list[str]:
    left, right, bottom, top = across.first_px, across.last_px, up.first_px, up.last_px
    parts = []
    for tick in across.ticks():
        parts.append(line([(across(tick), top), (across(tick), bottom)], "grid"))
        parts.append(text(across(tick), bottom + 16, number(tick), "tick", "middle"))
    for tick in up.ticks():
        parts.append(line([(left, up(tick)), (right, up(tick))], "grid"))
        parts.append(text(left - 6, up(tick) + 4, number(tick), "tick", "end"))
    parts.append(text(right, bottom + 34, x_label, "tick", "end"))
    parts.append(text(left - 6, top - 8, y_label, "tick", "middle"))
    return parts
