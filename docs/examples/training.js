// A multilayer perceptron cut in two, and the step that clients and server take together. A matrix is
// a list of rows; layers keep what backward needs; a bias is a matrix with one row.
"use strict";
{
  const { sum, range } = psl;

  function linear(weight, bias) {
    let input;
    return {
      parameters: { weight, bias },
      forward(x) {
        input = x;
        return x.map((row) => {
          const y = bias[0].slice();
          row.forEach((v, i) => weight[i].forEach((w, o) => (y[o] += v * w)));
          return y;
        });
      },
      backward(dy) {
        const dweight = weight.map((w) => w.map(() => 0));
        const dbias = [bias[0].map(() => 0)];
        const dx = dy.map((d, n) => {
          d.forEach((v, o) => (dbias[0][o] += v));
          return weight.map((w, i) => {
            d.forEach((v, o) => (dweight[i][o] += v * input[n][i]));
            return sum(w.map((v, o) => v * d[o]));
          });
        });
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

  const flatten = () => ({ parameters: {}, forward: (x) => x, backward: (dy) => [dy, {}] }); // rows are

  function crossEntropy(logits, labels) {
    let loss = 0;
    const gradient = logits.map((z, n) => {
      if (!(labels[n] in z)) throw new Error(`label ${labels[n]} belongs to no logit`);
      const largest = Math.max(...z);
      const e = z.map((v) => Math.exp(v - largest));
      const all = sum(e);
      loss += (Math.log(all) - (z[labels[n]] - largest)) / logits.length;
      return e.map((v, m) => (v / all - (m === labels[n] ? 1 : 0)) / logits.length);
    });
    return [loss, gradient];
  }

  // g <- g + decay w; v <- momentum v + g; w <- w - rate v
  function sgd({ learning_rate: rate, momentum = 0, weight_decay: decay = 0 }) {
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

  // One half of the network, whose first layer is number `first`, with its own copy of the weights.
  function half(specs, first, weights) {
    const layers = specs.map(({ type }, i) => {
      const own = (name) => weights[`${first + i}.${name}`].map((row) => row.slice());
      if (type === "linear") return linear(own("weight"), own("bias"));
      if (type === "relu") return relu();
      if (type === "flatten") return flatten();
      throw { unsupported: `no layer ${type} here` };
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

  const added = (a, b) =>
    Object.fromEntries(
      Object.keys(a).map((name) => [
        name,
        a[name].map((row, i) => row.map((v, j) => v + b[name][i][j])),
      ]),
    );

  // The server keeps its own half and the clients' current one, which it sends to who takes part.
  function federation({ layers, cut, weights, ...settings }) {
    const client = half(layers.slice(0, cut), 0, weights);
    const server = half(layers.slice(cut), cut, weights);
    const [updateClient, updateServer] = [sgd(settings), sgd(settings)];

    // `batches` are {x, y}: the samples that each client brings; none if it sits the step out.
    function step(batches) {
      const present = batches.filter(({ y }) => y.length);
      if (!present.length) throw new Error("nobody brings a sample");
      const halves = present.map(() => half(layers.slice(0, cut), 0, client.parameters));
      const smashed = present.flatMap(({ x }, i) => halves[i].forward(x));
      const [loss, dlogits] = crossEntropy(server.forward(smashed), present.flatMap(({ y }) => y));
      const [atCut, serverGradients] = server.backward(dlogits);
      let row = 0;
      const gradients = present.map(({ y }, i) => {
        row += y.length;
        return halves[i].backward(atCut.slice(row - y.length, row))[1];
      });
      const summed = gradients.reduce(added); // not averaged: the loss is a mean already
      updateServer(server.parameters, serverGradients);
      updateClient(client.parameters, summed); // for all of them
      return { smashed, loss, atCut, summed };
    }

    return { client, server, step, logits: (x) => server.forward(client.forward(x)) };
  }

  Object.assign(psl, { linear, relu, crossEntropy, sgd, federation });
}
