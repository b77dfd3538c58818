"""A learner in plain Lightning: checkpoints, early stopping, MLflow and accumulated gradients, as for any module."""

import pytorch_lightning as pl
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from pytorch_lightning.loggers import MLFlowLogger

import clep

digits = clep.stream("digits", experiences=1, validation_fraction=0.2, evaluate_on="validation")
learner = clep.Learner(clep.Network([64, 64, 10]), lr=0.2)
best = ModelCheckpoint("checkpoints", monitor="validation/accuracy", mode="max", filename="best")
patience = EarlyStopping("validation/accuracy", mode="max", patience=2)
trainer = pl.Trainer(
    max_epochs=20,
    accumulate_grad_batches=2,  # the gradients of two batches make one step
    callbacks=[best, patience],
    logger=MLFlowLogger("plain lightning", tracking_uri="sqlite:///mlflow.db"),
    enable_progress_bar=False,
)
trainer.fit(learner, digits.train[0].loader(32), digits.validation[0].loader(256, shuffle=False))

again = clep.Learner.load_from_checkpoint(best.best_model_path)
(measured,) = trainer.validate(again, digits.validation[0].loader(256, shuffle=False), verbose=False)
print(f"stopped in epoch {trainer.current_epoch}, best accuracy {best.best_model_score:.3f}")
print(f"the checkpoint has {measured['validation/accuracy']:.3f}")
