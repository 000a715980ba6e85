#!/usr/bin/env bash
# The commands that wrote the folders beside this file, each named by its --out, to be run in the root of a
# checkout. Some take seconds, some of the sweeps hours: run the one that you want.
set -euo pipefail

# UGS is centralized training; FLS and FPLS are not
pslref compare --dataset fashion-mnist --partition severe --clients 64 --batch-size 128 --hidden 256,128 \
  --sampler centralized,fls,fpls,ugs,lds --learning-rate 0.05 --epochs 4 --seeds 5 --dtype float32 \
  --out results/fashion-severe-mlp
pslref compare --dataset fashion-mnist --partition severe --clients 64 --batch-size 128 --model cnn \
  --sampler centralized,fls,fpls,ugs,lds --learning-rate 0.05 --epochs 2 --seeds 3 --dtype float32 \
  --out results/fashion-severe-cnn
pslref compare --dataset fashion-mnist --partition iid --clients 64 --batch-size 128 --hidden 256,128 \
  --sampler centralized,fls,fpls,ugs,lds --learning-rate 0.05 --epochs 4 --seeds 3 --dtype float32 \
  --out results/fashion-iid-mlp
pslref compare --dataset cifar10 --partition severe --clients 64 --batch-size 128 --model cnn \
  --sampler centralized,ugs --learning-rate 0.05 --epochs 2 --seeds 1 --dtype float32 \
  --out results/cifar10-severe-cnn

# The paper's tables, in kind
pslref sweep --dataset fashion-mnist --partition iid,mild,severe --clients 16,32,64,128 --batch-size 128 \
  --hidden 256,128 --learning-rate 0.01 --epochs 10 --seeds 3 --dtype float32 --jobs 2 \
  --out results/tables/fashion-mlp
pslref sweep --dataset fashion-mnist --partition severe --clients 128 --batch-size 64,128,256 \
  --hidden 256,128 --sampler centralized,fls,fpls,ugs,lds --learning-rate 0.01 --epochs 10 --seeds 3 \
  --dtype float32 --jobs 2 --out results/tables/fashion-mlp-batch
pslref sweep --dataset fashion-mnist --partition severe --clients 16,128 --batch-size 128 --model cnn \
  --sampler centralized,fls,fpls,ugs,lds --learning-rate 0.02 --epochs 4 --seeds 3 --dtype float32 --jobs 2 \
  --out results/tables/fashion-cnn
pslref sweep --dataset cifar10 --partition severe --clients 128 --batch-size 128 --model cnn \
  --sampler centralized,fls,fpls,ugs,lds --learning-rate 0.02 --epochs 6 --seeds 3 --dtype float32 --jobs 2 \
  --out results/tables/cifar-cnn
for split in iid mild severe; do
  for clients in 16 32 64 128; do
    pslref deviation --dataset fashion-mnist --batch-size 128 --partition $split --clients $clients \
      --out results/tables/deviation/$split-$clients
  done
done

# LDS saves the time the paper says
few="--fraction 0.125 --slowdown 10 --jitter 0.2"
many="--fraction 0.3 --slowdown 5 --jitter 0.2"
lds() {  # the split, the number of clients, who is slow, the folder
  pslref plan --dataset fashion-mnist --partition $1 --clients $2 --batch-size 128 $3 --sampler ugs,lds \
    --delta 0.5,1,2 --concentration 0.01,1 --seeds 3 --accuracy --hidden 256,128 --learning-rate 0.05 \
    --epochs 4 --dtype float32 --out results/stragglers/$4
}
lds severe 16 "$few" severe-16
lds severe 64 "$few" severe-64
lds severe 128 "$few" severe-128
lds mild 64 "$few" mild-64
lds severe 64 "$many" severe-64-many

# Class targets keep the promise
pslref compare --dataset fashion-mnist --partition severe --clients 64 --batch-size 128 --hidden 256,128 \
  --sampler centralized,ugs,lds,targets,stratified --delta 0.5 --concentration 1 --learning-rate 0.05 \
  --epochs 4 --seeds 5 --dtype float32 --out results/fashion-severe-targets
pslref sweep --dataset fashion-mnist --partition severe --clients 64 --batch-size 128 --hidden 256,128 \
  --sampler lds --concentration 0.01,0.1,1,10,100 --delta 0.1,0.25,0.5,1 --learning-rate 0.05 --epochs 4 \
  --seeds 5 --dtype float32 --jobs 2 --out results/fashion-severe-lds
for both in "16 0.00625" "16 0.025" "32 0.0125" "32 0.05" "64 0.025" "64 0.1"; do
  read -r batch rate <<< "$both"
  pslref compare --dataset fashion-mnist --partition iid --clients 1 --batch-size $batch --hidden 256,128 \
    --sampler centralized,stratified --learning-rate $rate --epochs 4 --seeds 5 --dtype float32 \
    --out results/small-batches/b$batch-lr$rate
done

# The frontier
frontier() {  # the split, the number of clients, who is slow, what they are called
  pslref plan --dataset fashion-mnist --partition $1 --clients $2 --batch-size 128 $3 \
    --sampler ugs,fpls,lds,targets,stratified --delta 0.5,1,2 --concentration 1 \
    --slack 0,0.2,0.4,0.6,0.8,1,2 --seeds 3 --out results/frontier/$1-$2-$4
}
for split in severe mild; do
  for clients in 16 64 128; do
    frontier $split $clients "$few" few
    frontier $split $clients "$many" many
    frontier $split $clients "--fraction 0 --slowdown 1 --jitter 1" jitter-1
  done
done
pslref plan --dataset fashion-mnist --partition severe --clients 64 --batch-size 128 --fraction 0 \
  --slowdown 1 --jitter 0.001 --sampler ugs,lds,stratified --delta 0.5,1,2 --concentration 1 --slack 0,0.4 \
  --seeds 3 --out results/frontier/severe-64-jitter-0.001

# When samples take time
for cost in 0 0.01 0.1 1; do
  pslref plan --dataset fashion-mnist --partition severe --clients 64 --batch-size 128 $few \
    --sampler ugs,fpls,lds,targets,stratified --delta 0.5,1 --concentration 1 \
    --assign slowest-first,planned,random --sample-cost $cost --seeds 3 --out results/costs/severe-64-$cost
done

# The epoch planned as a whole
python -m tools.planned_gap results/planned-gap.csv 16,64,128
python -m tools.planned_gap results/planned-seconds.csv seconds

# How far below the least time the bound is
python -m tools.least_gap results/least-gap.csv 8

# Head to head: times and bytes; then accuracy, which goes on where it was stopped
python -m tools.head_to_head results/head-to-head.csv
python -m tools.trained cifar10 3 1 results/head-to-head-cifar10.csv data
python -m tools.trained fashion-mnist 3 2 results/head-to-head-fashion-mnist.csv data

# What class targets do not see
python -m tools.turned results/within-class/turned.csv

# Losing clients
pslref compare --dataset fashion-mnist --partition severe --clients 64 --batch-size 128 --hidden 256,128 \
  --faults 0,0.1,0.3 --learning-rate 0.05 --epochs 3 --seeds 3 --dtype float32 \
  --out results/fashion-severe-faults

# The oracle
python -m tools.oracle faults results/oracle/faults.csv
python -m tools.oracle right results/oracle/right-pslref.csv 13 pslref.oracle.library:Library
python -m tools.oracle right results/oracle/right-plain.csv 11 tests.backends.plain:Plain
python -m tools.oracle right results/oracle/right-javascript.csv 30 "node docs/examples/backend.js"
python -m tools.oracle right results/oracle/right-pytorch-float32.csv 50 tests.backends.pytorch:PyTorch
python -m tools.oracle right results/oracle/right-pytorch-float64.csv 40 tests.backends.pytorch:float64

# Every byte
python -m tools.traffic results/traffic.csv

# Time and bytes to an accuracy
pslref compare --dataset fashion-mnist --partition severe --clients 64 --batch-size 128 --hidden 64 \
  --learning-rate 0.05 --epochs 4 --seeds 5 --dtype float32 --links mobile --target 0.84 \
  --assign slowest-first --out results/to-target

# The best cut
for links in datacentre home mobile; do
  for network in "mlp 1,3,5 --hidden 256,128" "cnn 1,3,6,7"; do
    read -r model cuts hidden <<< "$network"
    pslref plan --dataset fashion-mnist --partition severe --clients 64 --batch-size 128 --dtype float32 \
      --sampler stratified --seeds 1 --links $links --model $model --cut $cuts $hidden --assign slowest-first,planned \
      --out results/cuts/$links-$model
  done
done
