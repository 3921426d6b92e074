"""The command in a process of its own."""

import sys

#: With Ctrl-C on: a shell starts what runs in its background without.
CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
COMMAND = [sys.executable, "-c", f"{CTRL_C}; from subspace_nn.cli import main; main()"]
