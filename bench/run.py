"""``make bench``: every benchmark, one after the other, in its usual size. Each makes its own database and drops it."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BENCHMARKS = ("bench.ingest", "bench.posting", "bench.reads", "bench.peers", "bench.draws", "bench.invoices")


def main() -> int:
    """Run them all; the exit status is the number that failed."""
    failed = 0
    for name in BENCHMARKS:
        print(f"\n== {name} ==", flush=True)
        failed += subprocess.run([sys.executable, "-m", name], cwd=ROOT, check=False).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
