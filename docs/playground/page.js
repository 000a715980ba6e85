// The page: its state is the form, the address keeps it, and everything is drawn from it.
"use strict";
{
  const { sum, range, total, rect, text, path } = psl;
  // Each sampler's name, colour, dashes and marker, as in the figures of pslref.
  const SAMPLERS = {
    fls: ["FLS", "#d95f02", [3.7, 1.6], "s"],
    fpls: ["FPLS", "#e6ab02", [6.4, 1.6, 1, 1.6], "D"],
    ugs: ["UGS", "#1b4f9c", [], "^"],
    lds: ["LDS", "#66a61e", [5, 1, 1, 1, 1, 1], "v"],
    targets: ["class targets", "#7b3294", [1, 1], "*"],
    stratified: ["class targets, stratified", "#b279c9", [7, 2], "X"],
  };
  const MARKERS = {
    s: "M-4-4H4V4H-4Z",
    D: "M0-6 6 0 0 6-6 0Z",
    "^": "M0-5 5 4H-5Z",
    v: "M0 5 5-4H-5Z",
    "*": "M0-7 2-2 7-2 3 1 4 6 0 3-4 6-3 1-7-2-2-2Z",
    X: "M-5-3-3-5 0-2 3-5 5-3 2 0 5 3 3 5 0 2-3 5-5 3-2 0Z",
  };
  const NAMES = Object.keys(SAMPLERS);
  const $ = (id) => document.getElementById(id);
  const form = $("form");
  form.elements.sampler.innerHTML = NAMES.map(
    (name) => `<option value="${name}">${SAMPLERS[name][0]}</option>`,
  ).join("");
  const fields = [...form.elements].filter((field) => field.name);
  const sliders = fields.filter((field) => field.type === "range");
  sliders.forEach((field) => field.insertAdjacentHTML("afterend", "<output></output>"));
  const stepSlider = form.elements.step;

  // ---- the state

  let state, situation; // what the form says; its clients, and each sampler's epoch once it is known
  let steps; // of the epoch that is shown
  const epochOf = (name) => (situation.epochs[name] ??= psl.epochOf(name, state, situation));

  function readForm() {
    const said = fields.map(({ name, value }) => [name, name === "sampler" ? value : Number(value)]);
    state = Object.fromEntries(said);
  }

  // What an address says wrongly is as in an empty one.
  function readAddress() {
    form.reset();
    stepSlider.max = 2000;
    const said = new URLSearchParams(location.hash.slice(1));
    for (const field of fields.filter(({ name }) => said.has(name))) {
      const [usual, value] = [field.value, said.get(field.name)];
      const isNumber = value && Number.isFinite(Number(value)); // of another text a slider makes 50 %
      field.value = value;
      const isTaken = field.name === "sampler" ? field.value : isNumber && field.checkValidity();
      if (!isTaken) field.value = usual;
    }
    show();
  }

  let timer;
  function writeAddress() {
    const address = `#${new URLSearchParams(new FormData(form))}`;
    clearTimeout(timer); // browsers allow only so many changes a second
    timer = setTimeout(() => history.replaceState(null, "", address), 200);
    document.querySelectorAll("nav a").forEach((link, i) => {
      const said = [...new URLSearchParams(link.hash.slice(1))].filter(([name]) => name !== "step");
      const isShown = said.every(([name, value]) => form.elements[name].value === value);
      link.setAttribute("aria-current", isShown);
      $("stories").children[i].hidden = !isShown;
    });
  }

  // ---- numbers and the arithmetic behind them

  const percent = (v) => `${(100 * v).toFixed(1)} %`;
  const mean = (values) => sum(values) / values.length;
  const each = (name, epoch = steps) => epoch.map((step) => step[name]);
  const sizes = () => situation.counts.map(sum);
  const nameOf = (k) => `client ${k}${situation.delays[k] > 1 ? " (slow)" : ""}`;
  const leastTimes = (epoch) =>
    psl.leastTimes(sizes(), situation.delays, Math.max(state.batch, ...each("B", epoch)));
  const numbersOf = (epoch) => ({
    steps: epoch.length,
    "mean Δ": mean(each("delta", epoch)).toFixed(3),
    "largest Δ": Math.max(...each("delta", epoch)).toFixed(3),
    "epoch time": sum(each("time", epoch)),
    "least time": sum(leastTimes(epoch)),
    "clients a step": mean(each("participants", epoch)).toFixed(1),
    MB: (sum(each("bytes", epoch)) / 1e6).toFixed(3),
    accuracy: percent(epoch.at(-1).accuracy),
  });

  const deviationOf = ({ held, B, delta }) => {
    const terms = held.map((c, m) => `|${c} − ${(B * situation.p[m]).toFixed(1)}|`);
    return `(${terms.join(" + ")}) / ${B} = ${delta.toFixed(3)}`;
  };
  const bytesOf = ({ B, participants, bytes }) => {
    const [activations, label, half] = psl.BYTES;
    const parts = `${B} × (2 × ${activations} + ${label}) + ${participants} × 2 × ${half}`;
    return `${parts} = ${bytes} bytes`;
  };

  // Why client k brings to step t what it brings.
  function why(k, t) {
    const n = sizes();
    const left = n.map((all, j) => all - sum(each("local").slice(0, t).map((local) => local[j])));
    const z = psl.zScores(situation.delays)[k];
    const fixed = (part) => `max(1, round(${state.batch} × ${part})), while it has any left`;
    const ofClass = () => "of each class the step asks the slowest clients that have any left";
    return {
      fls: () => fixed(`1 / ${state.clients}`),
      fpls: () => fixed(`${n[k]} / ${sum(n)}`),
      ugs() {
        const expected = (steps[t].B * left[k]) / sum(left);
        return `expected were ${steps[t].B} × ${left[k]} / ${sum(left)} = ${expected.toFixed(2)}`;
      },
      lds() {
        const lean = Math.exp(state.delta * z);
        const power = `exp(${state.delta} × ${z.toFixed(2)})`;
        const factor = lean < 10 ? lean.toFixed(3) : Math.round(lean);
        return `LDS prefers it by exp(δ z) = ${power} = ${factor}, as far as classes allow`;
      },
      targets: ofClass,
      stratified: ofClass,
    }[state.sampler]();
  }

  // ---- charts

  const markerOf = (name, x, y) =>
    `<path d="${MARKERS[SAMPLERS[name][3]]}" transform="translate(${x} ${y}) scale(1.2)"
      fill="${SAMPLERS[name][1]}" stroke="#fff" stroke-width="0.5"/>`;
  const slowFirst = () =>
    range(state.clients).sort((j, k) => situation.delays[k] - situation.delays[j]);
  const numberOfSlow = () => situation.delays.filter((d) => d > 1).length;
  const points = (values, top, w, h) =>
    values.map((v, i) => [((i + 0.5) * w) / values.length, h - (v / top) * h]);
  function line(values, top, w, h) {
    const [places, [, color, dash]] = [points(values, top, w, h), SAMPLERS[state.sampler]];
    const some = places.filter((_, i) => i % Math.ceil(places.length / 15) === 0);
    return path(places, color, dash, 2) + some.map((place) => markerOf(state.sampler, ...place)).join("");
  }

  const CHARTS = {
    schedule: () => ({
      ...{ columns: steps.length, rows: state.clients, x: (t) => t + 1 },
      height: Math.max(160, 4 * state.clients),
      paint(w, h, cw, rh) {
        const cells = slowFirst().map((k) => steps.map(({ local }) => local[k]));
        const slow = numberOfSlow();
        const bar = rect(-7, 0, 5, slow * rh, "#111") + text(-9, 10, "slow", "end");
        return psl.heat(cells, cw, rh) + (slow ? bar : "");
      },
      tell(t, r) {
        const k = slowFirst()[r];
        const brought = `${nameOf(k)} brings ${steps[t].local[k]} of its ${sizes()[k]} samples`;
        return `Step ${t + 1}: ${brought}; ${why(k, t)}.`;
      },
    }),
    delta() {
      const uniform = psl.expectedDeviation([state.batch], [total(situation.counts)], situation.p);
      return {
        ...{ columns: steps.length, height: 150, x: (t) => t + 1, y: 2 },
        paint: (w, h) =>
          path(points([uniform, uniform], 2, 2 * w, h).map(([x, y]) => [x - w / 2, y]), "#111", [1, 2]) +
          path(points(each("expected"), 2, w, h), "#111", [], 1) +
          line(each("delta"), 2, w, h),
        tell: (t) =>
          `Step ${t + 1}: Δ = ${deviationOf(steps[t])}. Expected over all shuffles of these clients' data:
          ${steps[t].expected.toFixed(3)}; of a uniform draw from all data: ${uniform.toFixed(3)}.`,
      };
    },
    time: () => ({
      ...{ columns: steps.length, height: 90, x: (t) => t + 1, y: state.slowdown },
      paint(w, h, cw) {
        const bars = points(each("time"), state.slowdown, w, h);
        const least = leastTimes(steps).flatMap((d, t) =>
          [t, t + 1].map((x) => [x * cw, h - (d / state.slowdown) * h]),
        );
        const drawn = bars.map(([x, y]) => rect(x - 0.4 * cw, y, 0.8 * cw, h - y, "#888"));
        return drawn.join("") + path(least, "#111", [4, 3]);
      },
      tell(t) {
        const { local, time, participants } = steps[t];
        const slowest = local.findIndex((b, k) => b && situation.delays[k] === time);
        const { "epoch time": all, "least time": least } = numbersOf(steps);
        return `Step ${t + 1} takes ${time}, the largest delay of its ${participants} clients, as that of
          ${nameOf(slowest)}. All steps take ${all}, which is ${(all / least).toFixed(2)} times the least, ${least}.`;
      },
    }),
    accuracy: () => ({
      ...{ columns: steps.length, height: 110, x: (t) => t + 1, y: "100%" },
      paint: (w, h) => line(each("accuracy"), 1, w, h),
      tell: (t) =>
        `After step ${t + 1} it classifies ${Math.round(200 * steps[t].accuracy)} of 200 test points rightly:
        ${percent(steps[t].accuracy)}.`,
    }),
    classes() {
      const { held, B } = steps[state.step - 1];
      const [shares, { p }] = [psl.shares(held), situation];
      const top = Math.max(...shares, ...p);
      return {
        ...{ columns: p.length, height: 90, x: (m) => m, y: `${Math.round(100 * top)}%` },
        paint: (w, h, cw) =>
          points(shares, top, w, h).map(([x, y]) => rect(x - 0.3 * cw, y, 0.6 * cw, h - y, "#888")).join("") +
          points(p, top, w, h).map(([x, y]) => rect(x - 0.4 * cw, y - 1, 0.8 * cw, 2, "#111")).join(""),
        tell: (m) =>
          `Class ${m} has ${held[m]} of ${B} samples, and ${percent(p[m])} of all data: it adds
          |${held[m]} / ${B} − ${p[m].toFixed(2)}| = ${Math.abs(shares[m] - p[m]).toFixed(3)} to Δ.`,
      };
    },
    trade() {
      const known = NAMES.filter((name) => situation.epochs[name]);
      const found = known.map((name) => numbersOf(situation.epochs[name]));
      const least = sum(psl.leastTimes(sizes(), situation.delays, state.batch));
      const top = 1.25 * Math.max(...found.map((one) => one["epoch time"]));
      const places = found.map((one) => [one["epoch time"] / top, 1 - one["largest Δ"] / 2]);
      return {
        ...{ columns: known.length, height: 170, y: 2 },
        paint: (w, h) =>
          path([[(least / top) * w, 0], [(least / top) * w, h]], "#111", [4, 3]) +
          text((least / top) * w, h + 14, least, "middle") +
          places.map(([x, y], i) => markerOf(known[i], x * w, y * h)).join(""),
        tell: (i) =>
          `${SAMPLERS[known[i]][0]}: epoch time ${found[i]["epoch time"]}, and largest Δ ${found[i]["largest Δ"]}.
          No schedule with batches of ${state.batch} takes less than ${least}.`,
        nearest(x, y) {
          const far = places.map((place) => Math.hypot(place[0] - x, place[1] - y));
          return far.indexOf(Math.min(...far));
        },
      };
    },
    holdings: () => ({
      ...{ columns: state.clients, rows: situation.p.length, height: 140 },
      paint(w, h, cw, rh) {
        const cells = range(situation.p.length).map((m) => slowFirst().map((k) => situation.counts[k][m]));
        const slow = numberOfSlow();
        const bar = rect(0, h + 4, slow * cw, 5, "#111") + text(slow * cw + 4, h + 12, "slow", "start");
        return psl.heat(cells, cw, rh) + (slow ? bar : "");
      },
      tell(c, m) {
        const k = slowFirst()[c];
        return `Here ${nameOf(k)}, with a delay of ${situation.delays[k]}, holds ${situation.counts[k][m]} of the
          ${total(situation.counts)[m]} samples of class ${m}, and ${sizes()[k]} samples in all.`;
      },
    }),
  };
  const OF_STEPS = ["schedule", "delta", "time", "accuracy"];
  const toStep = (column) => ((stepSlider.value = column + 1), show());
  const draws = Object.fromEntries(
    Object.keys(CHARTS).map((id) => [id, psl.chart($(id), OF_STEPS.includes(id) ? toStep : () => {})]),
  );

  // ---- tables

  const table = (head, rows) => `<div class="scroll"><table><thead><tr>
    ${head.map((name) => `<th scope="col">${name}</th>`).join("")}</tr></thead><tbody>
    ${rows.map((row) => `<tr>${row.map((v) => `<td>${v}</td>`).join("")}</tr>`).join("")}</tbody></table></div>`;
  const classNames = () => range(situation.p.length).map((m) => `class ${m}`);
  const TABLES = {
    schedule: () =>
      table(
        ["step", ...range(state.clients).map(nameOf)],
        steps.map(({ local }, t) => [t + 1, ...local]),
      ),
    steps: () =>
      table(
        ["step", "samples", "clients", "Δ", "expected Δ", "time", "bytes", "accuracy", ...classNames()],
        steps.map((step, t) => [
          ...[t + 1, step.B, step.participants, step.delta.toFixed(6), step.expected.toFixed(6)],
          ...[step.time, step.bytes, percent(step.accuracy), ...step.held],
        ]),
      ),
    samplers: () =>
      table(
        ["", "sampler", ...Object.keys(numbersOf(steps))],
        NAMES.filter((name) => situation.epochs[name]).map((name) => [
          `<svg width="20" height="16">${markerOf(name, 10, 8)}</svg>`,
          ...[SAMPLERS[name][0], ...Object.values(numbersOf(situation.epochs[name]))],
        ]),
      ),
    holdings: () =>
      table(
        ["client", "delay", ...classNames(), "samples"],
        range(state.clients).map((k) => [k, situation.delays[k], ...situation.counts[k], sizes()[k]]),
      ),
  };
  function fill(place) {
    place.querySelector(".scroll")?.remove();
    if (place.open ?? true) place.insertAdjacentHTML("beforeend", TABLES[place.dataset.table]());
  }
  const places = [...document.querySelectorAll("[data-table]")];
  places.forEach((place) => (place.ontoggle = () => fill(place)));

  // ---- everything

  const summary = (title, [count, mean, largest, time, least, participants, megabytes, accuracy]) =>
    `${title}: ${count} steps, ${participants} clients in each. Batch deviation Δ: ${mean} on average, ${largest} at
    most. Epoch time, in delays of a fast client: ${time}; no schedule of such batches takes less than ${least}.
    ${megabytes} MB cross. Accuracy at the end: ${accuracy}.`;

  // Nothing is said again that has not changed.
  function say(id, words) {
    if ($(id).textContent !== words) $(id).textContent = words;
  }

  function show() {
    if (!form.checkValidity()) return;
    readForm();
    const { sampler, step, ...rest } = state;
    const key = JSON.stringify(rest);
    if (situation?.key !== key) situation = { key, epochs: {}, ...psl.clientsOf(state) };
    steps = epochOf(sampler);
    stepSlider.max = steps.length;
    readForm();
    sliders.forEach((field) => (field.nextSibling.value = field.value));
    for (const id of OF_STEPS) draws[id](CHARTS[id](), state.step - 1);
    draws.classes(CHARTS.classes());
    draws.holdings(CHARTS.holdings());
    const now = steps[state.step - 1];
    const brought = slowFirst().filter((k) => now.local[k]).map((k) => `${now.local[k]} from ${nameOf(k)}`);
    $("number").textContent = state.step;
    say("arithmetic", `${now.B} samples: ${brought.join(", ")}.
      Δ = ${deviationOf(now)}.
      Activations and their gradients, labels; client half and its gradient: ${bytesOf(now)}.`);
    say("summary", summary(SAMPLERS[sampler][0], Object.values(numbersOf(steps))));
    places.forEach(fill);
    compare();
    writeAddress();
  }

  // The samplers that are not known yet, one after another, when nobody has moved for a moment.
  let comparing;
  function compare() {
    const known = NAMES.filter((name) => situation.epochs[name]);
    draws.trade(CHARTS.trade(), known.indexOf(state.sampler));
    fill(places.find((place) => place.dataset.table === "samplers"));
    const next = NAMES.find((name) => !known.includes(name));
    clearTimeout(comparing);
    if (next) comparing = setTimeout(() => (epochOf(next), compare()), 200);
  }

  $("back").onclick = () => (stepSlider.stepDown(), show());
  $("on").onclick = () => (stepSlider.stepUp(), show());
  document.oninput = show;
  window.onhashchange = readAddress;
  window.onresize = show;
  readAddress();
}
