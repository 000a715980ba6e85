"""How fast is pslref, against PyTorch and against what the machine can do? (docs/benchmarks.md)."""

import os

for library in ("OPENBLAS", "MKL", "OMP"):  # one thread each; read when NumPy is first imported
    os.environ[f"{library}_NUM_THREADS"] = "1"
