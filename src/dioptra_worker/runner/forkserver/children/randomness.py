"""Fresh randomness for each fork: what was seeded at an import would be shared.

A library that seeds a generator when it is imported gives a cold process numbers of its
own, and all forks of one fork server the same. `RULES` says how each library's state is
made fresh; `shared` looks, before the first job, for generators that no rule covers,
and has those renewed that it knows how to renew.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import os
import random
import subprocess
import sys
from types import (
    BuiltinMethodType,
    FrameType,
    FunctionType,
    MethodType,
    ModuleType,
)
from typing import TYPE_CHECKING, Any

from dioptra_worker.common.processes.interpreter import python

if TYPE_CHECKING:
    from collections.abc import (
        Callable,
        Collection,
        Iterable,
        Iterator,
        Mapping,
        Sequence,
    )

COLD_TIMEOUT = 300.0
"""Seconds that a cold process may take to import what is preloaded."""


def fresh_seed() -> int:
    """64 bits from the system."""
    return int.from_bytes(os.urandom(8))


def reseed(seed: int, names: Collection[str] | None = None) -> None:
    """Make every generator fresh that this process may share with others.

    Libraries that are not imported yet seed themselves when they are.

    Args:
        seed: Up to 64 bits; equal seeds give equal numbers, wherever a library lets
            them be set.
        names: Those of these modules only; None is all that are loaded.
    """
    for name, rule in RULES.items():
        module = sys.modules.get(name)
        if module is None or (names is not None and name not in names):
            continue
        try:
            rule(module, seed)
        except Exception as error:  # noqa: BLE001 - another version of that library
            print(f"{name} could not be given a fresh seed: {error!r}", file=sys.stderr)  # noqa: T201
    if names is not None:
        return
    seeds = random.Random(seed)  # noqa: S311 - spreads what the system gave
    for generator in _without_a_rule:
        _renew(generator, seeds.getrandbits(64))


_without_a_rule: list[Any] = []
"""Generators that no rule covers; found once, in the process that is forked."""


def _renew(generator: Any, seed: int) -> None:
    """Seed a generator of a kind that is known."""
    if isinstance(generator, random.Random):
        generator.seed(seed)
    elif hasattr(generator, "manual_seed"):  # PyTorch's
        generator.manual_seed(seed)
    elif hasattr(generator, "seed"):  # NumPy's RandomState
        generator.seed([seed & 0xFFFFFFFF, seed >> 32])
    else:  # NumPy's Generator, or what is below it
        bits = getattr(generator, "bit_generator", generator)
        bits.state = type(bits)(seed).state


def _random(module: Any, seed: int) -> None:
    module.seed(seed)


def _numpy(module: Any, seed: int) -> None:
    module.seed([seed & 0xFFFFFFFF, seed >> 32])  # new generators ask the system


def _torch(module: Any, seed: int) -> None:
    # Where CUDA is not used yet, this is remembered for its first use.
    module.manual_seed(seed)


def _tensorflow(module: Any, seed: int) -> None:
    # Made anew at its next use, from the system's entropy.
    del seed
    module.global_generator = None


def _keras(module: Any, seed: int) -> None:
    del seed
    module.set_global_attribute("global_seed_generator", None)


def _cupy(module: Any, seed: int) -> None:
    del seed
    module.reset_states()


def _polars(module: Any, seed: int) -> None:
    module.set_random_seed(seed)


def _sympy(module: Any, seed: int) -> None:
    module.rng.seed(seed)


def _uuid(module: Any, seed: int) -> None:
    del seed
    module._last_timestamp = None  # noqa: SLF001 - nothing else sets it
    node = module._node  # noqa: SLF001
    if node is not None and node >> 40 & 1:  # drawn, for want of a network card
        module._node = None  # noqa: SLF001


def _tempfile(module: Any, seed: int) -> None:
    del seed
    module._name_sequence = None  # noqa: SLF001 - made anew when it is needed


def _ssl(module: Any, seed: int) -> None:
    del seed
    module.RAND_add(os.urandom(32), 32.0)


RULES: Mapping[str, Callable[[Any, int], None]] = {
    "random": _random,
    "numpy.random": _numpy,
    "torch": _torch,
    "tensorflow.python.ops.stateful_random_ops": _tensorflow,
    "keras.src.backend.common.global_state": _keras,
    "cupy.random._generator": _cupy,
    "polars": _polars,
    "sympy.core.random": _sympy,
    "uuid": _uuid,
    "tempfile": _tempfile,
    "ssl": _ssl,
}
"""How a library's state is made fresh, by the module that has it. JAX has none."""


def shared(preloaded: Sequence[str]) -> str | None:
    """Why forks of this process would draw the same numbers; None if they will not.

    The states of two forks are compared. What is equal in both and different in a cold
    process is random by intention and would be shared by all jobs: it is renewed from
    now on, if it is of a known kind. What is equal in a cold process, too, is a
    library's constant.

    Args:
        preloaded: Modules that were imported for the operator.
    """
    found = list(_generators())
    suspects = set(_equal_in_two_forks(found))
    if not suspects:
        return None
    cold = _states_of_a_cold_process(preloaded)
    if cold is None:
        return "whether forks would share random numbers could not be found out"
    suspects -= cold.keys()
    shared_by_forks = [
        (generator, where)
        for generator, where in found
        if _digest(generator) in suspects
    ]
    for generator, _ in shared_by_forks:
        with contextlib.suppress(Exception):  # of a kind that we do not know
            _renew(generator, fresh_seed())
            _without_a_rule.append(generator)
    left = _equal_in_two_forks(shared_by_forks)
    if left:
        where = min(where for state, where in left.items())
        return f"forks would share the random numbers of {where}"
    return None


def _equal_in_two_forks(found: Sequence[tuple[object, str]]) -> dict[str, str]:
    """Who holds generators of this process that are in one state in two of its forks.

    Looked for once, here, as a fork would copy all of the memory that it looks through.
    """
    first, second = _states_of_a_fork(found), _states_of_a_fork(found)
    return {state: where for state, where in first.items() if state in second}


def states() -> dict[str, str]:
    """Who holds each generator of this process, by a digest of the generator's state.

    Whatever is alive is looked at, since a generator may be held by a class, by an
    object or by a function's default as well as by a module.
    """
    return _states_of(_generators())


def _states_of(found: Iterable[tuple[object, str]]) -> dict[str, str]:
    kept: dict[str, str] = {}
    for generator, where in found:
        kept.setdefault(_digest(generator), where)
    return kept


def _digest(generator: object) -> str:
    return hashlib.sha256(_state(generator)).hexdigest()


def _generators() -> Iterator[tuple[object, str]]:
    seen: dict[int, object] = {}
    for name, module in list(sys.modules.items()):
        if not isinstance(module, ModuleType):
            continue
        for attribute, value in list(vars(module).items()):
            # A method such as random.random, bound to what it draws from, counts.
            holder = getattr(value, "__self__", value) if _is_bound(value) else value
            if _is_drawing(type(holder)) and id(holder) not in seen:
                seen[id(holder)] = holder
                yield holder, f"{name}.{attribute}"
    everything = gc.get_objects()
    own = {id(seen), id(everything)}
    for start in range(0, len(everything), _OWNERS_AT_ONCE):
        values = gc.get_referents(*everything[start : start + _OWNERS_AT_ONCE])
        # By their types first, as there are millions: few of them are looked at.
        kinds = {kind for kind in set(map(type, values)) if _is_drawing(kind)}
        if not kinds:
            continue
        for value in values:
            if type(value) in kinds and id(value) not in seen:
                seen[id(value)] = value
                where = _owner_of(value, own | {id(values)})
                if where not in _RENEWED_BY_THEMSELVES:
                    yield value, where


def _is_bound(value: object) -> bool:
    # By its type: to ask a lazy attribute for its class would import what is behind it.
    return issubclass(type(value), (MethodType, BuiltinMethodType))


def _is_drawing(kind: type) -> bool:
    """Whether objects of a type are generators."""
    return kind.__name__ in _KINDS or issubclass(kind, random.Random)


def _owner_of(generator: object, own: set[int]) -> str:
    """What holds a generator: the nearest class, function or object of a module."""
    layer = [generator]
    for _ in range(_OWNER_DEPTH):
        layer = [
            holder
            for holder in gc.get_referrers(*layer)
            if id(holder) not in own and not isinstance(holder, (FrameType, list))
        ]
        for holder in layer:
            if isinstance(holder, (type, FunctionType)):
                return f"{holder.__module__}.{holder.__qualname__}"
            kind = type(holder)
            if kind.__module__ not in ("builtins", __name__):
                return f"{kind.__module__}.{kind.__qualname__}"
    return "an object of a library"


_OWNERS_AT_ONCE = 1000
_OWNER_DEPTH = 4

_RENEWED_BY_THEMSELVES = {"tempfile._RandomNameSequence"}
"""Holders that notice a fork and draw a generator of their own."""
_KINDS = {
    "Generator",
    "MT19937",
    "PCG64",
    "PCG64DXSM",
    "Philox",
    "RandomState",
    "SFC64",
}
"""Types of generators, of NumPy and PyTorch, beside `random.Random` and its kind."""


def _state(generator: Any) -> bytes:
    """A generator's state; fresh bytes for one without, such as `SystemRandom`."""
    with contextlib.suppress(Exception):  # not what its type's name says
        if isinstance(generator, random.Random):
            return repr(generator.getstate()).encode()
        if hasattr(generator, "bit_generator"):
            return repr(generator.bit_generator.state).encode()
        if hasattr(generator, "get_state"):
            state = generator.get_state()
            tensor = hasattr(state, "numpy")
            return state.numpy().tobytes() if tensor else repr(state).encode()
        return repr(generator.state).encode()
    return os.urandom(8)


def _states_of_a_fork(found: Sequence[tuple[object, str]]) -> dict[str, str]:
    """What a runner would begin with, of these generators."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.close(reading)
            reseed(fresh_seed())
            with open(writing, "w", encoding="utf-8") as file:  # noqa: PTH123
                json.dump(_states_of(_still_held(found)), file)
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, encoding="utf-8") as file:  # noqa: PTH123 - a descriptor
        text = file.read()
    os.waitpid(pid, 0)
    states_there: dict[str, str] = json.loads(text or "{}")
    return states_there


def _still_held(found: Sequence[tuple[object, str]]) -> list[tuple[object, str]]:
    """Without what a rule has dropped, to be made anew when it is needed."""
    alone = (object(), "")
    ours = sys.getrefcount(alone[0])
    return [each for each in found if sys.getrefcount(each[0]) > ours]


def _states_of_a_cold_process(preloaded: Sequence[str]) -> dict[str, str] | None:
    """What a process of its own begins with that has imported the same."""
    program = (
        "import importlib, json, os, sys\n"
        "for name in sys.argv[1:]:\n"
        "    try: importlib.import_module(name)\n"
        "    except Exception: pass\n"
        "from dioptra_worker.runner.forkserver import preload\n"
        "from dioptra_worker.runner.forkserver.children import randomness\n"
        "sys.stdout.write('\\n' + json.dumps(randomness.states()))\n"
        "sys.stdout.flush()\n"
        "os._exit(0)\n"  # before what libraries have to say at the end
    )
    try:
        done = subprocess.run(
            [*python(), "-c", program, *preloaded],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COLD_TIMEOUT,
            check=True,
        )
        found: dict[str, str] = json.loads(done.stdout.rpartition("\n")[2])
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return found
