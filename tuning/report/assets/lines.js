// What the trials set, as parallel lines: an axis a knob, a line a trial.
// The axes lie across, so that a name has room at any width.
const board = document.querySelector("#lines .lines-plot"), called = document.querySelector("#lines .called");
const OFF = "–", NEAR_LINE = 14;
let strands = [], columns = [], hovered = null;

function valueOn(axis, trial) {
  if (axis.kind === "horizon") return trial.horizon;
  return axis.kind === "gain" ? gainOf(trial) : trial.knobs[axis.name];
}
function writtenOn(axis, trial) {
  const value = valueOn(axis, trial);
  if (value == null) return OFF;
  return axis.kind === "gain" ? shownGain(trial) : axis.kind === "horizon" ? String(+value.toPrecision(3)) : knob(value);
}
const cut = (text, room) => (text.length * 7 <= room ? text : `${text.slice(0, Math.max(1, Math.floor(room / 7) - 1))}…`);

// Where a value lies on its axis; what a trial does not set lies before its beginning.
function placeOn(axis, off, from, to) {
  if (axis.choices) {
    const last = axis.choices.length - 1;
    return (v) => (v == null ? off : from + ((to - from) * axis.choices.indexOf(String(v))) / (last || 1));
  }
  const size = axis.log ? Math.log : (v) => v, x = scale([size(axis.low), size(axis.high)], [from, to]);
  return (v) => (v == null ? off : x(Math.min(Math.max(size(v), size(axis.low)), size(axis.high))));
}

function drawLines() {
  if (!board) return;
  const { axes: knobs, best } = data.lines, width = board.clientWidth, narrow = width < 560;
  const row = narrow ? 60 : 48, top = narrow ? 30 : 14, left = narrow ? 4 : 176, right = narrow ? 4 : 96;
  const off = left + 6, from = left + 44, to = width - right, height = top + (knobs.length - 1) * row + 26;
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": "What each trial set, a line each" });
  columns = knobs.map((axis, i) => ({ axis, y: top + i * row, place: placeOn(axis, off, from, to) }));
  const trials = data.lines.trials.map((n) => byNumber.get(n)).filter(Boolean), rank = new Map(best.map((n, i) => [n, i]));
  const order = (t) => (rank.has(t.number) ? best.length - rank.get(t.number) : 0);
  strands = [...trials].sort((a, b) => order(a) - order(b)).map((trial) => {
    const points = columns.map(({ axis, y, place }) => [place(valueOn(axis, trial)), y]);
    return { trial, points, node: svg("path", { class: `strand${rank.has(trial.number) ? " best" : ""}`, d: path(points) }) };
  });
  const over = svg("g", { class: "over" });
  // Words last: no line crosses them.
  root.append(...strands.map(({ node }) => node), over, ...columns.map((column) => drawAxis(column, { trials, narrow, left, off, from, to })));
  for (const column of columns) {
    const at = narrow ? { x: to, y: column.y - 12, "text-anchor": "end" } : { x: to + 16, y: column.y + 4 };
    column.value = svg("text", { class: "halo strong value", ...at });
    root.append(column.value);
  }
  board.replaceChildren(root);
  markLines();
}

function drawAxis({ axis, y, place }, { trials, narrow, left, off, from, to }) {
  const group = svg("g"), text = (words, x, anchor) => svg("text", { class: "halo", x, y: y + 16, "text-anchor": anchor }, words);
  const named = narrow ? { x: left, y: y - 12 } : { x: left - 12, y: y + 4, "text-anchor": "end" };
  group.append(svg("line", { class: "axis", x1: from, x2: to, y1: y, y2: y }),
    svg("text", { class: "halo name", ...named }, svg("title", {}, axis.name), cut(axis.name, narrow ? to - 120 : left - 16)));
  if (trials.some((t) => valueOn(axis, t) == null)) group.append(svg("circle", { class: "off", cx: off, cy: y, r: 2.5 }), text(OFF, off, "middle"));
  if (!axis.choices) {
    group.append(text(knob(axis.low), from, "start"), text(knob(axis.high), to, "end"));
    return group;
  }
  const last = axis.choices.length - 1, room = (to - from) / (last || 1) - 10;
  axis.choices.forEach((choice, i) => group.append(svg("circle", { class: "choice", cx: place(choice), cy: y, r: 2.5 }),
    text(cut(choice, i && i < last ? room : room * 0.7), place(choice), i === 0 ? "start" : i === last ? "end" : "middle")));
  return group;
}

// The trial under the pointer, else the chosen one, over the others, with its values beside the axes.
function markLines() {
  if (!board) return;
  const chosen = hovered ?? strands.find(({ trial }) => trial.number === pinned), over = board.querySelector(".over");
  over.replaceChildren();
  for (const { axis, value } of columns) value.textContent = chosen ? writtenOn(axis, chosen.trial) : "";
  const own = pinned != null && !chosen ? "The chosen trial turned no knob." : "";
  called.textContent = chosen ? `${name(chosen.trial)}: ${seconds(chosen.trial.seconds)}, ${metric} ${loss(chosen.trial.loss)}` : own;
  if (chosen) over.append(svg("path", { class: "strand chosen", d: path(chosen.points) }), ...chosen.points.map(([cx, cy]) => svg("circle", { class: "chosen", cx, cy, r: 3.5 })));
}

function lineNear(event) {
  const box = board.getBoundingClientRect(), px = event.clientX - box.left, py = event.clientY - box.top;
  const i = columns.findIndex(({ y }, k) => k + 1 < columns.length && py >= y && py < columns[k + 1].y);
  if (i < 0) return null;
  const share = (py - columns[i].y) / (columns[i + 1].y - columns[i].y);
  const far = ({ points }) => Math.abs(points[i][0] + share * (points[i + 1][0] - points[i][0]) - px);
  const nearest = strands.reduce((a, b) => (far(b) <= far(a) ? b : a), strands[0]);
  return nearest && far(nearest) <= NEAR_LINE ? nearest : null;
}
if (board) {
  board.addEventListener("pointermove", (event) => { hovered = lineNear(event); markLines(); });
  board.addEventListener("pointerleave", () => { hovered = null; markLines(); });
  board.addEventListener("click", (event) => { const strand = lineNear(event); if (strand) pin(strand.trial.number); });
}
