// Charts: cells of numbers on an SVG, each with a sentence for who points at it or moves to it by keys.
"use strict";
{
  const { range } = psl;
  const [LEFT, RIGHT, TOP, BOTTOM] = [38, 8, 8, 18];
  const KEYS = {
    ...{ ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] },
    ...{ Home: [-Infinity, 0], End: [Infinity, 0] },
  };
  const within = (v, n) => Math.max(0, Math.min(n - 1, Math.floor(v)));

  const rect = (x, y, w, h, fill) =>
    `<rect x="${x}" y="${y}" width="${w}" height="${h}" fill="${fill}"/>`;
  const text = (x, y, said, anchor) => `<text x="${x}" y="${y}" text-anchor="${anchor}">${said}</text>`;
  // Dashes are in widths of the line.
  const path = (points, color, dash = [], width = 1.5) =>
    `<path d="M${points.map((point) => point.join(" ")).join("L")}" fill="none" stroke="${color}"
      stroke-width="${width}" stroke-dasharray="${dash.map((length) => length * width).join(" ")}"/>`;

  // White is none; the darker, the more, by the square root.
  function heat(cells, cw, rh) {
    const most = Math.max(...cells.flat());
    const grey = (v) => `hsl(0 0% ${80 - 75 * Math.sqrt(v / most)}%)`;
    const cell = (v, r, c) => (v ? rect(c * cw, r * rh, cw, rh, grey(v)) : "");
    return cells.map((row, r) => row.map((v, c) => cell(v, r, c)).join("")).join("");
  }

  // A chart for a figure: `draw(spec)` paints it anew. A spec has columns and rows; height;
  // paint(w, h, cw, rh), the content for a frame of w × h whose cells are cw × rh; tell(column, row);
  // perhaps x(column), names of columns, y, the number at the top, and nearest(x, y), the column of a
  // point if cells do not say it. `moved(column)` is called when somebody moves to another column.
  function chart(figure, moved) {
    const label = figure.querySelector("h2").textContent;
    const slider = `<svg role="slider" tabindex="0" aria-label="${label}" aria-valuemin="1"></svg>`;
    figure.insertAdjacentHTML("beforeend", `${slider}<p class="told"></p>`);
    const [svg, told] = [figure.querySelector("svg"), figure.querySelector(".told")];
    let spec;
    let [column, row] = [0, 0];

    const tell = (c, r) => {
      told.textContent = spec.tell(c, r);
      svg.setAttribute("aria-valuetext", told.textContent);
    };

    function draw(given, shown = column) {
      spec = { rows: 1, ...given };
      [column, row] = [within(shown, spec.columns), within(row, spec.rows)];
      const { columns, rows, height: h, x, y = "" } = spec;
      const w = Math.max(1, figure.clientWidth - LEFT - RIGHT); // while the page is hidden, 0
      const [cw, rh] = [w / columns, h / rows];
      const every = [1, 2, 5, 10, 20, 50, 100].find((n) => n * cw >= 24);
      const named = range(columns).filter((c) => x && (every === 1 || x(c) % every === 0));
      const marked = spec.nearest ? "" : rect(column * cw, 0, cw, h, "#d6e2f3");
      const ring = `<rect x="${column * cw}" y="${row * rh}" width="${cw}" height="${rh}" class="ring"/>`;
      svg.setAttribute("height", TOP + h + BOTTOM);
      svg.innerHTML = `<g transform="translate(${LEFT} ${TOP})">${marked}${spec.paint(w, h, cw, rh)}
        ${rows > 1 ? ring : ""}${path([[0, 0], [0, h], [w, h]], "#111", [], 1)}
        ${named.map((c) => text((c + 0.5) * cw, h + 14, x(c), "middle")).join("")}
        ${text(-5, 8, y, "end")}${y && text(-5, h, 0, "end")}</g>`;
      svg.setAttribute("aria-valuemax", columns * rows);
      svg.setAttribute("aria-valuenow", row * columns + column + 1);
      tell(column, row);
    }

    function go(c, r) {
      [column, row] = [within(c, spec.columns), within(r, spec.rows)];
      draw(spec);
      moved(column);
    }

    function at({ clientX, clientY }) {
      const box = svg.getBoundingClientRect();
      const x = (clientX - box.left - LEFT) / (box.width - LEFT - RIGHT);
      const y = (clientY - box.top - TOP) / spec.height;
      if (spec.nearest) return [spec.nearest(x, y), 0];
      return [within(x * spec.columns, spec.columns), within(y * spec.rows, spec.rows)];
    }
    svg.onpointermove = (event) => tell(...at(event));
    svg.onpointerleave = () => tell(column, row);
    svg.onclick = (event) => go(...at(event));
    svg.onkeydown = (event) => {
      if (!(event.key in KEYS)) return;
      event.preventDefault();
      go(column + KEYS[event.key][0], row + KEYS[event.key][1]);
    };
    return draw;
  }

  Object.assign(psl, { rect, text, path, heat, chart });
}
