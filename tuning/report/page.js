"use strict";
(() => {
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
    return `${+(v / (size || 1)).toPrecision(3)} ${prefix}${unit}`;
  };
  const knob = (v) => (typeof v === "number" ? String(+v.toPrecision(4)) : String(v));
  const name = (t) => `#${t.number} ${t.policy}`;
  const gainOf = (t) => t.gain ?? t.atLeast;
  const shownGain = (t) => `${t.near ? "≈ " : ""}${t.gain == null ? "≥" : ""}${gainOf(t).toFixed(2)}`;
  const told = (t) => outcome(t) + (t.unfrozen ? "; never froze a block, so it is training for less" : "");
  const outcome = (t) => (t.state === "stopped" ? "stopped, no final loss" : t.reached === false ? "censored: target missed" : t.reached ? "target reached" : "finished");

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

  // ---- the front ------------------------------------------------------------------------------
  function domains() {
    const key = [...data.front, ...data.control].map((n) => byNumber.get(n));
    if (!key.length) return [[0, 1], [0, 1]];
    const within = (axis, extra) => {
      const [low, high] = extent([...key.map((t) => t[axis]), ...extra]);
      const room = (high - low || Math.abs(high) || 1) * 0.6;
      const rest = data.trials.filter((t) => t.state === "finished").map((t) => t[axis]);
      return padded([low, Math.min(high + room, Math.max(high, ...rest))], 0.06);
    };
    return [within("seconds", []), within("loss", data.target == null || !nearby(key) ? [] : [data.target])];
  }
  function nearby(key) { // a target far below everything would flatten the picture; it is named in words instead
    const [low, high] = extent(key.map((t) => t.loss));
    return data.target >= low - (high - low || Math.abs(low) || 1);
  }

  function mark(trial, x, y, beyond) {
    if (trial.state === "stopped") return svg("path", { class: "stopped", d: `M${x - 4} ${y - 4}l8 8m0-8l-8 8` });
    if (beyond) return svg("path", { class: "beyond", d: maximize ? `M${x} ${y + 4}l5 -8h-10z` : `M${x} ${y - 4}l5 8h-10z` });
    if (isControl.has(trial.number)) {
      return svg("rect", { class: `control${onFront.has(trial.number) ? " front" : ""}`, x: x - 4.5, y: y - 4.5, width: 9, height: 9 });
    }
    if (onFront.has(trial.number)) return svg("circle", { class: `front${trial.unfrozen ? " unfrozen" : ""}`, cx: x, cy: y, r: 6 });
    return svg("circle", { class: `other${trial.reached ? " reached" : ""}`, cx: x, cy: y, r: 4 });
  }

  function drawFront() {
    const width = plot.clientWidth, narrow = width < 560, height = narrow ? 360 : 460;
    const [xs, ys] = domains(), yTicks = lossTicks(ys, height / 60);
    const margin = { left: labelWidth(yTicks), right: 14, top: 34, bottom: 46 };
    const { root, x, y } = axes(width, height, margin, xs, ys, {
      xTitle: "training time in solo seconds", yTitle: metricName, yTicks, upside: maximize, label: `Front of training seconds against ${metricName}`,
    });
    const place = (n) => { const t = byNumber.get(n); return [x(t.seconds), y(t.loss)]; };
    const front = data.front.map(place);
    const lower = data.control.filter((n, i) => data.control.slice(0, i).every((m) => byNumber.get(m).loss > byNumber.get(n).loss));
    const control = lower.map(place);
    const shown = data.target != null && data.target >= ys[0] && data.target <= ys[1];
    if (shown) root.append(svg("line", { class: "target", x1: margin.left, x2: width - margin.right, y1: y(data.target), y2: y(data.target) }));
    if (data.noise == null) root.append(svg("path", { class: "line control thick", d: path(control) }));
    else root.append(drawBand(lower, x, y, margin, width, height), svg("path", { class: "line control", d: path(control) }));
    root.append(svg("path", { class: "line front", d: path(front) }));
    if (data.mark) root.append(drawGain(x, y));
    spots = drawPoints(root, x, y, xs, ys);
    for (const whisker of data.whiskers) drawWhisker(root, whisker, x, y, xs, ys);
    const bounds = { left: margin.left, right: width - 2, top: margin.top - 8, bottom: height - margin.bottom };
    labelFront(root, { front, control, shown, narrow, x, y, bounds, margin });
    plot.replaceChildren(root);
    mirrorPin();
  }
  // What lies within noise of the control's line, cut off at the plot's edges.
  function drawBand(numbers, x, y, margin, width, height) {
    const line = numbers.map((n) => byNumber.get(n)), edge = (sign) => line.map((t) => [x(t.seconds), y(t.loss + sign * data.noise)]);
    const inner = { x: margin.left, y: margin.top - 6, width: width - margin.left - margin.right, height: height - margin.top - margin.bottom + 6 };
    return svg("g", {}, svg("clipPath", { id: "clip-band" }, svg("rect", inner)),
      svg("path", { class: "band", "clip-path": "url(#clip-band)", d: line.length ? `${path([...edge(1), ...edge(-1).reverse()])}Z` : "" }));
  }
  // A confirmed gain as seconds at its trial's loss; an open end, or one outside the plot, has no cap.
  function drawWhisker(root, { number, loss: at, low, high, at: middle }, x, y, [from, to], ys) {
    if (at < ys[0] || at > ys[1]) return;
    const py = y(at), end = (v, open) => x(v == null ? open : Math.min(Math.max(v, from), to));
    const cap = (v) => (v == null || v < from || v > to ? "" : `M${x(v).toFixed(1)} ${py - 6}v12`);
    const kind = isControl.has(number) ? "control" : "front";
    root.append(svg("path", { class: `whisker ${kind}`, d: `${path([[end(low, from), py], [end(high, to), py]])}${cap(low)}${cap(high)}` }));
    if (middle >= from && middle <= to) root.append(svg("path", { class: `whisker dot ${kind}`, d: `M${x(middle)} ${py - 5}l5 5l-5 5l-5-5z` }));
  }
  // From the trial that the headline names to the control's line at its loss.
  function drawGain(x, y) {
    const { seconds, control, loss } = data.mark;
    return svg("path", { class: "gain", d: path([[x(seconds), y(loss)], [x(control), y(loss)]]) });
  }
  function drawPoints(root, x, y, xs, ys) {
    const rank = (t) => (isControl.has(t.number) ? 2 : onFront.has(t.number) ? 1 : 0);
    const few = data.trials.length <= 200;
    return [...data.trials].sort((a, b) => rank(a) - rank(b) || a.seconds - b.seconds).map((trial) => {
      const clamp = (v, [a, b]) => Math.min(Math.max(v, a), b);
      const beyond = clamp(trial.loss, ys) !== trial.loss || clamp(trial.seconds, xs) !== trial.seconds;
      const px = Math.max(x(clamp(trial.seconds, xs)), x(xs[0]) + (beyond ? 8 : 0)), py = y(clamp(trial.loss, ys)) + (beyond ? (maximize ? -6 : 6) : 0);
      const node = svg("g", {
        class: "point", role: "button", "data-trial": trial.number, tabindex: few || rank(trial) ? 0 : -1,
        "aria-label": `Trial ${name(trial)}, ${seconds(trial.seconds)}, ${metric} ${loss(trial.loss)}, ${told(trial)}`,
      }, svg("circle", { class: "ring", cx: px, cy: py, r: 10 }), mark(trial, px, py, beyond));
      root.append(node);
      return { trial, node, px, py };
    });
  }
  function labelFront(root, { front, control, shown, narrow, x, y, bounds, margin }) {
    const taken = spots.map(({ px, py }) => ({ left: px - 6, right: px + 6, top: py - 6, bottom: py + 6, weight: 1 }));
    const along = (line, every) => line.slice(1).flatMap(([bx, by], i) => Array.from({ length: every }, (_, k) => {
      const px = line[i][0] + ((bx - line[i][0]) * k) / every, py = line[i][1] + ((by - line[i][1]) * k) / every;
      return { left: px - 2, right: px + 2, top: py - 2, bottom: py + 2, weight: 1 };
    }));
    taken.push(...along(front, 12), ...along(control, 12));
    if (shown) {
      const at = y(data.target), from = margin.left + 4;
      taken.push({ left: bounds.left, right: bounds.right, top: at - 1, bottom: at + 1, weight: 2 });
      label(root, `target ${loss(data.target)}${narrow ? "" : `, censored ${maximize ? "below" : "above"}`}`, "strong", [[from, at + beside(-7), "start"], [bounds.right - 8, at + beside(-7), "end"]], taken, bounds);
    }
    if (data.mark) {
      const [a, b, foot] = [x(data.mark.seconds), x(data.mark.control), y(data.mark.loss)];
      label(root, `gain ${data.mark.gain.toFixed(2)}`, "front", [[(a + b) / 2, foot + beside(24), "middle"], [a - 14, foot + beside(20), "end"], [(a + b) / 2, foot + beside(40), "middle"]], taken, bounds);
    }
    const schedules = data.front.map((n, i) => [n, front[i]]).filter(([n]) => !isControl.has(n)).map(([, point]) => point);
    const below = schedules.flatMap(([px, py]) => [[px - 11, py + beside(5), "end"], [px - 10, py + beside(16), "end"], [px - 4, py + beside(26), "end"], [px, py + beside(40), "end"]]);
    const above = control.flatMap(([px, py]) => [[px + 9, py + beside(-8), "start"], [px + 9, py + beside(-20), "start"], [px - 8, py + beside(18), "end"]]);
    if (control.length) label(root, narrow ? "training for less" : "training for less (full_update)", "control", above, taken, bounds);
    if (schedules.length) label(root, "front", "front", below, taken, bounds);
  }

  // ---- hovering and choosing ------------------------------------------------------------------
  const describe = (t) => {
    const changed = t.changed.map((k) => `${k}=${knob(t.knobs[k])}`).join(", ");
    const gain = gainOf(t) == null ? "" : `, gain ${shownGain(t)}${t.near ? ", within noise" : ""}`;
    return [html("b", {}, name(t)), html("p", {}, `${seconds(t.seconds)}, ${metric} ${loss(t.loss)}${gain}`),
      html("p", {}, told(t)), ...(changed ? [html("p", {}, changed)] : [])];
  };
  function show(spot) {
    if (near) near.node.classList.remove("near");
    near = spot;
    tip.hidden = !spot;
    if (!spot) return;
    spot.node.classList.add("near");
    tip.replaceChildren(...describe(spot.trial));
    const room = figure.clientWidth, top = plot.offsetTop + spot.py;
    const left = spot.px + 16 + tip.offsetWidth > room ? spot.px - 16 - tip.offsetWidth : spot.px + 16;
    tip.style.left = `${Math.max(0, Math.min(left, room - tip.offsetWidth))}px`;
    const beside = left >= 0 ? top - tip.offsetHeight / 2 : top + 18;
    tip.style.top = `${Math.max(0, beside)}px`;
  }
  function nearest(event) {
    const box = plot.getBoundingClientRect(), px = event.clientX - box.left, py = event.clientY - box.top;
    let best = null, least = REACH;
    for (const spot of spots) {
      const distance = Math.hypot(spot.px - px, spot.py - py);
      if (distance <= least) [best, least] = [spot, distance];
    }
    return best;
  }
  const spotOf = (event) => spots.find(({ node }) => node === event.target.closest(".point"));
  plot.addEventListener("pointermove", (event) => show(nearest(event)));
  plot.addEventListener("pointerleave", () => show(null));
  plot.addEventListener("click", (event) => { const spot = nearest(event); if (spot) pin(spot.trial.number); });
  plot.addEventListener("focusin", (event) => show(spotOf(event)));
  plot.addEventListener("focusout", () => show(null));
  plot.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return show(null);
    const spot = spotOf(event);
    if (!spot || (event.key !== "Enter" && event.key !== " ")) return;
    event.preventDefault();
    pin(spot.trial.number);
  });
  for (const button of document.querySelectorAll(".pick")) {
    const number = Number(button.dataset.trial);
    if (!byNumber.has(number)) { button.replaceWith(button.textContent); continue; }
    button.setAttribute("aria-label", `Show trial ${number}`);
    button.addEventListener("click", () => { pin(number); panel.scrollIntoView({ block: "nearest" }); });
  }
  function mirrorPin() { for (const { node, trial } of spots) node.classList.toggle("pinned", trial.number === pinned); }

  // ---- the chosen trial -----------------------------------------------------------------------
  function pin(number) { pinned = number; mirrorPin(); drawTrial(); }
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
    if (trial.curve.length) panel.append(drawCurve(trial, { width, end, ys, yTicks, left }));
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
  function drawCurve(trial, { width, end, ys, yTicks, left }) {
    const other = reference(trial), both = other != null, target = data.target;
    const height = 260, margin = { left, right: 14, top: 34, bottom: 12 };
    const { root, x, y } = axes(width, height, margin, [0, end], ys, { yTitle: metricName, yTicks, upside: maximize, label: `${metricName} of trial ${trial.number} against solo seconds` });
    const clip = `clip-${trial.number}`, inner = { x: margin.left, y: margin.top - 6, width: width - margin.left - margin.right, height: height - margin.top - margin.bottom + 6 };
    root.append(svg("clipPath", { id: clip }, svg("rect", inner)));
    if (target != null && target >= ys[0] && target <= ys[1]) {
      root.append(svg("line", { class: "target", x1: margin.left, x2: width - margin.right, y1: y(target), y2: y(target) }),
        svg("text", { class: "halo strong", x: margin.left + 4, y: y(target) - 6 }, `target ${loss(target)}`));
    }
    const line = (t, kind) => root.append(svg("path", { class: `line ${kind}`, "clip-path": `url(#${clip})`, d: path(t.curve.map((p) => [x(p[0]), y(p[1])])) }));
    if (both) line(other, "control behind");
    line(trial, isControl.has(trial.number) ? "control curve" : "front curve");
    const taken = [trial, ...(both ? [other] : [])].flatMap((t) => t.curve.map((p) => ({ left: x(p[0]) - 3, right: x(p[0]) + 3, top: y(p[1]) - 3, bottom: y(p[1]) + 3, weight: 1 })));
    if (target != null) taken.push({ left: margin.left, right: width, top: y(target) - 1, bottom: y(target) + 1, weight: 2 }, { left: margin.left, right: margin.left + 110, top: y(target) - 18, bottom: y(target), weight: 9 });
    const bounds = { left: margin.left, right: width - margin.right, top: margin.top - 8, bottom: height - margin.bottom };
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

  // ---- start ----------------------------------------------------------------------------------
  if (data.hidden) document.getElementById("hidden").textContent = `${data.hidden} more trials off the front are not drawn; the run's table has them.`;
  const first = data.trials.find((t) => t.number === data.named) ?? data.trials.filter((t) => onFront.has(t.number) && (data.target == null || t.loss <= data.target)).sort((a, b) => a.seconds - b.seconds)[0];
  let drawn = 0;
  new ResizeObserver(() => {
    if (plot.clientWidth === drawn) return;
    drawn = plot.clientWidth;
    show(null);
    drawFront();
    drawTrial();
  }).observe(plot);
  drawn = plot.clientWidth;
  drawFront();
  if (first || data.front.length) pin(first ? first.number : data.front[data.front.length - 1]);
})();
