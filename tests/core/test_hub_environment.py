"""What the environment says about the network: each variable that cannot be used is named."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from talm_core.data.hub import environment

KNOWN = (
    "HF_ENDPOINT", "SSLKEYLOGFILE", "REQUEST_METHOD", "HF_TOKEN_PATH", "HF_HOME", "HF_HUB_CACHE",
    "HUGGINGFACE_HUB_CACHE", "HF_DATASETS_CACHE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN",
    "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", *environment.CERTIFICATES,
)  # fmt: skip
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name in KNOWN or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


def said() -> list[str]:
    return [str(problem) for problem in environment.problems()]


def test_nothing_is_said_of_an_environment_that_says_nothing() -> None:
    assert said() == []
    assert environment.endpoint() == "https://huggingface.co"
    assert environment.offline() == ""
    assert environment.proxy_of("https://huggingface.co/x") == ("", "")


GOOD = [
    {"HF_ENDPOINT": ""},
    {"HF_ENDPOINT": "https://hf-mirror.com/"},
    {"HF_ENDPOINT": " http://[::1]:8080/hub "},
    {"HTTPS_PROXY": "proxy.example:3128", "no_proxy": "localhost,::1,.example,10.0.0.0/8, ,*.x"},
    {"http_proxy": "http://user:p%40ss@10.0.0.1:3128/"},
    {"HTTP_PROXY": "socks4://old:1", "http_proxy": ""},
    {"HTTP_PROXY": "nonsense://x", "REQUEST_METHOD": "GET"},
    {"ALL_PROXY": "socks4://a:1", "NO_PROXY": "a,*"},
    {"HF_HUB_OFFLINE": "yes", "TRANSFORMERS_OFFLINE": "0"},
    {"HF_TOKEN": "hf_abc\n", "HF_HUB_ETAG_TIMEOUT": "30"},
    {"HF_HOME": "/tmp/not/there/yet", "HF_TOKEN": "x", "HF_TOKEN_PATH": "/nowhere"},
]


@pytest.mark.parametrize("values", GOOD, ids=str)
def test_what_can_be_used_is_not_complained_of(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, str]
) -> None:
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    assert said() == []
    # The library that reads them takes them as well.
    httpx2.Client().close()


BAD = [
    ("HF_ENDPOINT", "127.0.0.1:8000", "must begin with http:// or https:// (such as https://hug"),
    ("HF_ENDPOINT", "localhost", "must begin with http:// or https://"),
    ("HF_ENDPOINT", "ftp://huggingface.co", "must begin with http:// or https://"),
    ("HF_ENDPOINT", "http//huggingface.co", "must begin with http:// or https://"),
    ("HF_ENDPOINT", "http://", "names no host"),
    ("HF_ENDPOINT", "http:///datasets", "names no host"),
    ("HF_ENDPOINT", "http://a..b", "names no host"),
    ("HF_ENDPOINT", "http://300.1.1.1", "names no host"),
    ("HF_ENDPOINT", "http://host:port", "is no address: Port could not be cast"),
    ("HF_ENDPOINT", "http://host:70000", "is no address: Port out of range"),
    ("HF_ENDPOINT", "http://[::1", "is no address: Invalid IPv6 URL"),
    ("HF_ENDPOINT", "http://a b", "must be an address without spaces"),
    ("HF_ENDPOINT", "http://host?x=1", "must be an address without ? and #"),
    ("http_proxy", "socks4://h:1", "must begin with http:// or https:// or socks5:// or socks5h"),
    ("HTTPS_PROXY", "http://:3128", "names no host"),
    ("ALL_PROXY", "://", "must begin with http://"),
    ("HTTP_PROXY", "http://h:99999", "is no address"),
    ("Https_Proxy", "http://h:0", "names the port 0"),
    ("SSL_CERT_FILE", "/nowhere/ca.pem", "there is no such file"),
    ("SSL_CERT_FILE", "/tmp", "there is no such file"),
    ("SSL_CERT_FILE", "/etc/passwd", "has no certificates in it"),
    ("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem", "there is no such file"),
    ("CURL_CA_BUNDLE", "/dev/null", "there is no such file"),
    ("SSL_CERT_DIR", "/nowhere:/nor/here", "there is no such directory"),
    ("SSLKEYLOGFILE", "/nowhere/keys", "cannot be written"),
    ("HF_HUB_ETAG_TIMEOUT", "soon", "must be a whole number"),
    ("HF_HUB_DOWNLOAD_TIMEOUT", "1.5", "must be a whole number"),
    ("HF_DATASETS_IN_MEMORY_MAX_SIZE", "1GB", "must be a number"),
    ("TQDM_MININTERVAL", "often", "must be a number"),
    ("HF_HUB_OFFLINE", "offline", "must be 1 or 0"),
    ("TRANSFORMERS_OFFLINE", "2", "must be 1 or 0"),
    ("HF_HOME", "/dev/null", "is no directory"),
    ("HF_HUB_CACHE", "/dev/null/hub", "is no directory"),
    ("HF_TOKEN_PATH", "/nowhere/token", "there is no file that can be read"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "told"), BAD, ids=str)
def test_what_cannot_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    monkeypatch.setenv(name, value)
    (only,) = said()
    assert only.startswith(f"{name} = {value!r}: {told}")


def test_a_socks_proxy_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5h://127.0.0.1:9")
    monkeypatch.setattr(environment, "find_spec", lambda _: None)
    needs = "a SOCKS proxy needs the package socksio, which is not installed"
    remedy = "(pip install socksio, or unset it)"
    assert said() == [f"ALL_PROXY = 'socks5h://127.0.0.1:9': {needs} {remedy}"]
    monkeypatch.setattr(environment, "find_spec", lambda _: object())
    assert said() == []


def test_passwords_and_tokens_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks4://me:secret@h:1")
    monkeypatch.setenv("HF_TOKEN", "hf_se cret")
    assert len(said()) == 2
    assert "secret" not in " ".join(said())
    assert "cret'" not in " ".join(said())
    monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@h:1")
    assert environment.proxy_of("https://huggingface.co") == ("HTTPS_PROXY", "http://h:1")


def test_the_proxy_that_is_used_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://all:1")
    monkeypatch.setenv("HTTP_PROXY", "http://capitals:1")
    monkeypatch.setenv("http_proxy", "small:1")
    monkeypatch.setenv("NO_PROXY", "inside.example")
    assert environment.proxy_of("http://a.example") == ("http_proxy", "http://small:1")
    assert environment.proxy_of("https://a.example") == ("ALL_PROXY", "http://all:1")
    assert environment.proxy_of("https://inside.example") == ("", "")


@pytest.mark.skipif(not Path(BUNDLE).is_file(), reason="no certificates here")
def test_the_certificates_of_other_programs_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", BUNDLE)
    context = environment.certificates()
    assert context is not None
    assert context.cert_store_stats()["x509_ca"] > 0
    # The HTTP library reads this one itself, and it counts.
    monkeypatch.setenv("SSL_CERT_FILE", BUNDLE)
    assert environment.certificates() is None


@pytest.mark.parametrize(
    "command",
    [["prepare-data", "tinystories"], ["train-tokenizer", "--name", "x", "--corpus", "fineweb"]],
)
def test_it_is_said_before_anything_starts(tmp_path: Path, command: list[str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "talm_core.cli", *command, "--workspace", str(tmp_path)],
        env=os.environ | {"HF_ENDPOINT": "localhost:1", "HTTPS_PROXY": "socks4://h:1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 2
    told = re.findall(r"^talm: (\w+) = ", ended.stderr, re.MULTILINE)
    assert told == ["HF_ENDPOINT", "HTTPS_PROXY"]
    assert not list(tmp_path.iterdir())
