// The chosen trial: its figures, its curve, what it trained when.
function pin(number) { pinned = number; mirrorPin(); drawTrial(); markLines(); }
const fact = (key, value, kind = "") => html("div", kind ? { class: kind } : {}, html("dt", {}, key), html("dd", {}, value));

function drawTrial() {
  const trial = byNumber.get(pinned);
  panel.hidden = !trial;
  if (!trial) return;
  const share = trial.active == null ? "–" : `${(100 * trial.active).toFixed(0)} %`;
  panel.replaceChildren(
    html("h2", {}, `Trial ${name(trial)}`),
    html("p", {}, `${told(trial)}; ${seconds(trial.seconds)} = ${amount(trial.flops, "FLOP")} / ${amount(trial.rate, "FLOP/s")} + ${seconds(trial.overhead)} overhead`),
    html("dl", { class: "facts" }, fact(metric, loss(trial.loss)), fact(`gain at that ${metric}`, gainOf(trial) == null ? "–" : shownGain(trial)),
      fact("horizon", String(+trial.horizon.toPrecision(3))), fact("steps", String(trial.steps ?? "–")), fact("probes", String(trial.probes ?? "–")), fact("blocks active on average", share), ...Object.entries(trial.metrics).map(([k, v]) => fact(k, v == null ? "–" : significant(v)))),
  );
  const width = panel.clientWidth, end = trialEnd(trial), ys = curveLosses(trial), yTicks = lossTicks(ys, 260 / 60);
  const left = labelWidth(trial.curve.length ? yTicks : []);
  if (trial.curve.length) panel.append(drawCurve(trial, { width, end, ys, yTicks, left }), ...cutAt(trial, ys[1]));
  else panel.append(html("p", { class: "note" }, "This page keeps no curve of this trial; the run's table does."));
  if (trial.decisions.length) panel.append(drawDecisions(trial, { width, end, left }));
  const knobs = Object.entries(trial.knobs);
  if (knobs.length) panel.append(html("h3", {}, "Knobs (bold: not the default)"), html("dl", { class: "facts" }, ...knobs.map(([k, v]) => fact(k, knob(v), trial.changed.includes(k) ? "changed" : "default"))));
}
function trialEnd(trial) {
  const ends = [trial, byNumber.get(data.reference)].filter(Boolean).flatMap((t) => t.curve.slice(-1).map((p) => p[0]));
  return Math.max(trial.seconds, ...ends);
}
const reference = (trial) => { const other = byNumber.get(data.reference); return other && other !== trial && other.curve.length > 0 ? other : null; };
function curveLosses(trial) {
  const losses = [...trial.curve, ...(reference(trial)?.curve || [])].map((p) => p[1]).sort((a, b) => a - b);
  const start = losses[0], top = losses[Math.floor((losses.length - 1) * 0.65)], target = data.target;
  const low = target != null && target > start - (top - start) ? Math.min(start, target) : start;
  return padded([low, top > low ? top : low + (Math.abs(low) * 1e-6 || 1)], 0.08);
}
// Where the scale ends, so that a curve's end can be told from its neighbour's.
function cutAt(trial, top) {
  const cut = [trial, reference(trial)].filter((t) => t && t.curve.some((p) => p[1] > top)).map((t) => `#${t.number}`);
  if (!cut.length) return [];
  return [html("p", { class: "note" }, `Not drawn: ${metric} ${maximize ? "below" : "above"} ${loss(top)} (${cut.join(" and ")}).`)];
}
function drawCurve(trial, { width, end, ys, yTicks, left }) {
  const other = reference(trial), both = other != null, target = data.target;
  const height = 260, margin = { left, right: 14, top: 34, bottom: 12 };
  const { root, x, y } = axes(width, height, margin, [0, end], ys, { yTitle: metricName, yTicks, upside: maximize, label: `${metricName} of trial ${trial.number} against solo seconds` });
  const clip = `clip-${trial.number}`, inner = { x: margin.left, y: margin.top - 6, width: width - margin.left - margin.right, height: height - margin.top - margin.bottom + 6 };
  root.append(svg("clipPath", { id: clip }, svg("rect", inner)));
  if (target != null && target >= ys[0] && target <= ys[1]) {
    root.append(svg("line", { class: "target", x1: margin.left, x2: width - margin.right, y1: y(target), y2: y(target) }));
  }
  const line = (t, kind) => root.append(svg("path", { class: `line ${kind}`, "clip-path": `url(#${clip})`, d: path(t.curve.map((p) => [x(p[0]), y(p[1])])) }));
  if (both) line(other, "control behind");
  line(trial, isControl.has(trial.number) ? "control curve" : "front curve");
  const taken = [trial, ...(both ? [other] : [])].flatMap((t) => along(t.curve.map((p) => [x(p[0]), y(p[1])]), 12));
  const bounds = { left: margin.left, right: width - margin.right, top: margin.top - 8, bottom: height - margin.bottom };
  if (target != null && target >= ys[0] && target <= ys[1]) {
    taken.push({ left: margin.left, right: width, top: y(target) - 1, bottom: y(target) + 1, weight: 2 });
    label(root, `target ${loss(target)}`, "strong", besideTarget(y(target), margin.left + 4, width - margin.right - 4), taken, bounds);
  }
  const places = (t) => t.curve.filter((p) => p[1] <= ys[1]).flatMap((p) => [[x(p[0]) + 6, y(p[1]) - 30, "start"], [x(p[0]) - 6, y(p[1]) + 22, "end"], [x(p[0]) + 2, y(p[1]) - 14, "middle"]]).reverse();
  const called = (t) => (width < 520 ? `#${t.number}` : name(t));
  label(root, called(trial), isControl.has(trial.number) ? "control" : "front", places(trial), taken, bounds);
  if (both) label(root, called(other), "control", places(other), taken, bounds);
  return html("div", { class: "curve-plot" }, root);
}
function drawDecisions(trial, { width, end, left }) {
  const most = Math.max(...data.trials.flatMap((t) => t.decisions.map((d) => d[2]))), height = 170;
  const margin = { left, right: 14, top: 34, bottom: 46 };
  const every = Math.max(1, Math.ceil(most / 5));
  const yTicks = Array.from({ length: Math.floor(most / every) + 1 }, (_, i) => [i * every, String(i * every)]);
  const { root, x, y } = axes(width, height, margin, [0, end], [0, most], {
    xTitle: "training time in solo seconds", yTitle: "active blocks", yTicks, label: `Active blocks of trial ${trial.number} against solo seconds`,
  });
  const until = trial.curve.length ? trial.curve[trial.curve.length - 1][0] : trial.seconds;
  const changes = trial.decisions.map((d, i) => ({ from: d[0], to: trial.decisions[i + 1]?.[0] ?? until, depth: d[2], phase: d[3] }));
  const top = changes.flatMap(({ from, to, depth }) => [[x(from), y(depth)], [x(to), y(depth)]]);
  root.append(svg("path", { class: "depth", d: `${path([[x(0), y(0)], ...top, [x(until), y(0)]])}Z` }), svg("path", { class: "line front", d: path(top) }));
  let last = null, free = -Infinity;
  for (const { from, phase } of changes) {
    if (phase === last) continue;
    last = phase;
    root.append(svg("line", { class: "phase", x1: x(from), x2: x(from), y1: margin.top - 4, y2: height - margin.bottom }));
    if (x(from) < free) continue;
    const wide = phase.length * 7, right = x(from) + 4 + wide > width;
    root.append(svg("text", { class: "halo", x: right ? x(from) - 4 : x(from) + 4, y: y(0) - 6, "text-anchor": right ? "end" : "start" }, phase));
    free = x(from) + wide + 8;
  }
  return html("div", { class: "decision-plot" }, root);
}
