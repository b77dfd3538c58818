"""clep's strategies in plain Avalanche: its own `Naive`, evaluation and loggers, and a network of your own."""

import torch
from avalanche.evaluation.metrics import accuracy_metrics, forgetting_metrics
from avalanche.logging import CSVLogger
from avalanche.training import Naive
from avalanche.training.plugins import EvaluationPlugin
from clep.strategies.awake_rehearsal import AwakeRehearsal

import clep

FORGETTING, ACCURACY = "StreamForgetting/eval_phase/test_stream", "Top1_Acc_Stream/eval_phase/test_stream/Task000"
benchmark = clep.stream("digits", experiences=5, samples_per_experience=100, class_order="fixed").benchmark


def train(*strategies):
    """Accuracy and forgetting at the end of the stream; Avalanche writes both to `log/eval_results.csv` as it goes."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
    evaluator = EvaluationPlugin(
        accuracy_metrics(stream=True), forgetting_metrics(stream=True), loggers=[CSVLogger("log")]
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    naive = Naive(
        model=model, optimizer=optimizer, plugins=strategies, evaluator=evaluator, train_mb_size=10, train_epochs=5
    )
    for experience in benchmark.train_stream:
        naive.train(experience)
        measured = naive.eval(benchmark.test_stream)
    return measured[ACCURACY], measured[FORGETTING]


for name, strategies in {"naive": (), "awake rehearsal": (AwakeRehearsal(memory_size=50),)}.items():
    accuracy, forgetting = train(*strategies)
    print(f"{name:15}  accuracy {accuracy:.2f}  forgetting {forgetting:.2f}")
