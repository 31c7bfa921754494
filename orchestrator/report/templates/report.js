"use strict";
// Plotly and the figures are in the page, compressed. Each figure is drawn when it comes near the window.
(() => {
  const root = document.documentElement;
  const plots = [...document.querySelectorAll(".plot")];
  const drawn = new Set();
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const coarse = matchMedia("(pointer: coarse)");
  let figures = [];

  async function inflate(id) {
    const packed = Uint8Array.from(atob(document.getElementById(id).textContent.trim()), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  }

  function colours() {
    const style = getComputedStyle(root);
    const of = (name) => style.getPropertyValue(name).trim();
    return { ink: of("--ink"), muted: of("--muted"), paper: of("--paper"), line: of("--line") };
  }

  // What the figures leave to the theme.
  function themed(value, theme) {
    if (typeof value === "string") return theme.standIns[value] ?? value;
    if (Array.isArray(value)) return value.map((each) => themed(each, theme));
    if (value && typeof value === "object")
      return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, themed(each, theme)]));
    return value;
  }

  function draw(plot) {
    const found = colours();
    const theme = { standIns: { [STAND_INS.ink]: found.ink, [STAND_INS.muted]: found.muted, [STAND_INS.paper]: found.paper } };
    const figure = themed(figures[Number(plot.dataset.figure)], theme);
    const narrow = plot.clientWidth < 480;
    const axis = { gridcolor: found.line, zerolinecolor: found.line, linecolor: found.line };
    const layout = {
      ...figure.layout,
      font: { family: getComputedStyle(document.body).fontFamily, size: narrow ? 11 : 12, color: found.ink },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      margin: { l: narrow ? 44 : 56, r: 12, t: 34, b: 40 },
      legend: { orientation: "h", x: 0, y: 1, yanchor: "bottom", xanchor: "left", ...figure.layout.legend },
      hoverlabel: { bgcolor: found.paper, bordercolor: found.line, font: { color: found.ink } },
      dragmode: coarse.matches ? false : "zoom",
      width: plot.clientWidth,
      height: plot.clientHeight,
    };
    for (const name of Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key)))
      layout[name] = { ...axis, automargin: name[0] === "y", ...layout[name], title: { standoff: 6, ...layout[name].title } };
    if (drawn.has(plot)) Plotly.purge(plot); // else the legend keeps the room that it took at another width
    Plotly.newPlot(plot, figure.data, layout, { displayModeBar: false, responsive: false, doubleClick: "reset" });
    plot.dataset.drawn = "yes";
    drawn.add(plot);
  }

  const redraw = () => drawn.forEach(draw);

  function drawAll() {
    plots.filter((plot) => !drawn.has(plot)).forEach(draw);
  }

  async function begin() {
    const [library, texts] = await Promise.all([inflate("plotly"), inflate("figures")]);
    const script = document.createElement("script");
    script.textContent = library;
    document.head.append(script);
    figures = JSON.parse(texts);
    const observer = new IntersectionObserver(
      (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => {
        observer.unobserve(entry.target);
        if (!drawn.has(entry.target)) draw(entry.target);
      }),
      { rootMargin: "800px" },
    );
    plots.forEach((plot) => observer.observe(plot));
    dark.addEventListener("change", redraw);
    let width = root.clientWidth, wait = 0;
    addEventListener("resize", () => {
      if (root.clientWidth === width || "printing" in root.dataset) return;
      width = root.clientWidth;
      clearTimeout(wait);
      wait = setTimeout(redraw, 150);
    });
    addEventListener("beforeprint", () => {
      root.dataset.printing = "";
      drawAll();
      redraw();
    });
    addEventListener("afterprint", () => {
      delete root.dataset.printing;
      redraw();
    });
    window.drawAll = drawAll;
  }

  begin().catch((error) => {
    document.getElementById("no-plots").hidden = false;
    plots.forEach((plot) => { plot.hidden = true; });
    console.warn("the plots can't be drawn:", error);
  });
})();
