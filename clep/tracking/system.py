"""Metrics of the machine while a run trains, by MLflow's monitor; the run sends them with its own."""

import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from clep.tracking.store import load_mlflow

Point = tuple[str, float, int, int]
"""Name, value, milliseconds since 1970, step."""


def system_metrics(run_id: str) -> Any:
    """MLflow's monitor of the machine, started for a run; None unless `MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING` asks.

    It notes its points in `taken` and sends nothing: what it sent itself would be lost while a store is in trouble, and
    the end of the run would wait for it.

    Args:
        run_id: of the run.
    """
    if not load_mlflow().environment_variables.MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING.get():
        return None
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    class Monitor(SystemMetricsMonitor):
        taken: deque[Point]

        def monitor(self) -> None:
            while not self._shutdown_event.is_set():
                for _ in range(self.samples_before_logging):
                    self.collect_metrics()
                    self._shutdown_event.wait(self.sampling_interval)
                self.publish_metrics(self.aggregate_metrics())

        def publish_metrics(self, metrics: Mapping[str, float]) -> None:
            now = int(time.time() * 1000)
            prefix = self._metrics_prefix + (f"{self.node_id}/" if self.node_id else "")
            self.taken.extend((prefix + name, float(value), now, self._logging_step) for name, value in metrics.items())
            self._logging_step += 1
            for monitor in self.monitors:
                monitor.clear_metrics()

    monitor = Monitor(run_id)
    monitor.taken = deque()
    monitor.start()
    return monitor
