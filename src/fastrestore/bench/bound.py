"""What limits an engine: handing over the work, copying, memory, or arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fastrestore.bench.distribution import Distribution
from fastrestore.bench.operations import Operations, Unknown
from fastrestore.bench.peak import Peak

_NEAR_ROOF = 0.3
"""Below this share of both roofs neither of them is what limits."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A verdict on an engine."""

    by: str
    """`enqueue`, `copy`, `memory`, `compute`, `overhead` or `unknown`."""
    why: str


def phase_bound(phases: Mapping[str, Distribution]) -> Bound:
    """Judge an engine on a device of its own by the medians of its phases."""
    compute, enqueue = phases["compute"].median, phases["enqueue"].median
    copies = {name: phases[name].median for name in ("h2d", "d2h") if name in phases}
    if enqueue > compute:
        return Bound(
            "enqueue",
            f"the host needs {enqueue:.2f} ms to hand over {compute:.2f} ms of work: try `--graph` or a larger batch",
        )
    if sum(copies.values()) > compute:
        words = ", ".join(f"{name} {value:.2f} ms" for name, value in copies.items())
        return Bound("copy", f"{words}, compute {compute:.2f} ms: keep pictures on the device, or overlap streams")
    return Bound("compute", f"compute {compute:.2f} ms, enqueue {enqueue:.2f} ms, copies {sum(copies.values()):.2f} ms")


def roof_bound(operations: Operations | Unknown, peak: Peak | None, pictures_per_s: float) -> Bound:
    """Judge an engine on the processor by how near it comes to what the machine can do."""
    if isinstance(operations, Unknown):
        return Bound("unknown", operations.reason)
    if peak is None:
        return Bound("unknown", "the machine's own speed was not measured")
    compute = operations.flops * pictures_per_s / 1e9 / peak.gemm_gflops
    memory = operations.layer_bytes * pictures_per_s / 1e9 / peak.copy_gb_per_s
    words = f"{compute:.0%} of the matrix product's speed, layers move {memory:.0%} of what a copy does"
    if max(compute, memory) < _NEAR_ROOF:
        return Bound("overhead", f"{words}: layout, activations and threads take the rest")
    return Bound("compute" if compute >= memory else "memory", words)
