"""Whole conversions whose frames never leave the card but as packets: the file of the host's way, packet by packet.

x264 takes NVENC's place: it takes the card's layout too, and makes the same of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from tests.contract.test_card_conversion import OPTIONS, contents, convert
from tests.contract.test_card_decoding import bench, clip, kernels, on_twos
from tests.unit.runtime.on_device.device_bench import OPS, DeviceBench
from tests.unit.runtime.on_device.played_decoder import PlayedDecoder, card_reading

from fastrestore.api import open_source, plan_job
from fastrestore.config import ConvertOptions, EncodeOptions, FilmOptions, Media
from fastrestore.errors import EncodeError
from fastrestore.frames import FORMATS
from fastrestore.geometry import Size
from fastrestore.runtime import card_media
from fastrestore.runtime import job as jobs
from fastrestore.runtime.devices import dlpack
from fastrestore.runtime.devices.driver import DriverFacts
from fastrestore.runtime.media import encoders
from fastrestore.runtime.media.segment import SegmentWriter
from fastrestore.runtime.motion import DisEstimator
from fastrestore.runtime.on_device.handover import Handover
from fastrestore.runtime.on_device.opening import Task, open_steps
from fastrestore.runtime.on_device.picture import Form
from fastrestore.runtime.parts import Stages
from fastrestore.runtime.plan import WorkPlan
from fastrestore.runtime.restorer import Output, Restorer
from fastrestore.runtime.stages import _handed_over

__all__ = ["bench", "kernels"]

X264 = replace(OPTIONS, encode=EncodeOptions(codec="x264", preset="ultrafast", threads=1))
ON_CARD = replace(X264, media=Media.CARD)


@dataclass
class Studio:
    """Opens stages on a played card that decodes and encodes."""

    bench: DeviceBench
    handed: list[bool] = field(default_factory=list)

    @contextmanager
    def open(self, plan: WorkPlan, options: ConvertOptions, pool: Any = None) -> Iterator[tuple[Stages, None]]:
        """Stand in for `open_stages`."""
        source = Form(plan.source.size, plan.source.format, plan.source.colour)
        on_card, handed = options.media is Media.CARD, _handed_over(plan, options)[0]
        output = Form(plan.size, plan.format, plan.colour, for_encoder=handed)
        task = Task(source, output, plan.order, decodes=on_card)
        restorer = Restorer([], OPS, Output(plan.size, plan.format, plan.colour))
        with open_steps([self.bench.engine()], task) as steps, closing(PlayedDecoder(self.bench.device)) as decoder:
            card = card_reading(decoder, steps) if on_card else None
            yield Stages(OPS, restorer, DisEstimator(OPS), plan.order, steps, card=card), None
            self.handed.append(isinstance(steps.outbox, Handover))
            assert steps.outbox.on_loan == 0 and dlpack._given == {}
            assert decoder.outstanding == 0


@pytest.fixture
def studio(bench: DeviceBench, monkeypatch: pytest.MonkeyPatch) -> Studio:
    made = Studio(bench)
    monkeypatch.setattr(jobs, "open_stages", made.open)
    monkeypatch.setattr(card_media, "usable_cards", lambda: DriverFacts("13.0", "580", ()))
    known = encoders.ENCODERS
    monkeypatch.setattr(encoders, "ENCODERS", {**known, "x264": replace(known["x264"], on_card=True)})
    return made


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return clip(tmp_path / "film.mkv", on_twos(), "libx264", bf="2", g="12", qp="0")


def test_the_file_is_the_host_s(studio: Studio, source: Path, tmp_path: Path) -> None:
    by_host = convert(source, tmp_path / "host.mkv", X264)
    by_card = convert(source, tmp_path / "card.mkv", ON_CARD)
    assert studio.handed == [False, True]
    assert by_card == by_host
    assert contents(tmp_path / "card.mkv") == contents(tmp_path / "host.mkv")


@pytest.mark.parametrize("then", list(Media))
def test_a_run_that_the_encoder_ended_is_taken_up(
    studio: Studio, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: Media
) -> None:
    convert(source, tmp_path / "host.mkv", X264)
    real, done = SegmentWriter._encoded, 0

    def failing(*arguments: Any) -> Any:
        nonlocal done
        done += 1
        if done == 60:
            raise EncodeError("planted failure")
        return real(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(SegmentWriter, "_encoded", failing)
        with pytest.raises(EncodeError, match="planted failure"):
            convert(source, tmp_path / "card.mkv", ON_CARD)
    assert list((tmp_path / "card.mkv.fastrestore").iterdir()), "what was finished is kept"
    convert(source, tmp_path / "card.mkv", replace(X264, media=then))
    assert contents(tmp_path / "card.mkv") == contents(tmp_path / "host.mkv")


@pytest.mark.parametrize(
    ("changes", "handed"),
    [
        ({}, True),
        ({"media": Media.HOST}, False),
        ({"encode": EncodeOptions(codec="svtav1")}, False),
        ({"encode": EncodeOptions(codec="h264_nvenc")}, True),
        ({"encode": EncodeOptions(codec="hevc_nvenc", bit_depth=10)}, True),
    ],
    ids=["card", "host", "svtav1", "nvenc", "10 bit"],
)
def test_frames_are_handed_over_where_that_was_asked_for_and_the_encoder_can(
    studio: Studio, source: Path, changes: dict[str, Any], handed: bool
) -> None:
    options = replace(ON_CARD, **changes)
    with open_source(source, options) as reader:
        found = _handed_over(plan_job(reader, "", options).plan, options)
    assert found == (handed, " and are encoded there" if handed else "")


def test_where_the_encoder_cannot_that_is_said(studio: Studio, source: Path) -> None:
    with open_source(source, X264) as reader:
        plan = plan_job(reader, "", X264).plan
    handed, words = _handed_over(plan, replace(ON_CARD, film=FilmOptions(grain="keep")))
    assert not handed and "stages for old film" in words
    handed, words = _handed_over(replace(plan, size=Size(81, 56)), ON_CARD)
    assert not handed and "the encoder takes 81x56 yuv420p from there only" in words
    handed, words = _handed_over(replace(plan, format=FORMATS["yuv444p"]), ON_CARD)
    assert not handed and "the encoder takes 80x56 yuv444p from there only" in words
