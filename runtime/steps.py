"""What a pipeline does to pictures, wherever they are: on the host, or on a card."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Generic, Protocol, Self, TypeVar

from fastrestore.frames import Picture
from fastrestore.kernels.ops import Ops
from fastrestore.runtime.handed import HandedPicture
from fastrestore.runtime.motion import PairMotion
from fastrestore.runtime.restorer import Restorer

T = TypeVar("T")
_Seen = TypeVar("_Seen", contravariant=True)


class PictureMotion(Protocol[_Seen]):
    """Finds motion between pictures where they are. May be called from several threads at once."""

    def pair(self, left: _Seen, right: _Seen) -> PairMotion:
        """Return the motion between two pictures, which stay what they are as long as it is asked for."""
        ...


class Parcel(Protocol):
    """A finished frame's picture, on its way to the host's memory, or being finished on a card to stay there."""

    def picture(self) -> Picture | HandedPicture:
        """Wait until it is finished and return it; where the steps lend pictures, valid until this is closed.

        Raises:
            FastRestoreError: If the work that made it failed.
        """
        ...

    def close(self) -> None:
        """Be done with it, whether it arrived or not. Twice is fine."""
        ...


class Steps(Protocol[T]):
    """The steps of a pipeline over pictures of some kind `T`.

    Whoever is returned a picture drops it once; what was enqueued on it need not be done by then. `between`, `send` and
    `drop` may be called from several threads at once, the others from one each.
    """

    @property
    def runs(self) -> int:
        """Pictures restored so far."""
        ...

    @property
    def warnings(self) -> Sequence[str]:
        """What the user should know of how it went."""
        ...

    @property
    def frames_ahead(self) -> int | None:
        """Parcels that may exist at once; None if there is no bound."""
        ...

    @property
    def lends(self) -> bool:
        """Whether a parcel's picture is lost when the parcel is closed."""
        ...

    @property
    def hands_over(self) -> bool:
        """Whether finished pictures stay on a card, for the encoder there."""
        ...

    @property
    def motion(self) -> PictureMotion[T] | None:
        """Finds motion between pictures as they are here; None where it is found on the host's."""
        ...

    def take(self, picture: Picture) -> T:
        """Take a source picture in."""
        ...

    def restore(self, picture: T) -> T:
        """Return a picture restored.

        Raises:
            EngineError: If a network fails.
        """
        ...

    def between(self, left: T, right: T, motion: PairMotion, t: float) -> T:
        """Return the picture at `t` in (0, 1) between two others of one size, along a motion at that instant.

        Raises:
            EngineError: If a network that finds the motion fails.
        """
        ...

    def look(self, picture: T) -> Picture:
        """Return a picture as the host sees it, for good; waits until it is there."""
        ...

    def send(self, picture: T) -> Parcel:
        """Send a picture to where it is encoded."""
        ...

    def drop(self, picture: T) -> None:
        """Be done with a picture."""
        ...


class HostSteps:
    """The steps over pictures in the host's memory, which nobody has to give back.

    Args:
        ops: Pixel kernels.
        restorer: Restores them.
    """

    def __init__(self, ops: Ops, restorer: Restorer) -> None:
        self._ops, self._restorer = ops, restorer

    @property
    def runs(self) -> int:
        """See `Steps.runs`."""
        return self._restorer.runs

    @property
    def warnings(self) -> Sequence[str]:
        """See `Steps.warnings`."""
        return ()

    @property
    def frames_ahead(self) -> int | None:
        """See `Steps.frames_ahead`."""
        return None

    @property
    def lends(self) -> bool:
        """See `Steps.lends`."""
        return False

    @property
    def hands_over(self) -> bool:
        """See `Steps.hands_over`."""
        return False

    @property
    def motion(self) -> PictureMotion[Picture] | None:
        """See `Steps.motion`."""
        return None

    def take(self, picture: Picture) -> Picture:
        """See `Steps.take`."""
        return picture

    def restore(self, picture: Picture) -> Picture:
        """See `Steps.restore`."""
        return self._restorer.restore(picture)

    def between(self, left: Picture, right: Picture, motion: PairMotion, t: float) -> Picture:
        """See `Steps.between`."""
        return self._ops.synthesize(left, right, motion.at(t), t)

    def look(self, picture: Picture) -> Picture:
        """See `Steps.look`."""
        return picture

    def send(self, picture: Picture) -> Parcel:
        """See `Steps.send`."""
        return HostParcel(picture)

    def drop(self, picture: Picture) -> None:
        """See `Steps.drop`."""


class HostParcel:
    """A picture that is here already."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture

    def picture(self) -> Picture:
        """See `Parcel.picture`."""
        return self._picture

    def close(self) -> None:
        """See `Parcel.close`."""


class Shared(Generic[T]):
    """Something on its way that several have use for, dropped once the last of them is done with it.

    Args:
        future: What is on its way; one use of it is the maker's own.
        drop: Called once with the result, on any thread; not if the work failed or was cancelled.
    """

    def __init__(self, future: Future[T], drop: Callable[[T], None]) -> None:
        self.future = future
        self._drop = drop
        self._uses = 1
        self._lock = threading.Lock()

    def use(self) -> Self:
        """Note one more use; the caller has one himself."""
        with self._lock:
            self._uses += 1
        return self

    def done(self) -> None:
        """End one use."""
        with self._lock:
            self._uses -= 1
            last = self._uses == 0
        if last:
            self.future.add_done_callback(self._dropped)

    def done_with(self, user: Future[Any]) -> None:
        """End one use as soon as some work is done, has failed or was cancelled."""
        user.add_done_callback(lambda _: self.done())

    def _dropped(self, future: Future[T]) -> None:
        if not future.cancelled() and future.exception() is None:
            self._drop(future.result())


class Anchors:
    """What is made of source frames, each at most once however many output frames need it; exact repeats not at all.

    Args:
        make: Has it made of a picture, by the number of its frame and the picture.
        drop: Gives it back.
        alike: Says whether the same is made of the same picture at two frames; None means always.
    """

    def __init__(
        self,
        make: Callable[[int, Picture], Future[Any]],
        drop: Callable[[Any], None],
        alike: Callable[[int, int], bool] | None = None,
    ) -> None:
        self._make, self._drop, self._alike = make, drop, alike
        self._kept: dict[int, Shared[Any]] = {}
        self._latest: tuple[int, Picture, Shared[Any]] | None = None
        self.made = 0
        """How many were asked for so far."""

    def get(self, index: int, picture: Picture) -> Shared[Any]:
        """Return one use of what is made of a source frame, by its number and its picture."""
        if index not in self._kept:
            if self._latest is None or not self._repeats(self._latest[0], self._latest[1], index, picture):
                if self._latest is not None:
                    self._latest[2].done()
                self._latest = index, picture, Shared(self._make(index, picture), self._drop)
                self.made += 1
            self._kept[index] = self._latest[2].use()
        return self._kept[index].use()

    def _repeats(self, before: int, shown: Picture, index: int, picture: Picture) -> bool:
        return shown.same_samples(picture) and (self._alike is None or self._alike(before, index))

    def forget_before(self, index: int) -> None:
        """Be done with what was made of the source frames before one."""
        for before in [i for i in self._kept if i < index]:
            self._kept.pop(before).done()

    def close(self) -> None:
        """Be done with everything."""
        for shared in (*self._kept.values(), *([self._latest[2]] if self._latest else [])):
            shared.done()
        self._kept.clear()
        self._latest = None
