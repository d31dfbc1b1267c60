// Fills the report of `halfstep load` from its JSON; uPlot draws.
"use strict";

(function () {
  const run = JSON.parse(document.getElementById("data").textContent);
  const steps = run.steps.filter((step) => step.latency_curve.length > 0);
  // Okabe and Ito's colours, which everyone can tell apart.
  const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"];
  const PERCENTILES = ["p50", "p90", "p99", "p99.9", "p99.99"];

  function add(parent, tag, text) {
    const element = document.createElement(tag);
    element.textContent = text === undefined ? "" : text;
    parent.append(element);
    return element;
  }

  function byId(id) {
    return document.getElementById(id);
  }

  function time(seconds) {
    if (seconds === null || seconds === undefined) return "";
    if (seconds < 1e-3) return +(seconds * 1e6).toPrecision(3) + " µs";
    if (seconds < 1) return +(seconds * 1e3).toPrecision(3) + " ms";
    return +seconds.toPrecision(3) + " s";
  }

  function load(step) {
    return step.loop === "open" ? +step.rate.toPrecision(5) + "/s" : step.concurrency + " at a time";
  }

  const kinds = new Set(run.steps.map((step) => step.calls_sent));

  function showAbout() {
    const server = run.server;
    byId("about").textContent =
      (kinds.size === 1 ? `${[...kinds][0]}. ` : "") +
      `${run.target}, version ${server.version}, ${server.simd_target}, ` +
      `${server.worker_threads} threads; measured at ${run.measured_at} over ` +
      `${run.channels} connections from a client with ${run.client_cores} cores` +
      (run.partial ? "; stopped before its time: partial." : ".");
    for (const step of run.steps) {
      const faults = step.warnings.slice();
      if (step.partial) faults.push(`partial: ${step.stopped}. ${step.stop_reason || ""}`);
      for (const [code, errors] of Object.entries(step.errors)) {
        faults.push(`${errors.count} ${code}: ${errors.first_message}`);
      }
      for (const fault of faults) {
        add(byId("warnings"), "p", `${load(step)}: ${fault}`).className = "warning";
      }
    }
    for (const limit of run.limits) {
      add(byId("limits"), "p", limit.rate === undefined
        ? `No rate keeps p99 below ${time(limit.p99_below_seconds)}.`
        : `The limit is ${limit.rate.toFixed(1)} calls/s with p99 below ` +
          `${time(limit.p99_below_seconds)} (${limit.calls_sent}).`);
    }
  }

  function showTable() {
    const head = add(byId("steps"), "tr");
    if (kinds.size > 1) add(head, "th", "calls");
    for (const name of ["load", "calls/s", "GB/s in", ...PERCENTILES, "max", "failed"]) {
      add(head, "th", name);
    }
    for (const step of run.steps) {
      const row = add(byId("steps"), "tr");
      if (kinds.size > 1) add(row, "td", step.calls_sent);
      add(row, "td", load(step));
      add(row, "td", step.calls_per_second.toFixed(1));
      add(row, "td", step.gb_per_second_in.toFixed(3));
      for (const name of [...PERCENTILES, "max"]) add(row, "td", time(step.latency_seconds[name]));
      add(row, "td", step.failed);
    }
  }

  // Series of [x, y] points with x of their own.
  function draw(parent, x, series) {
    const tables = series.map((one) => {
      const points = one.points.slice().sort((a, b) => a[0] - b[0]);
      return [points.map((point) => point[0]), points.map((point) => point[1])];
    });
    const width = Math.min(1000, document.body.clientWidth);
    const options = {
      width,
      height: 420,
      scales: { x: { time: false, distr: x.logarithmic ? 3 : 1 }, y: { distr: 3 } },
      axes: [
        { label: x.label, values: (_, at) => at.map((v) => (v === null ? "" : x.format(v))) },
        { label: "latency", size: 80, values: (_, at) => at.map((v) => (v === null ? "" : time(v))) },
      ],
      series: [
        { label: x.label, value: (_, v) => (v === null ? "" : x.format(v)) },
        ...series.map((one, i) => ({
          label: one.label,
          stroke: COLOURS[i % COLOURS.length],
          dash: i < COLOURS.length ? undefined : [6, 4],
          width: 2,
          spanGaps: true,
          points: { show: x.points, size: 8, fill: COLOURS[i % COLOURS.length] },
          value: (_, v) => time(v),
        })),
      ],
    };
    const plot = add(parent, "div");
    plot.className = "plot";
    new uPlot(options, uPlot.join(tables), plot);
  }

  // One call in 1000 is slower: 99.9 % are not.
  function percent(callsPerSlower) {
    return +(100 * (1 - 1 / callsPerSlower)).toPrecision(7) + " %";
  }

  function drawPercentiles() {
    draw(byId("percentiles"), { label: "share of calls", logarithmic: true, points: false, format: percent },
      steps.map((step) => ({
        label: kinds.size > 1 ? `${load(step)}, ${step.calls_sent}` : load(step),
        points: step.latency_curve.map(([share, seconds]) => [1 / (1 - share), seconds]),
      })));
  }

  // One plot for each kind of calls.
  function drawRates() {
    const groups = new Map();
    for (const step of steps) {
      const key = `${step.calls_sent}, ${step.loop} loop`;
      groups.set(key, [...(groups.get(key) || []), step]);
    }
    for (const [kind, same] of groups) {
      add(byId("rates"), "h3", kind);
      const rate = (step) => (step.loop === "open" ? step.rate : step.calls_per_second);
      draw(byId("rates"), {
        label: same[0].loop === "open" ? "calls per second, offered" : "calls per second",
        logarithmic: false, points: true, format: (v) => String(+v.toPrecision(6)),
      }, [...PERCENTILES, "max"].map((name) => ({
        label: name,
        points: same.map((step) => [rate(step), step.latency_seconds[name]]),
      })));
    }
  }

  showAbout();
  showTable();
  if (steps.length > 0) {
    drawPercentiles();
    drawRates();
  }
})();
