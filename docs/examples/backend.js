// Parallel split learning of a multilayer perceptron in plain JavaScript, and the forty lines that
// let the oracle ask it: one JSON object on each line of stdin, one answer on each line of stdout.
//
//     pslref oracle check --command "node docs/examples/backend.js"

// ---- arrays: {dtype, shape, data}, the last axis runs fastest; a matrix is a list of rows

const rows = (a) => {
  const width = a.shape[0] ? a.data.length / a.shape[0] : 0;
  return Array.from({ length: a.shape[0] }, (_, n) => a.data.slice(n * width, (n + 1) * width));
};
const array = (dtype, shape, nested) => ({ dtype, shape, data: nested.flat(Infinity) });
const matrix = (m) => array("float64", [m.length, m[0].length], m);
const vector = (v) => array("float64", [v.length], v);
const counts = (m) => array("int64", [m.length, m[0].length], m);
const sum = (v) => v.reduce((a, b) => a + b, 0);
const range = (n) => [...Array(n).keys()];

// ---- layers: forward keeps what backward needs; a bias is a matrix with one row

function linear(weight, bias) {
  let input;
  return {
    parameters: { weight, bias },
    forward(x) {
      input = x;
      return x.map((row) => bias[0].map((b, o) => b + sum(row.map((v, i) => v * weight[i][o]))));
    },
    backward(dy) {
      const dweight = weight.map((w, i) => w.map((_, o) => sum(dy.map((d, n) => d[o] * input[n][i]))));
      const dbias = [bias[0].map((_, o) => sum(dy.map((d) => d[o])))];
      const dx = dy.map((d) => weight.map((w) => sum(w.map((v, o) => v * d[o]))));
      return [dx, { weight: dweight, bias: dbias }];
    },
  };
}

function relu() {
  let input;
  return {
    parameters: {},
    forward(x) {
      input = x;
      return x.map((row) => row.map((v) => Math.max(v, 0)));
    },
    backward: (dy) => [dy.map((d, n) => d.map((v, i) => (input[n][i] > 0 ? v : 0))), {}],
  };
}

// Rows are flat already.
const flatten = () => ({ parameters: {}, forward: (x) => x, backward: (dy) => [dy, {}] });

function crossEntropy(logits, labels) {
  let loss = 0;
  const gradient = logits.map((z, n) => {
    if (!(labels[n] in z)) throw new Error(`label ${labels[n]} belongs to no logit`);
    const largest = Math.max(...z);
    const e = z.map((v) => Math.exp(v - largest));
    const total = sum(e);
    loss += (Math.log(total) - (z[labels[n]] - largest)) / logits.length;
    return e.map((v, m) => (v / total - (m === labels[n] ? 1 : 0)) / logits.length);
  });
  return [loss, gradient];
}

// g <- g + decay w; v <- momentum v + g; w <- w - rate v
function sgd({ learning_rate: rate, momentum, weight_decay: decay }) {
  const velocity = {};
  return (parameters, gradients) => {
    for (const [name, w] of Object.entries(parameters)) {
      const v = (velocity[name] ??= w.map((row) => row.map(() => 0)));
      w.forEach((row, i) =>
        row.forEach((value, j) => {
          v[i][j] = momentum * v[i][j] + gradients[name][i][j] + decay * value;
          row[j] -= rate * v[i][j];
        }),
      );
    }
  };
}

// ---- parallel split learning

function half(specs, first, weights) {
  const own = (index, name) => rows(weights[`${index}.${name}`]);
  const layers = specs.map((spec, i) => {
    if (spec.type === "linear") {
      return linear(own(first + i, "weight"), [weights[`${first + i}.bias`].data.slice()]);
    }
    if (spec.type === "relu") return relu();
    if (spec.type === "flatten") return flatten();
    throw { unsupported: `no layer ${spec.type} here` };
  });
  const named = (all) =>
    Object.fromEntries(
      all.flatMap((p, i) => Object.entries(p).map(([name, w]) => [`${first + i}.${name}`, w])),
    );
  return {
    parameters: named(layers.map((layer) => layer.parameters)),
    forward: (x) => layers.reduce((value, layer) => layer.forward(value), x),
    backward(dy) {
      const gradients = layers.map(() => ({}));
      for (let i = layers.length - 1; i >= 0; i--) [dy, gradients[i]] = layers[i].backward(dy);
      return [dy, named(gradients)];
    },
  };
}

function splitSteps(input) {
  const { layers, weights, cut } = input;
  const schedule = rows(input.batch_sizes);
  const clients = schedule[0].map(() => half(layers.slice(0, cut), 0, weights));
  const server = half(layers.slice(cut), cut, weights);
  const updates = clients.map(() => sgd(input));
  const updateServer = sgd(input);
  const images = rows(input.x);
  let used = 0;
  const steps = schedule.map((batch) => {
    const present = range(clients.length).filter((k) => batch[k] > 0);
    if (!present.length) throw new Error("nobody brings a sample");
    const first = used;
    const smashed = present.flatMap((k) => {
      used += batch[k];
      return clients[k].forward(images.slice(used - batch[k], used));
    });
    const [loss, dlogits] = crossEntropy(server.forward(smashed), input.y.data.slice(first, used));
    const [atCut, serverGradients] = server.backward(dlogits);
    let row = 0;
    const gradients = present.map((k) => {
      row += batch[k];
      return clients[k].backward(atCut.slice(row - batch[k], row))[1];
    });
    const total = gradients.reduce((a, b) => add(a, b)); // summed: the loss is a mean already
    updateServer(server.parameters, serverGradients);
    clients.forEach((client, k) => updates[k](client.parameters, total)); // all of them
    return {
      smashed: matrix(smashed),
      loss,
      cut_gradient: matrix(atCut),
      summed_gradients: encode(total, weights),
      client_weights: stack(clients.map((client) => client.parameters), weights),
      server_weights: encode(server.parameters, weights),
    };
  });
  return { steps, logits: matrix(server.forward(clients[0].forward(rows(input.eval_x)))) };
}

const add = (a, b) =>
  Object.fromEntries(
    Object.keys(a).map((name) => [
      name,
      a[name].map((row, i) => row.map((v, j) => v + b[name][i][j])),
    ]),
  );
// In the shapes of the weights that were given.
const encode = (parameters, like) =>
  Object.fromEntries(
    Object.entries(parameters).map(([name, w]) => [name, array("float64", like[name].shape, w)]),
  );
const stack = (halves, like) =>
  Object.fromEntries(
    Object.keys(halves[0]).map((name) => {
      const shape = [halves.length, ...like[name].shape];
      return [name, array("float64", shape, halves.map((one) => one[name]))];
    }),
  );

// ---- samplers

function fixed(sizes, local) {
  const left = sizes.slice();
  const steps = [];
  while (sum(left)) {
    steps.push(left.map((n, k) => Math.min(n, local[k])));
    steps.at(-1).forEach((b, k) => (left[k] -= b));
  }
  return steps;
}

function roundHalfEven(numerator, denominator) {
  const below = Math.floor(numerator / denominator);
  const twice = 2 * (numerator - below * denominator);
  return below + (twice > denominator || (twice === denominator && below % 2 === 1) ? 1 : 0);
}

function ugs(sizes, batchSize, remainder, order) {
  const ids = sizes.flatMap((n, k) => Array(n).fill(k));
  const T = Math.ceil(ids.length / batchSize);
  let start = 0;
  return range(T).map((t) => {
    const even = Math.floor(ids.length / T) + (t < ids.length % T ? 1 : 0);
    const end = Math.min(ids.length, start + (remainder === "even" ? even : batchSize));
    const step = sizes.map(() => 0);
    for (; start < end; start++) step[ids[order[start]]] += 1;
    return step;
  });
}

function shuffled(n) {
  const order = range(n);
  for (let i = n - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

function checked(sizes, batchSize) {
  if (batchSize < 1 || batchSize > sum(sizes)) throw new Error("B must be from 1 to N");
}

// ---- what the oracle may ask

const operations = {
  linear({ x, weight, bias, dy }) {
    const layer = linear(rows(weight), [bias.data]);
    const y = layer.forward(rows(x));
    const [dx, gradients] = layer.backward(rows(dy));
    return { y: matrix(y), dx: matrix(dx), dweight: matrix(gradients.weight), dbias: vector(gradients.bias[0]) };
  },
  relu({ x, dy }) {
    const layer = relu();
    const y = array("float64", x.shape, layer.forward(rows(x)));
    return { y, dx: array("float64", x.shape, layer.backward(rows(dy))[0]) };
  },
  cross_entropy({ logits, labels }) {
    const [loss, gradient] = crossEntropy(rows(logits), labels.data);
    return { loss, dlogits: matrix(gradient) };
  },
  sgd({ weight, gradients, ...settings }) {
    const w = [weight.data.slice()];
    const update = sgd(settings);
    const after = rows(gradients).map((g) => {
      update({ w }, { w: [g] });
      return w[0].slice();
    });
    return { weights: array("float64", gradients.shape, after) };
  },
  split_steps: splitSteps,
  fls({ sizes, batch_size: B }) {
    checked(sizes.data, B);
    const b = Math.max(1, roundHalfEven(B, sizes.data.length));
    return { batch_sizes: counts(fixed(sizes.data, sizes.data.map(() => b))) };
  },
  fpls({ sizes, batch_size: B }) {
    checked(sizes.data, B);
    const local = sizes.data.map((n) => Math.max(1, roundHalfEven(B * n, sum(sizes.data))));
    return { batch_sizes: counts(fixed(sizes.data, local)) };
  },
  ugs_replay({ sizes, batch_size: B, remainder, permutation }) {
    checked(sizes.data, B);
    return { batch_sizes: counts(ugs(sizes.data, B, remainder, permutation.data)) };
  },
  sample({ sampler, class_counts, batch_size: B, remainder, num_schedules: R }) {
    if (sampler !== "ugs") throw { unsupported: `no random schedules of ${sampler} here` };
    const sizes = rows(class_counts).map(sum);
    const drawn = range(R).map(() => ugs(sizes, B, remainder, shuffled(sum(sizes))));
    return { schedules: array("int64", [R, drawn[0].length, sizes.length], drawn) };
  },
};

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
