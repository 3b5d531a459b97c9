// The front, and what answers to pointer and keys in it.
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
  if (trial.then && !beyond) return svg("path", { class: "rung", d: `M${x} ${y - 4}l4 4l-4 4l-4-4z` });
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
  const taken = spots.map(({ px, py }) => ({ left: px - 6, right: px + 6, top: py - 6, bottom: py + 6, weight: 6 }));
  taken.push(...along(front, 12), ...along(control, 12));
  if (shown) {
    const at = y(data.target), from = margin.left + 4;
    taken.push({ left: bounds.left, right: bounds.right, top: at - 1, bottom: at + 1, weight: 2 });
    label(root, `target ${loss(data.target)}${narrow ? "" : `, censored ${maximize ? "below" : "above"}`}`, "strong", besideTarget(at, from, bounds.right - 8), taken, bounds);
  }
  if (data.mark) {
    const [a, b, foot] = [x(data.mark.seconds), x(data.mark.control), y(data.mark.loss)];
    label(root, `gain ${data.mark.gain.toFixed(2)}`, "front", [[(a + b) / 2, foot + beside(24), "middle"], [a - 14, foot + beside(20), "end"], [(a + b) / 2, foot + beside(40), "middle"]], taken, bounds);
  }
  const schedules = data.front.map((n, i) => [n, front[i]]).filter(([n]) => !isControl.has(n)).map(([, point]) => point);
  const below = schedules.flatMap(([px, py]) => [[px - 11, py + beside(5), "end"], [px - 10, py + beside(16), "end"], [px - 4, py + beside(26), "end"], [px, py + beside(40), "end"]]);
  const above = control.flatMap(([px, py]) => [[px + 9, py + beside(-8), "start"], [px + 9, py + beside(-20), "start"], [px - 8, py + beside(18), "end"], [px, py + beside(-24), "middle"], [px, py + beside(-40), "middle"]]);
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
