"""Folders, and a hub: a small server on this machine that speaks the Hub's protocol."""

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from torch import nn

import subspace_nn as sn
from subspace_nn import models
from subspace_nn.checkpoint.hub import checkpoint_of
from tests.golden_cases import CASES
from tests.subspace.test_adapters import answers, made, trained

hub = pytest.importorskip("huggingface_hub")


@pytest.mark.parametrize("name", ["hashed", "theta0-base", "buffers", "zoo", "to-int4"])
def test_a_folder_round_trip(name, tmp_path):
    case, folder = CASES[name], tmp_path / "new" / "folder"
    net = case.net()
    sn.save_pretrained(net, folder, dtype=case.dtype, base=case.base)
    assert {p.name for p in folder.iterdir()} == {"omega.safetensors", "config.json", "README.md"}
    again = sn.from_pretrained(folder, case.module())
    if case.dtype is None:
        assert torch.equal(again.theta(), net.theta())
    config = json.loads((folder / "config.json").read_text("utf-8"))
    assert config["dim"] == case.dim
    card = (folder / "README.md").read_text("utf-8")
    assert f"{case.dim:,} free parameters" in card
    assert ("base_model: a-publisher/a-model" in card) == (case.base is not None)


def test_only_the_checkpoint_is_read(tmp_path):
    net = CASES["hashed"].net()
    sn.save_pretrained(net, tmp_path)
    (tmp_path / "config.json").write_text("{")
    (tmp_path / "README.md").write_text("mine")
    assert sn.from_pretrained(tmp_path, CASES["hashed"].module()).dim == 21
    sn.save_pretrained(net, tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"


@pytest.mark.parametrize(
    "source", ["no/such/folder", "/no/such", "../x", "a", "a/b/c", "https://a/b"]
)
def test_what_is_neither_a_folder_nor_a_repository(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(sn.InputError, match="is neither a folder nor a repository's name"):
        sn.from_pretrained(source)
    if source.count("/") != 1:
        with pytest.raises(sn.InputError, match="Expected a repository's name"):
            sn.push_to_hub(CASES["hashed"].net(), source)


def test_a_folder_without_a_checkpoint(tmp_path):
    with pytest.raises(sn.CheckpointError, match="No such file"):
        sn.from_pretrained(tmp_path)


class Hub(BaseHTTPRequestHandler):
    """As much of the protocol as an upload of small files and a download take."""

    repositories: dict = {}  # noqa: RUF012  # one for each server, set by the fixture
    requested: list = []  # noqa: RUF012
    commit = "0123456789abcdef0123456789abcdef01234567"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.requested.append(self.path)
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked.get('organization', 'me')}/{asked['name']}"
            self.repositories.setdefault(name, {})
            self.answer({"url": f"{self.address}/{name}"})
        elif "/preupload/" in self.path:
            files = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False}
                for f in json.loads(body)["files"]
            ]
            self.answer({"files": files})
        elif "/commit/" in self.path:
            name = "/".join(self.path.split("/")[3:5])
            for line in body.splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    content = base64.b64decode(entry["value"]["content"])
                    self.repositories[name][entry["value"]["path"]] = content
            url = f"{self.address}/{name}/commit/{self.commit}"
            self.answer({"commitUrl": url, "commitOid": self.commit})
        else:
            self.answer({}, code=200)

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        self.requested.append(self.path)
        parts = self.path.strip("/").split("/")
        if parts[0] == "api":
            name = "/".join(parts[2:4])
            known = name in self.repositories
            if parts[4:5] == ["tree"]:
                files = self.repositories.get(name, {}).items()
                self.answer([
                    {"type": "file", "path": path, "size": len(content), "oid": "0" * 40}
                    for path, content in files
                ])  # fmt: skip
                return
            self.answer({"id": name, "sha": self.commit, "siblings": []}, 200 if known else 404)
            return
        content = self.repositories.get("/".join(parts[:2]), {}).get("/".join(parts[4:]))
        if content is None:
            self.answer({}, 404, {"X-Error-Code": "RepoNotFound"})
        else:
            tag = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": self.commit}
            self.answer(content, 200, tag)

    def answer(self, content, code=200, headers=None):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(code)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch, tmp_path):
    handler = type("OneHub", (Hub,), {"repositories": {}, "requested": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{running.server_address[1]}"
        for name in ("constants.ENDPOINT", "hf_api.constants.ENDPOINT"):
            monkeypatch.setattr(f"huggingface_hub.{name}", address)
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr("huggingface_hub.hf_api.api.endpoint", address)
        monkeypatch.setattr("huggingface_hub.hf_api.api.token", "hf_of_this_test_alone")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_TOKEN", "hf_of_this_test_alone")
        yield handler
        running.shutdown()


def test_a_hub_round_trip(server):
    net = sn.Subspace(models.build("conv"), 30)
    with torch.no_grad():
        net.omega.copy_(torch.arange(30) / 7)
    url = sn.push_to_hub(net, "someone/digits", dtype="int8")
    assert url.endswith(f"/someone/digits/commit/{Hub.commit}")
    assert {"omega.safetensors", "config.json", "README.md"} == set(
        server.repositories["someone/digits"]
    )
    server.requested.clear()
    again = sn.from_pretrained("someone/digits")
    assert (again.omega - net.omega).abs().max() < 0.05
    assert {path.rsplit("/", 1)[-1] for path in server.requested} == {"omega.safetensors"}


def test_what_the_hub_refuses_is_told(server):
    with pytest.raises(sn.InputError, match="The hub's hf_hub_download failed"):
        sn.from_pretrained("someone/nothing")
    assert server.requested


def test_offline(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for call in (
        lambda: sn.from_pretrained("someone/digits"),
        lambda: sn.push_to_hub(sn.Subspace(nn.Linear(3, 2), 2), "someone/digits"),
    ):
        with pytest.raises(sn.InputError, match=r"The hub's .* failed"):
            call()


def test_without_the_extra(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(sn.InputError, match=r"pip install 'subspace-nn\[hub\]'"):
        sn.from_pretrained("someone/digits")


@pytest.mark.parametrize("name", ["a" * 5000, "a/" * 3000, "a" * 300 + "/b", "no such folder"])
def test_a_name_that_is_no_folder_is_refused(name):
    with pytest.raises(sn.InputError):
        sn.from_pretrained(name)


ADAPTED = {"omega.safetensors", "config.json", "README.md", "adapters"}


def test_a_folder_of_adapters(tmp_path):
    net = trained()
    about = {"base revision": "a1b2", "data": "one|two", "accuracy, %": 97.6}
    sn.save_pretrained(net, tmp_path, base="lab/base", about=about)
    assert {path.name for path in tmp_path.iterdir()} == ADAPTED
    expected = answers(net)
    for names, loaded in (("*", ("a", "b", "c")), ("b", ("b",)), (["c", "a"], ("c", "a"))):
        again = sn.from_pretrained(tmp_path, made().release(), adapters=names)
        assert again.adapters == loaded
        for name, got in answers(again, (*loaded, None)).items():
            assert torch.equal(got, expected[name])
    config = json.loads((tmp_path / "config.json").read_text("utf-8"))
    assert config["adapters"] == ["a", "b", "c"]
    assert config["about"]["accuracy, %"] == 97.6
    card = (tmp_path / "README.md").read_text("utf-8")
    for part in ('module=…, adapters="*")', "| adapters | 3: a, b, c |", "| data | one\\|two |",
                 "| base revision | a1b2 |", f"| torch | {torch.__version__} |"):  # fmt: skip
        assert part in card


def test_each_adapter_of_a_folder_is_a_file_of_its_own(tmp_path):
    net = trained()
    sn.save_pretrained(net, tmp_path, base="lab/base")
    net.save(tmp_path / "alone", adapter="b", base="lab/base")
    assert (tmp_path / "adapters/b.safetensors").read_bytes() == (tmp_path / "alone").read_bytes()
    sn.save_pretrained(trained(("d",)), tmp_path, base="lab/base")
    assert sn.from_pretrained(tmp_path, made().release(), adapters="*").adapters == tuple("abcd")


@pytest.mark.parametrize(("names", "message"), [
    ("../x", "Expected a name of 1 to 128"), ("x", "No such file"), (["a", "a"], "There is an"),
])  # fmt: skip
def test_adapters_that_are_not_there(names, message, tmp_path):
    sn.save_pretrained(trained(), tmp_path, base="lab/base")
    with pytest.raises(sn.InputError, match=message):
        sn.from_pretrained(tmp_path, made().release(), adapters=names)


def test_a_folder_would_hold_its_base_many_times(tmp_path):
    with pytest.raises(sn.InputError, match="Each adapter's file would hold all of θ0"):
        sn.save_pretrained(trained(), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_hub_of_adapters(server):
    net = trained()
    sn.push_to_hub(net, "someone/many", base="lab/base")
    server.repositories["someone/many"]["adapters/.x.safetensors"] = b"a stranger's"
    again = sn.from_pretrained("someone/many", made().release(), adapters="*")
    assert again.adapters == ("a", "b", "c")
    for name, expected in answers(net).items():
        assert torch.equal(answers(again)[name], expected)


@pytest.mark.parametrize(("files", "message"), [
    ([], "The folder .* holds no checkpoint"),
    (["0123456789abcdef.json"], "records of runs, without weights: .* subspace-nn runs .* lists"),
    (["0123456789abcdef.json", "weights/a.safetensors"], "checkpoints there: .*a.safetensors"),
    (["a/omega.safetensors", "b.snn", "c.snn", "d.snn"], r"a/omega.*, … \(4 in all\)"),
], ids=["empty", "records", "kept", "several"])  # fmt: skip
def test_a_folder_without_a_checkpoint_says_what_it_has(files, message, tmp_path):
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(sn.InputError, match=rf"omega.safetensors: cannot be read .*{message}"):
        sn.load(checkpoint_of(tmp_path), nn.Linear(2, 2))
