#!/usr/bin/env bash
# Check clep on a GPU in under six minutes: the tests marked `cuda`, updates on CPU and GPU, and one run of the main job.
# Writes gpu.md: the card, what passed, and a table. Usage: scripts/gpu_check.sh [PYTHON], from the root of a checkout.
set -uo pipefail
python=${1:-.venv/bin/python}
out=${OUT:-.}
export CLEP_PROGRESS=0
"$python" -c 'import sys, torch; sys.exit(0 if torch.cuda.is_available() else "torch finds no CUDA device here")' || exit 2

{
  echo "# GPU check"
  echo
  "$python" -c 'import torch; print(torch.cuda.get_device_name(), "| torch", torch.__version__, "| CUDA", torch.version.cuda)'
  echo
  echo "## Tests marked cuda"
  echo '```'
  timeout 120 "$python" -m pytest -q -m cuda tests 2>&1 | tail -5
  tests=${PIPESTATUS[0]}
  echo '```'
  echo "## One update, ms (T 20/4, centered, CostNudging, SGD)"
  echo
  timeout 90 "$python" scripts/gpu_updates.py
  updates=$?
  echo
  echo "## The main job: awake_rehearsal+sleep_replay on digits"
  for settings in device=cpu device=cuda "device=cuda learner.cuda_graph=on"; do
    echo "$settings"
    echo '```'
    # shellcheck disable=SC2086  # one word or two
    timeout 50 "$python" -m clep run strategies=[awake_rehearsal,sleep_replay] $settings \
      "tracking.uri=sqlite:///$out/gpu_check.db" 2>/dev/null | grep -E '^(accuracy  |forgetting|seconds)'
    [ "${PIPESTATUS[0]}" -eq 0 ] || job=1
    echo '```'
  done
} > "$out/gpu.md"
cat "$out/gpu.md"
[ "$tests" -eq 0 ] && [ "$updates" -eq 0 ] && [ -z "${job:-}" ]
