"""The demo, to its end, on the first moments of the embedded sample."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from fastrestore import open_video
from fastrestore.compare import compare
from fastrestore.demo.run import run_demo


def test_demo_makes_what_it_says(tmp_path: Path) -> None:
    results = run_demo(tmp_path / "demo", end=Fraction(1, 4))
    assert (results.report.source_frames, results.report.output_frames) == (4, 15)
    assert all(path.stat().st_size > 10_000 for _, path in results.files())
    with open_video(results.restored) as restored, open_video(results.side_by_side) as beside:
        assert (str(restored.info.size), str(beside.info.size)) == ("2880x2160", "1440x1080")
        restored_means = [float(f.picture.planes[0].mean()) for f in restored]
    with open_video(results.original) as original:
        source_means = [float(f.picture.planes[0].mean()) for f in original]
    assert len(restored_means) == 15
    assert min(source_means[:5]) - 2 < min(restored_means)
    assert max(restored_means) < max(source_means[:5]) + 2
    assert any("audio" in track for track in results.report.copied_tracks)
    assert results.page.read_text(encoding="utf-8").count("data:image/jpeg") == 12
    assert compare(results.restored, results.restored).psnr_y_db == 100
