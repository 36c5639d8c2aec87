"""What can be told of decoding on a card before one is there: who is refused, and what a machine without one says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from av.video.frame import VideoFrame
from tests.media_samples import Clip, write_clip

from fastrestore.batch.settings import options_from
from fastrestore.config import ConvertOptions, FilmOptions, Media, Target
from fastrestore.errors import DecodeError, DeviceError, UsageError
from fastrestore.frames import FORMATS, Colour, Picture, StreamInfo
from fastrestore.geometry import Size
from fastrestore.kernels.ops import Difference
from fastrestore.runtime import card_media
from fastrestore.runtime.devices.counting import CountingDevice
from fastrestore.runtime.devices.driver import DriverFacts
from fastrestore.runtime.identity import header_for, wishes
from fastrestore.runtime.media.card_reading import CardReading, Nvdec
from fastrestore.runtime.media.reader import VideoReader
from fastrestore.runtime.memory import usable_cards
from fastrestore.runtime.plan import make_plan
from fastrestore.runtime.source import Source

ON_CARD = ConvertOptions(to=Target.parse("x2"), media=Media.CARD)
INFO = StreamInfo(Size(40, 28), FORMATS["yuv420p"], Colour(), codec="h264")


def test_the_option_is_read() -> None:
    assert options_from({}).media is Media.HOST
    assert options_from({"media": "card"}).media is Media.CARD
    with pytest.raises(UsageError, match="`--media disk`"):
        options_from({"media": "disk"})


@pytest.mark.parametrize(
    ("info", "options", "message"),
    [
        (replace(INFO, codec="mpeg2video"), ON_CARD, "cannot decode `mpeg2video`: wanted one of h264, hevc, vp9"),
        (replace(INFO, codec="av1"), ON_CARD, "cannot decode `av1`"),
        (replace(INFO, codec=""), ON_CARD, "frames that come from elsewhere"),
        (replace(INFO, format=FORMATS["yuv422p"]), ON_CARD, "cannot decode yuv422p: wanted yuv420p or yuv420p10le"),
        (replace(INFO, format=FORMATS["yuv420p12le"]), ON_CARD, "cannot decode yuv420p12le"),
        (INFO, replace(ON_CARD, film=FilmOptions(clean="low")), "stages for old film"),
        (INFO, replace(ON_CARD, to=Target.parse("x1")), "nothing is restored"),
    ],
)
def test_what_a_card_does_not_decode_is_refused(
    monkeypatch: pytest.MonkeyPatch, info: StreamInfo, options: ConvertOptions, message: str
) -> None:
    monkeypatch.setattr(card_media, "usable_cards", lambda: DriverFacts("13.0", "580", ()))
    make_plan(INFO, ON_CARD)
    make_plan(info, replace(options, media=Media.HOST))
    with pytest.raises(UsageError, match=message) as caught:
        make_plan(info, options)
    assert "--media" in caught.value.hint


def test_without_a_driver_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card_media, "usable_cards", lambda: "no NVIDIA driver")
    with pytest.raises(UsageError, match="finds no card: no NVIDIA driver"):
        make_plan(INFO, ON_CARD)


def test_a_run_goes_on_wherever_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card_media, "usable_cards", lambda: DriverFacts("13.0", "580", ()))
    headers = [header_for(make_plan(INFO, o), o, "", None) for o in (ON_CARD, replace(ON_CARD, media=Media.HOST))]
    assert headers[0] == headers[1]
    assert wishes(ON_CARD) == wishes(replace(ON_CARD, media=Media.HOST))


class Nothing:
    """Compares nothing."""

    def luma8(self, picture: Picture) -> Picture:
        raise AssertionError(picture)

    def difference(self, left: Picture, right: Picture) -> Difference:
        raise AssertionError((left, right))


@pytest.mark.skipif(not isinstance(usable_cards(), str), reason="there is a card here")
@pytest.mark.parametrize("codec", ["libx264", "ffv1"])
def test_ffmpeg_without_a_card_says_so(tmp_path: Path, codec: str) -> None:
    path = write_clip(tmp_path / "clip.mkv", Clip(codec=codec))
    with CountingDevice() as device, VideoReader(path) as reader:
        card = CardReading(Nvdec(device), lambda _: pytest.fail("a picture"), lambda: None, Nothing())
        opening = pytest.raises(DecodeError, match="the card does not decode")
        with opening as caught, Source.of_file(reader).on_card(card):
            pytest.fail("there is no card")
    assert caught.value.hint == "decode on the host: `--media host`"
    assert device.leaks == []


def test_a_picture_of_the_host_is_none_of_the_card() -> None:
    with CountingDevice() as device, pytest.raises(DeviceError, match="a picture in yuv420p, wanted nv12 or p010le"):
        Nvdec(device).surface(VideoFrame(40, 28, "yuv420p"))


def test_a_stream_without_a_hardware_decoder_is_refused(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mkv", Clip(codec="ffv1"))
    with CountingDevice() as device, VideoReader(path) as reader:
        stream = reader._decoder.stream
        with pytest.raises(DecodeError, match="`ffv1`: FFmpeg has no hardware decoder"):
            Nvdec(device).options(stream)
