"""Downloads against a publisher that truncates, stalls, lies, redirects and changes its mind."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.models.web import Handler, failing, ranged, redirect, serving, stalled, truncated, whole

from fastrestore.errors import ModelError
from fastrestore.models import pins
from fastrestore.models.fetch import Fetched, Limits, _Redirects, fetch
from fastrestore.models.spec import Publication, Task

CONTENT = bytes(range(256)) * 1024
HASH = hashlib.sha256(CONTENT).hexdigest()
ONCE = Limits(stall_s=10, tries=1)
HASTY = Limits(stall_s=0.05)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


def published(url: str, sha256: str = HASH, size_bytes: int = 0, filename: str = "net.pth") -> Publication:
    address = f"{url}/{filename}"
    return Publication("net", Task.RESTORE, "s", "MIT", "s", address, filename, size_bytes=size_bytes, sha256=sha256)


def part_of(root: Path) -> Path:
    return root / "downloads" / "net.pth.part"


def files(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "downloads").iterdir() if not path.name.endswith(".lock"))


def test_a_file_is_fetched_once(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    with serving(whole(CONTENT)) as server:
        first = fetch(published(server.url), tmp_path, on_bytes=lambda here, total: seen.append((here, total)))
        second = fetch(published(server.url), tmp_path)
    path = tmp_path / "downloads" / "net.pth"
    assert first == Fetched(path, HASH, newly_pinned=False, downloaded=True)
    assert second == Fetched(path, HASH, newly_pinned=False, downloaded=False)
    assert path.read_bytes() == CONTENT and files(tmp_path) == ["net.pth"]
    assert len(server.requests) == 1
    assert seen[0] == (0, len(CONTENT)) and seen[-1] == (len(CONTENT), len(CONTENT)) and seen == sorted(seen)


def test_a_damaged_file_is_fetched_again(tmp_path: Path) -> None:
    with serving(whole(CONTENT)) as server:
        path = fetch(published(server.url), tmp_path).path
        path.write_bytes(b"damaged")
        assert fetch(published(server.url), tmp_path).downloaded
    assert path.read_bytes() == CONTENT


def test_a_broken_connection_is_taken_up_where_it_broke(tmp_path: Path) -> None:
    with serving(truncated(CONTENT, 1000, ETag='"a"'), ranged(CONTENT, '"a"')) as server:
        assert fetch(published(server.url), tmp_path).path.read_bytes() == CONTENT
    assert [headers.get("Range") for _, headers in server.requests] == [None, "bytes=1000-"]
    assert server.requests[1][1]["If-Range"] == '"a"'
    assert files(tmp_path) == ["net.pth"]


def test_an_interrupted_pull_is_resumed_by_the_next(tmp_path: Path) -> None:
    with serving(truncated(CONTENT, 5000), ranged(CONTENT)) as server:
        with pytest.raises(ModelError, match="broke off after 5000 bytes") as caught:
            fetch(published(server.url), tmp_path, limits=ONCE)
        assert "goes on where it stopped" in caught.value.hint
        assert part_of(tmp_path).read_bytes() == CONTENT[:5000]
        assert not (tmp_path / "downloads" / "net.pth").exists()
        fetch(published(server.url), tmp_path, limits=ONCE)
    assert server.requests[1][1]["Range"] == "bytes=5000-"


def test_a_stop_by_the_user_keeps_what_came(tmp_path: Path) -> None:
    def stop(here: int, total: int) -> None:
        if here:
            raise KeyboardInterrupt

    with serving(ranged(CONTENT)) as server:
        with pytest.raises(KeyboardInterrupt):
            fetch(published(server.url), tmp_path, on_bytes=stop)
        kept = part_of(tmp_path).stat().st_size
        assert 0 < kept <= len(CONTENT)
        assert fetch(published(server.url), tmp_path).path.read_bytes() == CONTENT


def test_without_progress_it_is_not_tried_again(tmp_path: Path) -> None:
    with serving(truncated(CONTENT, 0)) as server, pytest.raises(ModelError, match="broke off after 0 bytes"):
        fetch(published(server.url), tmp_path)
    assert len(server.requests) == 1


def test_a_server_that_ignores_ranges_starts_the_file_anew(tmp_path: Path) -> None:
    with serving(truncated(CONTENT, 5000), whole(CONTENT)) as server:
        assert fetch(published(server.url), tmp_path).path.read_bytes() == CONTENT
    assert server.requests[1][1]["Range"] == "bytes=5000-"


def test_a_file_that_changed_in_between_is_not_mixed(tmp_path: Path) -> None:
    new = CONTENT[::-1]
    with serving(truncated(CONTENT, 5000, ETag='"old"'), ranged(new, '"new"')) as server:
        fetched = fetch(published(server.url, sha256=""), tmp_path)
    assert fetched.path.read_bytes() == new


def test_a_server_that_continues_with_another_file_is_seen_through(tmp_path: Path) -> None:
    def careless(handler: Handler) -> None:
        span = f"bytes 5000-{len(CONTENT) - 1}/{len(CONTENT)}"
        handler.start(206, Content_Length=len(CONTENT) - 5000, Content_Range=span, ETag='"new"')
        handler.wfile.write(CONTENT[:4999:-1])

    new = CONTENT[::-1]
    with serving(truncated(CONTENT, 5000, ETag='"old"'), careless, ranged(new, '"new"')) as server:
        with pytest.raises(ModelError, match="replaced meanwhile"):
            fetch(published(server.url, sha256=""), tmp_path)
        assert fetch(published(server.url, sha256=""), tmp_path).path.read_bytes() == new


@pytest.mark.parametrize(
    "headers",
    [
        {"Content_Length": "9" * 5000},
        {"Content_Length": "-5"},
        {"Content_Length": "five"},
        {"Content_Range": "nonsense"},
    ],
)
@pytest.mark.parametrize("code", [200, 206])
def test_headers_that_make_no_sense_are_no_crash(tmp_path: Path, code: int, headers: dict[str, str]) -> None:
    with serving(lambda handler: handler.start(code, **headers)) as server, pytest.raises(ModelError):
        fetch(published(server.url, sha256=""), tmp_path)


@pytest.mark.parametrize("url", ["http://[::1", "https://[nothing]/", "http:// x/", "https:///net", "\x00"])
def test_a_redirect_to_nowhere_is_no_crash(tmp_path: Path, url: str) -> None:
    with serving(redirect(url)) as server, pytest.raises(ModelError):
        fetch(published(server.url), tmp_path, limits=Limits(stall_s=1))


def test_without_hash_or_tag_nothing_is_resumed(tmp_path: Path) -> None:
    with serving(truncated(CONTENT, 5000), ranged(CONTENT)) as server:
        assert fetch(published(server.url, sha256=""), tmp_path).path.read_bytes() == CONTENT
    assert "Range" not in server.requests[1][1]


def test_a_part_that_is_too_long_is_thrown_away(tmp_path: Path) -> None:
    part_of(tmp_path).parent.mkdir()
    part_of(tmp_path).write_bytes(CONTENT + b"more")
    with serving(ranged(CONTENT)) as server:
        fetch(published(server.url), tmp_path)
        part_of(tmp_path).write_bytes(CONTENT + b"more")
        (tmp_path / "downloads" / "net.pth").unlink()
        fetch(published(server.url, size_bytes=len(CONTENT)), tmp_path)
    assert [headers.get("Range") for _, headers in server.requests] == [f"bytes={len(CONTENT) + 4}-", None, None]


def test_a_part_that_is_whole_needs_no_server(tmp_path: Path) -> None:
    part_of(tmp_path).parent.mkdir()
    part_of(tmp_path).write_bytes(CONTENT)
    assert fetch(published("https://nowhere.invalid", size_bytes=len(CONTENT)), tmp_path).downloaded


def test_a_wrong_hash_is_refused_and_nothing_is_kept(tmp_path: Path) -> None:
    other = hashlib.sha256(b"other").hexdigest()
    with serving(whole(CONTENT)) as server, pytest.raises(ModelError) as caught:
        fetch(published(server.url, sha256=other), tmp_path)
    assert HASH in caught.value.message and other in caught.value.message
    assert files(tmp_path) == []


def test_a_server_that_stalls_is_left(tmp_path: Path) -> None:
    with serving(stalled(CONTENT, 3000)) as server:
        with pytest.raises(ModelError, match="broke off after 3000 bytes: nothing came for 1 s"):
            fetch(published(server.url), tmp_path, limits=Limits(stall_s=1, tries=1))
        assert part_of(tmp_path).stat().st_size == 3000


def test_a_server_that_never_answers_is_left(tmp_path: Path) -> None:
    def silent(handler: Handler) -> None:
        handler.server.released.wait()

    with serving(silent) as server, pytest.raises(ModelError, match="broke off after 0 bytes"):
        fetch(published(server.url), tmp_path, limits=HASTY)


@pytest.mark.parametrize("size_bytes", [1, len(CONTENT) - 1, len(CONTENT) + 1])
def test_a_size_that_is_not_the_documented_one_is_refused(tmp_path: Path, size_bytes: int) -> None:
    with serving(whole(CONTENT)) as server, pytest.raises(ModelError, match=f"{size_bytes} are documented"):
        fetch(published(server.url, size_bytes=size_bytes), tmp_path)
    assert files(tmp_path) == []


def test_more_than_the_limit_is_refused(tmp_path: Path) -> None:
    def endless(handler: Handler) -> None:
        handler.start(200)
        handler.wfile.write(CONTENT)

    limits = Limits(most_bytes=1000)
    with serving(whole(CONTENT), endless) as server:
        with pytest.raises(ModelError, match="more than 1000"):
            fetch(published(server.url), tmp_path, limits=limits)
        with pytest.raises(ModelError, match="more than 1000"):
            fetch(published(server.url), tmp_path, limits=limits)
    assert not part_of(tmp_path).exists() or part_of(tmp_path).stat().st_size == 0


def test_without_length_only_a_hash_can_tell_the_end(tmp_path: Path) -> None:
    def lengthless(handler: Handler) -> None:
        handler.start(200)
        handler.wfile.write(CONTENT)

    with serving(lengthless) as server:
        with pytest.raises(ModelError, match="does not say how long"):
            fetch(published(server.url, sha256=""), tmp_path)
        assert fetch(published(server.url), tmp_path).sha256 == HASH


@pytest.mark.parametrize("code", [404, 403, 500, 416])
def test_errors_of_the_server_are_told(tmp_path: Path, code: int) -> None:
    with serving(failing(code)) as server, pytest.raises(ModelError, match=f"answers {code}") as caught:
        fetch(published(server.url), tmp_path)
    assert server.url in caught.value.hint


def test_a_range_that_was_not_asked_for_is_refused(tmp_path: Path) -> None:
    def elsewhere(handler: Handler) -> None:
        handler.start(206, Content_Length=10, Content_Range=f"bytes 7-16/{len(CONTENT)}")
        handler.wfile.write(bytes(10))

    with serving(truncated(CONTENT, 5000), elsewhere) as server, pytest.raises(ModelError, match="sends those from 7"):
        fetch(published(server.url), tmp_path)


def test_redirects_are_followed_on_this_machine_and_no_further(tmp_path: Path) -> None:
    with serving(whole(CONTENT)) as target:
        with serving(redirect(f"{target.url}/there")) as server:
            assert fetch(published(server.url), tmp_path).sha256 == HASH
        for url in ("http://example.org/net.pth", "ftp://127.0.0.1/net.pth", "file:///etc/hostname"):
            with serving(redirect(url)) as server, pytest.raises(ModelError):
                fetch(published(server.url, filename="other.pth"), tmp_path)
    assert not (tmp_path / "downloads" / "other.pth").exists()


def test_a_redirect_never_leaves_https() -> None:
    request = urllib.request.Request("https://example.org/net.pth")
    for url in ("http://example.org/net.pth", "http://127.0.0.1/net.pth"):
        with pytest.raises(ModelError, match="no https address"):
            _Redirects().redirect_request(request, None, 302, "", None, url)  # type: ignore[arg-type]


def test_redirects_in_a_circle_end(tmp_path: Path) -> None:
    with serving(failing(500)) as server:
        server.script[:] = [redirect(f"{server.url}/again")]
        with pytest.raises(ModelError, match="answers 302"):
            fetch(published(server.url), tmp_path)
        assert len(server.requests) <= _Redirects.max_redirections + 2


@pytest.mark.parametrize("url", ["http://example.org", "ftp://example.org", "file:///etc", "https://", "nothing"])
def test_only_https_is_fetched(tmp_path: Path, url: str) -> None:
    with pytest.raises(ModelError, match="no https address"):
        fetch(published(url), tmp_path)


@pytest.mark.parametrize("filename", ["../net.pth", "/net.pth", "a/b", "..", ".hidden", "", "a\nb", "a" * 200])
def test_a_name_cannot_leave_the_folder(tmp_path: Path, filename: str) -> None:
    with pytest.raises(ModelError, match="cannot be the name"):
        fetch(published("https://example.org", filename=filename), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def closed() -> Iterator[str]:
    """Address of a port of this machine that nobody listens at."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def test_a_machine_that_does_not_answer(tmp_path: Path, closed: str) -> None:
    with pytest.raises(ModelError, match=r"cannot reach 127\.0\.0\.1") as caught:
        fetch(published(closed), tmp_path)
    assert "https_proxy" in caught.value.hint


def test_the_environment_names_the_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed: str) -> None:
    with serving(whole(CONTENT)) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        fetch(published(closed), tmp_path)
        assert proxy.requests[0][0] == f"{closed}/net.pth"
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        with pytest.raises(ModelError, match="cannot reach"):
            fetch(published(closed, filename="other.pth"), tmp_path)
        assert len(proxy.requests) == 1


def test_two_pulls_at_once(tmp_path: Path) -> None:
    """The second is told of the first, which is not disturbed."""
    started, go_on = threading.Event(), threading.Event()

    def slow(handler: Handler) -> None:
        started.set()
        go_on.wait()
        whole(CONTENT)(handler)

    fetched: list[Fetched] = []
    with serving(slow) as server:
        first = threading.Thread(target=lambda: fetched.append(fetch(published(server.url), tmp_path)))
        first.start()
        started.wait()
        with pytest.raises(ModelError, match="another process"):
            fetch(published(server.url), tmp_path)
        go_on.set()
        first.join()
        assert not fetch(published(server.url), tmp_path).downloaded
    assert [f.downloaded for f in fetched] == [True]


def test_what_has_no_documented_hash_is_pinned_by_the_first_pull(tmp_path: Path) -> None:
    with serving(whole(CONTENT), whole(CONTENT), whole(b"replaced")) as server:
        first = fetch(published(server.url, sha256=""), tmp_path)
        assert first.newly_pinned and pins.pinned(tmp_path, f"{server.url}/net.pth") == HASH
        first.path.unlink()
        assert not fetch(published(server.url, sha256=""), tmp_path).newly_pinned
        first.path.unlink()
        with pytest.raises(ModelError, match="pinned to") as caught:
            fetch(published(server.url, sha256=""), tmp_path)
    assert HASH in caught.value.message and not first.path.exists()


def test_pins_are_kept_apart_and_never_changed(tmp_path: Path) -> None:
    odd = 'https://example.org/"quoted" \N{GREEK SMALL LETTER ALPHA}\\'
    pins.pin(tmp_path, odd, HASH)
    pins.pin(tmp_path, "https://example.org/b", "0" * 64)
    assert pins.pinned(tmp_path, odd) == HASH and pins.pinned(tmp_path, "https://example.org/c") == ""
    with pytest.raises(ModelError, match="pinned to another file"):
        pins.pin(tmp_path, odd, "1" * 64)
    assert pins.pinned(tmp_path, odd) == HASH


@pytest.mark.parametrize(
    "text", ["[pins", "pins = 3", '[pins]\na = "short"', "[pins]\na = 3", "\udcff", "a" * 9 + "=["]
)
def test_damaged_pins_stop_a_pull(tmp_path: Path, text: str) -> None:
    (tmp_path / pins.FILE).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ModelError, match=r"pins\.toml"):
        fetch(published("https://example.org", sha256=""), tmp_path)


def test_a_disk_that_refuses_is_told(tmp_path: Path) -> None:
    (tmp_path / "downloads").write_text("a file where the folder should be")
    with pytest.raises(ModelError, match=r"cannot store net\.pth"):
        fetch(published("https://example.org"), tmp_path)
