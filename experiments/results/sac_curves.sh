#!/usr/bin/env bash
# Trains Stable-Baselines3's and Brax' SAC on two tasks of mbrl_jax, one seed after another, and plots their learning
# curves with mbrl_jax's. Needs Stable-Baselines3 in the same Python as mbrl_jax:
#
#   .venv/bin/python -m pip install -c constraints.txt -e '.[gymnasium]' stable-baselines3
#   bash experiments/results/sac_curves.sh
#
# All use two hidden layers of 64, batches of 256, a learning rate of 1e-3 and one gradient step per environment step,
# after 1,000 random steps. Writes {sb3,brax}_sac_TASK.csv to experiments/results/hybrid and plots them with
# pendulum_sac.csv; finished seeds are not run again. Variables and their defaults: PYTHON=.venv/bin/python,
# PEER=$PYTHON (the Python for Stable-Baselines3, which needs mbrl_jax too), OUT=experiments/results/hybrid, SEEDS="0 1 2".
set -euo pipefail
PYTHON=${PYTHON:-.venv/bin/python} PEER=${PEER:-$PYTHON} OUT=${OUT:-experiments/results/hybrid} SEEDS=${SEEDS:-"0 1 2"}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

learn() {  # name python program task steps evaluations
  for seed in $SEEDS; do
    part=runs/sac_curves/$1_$4-seed$seed.csv
    mkdir -p runs/sac_curves
    [ -f "$part" ] || "$2" -m "experiments.examples.$3" --env="$4" --steps="$5" --evaluations="$6" --seed="$seed" --out="$part"
  done
  awk 'FNR > 1 || NR == 1' runs/sac_curves/"$1_$4"-seed*.csv > "$OUT/$1_sac_$4.csv"
}

for task in pendulum:10000:25 inverted_pendulum:15000:25; do
  IFS=: read -r name steps evaluations <<< "$task"
  learn brax "$PYTHON" brax_trains_ours "$name" "$steps" "$evaluations"
  learn sb3 "$PEER" sb3_trains_ours "$name" "$steps" "$evaluations"
done

"$PYTHON" -m experiments.plot --band=iqm --threshold=-200 --title="soft actor-critic, three seeds" --out="$OUT/sac_curves.png" \
  --table="pendulum:ours=$OUT/pendulum_sac.csv" --table="pendulum:stable-baselines3=$OUT/sb3_sac_pendulum.csv" \
  --table="pendulum:brax=$OUT/brax_sac_pendulum.csv"
