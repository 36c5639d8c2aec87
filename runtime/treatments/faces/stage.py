"""`--faces MODEL`: faces are found beforehand, and rebuilt in restored pictures."""

from __future__ import annotations

from dataclasses import dataclass

from fastrestore.config import FilmOptions
from fastrestore.frames import StreamInfo
from fastrestore.runtime.treatments.faces.cast import Cast
from fastrestore.runtime.treatments.faces.detector import FaceProbe
from fastrestore.runtime.treatments.faces.retouch import FaceRetouch
from fastrestore.runtime.treatments.faces.settings import FaceSettings, faces_of
from fastrestore.runtime.treatments.table import Opened, Tools
from fastrestore.runtime.treatments.treatment import Film, Probe


@dataclass(frozen=True, slots=True)
class FacesStage:
    """The stage `faces`; see `table.Stage`."""

    settings: FaceSettings

    def probes(self, info: StreamInfo) -> tuple[Probe, ...]:
        """See `table.Stage.probes`."""
        return (self._probe(info),)

    def info(self, info: StreamInfo) -> StreamInfo:
        """See `table.Stage.info`: the same. Networks that are not there are told of here, before any work.

        Raises:
            UsageError: If a network is not there, or does something else.
            ModelError: If one is broken.
        """
        self.settings.network()
        self.settings.finder()
        return info

    def open(self, film: Film, tools: Tools) -> Opened:
        """See `table.Stage.open`."""
        cast = Cast(film, self._probe(film.info).name, self.settings.eyes, tools.views)
        return Opened(retouch=FaceRetouch(film, cast, self.settings.strength, tools.ops))

    def _probe(self, info: StreamInfo) -> FaceProbe:
        return FaceProbe(self.settings, self.settings.finder(), info)


def asked_for(options: FilmOptions) -> FacesStage | None:
    """Return the stage if a user asked for it.

    Raises:
        UsageError: If its words are not understood.
    """
    settings = faces_of(options)
    return None if settings is None else FacesStage(settings)
