#!/usr/bin/env bash
# Reproduces experiments/results/pets_cartpole/: every kind of model with its valid propagations, and
# other planners than CEM. Existing runs are resumed, so the script can be interrupted.
#
#   bash experiments/results/pets_cartpole.sh     # from the root of the repository
#
# Variables and their defaults: PYTHON=.venv/bin/python SEEDS="0 1 2" TRIALS=15; METHODS: see below.
set -euo pipefail
python=${PYTHON:-.venv/bin/python} seeds=${SEEDS:-0 1 2} trials=${TRIALS:-15}
runs=runs/pets_cartpole results=experiments/results/pets_cartpole
methods=${METHODS:-PE-TSinf-cem PE-TS1-cem PE-E-cem DE-TSinf-cem DE-TS1-cem DE-E-cem P-DS-cem P-MM-cem P-E-cem D-E-cem
  PE-TSinf-random_shooting PE-TSinf-icem PE-TSinf-cem-bfloat16 PE-DS-cem PE-MM-cem DE-DS-cem DE-MM-cem GP-E-cem}
mkdir -p "$results"

for seed in $seeds; do
  for method in $methods; do
    IFS=- read -r kind propagation planner precision <<<"$method"
    run=$runs/$method-seed$seed
    options=(--algo=pets --env=cartpole --seed="$seed" --novideo --eval_every=0 --config.trials="$trials"
      --config.model.kind="$kind" --config.model.propagation="$propagation" --config.planner.name="$planner"
      --config.model.precision="${precision:-float32}")
    if [ -e "$run/config.json" ]; then options=(--resume); fi
    "$python" -m experiments.train --logdir="$run" "${options[@]}"
    cp "$run/metrics.csv" "$results/$method-seed$seed.csv"
  done
done
"$python" -m experiments.plot --runs $(ls -d "$runs"/*/) --threshold=175 --title="PETS on cart-pole" \
  --group=config.model.kind,config.model.propagation,config.planner.name,config.model.precision \
  --out="$results/comparison.png"
