"""The page on GPUs says what its JSON says."""

import json

from benchmarks import gpu, page


def test_documentation_has_the_committed_results():
    results = json.loads((page.ROOT / "results/gpu-h200.json").read_text("utf-8"))
    text = (page.ROOT / "docs/gpu.md").read_text("utf-8")
    assert gpu.markdown(results) in text
    assert results["environment"]["torch"] in text
    assert results["environment"]["hardware"] in text
