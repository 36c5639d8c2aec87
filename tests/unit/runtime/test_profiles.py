from __future__ import annotations

from dataclasses import replace

import pytest

from fastrestore.errors import UsageError
from fastrestore.geometry import Size
from fastrestore.models.catalog import catalog
from fastrestore.models.spec import ModelSpec, Task
from fastrestore.runtime.engine_key import Profile, Shape
from fastrestore.runtime.profiles import (
    LEAST_SIDE_PX,
    RESOLUTIONS,
    choose,
    class_profile,
    exact_profile,
    input_shape,
    parse_size,
    usual_profiles,
)

RESTORE = next(spec for spec in catalog() if spec.task is Task.RESTORE and not spec.classical)
MOTION = replace(RESTORE, name="motion", task=Task.MOTION, scale=1, multiple_px=64)


def whole(width: int, height: int, batch: int = 1) -> Shape:
    return Shape(batch, height, width)


@pytest.mark.parametrize("spec", [RESTORE, MOTION], ids=["restore", "motion"])
@pytest.mark.parametrize("name", RESOLUTIONS)
def test_every_bound_is_in_order_and_a_multiple_of_what_the_model_takes(spec: ModelSpec, name: str) -> None:
    if RESOLUTIONS[name].tiles and spec.task is Task.MOTION:
        with pytest.raises(UsageError, match="sees whole pictures"):
            class_profile(name, spec)
        return
    profile = class_profile(name, spec)
    for axis in ("batch", "height", "width"):
        least, best, most = (getattr(shape, axis) for shape in (profile.least, profile.best, profile.most))
        assert 1 <= least <= best <= most
        assert axis == "batch" or not any(side % spec.multiple_px for side in (least, best, most))
    assert profile.name == name and profile.takes(profile.best)
    assert profile.least.width >= LEAST_SIDE_PX


def test_usual_profiles_take_every_usual_picture_upright_or_not() -> None:
    for spec in (RESTORE, MOTION):
        for width, height in ((64, 64), (320, 240), (768, 576), (1280, 720), (1440, 1080), (1920, 1080), (2048, 1556)):
            for size in (Size(width, height), Size(height, width)):
                assert choose(usual_profiles(spec), input_shape(spec, size)), (spec.name, size)
        assert choose(usual_profiles(spec), input_shape(spec, Size(3840, 2160))) is None
    assert [profile.name for profile in usual_profiles(RESTORE)] == ["tile", "sd", "hd", "fhd"]
    assert [profile.name for profile in usual_profiles(MOTION)] == ["sd", "hd", "fhd"]
    assert choose([class_profile("uhd", MOTION)], input_shape(MOTION, Size(3840, 2160)))


@pytest.mark.parametrize(
    ("shape", "name"),
    [
        (whole(720, 576), "sd"),
        (whole(64, 64), "tile"),
        (whole(512, 512), "tile"),
        (whole(512, 512, 4), "tile"),
        (whole(720, 576, 2), "tile"),
        (whole(1280, 720), "hd"),
        (whole(1440, 1080), "fhd"),
        (whole(1920, 1080), "fhd"),
        (whole(1920, 1080, 2), None),
        (whole(2049, 1080), None),
        (whole(63, 64), None),
    ],
)
def test_the_profile_tuned_for_the_most_similar_pictures_is_chosen(shape: Shape, name: str | None) -> None:
    found = choose(usual_profiles(RESTORE), shape)
    assert (found and found.name) == name
    assert choose(reversed(usual_profiles(RESTORE)), shape) == found


def test_an_exact_size_comes_before_any_class() -> None:
    exact = exact_profile(Size(720, 576), RESTORE)
    assert exact.least == exact.best == exact.most == whole(720, 576)
    known = [*usual_profiles(RESTORE), exact]
    assert choose(known, whole(720, 576)) == exact
    assert choose(known, whole(720, 574)) == class_profile("sd", RESTORE)
    assert choose(known, whole(720, 576, 2)) == class_profile("tile", RESTORE)
    assert choose([], whole(720, 576)) is None


def test_exact_sizes_are_padded_and_named_after_the_result() -> None:
    profile = exact_profile(Size(1920, 1080), MOTION)
    assert (profile.name, profile.most) == ("1920x1088", whole(1920, 1088))
    assert profile == exact_profile(Size(1900, 1088), MOTION)


@pytest.mark.parametrize("size", [Size(63, 720), Size(720, 1), Size(16385, 64)])
def test_impossible_exact_sizes_are_refused(size: Size) -> None:
    with pytest.raises(UsageError, match=f"pictures of {size}"):
        exact_profile(size, RESTORE)


def test_unknown_classes_are_refused() -> None:
    with pytest.raises(UsageError, match="unknown profile `4k`") as caught:
        class_profile("4k", RESTORE)
    assert "uhd" in caught.value.hint


def test_sizes_are_parsed() -> None:
    assert parse_size(" 1920X1080 ") == Size(1920, 1080)
    for text in ("1920", "1920x", "x1080", "0x10", "1920x1080x3", "-1x5", "1e3x5", "１９x5", ""):
        with pytest.raises(UsageError, match="is not understood"):
            parse_size(text)


def test_a_profile_takes_nothing_beyond_its_range() -> None:
    profile = Profile("p", whole(64, 64), whole(100, 100), whole(200, 150, 2))
    assert profile.takes(whole(200, 150, 2)) and not profile.takes(whole(150, 200))
