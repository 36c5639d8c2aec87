"""What is kept of the thousands of lines that a builder says."""

from __future__ import annotations

from fastrestore.export.engines.build_log import BuildLog


def heard(*lines: tuple[str, str]) -> BuildLog:
    log = BuildLog()
    for severity, message in lines:
        log.hear(severity, message)
    return log


def test_errors_are_told_in_their_own_words_once() -> None:
    log = heard(("ERROR", "no tactics "), ("WARNING", "careful"), ("ERROR", "no tactics"), ("INTERNAL_ERROR", "broken"))
    assert log.text() == "no tactics; broken"
    assert log.warnings() == ["careful"]
    assert heard(("INFO", "fine")).text() == ""


def test_what_follows_every_error_without_a_driver_is_left_out() -> None:
    noise = "catchCudaError::250 (cudaError 35: CUDA driver version is insufficient for CUDA runtime version)"
    assert heard(("ERROR", "MIN<=OPT<=MAX"), ("ERROR", noise)).text() == "MIN<=OPT<=MAX"
    assert heard(("ERROR", noise)).text() == noise, "unless it is all there is"


def test_the_tail_is_short_and_leaves_chatter_out() -> None:
    log = heard(*[("VERBOSE", f"layer {n}") for n in range(500)], *[("INFO", f"step {n}") for n in range(500)])
    assert len(log.tail()) == 60 and log.tail()[-1] == "[INFO] step 499"
    assert len(heard(("INFO", "x" * 9999)).tail()[0]) < 500


def test_facts_of_the_engine_are_read_from_its_listing() -> None:
    listing = (
        "Layers:\n"
        "Name: a, LayerType: kgen, Inputs: [], TacticName: t\n"
        "Name: b, LayerType: correlation, Inputs: []\n"
        "Name: c, LayerType: correlation, Inputs: []"
    )
    log = heard(
        ("VERBOSE", listing),
        ("INFO", "Max Scratch Memory: 1220345856 bytes"),
        ("INFO", "Total Weights Memory: 123616 bytes"),
    )
    assert log.facts() == {
        "layers": {"correlation": 2, "kgen": 1},
        "scratch_bytes": 1220345856,
        "weight_bytes": 123616,
    }
