"""P has the same bits everywhere: golden digests of its entries, and of other processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from subspace_nn import testing
from tests.projections.cases import CASES, LARGE, digests

ROOT = Path(__file__).resolve().parents[2]

#: Of a portable P the digest of all its entries in float64, of another one its sketch.
GOLDEN = {
    "hashed": "e8c6fae4143d4f12",
    "hadamard": "ef3de4b441231b9f",
    "kronecker": (-1.90386, -0.7009, -1.60322, 1.14141),
    "fastfood": (1.01442, -0.33933, 0.71984, -1.2621),
    "sparse": "06a22aca243c1628",
    "gaussian": (1.65841, -0.55874, -0.47508, -1.32938),
    "orthonormal": (-0.60554, 0.31466, -0.89751, 0.69252),
    "layerwise": "86611772b4dcc51d",
    "identity": "b25c0f2d23dcedc0",
    "layerwise hashed 31": "231d4a5b2b3035c7",
    "layerwise hashed 5": "779661ff826f0f2b",
    "layerwise hashed 97": "b8853b82396dae18",
    "layerwise hashed 96": "04b1a14892d78d4f",
    "layerwise identity 97": "b25c0f2d23dcedc0",
    "layerwise sparse:layer 31": "825c066d363001c7",
    "layerwise hadamard:1:root 31": "ad6bf313ccc3999e",
    "layerwise fastfood:equal 40": (-0.22938, 0.75059, 1.30107, 2.34356),
    "layerwise kronecker:root 20": (-2.30387, 1.5563, -2.4045, -0.53639),
    "layerwise gaussian:layer:equal 16": (0.99117, 0.48669, 0.47184, -0.35528),
    "layerwise orthonormal:2 32": (-0.21487, 0.92933, -1.24425, -0.08413),
    "sum": (-1.36247, -0.73058, -1.89352, 2.57488),
    "portable sum": "8eaf215e23ee370a",
    "hstack": "80dbb9c302fe968f",
    "hstack of one map twice": "8a31ac95fc8ffe36",
    "block-diagonal": (-0.1505, -0.01808, 0.44112, 0.52619),
    "composition": "644e19bc2352099d",
    "composition of inexact maps": (-0.02456, 0.30873, 0.70654, 1.18549),
    "nested": "fe282dd58ea0ba7b",
    "orthonormal, anchored": (-2.19211, -0.00643, -0.87736, -1.8773),
}


@pytest.mark.parametrize("case", list(CASES))
def test_golden_entries(case):
    P = CASES[case]()
    assert testing.golden(P) == (
        GOLDEN[case] if P.portable else pytest.approx(GOLDEN[case], abs=1e-4)
    )


def test_another_instruction_set_and_number_of_threads_find_the_same():
    variables = {"ATEN_CPU_CAPABILITY": "default", "OMP_NUM_THREADS": "3"}
    command = [sys.executable, "-m", "tests.projections.cases"]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | variables, capture_output=True, check=True, text=True
    )
    report = json.loads(done.stdout)
    assert report["capability"] == "DEFAULT"
    own = {name: digests(make()) for name, make in (CASES | LARGE).items()}
    assert report["found"].keys() == own.keys()
    for name, (fingerprint, *rest) in own.items():
        assert report["found"][name][0] == fingerprint, name
        assert report["found"][name][1:] == pytest.approx(rest, abs=1e-4), name
