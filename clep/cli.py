"""The `clep` command: parse, call a pipeline, print its result. Results go to stdout, everything else to stderr."""

import argparse
import itertools
import json
import os
import re
import signal
import sys
import textwrap
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout
from functools import partial
from typing import Any

from clep import collecting, config, destinations, distribution, interrupts, temporary
from clep.commands import COMMANDS, Command
from clep.errors import (
    WARNINGS,
    ClepError,
    ConfigError,
    DataError,
    InputWarning,
    MissingExtraError,
    is_for_its_authors,
)
from clep.masking import masked

__all__ = ["COMMANDS", "main", "parse", "parser"]

OK, FAILED, USAGE = 0, 1, 2
_CODES = (
    "0 success, 1 a run failed, 2 wrong usage or configuration, 130 interrupted (143 by kill, 129 by hangup), 75 to be "
    "queued again (SIGUSR1; SIGTERM in a SLURM job)"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 success, 1 a failed run, 2 a usage or config error, 130 Ctrl-C.

    `kill` gives 143, a closed terminal 129, a scheduler's notice that time is up 75.
    """
    ends = argv is None  # the process, with this command
    try:
        destinations.ready_streams()
    except ConfigError as error:
        _complain(f"error: {error}")
        return USAGE
    with interrupts.listening(to_the_end=ends):
        try:
            with temporary.everything_within() if ends else nullcontext():
                code = _parsed_and_tried(argv)
        except KeyboardInterrupt:  # while something was printed
            code = interrupts.exit_code()
        if ends and interrupts.pending():  # nothing may interrupt the end
            for number in interrupts.SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            sys.stdout.flush()
            sys.stderr.flush()
            temporary.remove_left()
            os._exit(code)
    return code


def _parsed_and_tried(argv: Sequence[str] | None) -> int:
    try:
        arguments = parse(argv)
    except SystemExit as stop:  # argparse has printed the help, the version or the error
        return int(stop.code or OK)
    if os.getcwd() not in sys.path:
        # To find `strategies=[my_module:MyStrategy]`; last, so that no module there takes the place of a dependency.
        sys.path.append(os.getcwd())
    return _tried(arguments)


def _tried(arguments: argparse.Namespace) -> int:
    """Run the command; say what went wrong, and return the exit code."""
    try:
        with _plain_warnings():
            code = _run(arguments)
        if not interrupts.closing():
            interrupts.check()
        return code if interrupts.pending() is None else interrupts.exit_code()
    except KeyboardInterrupt as error:
        stop: BaseException = error
    except ClepError as error:
        stop = error
        if interrupts.pending() is None:
            _complain(f"error: {error}")
            return USAGE if isinstance(error, ConfigError | DataError | MissingExtraError) else FAILED
    except Exception as error:
        stop = error
        if interrupts.pending() is None:  # otherwise a library made this of the interrupt
            _complain(f"error: {type(error).__name__}: {error}; set CLEP_TRACEBACK=1 to see the traceback")
            return FAILED
    interrupts.close()
    if so_far := getattr(stop, "so_far", None):  # not on stdout, where results are whole
        print(so_far.to_text(), file=sys.stderr)
    goes_on = "".join(f"; go on with: {command}" for command in getattr(stop, "__notes__", ()))
    _complain(f"interrupted; a run that had begun is KILLED in MLflow, with everything recorded until then{goes_on}")
    return interrupts.exit_code()


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Print clep's own warnings as one line each, once; those about the data again at the end, if others follow."""
    formatted = warnings.formatwarning
    said: list[tuple[type[Warning], str]] = []

    def spoken(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
    ) -> str:
        own, text = issubclass(category, WARNINGS), f"clep: warning: {message}"
        if is_for_its_authors(category, filename):
            return ""
        if own and (category, text) in said:  # by a worker, of another cell
            return ""
        said.append((category, text))
        return f"{text}\n" if own else formatted(message, category, filename, lineno, line)

    warnings.formatwarning = spoken
    try:
        yield
    finally:
        warnings.formatwarning = formatted
    if said and not issubclass(said[-1][0], InputWarning):  # what explains the others is read where it stands last
        for text in dict.fromkeys(text for kind, text in said if issubclass(kind, InputWarning)):
            print(text, file=sys.stderr)


def parser() -> argparse.ArgumentParser:
    """The parser of all commands, with their help.

    Example:
        >>> parser().parse_args(["run", "mnist", "seed=1"]).items
        ['mnist', 'seed=1']
    """
    whole = _documented(
        argparse.ArgumentParser(prog="clep"),
        "Continual learning with equilibrium propagation: train, compare and reproduce.",
        {
            "clep run": "naive fine-tuning on digits, the first thing to try",
            "clep run strategies=[awake_rehearsal,sleep_replay]": "two strategies, combined",
            "clep compare seeds=[0,1,2] workers=3": "a table of strategies, mean and deviation over seeds",
            "clep list": "strategies, streams, networks, configurations and claims",
        },
    )
    whole.add_argument("--version", action="version", version=f"clep {distribution.version()}")
    commands = whole.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        sub = commands.add_parser(command.name, help=command.help)
        _documented(sub, f"{command.help} {command.prints}", command.examples, command.meanings())
        sub.usage = f"clep {command.name} [-h] [options] {command.usage}"
        sub.set_defaults(command=command, json=False)
        for argument in command.arguments:
            sub.add_argument(argument.name, **argument.options)
    return whole


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the words after `clep`; options may appear anywhere among them.

    Raises:
        SystemExit: for `--help`, `--version` and wrong usage, as argparse does.

    Example:
        >>> arguments = parse(["run", "mnist", "--json", "seed=1"])
        >>> arguments.command.name, arguments.items, arguments.json
        ('run', ['mnist', 'seed=1'], True)
    """
    whole = parser()
    arguments, rest = whole.parse_known_args(list(_closed(sys.argv[1:] if argv is None else argv)))
    if rest and ("items" not in arguments or any(word.startswith("-") for word in rest)):
        whole.error(f"unrecognized arguments: {' '.join(rest)}")
    if "items" in arguments:
        arguments.items = [*arguments.items, *rest]  # argparse stops collecting at the first option
    return arguments


def _closed(words: Sequence[str]) -> Iterator[str]:
    """The words, with an empty value for `--resume` where no id of a run follows: a configuration is none."""
    for word, following in itertools.zip_longest(words, words[1:], fillvalue=""):
        is_id = re.fullmatch(r"[0-9a-f]{4,}", following) and following not in config.builtin("pipeline")
        yield word if word != "--resume" or is_id else "--resume="


def _documented(
    parser: argparse.ArgumentParser,
    description: str,
    examples: Mapping[str, str],
    keys: Mapping[str, str] | None = None,
) -> argparse.ArgumentParser:
    """Add the description, the keys to know, the examples and the exit codes to the help."""
    lines: list[str] = []
    if keys:
        width = max(map(len, keys))
        indent = " " * (width + 4)
        lines += ["keys to know:"]
        for key, meaning in keys.items():
            lines += textwrap.wrap(meaning, 100, initial_indent=f"  {key:{width}}  ", subsequent_indent=indent)
        lines += [""]
    lines += ["examples:"]
    for example, meaning in examples.items():
        lines += [f"  # {meaning}", f"  {example}"]
    parser.formatter_class = partial(argparse.RawDescriptionHelpFormatter, max_help_position=22, width=100)
    parser.description = textwrap.fill(description, 90)
    parser.epilog = "\n".join([*lines, "", f"exit codes: {_CODES}"])
    return parser


def _run(arguments: argparse.Namespace) -> int:
    """Run the command and print its result."""
    command: Command = arguments.command
    with _stdout_on_stderr(), collecting.seldom():
        result = command.call(arguments)
        if not interrupts.closing():  # otherwise the result is whole and stored
            interrupts.check()
    for failure in getattr(result, "failures", ()):
        print(f"clep: {masked(failure)}", file=sys.stderr)
    if again := getattr(result, "again", ""):
        print(f"clep: run what failed again: {again}", file=sys.stderr)
    with result if isinstance(result, AbstractContextManager) else nullcontext():
        if arguments.json:
            _print(json.dumps(result.to_json(), allow_nan=False))
        else:
            _print("\n".join([result.to_text(), *_below(arguments, result)]))
        getattr(result, "stay", lambda: None)()
    return FAILED if getattr(result, "failed", False) else OK


def _below(arguments: argparse.Namespace, result: Any) -> Iterator[str]:
    """The lines below a result: what to do next."""
    if arguments.command.hint:
        yield arguments.command.hint.format(**vars(arguments))
    if uri := getattr(result, "tracking_uri", None):
        from clep.tracking import ui_command

        run_id = getattr(result, "parent_run_id", None) or getattr(result, "run_id", None) or ""
        yield f"Open the results: {ui_command(uri, run_id)}"


@contextmanager
def _stdout_on_stderr() -> Iterator[None]:
    """Send to stderr whatever this process and its children print meanwhile."""
    sys.stdout.flush()
    stdout = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)


def _print(text: str) -> None:
    try:
        print(text, flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the flush at exit must not fail too
        if not isinstance(error, BrokenPipeError):  # then the reader has gone, and wants no more
            raise ClepError(f"stdout: the result could not be printed: {error.strerror}") from error


def _complain(text: str) -> None:
    """Print one line on stderr, after the traceback if CLEP_TRACEBACK asks for it."""
    if os.environ.get("CLEP_TRACEBACK"):
        print(masked(traceback.format_exc()), end="", file=sys.stderr)
    print(f"clep: {masked(' '.join(text.split()))}", file=sys.stderr)
