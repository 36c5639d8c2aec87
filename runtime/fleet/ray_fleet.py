"""Workers on the nodes of a Ray cluster. The only module that knows Ray."""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Self

from fastrestore.errors import EncodeError, JobError
from fastrestore.files import sync
from fastrestore.runtime.fleet.order import Failed, Failure, Lost, Made, Message, Order, Report
from fastrestore.runtime.fleet.places import Place, places
from fastrestore.runtime.fleet.ray_worker import RayWorker, Sight
from fastrestore.runtime.fleet.spool import CHUNK_BYTES
from fastrestore.runtime.fleet.surroundings import skew, surroundings
from fastrestore.runtime.identity import identity
from fastrestore.runtime.media.translate import reading, writing
from fastrestore.runtime.workfolder import PREPARED, SEEN

_POLL_S = 0.5
_PAUSE_S = 1.0
"""Between two attempts to reach a worker beyond a cut of the network."""
_ENDING_S = 5.0
_CONNECTING_S = 10.0
_LOOK_FOR_NODES_S = 5.0
_REST_S = 30.0
"""Longer than it takes a cluster to notice that a node is gone."""
_IN_FLIGHT = 3
"""Pieces on their way to a node at the same time."""


class RayFleet:
    """Workers that are actors, one for each card or node. Use it in a `with` statement: none outlives it.

    They belong to this driver, so that they end with it, however that ends. Nodes may come and go.

    Args:
        address: Of the cluster, or `auto`.
        workers: How many at most; None: one for each card, or for each node.
        threads: Threads for the networks of each; 0: as many as it has cores.

    Raises:
        JobError: If Ray is not installed, or there is no cluster.
    """

    patience_s = 600.0
    """How long a run waits for a node when it has none."""

    def __init__(self, address: str, workers: int | None = None, threads: int = 0) -> None:
        self._ray = _connected(address)
        self._wanted, self.threads = workers, threads
        self.reports: SimpleQueue[tuple[str, object]] = SimpleQueue()
        self.surroundings = surroundings()
        self._hired: dict[str, Attendant] = {}
        self._refused: set[Place] = set()
        self._known: set[Place] = set()
        self._count = 0
        self._run = os.urandom(3).hex()
        self._looked_at = 0.0
        self._places: list[Place] = []
        self._rests_until: dict[Place, float] = {}
        self._sending: dict[str, threading.Lock] = {}

    @property
    def description(self) -> str:
        """Who they are, in words."""
        rooms = self._rooms()
        kind = "a card each" if any(place.card for place in rooms) else f"{sum(place.cores for place in rooms)} cores"
        return f"{len(rooms)} on {len({place.node for place in rooms})} nodes of a Ray cluster: {kind}"

    beside = 0
    """How many of them share this machine's memory, as far as it is to be told: a cluster sees to its nodes' itself."""

    @property
    def size(self) -> int:
        """How many workers there should be now."""
        return len(self._rooms())

    @property
    def places(self) -> int:
        """How many places for workers there have ever been."""
        return len(self._known)

    def begin(self) -> None:
        """Forget what was refused: another film begins."""
        self._refused.clear()

    @property
    def workers(self) -> tuple[str, ...]:
        """Those there are."""
        return tuple(self._hired)

    def hire(self) -> str:
        """Start a worker in a place where there is none.

        Raises:
            JobError: If there is no such place.
        """
        taken = {hired.place for hired in self._hired.values()}
        place = next((place for place in self._rooms() if place not in taken), None)
        if place is None:
            raise JobError("the cluster has no room for another worker", "see `ray status`")
        self._count += 1
        name = f"w{self._count}.{self._run}.{self._count}"
        self._hired[name] = Attendant(self, self._ray, name, place)
        return name

    def send(self, worker: str, message: Message) -> None:
        """Tell a worker something."""
        hired = self._hired.get(worker)
        if hired is not None:
            hired.tell(message)

    def dismiss(self, worker: str, *, lost: bool = False) -> None:
        """End a worker at once. Nothing more is heard of it. Twice is fine.

        The place of one that is lost rests for a while: if its node is gone too, the cluster knows it only later.
        """
        hired = self._hired.pop(worker, None)
        if hired is not None:
            hired.end()
            if lost:
                self._rests_until[hired.place] = time.monotonic() + _REST_S

    def refuse(self, worker: str) -> None:
        """End a worker, and have none in its place for this film."""
        hired = self._hired.get(worker)
        if hired is not None:
            self._refused.add(hired.place)
        self.dismiss(worker)

    def close(self) -> None:
        """End all workers and leave the cluster. Twice is fine."""
        attendants = list(self._hired.values())
        for worker in self.workers:
            self.dismiss(worker)
        for attendant in attendants:
            attendant.join(_ENDING_S)
        self._ray.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def sending_to(self, node: str) -> threading.Lock:
        """Return what is held while something is sent to a node: its workers share the copy."""
        return self._sending.setdefault(node, threading.Lock())

    def _rooms(self) -> list[Place]:
        now = time.monotonic()
        if not self._places or now - self._looked_at > _LOOK_FOR_NODES_S:
            self._looked_at = now
            alive = [node for node in self._ray.nodes() if node["Alive"]]
            found = places([node["Resources"] for node in alive], [node["NodeID"] for node in alive], self._wanted)
            self._places = found
            self._known.update(found)
        return [
            place for place in self._places if place not in self._refused and self._rests_until.get(place, 0.0) <= now
        ]


class Attendant:
    """Speaks with one worker: in a thread of its own, since every word may take as long as the network likes.

    Args:
        fleet: Whose worker it is.
        ray: The library, connected.
        name: Of the worker.
        place: Where it runs.
    """

    def __init__(self, fleet: RayFleet, ray: Any, name: str, place: Place) -> None:
        self._fleet, self._ray, self._name, self.place = fleet, ray, name, place
        strategy = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(place.node, soft=False)
        actor = ray.remote(RayWorker).options(
            num_cpus=place.cores,
            num_gpus=1 if place.card else 0,
            max_restarts=0,
            max_concurrency=4,
            scheduling_strategy=strategy,
        )
        self._actor = actor.remote(fleet.threads or place.cores)
        self._lock = threading.Lock()
        self._unheard: deque[tuple[int, Message]] = deque()
        self._count = self._acknowledged = 0
        self._orders: SimpleQueue[Order] = SimpleQueue()
        self._sight: Sight | None = None
        self._folder = Path()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._attend, name=f"fastrestore-{name}", daemon=True)
        self._thread.start()

    def tell(self, message: Message) -> None:
        """Send a message; an order once the film is where the worker can read it."""
        if isinstance(message, Order):
            self._orders.put(message)
            return
        self._pass_on(message)

    def end(self) -> None:
        """End the worker at once."""
        self._over.set()
        with suppress(self._ray.exceptions.RayError, ValueError):
            self._ray.kill(self._actor, no_restart=True)

    def join(self, patience_s: float) -> None:
        """Wait until nothing is said any more."""
        self._thread.join(patience_s)

    def _pass_on(self, message: Message) -> None:
        with self._lock:
            self._count += 1
            self._unheard.append((self._count, message))
            self._actor.tell.remote(list(self._unheard))

    def _attend(self) -> None:
        reason = ""
        try:
            theirs = self._call("surroundings")
            differences = skew(self._fleet.surroundings, theirs)
            while not self._over.is_set():
                while not self._orders.empty():
                    self._open(self._orders.get(), differences)
                self._exchange()
        except self._ray.exceptions.RayError as error:
            reason = " ".join(str(error).split())[:300]
        except (JobError, EncodeError) as error:
            reason = error.message
        if not self._over.is_set():
            self._fleet.reports.put((self._name, Lost(reason)))

    def _call(self, method: str, *arguments: object) -> Any:
        """Call a method of the worker and wait for its answer, across cuts of the network.

        Raises:
            RayError: If the worker is gone, or the method failed.
        """
        while True:
            try:
                return self._ray.get(getattr(self._actor, method).remote(*arguments))
            except self._ray.exceptions.ActorUnavailableError:
                if self._over.wait(_PAUSE_S):
                    raise

    def _exchange(self) -> None:
        with self._lock:
            unheard = list(self._unheard)
        heard, reports = self._call("exchange", unheard, self._acknowledged, _POLL_S)
        with self._lock:
            while self._unheard and self._unheard[0][0] <= heard:
                self._unheard.popleft()
        for number, report in reports:
            if number > self._acknowledged:
                self._hear(report)
                self._acknowledged = number

    def _hear(self, report: Report) -> None:
        if isinstance(report, Made) and self._sight is not None and not self._sight.shares_folder:
            self._fetch(report)
        self._fleet.reports.put((self._name, report))

    def _open(self, order: Order, differences: list[str]) -> None:
        """Have the worker open a film that it can read."""
        if differences:
            failure = Failure.of(
                JobError(
                    f"node {self.place.node[:8]} is not the same as the coordinator: {'; '.join(differences)}",
                    "install the same versions on every node",
                )
            )
            self._fleet.reports.put((self._name, Failed(order.film, None, failure)))
            return
        known = identity(order.source)
        nonce = os.urandom(16).hex()
        probe = order.folder / f"probe.{nonce}.part"
        with writing(probe):
            probe.write_text(nonce, encoding="ascii")
        try:
            with self._fleet.sending_to(self.place.node):
                self._sight = sight = self._call("look", order.source, known, probe, nonce)
                if not sight.has_source:
                    self._send(order.source, sight.source, known)
                if not sight.shares_folder:
                    for path in _seen(order.folder):
                        copy = sight.folder / path.relative_to(order.folder)
                        self._send(path, copy, {"changed_ns": path.stat().st_mtime_ns})
        finally:
            with suppress(OSError):
                probe.unlink()
        self._folder = order.folder
        self._pass_on(order.at(sight.source, sight.folder))

    def _send(self, path: Path, copy: Path, known: dict[str, int | str]) -> None:
        """Send a file to the node, piece by piece."""
        digest = hashlib.sha256()
        flying: deque[Any] = deque()
        with reading(path), path.open("rb") as file:
            offset = 0
            while piece := file.read(CHUNK_BYTES):
                digest.update(piece)
                flying.append(self._actor.receive.remote(copy, offset, piece))
                offset += len(piece)
                if len(flying) >= _IN_FLIGHT:
                    self._ray.get(flying.popleft())
        self._ray.get(list(flying))
        self._call("received", copy, digest.hexdigest(), known["changed_ns"])

    def _fetch(self, made: Made) -> None:
        """Bring a part into the work folder.

        Raises:
            EncodeError: If it cannot be written.
            JobError: If it is not what the worker has proved.
        """
        path, digest, offset = self._folder / made.part, hashlib.sha256(), 0
        with writing(path):
            path.unlink(missing_ok=True)
            with path.open("xb") as file:
                while offset < made.proved.bytes:
                    piece = self._call("fetch", made.part, offset, CHUNK_BYTES)
                    if not piece:
                        break
                    file.write(piece)
                    digest.update(piece)
                    offset += len(piece)
            sync(path)
        if digest.hexdigest() != made.proved.sha256:
            raise JobError(f"segment {made.number} arrived damaged", "check the network")
        self._call("forget", made.part)


def _seen(folder: Path) -> list[Path]:
    """Return what was seen of the film, and prepared for it, before its segments are made."""
    prepared = (path for name in PREPARED for path in sorted((folder / name).rglob("*")))
    return [path for path in (*(folder / name for name in SEEN), *prepared) if path.is_file()]


def _require_answer(address: str) -> None:
    """Check that somebody listens at an address: Ray itself would try for minutes.

    Raises:
        JobError: If nobody does, or it is no address of a cluster's control service.
    """
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    hint = "give `auto` on a machine of the cluster, or HOST:PORT as `ray start --head` says; see docs/cluster.md"
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 1 << 16:
        raise JobError(f"`{address}` is no address of a Ray cluster", hint)
    try:
        socket.create_connection((host, int(port)), _CONNECTING_S).close()
    except OSError as error:
        raise JobError(f"cannot reach a Ray cluster at `{address}`: {error.strerror or error}", hint) from error


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Keep this program's own way of being stopped: Ray puts a handler of its own in its place."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def _connected(address: str) -> Any:
    """Return the library, connected to a cluster.

    Raises:
        JobError: If it is not installed, or there is no cluster.
    """
    _require_answer(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # what Ray means to do from now on; silences it
    with _signals_kept():
        try:
            import ray
            import ray.util.scheduling_strategies
        except ImportError as error:
            raise JobError("Ray is not installed", "install it: `pip install 'fastrestore[cluster]'`") from error
        try:
            ray.init(address=address, namespace="fastrestore", log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, RuntimeError, ValueError) as error:
            text = " ".join(str(error).split())[:300]
            raise JobError(
                f"cannot reach a Ray cluster at `{address}`: {text}",
                "start one with `ray start --head`, and use the same versions of Ray and Python; see docs/cluster.md",
            ) from error
    # Ray tells of lost nodes on standard output, where data goes. What we need to know of them arrives as errors.
    if hasattr(ray._private.worker, "print_to_stdstream"):
        ray._private.worker.print_to_stdstream = lambda *data, **how: None
    return ray
