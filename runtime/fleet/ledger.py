"""Takes segments from workers and puts them on record, each once."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from fastrestore.errors import JobError
from fastrestore.runtime.fleet.order import Made
from fastrestore.runtime.fleet.scan import Stretch
from fastrestore.runtime.journal import Record
from fastrestore.runtime.segments import put_on_record
from fastrestore.runtime.workfolder import WorkFolder


class Ledger:
    """The record of a film that workers make.

    Args:
        work: The work folder, held by this process.
        record: What is there already.
    """

    def __init__(self, work: WorkFolder, record: Record) -> None:
        self._work, self._record = work, record
        self._expected: dict[int, Stretch] = {}
        self.warnings: dict[str, None] = {}
        """What the workers have to tell, each once."""

    def expect(self, stretch: Stretch) -> bool:
        """Take note of a segment; return whether it must be made.

        Raises:
            JobError: If it is on record, and does not end where the source says: that is not what it was.
        """
        if stretch.number < len(self._record.done):
            known = self._record.done[stretch.number]
        elif stretch.number in self._record.ahead:
            known = self._record.ahead[stretch.number]
        else:
            self._expected[stretch.number] = stretch
            return True
        if (known.next, known.stamps) != (stretch.passed.next, stretch.stamps):
            raise JobError(
                f"segment {stretch.number} of the unfinished work does not end where the source says that it does now",
                "add `--restart` to begin anew",
            )
        return False

    def wants(self, number: int) -> Stretch | None:
        """Return a segment that is still to be made, or None."""
        return self._expected.get(number)

    def accept(self, made: Made) -> bool:
        """Put a segment on record, unless it is there already; return whether it was not.

        Raises:
            JobError: If it does not hold the instants that it should.
            EncodeError: If it cannot be written.
        """
        stretch = self._expected.get(made.number)
        if stretch is None:
            self.discard(made.part)
            return False
        if made.proved.stamps != stretch.stamps:
            raise JobError(
                f"a worker made {len(made.proved.stamps)} frames of segment {made.number}, "
                f"wanted {len(stretch.stamps)} at the instants that the source gives",
                "leave the source alone while it is converted, and run the command again",
            )
        name = self._work.segment(made.number).name
        passed = replace(stretch.passed, treated=made.treated, made=made.made, between=made.between)
        done = made.proved.done(name, stretch.start.opening.index, passed)
        put_on_record(self._work, self._record, self._work.path / made.part, done)
        del self._expected[made.number]
        self.warnings.update(dict.fromkeys(made.warnings))
        return True

    def discard(self, part: str) -> None:
        """Remove what was written in vain."""
        with suppress(OSError):  # it does no harm, and goes with the folder
            (self._work.path / part).unlink()
