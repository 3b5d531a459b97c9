// Everything is drawn, and again where the width changes.
if (data.hidden) document.getElementById("hidden").textContent = `${data.hidden} more trials off the front are not drawn; the run's table has them.`;
const first = data.trials.find((t) => t.number === data.named) ?? data.trials.filter((t) => onFront.has(t.number) && (data.target == null || t.loss <= data.target)).sort((a, b) => a.seconds - b.seconds)[0];
let drawn = 0;
new ResizeObserver(() => {
  if (plot.clientWidth === drawn) return;
  drawn = plot.clientWidth;
  show(null);
  drawFront();
  drawTrial();
  drawLines();
}).observe(plot);
drawn = plot.clientWidth;
drawFront();
drawLines();
if (first || data.front.length) pin(first ? first.number : data.front[data.front.length - 1]);
