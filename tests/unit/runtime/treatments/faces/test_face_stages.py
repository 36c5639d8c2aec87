"""Where faces are rebuilt in a pipeline: the network is opened with the others, frames stay in the host's memory."""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from tests.unit.runtime.treatments.faces.face_samples import add_models, frame
from tests.unit.runtime.treatments.faces.test_retouch import STILL

from fastrestore.config import ConvertOptions, FilmOptions, RateTarget, Target
from fastrestore.frames import Picture
from fastrestore.geometry import Size
from fastrestore.models import store
from fastrestore.models.spec import FACE_PX
from fastrestore.runtime.engine_key import Profile
from fastrestore.runtime.plan import make_plan
from fastrestore.runtime.profiles import usual_profiles
from fastrestore.runtime.stages import _open_on_device, open_stages
from fastrestore.runtime.steps import Anchors
from fastrestore.runtime.treatments.faces.settings import FaceSettings

OPTIONS = ConvertOptions(
    to=Target.parse("x1"), fps=RateTarget.parse("24"), backend="onnxruntime", film=FilmOptions(faces="rebuilder")
)


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(store.USER_FOLDER_VARIABLE, str(tmp_path))
    add_models(tmp_path)


class Addressed:
    """What an engine on a card has. See `AddressEngine`."""

    spec = device = None
    range: Profile | None = None
    dtypes: ClassVar[dict[str, np.dtype[Any]]] = {}

    def slot(self, stream: object) -> object:
        raise NotImplementedError


def test_the_network_is_opened_with_the_others_and_closed() -> None:
    with open_stages(make_plan(STILL.info, OPTIONS), OPTIONS) as (stages, choice):
        assert stages.faces is not None and stages.faces.spec.name == "rebuilder"
        assert choice is not None and choice.identity == "onnxruntime"
    plain = ConvertOptions(to=OPTIONS.to, fps=OPTIONS.fps, backend="onnxruntime")
    with open_stages(make_plan(STILL.info, plain), plain) as (stages, _):
        assert stages.faces is None


def test_frames_do_not_stay_on_a_card_and_the_reason_is_told() -> None:
    plan, engine = make_plan(STILL.info, OPTIONS), Addressed()
    with ExitStack() as stack:
        steps, way = _open_on_device(stack, [engine], plan, OPTIONS, shared=False)  # type: ignore[list-item]
    assert steps is None and "faces are rebuilt there" in way


def test_an_engine_of_a_face_network_is_built_for_its_one_size() -> None:
    (profile,) = usual_profiles(FaceSettings("rebuilder").network())
    assert profile.least == profile.most and (profile.most.batch, profile.most.height) == (1, FACE_PX)


def test_a_repeat_whose_faces_differ_is_made_anew() -> None:
    made: list[int] = []

    def make(index: int, picture: Picture) -> Future[Any]:
        made.append(index)
        future: Future[Any] = Future()
        future.set_result(picture)
        return future

    anchors = Anchors(make, lambda _: None, lambda first, second: second != 3)
    picture = frame(Size(16, 16), [])
    for index in range(5):
        anchors.get(index, picture).done()
    anchors.close()
    assert made == [0, 3] and anchors.made == 2
