// Parallel split learning in plain JavaScript, as the oracle asks for it: one JSON object on each line
// of stdin, one answer on each line of stdout. The playground runs on the same three scripts.
//
//     pslref oracle check --command "node docs/examples/backend.js"

"use strict";
for (const name of ["samplers", "laws", "training"]) require(`./${name}.js`);
const { sum, range, total } = psl;

// ---- arrays: {dtype, shape, data}, the last axis runs fastest; a matrix is a list of rows

const rows = (a) => {
  const width = a.shape[0] ? a.data.length / a.shape[0] : 0;
  return range(a.shape[0]).map((n) => a.data.slice(n * width, (n + 1) * width));
};
const shapeOf = (nested) =>
  Array.isArray(nested) ? [nested.length, ...shapeOf(nested[0])] : [];
const array = (dtype, nested, shape = shapeOf(nested)) => ({ dtype, shape, data: nested.flat(Infinity) });
const floats = (nested, shape) => array("float64", nested, shape);
const counts = (nested) => array("int64", nested);

// ---- what the oracle may ask

function splitSteps({ weights, batch_sizes, x, y, eval_x, ...settings }) {
  const schedule = rows(batch_sizes);
  const matrix = (w) => (w.shape.length > 1 ? rows(w) : [w.data]);
  const matrices = Object.entries(weights).map(([name, w]) => [name, matrix(w)]);
  const given = { ...settings, weights: Object.fromEntries(matrices) };
  const { client, server, step, logits } = psl.federation(given);
  // In the shapes of the weights that were given, after the axes that `all` has before them.
  const encoded = (all, ...before) =>
    Object.fromEntries(
      Object.entries(all).map(([name, w]) => [name, floats(w, [...before, ...weights[name].shape])]),
    );
  // What each of K clients would use in the next step.
  const everybodys = (all, K) =>
    Object.fromEntries(Object.entries(all).map(([name, w]) => [name, Array(K).fill(w)]));
  const images = rows(x);
  let used = 0;
  const steps = schedule.map((batch) => {
    const taken = step(
      batch.map((b) => {
        used += b;
        return { x: images.slice(used - b, used), y: y.data.slice(used - b, used) };
      }),
    );
    return {
      smashed: floats(taken.smashed),
      loss: taken.loss,
      cut_gradient: floats(taken.atCut),
      summed_gradients: encoded(taken.summed),
      client_weights: encoded(everybodys(client.parameters, batch.length), batch.length),
      server_weights: encoded(server.parameters),
    };
  });
  return { steps, logits: floats(logits(rows(eval_x))) };
}

const operations = {
  linear({ x, weight, bias, dy }) {
    const layer = psl.linear(rows(weight), [bias.data]);
    const y = layer.forward(rows(x));
    const [dx, gradients] = layer.backward(rows(dy));
    return {
      y: floats(y),
      dx: floats(dx),
      dweight: floats(gradients.weight),
      dbias: floats(gradients.bias[0]),
    };
  },
  relu({ x, dy }) {
    const layer = psl.relu();
    const y = floats(layer.forward(rows(x)), x.shape);
    return { y, dx: floats(layer.backward(rows(dy))[0], x.shape) };
  },
  cross_entropy({ logits, labels }) {
    const [loss, gradient] = psl.crossEntropy(rows(logits), labels.data);
    return { loss, dlogits: floats(gradient) };
  },
  sgd({ weight, gradients, ...settings }) {
    const w = [weight.data.slice()];
    const update = psl.sgd(settings);
    const after = rows(gradients).map((g) => {
      update({ w }, { w: [g] });
      return w[0].slice();
    });
    return { weights: floats(after, gradients.shape) };
  },
  split_steps: splitSteps,
  fls({ sizes: { data: sizes }, batch_size: B }) {
    return { batch_sizes: counts(psl.fixed(sizes, psl.localBatches(sizes, B, false))) };
  },
  fpls({ sizes: { data: sizes }, batch_size: B }) {
    return { batch_sizes: counts(psl.fixed(sizes, psl.localBatches(sizes, B, true))) };
  },
  ugs_replay({ sizes: { data: sizes }, batch_size: B, remainder, permutation }) {
    const batches = psl.batchSizes(sum(sizes), B, remainder);
    return { batch_sizes: counts(psl.ugs(sizes, batches, permutation.data)) };
  },
  lds_prior({ sizes, pseudo_samples: S, concentration: c, delta, delays }) {
    return { alpha: floats(psl.prior(sizes.data, S, c, delta, delays.data)) };
  },
  lds_em({ alpha, class_counts, label_counts, start, iterations }) {
    const given = [alpha.data, rows(class_counts), label_counts.data, start.data];
    return { mixing_weights: floats(psl.em(...given, 0, iterations)) };
  },
  lds_replay({ sizes: { data: sizes }, batch_size: B, remainder, draws }) {
    const [batches, named] = [psl.batchSizes(sum(sizes), B, remainder), draws.data.values()];
    return { batch_sizes: counts(psl.drawn(sizes, batches, () => () => named.next().value)) };
  },
  batch_deviation({ batch_class_counts, class_probs }) {
    const each = rows(batch_class_counts).map((c) => psl.deviation(c, class_probs.data));
    return { deviation: floats(each) };
  },
  batch_law({ batch_sizes, class_counts }) {
    const [schedule, held] = [rows(batch_sizes), rows(class_counts)];
    const p = psl.shares(total(held));
    const laws = schedule.map((step) => psl.classLaws(step, held));
    const means = laws.map((step) => step.map((law) => psl.expected(law, (c) => c)));
    const variance = (law, mean) => psl.expected(law, (c) => (c - mean) ** 2);
    return {
      mean: floats(means),
      variance: floats(laws.map((step, t) => step.map((law, m) => variance(law, means[t][m])))),
      expected_deviation: floats(schedule.map((step) => psl.expectedDeviation(step, held, p))),
    };
  },
  uniform_deviation({ class_totals: { data: totals }, batch_size: B }) {
    return { expected_deviation: psl.expectedDeviation([B], [totals], psl.shares(totals)) };
  },
  step_times({ batch_sizes, delays, sample_costs, server_time }) {
    const time = (step) => psl.stepTime(step, delays.data, sample_costs.data, server_time);
    return { times: floats(rows(batch_sizes).map(time)) };
  },
  rooms({ deadlines, delays, sample_costs, batch_size: B }) {
    const room = (z, d, s) => (z < d ? 0 : s > 0 ? Math.min(B, Math.floor((z - d) / s)) : B);
    const until = (d, k) => deadlines.data.map((z) => room(z, d, sample_costs.data[k]));
    return { rooms: counts(delays.data.map(until)) };
  },
  sample({ sampler, class_counts, batch_size: B, remainder, delays, delta, num_schedules, seed }) {
    const [held, random] = [rows(class_counts), psl.generator(seed)];
    const sizes = held.map(sum);
    const batches = psl.batchSizes(sum(sizes), B, remainder);
    const draw = {
      fls: () => psl.fixed(sizes, psl.localBatches(sizes, B, false)),
      fpls: () => psl.fixed(sizes, psl.localBatches(sizes, B, true)),
      ugs: () => psl.ugs(sizes, batches, psl.shuffled(range(sum(sizes)), random)),
      lds: () => psl.lds(held, batches, delta, delays.data, random),
    }[sampler];
    return { schedules: counts(range(num_schedules).map(draw)) };
  },
  class_targets({ draw, assign, class_counts, batch_size: B, remainder, delays, num_schedules, seed }) {
    if (assign === "planned") throw { unsupported: "no linear program here" };
    const [held, random] = [rows(class_counts), psl.generator(seed)];
    const batches = psl.batchSizes(sum(held.map(sum)), B, remainder);
    const drawn = range(num_schedules).map(() =>
      psl.classTargets(held, batches, draw, assign, delays.data, random),
    );
    const targets = drawn.map((steps) => steps.map(total));
    return { targets: counts(targets), local_class_counts: counts(drawn) };
  },
  local_batches({ owners, batch_sizes, epochs, seed }) {
    const demands = rows(batch_sizes).map((step) => step.map((b) => [b]));
    return handedOut(owners.data, [], demands, epochs, seed);
  },
  local_class_batches({ owners, labels, local_class_counts: local, epochs, seed }) {
    const [, K, M] = local.shape;
    const demands = rows(local).map((step) => rows({ shape: [K, M], data: step }));
    return handedOut(owners.data, labels.data, demands, epochs, seed);
  },
};

function handedOut(owners, labels, demands, epochs, seed) {
  const random = psl.generator(seed);
  return { samples: counts(range(epochs).map(() => psl.handedOut(owners, labels, demands, random).flat(2))) };
}

function answer({ id, op, inputs }) {
  if (op === "hello") {
    const capabilities = Object.keys(operations);
    return { id, outputs: { name: "JavaScript example", dtype: "float64", capabilities } };
  }
  try {
    return { id, outputs: operations[op](inputs) };
  } catch (error) {
    if (error.unsupported) return { id, unsupported: error.unsupported };
    return { id, error: error.message };
  }
}

require("readline")
  .createInterface({ input: process.stdin })
  .on("line", (line) => console.log(JSON.stringify(answer(JSON.parse(line)))));
