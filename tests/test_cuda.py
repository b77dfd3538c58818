"""On a GPU: the numbers of the CPU, as far as single precision carries. Skipped where there is none."""

import pytest
import torch

import clep
from clep import registry
from clep.equilibrium import ConvLayer

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device here"),
]

NETWORKS = {
    "dense": lambda: clep.Network([64, 32, 10], seed=0),
    "deep, energy": lambda: clep.Network([64, 32, 32, 10], seed=0, dynamics="energy"),
    "convolution": lambda: clep.Network([(1, 8, 8), ConvLayer(4, kernel=3, padding=1), 10], seed=0),
    "asynchronous": lambda: clep.Network([64, 32, 10], seed=0, relaxation="asynchronous"),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("gradient", ["LinearNudging", "CostNudging"])
def test_the_gradient_is_that_of_the_cpu(name, gradient):
    x, y = clep.stream("digits").test[0].samples.rows(range(32)).x, torch.arange(32) % 10
    found = {}
    for device in ("cpu", "cuda"):
        learner = clep.Learner(NETWORKS[name](), gradient=getattr(clep, gradient)()).to(device)
        learner.loss(learner.predict(x.to(device)), y.to(device)).backward()
        found[device] = torch.cat([p.grad.flatten().cpu() for p in learner.network.parameters()])
    cosine = torch.nn.functional.cosine_similarity(found["cpu"], found["cuda"], dim=0)
    assert float(cosine) > 0.999


@pytest.mark.parametrize(
    "strategies", [["naive"], ["awake_rehearsal", "sleep_replay"], ["dreams"], ["neuronal_adaptation"], ["ewc"]]
)
def test_a_stream_is_learned_with_everything_on_the_gpu(strategies):
    stream = clep.stream("digits", experiences=2, samples_per_experience=100, class_order="fixed")
    options = {"sleep_replay": {"calibration": "published", "steps": 100}, "ewc": {"ewc_lambda": 1.0}}
    found = {}
    for device in ("cpu", "cuda"):
        learner = clep.Learner(clep.Network([64, 32, 10], seed=0), lr=0.05)
        training = clep.Training(learner, registry.build(strategies, options, seed=0), epochs=3, device=device)
        found[device] = training.run(stream).matrix
        assert {weight.device.type for weight in learner.network.parameters()} == {device}
    assert abs(found["cpu"] - found["cuda"]).max() < 0.15


@pytest.mark.parametrize("gradient", ["LinearNudging", "CostNudging", "Clamping", "Backpropagation"])
@pytest.mark.parametrize("name", NETWORKS)
def test_updates_as_a_cuda_graph_are_updates_as_usual(name, gradient):
    stream = clep.stream("digits", experiences=2, samples_per_experience=200, class_order="fixed")
    found = {}
    for choice in ("off", "on"):
        learner = clep.Learner(NETWORKS[name](), gradient=getattr(clep, gradient)(), lr=0.05)
        training = clep.Training(learner, epochs=4, device="cuda", cuda_graph=choice)
        held = [learner(torch.rand(2, *learner.network.shapes[0], device="cuda"))]  # its nodes are of another stream
        result = training.run(stream)
        del held
        weights = torch.cat([weight.detach().flatten().cpu() for weight in learner.network.parameters()])
        found[choice] = weights, [report.curve for report in result.reports]
    torch.testing.assert_close(found["on"][0], found["off"][0], rtol=0.0, atol=1e-5)
    for usual, replayed in zip(found["off"][1], found["on"][1], strict=True):
        assert replayed == [pytest.approx(point, abs=1e-4) for point in usual]


def test_a_run_goes_on_from_a_checkpoint_that_was_written_on_the_gpu(tmp_path):
    stream = clep.stream("digits", experiences=2, samples_per_experience=100, class_order="fixed")

    def training():
        return clep.Training(clep.Learner(clep.Network([64, 32, 10], seed=0)), epochs=2, device="cuda")

    first, path = training(), tmp_path / "first.ckpt"
    whole = first.run(stream, lambda report, so_far: report.index == 0 and first.save(path))
    assert (training().resume(path, stream).matrix == whole.matrix).all()
