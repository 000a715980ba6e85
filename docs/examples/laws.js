// What a schedule does: batch deviation, its exact law, time, and bytes.
"use strict";
{
  const { sum, range } = psl;

  const shares = (counts, all = sum(counts)) => counts.map((n) => n / all);

  // Δ = Σ_m |c_m / B − p_m|
  function deviation(classCounts, p) {
    return sum(shares(classCounts).map((share, m) => Math.abs(share - p[m])));
  }

  // The chances of [least, least + 1, ...] marked ones among b draws from n of which some are marked:
  // P(c + 1) / P(c) = (marked − c) (b − c) / ((c + 1) (n − marked − b + c + 1)), from the mode on.
  function urnLaw(n, marked, b) {
    const [least, most] = [Math.max(0, b - (n - marked)), Math.min(b, marked)];
    const ratio = (c) => ((marked - c) * (b - c)) / ((c + 1) * (n - marked - b + c + 1));
    const mode = Math.floor(((b + 1) * (marked + 1)) / (n + 2));
    const weights = Array(most - least + 1).fill(1);
    for (let c = mode; c < most; c++) weights[c + 1 - least] = weights[c - least] * ratio(c);
    for (let c = mode; c > least; c--) weights[c - 1 - least] = weights[c - least] / ratio(c - 1);
    const all = sum(weights);
    return { least, chances: weights.map((w) => w / all) };
  }

  function convolved(one, other) {
    const chances = Array(one.chances.length + other.chances.length - 1).fill(0);
    one.chances.forEach((p, i) => other.chances.forEach((q, j) => (chances[i + j] += p * q)));
    return { least: one.least + other.least, chances };
  }

  // The law of each class's count in a step, if clients shuffle: client k's share in class m's count
  // is that of marked ones among b_k draws from its urn, and the clients are independent.
  function classLaws(step, classCounts) {
    const present = range(step.length).filter((k) => step[k] > 0);
    return classCounts[0].map((_, m) =>
      present
        .map((k) => urnLaw(sum(classCounts[k]), classCounts[k][m], step[k]))
        .reduce(convolved, { least: 0, chances: [1] }),
    );
  }

  // E f(c) for the count c of one class.
  const expected = ({ least, chances }, f) => sum(chances.map((q, i) => q * f(least + i)));

  function expectedDeviation(step, classCounts, p) {
    const B = sum(step);
    const laws = classLaws(step, classCounts);
    return sum(laws.map((law, m) => expected(law, (c) => Math.abs(c / B - p[m]))));
  }

  // max over b_k > 0 of d_k + b_k s_k, and the server's time
  function stepTime(step, delays, sampleCosts, serverTime) {
    const each = step.map((b, k) => (b > 0 ? delays[k] + b * sampleCosts[k] : 0));
    return Math.max(...each) + serverTime;
  }

  // d_(1), d_(B + 1), d_(2B + 1), ...: no schedule with batches of at most B takes less than their sum.
  function leastTimes(sizes, delays, B) {
    const line = sizes.flatMap((n, k) => Array(n).fill(delays[k])).sort((a, b) => b - a);
    return line.filter((_, i) => i % B === 0);
  }

  // What crosses in a step of B samples from P clients, in bytes: activations at the cut up, their
  // gradients down, labels up; and the client half, down to each of the P, and its gradient, up.
  const stepBytes = (B, P, activations, label, half) => B * (2 * activations + label) + 2 * P * half;

  Object.assign(psl, {
    shares, deviation, classLaws, expected, expectedDeviation, stepTime, leastTimes, stepBytes,
  });
}
