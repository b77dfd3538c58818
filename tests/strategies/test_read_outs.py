"""Read-outs in place of a network's output: class means, streaming LDA and ridge regression, and how they are used."""

import numpy as np
import pytest
import torch
from avalanche.training import Naive
from clep.strategies.class_means import ClassMeans
from clep.strategies.ridge import Ridge
from clep.strategies.slda import SLDA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import Ridge as Regression
from sklearn.neighbors import NearestCentroid

import clep
from clep.class_sums import ClassSums
from clep.diagnostics.hidden import hidden_states
from clep.errors import ConfigError, StrategyError, UnusedWarning
from clep.evaluation import evaluated
from clep.strategy import Strategy


@pytest.fixture(scope="module")
def stream():
    """Two digits after the other, so that no read-out sees all classes at once."""
    return clep.stream("digits", experiences=5, samples_per_experience=120, evaluation_samples=200)


@pytest.fixture(scope="module")
def seen(stream):
    """All that is seen in the stream: inputs (n, 64) and labels."""
    rows = stream.samples.rows([row for experience in stream.train for row in experience.rows])
    return rows.x.flatten(1), rows.y


@pytest.fixture(scope="module")
def tested(stream):
    parts = [experience.samples for experience in stream.evaluation]
    return torch.cat([part.x for part in parts]), torch.cat([part.y for part in parts])


def trained(stream, *strategies, hidden=12, **options):
    """The training and its result; tiny, since what is looked at needs no good network."""
    learner = clep.Learner(clep.Network([64, hidden, 10], free_steps=4, nudged_steps=2), lr=0.1)
    training = clep.Training(learner, strategies, epochs=1, batch_size=40, seed=0, **options)
    return training, training.run(stream)


def predictions(training, strategy, x):
    return strategy.read_out(training.template.model, x).argmax(1).numpy()


def test_class_means_are_those_of_scikit_learn(stream, seen, tested):
    strategy = ClassMeans()
    training, result = trained(stream, strategy)
    expected = NearestCentroid().fit(*seen).predict(tested[0].flatten(1))
    assert (predictions(training, strategy, tested[0]) == expected).all()
    accuracy = float(np.average(result.matrix[-1], weights=result.sizes))
    assert accuracy == pytest.approx((expected == tested[1].numpy()).mean())
    assert strategy.memory().statistics_bytes == 10 * (64 * 4 + 8)


@pytest.mark.parametrize("shrinkage", [0.01, 0.3])
def test_streaming_lda_is_that_of_scikit_learn_on_all_samples(stream, seen, tested, shrinkage):
    strategy = SLDA(shrinkage=shrinkage)
    training, _ = trained(stream, strategy)
    x, y = (part.double().numpy() for part in seen)
    known = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage).fit(x, y)
    np.testing.assert_allclose(strategy.state["weights"].numpy(), known.coef_, rtol=1e-3, atol=1e-3)
    scores = known.decision_function(tested[0].flatten(1).double().numpy()) - np.log(known.priors_)  # ours are equal
    assert (predictions(training, strategy, tested[0]) == scores.argmax(1)).all()
    classes = [x[y == label] for label in range(10)]
    within = sum(len(rows) * np.cov(rows.T, bias=True) for rows in classes)
    np.testing.assert_allclose(strategy.state["scatter"].numpy(), within, atol=1e-4)


def test_ridge_is_the_regression_on_all_samples(stream, seen, tested):
    strategy = Ridge(features=60, penalty=3.0)
    training, _ = trained(stream, strategy)
    x, y = seen
    targets = torch.nn.functional.one_hot(y, 10).double().numpy()
    known = Regression(alpha=3.0, fit_intercept=False).fit(strategy.featured(x).double().numpy(), targets)
    np.testing.assert_allclose(strategy.state["weights"].numpy(), known.coef_, atol=1e-3)
    expected = known.predict(strategy.featured(tested[0].flatten(1)).numpy()).argmax(1)
    assert (predictions(training, strategy, tested[0]) == expected).mean() > 0.99


@pytest.mark.parametrize("make", [SLDA, lambda: Ridge(features=20, seed=0)])
def test_samples_in_any_parts_and_order_give_the_same_read_out(seen, tested, make):
    """A class may come again in a later experience, and there may be gaps between the labels seen so far."""
    x, y = seen
    whole, parts = make(), make()
    whole.add(x, y)
    for rows in (y == 7, (y < 5).nonzero().flatten()[::2], (y < 5).nonzero().flatten()[1::2], (y > 4) & (y != 7)):
        parts.add(x[rows], y[rows])
    np.testing.assert_allclose(parts.state["weights"], whole.state["weights"], rtol=1e-2, atol=2e-3)
    inputs = tested[0].flatten(1)
    assert (parts.read_out(None, inputs).argmax(1) == whole.read_out(None, inputs).argmax(1)).all()


def test_means_of_a_class_that_comes_again_are_those_of_all_its_samples(seen):
    x, y = seen
    whole = ClassSums.none(64).plus(x, y)
    parts = ClassSums.none(64).plus(x[::3], y[::3]).plus(x[1::3], y[1::3]).plus(x[2::3], y[2::3])
    assert torch.equal(whole.counts, parts.counts)
    np.testing.assert_allclose(parts.means, whole.means, atol=1e-6)


def test_a_covariance_that_would_not_fit_is_refused():
    with pytest.raises(ConfigError, match=r"strategies: `slda` keeps a covariance .*controls=\[naive"):
        SLDA().add(torch.zeros(1, 20_001), torch.zeros(1, dtype=torch.int64))


def test_the_seed_of_the_random_units_follows_from_the_run_unless_it_is_given():
    x = torch.rand(3, 8)
    first, second, given = Ridge(features=4), Ridge(features=4), Ridge(features=4, seed=1)
    first.seed_with(1)
    second.seed_with(2)
    given.seed_with(2)
    assert not torch.equal(first.featured(x), second.featured(x))
    assert torch.equal(first.featured(x), given.featured(x))


@pytest.mark.parametrize("make", [ClassMeans, SLDA, lambda: Ridge(features=80)])
def test_no_network_is_trained_and_nothing_is_forgotten_but_room_for_other_classes(stream, make):
    training, result = trained(stream, make())
    untouched, _ = trained(clep.stream("digits", experiences=1, samples_per_experience=2), ClassMeans())
    for weight, initial in zip(
        training.template.model.parameters(), untouched.template.model.parameters(), strict=True
    ):
        assert torch.equal(weight, initial)
    assert result.reports[-1].updates == 0
    assert result.matrix[-1].mean() > 0.8
    assert (result.matrix[0, 1:] == 0.0).all()  # a class that was not seen is never the answer


def test_class_means_of_states_are_those_of_the_network_when_the_class_was_learned(stream, tested):
    strategy, kept = ClassMeans(features="states"), []

    class Keep(Strategy):
        def after_training_exp(self, strategy, **kwargs):
            x, y, *_ = zip(*strategy.experience.dataset, strict=True)
            states = hidden_states(strategy.model, torch.stack(x))
            kept.extend((label, states[torch.tensor(y) == label].mean(0)) for label in set(y))

    training, result = trained(stream, Keep(), strategy)
    assert result.reports[-1].updates > 0
    means = dict(kept)
    centroids = torch.stack([means[label] for label in range(10)])
    states = hidden_states(training.template.model, tested[0])
    expected = torch.cdist(states, centroids).argmin(1).numpy()
    assert (predictions(training, strategy, tested[0]) == expected).mean() > 0.99


def test_accuracies_before_consolidation_know_the_classes_just_learned(stream):
    """The means are taken before sleep, for what is measured then, and again after it."""
    seen = []

    class Shrinks(Strategy):
        consolidates = True

        @torch.no_grad()
        def after_training_exp(self, strategy, **kwargs):
            seen.append(means.state["present"].sums.clone())
            for weight in strategy.model.parameters():
                weight.mul_(0.5)

    means = ClassMeans(features="states")
    _, result = trained(stream, Shrinks(), means)
    assert result.before[0, 0] > 0.4
    assert not torch.equal(seen[0], means.state["present"].sums[: len(seen[0])])


def test_states_need_a_network_that_has_them():
    with pytest.raises(ConfigError, match=r"strategy\.class_means\.features: .* Linear; use features=inputs"):
        clep.Training(clep.Learner(torch.nn.Linear(4, 3)), [ClassMeans(features="states")])


def test_a_set_has_one_read_out_at_most():
    with pytest.raises(ConfigError, match="strategies: `class_means` and `slda` install a read-out each"):
        clep.Training(clep.Learner(clep.Network([4, 3, 2])), [ClassMeans(), SLDA()])


def test_what_trains_no_network_is_not_combined_on_the_command_line():
    with pytest.raises(ConfigError, match=r"strategies: .*`ridge` needs no training of the network"):
        clep.compose(overrides=["strategies=[sleep_replay,ridge]"])


def test_plain_avalanche_trains_no_network_for_it_and_evaluates_by_it(stream):
    model, strategy, outputs = clep.Network([64, 8, 10]), ClassMeans(), []

    class Look(Strategy):
        def after_eval_iteration(self, strategy, **kwargs):
            outputs.append(strategy.mb_output.argmax(1))

    before = [weight.clone() for weight in model.parameters()]
    criterion = clep.Learner(model).criterion
    plain = Naive(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        criterion=criterion,
        train_mb_size=40,
        eval_mb_size=500,
        plugins=[strategy, Look()],
        evaluator=None,
    )
    for experience in stream.benchmark.train_stream[:2]:
        plain.train(experience)
    assert all(torch.equal(*pair) for pair in zip(before, model.parameters(), strict=True))
    plain.eval(stream.benchmark.test_stream[:2])
    known = NearestCentroid().fit(*(part.numpy() for part in of_experiences(stream, 2)))
    x = torch.cat([experience.samples.x for experience in stream.evaluation[:2]]).flatten(1)
    assert torch.cat(outputs).tolist() == known.predict(x.numpy()).tolist()


def of_experiences(stream, number):
    rows = stream.samples.rows([row for experience in stream.train[:number] for row in experience.rows])
    return rows.x.flatten(1), rows.y


def test_a_stored_learner_says_that_it_predicts_without_the_read_out(tmp_path):
    learner = clep.Learner(clep.Network([4, 3, 2]))
    learner.read_out = "class_means"
    learner.save(tmp_path / "learner.ckpt")
    with pytest.warns(UnusedWarning, match=r"those of the read-out of `class_means`, which a stored learner does not"):
        assert clep.load(tmp_path / "learner.ckpt").read_out == "class_means"


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (lambda x: torch.zeros(1, 10), r"Wrong\.read_out returned \(1, 10\)"),
        (lambda x: [0.0], r"Wrong\.read_out returned list"),
        (lambda x: x.nothing, r"Wrong\.read_out failed: AttributeError"),
    ],
)
def test_a_read_out_without_scores_is_named(stream, scores, message):
    class Wrong(Strategy):
        def read_out(self, network, x):
            return scores(x)

    training = clep.Training(clep.Learner(clep.Network([64, 8, 10])), [Wrong()])
    with pytest.raises(StrategyError, match=message):
        evaluated(training.template, stream.evaluation, training.strategies)


@pytest.mark.parametrize(
    ("make", "options"),
    [(SLDA, {"shrinkage": 0.0}), (Ridge, {"penalty": 0.0}), (Ridge, {"features": 0}), (ClassMeans, {"features": "x"})],
)
def test_what_makes_no_sense_is_refused(make, options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        make(**options)
