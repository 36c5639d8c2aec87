"""The gate: an engine is used only after it agreed with the fp32 reference on real frames. It fails closed.

The reference is ONNX Runtime on the CPU with the fp32 file. Backend `onnxruntime` is just that, so it needs no proof;
every other backend asks `require_proof` before it hands out an engine, or a result of it, whatever its precision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fastrestore.errors import DeviceError, EngineError, EngineProofError
from fastrestore.frames import FloatImage
from fastrestore.geometry import Rect
from fastrestore.models.spec import FACE_PX, ModelSpec, Task, Tensor
from fastrestore.runtime import calibration
from fastrestore.runtime.cache.folder import default_folder
from fastrestore.runtime.engine import Engine, load_backend
from fastrestore.runtime.engine_key import Profile, Shape
from fastrestore.runtime.proofs import FLOW_TOLERANCE, PICTURE_TOLERANCE, Agreement, Proof, ProofStore

GATE_REVISION = 1
"""Raised whenever the gate looks at more or allows less: verdicts of an earlier one no longer count."""
LONG_PX = 2048
"""From here on half precision cannot count pixels: motion networks are looked at with a side this long."""
SPOT_PX = 96
"""Large restored pictures are compared in nine spots of this side: the reference would take minutes on all of one."""
_FLAT_SHARE, _CONTRAST = 0.1, 0.3
"""Where the input varies by `_CONTRAST`, the output varies by at least `_FLAT_SHARE` of that."""
_BLACK = 0.02
_BEST_PSNR_DB = 200.0
_HINT = "use `--backend onnxruntime`, or another model; update the library or driver that runs the engine"

_F32 = NDArray[np.float32]


def reference(spec: ModelSpec, threads: int = 0) -> Engine:
    """Open what engines are held against: the fp32 file on ONNX Runtime's CPU.

    Raises:
        EngineError: If the library is missing, or cannot load it.
        ModelError: If its file is missing or damaged.
    """
    backend = load_backend("onnxruntime")
    if problem := backend.unavailable_because():
        raise EngineError(
            f"`{spec.name}` cannot be proved: {problem}, and that is the reference", "`pip install 'fastrestore[cpu]'`"
        )
    return backend.open(spec, threads=threads)


def shapes_of(profile: Profile, spec: ModelSpec) -> tuple[Shape, ...]:
    """Return at which inputs an engine of a profile is looked at: its least, best and largest ones, and long ones."""
    wanted = [profile.least, profile.best, profile.most]
    if spec.task is Task.MOTION:
        long_px = -(-LONG_PX // spec.multiple_px) * spec.multiple_px
        least = profile.least
        wanted += [Shape(least.batch, least.height, long_px), Shape(least.batch, long_px, least.width)]
    return tuple(shape for shape in dict.fromkeys(wanted) if profile.takes(shape))


def usual_shapes(spec: ModelSpec) -> tuple[Shape, ...]:
    """Return at which inputs an engine that takes any size is looked at: a small one, a batch, one as a tile or frame.

    They do not depend on the film, so that one proof serves them all.
    """
    if spec.task is Task.MOTION:
        sizes = [(1, 128, 128), (1, 544, 960), (1, 128, LONG_PX), (1, LONG_PX, 128)]
    elif spec.task is Task.FACE:
        sizes = [(1, FACE_PX, FACE_PX)]
    else:
        sizes = [(1, 64, 64), (2, 96, 128), (1, 512, 512)]
    step = spec.multiple_px
    return tuple(Shape(batch, -(-height // step) * step, -(-width // step) * step) for batch, height, width in sizes)


def require_proof(
    engine: Engine,
    *,
    facts: Mapping[str, str],
    reference: Callable[[], Engine],
    shapes: Sequence[Shape],
    pictures: Sequence[FloatImage] | None = None,
    folder: Path | None = None,
) -> Proof:
    """Return the proof that an engine may be used: the one on record, or one made now and kept.

    A refusal is kept as well: what failed is refused again without being run, until a fact changes.

    Args:
        engine: The engine.
        facts: All that its results depend on: at least the model's sha256, the library with its version, the device
            and driver, and under `precision` one of `fp32`, `fp16`, `bf16`.
        reference: Opens what it is held against; called only where a proof has to be made.
        shapes: Inputs at which it is looked at.
        pictures: Frames to show it, as `calibration.frames_of` returns them; then what is on record does not count.
            None shows it the embedded sample.
        folder: Where verdicts are kept; None means `proofs` in the cache of engines.

    Raises:
        EngineProofError: If it disagrees, yields what is no picture, or did so before.
        EngineError: If either of the two cannot run.
    """
    known = {**facts, "gate": str(GATE_REVISION), "model": engine.spec.name, "shapes": " ".join(map(str, shapes))}
    store = ProofStore(folder or default_folder() / "proofs")
    if pictures is None and (found := store.find(known)) is not None:
        return found.require()
    shown = calibration.default_frames() if pictures is None else pictures
    try:
        with reference() as standard:
            proof = prove(engine, standard, shown, shapes, precision=facts["precision"], facts=known)
    except EngineProofError as error:
        refusal = {"measured": error.measured, "allowed": error.allowed, "where": error.where, "hint": error.hint}
        store.record(Proof(facts["precision"], (), calibration.digest(shown), _now(), refusal, known))
        raise
    store.record(proof)
    return proof


def prove(
    engine: Engine,
    reference: Engine,
    pictures: Sequence[FloatImage],
    shapes: Sequence[Shape],
    *,
    precision: str = "fp16",
    facts: Mapping[str, str] | None = None,
) -> Proof:
    """Hold an engine against the reference.

    Small pictures are compared wholly. Of large restored ones, the reference computes nine spots with what lies around
    them within its reach, which gives the same as the whole picture would; all of the engine's result is looked at for
    NaN, black and constant parts. Motion has no reach: it is compared wholly, one picture of a batch after the other.

    Args:
        engine: The engine.
        reference: What it is held against.
        pictures: Frames, `(3, H, W)` float32, R'G'B', nominal range `[0, 1]`, in the order of their time.
        shapes: Inputs at which it is looked at.
        precision: `fp32`, `fp16` or `bf16`: says how closely the two must agree.
        facts: All that the verdict depends on, for the record.

    Raises:
        EngineProofError: If they disagree, or the engine yields what is no picture.
        EngineError: If either of the two cannot run.
        DeviceError: If the memory does not suffice for a shape.
    """
    if not shapes:
        raise ValueError("an engine cannot be proved on no shape")
    agreements: list[Agreement] = []
    for shape in shapes:
        try:
            agreements += _Trial(engine, reference, pictures, shape, precision).agreements()
        except MemoryError as error:
            raise DeviceError(
                f"not enough memory to prove `{engine.spec.name}` at {shape}", "build it for smaller pictures"
            ) from error
    return Proof(precision, tuple(agreements), calibration.digest(pictures), _now(), facts=dict(facts or {}))


class _Trial:
    """One run of an engine, and what the reference makes of the same pictures."""

    def __init__(
        self, engine: Engine, reference: Engine, pictures: Sequence[FloatImage], shape: Shape, precision: str
    ) -> None:
        self._engine, self._reference, self._shape, self._precision = engine, reference, shape, precision
        self._spec = engine.spec
        self._given = calibration.arguments(self._spec, pictures, shape.batch, shape.height, shape.width)

    def agreements(self) -> list[Agreement]:
        found = self._run()
        tallies = {tensor.name: _Tally() for tensor in self._spec.outputs}
        for number in range(self._shape.batch):
            for read, keep in _regions(self._spec, self._shape):
                wanted = self._wanted(number, read)
                for tensor in self._spec.outputs:
                    rows, columns = keep.times(tensor.scale).slices
                    within = keep.moved(-read.x0, -read.y0).times(tensor.scale).slices
                    tallies[tensor.name].add(
                        found[tensor.name][number][:, rows, columns], wanted[tensor.name][0][:, *within]
                    )
        return [self._judged(tensor, tallies[tensor.name]) for tensor in self._spec.outputs]

    def _run(self) -> dict[str, _F32]:
        """Run the engine and look at what it yields by itself."""
        batch, height, width = self._shape.batch, self._shape.height, self._shape.width
        # NaN, so that what is not written shows.
        out = {t.name: np.full(t.shape(batch, height, width), np.nan, np.float32) for t in self._spec.outputs}
        self._engine.run(self._given, out)
        for name, array in out.items():
            if not np.isfinite(array.sum(dtype=np.float64)):
                raise self._refused(np.inf, 0.0, f"`{name}` holds NaN or infinity")
        if self._spec.task is Task.RESTORE:
            self._refuse_blanks(out)
        return out

    def _refuse_blanks(self, out: Mapping[str, _F32]) -> None:
        """Refuse a restored picture that shows nothing in a part where there is something to be seen."""
        tensor = self._spec.outputs[0]
        for given, found in zip(self._given[self._spec.inputs[0].name], out[tensor.name], strict=True):
            for part in _blocks(self._shape.height, self._shape.width):
                rows, columns = part.slices
                varies = float(np.ptp(given[:, rows, columns]))
                if varies < _CONTRAST:
                    continue
                rows, columns = part.times(tensor.scale).slices
                shown = found[:, rows, columns]
                if float(np.ptp(shown)) < _FLAT_SHARE * varies:
                    what = "black" if float(shown.max()) < _BLACK else "constant"
                    where = f"`{tensor.name}` is {what} where the picture is not, at {part.x0},{part.y0} px"
                    raise self._refused(float(np.ptp(shown)), varies, where)

    def _wanted(self, number: int, read: Rect) -> dict[str, _F32]:
        """Return what the reference makes of a part of one picture."""
        rows, columns = read.slices
        given = {
            t.name: np.ascontiguousarray(
                self._given[t.name][number : number + 1]
                if t.scale == 0
                else self._given[t.name][number : number + 1, :, rows, columns]
            )
            for t in self._spec.inputs
        }
        size = read.size
        out = {t.name: np.empty(t.shape(1, size.height, size.width), np.float32) for t in self._spec.outputs}
        self._reference.run(given, out)
        return out

    def _judged(self, tensor: Tensor, tally: _Tally) -> Agreement:
        if self._spec.task is Task.MOTION and tensor.channels != 1:
            extent, allowed = tally.reach, FLOW_TOLERANCE[self._precision]
        else:
            extent, allowed = tally.range, PICTURE_TOLERANCE[self._precision]
        if not np.isfinite(tally.range):
            raise self._refused(np.inf, 0.0, f"the reference's own `{tensor.name}` holds NaN or infinity")
        extent = max(1.0, extent)
        rms, peak = tally.rms / extent, tally.peak / extent
        psnr = _BEST_PSNR_DB if rms == 0 else min(_BEST_PSNR_DB, float(-20 * np.log10(rms)))
        agreement = Agreement(str(self._shape), tensor.name, rms, peak, psnr, allowed)
        if not agreement.holds:
            worst = (rms, allowed.rms, "on average") if rms > allowed.rms else (peak, allowed.peak, "at single values")
            raise self._refused(*worst[:2], f"`{tensor.name}` {worst[2]}, shares of its range")
        return agreement

    def _refused(self, measured: float, allowed: float, where: str) -> EngineProofError:
        text = f"{where}; `{self._spec.name}` in {self._precision} at {self._shape}"
        return EngineProofError(measured, allowed, text, _HINT)


@dataclass(slots=True)
class _Tally:
    """Differences of one output, gathered part by part, so that no second array of its size is needed."""

    peak: float = 0.0
    range: float = 0.0
    """Largest minus smallest value of the reference."""
    reach: float = 0.0
    """Largest absolute value of the reference."""
    _squares: float = 0.0
    _count: int = 0
    _least: float = np.inf
    _most: float = -np.inf

    @property
    def rms(self) -> float:
        """Root mean square of the differences."""
        return float(np.sqrt(self._squares / max(1, self._count)))

    def add(self, found: _F32, wanted: _F32) -> None:
        """Take in a part."""
        difference = found - wanted
        np.abs(difference, out=difference)
        self.peak = max(self.peak, float(difference.max()))
        self._squares += float(np.square(difference, out=difference).sum(dtype=np.float64))
        self._count += difference.size
        # `minimum` hands NaN on, Python's `min` may drop it.
        self._least = float(np.minimum(self._least, wanted.min()))
        self._most = float(np.maximum(self._most, wanted.max()))
        self.range, self.reach = self._most - self._least, max(abs(self._most), abs(self._least))


def _regions(spec: ModelSpec, shape: Shape) -> Iterator[tuple[Rect, Rect]]:
    """Yield what the reference reads, and what of it is compared, in pixels of the input."""
    whole = Rect(0, 0, shape.width, shape.height)
    spots = [] if spec.sees_whole else list(_spots(spec, whole))
    if not spots or sum(read.size.width * read.size.height for read, _ in spots) >= shape.width * shape.height:
        yield whole, whole
    else:
        yield from spots


def _spots(spec: ModelSpec, whole: Rect) -> Iterator[tuple[Rect, Rect]]:
    """Yield nine spots: corners, where an index that overflows shows; middles of the sides; the centre."""
    step = spec.multiple_px
    side = -(-SPOT_PX // step) * step
    # A network that halves its input sees it on a grid: parts of it must begin on that grid.
    halo = -(-spec.halo_px // step) * step
    if whole.x1 < side or whole.y1 < side:
        return
    for y in _places(whole.y1, side, step):
        for x in _places(whole.x1, side, step):
            keep = Rect(x, y, x + side, y + side)
            around = (max(0, x - halo), max(0, y - halo), min(whole.x1, x + side + halo))
            yield Rect(*around, min(whole.y1, y + side + halo)), keep


def _places(length: int, side: int, step: int) -> tuple[int, ...]:
    middle = (length - side) // 2 // step * step
    return tuple(dict.fromkeys((0, middle, length - side)))


def _blocks(height: int, width: int) -> Iterator[Rect]:
    """Yield a cover of a picture by up to 8x8 blocks of no less than 32 px a side, the last ones larger."""
    rows, columns = (min(8, max(1, length // 32)) for length in (height, width))
    for row in range(rows):
        for column in range(columns):
            yield Rect(
                width * column // columns,
                height * row // rows,
                width * (column + 1) // columns,
                height * (row + 1) // rows,
            )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
