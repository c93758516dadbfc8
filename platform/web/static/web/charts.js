// Draws what stands in the page as JSON; every chart has an equal table beside it.
(function () {
  "use strict";
  const charts = new Map();
  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }
  function base() {
    const ink = colour("--muted");
    const line = colour("--line");
    return {
      animation: false,
      textStyle: { fontFamily: getComputedStyle(document.body).fontFamily, color: ink },
      grid: { left: 8, right: 16, top: 40, bottom: 28, containLabel: true },
      legend: { type: "scroll", top: 4, left: 0, textStyle: { color: ink }, itemWidth: 18, itemHeight: 8, icon: "roundRect" },
      tooltip: { trigger: "axis", renderMode: "richText", confine: true, backgroundColor: colour("--surface"), borderColor: line, textStyle: { color: colour("--ink") } },
      xAxis: { type: "value", min: 0, nameLocation: "middle", nameGap: 26, axisLine: { lineStyle: { color: line } }, axisLabel: { color: ink }, nameTextStyle: { color: ink }, splitLine: { show: false } },
      yAxis: { type: "value", min: 0, max: 1, axisLabel: { color: ink, formatter: function (v) { return Math.round(100 * v) + " %"; } }, splitLine: { lineStyle: { color: line } } },
    };
  }
  function percent(value) { return value === null || value === undefined ? "–" : (100 * value).toFixed(1) + " %"; }
  const TONES = { "Robust accuracy": "--defense", "Attack success": "--attack", "Error, poisoned": "--attack", "Error added": "--iris", "Trends kept": "--defense", "Made again": "--iris", "Error on fresh examples": "--attack", "Fidelity": "--attack" };

  // The whole scale of shares, unless all that is shown lies near its foot.
  function heights(low, high) {
    const top = [0.05, 0.1, 0.2, 0.5].find(function (most) { return high <= most && low >= -most; }) || 1;
    const step = top / 5;
    return { max: top, min: Math.floor(low / step) * step, interval: step };
  }

  function curve(data) {
    const option = base();
    option.xAxis.name = data.axis;
    option.tooltip.valueFormatter = percent;
    option.series = [];
    const spare = ["--iris", "--muted"];
    let low = 0, high = 0;
    data.series.forEach(function (series) {
      const tone = colour(TONES[series.name] || spare.shift());
      const known = series.points.filter(function (p) { return p[1] !== null; });
      known.forEach(function (p) {
        low = Math.min(low, p[1], p[2] ?? 0);
        high = Math.max(high, p[1], p[3] ?? 0);
      });
      option.series.push({ name: series.name, type: "line", symbol: "circle", symbolSize: 8, lineStyle: { width: 2.5, color: tone }, itemStyle: { color: tone }, data: known.map(function (p) { return [p[0], p[1]]; }) });
      const banded = known.filter(function (p) { return p[2] !== null && p[2] !== undefined; });
      option.series.push({
        name: series.name + " interval", type: "custom", silent: true, tooltip: { show: false }, data: banded.map(function (p) { return [p[0], p[2], p[3]]; }),
        renderItem: function (params, api) {
          const bottom = api.coord([api.value(0), api.value(1)]);
          const top = api.coord([api.value(0), api.value(2)]);
          return { type: "line", shape: { x1: bottom[0], y1: bottom[1], x2: top[0], y2: top[1] }, style: { stroke: tone, lineWidth: 2, opacity: 0.55 } };
        },
      });
    });
    option.legend.data = data.series.map(function (series) { return series.name; });
    Object.assign(option.yAxis, heights(low, high));
    return option;
  }
  function probes(data) {
    const option = base();
    const tone = colour("--defense");
    option.legend = undefined;
    option.grid.top = 16;
    option.xAxis.name = "Probes";
    option.tooltip.valueFormatter = percent;
    option.series = [{ name: "Not yet broken", type: "line", step: "end", showSymbol: false, lineStyle: { width: 2.5, color: tone }, itemStyle: { color: tone }, areaStyle: { color: tone, opacity: 0.12 }, data: data.points }];
    return option;
  }
  const MAKERS = { curve: curve, probes: probes };

  function draw() {
    document.querySelectorAll("[data-chart]").forEach(function (element) {
      const source = document.getElementById(element.dataset.source);
      if (!source) { return; }
      const option = MAKERS[element.dataset.chart](JSON.parse(source.textContent));
      let chart = charts.get(element);
      if (!chart) {
        chart = window.echarts.init(element, null, { renderer: "canvas" });
        charts.set(element, chart);
      }
      chart.setOption(option, true);
    });
  }
  document.addEventListener("DOMContentLoaded", draw);
  document.addEventListener("htmx:afterSettle", draw);
  document.addEventListener("arena:theme", function () { if (window.echarts && document.readyState !== "loading") { draw(); } });
  window.addEventListener("resize", function () { charts.forEach(function (chart) { chart.resize(); }); });
})();
