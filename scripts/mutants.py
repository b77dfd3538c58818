"""Deliberate bugs that the tests must catch: apply each to a copy of the checkout and run the tests that name it.

A passing test suite says little about the bugs it would miss. Each row of `MUTANTS` is one wrong line that crashes
nothing: training goes on, and only the numbers are wrong. A mutant that survives is a hole in the tests.

    python scripts/mutants.py                           # all of them, as a Markdown table
    python scripts/mutants.py --only sleep streams      # those whose file or sentence has one of the words
    python scripts/mutants.py --output docs/mutants.md  # write the table as well
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MAPPED = ("strategies", "pipelines", "configs")  # installed as clep.strategies, clep.pipelines, clep.configs


@dataclass(frozen=True)
class Mutant:
    """One bug.

    Attributes:
        file: where it is, relative to the checkout.
        old: text that stands in the file exactly once.
        new: what the bug makes of it.
        tests: node ids of pytest; each must fail. If an id leaves out the parameters, one set of them must fail.
        wrong: what would silently go wrong.
    """

    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    wrong: str


MUTANTS = (
    Mutant(
        "clep/equilibrium/phases.py",
        "[Term(1.0 / beta, states[0], free.states)]",
        "[Term(1.0, states[0], free.states)]",
        ("tests/equilibrium/gradients/test_nudging.py::test_gradient_equals_the_equations_relaxed_by_the_oracle",),
        "1/beta is dropped, so the size of an update depends on beta.",
    ),
    Mutant(
        "clep/equilibrium/phases.py",
        "[Term(1.0 / (2.0 * beta), *states)]",
        "[Term(1.0 / beta, *states)]",
        ("tests/equilibrium/test_phases.py::test_centered_is_the_mean_of_the_two_one_sided_estimates",),
        "The centered contrast is not halved, so the learning rate is doubled.",
    ),
    Mutant(
        "clep/equilibrium/phases.py",
        "lambda state: beta * force(state)",
        "lambda state: -beta * force(state)",
        ("tests/equilibrium/gradients/test_nudging.py::test_a_step_along_minus_the_gradient_lowers_the_loss",),
        "The nudge points away from the target, and the network unlearns.",
    ),
    Mutant(
        "clep/equilibrium/phases.py",
        "[2.0 * s - state for",
        "[s - state for",
        (
            "tests/equilibrium/gradients/test_limits.py"
            "::test_a_mirrored_start_has_the_same_limit_and_is_nearer_to_it_after_few_steps",
        ),
        "The second phase starts at the nudge instead of at its mirror image.",
    ),
    Mutant(
        "clep/equilibrium/dynamics.py",
        "total = link.connection.add_down(total, sent[link.above - 1], routes.get(link), out)",
        "pass",
        ("tests/equilibrium/test_dynamics.py::test_every_step_equals_autograd_of_phi",),
        "Feedback is forgotten: lower layers never feel the nudge and only the last one learns.",
    ),
    Mutant(
        "clep/equilibrium/contrast.py",
        "term.coefficient * factor * free.body.gains[i]",
        "term.coefficient * factor",
        ("tests/equilibrium/gradients/test_limits.py::test_scaled_feedback_keeps_the_gradient_that_of_the_loss",),
        "Weak feedback makes the updates of lower layers weak, too.",
    ),
    Mutant(
        "clep/equilibrium/contrast.py",
        "[g.mul_(before / after) for g in gradients]",
        "[g.mul_(after / before) for g in gradients]",
        ("tests/equilibrium/test_adaptation.py::test_adaptation_changes_the_direction_and_rescaling_keeps_the_norm",),
        "Rescaling after adaptation works the wrong way round and silently changes the learning rate.",
    ),
    Mutant(
        "clep/equilibrium/gradients/linear.py",
        "*(g.mul_(scale) for g in on_parameters)",
        "*on_parameters",
        ("tests/equilibrium/gradients/test_linear.py::test_a_loss_times_k_has_the_gradient_times_k",),
        "The gradient forgets the size of the loss: penalties of strategies no longer have a weight.",
    ),
    Mutant(
        "clep/equilibrium/time_steps.py",
        "np.clip(np.exp(log_scale) * raw, time_step.min, time_step.max)",
        "np.exp(log_scale) * raw",
        ("tests/equilibrium/test_time_steps.py::test_bounds_are_the_ones_asked_for",),
        "Time steps leave their bounds, and some neurons overshoot their targets.",
    ),
    Mutant(
        "clep/metrics.py",
        "np.where(at == _NONE_IN_PARTICULAR, np.nan, R[at, np.arange(len(at))])",
        "np.where(at == _NONE_IN_PARTICULAR, np.nan, R[0, np.arange(len(at))])",
        ("tests/test_metrics.py::test_forgetting_is_what_was_lost_since_training_and_a_gain_is_negative",),
        "Forgetting is measured against the first row instead of the one right after training.",
    ),
    Mutant(
        "clep/randomness.py",
        'f"{seed}/{use}"',
        'f"{seed}"',
        ("tests/test_randomness.py::test_every_use_and_every_seed_has_a_seed_of_its_own",),
        "Class order, batches and weights draw the same numbers, so adding a strategy changes a run.",
    ),
    Mutant(
        "clep/strategy.py",
        "return torch.randperm(n, generator=self.generator)[:k].tolist()",
        "return torch.randperm(n)[:k].tolist()",
        (
            "tests/test_strategy.py"
            "::test_draws_are_different_indices_in_random_order_that_leave_the_global_generator_alone",
        ),
        "A strategy draws from the global generator and changes what others draw.",
    ),
    Mutant(
        "clep/streams/making.py",
        "torch.nonzero(rows).flatten() for rows in (~mask, mask)",
        "torch.nonzero(rows).flatten() for rows in (mask == mask, mask)",
        ("tests/test_streams.py::test_the_validation_part_is_stratified_and_never_trained_on",),
        "Validation samples are trained on, and every search picks what memorises best.",
    ),
    Mutant(
        "clep/streams/samples.py",
        "_Slices(self), batch_size=batch_size, sampler=sampler,",
        "_Slices(self), batch_size=batch_size, drop_last=True, sampler=sampler,",
        (
            "tests/test_streams.py::test_every_epoch_shows_every_sample_once",
            "tests/test_training.py::test_evaluation_counts_every_sample_and_masks_no_output",
        ),
        "Only full batches count, in training and in evaluation.",
    ),
    Mutant(
        "clep/evaluation.py",
        "yield (score(x.to(device, copy=True)).argmax(1) == y.to(device)).double()",
        "yield (y.unique()[score(x.to(device))[:, y.unique()].argmax(1)] == y.to(device)).double()",
        ("tests/test_training.py::test_evaluation_counts_every_sample_and_masks_no_output",),
        "Only the outputs of the experience's own classes compete: task labels leak into the score.",
    ),
    Mutant(
        "strategies/slda.py",
        "scatter += n * m / (n + m) * torch.outer(apart, apart)",
        "scatter += torch.outer(apart, apart)",
        ("tests/strategies/test_read_outs.py::test_samples_in_any_parts_and_order_give_the_same_read_out",),
        "The distance between two parts of a class counts once, however many samples are behind it.",
    ),
    Mutant(
        "clep/measuring.py",
        "of_means = self._accuracy_of_means(strategy)",
        "of_means = self._accuracy_of_means(strategy) | {metric_names.ACCURACY_SEEN_BY_MEANS: float(after[0])}",
        ("tests/test_separability.py::test_it_is_logged_beside_the_accuracy_and_knows_only_the_classes_seen_so_far",),
        "What hidden states tell apart is reported as the accuracy of the outputs on the first experience.",
    ),
    Mutant(
        "clep/measuring.py",
        "before=after if notes.before is None else notes.before,",
        "before=after,",
        ("tests/test_training.py::test_accuracy_before_a_consolidation_is_that_of_the_weights_before_it",),
        "Accuracy before a consolidation is copied from after it, and sleep seems to do nothing.",
    ),
    Mutant(
        "clep/training.py",
        "reset_optimizer_state=self.reset_optimizer,",
        "reset_optimizer_state=False,",
        ("tests/test_training.py::test_the_optimizer_forgets_at_each_experience_unless_told_to_keep_its_state",),
        "Momentum of one experience pushes the weights in the next.",
    ),
    Mutant(
        "clep/training.py",
        "plugins=[self.measuring, *self.strategies],",
        "plugins=[self.measuring, *self.strategies[::-1]],",
        ("tests/test_training.py::test_hooks_of_strategies_are_called_in_the_order_of_the_strategies",),
        "Strategies act in reverse order: memory is updated after sleep instead of before it.",
    ),
    Mutant(
        "clep/learner.py",
        "        return update.loss\n",
        "        return self.loss(prediction, update.mb_y)\n",
        ("tests/test_bridge.py::test_every_regulariser_adds_a_penalty_on_an_equilibrium_network_and_moves_weights",),
        "What strategies add to the loss is lost: EWC, SI and LwF become naive training.",
    ),
    Mutant(
        "strategies/awake_rehearsal.py",
        "self.buffer.post_adapt(strategy, strategy.experience)",
        "pass",
        ("tests/strategies/test_awake_rehearsal.py::test_the_memory_holds_seen_samples_up_to_its_size_and_balanced",),
        "The memory is never filled, and rehearsal is naive training.",
    ),
    Mutant(
        "clep/sleep/statistics.py",
        "total, count = before.mean.double() * before.count + total, before.count + count",
        "pass",
        ("tests/strategies/test_sleep_replay_inputs.py::test_statistics_run_over_all_experiences",),
        "Only the latest experience drives sleep.",
    ),
    Mutant(
        "clep/sleep/rule.py",
        "learns = synapse[layer, 0] != 0.0 or synapse[layer, 1] != 0.0",
        "learns = layer == 0",
        ("tests/sleep/test_simulation.py::test_a_sleep_equals_a_plain_loop_over_neurons_and_synapses_to_the_bit",),
        "Sleep changes only the weights of the input.",
    ),
    Mutant(
        "clep/sleep/rule.py",
        "(2.0 if weight < 0.0 else 2.0 * e)",
        "(2.0 if weight > 0.0 else 2.0 * e)",
        ("tests/sleep/test_rule.py::test_the_gate_moves_negative_weights_twice_zero_once_and_leaves_positive_ones",),
        "The gate is flipped: sleep overwrites what was learned instead of protecting it.",
    ),
    Mutant(
        "clep/graphs.py",
        "loss.clone(), output.clone()",
        "loss.view_as(loss), output.view_as(output)",
        ("tests/test_graphs.py::test_updates_by_recordings_are_updates_as_usual_to_the_bit",),
        "A recorded loss and output are those of a later update.",
    ),
    Mutant(
        "clep/graphs.py",
        "*(tensor.data_ptr() for tensor in tensors)",
        "*(tensor.numel() for tensor in tensors)",
        ("tests/test_graphs.py::test_all_is_recorded_anew_when_the_gradient_or_the_memory_of_the_weights_changes",),
        "A recorded update goes on with weights that have moved to other memory.",
    ),
    Mutant(
        "pipelines/tune.py",
        'stream = {"evaluate_on": "validation", ',
        'stream = {"evaluate_on": "test", ',
        (
            "tests/pipelines/test_tune.py"
            "::test_the_score_is_the_final_accuracy_on_validation_samples_of_the_training_data",
        ),
        "Hyperparameters are searched on the test data.",
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the mutants, print the table, and return 1 if one of them survives or cannot be applied."""
    parser = argparse.ArgumentParser(description="Apply deliberate bugs one at a time; the tests must catch each.")
    parser.add_argument("--only", nargs="+", default=[""], metavar="WORD", help="if file or sentence has one of these")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the page with the table there as well")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="mutants at a time (default: 1)")
    parser.add_argument("--timeout", type=float, default=300.0, metavar="SECONDS", help="for the tests of one mutant")
    options = parser.parse_args(argv)
    chosen = [m for m in MUTANTS if any(word.lower() in f"{m.file} {m.wrong}".lower() for word in options.only)]
    if not chosen:
        parser.error(f"no mutant has {' or '.join(options.only)} in its file or sentence")
    with tempfile.TemporaryDirectory(prefix="clep-mutants-") as name:
        clean = Path(name, "clean")
        copy_checkout(clean)  # once, so that the working tree may change meanwhile
        if wrong := [problem for mutant in chosen for problem in problems(mutant, clean)]:
            print(*wrong, sep="\n", file=sys.stderr)
            return 1
        tests = sorted({test for mutant in chosen for test in mutant.tests})
        without = run_tests(clean, tests, options.timeout * len(chosen))
        if without.returncode > 1:  # how pytest reports anything other than a failed test
            print(f"the tests cannot be run without a bug:\n{without.stdout}{without.stderr}", file=sys.stderr)
            return 1
        broken = failures(without)
        with ThreadPoolExecutor(options.jobs) as pool:
            verdicts = list(pool.map(lambda mutant: _told(mutant, clean, options.timeout, broken), chosen))
    table = markdown(chosen, verdicts)
    print(table)
    if options.output is not None:
        options.output.write_text(_PAGE + table, encoding="utf-8")
    return int(any(verdict != CAUGHT for verdict in verdicts))


CAUGHT = "caught"
_PAGE = """\
# Deliberate bugs

`make mutants` applies these one-line bugs to a copy of the checkout, one at a time, and runs the tests named beside
each. It fails if a bug survives. None of them crashes anything, so a test has to look at the numbers to notice.

"""


def problems(mutant: Mutant, folder: Path) -> Iterable[str]:
    """What is wrong with a row of the table: a missing file, text or test."""
    file = folder / mutant.file
    count = file.read_text(encoding="utf-8").count(mutant.old) if file.is_file() else 0
    if count != 1:
        yield f"{mutant.file}: expected this text once, found it {count} times: {mutant.old.strip()}"
    for test in mutant.tests:
        path, _, name = test.partition("::")
        if not (folder / path).is_file() or f"def {name}(" not in (folder / path).read_text(encoding="utf-8"):
            yield f"{mutant.file}: there is no test {test}"


def verdict_on(mutant: Mutant, clean: Path, timeout: float) -> str:
    """`caught` if every test of the mutant fails, otherwise what happened instead."""
    with tempfile.TemporaryDirectory(prefix="mutant-", dir=clean.parent) as name:
        folder = Path(shutil.copytree(clean, Path(name, "clep"), symlinks=True))
        file = folder / mutant.file
        file.write_text(file.read_text(encoding="utf-8").replace(mutant.old, mutant.new), encoding="utf-8")
        try:
            done = run_tests(folder, mutant.tests, timeout)
        except subprocess.TimeoutExpired:
            return f"**no answer within {timeout:.0f} s**"
    survived = [test for test in mutant.tests if not any(line.startswith(test) for line in failures(done))]
    return f"**survives** `{'`, `'.join(_name(test) for test in survived)}`" if survived else CAUGHT


def run_tests(folder: Path, tests: Sequence[str], timeout: float) -> subprocess.CompletedProcess[str]:
    """Run some tests in a copy of the checkout; its clep shadows the installed one in all processes of the tests."""
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-rf", "--tb=no", "-p", "no:cacheprovider", *tests]
    environment = os.environ | {"PYTHONPATH": str(folder), "COLUMNS": "1000"}  # failed tests by their full names
    return subprocess.run(
        command, cwd=folder, env=environment, timeout=timeout, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )


def failures(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Node id and reason of each test that failed."""
    return [line.removeprefix("FAILED ") for line in done.stdout.splitlines() if line.startswith("FAILED ")]


def copy_checkout(folder: Path) -> None:
    """Copy all files that git knows or would add; the rooms that installation maps into clep go inside it."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():  # not if it was deleted and that is not committed yet
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target)
    for room in MAPPED:
        (folder / "clep" / room).symlink_to(Path("..", room))


def markdown(mutants: Sequence[Mutant], verdicts: Sequence[str]) -> str:
    """The table of mutants and their verdicts."""
    lines = ["| what would silently go wrong | where | bug | verdict | test |", "|---|---|---|---|---|"]
    for mutant, verdict in zip(mutants, verdicts, strict=True):
        bug = f"`{_cell(mutant.old)}` → `{_cell(mutant.new)}`"
        tests = ", ".join(f"`{_name(test)}`" for test in mutant.tests)
        lines.append(f"| {mutant.wrong} | `{mutant.file}` | {bug} | {verdict} | {tests} |")
    return "\n".join(lines) + "\n"


def _told(mutant: Mutant, clean: Path, timeout: float, broken: Sequence[str]) -> str:
    if any(line.startswith(mutant.tests) for line in broken):
        verdict = "**its test fails without the bug**"
    else:
        verdict = verdict_on(mutant, clean, timeout)
    print(f"{mutant.file}: {mutant.wrong} {verdict}", file=sys.stderr, flush=True)
    return verdict


def _name(test: str) -> str:
    return test.rpartition("::")[2]


def _cell(code: str) -> str:
    return " ".join(code.split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
