"""Running a graph."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.engine.documents import document

from dioptra_worker import engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


class Recorder:
    """An observer, a plugin caller and a saver that write down what happens."""

    def __init__(self, **plugins: Callable[..., Any]) -> None:
        self.plugins = plugins
        self.events: list[Any] = []
        self.warnings: list[str] = []
        self.keeps_arguments = True

    def step_started(self, step: str, task: str, index: int, total: int) -> None:
        """Write it down."""
        self.events.append(("start", step, task, index, total))

    def step_finished(self, step: str, seconds: float) -> None:
        """Write it down."""
        assert 0 <= seconds < 60
        self.events.append(("end", step))

    def warning(self, message: str) -> None:
        """Write it down."""
        self.warnings.append(message)

    def call(self, plugin: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Call the function of that name, or do nothing."""
        if self.keeps_arguments:
            self.events.append(("call", plugin, args, kwargs))
        function = self.plugins.get(plugin.rpartition(".")[2])
        return function(*args, **kwargs) if function else None

    def save(self, artifact: engine.ArtifactOutput, contents: Any, /) -> None:
        """Write it down."""
        self.events.append(("save", artifact.name, contents))

    def run(
        self,
        config: Mapping[str, Any],
        parameters: Mapping[str, Any] | None = None,
        artifacts: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        """Compile and run a document."""
        engine.run(
            engine.compile(config),
            parameters=parameters or {},
            artifacts=artifacts or {},
            call=self.call,
            save=self.save,
            observer=self,
        )

    @property
    def calls(self) -> list[Any]:
        """The positional and keyword arguments of each call."""
        return [event[2:] for event in self.events if event[0] == "call"]


def test_steps_run_in_order_and_hand_values_on() -> None:
    """Each step is announced, called with values, and reported when it has returned."""
    recorder = Recorder(make=lambda: 20, pair=lambda: ("a", 22), add=lambda *a: sum(a))
    recorder.run(
        document(
            """
            graph:
              sum: {add: [$one, $two.right]}
              two: {pair: []}
              one: {make: []}
              nested: {take: [[{k: $sum}, $$x]]}
            """,
            tasks=document()["tasks"]
            | {"make": {"plugin": "p.m.make", "outputs": {"it": "number"}}},
        )
    )
    assert recorder.events == [
        ("start", "two", "pair", 1, 4),
        ("call", "pkg.mod.pair", [], {}),
        ("end", "two"),
        ("start", "one", "make", 2, 4),
        ("call", "p.m.make", [], {}),
        ("end", "one"),
        ("start", "sum", "add", 3, 4),
        ("call", "pkg.mod.add", [20, 22], {}),
        ("end", "sum"),
        ("start", "nested", "take", 4, 4),
        ("call", "pkg.mod.take", [[{"k": 42}, "$x"]], {}),
        ("end", "nested"),
    ]


def test_arguments_are_passed_in_the_style_they_are_written_in() -> None:
    """Positions stay positions, and names stay names."""
    recorder = Recorder()
    recorder.run(
        document("graph: {one: {task: add, args: 1, kwargs: {third: 3, second: 2}}}")
    )
    assert recorder.calls == [([1], {"third": 3, "second": 2})]


def test_parameters_win_over_defaults() -> None:
    """A job's value is used where there is one, also when it is None."""
    recorder = Recorder()
    config = document(
        """
        parameters: {a: 1, b: {default: 2}, c: {type: any}, d: $a, e: ~}
        graph: {one: {take: [[$a, $b, $c, $d, $e]]}}
        """
    )
    recorder.run(config, {"b": None, "c": 3})
    assert recorder.calls == [([[1, None, 3, "$a", None]], {})]
    assert recorder.warnings == []


def test_values_that_nobody_declared_are_warned_about() -> None:
    """Parameters that the entrypoint does not have are not used, with one warning."""
    recorder = Recorder()
    recorder.run(document(), {"x": 1, "y": 2})
    assert recorder.warnings == [
        (
            "The job gives a value for 'x' and 'y', which the entrypoint"
            " does not declare"
            " under 'parameters'; it is not used."
        )
    ]


def test_everything_that_is_missing_is_named_at_once() -> None:
    """Parameters without a value and artifacts that are needed are one error."""
    config = document(
        """
        parameters: {a: {type: any}, b: {type: any}, c: 1}
        artifact_inputs: {m: {x: any}, unused: {x: any}}
        graph: {one: {take: $m}}
        """
    )
    recorder = Recorder()
    with pytest.raises(engine.MissingInput) as caught:
        recorder.run(config)
    assert caught.value.parameters == ("a", "b")
    assert caught.value.artifacts == ("m",)
    assert str(caught.value) == (
        "The job gives no value for 'a' and 'b', which has no default"
        " in 'parameters' and"
        " no artifact for 'm' of 'artifact_inputs'. Set it when creating the job."
    )
    assert recorder.events == []
    with pytest.raises(engine.MissingInput, match=r"gives no artifact for 'm'"):
        recorder.run(config, {"a": 1, "b": 2})
    with pytest.raises(engine.MissingInput, match=r"no default in 'parameters'\. Set"):
        recorder.run(config, {"a": 1}, {"m": {"x": 1}})


def test_input_artifacts_are_values() -> None:
    """An artifact's outputs are referred to like those of a step."""
    recorder = Recorder()
    recorder.run(
        document(
            """
            artifact_inputs: {m: {net: any}, d: [{x: any}, {y: any}]}
            graph: {one: {take: [[$m, $m.net, $d.y]]}}
            """
        ),
        artifacts={"m": {"net": 1}, "d": {"x": 2, "y": 3}},
    )
    assert recorder.calls == [([[1, 1, 3]], {})]


def test_artifacts_are_saved_as_soon_as_their_contents_are_there() -> None:
    """Saving follows the steps, and the declaration among those that are ready."""
    recorder = Recorder(make=lambda: "made", pair=lambda: ("l", "r"))
    recorder.run(
        document(
            """
            parameters: {p: 1}
            artifact_inputs: {a: {x: any}}
            graph: {one: {make: []}, two: {pair: []}}
            artifact_outputs:
              late: {contents: $two.right, task: {name: S}}
              early: {contents: $one, task: {name: S}}
              given: {contents: $a, task: {name: S}}
              text: {contents: $$p, task: {name: S}}
              parameter: {contents: $p, task: {name: S}}
              again: {contents: $two.left, task: {name: S}}
            """
        ),
        artifacts={"a": {"x": "given"}},
    )
    assert [
        event[:3] for event in recorder.events if event[0] in {"save", "start"}
    ] == [
        ("save", "given", "given"),
        ("save", "text", "$p"),
        ("save", "parameter", 1),
        ("start", "one", "make"),
        ("save", "early", "made"),
        ("start", "two", "pair"),
        ("save", "late", "r"),
        ("save", "again", "l"),
    ]


class Big:
    """A value whose end can be watched."""


@pytest.mark.parametrize(
    ("graph", "alive"),
    [
        ("a: {make: []}, b: {watch: []}, c: {watch: []}", [False, False]),
        ("a: {make: []}, b: {take: $a}, c: {watch: [], dependencies: b}", [False]),
        (
            (
                "a: {make: []}, b: {watch: [], dependencies: a}, c: {take: $a},"
                " d: {watch: [], dependencies: c}"
            ),
            [True, False],
        ),
        ("a: {make: []}, b: {take: [[$a, $a.it]]}, c: {watch: []}", [False]),
    ],
)
def test_outputs_are_let_go_after_their_last_use(graph: str, alive: list[bool]) -> None:
    """A value is not kept for steps that do not refer to it."""
    made: list[weakref.ref[Big]] = []
    seen: list[bool] = []

    def make() -> Big:
        value = Big()
        made.append(weakref.ref(value))
        return value

    def watch() -> None:
        gc.collect()
        seen.append(made[0]() is not None)

    tasks = document()["tasks"] | {"watch": {"plugin": "pkg.mod.watch"}}
    recorder = Recorder(make=make, watch=watch)
    recorder.keeps_arguments = False
    recorder.run(document(f"graph: {{{graph}}}", tasks=tasks))
    assert seen == alive


def test_an_artifact_holds_its_contents_until_it_is_saved() -> None:
    """What an artifact and a later step refer to is there for both."""
    recorder = Recorder(make=lambda: 7)
    recorder.run(
        document(
            """
            graph: {one: {make: []}, two: {take: $one}}
            artifact_outputs: {out: {contents: $one, task: {name: S}}}
            """
        )
    )
    assert ("save", "out", 7) in recorder.events
    assert recorder.calls[-1] == ([7], {})


def numbers() -> Iterator[int]:
    """Yield numbers for ever."""
    number = 0
    while True:
        yield number
        number += 1


@pytest.mark.parametrize(
    ("returned", "passed", "warning"),
    [
        (("a", 1), ["a", 1], None),
        (["a", 1], ["a", 1], None),
        (iter(["a", 1]), ["a", 1], None),
        (numbers(), [0, 1], None),
        (
            ("a", 1, 2),
            ["a", 1],
            "declares 2 outputs, but 'pkg.mod.pair' returned 3 values.",
        ),
        (
            {"a": 1, "b": 2},
            ["a", "b"],
            (
                "declares its outputs as a list, and 'pkg.mod.pair' returned a"
                " mapping: its keys"
                " are the outputs."
            ),
        ),
        (
            "xy",
            ["x", "y"],
            (
                "declares its outputs as a list, and 'pkg.mod.pair' returned a"
                " string: its"
                " letters are the outputs."
            ),
        ),
    ],
)
def test_a_list_of_outputs_is_taken_apart(
    returned: Any, passed: list[Any], warning: str | None
) -> None:
    """Values get the names by position; another number of them is warned about."""
    recorder = Recorder(pair=lambda: returned)
    recorder.run(
        document("graph: {one: {pair: []}, two: {take: [[$one.left, $one.right]]}}")
    )
    assert recorder.calls[-1] == ([passed], {})
    assert recorder.warnings == ([f"Step 'one' {warning}"] if warning else [])


@pytest.mark.parametrize("returned", [["a"], iter(["a"])])
def test_an_output_that_was_not_produced_cannot_be_referred_to(returned: Any) -> None:
    """With fewer values than names the run goes on until somebody needs one."""
    config = document("graph: {one: {pair: []}, two: {take: $one.left}}")
    recorder = Recorder(pair=lambda: returned)
    recorder.run(config)
    assert recorder.warnings == [
        "Step 'one' declares 2 outputs, but 'pkg.mod.pair' returned 1 value."
    ]


@pytest.mark.parametrize(
    ("graph", "who"),
    [
        (
            "one: {pair: []}, two: {take: [[$one.right]]}",
            "Step 'two', positional argument 1",
        ),
        ("one: {pair: []}, two: {take: {it: $one.right}}", "Step 'two', argument 'it'"),
    ],
)
def test_a_missing_output_names_who_needs_it(graph: str, who: str) -> None:
    """The error says which argument of which step refers to what is not there."""
    recorder = Recorder(pair=lambda: ["a"])
    with pytest.raises(engine.OutputError) as caught:
        recorder.run(document(f"graph: {{{graph}}}"))
    assert str(caught.value) == (
        f"{who}: '$one.right' has no value: 'one' declares the outputs"
        " 'left' and 'right'"
        " but produced 1 value."
    )
    assert (caught.value.source, caught.value.output) == ("one", "right")


def test_a_missing_output_of_an_artifact_input_is_an_error() -> None:
    """An input artifact with fewer values than declared fails where it matters."""
    config = document(
        """
        artifact_inputs: {a: {x: any}}
        artifact_outputs: {out: {contents: $a, task: {name: S}}}
        """
    )
    with pytest.raises(engine.OutputError, match="Artifact 'out': '\\$a' has no value"):
        Recorder().run(config, artifacts={"a": {}})


def test_what_cannot_be_taken_apart_names_the_step() -> None:
    """A list of outputs needs a value that can be iterated."""
    with pytest.raises(engine.OutputError) as caught:
        Recorder(pair=lambda: 5).run(document("graph: {one: {pair: []}}"))
    assert str(caught.value) == (
        "Step 'one' declares the outputs 'left' and 'right' as a list,"
        " so 'pkg.mod.pair'"
        " must return a list or tuple; it returned an integer. To keep the value whole,"
        " declare one output that is not in a list."
    )
    assert isinstance(caught.value.__cause__, TypeError)


def test_a_single_output_is_the_whole_value() -> None:
    """An output that is not in a list is what the plugin returned, even a list."""
    recorder = Recorder(make=lambda: [1, 2])
    recorder.run(document("graph: {one: {make: []}, two: {take: $one}}"))
    assert recorder.calls[-1] == ([[1, 2]], {})


def test_a_task_without_outputs_may_return_anything() -> None:
    """What a task returns beyond its declaration is not looked at."""
    recorder = Recorder(take=lambda _: 5)
    recorder.run(document("graph: {one: {take: 1}}"))
    assert recorder.warnings == []


def test_a_failing_plugin_names_step_task_and_plugin() -> None:
    """The error shows where it happened, and the plugin's exception is its cause."""
    failure = ValueError("bad data")

    def make() -> None:
        raise failure

    with pytest.raises(engine.StepError) as caught:
        Recorder(make=make).run(document())
    assert str(caught.value) == (
        "Step 'one' failed: task 'make' (pkg.mod.make) raised ValueError: bad data"
    )
    assert caught.value.__cause__ is failure
    error = caught.value
    assert (error.step, error.task, error.plugin, error.argument) == (
        "one",
        "make",
        "pkg.mod.make",
        None,
    )


def add(first: int, *, second: int) -> int:
    """Add two numbers."""
    return first + second


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        ("{add: {first: 1, second: 2, third: 3}}", "third"),
        ("{task: add, args: [1], kwargs: {second: a}}", None),
        ("{task: add, args: [], kwargs: {second: 1, first: ''}}", None),
    ],
)
def test_an_argument_that_the_function_refuses_is_named(
    call: str, argument: str | None
) -> None:
    """When Python will not call the function, the error says because of what."""
    tasks = document()["tasks"]
    tasks = tasks | {
        "add": {
            "plugin": "pkg.mod.add",
            "inputs": [
                {"first": "any"},
                {"second": "any"},
                {"name": "third", "type": "any", "required": False},
            ],
        }
    }
    with pytest.raises(engine.StepError) as caught:
        Recorder(add=add).run(document(f"graph: {{one: {call}}}", tasks=tasks))
    assert caught.value.argument == argument


def test_a_missing_argument_is_named() -> None:
    """A parameter that the declaration forgot is the argument."""
    with pytest.raises(engine.StepError) as caught:
        Recorder(make=lambda: add(1)).run(document())  # type: ignore[call-arg]
    assert caught.value.argument is None, "another function refused it"

    def make(data: Any) -> Any:
        return data

    with pytest.raises(engine.StepError) as caught:
        Recorder(make=make).run(document())
    assert caught.value.argument == "data"


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_a_request_to_stop_passes_through(stop: type[BaseException]) -> None:
    """What is no Exception is neither wrapped nor swallowed."""

    def make() -> None:
        raise stop

    with pytest.raises(stop):
        Recorder(make=make).run(document())


ARTIFACT = document("artifact_outputs: {out: {contents: x, task: {name: S}}}")


def test_an_artifact_that_cannot_be_saved_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The error names the artifact and its task, and what went wrong is its cause."""
    recorder = Recorder()
    failure = OSError("disk full")

    def save(_artifact: engine.ArtifactOutput, _contents: Any) -> None:
        raise failure

    monkeypatch.setattr(recorder, "save", save)
    with pytest.raises(engine.ArtifactError) as caught:
        recorder.run(ARTIFACT)
    assert str(caught.value) == (
        "Artifact 'out' (artifact task 'S') could not be saved: OSError: disk full"
    )
    assert caught.value.__cause__ is failure
    assert (caught.value.artifact, caught.value.task) == ("out", "S")


def test_errors_of_the_engine_are_not_wrapped_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A caller that knows better may raise an error of the engine itself."""
    failure = engine.OutputError("no", source="x", output=None)

    def fail(*_: Any) -> None:
        raise failure

    recorder = Recorder(make=fail)
    with pytest.raises(engine.OutputError) as caught:
        recorder.run(document())
    assert caught.value is failure
    monkeypatch.setattr(recorder, "save", fail)
    with pytest.raises(engine.OutputError) as caught:
        recorder.run(ARTIFACT)
    assert caught.value is failure
