#!/usr/bin/env bash
# Learning curves of our soft actor-critic, Stable-Baselines3's and Brax' on two of our tasks, one seed after the other.
#
#   PEER=peer/bin/python bash experiments/results/sac_curves.sh     # a Python that has stable-baselines3 as well
#
# The same nets (two times 64), batches of 256, learning rate 1e-3 and one gradient step for each environment step, after
# 1,000 random ones. Writes {sb3,brax}_sac_TASK.csv to experiments/results/hybrid and draws them beside pendulum_sac.csv;
# a finished seed is not run again.
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
