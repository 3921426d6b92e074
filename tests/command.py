"""The command in a process of its own."""

import sys

#: With Ctrl-C and hang-ups on: a shell starts its background without, and `nohup` all.
CTRL_C = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "signal.signal(signal.SIGHUP, signal.SIG_DFL)"
)
COMMAND = [sys.executable, "-c", f"{CTRL_C}; from subspace_nn.cli import main; main()"]
