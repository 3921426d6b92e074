import functools
import gzip
import hashlib
import http.server
import re
import shutil
import threading
import time
import tracemalloc
from pathlib import Path

import pytest
import torch

import subspace_nn.tasks.data as data_module
from subspace_nn.common.errors import DataError, InputError
from subspace_nn.tasks.data import Dataset, fashion_mnist, mnist

PACKAGED = Path(data_module.__file__).parent / "mnist"
IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
PUBLISHED = {  # MD5 of the uncompressed files, as published
    IMAGES: "6bbc9ace898e44ae57da46a324031adb",
    LABELS: "a25bea736e30d166cdddb491f175f624",
    TEST_IMAGES: "2646ac647ad5339dbf082846283269ea",
    TEST_LABELS: "27ae3e4e09519cfbb04c329615203637",
}
TEST_LABELS_SHA256 = "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
AGAIN = "Download the file again, or leave out --data to use the packaged copy."


@pytest.fixture(scope="module")
def packaged() -> Dataset:
    return mnist()


@pytest.fixture(scope="module")
def plain() -> dict[str, bytes]:
    return {name: gzip.decompress((PACKAGED / f"{name}.gz").read_bytes()) for name in PUBLISHED}


@pytest.fixture
def folder(tmp_path) -> Path:
    """A copy of the packaged files, for a test to damage."""
    for name in PUBLISHED:
        shutil.copy(PACKAGED / f"{name}.gz", tmp_path)
    return tmp_path


@pytest.fixture
def only_test_labels(monkeypatch):
    """A data set of one small file, so that what is read of the others costs nothing."""
    digests = {TEST_LABELS: TEST_LABELS_SHA256}
    monkeypatch.setitem(data_module._DIGESTS, "mnist", digests)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def same(one: Dataset, other: Dataset) -> bool:
    return one.digest == other.digest and all(
        torch.equal(getattr(getattr(one, split), part), getattr(getattr(other, split), part))
        for split in ("train", "test")
        for part in ("images", "labels")
    )


@pytest.mark.parametrize(
    ("split", "count", "first"),
    [
        pytest.param("train", 60_000, [5, 0, 4, 1, 9], id="train"),
        pytest.param("test", 10_000, [7, 2, 1, 0, 4], id="test"),
    ],
)
def test_packaged_split(packaged, split, count, first):
    part = getattr(packaged, split)
    assert part.images.shape == (count, 28, 28)
    assert part.labels.shape == (count,)
    assert part.images.dtype == part.labels.dtype == torch.uint8
    assert part.labels[:5].tolist() == first
    assert part.labels.unique().tolist() == list(range(10))
    assert (part.images.min(), part.images.max()) == (0, 255)


def test_packaged_name_and_digest(packaged):
    assert packaged.name == "mnist"
    assert re.fullmatch("[0-9a-f]{16}", packaged.digest)


@pytest.mark.parametrize("name", PUBLISHED)
def test_packaged_file_is_the_published_one(plain, name):
    assert hashlib.md5(plain[name], usedforsecurity=False).hexdigest() == PUBLISHED[name]


@pytest.mark.parametrize("name", PUBLISHED)
def test_packaged_file_header_is_deterministic(name):
    assert (PACKAGED / f"{name}.gz").read_bytes()[:10].hex() == "1f8b08000000000002ff"


def test_tensors_are_those_of_the_files(packaged, plain):
    assert bytes(packaged.test.images.flatten().tolist()) == plain[TEST_IMAGES][16:]
    assert bytes(packaged.train.labels.tolist()) == plain[LABELS][8:]


def test_each_load_has_its_own_memory():
    path = PACKAGED / f"{TEST_LABELS}.gz"
    one, other = (data_module._read(path, TEST_LABELS, TEST_LABELS_SHA256) for _ in range(2))
    one[0] = 255
    assert other[0] == 7


@pytest.mark.parametrize("compressed", [True, False], ids=["gz", "plain"])
@pytest.mark.parametrize("spelling", ["-idx", ".idx"])
@pytest.mark.parametrize("place", ["", "raw", "MNIST/raw"], ids=["direct", "raw", "MNIST-raw"])
@pytest.mark.usefixtures("only_test_labels")
def test_layout_is_found(tmp_path, plain, place, spelling, compressed):
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    content = plain[TEST_LABELS]
    path = tmp_path / place / TEST_LABELS.replace("-idx", spelling)
    if compressed:
        path, content = path.with_name(f"{path.name}.gz"), gzip.compress(content, 1)
    path.write_bytes(content)
    tensors, problems = data_module._read_all(tmp_path, data_module._DIGESTS["mnist"])
    assert not problems
    assert tensors[TEST_LABELS][:5].tolist() == [7, 2, 1, 0, 4]


@pytest.mark.parametrize("given", [str, Path], ids=["str", "Path"])
def test_own_folder_is_the_same_data_set(packaged, folder, given):
    assert same(mnist(given(folder)), packaged)


def test_own_folder_may_mix_places_and_spellings(packaged, plain, tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (tmp_path / "raw").mkdir()
    (raw / "train-images.idx3-ubyte").write_bytes(plain[IMAGES])
    shutil.copy(PACKAGED / f"{LABELS}.gz", tmp_path / "raw" / "train-labels.idx1-ubyte.gz")
    # A browser may inflate what it downloads and keep the name.
    (raw / f"{TEST_IMAGES}.gz").write_bytes(plain[TEST_IMAGES])
    (tmp_path / TEST_LABELS).write_bytes(plain[TEST_LABELS])
    assert same(mnist(tmp_path), packaged)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        pytest.param(lambda path: path / "nowhere", "does not exist", id="absent"),
        pytest.param(lambda path: path / "file", "is not a folder", id="a file"),
        pytest.param(lambda path: path / "file" / "x", "cannot be read", id="below a file"),
        pytest.param(lambda path: path / ("x" * 5000), "cannot be read", id="name too long"),
        pytest.param(lambda path: path / "a\0b", "cannot be read", id="null character"),
    ],
)
def test_bad_folder(tmp_path, make, says):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=says) as caught:
        mnist(make(tmp_path))
    assert str(make(tmp_path)) in str(caught.value)
    assert str(caught.value).endswith("or leave out --data to use the packaged copy.")


@pytest.mark.parametrize(
    "present",
    [
        pytest.param([], id="none"),
        pytest.param([TEST_LABELS], id="one"),
        pytest.param([LABELS, TEST_IMAGES, TEST_LABELS], id="three"),
    ],
)
def test_all_missing_files_are_listed(tmp_path, present):
    for name in present:
        shutil.copy(PACKAGED / f"{name}.gz", tmp_path)
    with pytest.raises(DataError) as caught:
        mnist(tmp_path)
    (problem,) = caught.value.problems
    absent = [name for name in PUBLISHED if name not in present]
    assert problem.startswith(f"Missing: {', '.join(absent)}. Looked in {tmp_path}, ")
    assert f"{tmp_path / 'raw'}, {tmp_path / 'MNIST' / 'raw'}" in problem
    assert problem.endswith("Add what is missing, or leave out --data to use the packaged copy.")


@pytest.mark.usefixtures("only_test_labels")
def test_a_folder_in_the_place_of_a_file_is_a_missing_file(tmp_path):
    (tmp_path / TEST_LABELS).mkdir()
    with pytest.raises(DataError, match=f"Missing: {TEST_LABELS}"):
        mnist(tmp_path)


def changed(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def packed(content: bytes) -> bytes:
    return gzip.compress(content, 1)


DAMAGES = [
    # name of the case, what becomes of the plain content, what is said, the size that is said
    ("empty", lambda _: b"", "neither gzip nor IDX", "0"),
    ("one byte", lambda _: b"\x1f", "neither gzip nor IDX", "1"),
    ("not gzip", lambda _: b"<html>Not found</html>", "neither gzip nor IDX", "22"),
    ("gzip of no IDX", lambda _: packed(b"hello"), "its content differs", "5"),
    ("only a gzip header", lambda plain: packed(plain)[:10], "it is truncated", "0"),
    ("half a gzip header", lambda plain: packed(plain)[:5], "it is truncated", "0"),
    ("truncated checksum", lambda plain: packed(plain)[:-1], "it is truncated", "10,008"),
    ("truncated", lambda plain: packed(plain)[:2000], "it is truncated", None),
    ("corrupt stream", lambda plain: packed(plain)[:10] + b"\xff" * 99, "it is corrupt", "0"),
    ("corrupt checksum", lambda plain: changed(packed(plain), -8), "it is corrupt", "10,008"),
    ("rubbish after gzip", lambda plain: packed(plain) + b"rubbish", "it is corrupt", "10,008"),
    ("one bit", lambda plain: packed(changed(plain, 5000)), "its content differs", "10,008"),
    ("one bit, plain", lambda plain: changed(plain, 5000), "its content differs", "10,008"),
    ("one byte short", lambda plain: packed(plain[:-1]), "its content differs", "10,007"),
    ("one byte long", lambda plain: packed(plain + b"\0"), "content differs", "more than 10,008"),
    ("one byte long, plain", lambda plain: plain + b"\0", "content differs", "more than 10,008"),
    ("the other labels", lambda _: b"\0\0\x08\x01" * 15_002, "differs", "more than 10,008"),
]


@pytest.mark.parametrize(
    ("damage", "says", "count"), [case[1:] for case in DAMAGES], ids=[case[0] for case in DAMAGES]
)
@pytest.mark.usefixtures("only_test_labels")
def test_damaged_file(tmp_path, plain, damage, says, count):
    path = tmp_path / f"{TEST_LABELS}.gz"
    path.write_bytes(damage(plain[TEST_LABELS]))
    with pytest.raises(DataError) as caught:
        mnist(tmp_path)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{path} is not the published {TEST_LABELS}: ")
    assert says in problem
    assert f"Expected SHA-256 {TEST_LABELS_SHA256} of 10,008 bytes, got " in problem
    assert count is None or f" of {count} bytes. " in problem
    assert problem.endswith(AGAIN)


@pytest.mark.usefixtures("only_test_labels")
def test_the_digest_got_is_that_of_the_content(tmp_path, plain):
    wrong = changed(plain[TEST_LABELS], 5000)
    (tmp_path / f"{TEST_LABELS}.gz").write_bytes(packed(wrong))
    with pytest.raises(DataError, match=sha256(wrong)):
        mnist(tmp_path)


@pytest.mark.usefixtures("only_test_labels")
def test_an_intact_file_in_several_gzip_members_is_read(tmp_path, plain):
    content = plain[TEST_LABELS]
    (tmp_path / f"{TEST_LABELS}.gz").write_bytes(packed(content[:999]) + packed(content[999:]))
    tensors, _ = data_module._read_all(tmp_path, {TEST_LABELS: TEST_LABELS_SHA256})
    assert bytes(tensors[TEST_LABELS].tolist()) == content[8:]


def test_another_data_set_under_the_same_names_is_refused(folder):
    (folder / f"{LABELS}.gz").write_bytes(packed(b"\0\0\x08\x01\0\0\xea\x60" + bytes(60_000)))
    with pytest.raises(DataError, match=f"is not the published {LABELS}: its content differs"):
        mnist(folder)


def test_all_problems_are_reported_together(folder):
    (folder / f"{IMAGES}.gz").unlink()
    (folder / f"{LABELS}.gz").write_bytes(b"rubbish")
    images = folder / f"{TEST_IMAGES}.gz"
    images.write_bytes(images.read_bytes()[:5000])
    (folder / f"{TEST_LABELS}.gz").write_bytes(packed(bytes(10_008)))
    with pytest.raises(InputError) as caught:
        mnist(folder)
    says = [
        f"Missing: {IMAGES}. ",
        f"{LABELS}: it is neither gzip nor IDX.",
        f"{TEST_IMAGES}: it is truncated.",
        f"{TEST_LABELS}: its content differs.",
    ]
    assert len(caught.value.problems) == len(says)
    assert all(part in problem for part, problem in zip(says, caught.value.problems, strict=True))


@pytest.mark.usefixtures("only_test_labels")
def test_gzip_bomb_is_refused_without_being_inflated(tmp_path):
    member = gzip.compress(bytes(16 << 20))
    (tmp_path / f"{TEST_LABELS}.gz").write_bytes(member * 256)  # 4 GiB in 4 MiB
    tracemalloc.start()
    start = time.perf_counter()
    try:
        with pytest.raises(DataError, match="more than 10,008 bytes"):
            mnist(tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.perf_counter() - start < 2
    assert peak < 4 << 20


@pytest.mark.usefixtures("only_test_labels")
def test_a_large_plain_file_is_not_read_whole(tmp_path):
    with (tmp_path / TEST_LABELS).open("wb") as file:
        file.truncate(8 << 30)  # sparse: takes no room
    with pytest.raises(DataError, match="more than 10,008 bytes"):
        mnist(tmp_path)


@pytest.mark.usefixtures("only_test_labels")
@pytest.mark.parametrize("method", ["open", "is_file"])
def test_unreadable_file(tmp_path, monkeypatch, method):
    path = tmp_path / f"{TEST_LABELS}.gz"
    path.touch()
    original = getattr(Path, method)

    def refuse(self, *args, **kwargs):
        if self == path:
            raise PermissionError(13, "Permission denied", str(path))
        return original(self, *args, **kwargs)

    monkeypatch.setattr(Path, method, refuse)
    with pytest.raises(DataError) as caught:
        mnist(tmp_path)
    assert str(caught.value) == (
        f"{path} cannot be read: Permission denied. "
        "Make it readable, or leave out --data to use the packaged copy."
    )


@pytest.mark.usefixtures("only_test_labels")
def test_unreadable_folder(tmp_path, monkeypatch):
    def refuse(self, **_):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(DataError, match="Permission denied"):
        mnist(tmp_path)


@pytest.mark.usefixtures("only_test_labels")
def test_a_damaged_packaged_copy_is_refused_too(tmp_path, monkeypatch):
    (tmp_path / "tasks" / "mnist").mkdir(parents=True)
    (tmp_path / "tasks" / "mnist" / f"{TEST_LABELS}.gz").write_bytes(b"rubbish")
    monkeypatch.setattr(data_module, "files", lambda _: tmp_path)
    with pytest.raises(DataError, match="it is neither gzip nor IDX") as caught:
        mnist()
    assert str(caught.value).endswith("Download the file again, or install subspace-nn again.")


# Fashion-MNIST is downloaded, here from a server on this machine with the labels of MNIST.


@pytest.fixture
def served(tmp_path, monkeypatch, only_test_labels):  # noqa: ARG001
    """The folder of a server, an empty cache, and no package of Debian."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(QuietHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(data_module, "FASHION_URL", f"http://127.0.0.1:{server.server_port}/")
        monkeypatch.setattr(data_module, "DEBIAN", tmp_path / "nowhere")
        digests = {TEST_LABELS: TEST_LABELS_SHA256}
        monkeypatch.setitem(data_module._DIGESTS, "fashion-mnist", digests)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        yield folder
        server.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def test_fashion_mnist_is_downloaded_once(served, plain, capfd):
    (served / f"{TEST_LABELS}.gz").write_bytes(gzip.compress(plain[TEST_LABELS], 1))
    folder = data_module.find_fashion_mnist()
    assert [path.name for path in folder.iterdir()] == [f"{TEST_LABELS}.gz"]
    assert "cache" in folder.parts
    (served / f"{TEST_LABELS}.gz").unlink()
    assert data_module.find_fashion_mnist() == folder
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "content",
    [b"<html>Sign in</html>", gzip.compress(bytes(10_008)), b""],
    ids=["a page", "another file", "nothing"],  # the time is in what gzip writes
)
def test_a_download_of_something_else_is_refused_and_not_kept(served, content):
    (served / f"{TEST_LABELS}.gz").write_bytes(content)
    with pytest.raises(DataError, match="is not the published t10k-labels"):
        data_module.find_fashion_mnist()
    assert not list(served.parent.glob("cache/**/*.gz"))


def test_without_a_network_the_ways_are_named(served):
    with pytest.raises(DataError, match="dataset-fashion-mnist, or put the files into that folder"):
        data_module.find_fashion_mnist()
    assert not list(served.parent.glob("cache/**/*.gz"))


@pytest.mark.parametrize("name", [TEST_LABELS, f"{TEST_LABELS.replace('-idx', '.idx')}.gz"])
def test_files_that_are_in_the_cache_already_are_used(served, plain, name):
    folder = served.parent / "cache" / "subspace-nn" / "fashion-mnist"
    folder.mkdir(parents=True)
    content = plain[TEST_LABELS]
    (folder / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    assert data_module.find_fashion_mnist() == folder


def test_debians_files_come_first(tmp_path, monkeypatch):
    monkeypatch.setattr(data_module, "DEBIAN", tmp_path)
    assert data_module.find_fashion_mnist() == tmp_path
    with pytest.raises(DataError, match="Missing: train-images") as caught:
        fashion_mnist()
    assert str(caught.value).endswith("or give no folder to have them downloaded.")


def test_a_data_set_prints_in_one_line(packaged):
    assert repr(packaged) == (
        "mnist: 60,000 images of 28 × 28 to train on, 10,000 images of 28 × 28 to test on"
    )


def test_a_path_from_the_home_folder(folder, packaged, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    assert same(mnist(f"~/{folder.name}"), packaged)
