"""The page in a real browser: its own engine against PyTorch, file by file and image by image."""

import base64
import hashlib
import json
import re

import torch

import subspace_nn as sn
from subspace_nn import models
from subspace_nn.play import look, packaged, page
from subspace_nn.tasks.classifier import as_input
from subspace_nn.tasks.data import mnist
from tests.browser import needs_chromium, result_of

IMAGES = 200

#: What the page's own code says of each file: fingerprints, a digest of θ, and logits.
PROBE = """
<script id="probe" type="application/json">%s</script>
<script>
addEventListener("load", async () => {
  const { files, images } = JSON.parse(document.getElementById("probe").textContent);
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const pixels = bytes(images);
  const out = [];
  for (const file of files) {
    await play.take(new File([bytes(file)], "mine.safetensors"));
    const problem = document.getElementById("problem").textContent;
    if (problem) { out.push({ problem }); continue; }
    const { net } = play.current();
    const logits = [];
    for (let i = 0; i < pixels.length; i += 784) {
      const image = Float32Array.from(pixels.subarray(i, i + 784), (v) => v / 255);
      logits.push(Array.from(play.put(image)));
    }
    const theta = SubspaceNN.digest(new Uint8Array(net.theta.buffer));
    const guess = document.getElementById("guess").textContent;
    out.push({ checks: net.checks, theta, logits, guess });
  }
  const result = document.createElement("pre");
  result.id = "result";
  result.textContent = JSON.stringify(out);
  document.body.append(result);
});
</script>
</body>"""


def run_in_browser(folder, files, images):
    """Open the page headless, hand it the files, and return what it computed."""
    given = json.dumps(
        {
            "files": [base64.b64encode(content).decode() for content in files],
            "images": base64.b64encode(bytes(images.flatten().tolist())).decode(),
        }
    )
    return result_of(page().replace("</body>", PROBE % given), folder)


def checkpoint(
    folder, name, model, dim, seed, dtype=None, *, init=None, suffix="", levels=None, **options
):
    module = models.build(model)
    if init is not None:
        models.initialise_2017(module, init)
    net = sn.Subspace(module, dim=dim, seed=seed, **options)
    with torch.no_grad():
        net.omega.copy_(torch.randn(dim, generator=torch.Generator().manual_seed(seed % 1000)))
        if levels:
            net.omega.round_().clamp_(-(levels // 2), levels // 2).mul_(0.375)
    path = folder / f"{name}{suffix}"
    net.save(path, dtype=dtype)
    return path


CASES = {
    "conv": ("conv", 1000, 0),
    "largest seed": ("conv", 3, 2**64 - 1),
    "seed above 2^53": ("conv", 300, 2**53 + 1, "int4"),
    "all weights": ("conv", 21840, 3),
    "one": ("conv", 1, 3),
    "fc": ("fc", 1000, 5, "int8"),
    "fc bfloat16": ("fc", 10_000, 1, "bfloat16"),
    "float16": ("conv", 100, 7, "float16"),
    "coded": ("conv", 1000, 0, "coded"),
    "coded, fc": ("fc", 3000, 2**64 - 1, "coded"),
    "coded, weights of 2017": ("conv", 50, 2, "coded", {"init": 3}),
    "compact": ("conv", 1000, 0, "coded", {"suffix": ".snn"}),
    "compact, five levels": ("fc", 700, 2**53 + 1, "coded", {"suffix": ".snn", "levels": 5}),
    "compact, one": ("conv", 1, 3, "coded", {"suffix": ".snn", "scale": "none"}),
    "compact, counts halved": ("fc", 100_000, 1, "coded", {"suffix": ".snn", "levels": 3}),
    "unscaled": ("conv", 50, 2, None, {"scale": "none"}),
    "weights of 2017": ("conv", 50, 2, None, {"init": 3}),
    "weights of 2017, unscaled": ("fc", 50, 2, None, {"init": 3, "scale": "none"}),
}


@needs_chromium
def test_the_browser_has_the_bits_and_the_answers_of_pytorch(tmp_path):
    paths = []
    for number, (model, dim, seed, *rest) in enumerate(CASES.values()):
        dtype, options = [*rest, None, None][:2]
        paths.append(checkpoint(tmp_path, f"{number}", model, dim, seed, dtype, **(options or {})))
    first = base64.b64decode(packaged()[0]["file"])
    damaged = bytearray(paths[0].read_bytes())
    damaged[-1] ^= 1
    foreign = tmp_path / "foreign"
    sn.Subspace(models.build("lenet"), dim=5).save(foreign)
    other = checkpoint(tmp_path, "other", "conv", 8, 0, projection="hadamard")
    stages = sn.Subspace(models.build("conv"), dim=5)
    stages.next_stage(seed=1)
    stages.save(tmp_path / "stages")
    compact = bytearray(paths[list(CASES).index("compact")].read_bytes())
    odd = [bytes(damaged), foreign.read_bytes(), other.read_bytes(), b"", b"no file" * 10]
    odd += [(tmp_path / "stages").read_bytes(), bytes(compact[:40])]
    compact[-5] ^= 1
    odd += [bytes(compact)]
    test = mnist().test.images[:IMAGES]
    got = run_in_browser(tmp_path, [first, *(p.read_bytes() for p in paths), *odd], test)

    (tmp_path / "packaged").write_bytes(first)
    for path, found in zip([tmp_path / "packaged", *paths], got[: -len(odd)], strict=True):
        assert all(here == file for here, file in found["checks"].values()), path
        net = sn.load(path).eval()
        theta = net.theta().detach()
        want = hashlib.sha256(theta.numpy().tobytes()).hexdigest()[:16]
        assert found["theta"] == want, path
        with torch.no_grad():
            logits = net(as_input(test))
        torch.testing.assert_close(torch.tensor(found["logits"]), logits, rtol=0, atol=1e-4)
        assert found["guess"] == str(int(logits[-1].argmax()))
    problems = [found["problem"] for found in got[-len(odd) :]]
    for problem, word in zip(
        problems,
        ["damaged", "lenet", "hadamard", "short", "safetensors", "stage", "short", "damaged"],
        strict=True,
    ):
        assert word in problem


def test_the_packaged_nets_are_what_a_look_at_their_files_gives(tmp_path):
    net = packaged()[3]
    path = tmp_path / "net"
    path.write_bytes(base64.b64decode(net["file"]))
    assert look(path) == net


def test_the_page_needs_nothing_from_outside():
    text = page()
    assert not re.findall(r'(?:src|href)\s*=\s*"(?!data:)', text)
    assert "http" not in re.sub(r'<script id="nets".*?</script>', "", text, flags=re.DOTALL)


def test_a_folder_stands_for_the_net_in_it(command, tmp_path):
    net = sn.Subspace(models.build("fc"), 3)
    net.save(tmp_path / "omega.safetensors")
    code, out, err = command("play", tmp_path, "--out", tmp_path / "mine.html")
    assert (code, err) == (0, "")
    assert str(tmp_path / "mine.html") in out


def test_a_file_that_the_page_cannot_read_is_refused_before_it_is_written(command, tmp_path):
    stages = sn.Subspace(models.build("conv"), dim=5)
    stages.next_stage(seed=1)
    nets = {
        "a net": sn.Subspace(models.build("fc-16"), 3),
        "a kind": sn.Subspace(models.build("fc"), 3, projection="hadamard"),
        "a scale": sn.Subspace(models.build("conv"), 30, scale="learned"),
        "a part": sn.Subspace(models.build("conv"), 3, exclude="*.bias"),
        "a dtype": sn.Subspace(models.build("conv").double(), 3),
        "stages": stages,
        "fine": sn.Subspace(models.build("conv"), 3),
    }
    words = {"a net": "fc-16", "a kind": "hadamard", "a scale": "learned", "a part": "all the "}
    words |= {"a dtype": "float64", "stages": "one stage"}
    for name, net in nets.items():
        net.save(tmp_path / name)
    page = tmp_path / "page.html"
    code, _, err = command("play", *(tmp_path / name for name in nets), "--out", page)
    assert code == 2
    lines = err.splitlines()
    assert len(lines) == len(words)
    for name, word in words.items():
        assert any(f"{tmp_path / name}: the page" in line and word in line for line in lines)
    assert not page.exists()


def test_the_slider_goes_up_in_d_and_in_accuracy():
    nets = packaged()
    assert [net["dim"] for net in nets] == [3, 10, 30, 100, 300, 1000, 3000, 10_000]
    accuracies = [net["accuracy"] for net in nets]
    assert accuracies == sorted(accuracies)
