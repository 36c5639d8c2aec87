"""Job files: what they say, of which film, and what they cannot say."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastrestore.batch.jobfile import JobFile, read_job_file
from fastrestore.errors import UsageError

WHOLE = """
[defaults]
to = "1080p"
crf = 20
container = "mp4"

[[file]]
match = "reels/*.mov"
to = "x2"
audio = "score.wav"

[[file]]
match = "*.mov"
crf = 16
skip = true

[[file]]
match = "reel 2.mov"
output = "special/two.mkv"
skip = false
"""


def read(folder: Path, text: str) -> JobFile:
    path = folder / "jobs.toml"
    path.write_text(text)
    return read_job_file(path)


def test_every_matching_rule_counts_and_the_later_one_wins(tmp_path: Path) -> None:
    jobs = read(tmp_path, WHOLE)
    assert jobs.defaults == {"to": "1080p", "crf": 20, "container": "mp4"}
    reel = jobs.rule_for(Path("archive/reels/reel 2.mov"))
    assert reel.values == {"to": "x2", "audio": str(tmp_path / "score.wav"), "crf": 16}
    assert (reel.output, reel.skip) == (Path("special/two.mkv"), False)
    assert jobs.rule_for(Path("reels/sub/one.mov")).values == {"crf": 16}  # `*` stands for no slash
    other = jobs.rule_for(Path("reels/one.mp4"))
    assert (other.values, other.output, other.skip) == ({}, None, None)


def test_whole_paths_match_from_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    jobs = read(tmp_path, f'[[file]]\nmatch = "{tmp_path}/a.mp4"\nto = "x2"')
    assert jobs.rule_for(Path("a.mp4")).values == {"to": "x2"}
    assert jobs.rule_for(Path("sub/a.mp4")).values == {}


@pytest.mark.parametrize(
    ("text", "words", "hint"),
    [
        ("to = ", "is no TOML", "docs/batch.md"),
        ("[default]\nto = 'x2'", "unknown table `default`", "did you mean `defaults`?"),
        ("[defaults]\ncfr = 18", "unknown option `cfr`", "did you mean `crf`?"),
        ("[defaults]\nmatch = 'a'", "unknown option `match`", "known: "),
        ("[defaults]\nto = 'big'", "target size `big`", "x2"),
        ("[defaults]\ncrf = [1]", "neither text, number, true nor false", "--crf"),
        ("[[file]]\nto = 'x2'", "without `match`", "match = "),
        ("[[file]]\nmatch = '*.mp4'\nskp = true", "for `*.mp4`: unknown option `skp`", "did you mean `skip`?"),
        ("[[file]]\nmatch = 'a'\nskip = 1", "neither true nor false", "skip = true"),
        ("[[file]]\nmatch = 'a'\noutput = 1", "`output` of `a` is no text", "path"),
        ("[file]\nmatch = 'a'", "`file` is no list of tables", "two brackets"),
        ("defaults = 1", "`[defaults]` is no table", "docs/batch.md"),
    ],
)  # fmt: skip
def test_what_cannot_be_said(tmp_path: Path, text: str, words: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(tmp_path, text)
    assert words in caught.value.message and "jobs.toml" in caught.value.message
    assert hint in caught.value.hint


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the job file"):
        read_job_file(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="is no TOML"):
        read_job_file(tmp_path / "bytes.toml")


def test_files_are_seen_from_the_job_file(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('[options]\nclean = "low"\n')
    jobs = read(tmp_path, '[defaults]\npreset-film = "mine.toml"\ncolor-from = "a.png@3"\n')
    assert jobs.defaults == {"preset-film": str(tmp_path / "mine.toml"), "color-from": str(tmp_path / "a.png@3")}
    jobs = read(tmp_path, '[defaults]\npreset-film = "vhs"\ncolor-from = "off"\n')
    assert jobs.defaults == {"preset-film": "vhs", "color-from": "off"}
