"""Opens what a plan needs to run: kernels, networks and the motion estimator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from fastrestore.config import ConvertOptions, Media, Plan
from fastrestore.errors import DeviceError, EngineError, OutOfDeviceMemoryError, UsageError
from fastrestore.geometry import Size
from fastrestore.kernels.ops import open_ops
from fastrestore.models.catalog import motion_model
from fastrestore.models.spec import FACE_PX, ModelSpec
from fastrestore.runtime.engine import BackendChoice, BuiltAhead, Engine, choose_backend
from fastrestore.runtime.engine_pool import EnginePool
from fastrestore.runtime.media.card_reading import ON_HOST, CardReading, Nvdec
from fastrestore.runtime.media.encoders import find_encoder
from fastrestore.runtime.motion import MotionEstimator, open_estimator
from fastrestore.runtime.on_device.engine import AddressEngine
from fastrestore.runtime.on_device.motion import MotionNetwork
from fastrestore.runtime.on_device.opening import Task, open_steps
from fastrestore.runtime.on_device.picture import Form, encoder_takes
from fastrestore.runtime.on_device.steps import DeviceSteps
from fastrestore.runtime.parts import Stages
from fastrestore.runtime.plan import WorkPlan
from fastrestore.runtime.restorer import Output, Restorer
from fastrestore.runtime.steps import Steps
from fastrestore.runtime.treatments.faces.settings import face_network


@contextmanager
def open_stages(
    plan: WorkPlan, options: ConvertOptions, pool: EnginePool | None = None
) -> Iterator[tuple[Stages, BackendChoice | None]]:
    """Open engines and kernels for a plan; close them on the way out.

    Args:
        plan: The plan.
        options: What it was made from.
        pool: Lends the engines, and gets them back; None opens them for this plan alone.

    Raises:
        OutOfDeviceMemoryError: If the card has too little memory beside another run that the pool has lent engines to.
        FastRestoreError: If something cannot be opened.
    """
    ops = open_ops("cpu")
    with ExitStack() as stack:
        pool = pool or stack.enter_context(EnginePool(most_idle=0))
        motion = plan.motion or motion_model("dis")
        choice, opened = None, dict[str, Engine]()
        faces = face_network(options.film)
        if networks := _networks(plan, faces):
            lent = stack.enter_context(pool.lend(options.backend, networks, options.threads))
            choice, opened = lent.choice, lent.engines
        engines = [opened[spec.name] for spec in plan.chain]
        restorer = Restorer(engines, ops, Output(plan.size, plan.format, plan.colour), tile=options.tile)
        estimator = open_estimator(motion, ops, opened.get(motion.name))
        rebuilding = None if faces is None else opened[faces.name]
        if options.tuned and choice is not None:
            choice = replace(choice, reason=options.tuned)
        network = _motion_on_card(opened.get(motion.name), estimator)
        on_device, way = _open_on_device(stack, engines, plan, options, motion=network, shared=pool.shared)
        card = _card_reading(on_device, way, options)
        if way and choice is not None:
            choice = replace(choice, reason=f"{choice.reason}; {way}")
        yield Stages(ops, restorer, estimator, plan.order, on_device, faces=rebuilding, card=card), choice


def _motion_on_card(engine: Engine | None, estimator: MotionEstimator) -> MotionNetwork | None:
    """Return the network that finds motion if it runs by addresses, so that its pictures can stay on the card."""
    return MotionNetwork(engine, estimator) if isinstance(engine, AddressEngine) else None


def _open_on_device(
    stack: ExitStack,
    engines: Sequence[Engine],
    plan: WorkPlan,
    options: ConvertOptions,
    *,
    motion: MotionNetwork | None = None,
    shared: bool,
) -> tuple[Steps[Any] | None, str]:
    """Open the steps on the card that all engines run on by addresses, if they do, and say which way frames take.

    Raises:
        OutOfDeviceMemoryError: If there is too little memory on a shared card: alone, frames might well stay on it.
    """
    addressed = [engine for engine in engines if isinstance(engine, AddressEngine)]
    if not engines or len(addressed) < len(engines):
        return None, ""
    if any(engine.device is not addressed[0].device for engine in addressed):
        return None, "frames go through the host's memory: each network has opened the card by itself"
    if options.film.faces:
        return None, "frames go through the host's memory: faces are rebuilt there"
    source = Form(plan.source.size, plan.source.format, plan.source.colour)
    handed, where = _handed_over(plan, options)
    task = Task(source, Form(plan.size, plan.format, plan.colour, for_encoder=handed), plan.order, options.tile)
    task = replace(task, batch=options.batch, decodes=options.media is Media.CARD)
    if motion is not None and motion.engine.device is not addressed[0].device:
        motion = None
    try:
        steps = stack.enter_context(open_steps(addressed, task, slots=options.streams, motion=motion))
        return steps, f"frames stay on the card{where}{_motion_found(steps, task, plan, motion)}"
    except DeviceError as error:  # a driver too old for the kernels, or too little memory for pictures
        if shared and isinstance(error, OutOfDeviceMemoryError):
            raise
        return None, f"frames go through the host's memory: {error.message}"


def _motion_found(steps: DeviceSteps, task: Task, plan: WorkPlan, motion: MotionNetwork | None) -> str:
    """Return what to say of where motion is found, if a network finds it."""
    if plan.motion is None or plan.motion.classical:
        return ""
    if steps.motion is not None:
        return "; motion is found there"
    place = "its network has opened another card" if motion is None else motion.place(task.seen.size)
    why = place if isinstance(place, str) else "memory does not suffice for both"
    return f"; motion is found through the host's memory: {why}"


def _card_reading(steps: Steps[Any] | None, way: str, options: ConvertOptions) -> CardReading | None:
    """Return how the source is read if the card decodes it, or None if that was not asked for.

    Raises:
        UsageError: If it was, and frames do not stay on a card.
    """
    if options.media is not Media.CARD:
        return None
    if not isinstance(steps, DeviceSteps) or steps.decoded is None:
        why = way or f"backend `{options.backend}` does not run on addresses of a card"
        raise UsageError(f"`--media {Media.CARD}` needs frames that stay on a card: {why}", ON_HOST)
    decoded = steps.decoded
    return CardReading(Nvdec(decoded.device), decoded.adopt, decoded.forsake, decoded)


def _handed_over(plan: WorkPlan, options: ConvertOptions) -> tuple[bool, str]:
    """Return whether finished frames are handed to an encoder on the card, and what to say of them."""
    if options.media is not Media.CARD or not find_encoder(options.encode).on_card:
        return False, ""
    why = ""
    if options.film:
        why = "stages for old film end there"
    elif not encoder_takes(plan.size, plan.format):
        why = f"the encoder takes {plan.size} {plan.format.name} from there only"
    return not why, f"; finished ones go through the host's memory: {why}" if why else " and are encoded there"


def largest_inputs(plan: WorkPlan, options: ConvertOptions) -> dict[str, Size]:
    """Return what the engines of a plan will take at once, by model, where that is known before they are opened."""
    networks = _networks(plan, face_network(options.film))
    try:
        backend = choose_backend(options.backend, networks).backend if networks else None
    except EngineError:  # told when the run begins: a plan can be looked at where it cannot be run
        return {}
    if not isinstance(backend, BuiltAhead):
        return {}
    found = {spec.name: backend.largest(spec, size) for spec, size in networks}
    return {name: size for name, size in found.items() if size is not None}


def unable(plan: WorkPlan, options: ConvertOptions) -> str | None:
    """Return why a plan's networks cannot run here on the backend that is asked for, or None if they can.

    Loads no engine.
    """
    networks = _networks(plan, face_network(options.film))
    try:
        backend = choose_backend(options.backend, networks).backend
    except (UsageError, EngineError) as error:
        return error.message
    if not isinstance(backend, BuiltAhead):
        return None
    return next(filter(None, (backend.missing(spec, size) for spec, size in networks)), None)


def _networks(plan: WorkPlan, faces: ModelSpec | None) -> list[tuple[ModelSpec, Size]]:
    """Return the networks of a run, each once, with the largest picture it is given."""
    motion = [] if plan.motion is None or plan.motion.classical else [plan.motion]
    specs, sizes = {spec.name: spec for spec in (*plan.chain, *motion)}, _input_sizes(plan)
    rebuilding = [] if faces is None else [(faces, Size(FACE_PX, FACE_PX))]
    return [(spec, sizes[name]) for name, spec in specs.items()] + rebuilding


def _input_sizes(plan: WorkPlan) -> dict[str, Size]:
    """Return the largest picture that each network of a plan is given."""
    reached, sizes = plan.source.size, {}
    for spec in plan.chain:
        sizes[spec.name] = reached  # a network that comes twice is given the larger picture the second time
        reached = reached.times(spec.scale)
    if plan.motion is not None:
        sizes[plan.motion.name] = plan.size if plan.order is Plan.UPSCALE_FIRST else plan.source.size
    return sizes
