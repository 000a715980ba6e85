// Who brings how many samples to which step: a schedule is a list of steps, a step a list with one
// number for each client. Like all files here it is a classic script, since browsers load no ES
// module from a file; `psl` is what they share, in a page as in Node.
"use strict";
globalThis.psl ??= {};
{
  const sum = (v) => v.reduce((a, b) => a + b, 0);
  const range = (n) => [...Array(n).keys()];
  const total = (rows) => rows.reduce((a, b) => a.map((v, i) => v + b[i])); // of each column
  const repeated = (counts) => counts.flatMap((n, k) => Array(n).fill(k)); // k, n_k times

  // Random numbers in [0, 1), 53 bits each: sfc32, a small fast generator by C. Doty-Humphrey.
  function generator(seed, stream = 0) {
    let [a, b, c, counter] = [seed | 0, (seed / 2 ** 32) | 0, stream | 0, 1];
    const word = () => {
      const out = (a + b + counter++) | 0;
      a = b ^ (b >>> 9);
      b = (c + (c << 3)) | 0;
      c = (((c << 21) | (c >>> 11)) + out) | 0;
      return out >>> 0;
    };
    range(15).forEach(word); // until all bits of the seed have spread
    return () => (word() * 2 ** 21 + (word() >>> 11)) / 2 ** 53;
  }

  function shuffled(line, random) {
    const order = line.slice();
    for (let i = order.length - 1; i > 0; i--) {
      const j = Math.floor(random() * (i + 1));
      [order[i], order[j]] = [order[j], order[i]];
    }
    return order;
  }

  // How often each of `kinds` numbers occurs in the batches into which a line is cut.
  function tallied(line, batches, kinds) {
    let next = 0;
    return batches.map((size) => {
      const counts = Array(kinds).fill(0);
      for (const end = next + size; next < end; next++) counts[line[next]] += 1;
      return counts;
    });
  }

  function batchSizes(N, B, remainder = "short") {
    if (B < 1 || B > N) throw new Error("B must be from 1 to N");
    const T = Math.ceil(N / B);
    const even = (t) => Math.floor(N / T) + (t < N % T ? 1 : 0);
    return range(T).map((t) => (remainder === "even" ? even(t) : Math.min(B, N - t * B)));
  }

  // ---- fixed: FLS gives b_k = max(1, round(B / K)), FPLS max(1, round(B n_k / N))

  function roundHalfEven(numerator, denominator) {
    const below = Math.floor(numerator / denominator);
    const twice = 2 * (numerator - below * denominator);
    return below + (twice > denominator || (twice === denominator && below % 2 === 1) ? 1 : 0);
  }

  function localBatches(sizes, B, proportional) {
    const [N, K] = [sum(sizes), sizes.length];
    if (B < 1 || B > N) throw new Error("B must be from 1 to N");
    const round = (n) => (proportional ? roundHalfEven(B * n, N) : roundHalfEven(B, K));
    return sizes.map((n) => Math.max(1, round(n)));
  }

  // Everybody brings its b_k to each step until it has none left.
  function fixed(sizes, local) {
    let left = sizes;
    const steps = [];
    while (sum(left)) {
      const step = left.map((n, k) => Math.min(n, local[k]));
      left = left.map((n, k) => n - step[k]);
      steps.push(step);
    }
    return steps;
  }

  // ---- UGS: the number of each client, n_k times, in the order of a shuffle, cut into batches

  function ugs(sizes, batches, order) {
    const clients = repeated(sizes);
    return tallied(order.map((i) => clients[i]), batches, sizes.length);
  }

  // ---- LDS: clients drawn from weights, which fit the classes and lean towards the slow

  function zScores(delays) {
    if (Math.max(...delays) === Math.min(...delays)) return delays.map(() => 0);
    const mean = sum(delays) / delays.length;
    const std = Math.sqrt(sum(delays.map((d) => (d - mean) ** 2)) / delays.length);
    return delays.map((d) => (d - mean) / std);
  }

  // α_k = c Z n_k / N exp(δ z_k), Z = S (N − 1) / (N − S) − 1
  function prior(sizes, S, c, delta, delays) {
    const N = Math.max(sum(sizes), S + 1);
    const precision = c * ((S * (N - 1)) / (N - S) - 1);
    const z = zScores(delays);
    return sizes.map((n, k) => ((precision * n) / sum(sizes)) * Math.exp(delta * z[k]));
  }

  // γ_mk = π_k β_km / Σ_j π_j β_jm, then π_k ∝ Σ_m S_m γ_mk + α_k, until π changes by less than tol
  function em(alpha, classCounts, labels, start, tol, most) {
    const held = labels.flatMap((_, m) => (classCounts.some((row) => row[m]) ? [m] : []));
    const beta = classCounts.map((row) => held.map((m) => row[m] / sum(row)));
    const normalized = (v, all = sum(v)) => v.map((w) => Math.max(w / all, 1e-250));
    let weights = normalized(start);
    for (let i = 0, change = Infinity; i < most && change >= tol; i++) {
      const mixture = total(beta.map((row, k) => row.map((b) => weights[k] * b)));
      const pull = held.map((m, j) => labels[m] / mixture[j]);
      const gained = beta.map((row, k) => weights[k] * sum(row.map((b, j) => b * pull[j])));
      const updated = normalized(gained.map((gain, k) => gain + alpha[k]));
      change = sum(updated.map((w, k) => Math.abs(w - weights[k])));
      weights = updated;
    }
    return weights;
  }

  // Clients one by one, as `begin(left)()` names them for a step; who has none left is passed over.
  function drawn(sizes, batches, begin) {
    const left = sizes.slice();
    return batches.map((size) => {
      const step = sizes.map(() => 0);
      for (const name = begin(left); size; ) {
        const k = name();
        if (step[k] === left[k]) continue;
        step[k] += 1;
        size -= 1;
      }
      step.forEach((b, k) => (left[k] -= b));
      return step;
    });
  }

  function lds(classCounts, batches, delta, delays, random) {
    const [sizes, totals] = [classCounts.map(sum), total(classCounts)];
    const N = sum(sizes);
    const S = Math.max(2, Math.min(1000, Math.floor(N / 2)));
    const alpha = prior(sizes, S, 1, delta, delays);
    let weights = alpha;
    let clients = [];
    return drawn(sizes, batches, (left) => {
      const stay = range(left.length).filter((k) => left[k]);
      const of = (v) => stay.map((k) => v[k]);
      if (stay.length !== clients.length) {
        clients = stay;
        const labels = totals.map((n) => (S * n) / N);
        const found = em(of(alpha), of(classCounts), labels, of(weights), 1e-8, 10_000);
        weights = sizes.map(() => 0);
        clients.forEach((k, i) => (weights[k] = found[i]));
      }
      const all = sum(weights);
      return () => {
        let point = random() * all;
        return clients.find((k) => (point -= weights[k]) < 0) ?? clients.at(-1);
      };
    });
  }

  // ---- class targets: the classes of each step first, then who brings them, slowest first

  // Each class evenly spaced on a circle, from an offset of its own, read from a random sample on.
  function stratified(totals, random) {
    const points = totals.flatMap((n, m) => {
      const offset = random();
      return range(n).map((i) => [(i + offset) / n, m]);
    });
    const line = points.sort((a, b) => a[0] - b[0]).map(([, m]) => m);
    const start = Math.floor(random() * line.length);
    return [...line.slice(start), ...line.slice(0, start)];
  }

  // From slowest to fastest; of those as slow next is, of the first 64 by number, the one whose latest part
  // of a line of holders would begin first: so it brings its classes together, and fewer serve a step.
  function slowestFirst(classCounts, delays) {
    const totals = total(classCounts);
    const waiting = range(delays.length).sort((j, k) => delays[k] - delays[j]);
    const used = totals.map(() => 0); // of each class's line, the part that is dealt out
    const begins = (k) => Math.max(...used.map((part, m) => (classCounts[k][m] ? part : 0)));
    const order = [];
    while (waiting.length) {
      const tied = waiting.slice(0, 64).filter((k) => delays[k] === delays[waiting[0]]);
      const next = tied.reduce((best, k) => (begins(k) < begins(best) ? k : best));
      order.push(...waiting.splice(waiting.indexOf(next), 1));
      totals.forEach((n, m) => (used[m] += classCounts[next][m] / Math.max(n, 1)));
    }
    return order;
  }

  // [t][k][m]: how many samples of class m client k brings to step t.
  function classTargets(classCounts, batches, draw, assign, delays, random) {
    const totals = total(classCounts);
    const stratify = draw === "stratified";
    const labels = stratify ? stratified(totals, random) : shuffled(repeated(totals), random);
    const targets = tallied(labels, batches, totals.length);
    const slowest = slowestFirst(classCounts, delays);
    const ofClass = totals.map((_, m) => {
      const line = slowest.flatMap((k) => Array(classCounts[k][m]).fill(k));
      const dealt = assign === "random" ? shuffled(line, random) : line;
      return tallied(dealt, targets.map((wanted) => wanted[m]), delays.length);
    });
    return targets.map((_, t) => delays.map((_, k) => ofClass.map((steps) => steps[t][k])));
  }

  // ---- clients: which of its own samples each hands out

  // `demands` [t][k] has one number, of samples of any class, or one for each class. Each client
  // hands out its samples in the order of a new shuffle: [t][k] is a list of sample numbers.
  function handedOut(owners, labels, demands, random) {
    const piles = demands[0].map((wanted) => wanted.map(() => []));
    for (const i of shuffled(range(owners.length), random)) {
      const own = piles[owners[i]];
      own[own.length > 1 ? labels[i] : 0].push(i);
    }
    return demands.map((step) =>
      step.map((wanted, k) => wanted.flatMap((b, g) => piles[k][g].splice(0, b))),
    );
  }

  Object.assign(psl, {
    sum, range, total, repeated, generator, shuffled, batchSizes, localBatches, fixed, ugs,
    zScores, prior, em, drawn, lds, classTargets, handedOut,
  });
}
