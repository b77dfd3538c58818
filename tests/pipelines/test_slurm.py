"""A job array of SLURM: each job a seed, and one table of all of them that trains nothing."""

import pytest
from clep.pipelines import compare as comparing

from clep import tracking
from clep.config import compose


@pytest.mark.slow
@pytest.mark.usefixtures("without_page")
def test_the_jobs_of_an_array_make_one_table_that_trains_nothing(small, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_NTASKS", "4")  # Lightning would wait for three others
    config = small | {"cells": [["naive"], ["joint"]], "workers": 0}
    jobs = []
    for seed in (0, 1):
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", str(seed))
        jobs.append(comparing.compare(compose(config | {"seeds": [seed]})))
    whole = comparing.compare(compose(config | {"seeds": [0, 1]}), resume=True)
    assert tracking.children_of(whole.tracking_uri, whole.parent_run_id) == []
    found = {run.run_id: run.accuracy_matrix for job in jobs for run in job.runs}
    assert {run.run_id: run.accuracy_matrix for run in whole.runs} == found
    assert len(found) == 4
