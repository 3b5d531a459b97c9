// What every picture of the page uses: the data, how values are written, a frame with axes, labels.
const data = JSON.parse(document.getElementById("data").textContent);
const byNumber = new Map(data.trials.map((trial) => [trial.number, trial]));
const onFront = new Set(data.front), isControl = new Set(data.control);
const figure = document.getElementById("front"), tip = document.getElementById("tip");
const plot = figure.querySelector(".plot"), panel = document.getElementById("trial");
const REACH = 26; // pixels within which the pointer finds a trial
let pinned = null, near = null, spots = [];

// ---- small helpers -------------------------------------------------------------------------
const make = (space) => (name, attributes = {}, ...children) => {
  const node = space ? document.createElementNS(space, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
};
const svg = make("http://www.w3.org/2000/svg"), html = make(null);
const scale = ([a, b], [from, to]) => (v) => from + ((v - a) / (b - a || 1)) * (to - from);
const path = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
const extent = (values) => [Math.min(...values), Math.max(...values)];
const padded = ([a, b], share) => { const p = (b - a || Math.abs(a) || 1) * share; return [a - p, b + p]; };
const powerOf = (v) => (v === 0 ? 0 : Number(v.toExponential(16).split("e")[1]));
const scientific = (v, digits) => v.toExponential(Math.min(Math.max(digits, 0), 14)).replace(/e([+-])(\d)$/, "e$10$2");
const tick = (v, step) => {
  if (Math.abs(v) < step / 2) return "0";
  const power = powerOf(step), size = powerOf(v);
  return size >= -4 && size <= 5 ? v.toFixed(Math.max(0, -power)) : scientific(v, size - power);
};
const ticks = ([a, b], count) => {
  const raw = (b - a) / Math.max(count, 1), power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw) || raw;
  const found = [];
  for (let i = Math.ceil(a / step - 1e-9); i * step <= b + step * 1e-6; i++) found.push([i * step, tick(i * step, step)]);
  return found;
};
const seconds = (v) => (v == null ? "–" : `${Math.abs(v) >= 1000 ? v.toFixed(0) : v.toPrecision(3)} s`);
// What is drawn and compared is a loss, lower is better; what is read is the metric, in its own sign.
const { name: metricName, short: metric, maximize, power } = data.metric;
const shown = (v) => (maximize ? 0 - v : v);
const significant = (v) => { // as tuning/findings/format.py writes a number
  if (v === 0) return "0";
  const digits = Math.min(Math.max(4, power == null ? 0 : powerOf(v) - power + 1), 15);
  const size = powerOf(Number(v.toExponential(digits - 1)));
  return size < -4 || size > Math.max(5, digits - 1) ? scientific(v, digits - 1) : v.toFixed(Math.max(0, digits - 1 - size));
};
const loss = (v) => (v == null ? "–" : significant(shown(v)));
const lossTicks = ([a, b], count) => ticks(maximize ? [-b, -a] : [a, b], count).map(([v, text]) => [shown(v), text]);
// A text's place beside a point: given for a picture where better is below, mirrored where it is above.
const beside = (dy) => (maximize ? 7 - dy : dy);
const labelWidth = (labels) => Math.max(46, 14 + 7.4 * Math.max(0, ...labels.map(([, text]) => text.length)));
const amount = (v, unit) => {
  if (v == null) return "–";
  const [size, prefix] = [[1e18, "E"], [1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"], [0, ""]].find(([s]) => v >= s);
  return `${size ? (v / size).toPrecision(3) : +v.toPrecision(3)} ${prefix}${unit}`;
};
const knob = (v) => (typeof v === "number" ? String(+v.toPrecision(4)) : String(v));
const name = (t) => `#${t.number} ${t.policy}`;
const gainOf = (t) => t.gain ?? t.atLeast;
const boundText = (g) => (g.toFixed(2) === "1.00" ? "better" : `≥${g.toFixed(2)}`); // at least 1.00 would read as none
const shownGain = (t) => `${t.near ? "≈ " : ""}${t.gain == null ? boundText(t.atLeast) : t.gain.toFixed(2)}`;
const told = (t) => outcome(t) + (t.unfrozen ? "; never froze a block, so it is training for less" : "");
const outcome = (t) => t.then ? `looked at for a short time, ${t.then}` : (t.state === "stopped" ? "stopped, no final loss" : t.reached === false ? "censored: target missed" : t.reached ? "target reached" : "finished");

// ---- a frame with axes ----------------------------------------------------------------------
function axes(width, height, margin, xs, ys, options) {
  const heights = [height - margin.bottom, margin.top], x = scale(xs, [margin.left, width - margin.right]);
  const y = scale(ys, options.upside ? heights.reverse() : heights);
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "group", "aria-label": options.label });
  for (const [value, text] of options.yTicks || ticks(ys, height / 60)) {
    root.append(svg("line", { class: "grid", x1: margin.left, x2: width - margin.right, y1: y(value), y2: y(value) }),
      svg("text", { x: margin.left - 8, y: y(value) + 4, "text-anchor": "end" }, text));
  }
  const base = height - margin.bottom;
  root.append(svg("line", { class: "axis", x1: margin.left, x2: width - margin.right, y1: base, y2: base }));
  if (options.xTitle) {
    for (const [value, text] of ticks(xs, width / 90)) {
      root.append(svg("line", { class: "axis", x1: x(value), x2: x(value), y1: base, y2: base + 5 }),
        svg("text", { x: x(value), y: base + 19, "text-anchor": "middle" }, text));
    }
    root.append(svg("text", { class: "strong", x: width - margin.right, y: base + 38, "text-anchor": "end" }, options.xTitle));
  }
  root.append(svg("text", { class: "strong", x: 0, y: margin.top - 12 }, options.yTitle));
  return { root, x, y };
}

// What a line covers, for `label` to keep off: `every` places between two of its points.
const along = (line, every) => line.slice(1).flatMap(([bx, by], i) => Array.from({ length: every }, (_, k) => {
  const px = line[i][0] + ((bx - line[i][0]) * k) / every, py = line[i][1] + ((by - line[i][1]) * k) / every;
  return { left: px - 2, right: px + 2, top: py - 2, bottom: py + 2, weight: 1 };
}));

// Put a text where it covers the fewest points and no other text; candidates are [x, y, anchor].
function label(root, text, kind, candidates, taken, bounds) {
  const width = text.length * 8, boxes = candidates.map(([x, y, anchor]) => {
    const left = anchor === "end" ? x - width : anchor === "middle" ? x - width / 2 : x;
    return { left, right: left + width, top: y - 11, bottom: y + 4 };
  });
  const cost = (b) => taken.reduce((sum, t) =>
    sum + (t.right > b.left && t.left < b.right && t.bottom > b.top && t.top < b.bottom ? t.weight : 0), 0)
    + (b.left < bounds.left || b.right > bounds.right || b.top < bounds.top || b.bottom > bounds.bottom ? 50 : 0);
  const costs = boxes.map(cost), best = costs.indexOf(Math.min(...costs)), [x, y, anchor] = candidates[best];
  taken.push({ ...boxes[best], weight: 20 });
  root.append(svg("text", { class: `halo ${kind}`, x, y, "text-anchor": anchor, "pointer-events": "none" }, text));
}
// Where the target may be named: at either end of its line or in its middle, on either side.
const besideTarget = (y, left, right) => [beside(-7), beside(14)].flatMap((dy) =>
  [[left, y + dy, "start"], [right, y + dy, "end"], [(left + right) / 2, y + dy, "middle"]]);
