// Made-up clients, and what each sampler does with them in one epoch.
"use strict";
{
  const { sum, range, total } = psl;
  const [CLASSES, EACH, INPUTS, HIDDEN, TESTED] = [10, 144, 8, 16, 200];
  const LABELS = range(CLASSES * EACH).map((i) => Math.floor(i / EACH));
  const layers = [{ type: "linear" }, { type: "relu" }, { type: "linear" }];
  const NETWORK = { layers, cut: 2, learning_rate: 0.5 };
  // Of float64 numbers: the activations of one sample at the cut, its label, and the client half.
  const BYTES = [8 * HIDDEN, 8, 8 * (INPUTS + 1) * HIDDEN];

  // Extended Dirichlet(C, 3), as the paper splits its data: each client in turn draws C classes, such
  // that all classes have about as many holders; then each class is shared out unequally.
  function ownersOf(K, C, random) {
    const holders = range(CLASSES).map(() => []);
    do {
      holders.forEach((clients) => (clients.length = 0));
      for (const k of range(K)) {
        const gumbel = holders.map(() => -Math.log(-Math.log(random())));
        const key = (m) => gumbel[m] - CLASSES * holders[m].length;
        const best = range(CLASSES).map((m) => [key(m), m]).sort((a, b) => b[0] - a[0]);
        best.slice(0, C).forEach(([, m]) => holders[m].push(k));
      }
    } while (holders.some((clients) => !clients.length));
    return holders.flatMap((clients) => {
      const shares = clients.map(() => -Math.log(random() * random() * random())); // Gamma(3)
      const all = sum(shares);
      return range(EACH).map(() => {
        let point = random() * all;
        return clients.find((_, i) => (point -= shares[i]) < 0) ?? clients.at(-1);
      });
    });
  }

  function clientsOf({ clients: K, classes, stragglers, slowdown, seed }) {
    const random = psl.generator(seed, 0);
    const owners = ownersOf(K, classes, random);
    const counts = range(K).map(() => Array(CLASSES).fill(0));
    owners.forEach((k, i) => (counts[k][LABELS[i]] += 1));
    const slow = new Set(psl.shuffled(range(K), random).slice(0, stragglers));
    const delays = range(K).map((k) => (slow.has(k) ? slowdown : 1));
    return { owners, counts, delays, p: psl.shares(total(counts)) };
  }

  // [t][k][g]: what step t asks of client k, of any class (g = 0) or of each.
  function demandsOf(sampler, { batch: B, delta, seed, epoch }, { counts, delays }) {
    const [random, sizes] = [psl.generator(seed, 2 * epoch), counts.map(sum)];
    const batches = psl.batchSizes(sum(sizes), B);
    const targets = (draw) =>
      psl.classTargets(counts, batches, draw, "slowest-first", delays, random);
    const any = (steps) => steps.map((step) => step.map((b) => [b]));
    return {
      fls: () => any(psl.fixed(sizes, psl.localBatches(sizes, B, false))),
      fpls: () => any(psl.fixed(sizes, psl.localBatches(sizes, B, true))),
      ugs: () => any(psl.ugs(sizes, batches, psl.shuffled(range(sum(sizes)), random))),
      lds: () => any(psl.lds(counts, batches, delta, delays, random)),
      targets: () => targets("hypergeometric"),
      stratified: () => targets("stratified"),
    }[sampler]();
  }

  // Points around a centre for each class, and small weights: the same for all samplers and epochs.
  function madeUp(seed) {
    const random = psl.generator(seed, 1);
    const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
    const normals = (n, scale) => range(n).map(() => scale * normal());
    const centres = range(CLASSES).map(() => normals(INPUTS, 1));
    const point = (label) => normals(INPUTS, 0.7).map((v, i) => v + centres[label][i]);
    const matrix = (n, m) => range(n).map(() => normals(m, Math.sqrt(2 / n)));
    const weights = {
      "0.weight": matrix(INPUTS, HIDDEN),
      "0.bias": [Array(HIDDEN).fill(0)],
      "2.weight": matrix(HIDDEN, CLASSES),
      "2.bias": [Array(CLASSES).fill(0)],
    };
    const tested = range(TESTED).map((i) => i % CLASSES);
    return { weights, x: LABELS.map(point), tested, testedX: tested.map(point) };
  }

  // The share of test points that the network classifies rightly, after each step.
  function accuracies(handed, seed) {
    const { weights, x, tested, testedX } = madeUp(seed);
    const { step, logits } = psl.federation({ ...NETWORK, weights });
    return handed.map((batches) => {
      step(batches.map((own) => ({ x: own.map((i) => x[i]), y: own.map((i) => LABELS[i]) })));
      const right = logits(testedX).filter((z, i) => z.indexOf(Math.max(...z)) === tested[i]);
      return right.length / tested.length;
    });
  }

  // Each step of one epoch: who brings what, and what comes of it.
  function epochOf(sampler, state, { owners, counts, delays, p }) {
    const demands = demandsOf(sampler, state, { counts, delays });
    const random = psl.generator(state.seed, 2 * state.epoch + 1);
    const handed = psl.handedOut(owners, LABELS, demands, random);
    const accuracy = accuracies(handed, state.seed);
    const free = delays.map(() => 0);
    return demands.map((demand, t) => {
      const local = demand.map(sum); // b_k
      const held = Array(CLASSES).fill(0); // c_m
      handed[t].flat().forEach((i) => (held[LABELS[i]] += 1));
      const [B, participants] = [sum(local), local.filter((b) => b).length];
      const delta = psl.deviation(held, p);
      const isChosen = demand[0].length > 1; // then nothing is left to chance
      return {
        ...{ local, held, B, participants, delta, accuracy: accuracy[t] },
        expected: isChosen ? delta : psl.expectedDeviation(local, counts, p),
        time: psl.stepTime(local, delays, free, 0),
        bytes: psl.stepBytes(B, participants, ...BYTES),
      };
    });
  }

  Object.assign(psl, { BYTES, clientsOf, epochOf });
}
