"""Small networks and quiet trainers."""

import pytorch_lightning as pl

from clep.equilibrium import Network, TimeStep

PLAIN = {"momentum": 0.0}  # what C-EP insists on


def network(**arguments):
    steps = TimeStep("lognormal", mean=0.7, spread=0.4)
    return Network([64, 32, 10], **{"seed": 3, "bias": True, "nudged_steps": 4, "time_step": steps} | arguments)


def trainer(epochs=1, **arguments):
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    return pl.Trainer(max_epochs=epochs, accelerator="cpu", enable_model_summary=False, **quiet | arguments)


class Losses(pl.Callback):
    """Collects `train/loss` and the learning rates of every epoch."""

    def __init__(self):
        self.losses, self.rates = [], []

    def on_train_epoch_start(self, trainer, module):
        self.rates.append([group["lr"] for group in trainer.optimizers[0].param_groups])

    def on_train_epoch_end(self, trainer, module):
        self.losses.append(float(trainer.callback_metrics["train/loss"]))
