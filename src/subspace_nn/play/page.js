// The page: draw a digit, choose a net, look inside. All arithmetic is in engine.js.
"use strict";
const { FileError, load, logits, softmax } = globalThis.SubspaceNN;
const NETS = JSON.parse(document.getElementById("nets").textContent);
const $ = (id) => document.getElementById(id);
const number = (x) => x.toLocaleString("en");

// ── Pixels ──

const SIDE = 28;

function decode(text) {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}

/** An image in four bits a pixel as 784 numbers from 0 to 1. */
function unpack(text) {
  const bytes = decode(text);
  return Float32Array.from({ length: SIDE * SIDE }, (_, i) => ((bytes[i >> 1] >> (4 * (i & 1))) & 15) / 15);
}

function colour(name) {
  const probe = getComputedStyle(document.body);
  const hex = probe.getPropertyValue(name).trim();
  return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
}

/** Paint numbers from 0 to 1 between the colours of paper and pen. */
function paint(canvas, values, side) {
  canvas.width = canvas.height = side;
  const context = canvas.getContext("2d");
  const data = context.createImageData(side, side);
  const from = colour("--paper"), to = colour("--pen");
  values.forEach((v, i) => {
    for (let c = 0; c < 3; c++) data.data[4 * i + c] = from[c] + v * (to[c] - from[c]);
    data.data[4 * i + 3] = 255;
  });
  context.putImageData(data, 0, 0);
}

/** A drawing as MNIST has its digits: in a box of 20 pixels, its centre of mass in the middle. */
function centred(ink, width) {
  let left = width, right = -1, top = width, bottom = -1;
  ink.forEach((v, i) => {
    if (v < 0.05) return;
    const x = i % width, y = Math.floor(i / width);
    left = Math.min(left, x); right = Math.max(right, x);
    top = Math.min(top, y); bottom = Math.max(bottom, y);
  });
  if (right < 0) return null;
  const scale = Math.max(right - left + 1, bottom - top + 1) / 20;
  let mass = 0, mx = 0, my = 0;
  ink.forEach((v, i) => { mass += v; mx += v * (i % width); my += v * Math.floor(i / width); });
  const x0 = mx / mass - 14 * scale, y0 = my / mass - 14 * scale;
  const out = new Float32Array(SIDE * SIDE);
  const steps = Math.max(1, Math.ceil(scale));
  for (let r = 0; r < SIDE; r++) {
    for (let c = 0; c < SIDE; c++) {
      let sum = 0;
      for (let a = 0; a < steps; a++) {
        for (let b = 0; b < steps; b++) {
          const x = Math.round(x0 + (c + (b + 0.5) / steps) * scale);
          const y = Math.round(y0 + (r + (a + 0.5) / steps) * scale);
          if (x >= 0 && x < width && y >= 0 && y < width) sum += ink[y * width + x];
        }
      }
      out[SIDE * r + c] = sum / steps ** 2;
    }
  }
  return out;
}

// ── The pad ──

const pad = $("pad");
const ink = document.createElement("canvas"); // white on black, whatever the page's colours are
pad.width = pad.height = ink.width = ink.height = 280;
let last = null;
let shown = null; // the 784 numbers that the net reads
let waiting = false;

function stroke(to) {
  const from = last ?? to;
  for (const [canvas, style] of [[pad, getComputedStyle(document.body).getPropertyValue("--pen")], [ink, "#fff"]]) {
    const context = canvas.getContext("2d", { willReadFrequently: true });
    Object.assign(context, { lineWidth: 22, lineCap: "round", lineJoin: "round", strokeStyle: style });
    context.beginPath();
    context.moveTo(...from);
    context.lineTo(to[0] + 0.01, to[1]);
    context.stroke();
  }
  last = to;
  later(readPad);
}

function later(work) {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; work(); });
}

function readPad() {
  const data = ink.getContext("2d", { willReadFrequently: true }).getImageData(0, 0, 280, 280).data;
  const values = Float32Array.from({ length: 280 * 280 }, (_, i) => data[4 * i + 3] / 255);
  shown = centred(values, 280);
  answer();
}

function clear() {
  for (const canvas of [pad, ink]) canvas.getContext("2d").clearRect(0, 0, 280, 280);
  last = shown = null;
  answer();
}

/** Put a finished image of 784 numbers on the pad, and read it. */
function put(image) {
  clear();
  const small = document.createElement("canvas");
  paint(small, image, SIDE);
  const context = pad.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(small, 0, 0, 280, 280);
  shown = image;
  return answer();
}

const place = (event) => {
  const box = pad.getBoundingClientRect();
  return [(event.clientX - box.left) * 280 / box.width, (event.clientY - box.top) * 280 / box.height];
};
pad.addEventListener("pointerdown", (event) => {
  pad.setPointerCapture(event.pointerId);
  if (shown && !last && pad.dataset.image) clear();
  delete pad.dataset.image;
  last = null;
  stroke(place(event));
});
pad.addEventListener("pointermove", (event) => { if (event.buttons) stroke(place(event)); });
pad.addEventListener("pointerup", () => { last = null; });
$("clear").addEventListener("click", clear);

// ── The answer ──

const rows = Array.from({ length: 10 }, (_, digit) => {
  const row = document.createElement("div");
  row.className = "row";
  row.innerHTML = `<span>${digit}</span><span class="track"><span class="fill"></span></span><output></output>`;
  $("bars").append(row);
  return row;
});

function answer() {
  paint($("seen"), shown ?? new Float32Array(SIDE * SIDE), SIDE);
  if (!shown) {
    $("guess").textContent = "";
    rows.forEach((row) => fill(row, 0, false, ""));
    return null;
  }
  const values = logits(current.net, shown);
  const p = softmax(values);
  const best = p.indexOf(Math.max(...p));
  $("guess").textContent = best;
  rows.forEach((row, digit) => fill(row, p[digit], digit === best, `${(100 * p[digit]).toFixed(1)} %`));
  return values;
}

function fill(row, share, best, text) {
  row.classList.toggle("best", best);
  row.querySelector(".fill").style.width = `${100 * share}%`;
  row.querySelector("output").textContent = text;
}

// ── The nets ──

let current = null;
const loaded = new Map();

function choose(position) {
  const entry = NETS[position];
  if (!loaded.has(entry)) loaded.set(entry, load(decode(entry.file)));
  current = { entry, net: loaded.get(entry), position };
  show();
}

function show() {
  const { entry, net } = current;
  $("d").textContent = number(net.spec.dim);
  for (const one of document.querySelectorAll(".D")) one.textContent = number(net.spec.D);
  $("bytes").textContent = number(net.bytes);
  $("accuracy").textContent = entry.accuracy === undefined ? "not measured" : `${(100 * entry.accuracy).toFixed(2)} %`;
  $("slider").value = current.position ?? $("slider").value;
  $("slider").setAttribute("aria-valuetext", `${number(net.spec.dim)} free parameters`);
  document.querySelectorAll("svg .dot").forEach((dot, i) => dot.classList.toggle("on", i === current.position));
  drawFilters(net);
  drawMatrix(entry.confusion);
  drawWrong(entry.wrong);
  drawChecks(net);
  answer();
}

function drawChart() {
  const svg = $("chart"), width = 640, height = 150, left = 40, bottom = 24, top = 10;
  const x = (d) => left + 12 + (width - left - 36) * Math.log(d / 3) / Math.log(10000 / 3);
  const y = (share) => top + (height - top - bottom) * (1 - share);
  const lines = [0, 0.5, 1].map((s) =>
    `<line class="grid" x1="${left}" x2="${width}" y1="${y(s)}" y2="${y(s)}"/><text x="${left - 6}" y="${y(s) + 4}" text-anchor="end">${100 * s} %</text>`);
  const points = NETS.map((n) => `${x(n.dim)},${y(n.accuracy)}`).join(" ");
  const dots = NETS.map((n, i) =>
    `<circle class="dot" data-i="${i}" cx="${x(n.dim)}" cy="${y(n.accuracy)}" r="7"><title>d = ${number(n.dim)}: ${(100 * n.accuracy).toFixed(2)} %</title></circle>` +
    `<text x="${x(n.dim)}" y="${height - 6}" text-anchor="middle">${number(n.dim)}</text>`);
  svg.innerHTML = `${lines.join("")}<polyline class="curve" points="${points}"/>${dots.join("")}`;
  svg.querySelectorAll(".dot").forEach((dot) =>
    dot.addEventListener("click", () => choose(Number(dot.dataset.i))));
}

function drawFilters(net) {
  const box = $("filters");
  box.replaceChildren();
  const { start } = net.entries[0];
  const conv = net.model === "conv";
  const count = conv ? 10 : 12, side = conv ? 5 : 28;
  $("filters-what").textContent = conv
    ? "The ten filters of the first layer: drawn from the seed, and after training."
    : "Twelve units of the first layer: drawn from the seed, and after training.";
  for (let f = 0; f < count; f++) {
    const figure = document.createElement("figure");
    for (const theta of [net.theta0, net.theta]) {
      const values = theta.subarray(start + f * side * side, start + (f + 1) * side * side);
      const most = Math.max(...values.map(Math.abs)) || 1;
      const canvas = document.createElement("canvas");
      paint(canvas, Array.from(values, (v) => 0.5 + v / most / 2), side);
      canvas.style.width = canvas.style.height = "44px";
      canvas.style.display = "block";
      canvas.style.marginBottom = "3px";
      figure.append(canvas);
    }
    box.append(figure);
  }
}

function drawMatrix(confusion) {
  const table = $("matrix");
  table.replaceChildren();
  if (!confusion) return;
  const ten = [...Array(10).keys()];
  const most = Math.max(...confusion.filter((_, i) => i % 11));
  const cell = (digit, guess) => {
    const n = confusion[10 * digit + guess];
    const tint = digit === guess ? 0 : Math.round(100 * Math.sqrt(n / (most || 1)));
    return `<td title="${n} of the ${digit}s read as ${guess}" style="background: color-mix(in srgb, var(--bar) ${tint}%, transparent)">${n || ""}</td>`;
  };
  table.innerHTML = `<tr><th></th>${ten.map((d) => `<th scope="col">${d}</th>`).join("")}</tr>` +
    ten.map((d) => `<tr><th scope="row">${d}</th>${ten.map((g) => cell(d, g)).join("")}</tr>`).join("");
}

function drawWrong(wrong) {
  const box = $("wrong");
  box.replaceChildren();
  (wrong ?? []).forEach(({ image, label, guess }) => {
    const figure = document.createElement("figure");
    const button = document.createElement("button");
    const canvas = document.createElement("canvas");
    const pixels = unpack(image);
    paint(canvas, pixels, SIDE);
    canvas.style.width = canvas.style.height = "56px";
    button.title = `A ${label}, read as ${guess}. Put it on the pad.`;
    button.setAttribute("aria-label", button.title);
    button.append(canvas);
    button.addEventListener("click", () => { put(pixels); pad.dataset.image = "1"; });
    const caption = document.createElement("figcaption");
    caption.textContent = `${guess}, not ${label}`;
    figure.append(button, caption);
    box.append(figure);
  });
}

function drawChecks(net) {
  $("checks").innerHTML = Object.entries(net.checks).map(([name, [here, file]]) =>
    `<tr><td>${name}</td><td><code>${here}</code></td><td>${here === file ? "the same as in the file" : `differs from the file: <code>${file.replace(/[^0-9a-f]/g, "")}</code>`}</td></tr>`).join("");
}

// ── Files of the reader's own ──

async function take(file) {
  $("problem").textContent = "";
  try {
    const net = load(new Uint8Array(await file.arrayBuffer()));
    current = { entry: {}, net, position: null };
    show();
    $("whose").textContent = file.name;
  } catch (error) {
    if (!(error instanceof FileError)) console.error(error);
    $("problem").textContent = `${file.name}: ${error instanceof FileError ? error.message : "the file is damaged."}`;
  }
}

const drop = $("drop");
$("file").addEventListener("change", (event) => { if (event.target.files[0]) take(event.target.files[0]); });
for (const name of ["dragenter", "dragover"]) {
  document.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
}
document.addEventListener("dragleave", () => drop.classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
});

// ── Start ──

$("slider").max = NETS.length - 1;
$("slider").addEventListener("input", (event) => {
  $("whose").textContent = "";
  choose(Number(event.target.value));
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { drawChart(); show(); });
drawChart();
choose(Math.max(0, NETS.findIndex((net) => net.dim === 1000)));
globalThis.play = { nets: NETS, choose, put, take, current: () => current };
