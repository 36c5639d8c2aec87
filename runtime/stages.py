"""Opens what a plan needs to run: kernels, networks and the motion estimator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from fastrestore.config import ConvertOptions, Plan
from fastrestore.geometry import Size
from fastrestore.kernels.ops import open_ops
from fastrestore.models.catalog import motion_model
from fastrestore.runtime.engine import BackendChoice, Engine, choose_backend
from fastrestore.runtime.motion import open_estimator
from fastrestore.runtime.pipeline import Stages
from fastrestore.runtime.plan import WorkPlan
from fastrestore.runtime.restorer import Output, Restorer


@contextmanager
def open_stages(plan: WorkPlan, options: ConvertOptions) -> Iterator[tuple[Stages, BackendChoice | None]]:
    """Open engines and kernels for a plan; close them on the way out."""
    ops = open_ops("cpu")
    with ExitStack() as stack:
        motion = plan.motion or motion_model("dis")
        networks = [*plan.chain, *([] if motion.classical else [motion])]
        choice = choose_backend(options.backend) if networks else None
        opened: dict[str, Engine] = {}
        if choice is not None:
            sizes = _input_sizes(plan)
            for spec in networks:
                if spec.name not in opened:
                    engine = choice.backend.open(spec, threads=options.threads, size=sizes.get(spec.name))
                    opened[spec.name] = stack.enter_context(engine)
        engines = [opened[spec.name] for spec in plan.chain]
        restorer = Restorer(engines, ops, Output(plan.size, plan.format, plan.colour), tile=options.tile)
        estimator = open_estimator(motion, ops, opened.get(motion.name))
        yield Stages(ops, restorer, estimator, plan.order), choice


def _input_sizes(plan: WorkPlan) -> dict[str, Size]:
    """Return the largest picture that each network of a plan is given."""
    reached, sizes = plan.source.size, {}
    for spec in plan.chain:
        sizes[spec.name] = reached  # a network that comes twice is given the larger picture the second time
        reached = reached.times(spec.scale)
    if plan.motion is not None:
        sizes[plan.motion.name] = plan.size if plan.order is Plan.UPSCALE_FIRST else plan.source.size
    return sizes
