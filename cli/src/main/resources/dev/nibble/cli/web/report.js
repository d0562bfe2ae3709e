"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const LIGHT = ["#1f5fbf", "#c2410c", "#15803d", "#9333ea", "#b91c5c", "#0e7490", "#a16207", "#475569"];
  const DARK = ["#6ea8ff", "#ff9a5c", "#5fd38a", "#c99bff", "#ff8ab5", "#5ad1e6", "#e3bd4a", "#a9b4c4"];
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const hidden = new Set();
  let printing = false;
  let charts = [];

  const isDark = () => dark.matches && !printing;
  const color = (i) => (isDark() ? DARK : LIGHT)[i % LIGHT.length];
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const ink = () => (printing ? "#000000" : style("--ink"));
  const grid = () => (printing ? "#dddddd" : style("--line"));
  const number = (v, digits) => (v === null || v === undefined ? "" : v.toFixed(digits));

  // Mean over a tenth of the run around each step, one-sided at the ends; the same for every run.
  function smooth(values, half) {
    return values.map((_, i) => {
      let sum = 0;
      let count = 0;
      for (let j = Math.max(0, i - half); j <= Math.min(values.length - 1, i + half); j++) {
        if (values[j] !== null) {
          sum += values[j];
          count++;
        }
      }
      return count === 0 ? null : sum / count;
    });
  }

  const longest = Math.max(1, ...data.runs.map((r) => r.steps.length));
  const half = Math.min(50, Math.round(longest / 20));
  for (const run of data.runs) {
    run.smoothed = smooth(run.losses, half);
  }

  function aligned(series) {
    const xs = [...new Set(series.flatMap((s) => s.x))].sort((a, b) => a - b);
    const columns = series.map((s) => {
      const at = new Map(s.x.map((x, i) => [x, s.y[i]]));
      return xs.map((x) => (at.has(x) ? at.get(x) : undefined));
    });
    return [xs, ...columns];
  }

  // As wide as its longest number: a difference may need many digits.
  function axisSize(u, ticks) {
    const longest = Math.max(1, ...(ticks || []).map((t) => String(t).length));
    return Math.max(34, 14 + 7 * longest);
  }

  function axes(label) {
    const common = {
      stroke: ink(),
      grid: { stroke: grid(), width: 1 },
      ticks: { stroke: grid(), width: 1 },
      font: "12px system-ui, sans-serif",
      labelFont: "12px system-ui, sans-serif",
    };
    return [
      { ...common, label: "step", labelSize: 18, size: 34 },
      { ...common, ...(label === "" ? {} : { label, labelSize: 18 }), size: axisSize, values: (u, ticks) => ticks.map((t) => String(Number(t.toPrecision(4)))) },
    ];
  }

  // A page's width is not known before it is printed: charts get that of a sheet, and the style sheet fits them.
  const PRINT_WIDTH = 720;
  const widthOf = (element) =>
    printing ? PRINT_WIDTH / (element.closest(".pair")?.children.length ?? 1) : element.clientWidth;

  // A line of one point has no length.
  const look = (s) =>
    s.x.length > 1 || s.look.points.show ? s.look : { ...s.look, points: { show: true, size: 6, fill: s.look.stroke } };

  function draw(element, height, series, label, range, onCursor) {
    if (series.length === 0) {
      return;
    }
    const options = {
      width: widthOf(element),
      height,
      legend: { show: false },
      cursor: { y: false, drag: { x: true, y: false } },
      scales: { x: { time: false }, y: range ? { range } : {} },
      axes: axes(label),
      series: [{}, ...series.map(look)],
      hooks: onCursor ? { setCursor: [onCursor] } : {},
    };
    const chart = new uPlot(options, aligned(series), element);
    charts.push({ chart, element, height });
    return chart;
  }

  const line = (i, width, alpha) => ({
    stroke: color(i) + alpha,
    width,
    spanGaps: true,
    points: { show: false },
  });
  const dots = (i) => ({
    stroke: color(i),
    paths: () => null,
    points: { show: true, size: 8, fill: color(i), stroke: color(i) },
  });

  function lossSeries() {
    const series = [];
    data.runs.forEach((run, i) => {
      if (hidden.has(run.name) || run.steps.length === 0) {
        return;
      }
      series.push({ x: run.steps, y: run.losses, look: line(i, 1, "40") });
    });
    data.runs.forEach((run, i) => {
      if (hidden.has(run.name) || run.steps.length === 0) {
        return;
      }
      series.push({ x: run.steps, y: run.smoothed, look: line(i, 2, "") });
      if (run.evaluationSteps.length > 0) {
        series.push({ x: run.evaluationSteps, y: run.evaluationLosses, look: dots(i) });
      }
    });
    return series;
  }

  function gapSeries(base) {
    const reference = new Map(base.steps.map((s, i) => [s, base.smoothed[i]]));
    const series = [];
    data.runs.forEach((run, i) => {
      if (run === base || hidden.has(run.name) || run.steps.length === 0) {
        return;
      }
      const y = run.steps.map((s, j) => {
        const other = reference.get(s);
        return other === undefined || other === null || run.smoothed[j] === null ? null : run.smoothed[j] - other;
      });
      series.push({ x: run.steps, y, look: line(i, 2, "") });
    });
    return series;
  }

  function legend() {
    const box = document.getElementById("legend");
    box.replaceChildren(
      ...data.runs.map((run, i) => {
        const button = document.createElement("button");
        button.type = "button";
        button.setAttribute("aria-pressed", String(!hidden.has(run.name)));
        const swatch = document.createElement("span");
        swatch.className = "swatch";
        swatch.style.background = color(i);
        const name = document.createElement("span");
        name.textContent = run.name;
        const value = document.createElement("span");
        value.className = "value";
        button.append(swatch, name, value);
        button.addEventListener("click", () => {
          if (!hidden.delete(run.name)) {
            hidden.add(run.name);
          }
          render();
        });
        return button;
      }),
    );
  }

  function showValues(chart) {
    const index = chart.cursor.idx;
    const step = index === null || index === undefined ? null : chart.data[0][index];
    document.querySelectorAll("#legend .value").forEach((element, i) => {
      const at = step === null ? -1 : data.runs[i].steps.indexOf(step);
      element.textContent = at < 0 ? "" : number(data.runs[i].smoothed[at], 4);
    });
  }

  const kindOf = (layer) => layer.name.replace(/\.\d+\./, ".*.");

  // A heading, the kinds of layers in their colors, and a chart for each figure: [caption, values of a layer, range of the axis].
  function layerCharts(box, run, layers, figures) {
    const heading = document.createElement("h3");
    heading.textContent = run.name;
    const names = document.createElement("div");
    names.className = "legend";
    const kinds = [...new Set(layers.map(kindOf))];
    kinds.forEach((kind, i) => {
      const item = document.createElement("span");
      item.style.color = color(i);
      item.textContent = "\u25ac " + kind;
      names.append(item);
    });
    const pair = document.createElement("div");
    pair.className = "pair";
    box.append(heading, names, pair);
    const parts = figures.map(([caption, values, range]) => {
      const figure = document.createElement("figure");
      const text = document.createElement("figcaption");
      text.textContent = caption;
      const chart = document.createElement("div");
      chart.className = "chart";
      figure.append(text, chart);
      pair.append(figure);
      const series = layers.map((layer) => ({
        x: layer.steps,
        y: values(layer),
        look: line(kinds.indexOf(kindOf(layer)), 1.5, "c0"),
      }));
      return () => draw(chart, 240, series, "", range);
    });
    parts.forEach((part) => part());
  }

  const percentRange = (u, low, high) => [0, Math.max(1, high * 1.05)];

  function fallbackCharts(box) {
    box.replaceChildren();
    data.runs
      .filter((run) => run.layers.length > 0)
      .forEach((run) =>
        layerCharts(box, run, run.layers, [
          ["blocks with a residual, %", (layer) => layer.rates.map((r) => (r === null ? null : 100 * r)), percentRange],
          ["threshold of the block maximum", (layer) => layer.thresholds, (u, low, high) => [0, high > 0 ? high * 1.05 : 1]],
        ]),
      );
  }

  // operands (input, weight, gradOutput) and products (output, gradInput, gradWeight)
  const PARTS = [...new Set(data.runs.flatMap((run) => run.errors.map((e) => e.part)))];
  let part = PARTS[0];

  function errorCharts(box) {
    document.getElementById("parts").replaceChildren(
      ...PARTS.map((name) => {
        const button = document.createElement("button");
        button.type = "button";
        button.className = "choice";
        button.textContent = name;
        button.setAttribute("aria-pressed", String(name === part));
        button.addEventListener("click", () => {
          part = name;
          render();
        });
        return button;
      }),
    );
    box.replaceChildren();
    // On paper nobody can choose: there all parts are shown.
    (printing ? PARTS : [part]).forEach((shown) => {
      data.runs.forEach((run) => {
        const layers = run.errors.filter((e) => e.part === shown && e.snr.some((v) => v !== null));
        if (layers.length > 0) {
          layerCharts(box, printing ? { name: run.name + ", " + shown } : run, layers, [
            ["signal to noise, dB", (layer) => layer.snr, null],
            ...(layers.some((layer) => layer.zeros.some((v) => v !== null))
              ? [
                  ["elements that become 0, %", (layer) => layer.zeros, percentRange],
                  ["elements beyond the codes, %", (layer) => layer.saturated, percentRange],
                ]
              : []),
          ]);
        }
      });
    });
  }

  // The first steps of a run are far above the rest; the axis is cut so that the end of the curves can be told apart.
  function lossRange(u, low, high) {
    const tail = data.runs
      .filter((run) => !hidden.has(run.name))
      .flatMap((run) => run.smoothed.slice(Math.floor(run.smoothed.length / 20)))
      .filter((v) => v !== null);
    if (tail.length < 40 || low === null) {
      return uPlot.rangeNum(low === null ? 0 : low, high === null ? 1 : high, 0.1, true);
    }
    const top = Math.min(high, Math.max(...tail) * 1.05);
    return [low - (top - low) * 0.05, top];
  }

  function render() {
    charts.forEach((c) => c.chart.destroy());
    charts = [];
    legend();
    const height = printing ? 300 : Math.max(260, Math.min(420, innerHeight * 0.5));
    draw(document.getElementById("loss"), height, lossSeries(), "loss (nats)", lossRange, showValues);
    const base = data.runs.find((run) => run.name === data.baseLine);
    const gaps = base === undefined ? [] : gapSeries(base);
    document.getElementById("gapSection").hidden = base === undefined || data.runs.length < 2;
    if (base !== undefined) {
      document.getElementById("gapName").textContent = base.name;
      draw(document.getElementById("gap"), 260, gaps, "difference (nats)", null, null);
    }
    const fallback = document.getElementById("fallback");
    if (fallback !== null) {
      fallbackCharts(fallback);
    }
    const errors = document.getElementById("errors");
    if (errors !== null) {
      errorCharts(errors);
    }
  }

  function resize() {
    charts.forEach((c) => c.chart.setSize({ width: widthOf(c.element), height: c.height }));
  }

  render();
  addEventListener("resize", resize);
  dark.addEventListener("change", render);
  addEventListener("beforeprint", () => {
    printing = true;
    document.querySelectorAll("details").forEach((details) => {
      details.open = true;
    });
    render();
  });
  addEventListener("afterprint", () => {
    printing = false;
    render();
  });
})();
