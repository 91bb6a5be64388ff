"""Entrypoints made at random, mostly right ones, and ways to damage them.

Everything comes from one `random.Random`, so a seed always makes the same documents.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from random import Random

BUILT_IN = ("string", "integer", "number", "boolean", "null", "any")
_LITERALS: dict[str, list[Any]] = {
    "string": ["text", "", "$$money", "a.b", "$"],
    "integer": [0, 7, -3],
    "number": [0.5, 2, -1.25],
    "boolean": [True, False],
    "null": [None],
    "any": ["thing", 1, None, [1], {"k": 2}],
}


class Maker:
    """Builds one entrypoint."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.types: dict[str, Any] = {}
        self.sources: list[tuple[str, str]] = []  # references, and their type names

    def entrypoint(self) -> dict[str, Any]:
        """Build a document that is right but for arguments of a wrong type."""
        chance = self.random.random
        for number in range(self.random.randint(0, 4)):
            self.types[f"type{number}"] = self._definition()
        parameters = self._parameters()
        artifact_inputs = self._artifact_inputs()
        tasks = {f"task{n}": self._task(n) for n in range(self.random.randint(1, 4))}
        config: dict[str, Any] = {"tasks": tasks, "graph": self._graph(tasks)}
        if self.types or chance() < 0.5:
            config["types"] = self.types
        if parameters or chance() < 0.5:
            config["parameters"] = parameters
        if artifact_inputs or chance() < 0.3:
            config["artifact_inputs"] = artifact_inputs
        if chance() < 0.6:
            config["artifact_outputs"] = self._artifact_outputs()
        return config

    def _type_name(self) -> str:
        names = [*BUILT_IN, *self.types]
        return self.random.choice(names)

    def _nested(self, depth: int = 0) -> Any:
        if depth > 1 or self.random.random() < 0.7:
            return self._type_name()
        return self._structure(depth + 1)

    def _structure(self, depth: int = 0) -> dict[str, Any]:
        size = self.random.randint(0, 3)
        kind = self.random.choice(["list", "tuple", "mapping", "record", "union"])
        if kind == "list":
            return {"list": self._nested(depth)}
        if kind == "mapping":
            key = self.random.choice(["string", "integer"])
            return {"mapping": [key, self._nested(depth)]}
        if kind == "record":
            return {"mapping": {f"p{n}": self._nested(depth) for n in range(size)}}
        # An empty union is where the peer departs from its own reference.
        members = [self._nested(depth) for _ in range(size or kind == "union")]
        return {kind: members}

    def _definition(self) -> Any:
        simple = [n for n, d in self.types.items() if d is None or "is_a" in d]
        pick = self.random.random()
        if pick < 0.25:
            return None
        if pick < 0.45:
            return {"is_a": self.random.choice([*BUILT_IN, *simple])}
        return self._structure()

    def _literal(self, definition: Any, depth: int = 0) -> Any:
        """Write a value of a type, or something near it."""
        if isinstance(definition, str) and definition in _LITERALS:
            return self.random.choice(_LITERALS[definition])
        if isinstance(definition, str):
            definition = self.types[definition]
        if not isinstance(definition, dict) or "is_a" in definition or depth > 3:
            return self.random.choice(["opaque", 1, None])
        ((kind, inner),) = definition.items()
        if kind == "list":
            size = self.random.randint(0, 3)
            return [self._value(inner, depth + 1) for _ in range(size)]
        if kind == "tuple":
            return [self._value(part, depth + 1) for part in inner]
        if kind == "union":
            return self._value(self.random.choice(inner), depth + 1)
        if isinstance(inner, dict):
            return {k: self._value(part, depth + 1) for k, part in inner.items()}
        keys: list[Any] = ["a", "b"] if inner[0] == "string" else [1, 2]
        picked = keys[: self.random.randint(0, 2)]
        return {key: self._value(inner[1], depth + 1) for key in picked}

    def _value(self, definition: Any, depth: int = 0) -> Any:
        """Write a literal, or refer to something, of the wanted type if possible."""
        if self.sources and self.random.random() < 0.45:
            exact = [name for name, kind in self.sources if kind == definition]
            if exact and self.random.random() < 0.9:
                return self.random.choice(exact)
            if self.random.random() < 0.25:
                return self.random.choice(self.sources)[0]
        return self._literal(definition, depth)

    def _plain(self, definition: Any) -> Any:
        sources, self.sources = self.sources, []
        value = self._literal(definition)
        self.sources = sources
        return value

    def _parameters(self) -> dict[str, Any]:
        parameters: dict[str, Any] = {}
        for number in range(self.random.randint(0, 3)):
            kind = self._type_name()
            name = f"param{number}"
            form = self.random.random()
            if form < 0.4:
                parameters[name] = {"type": kind}
                self.sources.append((f"${name}", kind))
            elif form < 0.7 and kind in BUILT_IN:
                parameters[name] = {"type": kind, "default": self._plain(kind)}
                self.sources.append((f"${name}", kind))
            else:
                simple = self.random.choice(["string", "integer", "number", "null"])
                parameters[name] = self._plain(simple)
                self.sources.append((f"${name}", simple))
        return parameters

    def _artifact_inputs(self) -> dict[str, Any]:
        found = {}
        for number in range(self.random.randint(0, 2)):
            name = f"artifact{number}"
            found[name] = self._outputs(minimum=1)
            self._offer(name, found[name])
        return found

    def _outputs(self, minimum: int = 0) -> Any:
        size = self.random.randint(minimum, 3)
        if size == 1 and self.random.random() < 0.6:
            return {"out0": self._type_name()}
        return [{f"out{n}": self._type_name()} for n in range(size)]

    def _offer(self, name: str, outputs: Any) -> None:
        listed = outputs if isinstance(outputs, list) else [outputs]
        for entry in listed:
            ((output, kind),) = entry.items()
            self.sources.append((f"${name}.{output}", kind))
            if len(listed) == 1:
                self.sources.append((f"${name}", kind))

    def _task(self, number: int) -> dict[str, Any]:
        task: dict[str, Any] = {"plugin": f"pkg.mod.f{number}"}
        inputs: list[dict[str, Any]] = []
        for position in range(self.random.randint(0, 3)):
            name, kind = f"in{position}", self._type_name()
            if self.random.random() < 0.5:
                inputs.append({name: kind})
            else:
                inputs.append({"name": name, "type": kind})
                if self.random.random() < 0.5:
                    inputs[-1]["required"] = self.random.random() < 0.5
        if inputs or self.random.random() < 0.3:
            task["inputs"] = inputs
        outputs = self._outputs()
        if outputs:
            task["outputs"] = outputs
        return task

    def _graph(self, tasks: dict[str, Any]) -> dict[str, Any]:
        graph: dict[str, Any] = {}
        for number in range(self.random.randint(1, 5)):
            name = f"step{number}"
            task = self.random.choice(list(tasks))
            step = self._call(task, tasks[task])
            outputs = tasks[task].get("outputs", [])
            if self.random.random() < 0.25:
                outputs, step = self._swap(number, task, tasks, step)
            if graph and self.random.random() < 0.25:
                step["dependencies"] = self._dependencies(list(graph))
            graph[name] = step
            self._offer(name, outputs)
        items = list(graph.items())
        if self.random.random() < 0.3:
            self.random.shuffle(items)
        return dict(items)

    def _swap(
        self, number: int, task: str, tasks: dict[str, Any], step: dict[str, Any]
    ) -> tuple[Any, dict[str, Any]]:
        outputs = tasks[task].get("outputs", [])
        listed = outputs if isinstance(outputs, list) else [outputs]
        kinds = [next(iter(entry.values())) for entry in listed]
        names = [f"swapped{position}" for position in range(len(kinds))]
        swap = {"?outputs": names, "first": step}
        if self.random.random() < 0.3:
            swap["second"] = self._call(task, tasks[task])
        renamed = [{n: k} for n, k in zip(names, kinds, strict=True)]
        return renamed, {f"?swap{number}": swap}

    def _dependencies(self, steps: list[str]) -> Any:
        if self.random.random() < 0.4:
            return self.random.choice(steps)
        return self.random.sample(steps, self.random.randint(0, len(steps)))

    def _call(self, name: str, task: dict[str, Any]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for declared in task.get("inputs", []):
            if "name" in declared:
                key, kind = declared["name"], declared["type"]
                if not declared.get("required", True) and self.random.random() < 0.5:
                    continue
            else:
                ((key, kind),) = declared.items()
            values[key] = self._value(kind)
        split = self.random.randint(0, len(values))
        keys = list(values)
        if keys[:split] != [f"in{n}" for n in range(split)]:
            split = 0
        args = [values[key] for key in keys[:split]]
        kwargs = {key: values[key] for key in keys[split:]}
        return self._written(name, args, kwargs)

    def _written(
        self, name: str, args: list[Any], kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        if args and kwargs:
            return {"task": name, "args": args, "kwargs": kwargs}
        if kwargs:
            return {name: kwargs}
        if len(args) == 1 and not isinstance(args[0], list | dict):
            return self.random.choice([{name: args[0]}, {"task": name, "args": args}])
        if args:
            return {name: args}
        return self.random.choice([{name: []}, {name: {}}, {"task": name}])

    def _artifact_outputs(self) -> dict[str, Any]:
        found = {}
        for number in range(self.random.randint(0, 2)):
            contents = "literal"
            if self.sources and self.random.random() < 0.9:
                contents = self.random.choice(self.sources)[0]
            task: dict[str, Any] = {"name": "Saver"}
            if self.random.random() < 0.4:
                task["args"] = {"format": "csv"}
            found[f"saved{number}"] = {"contents": contents, "task": task}
        return found


def damage(random: Random, config: dict[str, Any]) -> dict[str, Any]:
    """Change a copy of a document in one or two places."""
    changed = copy.deepcopy(config)
    for _ in range(random.choice([1, 1, 1, 2])):
        holders = list(_holders(changed))
        holder, key = random.choice(holders)
        _damage_one(random, changed, holder, key)
    return changed


def _holders(value: Any) -> Any:
    """Yield every container in a value with each of its keys or indices."""
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in list(pairs):
            yield value, key
            yield from _holders(item)


def _damage_one(random: Random, root: Any, holder: Any, key: Any) -> None:
    words = sorted({w for w in _words(root) if w})
    word = random.choice(words)
    action = random.randrange(9)
    if action == 0:
        del holder[key]
    elif action == 1 and isinstance(holder, dict):
        new = random.choice([word, f"{key}x", str(key)[1:], f"a.{key}"])
        items = [(new if k == key else k, v) for k, v in holder.items()]
        holder.clear()
        holder.update(items)
    elif action == 2:
        other, other_key = random.choice(list(_holders(root)))
        holder[key] = copy.deepcopy(other[other_key])
    elif action == 3:
        holder[key] = random.choice([None, 1, 2.5, True, "", "word", *_containers()])
    elif action == 4:
        holder[key] = random.choice([word, f"${word}", f"${word}.out0", f"$${word}"])
    elif action == 5 and isinstance(holder, list):
        holder.insert(key, copy.deepcopy(holder[key]))
    elif action == 6:
        holder[key] = [holder[key]]
    elif action == 7 and isinstance(holder, dict):
        holder[word] = copy.deepcopy(holder[key])
    elif action == 8 and isinstance(holder, dict):
        items = list(holder.items())
        random.shuffle(items)
        holder.clear()
        holder.update(items)


def _containers() -> list[Any]:
    return [[], {}, [1], {"a": 1}, [None, "word"]]


def _words(value: Any) -> Any:
    if isinstance(value, str):
        yield value
        yield from (part for part in value.lstrip("$").split(".") if part)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _words(key)
            yield from _words(item)
    elif isinstance(value, list):
        for item in value:
            yield from _words(item)
