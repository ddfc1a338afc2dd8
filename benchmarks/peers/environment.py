"""The environment of the peers that are no dependencies of ours: .venv-peers, beside our own .venv.

python -m benchmarks.peers.environment
"""

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / ".venv-peers"
LOCK: Final = Path(__file__).with_name("requirements.lock")
INSTALL_LIMIT_S: Final = 300


def peers_python() -> Path:
    """Its interpreter, after installing just what the lock names if that is not what is there.

    Raises CalledProcessError when uv cannot; what it said is on stderr.
    """
    python, stamp = FOLDER / "bin" / "python", FOLDER / ".installed"
    wanted = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        _uv("venv", "--clear", "--python", sys.executable, str(FOLDER))
        _uv("pip", "sync", "--python", str(python), "--require-hashes", str(LOCK))
        # Last, so that an install that was interrupted is done again.
        stamp.write_text(wanted, encoding="utf-8")
    return python


def _uv(*words: str) -> None:
    program = Path(sys.executable).with_name("uv")
    subprocess.run([str(program), *words, "--quiet"], check=True, timeout=INSTALL_LIMIT_S, stdout=sys.stderr)


if __name__ == "__main__":
    print(peers_python())
