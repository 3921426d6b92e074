"""The command `subspace-nn`: verbs as typed functions, nothing else.

A verb is a function in a file of this folder and an entry here. The file is imported when the verb
is called, so that `--help` does not wait for PyTorch.
"""

from subspace_nn.cli._app import app, main, register

__all__ = ["app", "main"]

register("train", "training:train")
register("evaluate", "evaluation:evaluate")
register("show", "evaluation:show")
register("certify", "certify:certify_file")
register("inspect", "checkpoints:inspect")
register("verify", "checkpoints:verify")
register("diff", "checkpoints:diff")
register("convert", "checkpoints:convert")
register("combine", "checkpoints:combine")
register("merge", "checkpoints:merge")
register("export", "checkpoints:export")
register("play", "play:play")
register("projections", "projections:projections")
register("sweep", "sweeps:sweep")
register("runs", "sweeps:list_runs")
register("report", "reports:report")
register("measure", "measure:measure")
register("completion", "completion:completion")
