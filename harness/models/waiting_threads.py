"""How the processor's threads wait for each other: asleep, so that busy neighbours do not stop them."""

import os


def let_threads_sleep() -> None:
    """Ask OpenMP for threads that sleep while they wait; works until torch is first imported.

    By default a thread that waits for another spins, which is quicker for small products on free cores.
    Where other processes want the cores too, it spins away the very time slice in which the other
    thread could have come to its end: `benchmarks/neighbours.py` measures how much longer a run takes,
    both ways. No sum is divided otherwise, so no number changes. Whoever has cores alone sets
    OMP_WAIT_POLICY=ACTIVE, which stays.

    Source: `OMP_WAIT_POLICY` in OpenMP 5.2, section 21.1.8; `GOMP_SPINCOUNT` in libgomp's manual.
    """
    if "GOMP_SPINCOUNT" not in os.environ:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
