"""``python -m tinygrad_cnn``: compile all kernels in advance, or examine the installation."""

from __future__ import annotations

import argparse
import sys


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tinygrad_cnn", description="Tools for this installation.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("doctor", help="say what CPU, threads, BLAS and cache are in use and what is wrong with them")
    commands.add_parser("warmup", help="compile every kernel now, so that no first training step waits for it")
    command = parser.parse_args(arguments).command
    return _doctor() if command == "doctor" else _warmup()


def _doctor() -> int:
    from .diagnostics import examine

    report = examine()
    print(report)
    return 1 if report.problems else 0


def _warmup() -> int:
    from .warmup import warmup

    try:
        from tqdm import tqdm
    except ImportError:
        print("warmup: the progress bar needs tqdm: pip install 'tinygrad_cnn[examples]'", file=sys.stderr)
        return 2
    warmup(progress=tqdm)
    return 0


if __name__ == "__main__":
    sys.exit(main())
