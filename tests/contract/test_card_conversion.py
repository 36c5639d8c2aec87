"""Whole conversions that are decoded on a card: the file of the host's way, also where a run is taken up."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from tests.contract.test_card_decoding import bench, clip, kernels, on_twos
from tests.media_samples import packets_of
from tests.unit.runtime.on_device.device_bench import OPS, DeviceBench
from tests.unit.runtime.on_device.played_decoder import PlayedDecoder, card_reading

from fastrestore.api import open_source, plan_job
from fastrestore.config import ConvertOptions, EncodeOptions, Media, RateTarget, Spans, Target
from fastrestore.errors import DecodeError, DeviceError
from fastrestore.runtime import card_media
from fastrestore.runtime import job as jobs
from fastrestore.runtime.devices.driver import DriverFacts
from fastrestore.runtime.fleet.reading import Reading
from fastrestore.runtime.motion import DisEstimator
from fastrestore.runtime.observation import Opening
from fastrestore.runtime.on_device.opening import Task, open_steps
from fastrestore.runtime.on_device.picture import Form
from fastrestore.runtime.parts import Stages
from fastrestore.runtime.plan import WorkPlan
from fastrestore.runtime.restorer import Output, Restorer
from fastrestore.runtime.timeline import SegmentStart

__all__ = ["bench", "kernels"]

OPTIONS = ConvertOptions(
    to=Target.parse("x2"),
    fps=RateTarget.parse("60"),
    encode=EncodeOptions(codec="ffv1"),
    spans=Spans(Fraction(1, 4), Fraction(1, 2)),
)


@dataclass
class Studio:
    """Opens stages on a played card."""

    bench: DeviceBench
    fault: Callable[[int], None] = lambda _: None
    decoded: int = 0

    @contextmanager
    def open(self, plan: WorkPlan, options: ConvertOptions, pool: Any = None) -> Iterator[tuple[Stages, None]]:
        """Stand in for `open_stages`."""
        source = Form(plan.source.size, plan.source.format, plan.source.colour)
        on_card = options.media is Media.CARD
        task = Task(source, Form(plan.size, plan.format, plan.colour), plan.order, decodes=on_card)
        restorer = Restorer([], OPS, Output(plan.size, plan.format, plan.colour))
        with open_steps([self.bench.engine()], task) as steps, closing(PlayedDecoder(self.bench.device)) as decoder:
            decoder.fault = self.fault
            card = card_reading(decoder, steps) if on_card else None
            yield Stages(OPS, restorer, DisEstimator(OPS), plan.order, steps, card=card), None
            self.decoded += decoder.made
            assert decoder.outstanding == 0


@pytest.fixture
def studio(bench: DeviceBench, monkeypatch: pytest.MonkeyPatch) -> Studio:
    made = Studio(bench)
    monkeypatch.setattr(jobs, "open_stages", made.open)
    monkeypatch.setattr(card_media, "usable_cards", lambda: DriverFacts("13.0", "580", ()))
    return made


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return clip(tmp_path / "film.mkv", on_twos(), "libx264", bf="2", g="12", qp="0")


def convert(source: Path, output: Path, options: ConvertOptions) -> dict[str, Any]:
    with open_source(source, options) as reader:
        report = plan_job(reader, output, options).run()
    told = ("source_frames", "output_frames", "restored_frames", "synthesized_frames", "cuts", "held_frames")
    return {name: getattr(report, name) for name in told} | {"warnings": report.warnings}


def contents(path: Path) -> list[tuple[Fraction, str]]:
    return [(packet.pts, hashlib.sha256(packet.data).hexdigest()) for packet in packets_of(path, 0)]


@pytest.mark.parametrize(("start", "end"), [(None, None), (Fraction(1, 2), Fraction(3, 2))], ids=["whole", "a part"])
def test_the_file_is_the_host_s(
    studio: Studio, source: Path, tmp_path: Path, start: Fraction | None, end: Fraction | None
) -> None:
    options = replace(OPTIONS, start=start, end=end)
    by_host = convert(source, tmp_path / "host.mkv", options)
    assert studio.decoded == 0
    by_card = convert(source, tmp_path / "card.mkv", replace(options, media=Media.CARD))
    assert studio.decoded == by_host["source_frames"]
    assert by_card == by_host
    assert contents(tmp_path / "card.mkv") == contents(tmp_path / "host.mkv")


@pytest.mark.parametrize("then", list(Media))
def test_a_run_that_the_card_could_not_finish_is_taken_up(
    studio: Studio, source: Path, tmp_path: Path, then: Media
) -> None:
    def fault(number: int) -> None:
        if number == 40:
            raise DeviceError("planted failure")

    wanted = convert(source, tmp_path / "host.mkv", OPTIONS)
    studio.fault = fault
    with pytest.raises(DecodeError, match="planted failure") as caught:
        convert(source, tmp_path / "card.mkv", replace(OPTIONS, media=Media.CARD))
    assert "--media host" in caught.value.hint
    assert list((tmp_path / "card.mkv.fastrestore").iterdir()), "what was finished is kept"
    studio.fault, studio.decoded = lambda _: None, 0
    found = convert(source, tmp_path / "card.mkv", replace(OPTIONS, media=then))
    assert 0 < studio.decoded < wanted["source_frames"] if then is Media.CARD else studio.decoded == 0
    # The picture at which it was taken up is restored once more.
    assert found | {"restored_frames": 0} == wanted | {"restored_frames": 0}
    assert contents(tmp_path / "card.mkv") == contents(tmp_path / "host.mkv")


def test_a_worker_reads_segments_of_its_choice_on_the_card(studio: Studio, source: Path) -> None:
    options = replace(OPTIONS, media=Media.CARD)
    with open_source(source, options) as reader:
        job = plan_job(reader, "", options)
        with reader.again() as other:
            frames = [(frame.pts, frame.picture.crc32) for frame in other]
        with studio.open(job.plan, options) as (stages, _):
            assert stages.card is not None
            with closing(Reading(replace(job.source, card=stages.card), None)) as reading:
                for index in (24, 0, 12):
                    pts, crc32 = frames[index]
                    start = SegmentStart(Opening(index, pts, crc32=crc32), Fraction(0))
                    shown = islice(reading.at(start, sequential=False), 5)
                    assert [(frame.pts, frame.picture.crc32) for frame in shown] == frames[index : index + 5]
            stages.card.forsake()
