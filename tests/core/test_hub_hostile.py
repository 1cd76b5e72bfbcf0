"""A Hub that is broken or hostile: words, bounded memory, no mixture, no token for others."""

from __future__ import annotations

import dataclasses
import gzip
import io
import json
import os
import random
import resource
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from talm_core.data import sources
from talm_core.data.hub import client, environment, files
from talm_core.data.hub.network import GoneError, Patience
from talm_core.data.resume_state import HubFile, Listing
from talm_core.errors import CorpusError, RunError
from talm_core.jobs.dataset.config import DataConfig
from talm_core.runtime.events import Notice
from talm_core.storage.workspace import Workspace
from tests.core.hub_server import Fault, HubServer, Repo, parquet, serving
from tests.core.test_hub import (
    CONFIG,
    HASTY,
    ID,
    made_workspace,
    make_small,
    prepare,
    some_thing,
    stream_of,
    texts,
)
from tests.core.test_preparation import decode, ids


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with serving() as running:
        make_small(running, monkeypatch)
        running.repos[ID] = some_thing()
        yield running


@pytest.fixture
def other() -> Iterator[HubServer]:
    with serving() as running:
        running.repos[ID] = some_thing()
        yield running


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return made_workspace(tmp_path / "home")


def outside(workspace: Workspace) -> list[str]:
    """What lies beside the workspace, and in it beside its own folders."""
    root = workspace.root
    return [p.name for p in [*root.parent.iterdir(), *root.iterdir()] if p.name not in
            ("home", "tokenizers", "data", "corpora")]  # fmt: skip


# --- what has no end -------------------------------------------------------------------------


def memory() -> int:
    """The most this process has held so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize("path", ["/revision/", "/tree/", "/resolve/"])
def test_a_body_without_an_end_is_left(server: HubServer, workspace: Workspace, path: str) -> None:
    server.faults = [Fault("endless", path, 99)]
    before = memory()
    with pytest.raises(GoneError, match=r"127\.0\.0\.1 sends more than the .* bytes that were exp"):
        prepare(workspace, CONFIG)
    # A file is asked for where it lies before it is read.
    assert server.faults[0].times == 99 - 4 * (2 if path == "/resolve/" else 1)
    # Four times eight megabytes were read, one after the other, and what waits in sockets.
    assert server.bytes_sent < 80 << 20
    assert memory() - before < 64 << 20


def test_a_single_file_without_an_end_is_left(
    server: HubServer, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = sources.SOURCES["tiny-shakespeare"]
    assert isinstance(source, sources.FileSource)
    here = dataclasses.replace(source, url=f"{server.url}/plain/input.txt")
    monkeypatch.setitem(sources.SOURCES, source.name, here)
    config = DataConfig(source="tiny-shakespeare", tokenizer_path="small")
    server.faults = [Fault("endless", "/plain/", 99)]
    with pytest.raises(GoneError, match="sends more than the 1,115,394 bytes that were expected"):
        prepare(workspace, config)
    server.faults = []
    with pytest.raises(RunError, match=r"/plain/input\.txt answers 404: try again later"):
        prepare(workspace, config)


def test_what_unpacks_to_too_much_is_left_out(
    server: HubServer, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("talm_core.data.hub.heritage.MOST_BYTES", 10_000)
    rows = [server.add_blob(f"print({row})\n") for row in range(4)]
    server.blobs[rows[2]] = gzip.compress(b"0" * 10_001)
    server.repos["HuggingFaceTB/smollm-corpus"] = Repo(
        files={"python-edu/0.parquet": parquet(rows, column="blob_id")}
    )
    config = DataConfig(source="smol", ds_sample="python-edu", tokenizer_path="small")
    prepare(workspace, config)
    found = decode(stream_of(workspace.directory_of(config)))
    assert sorted(found) == ["print(0)\n", "print(1)\n", "print(3)\n"]


def endless_pages(server: HubServer, *, circle: bool) -> None:
    def page(query: dict[str, list[str]]) -> tuple[Any, dict[str, str]]:
        number = int(query.get("cursor", ["0"])[0])
        then = 0 if circle else number + 1
        here = f"{server.url}/api/datasets/{ID}/tree/{'0' * 40}?cursor={then}"
        item = {"type": "file", "path": f"{number}.txt", "size": 1}
        return [] if circle else [item], {"Link": f'<{here}>; rel="next"'}

    server.answers["/tree/"] = page


@pytest.mark.parametrize("circle", [False, True])
def test_pages_without_an_end_are_left(
    server: HubServer, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, circle: bool
) -> None:
    endless_pages(server, circle=circle)
    monkeypatch.setattr(files, "_MOST_PAGES", 50)
    told = (
        f"the list of its files that {server.url[7:]} gives has no end after {0 if circle else 50}"
    )
    with pytest.raises(CorpusError, match=told):
        prepare(workspace, CONFIG)
    assert len([path for path in server.asked if "/tree/" in path]) == (2 if circle else 50)


# --- what makes no sense ---------------------------------------------------------------------

ODD = [
    ({"a": 1}, "is no list"),
    ("text", "is no list"),
    ([7], "has an entry 7"),
    ([{"type": "file", "path": "a.parquet"}], "says that 'a.parquet' has None bytes"),
    ([{"type": "file", "path": "a.parquet", "size": -1}], "has -1 bytes"),
    ([{"type": "file", "path": "a.parquet", "size": True}], "has True bytes"),
    ([{"type": "file", "path": "a.parquet", "size": 10**18}], "has 1000000000000000000 bytes"),
    ([{"type": "file", "path": "a.parquet", "size": 1, "lfs": {"size": "9"}}], "has '9' bytes"),
    ([{"type": "file", "path": 7, "size": 1}], "names a file 7"),
    ([{"type": "file", "path": "../../a.parquet", "size": 1}], r"a file '\.\./\.\./a\.parquet'"),
    ([{"type": "file", "path": "/etc/a.parquet", "size": 1}], "a file '/etc/a.parquet'"),
    ([{"type": "file", "path": "x\\..\\a.parquet", "size": 1}], r"a file 'x\\\\\.\.\\\\a"),
    ([{"type": "file", "path": "C:/a.parquet", "size": 1}], "a file 'C:/a.parquet'"),
    ([{"type": "file", "path": "a//b.parquet", "size": 1}], "a file 'a//b.parquet'"),
    ([{"type": "file", "path": "a\x1b[2Jb.parquet", "size": 1}], r"a file 'a\\x1b\[2Jb"),
    ([{"type": "file", "path": "", "size": 1}], "a file ''"),
    ([{"type": "file", "path": "x" * 2000, "size": 1}], "a file 'xxx"),
    ([{"type": "file", "path": "a.parquet", "size": 1}] * 2, "has a.parquet twice"),
]


@pytest.mark.parametrize(("tree", "told"), ODD, ids=[told for _, told in ODD])
def test_a_list_that_makes_no_sense_is_said(
    server: HubServer, workspace: Workspace, tree: Any, told: str
) -> None:
    server.answers["/tree/"] = lambda _: (tree, {})
    with pytest.raises(CorpusError, match=told) as caught:
        prepare(workspace, CONFIG)
    assert str(caught.value).isprintable()
    assert not (workspace.root / "corpora").exists()
    assert outside(workspace) == []


@pytest.mark.parametrize("sha", [None, 7, "", "main", "../../../x", "F" * 40, ["a" * 40]])
def test_a_commit_that_is_none_is_said(server: HubServer, workspace: Workspace, sha: Any) -> None:
    server.answers["/revision/"] = lambda _: ({"id": ID, "sha": sha}, {})
    with pytest.raises(CorpusError, match="the Hub does not say which commit it is"):
        prepare(workspace, CONFIG)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"[" * 200_000, "127.0.0.1 sends JSON that makes no sense: check HF_ENDPOINT"),
        (b'{"sha": ' + b"9" * 5000 + b"}", "sends JSON that makes no sense"),
        (b'{"sha": "\xff"}', "sends JSON that makes no sense"),
        (b"", "sends what is no JSON, 4 times in a row: check HF_ENDPOINT and the network"),
        (b'{"sha": ', "sends what is no JSON, 4 times in a row"),
    ],
)
def test_an_answer_that_is_no_json_is_said(
    server: HubServer, workspace: Workspace, answer: bytes, told: str
) -> None:
    server.answers["/revision/"] = lambda _: (answer, {})
    with pytest.raises(GoneError, match=told):
        prepare(workspace, CONFIG)


def test_a_path_that_leads_elsewhere_is_refused_wherever_it_is_read() -> None:
    good = {"dataset": ID, "revision": "0" * 40, "files": []}
    Listing.model_validate(good)
    for bad in ({"dataset": "../x"}, {"revision": "../x"}, {"revision": "0" * 39}):
        with pytest.raises(ValueError, match="validation error"):
            Listing.model_validate(good | bad)
    for path in ("../x", "/x", "a/../x", "a\\x", "a\nb", "", "a/./b"):
        with pytest.raises(ValueError, match="is no path in a dataset"):
            HubFile(path=path, size=1)


# --- parts of files --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("elsewhere", r"127\.0\.0\.1 sends bytes \d+-\d+ where \d+-\d+ were asked for, 4 times"),
        ("nowhere", r"127\.0\.0\.1 does not say which part of a file it sends, 4 times in a row"),
    ],
)
def test_another_part_than_was_asked_for_is_refused(
    server: HubServer, workspace: Workspace, kind: str, told: str
) -> None:
    server.faults = [Fault(kind, "/resolve/", 10**6)]
    with pytest.raises(GoneError, match=told):
        prepare(workspace, CONFIG)
    assert not list(workspace.directory_of(CONFIG).glob("*.npy"))
    # Once in a while it is borne with, and nothing of it is kept.
    server.faults = [Fault(kind, "/resolve/", 3)]
    prepare(workspace, CONFIG)
    train = [text for number in range(3) for text in texts(number)]
    assert decode(stream_of(workspace.directory_of(CONFIG))) == train


def badly_encoded() -> bytes:
    """A file with 50 rows, of which number 43 is not UTF-8, as some writers make them."""
    rows = [b"caf\xc3\xa9 %d" % row for row in range(50)]
    rows[42] = b"caf\xe9 42"
    column = pa.array(rows, pa.binary())
    table = pa.table({"text": pa.Array.from_buffers(pa.string(), 50, column.buffers())})
    file = io.BytesIO()
    pq.write_table(table, file, row_group_size=30)
    return file.getvalue()


def test_a_row_that_is_not_utf8_is_named_with_what_to_do(
    server: HubServer, workspace: Workspace
) -> None:
    server.repos[ID] = Repo(files={"x.parquet": badly_encoded()})
    host = server.url.removeprefix("http://")
    with pytest.raises(CorpusError) as caught:
        prepare(workspace, CONFIG)
    assert str(caught.value) == (
        f"{ID}/x.parquet: row 43 is not UTF-8 at {host}: byte 3 of it is 0xe9"
        " (set encoding_errors to replace, and tell its publishers)"
    )
    config = CONFIG.model_copy(update={"encoding_errors": "replace"})
    prepare(workspace, config)
    found = decode(stream_of(workspace.directory_of(config)))
    expected = [f"café {row}" for row in range(50)]
    expected[42] = "caf\ufffd 42"
    assert sorted(found) == sorted(expected)


# --- the same commit, other content ----------------------------------------------------------


def versions() -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Two contents under the same names, of the same sizes."""
    dice = random.Random(3)
    made: list[dict[str, bytes]] = []
    rows = [[dice.randbytes(300).hex() for _ in range(40)] for _ in range(2)]
    for version in "ab":
        kept = [
            parquet([f"{version} {text}" for text in part], group=10, compression="none",
                    use_dictionary=False)
            for part in rows
        ]  # fmt: skip
        made.append({f"data/train-{number}.parquet": data for number, data in enumerate(kept)})
    assert {p: len(d) for p, d in made[0].items()} == {p: len(d) for p, d in made[1].items()}
    return made[0], made[1]


def letters(directory: Path) -> str:
    """The version each document is of."""
    return "".join(text[0] for text in decode(stream_of(directory)) if len(text) > 2)


def forget(workspace: Workspace, name: str) -> None:
    """Remove what was downloaded of a file, some of which may have been fetched ahead."""
    for path in (workspace.root / "corpora").rglob(f"*{name}*"):
        path.unlink()


def test_a_file_that_was_begun_and_changed_is_refused(
    server: HubServer, workspace: Workspace
) -> None:
    before, after = versions()
    server.repos[ID] = Repo(files=before)
    part = CONFIG.model_copy(update={"max_tokens": 12_000})
    prepare(workspace, part)
    directory = workspace.directory_of(part)
    assert 10 < len(letters(directory)) < 40
    forget(workspace, "train-1")
    server.repos[ID] = Repo(files=after)
    told = "is another than it was, although the commit is the same|changed while it was read"
    for _ in range(3):
        with pytest.raises(RunError, match=told):
            prepare(workspace, CONFIG)
        assert set(letters(directory)) == {"a"}
    with pytest.raises(RunError, match="delete the dataset and prepare it anew"):
        prepare(workspace, CONFIG)
    # Anew it is of the other version alone.
    anew = CONFIG.model_copy(update={"ds_sample": "anew"})
    prepare(workspace, anew)
    assert letters(workspace.directory_of(anew)) == "b" * 80


def test_blocks_of_a_file_that_changed_are_not_mixed(
    server: HubServer, workspace: Workspace
) -> None:
    before, after = versions()
    server.repos[ID] = Repo(files=before)
    prepare(workspace, CONFIG.model_copy(update={"max_tokens": 6_000, "ds_sample": "part"}))
    forget(workspace, "train-1")
    server.repos[ID] = Repo(files=after)
    with pytest.raises(RunError, match="although the commit is the same"):
        prepare(workspace, CONFIG)
    assert "b" not in letters(workspace.directory_of(CONFIG))
    # What is read anew is of the other version alone; where shards are of the first it is refused.
    anew = CONFIG.model_copy(update={"ds_sample": "anew"})
    for _ in range(3):
        try:
            prepare(workspace, anew)
        except RunError as error:
            assert "although the commit is the same" in str(error)  # noqa: PT017
            shutil.rmtree(workspace.directory_of(anew))
        else:
            break
    assert letters(workspace.directory_of(anew)) == "b" * 80


def test_a_file_that_changes_while_it_is_read_is_not_mixed(
    server: HubServer, workspace: Workspace
) -> None:
    before, after = versions()
    repo = server.repos[ID] = Repo(files=before)
    at = repo.at
    repo.at = lambda revision: after if len(server.parts) > 8 else at(revision)  # type: ignore[method-assign]
    for _ in range(4):
        try:
            prepare(workspace, CONFIG)
        except RunError as error:
            assert "although the commit is the same" in str(error)  # noqa: PT017
        else:
            break
        assert letters(workspace.directory_of(CONFIG)) in {"a" * n for n in range(81)}


def test_without_etags_nothing_of_an_earlier_run_is_taken(
    server: HubServer, workspace: Workspace
) -> None:
    server.etags = False
    before, after = versions()
    server.repos[ID] = Repo(files=before)
    prepare(workspace, CONFIG.model_copy(update={"max_tokens": 6_000, "ds_sample": "part"}))
    server.repos[ID] = Repo(files=after)
    prepare(workspace, CONFIG)
    assert letters(workspace.directory_of(CONFIG)) == "b" * 80


def test_a_block_that_was_damaged_on_the_disk_is_fetched_anew(
    server: HubServer, workspace: Workspace
) -> None:
    prepare(workspace, CONFIG.model_copy(update={"ds_sample": "first"}))
    for path in (workspace.root / "corpora").rglob("*.parquet"):
        with path.open("r+b") as file:
            file.seek(700)
            file.write(bytes(20))
    server.parts.clear()
    prepare(workspace, CONFIG)
    assert sorted(server.parts) == [(f"data/train-{n:05}.parquet", 0) for n in range(3)]
    both = [stream_of(workspace.directory_of(CONFIG.model_copy(update={"ds_sample": name})))
            for name in ("first", None)]  # fmt: skip
    assert both[0] == both[1]


def test_what_lies_in_place_of_a_download_makes_way(
    server: HubServer, workspace: Workspace, tmp_path: Path
) -> None:
    prepare(workspace, CONFIG.model_copy(update={"ds_sample": "first"}))
    precious = tmp_path / "precious"
    precious.write_bytes(b"mine")
    first, second, third = sorted((workspace.root / "corpora").rglob("*.parquet"))
    first.unlink()
    first.symlink_to(precious)
    second.unlink()
    os.link(precious, second)
    third.unlink()
    os.mkfifo(third)
    prepare(workspace, CONFIG)
    assert precious.read_bytes() == b"mine"
    train = [text for number in range(3) for text in texts(number)]
    assert stream_of(workspace.directory_of(CONFIG)) == [
        token for text in train for token in ids(text)
    ]


# --- the token, and who is told it -----------------------------------------------------------


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("HF_TOKEN", "hf_good")
    return "Bearer hf_good"


def test_a_list_that_goes_on_at_another_host_goes_on_without_the_token(
    server: HubServer, other: HubServer, workspace: Workspace, token: str
) -> None:
    item = {"type": "file", "path": "data/train-00000.parquet"}
    size = len(server.repos[ID].files["data/train-00000.parquet"])
    there = f"{other.url}/api/datasets/{ID}/tree/{'0' * 40}"
    server.answers["/tree/"] = lambda _: ([], {"Link": f'<{there}>; rel="next"'})
    other.answers["/tree/"] = lambda _: ([item | {"size": size}], {})
    prepare(workspace, CONFIG)
    assert other.tokens == [None]
    assert set(server.tokens) == {token}
    other.faults = [Fault(401, "/tree/", 9)]
    with pytest.raises(CorpusError, match=r"goes on at 127\.0\.0\.1:\d+, which answers 401 and is"):
        prepare(workspace, CONFIG.model_copy(update={"ds_sample": "again"}))


@pytest.mark.parametrize("path", ["/revision/", "/tree/", "/resolve/"])
def test_a_redirect_to_another_host_goes_without_the_token(
    server: HubServer,
    other: HubServer,
    workspace: Workspace,
    token: str,
    path: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever is asked for there: the question, the list, the file itself."""

    asked: list[str] = []
    send = server.fault

    def fault(asked_path: str) -> Fault | None:
        send(asked_path)
        asked.append(asked_path)
        if path in asked_path:
            return Fault(302, headers={"Location": f"{other.url}{asked_path}?recursive=true"})
        return None

    monkeypatch.setattr(server, "fault", fault)
    prepare(workspace, CONFIG)
    assert set(other.tokens) == {None}
    assert set(server.tokens) == {token}
    train = [text for number in range(3) for text in texts(number)]
    assert decode(stream_of(workspace.directory_of(CONFIG))) == train


def test_an_address_is_the_hubs_only_where_host_and_port_are(token: str) -> None:
    from talm_core.data.hub.network import Network

    hub = client.Client("http://hub.example", Network())
    assert hub.is_own("http://hub.example/x")
    assert hub.is_own("http://HUB.example:80/x")
    assert hub.is_own("https://hub.example/x")
    others = ["http://hub.example:81/x", "http://hub.example.evil/x", "https://hub.example:80"]
    others += ["http://evil/hub.example", "http://hub.example@evil/x", "ftp://hub.example"]
    for other in others:
        assert not hub.is_own(other)
    # Not back to where everybody reads along.
    assert not client.Client("https://hub.example", Network()).is_own("http://hub.example/x")


@pytest.mark.parametrize("path", ["/revision/", "/tree/", "/resolve/"])
@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("{server}{path}", "127.0.0.1 sends from one address to the next without end"),
        ("ftp://evil.example/x", "127.0.0.1 sends to ftp://evil.example/x, which is no address"),
        ("http://[::1/x", "which is no address of the web|cannot|no address"),
        ("http://a:99999/", "which is no address of the web"),
    ],
)
def test_redirects_that_lead_nowhere_are_said_at_once(
    server: HubServer,
    workspace: Workspace,
    path: str,
    where: str,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    send = server.fault
    count = 0

    def fault(asked: str) -> Fault | None:
        nonlocal count
        send(asked)
        if path not in asked:
            return None
        count += 1
        return Fault(302, headers={"Location": where.format(server=server.url, path=asked)})

    monkeypatch.setattr(server, "fault", fault)
    with pytest.raises(RunError, match=told):
        prepare(workspace, CONFIG, patience=Patience(pauses=(3600,)))
    assert count <= 4


# --- networks that are none ------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/revision/", "/tree/", "/resolve/"])
def test_a_login_page_is_said_at_once(server: HubServer, workspace: Workspace, path: str) -> None:
    server.faults = [Fault("page", path, 99)]
    told = r"127\.0\.0\.1 answers with a web page instead of data: open it in a browser"
    with pytest.raises(GoneError, match=told):
        prepare(workspace, CONFIG, patience=Patience(pauses=(3600,)))


def test_behind_a_login_page_what_is_known_is_taken(
    server: HubServer, workspace: Workspace
) -> None:
    prepare(workspace, CONFIG.model_copy(update={"ds_sample": "first"}))
    server.faults = [Fault(511, "", 99, {"Content-Type": "text/html"})]
    events = prepare(workspace, CONFIG)
    told = [event.message for event in events if isinstance(event, Notice)]
    assert len(told) == 1
    assert "web page instead of data: someone/some-thing is taken as it was known" in told[0]


def test_a_firewall_that_answers_is_not_called_a_gate(
    server: HubServer, workspace: Workspace
) -> None:
    server.faults = [Fault(403, "/revision/", 9, {"Content-Type": "text/html"})]
    with pytest.raises(GoneError, match="answers 403 with a web page: a firewall or a login page"):
        prepare(workspace, CONFIG)


def test_where_nothing_was_ever_reached_it_is_given_up_soon(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    told = r"127\.0\.0\.1 cannot be reached \(Connection refused\), 4 times in a row: check the net"
    with pytest.raises(GoneError, match=told):
        prepare(workspace, CONFIG, patience=Patience(pauses=(0.01,) * 3 + (3600,) * 7))


def test_the_proxy_that_cannot_be_reached_is_named(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.example")
    monkeypatch.setenv("http_proxy", "http://me:secret@127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(GoneError) as caught:
        prepare(workspace, CONFIG)
    assert (
        "hub.example cannot be reached through the proxy http://127.0.0.1:1 of http_proxy"
        in str(caught.value)
    )
    assert "secret" not in str(caught.value)


def test_a_proxy_that_wants_a_password_says_so_at_once(
    server: HubServer, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.example")
    monkeypatch.setenv("HTTP_PROXY", server.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    server.faults = [Fault(407, "", 99)]
    with pytest.raises(GoneError, match="of HTTP_PROXY wants a name and a password: put them into"):
        prepare(workspace, CONFIG, patience=Patience(pauses=(3600,)))


def tls(tmp_path: Path) -> ssl.SSLContext:
    """A server's end of TLS, with a certificate of nobody's for this machine."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    names = "subjectAltName=IP:127.0.0.1,DNS:localhost"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += [
        "-subj",
        "/CN=localhost",
        "-addext",
        names,
        "-keyout",
        str(key),
        "-out",
        str(certificate),
    ]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here")
def test_a_certificate_that_is_not_trusted_is_said_with_the_variable(
    server: HubServer, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.socket = tls(tmp_path).wrap_socket(server.socket, server_side=True)
    monkeypatch.setenv("HF_ENDPOINT", server.url.replace("http", "https"))
    for name in environment.CERTIFICATES:
        monkeypatch.delenv(name, raising=False)
    patience = Patience(pauses=(3600,))
    told = "the certificate of 127.0.0.1 is not trusted .self-signed certificate.: name a file of"
    with pytest.raises(GoneError, match=told):
        prepare(workspace, CONFIG, patience=patience)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    with pytest.raises(GoneError, match=r"not trusted .*: SSL_CERT_DIR may be wrong, or name a fi"):
        prepare(workspace, CONFIG, patience=patience)


def test_a_server_without_tls_is_said_at_once(
    server: HubServer, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", server.url.replace("http", "https"))
    with pytest.raises(GoneError, match=r"127\.0\.0\.1 does not speak TLS: does its address begin"):
        prepare(workspace, CONFIG, patience=Patience(pauses=(3600,)))


def test_an_outage_is_told_once_and_then_again(server: HubServer, workspace: Workspace) -> None:
    server.faults = [Fault(503, "/revision/", 2), Fault(503, "/tree/", 3)]
    told = [event for event in prepare(workspace, CONFIG) if isinstance(event, Notice)]
    assert [event.again for event in told] == [False, True, False, True, True]


def test_what_is_known_of_a_listing_is_valid_json(server: HubServer, workspace: Workspace) -> None:
    prepare(workspace, CONFIG)
    position = json.loads((workspace.directory_of(CONFIG) / "position.json").read_text())
    kept = [file["etag"] for file in position["listing"]["files"]]
    assert all(len(etag) == 64 for etag in kept)
    assert HASTY.pauses
