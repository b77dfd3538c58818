"""The commands of `clep`, one row each: what a command takes, what its help says, and what it calls.

To add a command, add a row to `COMMANDS` and a function that calls its pipeline. Pipelines load torch, so they are
imported only when a command runs.
"""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from clep import config, interrupts, named_parts, parts, temporary
from clep.bench.cases import UPDATES, every
from clep.catalogue import SECTIONS, Catalogue, catalogue
from clep.chosen import check_chosen, refuse_ignored
from clep.config import Config
from clep.destinations import check_file, check_folder
from clep.errors import ConfigError, within
from clep.scaffold import KINDS as SCAFFOLDS
from clep.schema import meaning


class Printable(Protocol):
    """What a command returns.

    More attributes are used if a result has them: `failed` decides the exit code, `failures` are lines for stderr,
    `tracking_uri` is the MLflow store of the runs, `parent_run_id` or `run_id` says which one to show, and `stay` is
    called when all is printed. A result that is a context manager is printed in its block.
    """

    def to_text(self) -> str:
        """The result for a reader."""
        ...

    def to_json(self) -> Any:
        """The result as plain containers."""
        ...


@dataclass(frozen=True)
class Argument:
    """An argument of a command, as `argparse.ArgumentParser.add_argument` takes it."""

    name: str
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Command:
    """A command.

    Attributes:
        name: the word after `clep`.
        help: what it does, in one sentence.
        prints: what it prints, and what else to know.
        usage: its positional arguments, as typed.
        examples: command line -> what it does.
        arguments: what it takes.
        call: calls the pipeline with the parsed arguments and returns the result.
        keys: keys of the configuration that matter most for it; those in `HINTS` stand for several.
        hint: a line below the printed text, with arguments filled in.
    """

    name: str
    help: str
    prints: str
    usage: str
    examples: Mapping[str, str]
    arguments: Sequence[Argument]
    call: Callable[[argparse.Namespace], Any]
    keys: tuple[str, ...] = ()
    hint: str = ""

    def meanings(self) -> dict[str, str]:
        """Each of its keys -> what it means."""
        return {key: HINTS.get(key) or meaning(key) for key in self.keys}


HINTS = {
    "strategy.NAME.KEY": "a parameter of a strategy; `clep show strategies=NAME` prints them all",
    "stream, network": "what to learn and with what; names from `clep list`",
}
"""Entries among the keys of a command that stand for several keys."""


@dataclass(frozen=True)
class Shown:
    """A composed configuration, for `clep show`."""

    config: Config

    def to_json(self) -> dict[str, Any]:
        """Plain containers."""
        return config.to_dict(self.config)

    def to_text(self) -> str:
        """YAML that `clep run` accepts again."""
        return config.to_yaml(self.config).rstrip()


def run(arguments: argparse.Namespace) -> Any:
    """Train one set of strategies with one seed."""
    composed = _ready(_composed(arguments))
    return _loaded("clep.pipelines.class_incremental").run(composed)


def resume(arguments: argparse.Namespace) -> Any:
    """Go on with a run that was stopped."""
    run_id, changes = _config_and_changes(arguments.items)
    _answering(config.tracking_in(changes).uri)
    pipeline = _loaded("clep.pipelines.resume")
    return pipeline.resume(run_id or "", changes)


def fork(arguments: argparse.Namespace) -> Any:
    """Go on from a run with other settings, as a new run."""
    run_id, changes = _config_and_changes(arguments.items)
    if run_id is None:
        raise ConfigError(
            "run: give the id of the run to go on from, as in `clep fork RUN_ID --after 2 learner.lr=0.01`"
        )
    _answering(config.tracking_in(changes).uri)
    pipeline = _loaded("clep.pipelines.fork")
    return pipeline.fork(run_id, arguments.after, changes)


def compare(arguments: argparse.Namespace) -> Any:
    """Run the cells of a comparison over its seeds, or what a stored one lacks."""
    if arguments.into or arguments.resume:
        return _extend(arguments)
    source, changes = _with_engine(arguments)
    composed = config.compose(source, changes)
    refuse_ignored(composed, changes)
    check_chosen(source, changes, composed, cells=True)
    config.cells_of(composed)  # refuses what makes no sense before torch is loaded
    _ready(composed)
    with _workers_importing(composed):
        pipeline = _loaded("clep.pipelines.compare")
        return pipeline.compare(composed, resume=arguments.resume is not None)


def _extend(arguments: argparse.Namespace) -> Any:
    """Go on with a stored comparison."""
    name, changes = _with_engine(arguments)
    if arguments.into and arguments.resume is not None:
        raise ConfigError("--into: it runs what is missing too, so remove --resume")
    how: Literal["into", "resume"] = "into" if arguments.into else "resume"
    if name is not None:
        raise ConfigError(f"--{how}: a stored comparison has a configuration of its own; remove `{name}`")
    from clep.comparison.extending import extended

    stored = extended(arguments.into or arguments.resume, changes, how)
    with _workers_importing(stored.config):
        pipeline = _loaded("clep.pipelines.compare")
        return pipeline.extend(stored)


def report(arguments: argparse.Namespace) -> Any:
    """Collect stored runs and write their page."""
    uri = _store_in([item for item in arguments.items if "=" in item], "`clep report` only reads")
    ids = [item for item in arguments.items if "=" not in item]
    ids += [run_id for run_id in (arguments.runs or "").split(",") if run_id]
    check_folder("--output", arguments.output)
    pipeline = _loaded("clep.pipelines.report")
    _close_departed(uri)
    return pipeline.run(
        ids,
        uri=uri,
        experiment=arguments.experiment,
        condition=arguments.filter,
        mixed=arguments.mixed,
        baseline=arguments.baseline,
        columns=[name for name in arguments.columns.split(",") if name],
        output=arguments.output,
    )


def reproduce(arguments: argparse.Namespace) -> Any:
    """Run the cells of a claim over its seeds and write its table."""
    name, changes = _with_engine(arguments)
    if name is None:
        claims_there = ", ".join(config.builtin("claim"))
        raise ConfigError(f"reproduce: name a claim: {claims_there}, or a path that ends in .yaml")
    from clep.claims.claim import read

    claim = read(config.find("claim", name), name)
    cells = list(claim.composed(changes, small=arguments.small))  # refuses what makes no sense before torch is loaded
    check_folder("--output", arguments.output)
    _ready(cells[0][1])
    options = {"small": arguments.small, "output": arguments.output, "figure": arguments.figure}
    options |= {"stored": arguments.stored, "missing": arguments.missing}
    with nullcontext() if arguments.stored else _workers_importing(cells[0][1]):
        pipeline = _loaded("clep.pipelines.reproduce")
        return pipeline.run(claim, changes, **options)


def tune(arguments: argparse.Namespace) -> Any:
    """Search a strategy set's hyperparameters and write the best configuration."""
    composed = _ready(_composed(arguments))
    check_file("--output", arguments.output)
    with _workers_importing(composed):
        pipeline = _loaded("clep.pipelines.tune")
        tuned = pipeline.run(composed)
    pipeline.write(tuned, arguments.output)
    return tuned


def by_name(arguments: argparse.Namespace) -> Printable:
    """Run a pipeline by its name."""
    name, *items = arguments.items
    own = [item for item in items if item.startswith("pipeline.")]
    options: dict[str, Any] = {}
    for item in own:
        options |= config.override(item)["pipeline"]
    source, changes = _config_and_changes([item for item in items if item not in own])
    parts.check_name("pipeline", name)
    composed = _ready(config.compose(source, changes))
    return _loaded("clep.pipelines.named").run(name, composed, options)


def steps(arguments: argparse.Namespace) -> Printable:
    """Train a network, then measure how many relaxation steps its gradient needs."""
    composed = _composed(arguments)
    pipeline = _loaded("clep.pipelines.steps")
    return pipeline.run(composed)


def bench(arguments: argparse.Namespace) -> Printable:
    """Time updates and sleeps."""
    if arguments.figure:
        check_file("--figure", arguments.figure)
    benchmark = _loaded("clep.bench")
    with within("bench"):
        return benchmark.bench(arguments.cases, threads=arguments.threads, figure=arguments.figure)


def ui(arguments: argparse.Namespace) -> Printable:
    """Serve MLflow's UI and show a run or a comparison in it."""
    run_id, changes = _config_and_changes(arguments.items)
    uri = arguments.tracking or config.compose(None, changes).tracking.uri
    _close_departed(uri)
    from clep import tracking

    shown = {"port": arguments.port, "browser": not arguments.no_open}
    return tracking.Viewed(tracking.tracking_uri(uri), run_id or "", **shown)


def sync(arguments: argparse.Namespace) -> Printable:
    """Deliver what runs could not send to their store."""
    run_id, changes = _config_and_changes(arguments.items)
    uri = _store_in(changes, "`clep sync` only delivers")
    from clep import tracking

    return tracking.sync(tracking.tracking_uri(uri), run_id or "")


def check(arguments: argparse.Namespace) -> Printable:
    """Check strategies against their contract."""
    target, changes = _config_and_changes(arguments.items)
    if target is None:
        raise ConfigError("check: name an installed package, a strategy, a module, a Python file or a folder")
    values = config.given({}, changes)[1]
    for key in values.keys() - {"strategy"}:
        raise ConfigError(f"{key}: the checks bring their own stream and learners; only strategy.NAME.KEY can be set")
    pipeline = _loaded("clep.pipelines.check")
    return pipeline.run(target, values.get("strategy"))


def new(arguments: argparse.Namespace) -> Printable:
    """Write the package of a new part, or the file of a claim."""
    from clep import scaffold

    return scaffold.new(arguments.kind, arguments.name, arguments.into)


def list_names(arguments: argparse.Namespace) -> Catalogue:
    """List parts of every kind, configurations and claims."""
    return catalogue(arguments.what)


def show(arguments: argparse.Namespace) -> Printable:
    """Describe a strategy, or compose a configuration."""
    if arguments.items[:1] == ["strategy"] and len(arguments.items) > 1 and "=" not in arguments.items[1]:
        return _loaded("clep.portrait").portrait(arguments.items[1], arguments.items[2:])
    return _shown(arguments)


def _shown(arguments: argparse.Namespace) -> Shown:
    """A composed configuration with all parameters of the strategies that it names."""
    composed = _composed(arguments)
    if arguments.items:
        build = _loaded("clep.build")  # imports Avalanche, which the defaults do not need
        build.check(composed)
        if composed.strategies:
            composed = build.resolved(composed)
        elif named_parts.foreign(composed):
            composed = config.replace(composed, **named_parts.options(composed))
    return Shown(composed)


def _composed(arguments: argparse.Namespace) -> Config:
    """The configuration of one set of strategies."""
    source, changes = _with_engine(arguments)
    composed = config.compose(source, changes)
    check_chosen(source, changes, composed)
    return composed


def _config_and_changes(items: Sequence[str]) -> tuple[str | None, Sequence[str]]:
    """The first word is CONFIG or CLAIM unless it contains `=`."""
    return (items[0], items[1:]) if items and "=" not in items[0] else (None, items)


def _with_engine(arguments: argparse.Namespace) -> tuple[str | None, Sequence[str]]:
    """CONFIG or CLAIM and the changes; `--engine` is one of them."""
    name, changes = _config_and_changes(arguments.items)
    chosen = getattr(arguments, "engine", None)
    return name, changes if chosen is None else [*changes, f"engine.name={chosen}"]


def _store_in(changes: Sequence[str], why: str) -> str | None:
    """The store that changes name; any other key is refused with the reason."""
    for change in changes:
        if not change.startswith("tracking.uri="):
            raise ConfigError(f"{change.partition('=')[0]}: {why}; it takes tracking.uri=URI")
    return config.tracking_in(changes).uri


def _close_departed(uri: str | None) -> None:
    """Close the runs of a store that is otherwise only read, and say what it lacks. If closing fails: it is read-only,
    or reading says why."""
    from clep import tracking

    with suppress(Exception):
        tracking.close_departed(tracking.tracking_uri(uri))
    tracking.mention_undelivered(tracking.tracking_uri(uri))


def _ready(composed: Config) -> Config:
    """The configuration, once its store answers."""
    _answering(composed.tracking.uri)
    return composed


def _answering(uri: str | None) -> None:
    """Refuse a store that is a server and does not answer: libraries take longer to load than that may take."""
    from clep import tracking

    tracking.check_server(tracking.tracking_uri(uri))


def _loaded(module: str) -> Any:
    """A module that needs torch, Lightning, Avalanche and MLflow; on a terminal, say why nothing happens meanwhile."""
    if sys.stderr.isatty():
        print("clep: loading torch, Lightning, Avalanche and MLflow ...", file=sys.stderr)
    with interrupts.leaving_at_once(_leave):
        package, _, name = module.rpartition(".")
        return getattr(__import__(package, fromlist=[name]), name)  # as `from package import name`


def _workers_importing(composed: Config) -> AbstractContextManager[None]:
    """If a command has workers on this machine, the process that they come from imports while this one does."""
    from clep import workers

    local = composed.engine.name == "local" and composed.workers > 0
    return workers.importing(workers.PRELOAD) if local else nullcontext()


def _leave() -> None:
    """End the process, in which nothing has begun."""
    print("clep: interrupted before anything had begun", file=sys.stderr, flush=True)
    if workers := sys.modules.get("clep.workers"):
        workers.end_server()
    temporary.remove_all()
    os._exit(interrupts.exit_code())


def _items(first: str, what: str) -> Argument:
    text = f"{what}, followed by changes of keys (`clep show` prints all keys)"
    return Argument("items", {"nargs": "*", "metavar": f"{first}, key=value", "help": text})


_CONFIG = _items("CONFIG", "a name from `clep list configs` or a YAML file (default: class-incremental digits)")
_CLAIM = _items("CLAIM", "a name from `clep list claims` or a YAML file")
_ENGINE = Argument(
    "--engine",
    {
        "choices": ("local", "ray"),
        "help": "what runs the cells or trials: processes here, or a Ray cluster (`engine.address`); see `engine.*`",
    },
)
_JSON = Argument("--json", {"action": "store_true", "help": "print JSON instead of text"})

COMMANDS = (
    Command(
        name="run",
        help="Train one set of strategies with one seed.",
        prints="Prints the final accuracy, the forgetting and the accuracy matrix (row i, column j: accuracy on "
        "experience j after experience i), and how to open the run in MLflow.",
        usage="[CONFIG] [key=value ...]",
        examples={
            "clep run": "naive fine-tuning on digits, the first thing to try",
            "clep run strategies=sleep_replay strategy.sleep_replay.keep=0.8": "sleep after each experience",
            "clep run mnist network.hidden=[400] learner.epochs=2 seed=1": "another data set, a larger network",
            "clep run my.yaml stream.class_order=fixed --json > result.json": "your own configuration, as JSON",
        },
        arguments=(_CONFIG, _JSON),
        call=run,
        keys=("strategies", "strategy.NAME.KEY", "stream, network", "seed"),
    ),
    Command(
        name="resume",
        help="Go on with a run that was stopped, in the same MLflow run.",
        prints="A run writes checkpoints while it trains; this goes on from the latest, and ends with the same weights "
        "and metrics as a run that was never stopped. Prints what `clep run` prints. A comparison goes on with `clep "
        "compare --resume ID`.",
        usage="[RUN_ID]",
        examples={
            "clep resume": "the latest run of mlflow.db in this directory that did not end",
            "clep resume 4d0c5be0": "a run by its id, or the beginning of it",
            "clep resume 4d0c5be0 tracking.uri=http://server:5000": "in another store",
        },
        arguments=(
            Argument(
                "items",
                {
                    "nargs": "*",
                    "metavar": "RUN_ID, key=value",
                    "help": "id of the run (default: the latest that did not end), and tracking.uri, data.* or "
                    "checkpoint.* to change",
                },
            ),
            _JSON,
        ),
        call=resume,
        keys=("checkpoint.every_minutes",),
    ),
    Command(
        name="fork",
        help="Go on from the middle of a run with other settings, as a new run.",
        prints="The new run begins with what RUN_ID had learned after its first K experiences: weights, stored "
        "samples, statistics and random generators. Prints what `clep run` prints. If RUN_ID kept no checkpoint there, "
        "its first K experiences are trained again.",
        usage="RUN_ID --after K [key=value ...]",
        examples={
            "clep fork 4d0c5be0 --after 2 learner.lr=0.01": "another learning rate from the third experience on",
            "clep fork 4d0c5be0 --after 3 strategies=[sleep_replay]": "sleep from the fourth experience on",
        },
        arguments=(
            Argument(
                "items",
                {
                    "nargs": "*",
                    "metavar": "RUN_ID, key=value",
                    "help": "id of the run to go on from, and the keys to change (not stream.*, nor seed)",
                },
            ),
            Argument(
                "--after",
                {"type": int, "required": True, "metavar": "K", "help": "number of experiences that both runs share"},
            ),
            _JSON,
        ),
        call=fork,
        keys=("checkpoint.keep",),
    ),
    Command(
        name="compare",
        help="Compare strategies, or anything else, over several seeds, in parallel.",
        prints="Prints a table with one row per cell: mean and standard deviation of each metric over the seeds. Runs "
        "that fail are named on stderr and left out of the means.",
        usage="[CONFIG] [key=value ...]",
        examples={
            "clep compare": "the cells and seeds of the default configuration",
            "clep compare seeds=[0,1,2] workers=3": "three seeds, three runs at a time",
            "clep compare mnist cells=[[naive],[sleep_replay],[joint]] seeds=[0,1,2,3] workers=4": "your own cells",
            "clep compare grid.network=[ep,hts_ep] grid.learner.lr=[0.01,0.1]": "every combination of two choices",
            "clep compare --resume 4d0c5be0": "after a crash or Ctrl-C: run only what is missing in that comparison",
            "clep compare --into 4d0c5be0 seeds=[3,4,5]": "more seeds (or cells=..., grid...) for that comparison",
            "clep compare my.yaml --json > comparison.json": "every run and the table, as JSON",
        },
        arguments=(
            _CONFIG,
            Argument(
                "--into",
                {"metavar": "ID", "help": "add seeds or cells to a stored comparison: runs only what is missing"},
            ),
            Argument(
                "--resume",
                {
                    "nargs": "?",
                    "const": "",
                    "metavar": "ID",
                    "help": "go on with a stored comparison; without ID: reuse finished runs of the same configuration",
                },
            ),
            _ENGINE,
            _JSON,
        ),
        call=compare,
        keys=("cells", "controls", "grid", "seeds", "workers", "baseline", "columns"),
    ),
    Command(
        name="report",
        help="Compare what is stored: comparisons, runs of several people, an experiment, a single run.",
        prints="Prints the answer and the table as `clep compare` does, and writes the page, its figures and the table "
        "to a folder. It trains nothing. Of each cell and seed it takes the latest run that finished, and says how "
        "many it left out.",
        usage="[ID ...]",
        examples={
            "clep report": "the latest comparison",
            "clep report 4d0c5be0 77ab01c2": "two comparisons as one; ids, or the beginnings of them",
            "clep report --experiment clep --baseline naive": "all runs of an experiment",
            "clep report --filter \"tags.stream = 'digits' and params.seed = '0'\"": "runs by a filter of MLflow",
            "clep report --runs 4d0c5be0,77ab01c2 tracking.uri=http://server:5000 --output out": "runs of a server",
        },
        arguments=(
            Argument(
                "items",
                {
                    "nargs": "*",
                    "metavar": "ID, tracking.uri=URI",
                    "help": "ids of comparisons and runs (default: the latest comparison), and their store",
                },
            ),
            Argument("--experiment", {"metavar": "NAME", "help": "all runs of an experiment"}),
            Argument(
                "--filter", {"default": "", "metavar": "FILTER", "help": "all runs that a filter of MLflow finds"}
            ),
            Argument("--runs", {"metavar": "ID,ID", "help": "ids of runs, joined by commas"}),
            Argument("--mixed", {"action": "store_true", "help": "compare runs on different data, too"}),
            Argument(
                "--baseline", {"default": "", "metavar": "CELL", "help": "cell to compare with (default: the best one)"}
            ),
            Argument(
                "--columns",
                {"default": "", "metavar": "NAME,NAME", "help": "more columns of the table, as the key `columns`"},
            ),
            Argument(
                "--output",
                {"default": "report", "metavar": "FOLDER", "help": "folder of the page (default: %(default)s)"},
            ),
            _JSON,
        ),
        call=report,
    ),
    Command(
        name="reproduce",
        help="Run the cells of a published claim over its seeds, and write its table.",
        prints="Prints table and verdicts, and writes both as Markdown and CSV. If interrupted, start it again: "
        "it goes on where it stopped, and the table that was there stays until then.",
        usage="CLAIM [key=value ...]",
        examples={
            "clep reproduce sleep_mnist --small": "a quick look: the cells on digits",
            "clep reproduce sleep_mnist workers=4 data.root=DATA": "the whole table",
            "clep reproduce memory_mnist --stored --figure": "what has been run so far, and nothing more",
            "clep reproduce memory_mnist --missing workers=4": "what neither the store nor the published table has",
            "clep reproduce my_claim.yaml --output results": "your own claim, written to another folder",
        },
        arguments=(
            _CLAIM,
            Argument(
                "--output",
                {"default": "docs/results", "metavar": "FOLDER", "help": "folder of the tables (default: %(default)s)"},
            ),
            Argument("--small", {"action": "store_true", "help": "a quick look: small data, two seeds"}),
            Argument("--figure", {"action": "store_true", "help": "write the claim's figures next to its table"}),
            Argument(
                "--stored",
                {
                    "action": "store_true",
                    "help": "run nothing: the table of what is stored so far, and of what the table before has",
                },
            ),
            Argument(
                "--missing",
                {"action": "store_true", "help": "run only what neither the store nor the table before has"},
            ),
            _ENGINE,
            _JSON,
        ),
        call=reproduce,
        keys=("workers", "data.root"),
    ),
    Command(
        name="tune",
        help="Search the hyperparameters of a set of strategies on validation data.",
        prints="Prints the ten best trials and the best values, and writes the best configuration as YAML. If "
        "interrupted, start it again: it goes on where it stopped. It never touches test data.",
        usage="[CONFIG] [key=value ...]",
        examples={
            "clep tune strategies=sleep_replay": "in the ranges that the strategy declares",
            "clep tune mnist strategies=[ewc] tune.trials=30 workers=3": "30 trials, three seeds at a time",
            "clep tune tune.space='{learner.lr: {low: 0.001, high: 0.1, log: true}}' --output lr.yaml": "your range",
        },
        arguments=(
            _CONFIG,
            Argument(
                "--output",
                {"default": "tuned.yaml", "metavar": "FILE", "help": "file of the best config (default: %(default)s)"},
            ),
            _ENGINE,
            _JSON,
        ),
        call=tune,
        keys=("tune.trials", "tune.seeds", "tune.space", "workers"),
        hint="Use the best configuration: clep run {output}",
    ),
    Command(
        name="steps",
        help="Train a network, then measure how many relaxation steps its gradient needs.",
        prints="Prints, as Markdown, the fewest steps at which the gradient reaches a given cosine to backpropagation "
        "through time, and how many steps a tolerance of the free phase saves. It measures with `learner.beta` and "
        "with a beta of 0.1.",
        usage="[CONFIG] [key=value ...]",
        examples={
            "clep steps": "the default network, on digits",
            "clep steps network=ep network.hidden=[256,256] learner.epochs=20": "a deeper network, trained for longer",
            "clep steps mnist_ep --json > steps.json": "MNIST, as JSON",
        },
        arguments=(_CONFIG, _JSON),
        call=steps,
        keys=("learner.beta",),
    ),
    Command(
        name="bench",
        help="Time whole updates against an autograd baseline, a sleep against a loop in torch, a stream against a "
        "bare loop, or how cost grows.",
        prints="Prints images per second of both sides, their ratio, and the share of an update that its matrix "
        "products take on this machine; of a stream, the CPU time of an update by all sides. `scaling` prints how time "
        "and memory grow with experiences, classes, stored samples, width, depth and steps, each as an exponent.",
        usage="[CASE ...]",
        examples={
            "clep bench": "all updates, on one thread",
            "clep bench mlp1 --threads 2 --json": "one update on two threads, as JSON",
            "clep bench sleep": "a sleep",
            "clep bench population": "1, 8 and 32 trainings in one pass, and one after another",
            "clep bench pipeline": "a stream, beside a bare loop and plain Avalanche",
            "clep bench scaling --figure scaling.png": "how cost grows, with a plot (some minutes)",
            "clep bench scaling:width": "one axis of it",
        },
        arguments=(
            Argument(
                "cases",
                {
                    "nargs": "*",
                    "metavar": "CASE",
                    "help": f"{', '.join(every())} (default: {', '.join(UPDATES)})",
                },
            ),
            Argument("--threads", {"type": int, "default": 1, "help": "threads of torch (default: %(default)s)"}),
            Argument("--figure", {"metavar": "FILE", "help": "file of the plot of `scaling`, PNG"}),
            _JSON,
        ),
        call=bench,
    ),
    Command(
        name="pipeline",
        help="Run a pipeline by its name: one of clep, of an installed package, or your own.",
        prints="Prints what the pipeline returns. A pipeline is a function `(config, *, ...)`; `pipeline.KEY=value` "
        "sets its own parameters.",
        usage="NAME [CONFIG] [key=value ...]",
        examples={
            "clep pipeline class_incremental strategies=sleep_replay": "what `clep run` does",
            "clep pipeline my_module:sweep mnist pipeline.widths=[100,400]": "a function of your own",
        },
        arguments=(
            Argument(
                "items",
                {
                    "nargs": "+",
                    "metavar": "NAME, CONFIG, key=value",
                    "help": "a name from `clep list pipelines` or an import path, a configuration, and changes of keys",
                },
            ),
            _JSON,
        ),
        call=by_name,
    ),
    Command(
        name="ui",
        help="Open a comparison or a run in MLflow's UI.",
        prints="Starts MLflow's UI on the store, prints the link to the charts of the comparison (or to the page of "
        "the run) and opens it in a browser if there is a display. Ctrl-C stops it. If the store is a server, it only "
        "prints the link.",
        usage="[ID]",
        examples={
            "clep ui": "the latest comparison of mlflow.db in this directory",
            "clep ui 4d0c5be0f1a24f3e8d0b1f9b2c7a6e51": "a comparison or a run, by the id that its command printed",
            "clep ui --tracking sqlite:///other/mlflow.db --no-open": "another store; print the link, open nothing",
        },
        arguments=(
            Argument(
                "items",
                {
                    "nargs": "*",
                    "metavar": "ID, tracking.uri=URI",
                    "help": "id of a comparison or a run (default: the latest comparison)",
                },
            ),
            Argument(
                "--tracking",
                {
                    "metavar": "URI",
                    "help": "the store (default: MLFLOW_TRACKING_URI, or else mlflow.db in this directory)",
                },
            ),
            Argument(
                "--port",
                {
                    "type": int,
                    "default": 5000,
                    "help": "where to listen; if it is taken, any free port (default: %(default)s)",
                },
            ),
            Argument("--no-open", {"action": "store_true", "help": "open no browser"}),
            _JSON,
        ),
        call=ui,
    ),
    Command(
        name="sync",
        help="Deliver what runs could not send to their MLflow store.",
        prints="Prints the runs that were delivered. A run whose store is in trouble goes on; what it records waits in "
        "`clep-state`, beside the SQLite file or in the directory where the command ran. Start it there, once the "
        "store is back. Nothing is delivered twice.",
        usage="[RUN_ID]",
        examples={
            "clep sync": "everything that waits",
            "clep sync 4d0c5be0 tracking.uri=http://server:5000": "one run, to a server",
        },
        arguments=(
            Argument(
                "items",
                {
                    "nargs": "*",
                    "metavar": "RUN_ID, tracking.uri=URI",
                    "help": "id of a run (default: all that wait), and their store",
                },
            ),
            _JSON,
        ),
        call=sync,
    ),
    Command(
        name="new",
        help="Write the package of a new strategy, network or data set, or the file of a claim.",
        prints="Prints the files. The package can be installed as it is and passes its own tests; change it from "
        "there. Nothing that exists is overwritten.",
        usage="KIND NAME",
        examples={
            "clep new strategy slow_weights": "a package in the folder slow_weights, with tests and a claim",
            "clep new network small_conv --into nets/small_conv": "a network, in another folder",
            "clep new claim sleep_helps": "the file sleep_helps.yaml, for `clep reproduce`",
        },
        arguments=(
            Argument("kind", {"metavar": "KIND", "choices": SCAFFOLDS, "help": f"one of {', '.join(SCAFFOLDS)}"}),
            Argument(
                "name", {"metavar": "NAME", "help": "of the part, its module and its package: letters, digits, _"}
            ),
            Argument("--into", {"metavar": "FOLDER", "help": "where (default: NAME; for a claim, this directory)"}),
            _JSON,
        ),
        call=new,
    ),
    Command(
        name="check",
        help="Check strategies against their contract.",
        prints="Prints a line for each check: whether it is ok, fails or is skipped, and why. Checked are seeds, "
        "randomness, resuming, memory, logs, peeking at labels, each gradient estimate, other strategies, plain "
        "Avalanche and the GPU, in runs of a few digits.",
        usage="TARGET [strategy.NAME.KEY=VALUE ...]",
        examples={
            "clep check my-package": "all strategies that an installed package registers",
            "clep check my_strategy.py": "those of a file, or of the folder of a project",
            "clep check sleep_replay strategy.sleep_replay.every=2": "one by its name, with shorter runs",
        },
        arguments=(
            Argument(
                "items",
                {
                    "nargs": "*",
                    "metavar": "TARGET, strategy.NAME.KEY=VALUE",
                    "help": "an installed package, a strategy, a module, a Python file or a folder; parameters",
                },
            ),
            _JSON,
        ),
        call=check,
    ),
    Command(
        name="list",
        help="List the parts of every kind, configurations and claims.",
        prints="Prints one line each: the name, what it is and, for what packages register, the import path. What is "
        "wrong with another package's parts is said on stderr.",
        usage="[WHAT]",
        examples={"clep list": "everything", "clep list strategies": "one section"},
        arguments=(
            Argument(
                "what",
                {"nargs": "?", "metavar": "WHAT", "choices": SECTIONS, "help": f"one of {', '.join(SECTIONS)}"},
            ),
            _JSON,
        ),
        call=list_names,
    ),
    Command(
        name="show",
        help="Print a composed configuration, with every parameter of its strategies; or all about one strategy.",
        prints="Prints YAML that `clep run` accepts: a good start for your own configuration. What `clep run` would "
        "refuse before it trains is refused here too. `clep show strategy NAME` prints the parameters of a strategy, "
        "its hooks, the gradient estimates and networks that it works with, and where it comes from.",
        usage="[CONFIG] [key=value ...] | strategy NAME [key=value ...]",
        examples={
            "clep show": "every key and its default",
            "clep show strategies=sleep_replay": "every parameter of a strategy too",
            "clep show mnist network=ep learner.epochs=3 > my.yaml": "a file to edit",
            "clep show strategy sleep_replay": "what a strategy takes, does and works with",
        },
        arguments=(_CONFIG, _JSON),
        call=show,
    ),
)
"""Every command, in the order of `clep --help`."""
