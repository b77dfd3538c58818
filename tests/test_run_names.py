"""What MLflow calls each kind of run."""

from clep import run_names
from clep.config import compose

SLEEPING = compose(None, ["strategies=[awake_rehearsal,sleep_replay]", "seed=3"])


def test_a_run_is_named_by_its_strategies_and_its_seed():
    assert run_names.of_run(SLEEPING) == "awake_rehearsal+sleep_replay seed 3"
    assert run_names.of_run(compose()) == "naive seed 0"


def test_a_comparison_is_named_by_its_stream_and_its_size():
    composed = compose("mnist", ["cells=[[naive],[joint]]", "seeds=[0,1,2]"])
    assert run_names.of_comparison(composed) == "compare mnist: 2 cells x 3 seeds"


def test_a_claim_is_named_by_its_table():
    assert run_names.of_claim("sleep_mnist_small") == "reproduce sleep_mnist_small"


def test_a_search_is_named_by_what_it_tunes_and_its_trials_by_their_numbers():
    assert run_names.of_search(SLEEPING) == "tune awake_rehearsal+sleep_replay on digits"
    assert run_names.of_trial(7) == "trial 7"
