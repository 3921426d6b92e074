// Draws every figure of the class `chart` from the JSON in it, by Observable Plot.
// A figure answers: point at it, hide and show its series, choose its scales.
"use strict";
(() => {
  const SYMBOLS = {
    o: "circle", s: "square", "^": "triangle", D: "diamond2", v: "wye", P: "cross", X: "times",
    h: "hexagon", "*": "star",
  };
  const SMALLEST_ERROR = 0.05; // of an accuracy in percent, on its logarithmic axis
  const ACCURACIES = [0, 10, 30, 50, 70, 80, 90, 95, 97, 98, 99, 99.5, 99.8, 99.9];
  const LINES = new Set(["line", "dashed", "fit", "dotted", "course"]);
  const colour = (name) => `var(--${name})`;
  const count = (n) => (n >= 1e6 ? `${+(n / 1e6).toPrecision(6)} million` : n.toLocaleString("en"));
  const plain = (n) => `${+n.toPrecision(6)}`;

  const named = (list, keys) => Object.fromEntries(keys.map((key, i) => [key, list[i]]));
  const point = (list) => named(list, ["x", "y", "low", "high", "note", "label"]);

  function read(figure) {
    const data = JSON.parse(figure.querySelector("script").textContent);
    data.x = named(data.x, ["label", "scale"]);
    data.y = named(data.y, ["label", "scale"]);
    data.rules = data.rules.map((r) =>
      named(r, ["name", "at", "across", "ends", "colour", "dashed"]));
    data.series = data.series.map((s) => {
      const one = named(s, ["name", "look", "colour", "marker", "end", "points"]);
      one.points = one.points.map(point);
      return one;
    });
    return data;
  }

  // How an axis is scaled now, of its possible scales; the first is the usual one.
  function choices(axis, values) {
    const positive = values.length > 0 && Math.min(...values) > 0;
    const far = positive && Math.max(...values) > 1000 * Math.min(...values);
    if (axis.scale === "percent") return ["error, log", "linear"];
    if (axis.scale === "epoch") return ["linear"];
    if (axis.scale === "plain" && !far) return positive ? ["linear", "log"] : ["linear"];
    return positive ? ["log", "linear"] : ["linear"];
  }

  function scale(axis, choice, values, pixels) {
    const shared = { label: null, axis: null };
    if (choice === "error, log") {
      const worst = Math.min(100, 100 - Math.min(...values));
      const best = Math.max(SMALLEST_ERROR, 100 - Math.max(...values));
      const room = 0.04 * Math.log(worst / best || 2) + 0.02;
      const domain = [best * Math.exp(-room), worst * Math.exp(room)];
      const inside = (accuracies) =>
        accuracies.map((a) => 100 - a).filter((e) => e >= domain[0] && e <= domain[1]);
      const usual = inside(ACCURACIES);
      const ticks = usual.length > 1 ? usual : inside(d3.ticks(100 - domain[1], 100 - domain[0], 4));
      const size = pixels / Math.log(domain[1] / domain[0]);
      const apart = ticks.reverse().filter(((last) => (e) => {
        const near = last && Math.log(e / last) * size < 18;
        if (!near) last = e;
        return !near;
      })());
      return { ...shared, type: "log", reverse: true, domain,
        transform: (a) => Math.max(100 - a, SMALLEST_ERROR), places: apart.map((e) => 100 - e) };
    }
    const format = axis.scale === "count" ? count : plain;
    if (choice === "linear") {
      const domain = [axis.scale === "epoch" ? 0 : Math.min(...values), Math.max(...values)];
      const nice = d3.scaleLinear().domain(domain);
      if (axis.scale !== "epoch") nice.nice();
      return { ...shared, type: "linear", domain: nice.domain(), format,
        places: nice.ticks(Math.max(3, Math.round(pixels / 80))) };
    }
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const wide = Math.pow(high / low, 0.03) * 1.04;
    const domain = [low / wide, high * wide];
    const own = [...new Set(values)].sort((a, b) => a - b);
    const few = axis.scale === "count" && high < 100 * low && own.length < 8;
    const logs = d3.range(Math.floor(Math.log10(domain[0])), Math.ceil(Math.log10(domain[1])) + 1)
      .flatMap((e) => [1, 2, 5].map((n) => +`${n}e${e}`))
      .filter((n) => n >= domain[0] && n <= domain[1]);
    const powers = logs.filter((n) => `${n.toExponential()}`.startsWith("1e"));
    const apart = powers.filter((_, i) => i % Math.ceil((60 * powers.length) / pixels) === 0);
    return { ...shared, type: "log", domain, format,
      places: few ? own : powers.length > 2 ? apart : logs.length > 2 ? logs
        : d3.scaleLinear().domain(domain).ticks(Math.max(3, Math.round(pixels / 60))) };
  }

  function marks(one, rows) {
    const [paint, at] = [colour(one.colour), { x: "x", y: "y" }];
    const found = [];
    if (one.look === "course") {
      found.push(Plot.areaY(one.points, { x: "x", y1: "low", y2: "high", fill: paint,
        fillOpacity: 0.2 }));
    }
    if (LINES.has(one.look)) {
      const dash = { dashed: "5 4", dotted: "1.5 4" }[one.look] || (one.marker === "--" ? "5 4" : null);
      found.push(Plot.line(one.points, { ...at, stroke: paint, strokeDasharray: dash,
        strokeWidth: one.look === "dashed" ? 1.3 : 2 }));
    }
    if (one.look === "strokes") {
      found.push(Plot.ruleX(one.points, { x: "x", y1: (p) => p.y - 0.28, y2: (p) => p.y + 0.28,
        stroke: paint, strokeWidth: 2 }));
    } else if (!["fit", "dotted", "course"].includes(one.look)) {
      const spread = one.points.filter((p) => p.high > p.low);
      const ends = { stroke: paint, strokeWidth: 1.3 };
      found.push(rows
        ? Plot.ruleY(spread, { y: "y", x1: "low", x2: "high", ...ends })
        : Plot.ruleX(spread, { x: "x", y1: "low", y2: "high", ...ends }));
      const hollow = one.look === "hollow" || one.look === "dashed";
      found.push(Plot.dot(one.points, { ...at, symbol: SYMBOLS[one.marker] || "circle", r: 4,
        stroke: paint, strokeWidth: 1.5, fill: hollow ? colour("ground") : paint }));
    }
    return found;
  }

  function rule(one) {
    const style = { stroke: colour(one.colour), strokeWidth: 1.5,
      strokeDasharray: one.dashed ? "5 4" : null };
    const band = { fill: colour(one.colour), fillOpacity: 0.16 };
    const found = one.across === "x" ? [Plot.ruleX([one.at], style)] : [Plot.ruleY([one.at], style)];
    if (one.ends.length && one.across === "x") {
      found.unshift(Plot.rectX([one], { x1: one.ends[0], x2: one.ends[1], ...band }));
    }
    return found;
  }

  // Names next to points and at the ends of lines, each where it covers no other.
  function write(svg, data, shown, narrow) {
    const [x, y] = ["x", "y"].map((axis) => {
      const { range, transform, apply } = svg.scale(axis);
      return { range, apply: (value) => apply(transform ? transform(value) : value) };
    });
    const right = x.range[1];
    const texts = d3.select(svg).append("g").attr("class", "names").attr("text-anchor", "start").attr("aria-hidden", "true");
    const ends = shown.filter((s) => s.end && s.points.length).map((s) => {
      const p = s.points[s.points.length - 1];
      return { text: s.end, colour: s.colour, x: x.apply(p.x), y: y.apply(p.y) };
    }).sort((a, b) => a.y - b.y);
    ends.reduce((above, one) => { one.place = Math.max(one.y, above + 13); return one.place; }, -1e9);
    ends.reduceRight((below, one) => {
      one.place = Math.min(one.place, below - 13);
      return one.place;
    }, y.range[0] + 13);
    for (const one of ends) {
      texts.append("path").attr("d", `M${one.x},${one.y}L${right + 10},${one.place}`)
        .attr("stroke", colour(one.colour)).attr("stroke-width", 0.8).attr("fill", "none");
      texts.append("text").attr("x", right + 13).attr("y", one.place).attr("dy", "0.32em")
        .text(one.text);
    }
    const taken = shown.flatMap((s) => s.points.map((p) => [x.apply(p.x), y.apply(p.y)]));
    const boxes = [];
    for (const p of narrow ? [] : shown.flatMap((s) => s.points.filter((p) => p.label))) {
      const [px, py] = [x.apply(p.x), y.apply(p.y)];
      const node = texts.append("text").text(p.label);
      const w = node.node().getComputedTextLength();
      const places = [[9, 4], [-9 - w, 4], [-w / 2, -9], [-w / 2, 18], [9, -8], [9, 16],
        [-9 - w, -8], [-9 - w, 16]].map(([dx, dy]) => [px + dx, py + dy]);
      const place = places.find(([l, b]) => l + w < svg.viewBox.baseVal.width && l > x.range[0] &&
        !boxes.some(([l2, b2, w2]) => l < l2 + w2 && l2 < l + w && Math.abs(b - b2) < 13) &&
        !taken.some(([tx, ty]) => tx > l - 4 && tx < l + w + 4 && ty > b - 13 && ty < b + 4));
      if (!place) { node.remove(); continue; }
      node.attr("x", place[0]).attr("y", place[1]);
      boxes.push([...place, w]);
    }
  }

  function draw(figure, state) {
    const { data } = state;
    const place = figure.querySelector(".plot");
    const width = Math.round(place.clientWidth);
    if (!width || typeof Plot === "undefined") return;
    const narrow = width < 480;
    const shown = data.series.filter((s) => !state.hidden.has(s.name));
    const rules = data.rules.filter((r) => !state.hidden.has(r.name));
    const all = shown.flatMap((s) => s.points);
    const rows = data.rows.length > 0;
    const most = Math.floor(width / 6.4); // letters of a row's name above its line
    const letters = Math.max(0, ...shown.map((s) => s.end.length));
    const longest = Math.max(0, ...data.rows.map((r) => r.length));
    const above = rows && (narrow || longest * 6.4 > 0.45 * width); // names over their lines
    const margin = {
      marginTop: above ? 22 : rows ? 12 : 20, marginBottom: 42, marginRight: letters ? 22 + 6.4 * letters : 18,
      marginLeft: rows ? (above ? 8 : 16 + 6.4 * longest) : 50,
    };
    const height = rows
      ? data.rows.length * (above ? 38 : 22) + 56
      : Math.round(data.wide ? Math.min(440, Math.max(300, width * 0.52)) : Math.min(400, Math.max(280, width * 0.72)));
    const across = width - margin.marginLeft - margin.marginRight;
    const up = height - margin.marginTop - margin.marginBottom;
    const xs = all.flatMap((p) => (rows ? [p.x, p.low, p.high] : [p.x]))
      .concat(rules.filter((r) => r.across === "x").map((r) => r.at));
    const ys = rows ? [] : all.flatMap((p) => [p.y, p.low, p.high])
      .concat(rules.filter((r) => r.across === "y").map((r) => r.at));
    const finite = (values) => values.filter((v) => Number.isFinite(v));
    const usable = (axis, values) => axis.scale === "log" || axis.scale === "count"
      ? finite(values).filter((v) => v > 0) : finite(values);
    const x = scale(data.x, state.x, usable(data.x, xs), across);
    const y = rows
      ? { type: "linear", domain: [data.rows.length - 0.4, above ? -0.8 : -0.6], label: null,
          axis: null, places: d3.range(data.rows.length), format: (i) => (above ? "" : data.rows[i]) }
      : scale(data.y, state.y, usable(data.y, ys), up);
    const heading = (text) => (narrow || rows ? text : `↑ ${text}`);
    const svg = Plot.plot({
      width, height, ...margin, x, y,
      style: { background: "none", color: "var(--ink)", fontFamily: "inherit", fontSize: "12px" },
      marks: [
        Plot.gridX(x.places, { stroke: "var(--grid)", strokeOpacity: 1 }),
        Plot.gridY(y.places, { stroke: "var(--grid)", strokeOpacity: 1 }),
        Plot.axisX(x.places, { text: x.format || plain, tickSize: 0, label: null }),
        Plot.axisY(y.places, { text: y.format || plain, tickSize: 0, label: null }),
        ...rules.flatMap(rule),
        ...shown.flatMap((s) => marks(s, rows)),
        ...(above ? [Plot.text(data.rows, { x: () => d3.min(xs), y: (_, i) => i,
          text: (r) => (r.length > most ? `${r.slice(0, most - 1)}…` : r),
          frameAnchor: "left", dy: -12, textAnchor: "start", fill: "var(--ink)" })] : []),
        Plot.tip(all.filter((p) => p.note), Plot.pointer({ x: "x", y: "y", title: "note",
          maxRadius: 40, lineWidth: narrow ? 20 : 34, fill: "var(--ground)", stroke: "var(--soft)" })),
      ],
    });
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", `${data.title}. ${state.caption}`);
    place.replaceChildren(svg);
    const labels = d3.select(svg).append("g").attr("fill", "var(--soft)").attr("aria-hidden", "true");
    labels.append("text").attr("x", width - margin.marginRight).attr("y", height - 6)
      .attr("text-anchor", "end").text(`${data.x.label} →`);
    if (!rows) labels.append("text").attr("x", 0).attr("y", 9).attr("text-anchor", "start").text(heading(data.y.label));
    write(svg, data, shown, narrow);
  }

  function button(text, pressed, act) {
    const made = document.createElement("button");
    made.type = "button";
    made.setAttribute("aria-pressed", pressed);
    made.append(text);
    made.addEventListener("click", () => made.setAttribute("aria-pressed", act()));
    return made;
  }

  function controls(figure, state) {
    const { data } = state;
    const place = figure.querySelector(".controls");
    const all = [...data.series, ...data.rules].filter((s) => s.name);
    const names = [...new Map(all.map((s) => [s.name, s])).values()];
    if (names.length > 1) {
      for (const one of names) {
        const made = button("", true, () => {
          if (!state.hidden.delete(one.name)) state.hidden.add(one.name);
          draw(figure, state);
          return !state.hidden.has(one.name);
        });
        const swatch = document.createElement("i");
        swatch.style.background = colour(one.colour);
        if (one.look === "hollow" || one.look === "dashed") swatch.className = "hollow";
        made.append(swatch, one.name);
        made.title = "hide or show";
        place.append(made);
      }
    }
    const values = { x: data.series.flatMap((s) => s.points.map((p) => p.x)),
      y: data.series.flatMap((s) => s.points.map((p) => p.y)) };
    for (const axis of data.rows.length ? ["x"] : ["y", "x"]) {
      const possible = choices(data[axis], values[axis]);
      state[axis] = possible[0];
      if (possible.length < 2) continue;
      const made = button(`${axis}: ${state[axis]}`, false, () => {
        state[axis] = possible[(possible.indexOf(state[axis]) + 1) % possible.length];
        made.textContent = `${axis}: ${state[axis]}`;
        draw(figure, state);
        return state[axis] !== possible[0];
      });
      made.className = "axis";
      made.title = "another scale of this axis";
      place.append(made);
    }
  }

  // A figure is drawn when it has a width: at once, when its section is opened, when that changes.
  const states = new Map();
  const fit = (place) => {
    const state = states.get(place);
    if (state.width === place.clientWidth || place.closest("details:not([open])")) return;
    state.width = place.clientWidth;
    draw(place.closest("figure"), state);
  };
  const sizes = new ResizeObserver((entries) =>
    setTimeout(() => entries.forEach(({ target }) => fit(target))));
  for (const figure of document.querySelectorAll("figure.chart")) {
    const caption = figure.querySelector("figcaption").textContent;
    const state = { data: read(figure), hidden: new Set(), width: 0, caption };
    const place = figure.querySelector(".plot");
    states.set(place, state);
    controls(figure, state);
    fit(place);
    sizes.observe(place);
  }
  document.addEventListener("toggle", () => { for (const place of states.keys()) fit(place); }, true);
  addEventListener("beforeprint", () => {
    for (const one of document.querySelectorAll("details")) one.open = true;
    for (const place of states.keys()) fit(place);
  });
})();
