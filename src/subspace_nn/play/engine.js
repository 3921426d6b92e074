// A second implementation of docs/bits.md and docs/format.md: from the bytes of a checkpoint to the
// weights of the net, with the same bits as the Python package. Plain JavaScript, no dependency.
"use strict";
(function (root) {
  // ── Words: SplitMix64 in two halves of 32 bits. A function leaves its result in `hi` and `lo`. ──
  let hi = 0;
  let lo = 0;

  function multiply(ah, al, bh, bl) {
    const a0 = al & 0xffff, a1 = al >>> 16, b0 = bl & 0xffff, b1 = bl >>> 16;
    const p01 = a0 * b1, p10 = a1 * b0;
    const middle = ((a0 * b0) >>> 16) + (p01 & 0xffff) + (p10 & 0xffff);
    const carry = a1 * b1 + (p01 >>> 16) + (p10 >>> 16) + (middle >>> 16);
    hi = (carry + Math.imul(ah, bl) + Math.imul(al, bh)) >>> 0;
    lo = Math.imul(al, bl) >>> 0;
  }

  function shiftXor(by) {
    const low = (lo >>> by) | (hi << (32 - by));
    hi = (hi ^ (hi >>> by)) >>> 0;
    lo = (lo ^ low) >>> 0;
  }

  function mix() {
    shiftXor(30);
    multiply(hi, lo, 0xbf58476d, 0x1ce4e5b9);
    shiftXor(27);
    multiply(hi, lo, 0x94d049bb, 0x133111eb);
    shiftXor(31);
  }

  const MASK = (1n << 64n) - 1n;

  function mixBig(x) {
    hi = Number(x >> 32n);
    lo = Number(x & 0xffffffffn);
    mix();
    return (BigInt(hi) << 32n) | BigInt(lo);
  }

  /** The key of a stream as [high, low]; the seed is a BigInt. */
  function key(seed, name) {
    let hash = 0xcbf29ce484222325n;
    for (const byte of new TextEncoder().encode(name)) {
      hash = ((hash ^ BigInt(byte)) * 0x100000001b3n) & MASK;
    }
    const x = mixBig((mixBig(seed) + hash) & MASK);
    return [Number(x >> 32n), Number(x & 0xffffffffn)];
  }

  /** Word i of a stream, into `hi` and `lo`. */
  function word(stream, i) {
    const n = i + 1;
    multiply(Math.floor(n / 2 ** 32) >>> 0, n >>> 0, 0x9e3779b9, 0x7f4a7c15);
    const low = lo + stream[1];
    hi = (hi + stream[0] + (low > 0xffffffff ? 1 : 0)) >>> 0;
    lo = low >>> 0;
    mix();
  }

  /** (word >> 1) mod n, exact for n < 2^26. */
  function below(n, stream, i) {
    word(stream, i);
    return ((hi % n) * (2 ** 31 % n) + (lo >>> 1)) % n;
  }

  /** Uniform number i in (0, 1), exact. */
  function uniform(stream, i) {
    word(stream, i);
    return (hi * 2 ** 20 + (lo >>> 12) + 0.5) / 2 ** 52;
  }

  // ── The projection `hashed`, version 1. ──

  function gcd(a, b) {
    while (b) [a, b] = [b, a % b];
    return a;
  }

  /** For each weight the parameter that it is tied to, and its sign. */
  function hashed(D, d, seed) {
    const index = new Uint32Array(D);
    const sign = new Int8Array(D);
    const offsets = key(seed, "hashed/offset");
    const trials = [];
    for (let block = 0; block * d < D; block++) {
      let a = 0;
      for (let t = 0; ; t++) {
        if (t === trials.length) trials.push(key(seed, `hashed/multiplier/${t}`));
        a = below(d, trials[t], block);
        if (gcd(a, d) === 1) break;
      }
      const first = block * d;
      const count = Math.min(d, D - first);
      let k = below(d, offsets, block);
      for (let j = 0; j < count; j++) {
        index[first + j] = k;
        k += a;
        if (k >= d) k -= d;
      }
    }
    const signs = key(seed, "hashed/sign");
    for (let i = 0; i < D; i += 64) {
      word(signs, i / 64);
      for (let bit = 0; bit < 64 && i + bit < D; bit++) {
        sign[i + bit] = 1 - 2 * (((bit < 32 ? lo : hi) >>> (bit & 31)) & 1);
      }
    }
    const count = new Uint32Array(d);
    for (let i = 0; i < D; i++) count[index[i]]++;
    const norm = Float64Array.from(count, (n) => 1 / Math.sqrt(n));
    return { index, sign, norm };
  }

  // ── SHA-256; `crypto.subtle` is not there on every page that is opened from a disk. ──

  function fractions(root_, count) {
    const out = [];
    for (let n = 2; out.length < count; n++) {
      let prime = true;
      for (let q = 2; q * q <= n; q++) if (n % q === 0) prime = false;
      if (prime) out.push((Math.pow(n, root_) % 1) * 2 ** 32 >>> 0);
    }
    return out;
  }
  const ROUND = fractions(1 / 3, 64);
  const START = fractions(1 / 2, 8);

  /** The first 16 hexadecimal digits of the SHA-256 of some Uint8Arrays joined together. */
  function digest(...parts) {
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    const bytes = new Uint8Array(((length + 8) >> 6 << 6) + 64);
    let at = 0;
    for (const part of parts) {
      bytes.set(part, at);
      at += part.length;
    }
    bytes[length] = 0x80;
    const view = new DataView(bytes.buffer);
    view.setUint32(bytes.length - 8, Math.floor(length / 2 ** 29));
    view.setUint32(bytes.length - 4, (length << 3) >>> 0);
    const state = START.slice();
    const w = new Int32Array(64);
    const turn = (x, n) => (x >>> n) | (x << (32 - n));
    for (let start = 0; start < bytes.length; start += 64) {
      for (let i = 0; i < 16; i++) w[i] = view.getInt32(start + 4 * i);
      for (let i = 16; i < 64; i++) {
        const a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + w[i - 7] + (turn(a, 7) ^ turn(a, 18) ^ (a >>> 3)) +
          (turn(b, 17) ^ turn(b, 19) ^ (b >>> 10));
      }
      let [a, b, c, d, e, f, g, h] = state;
      for (let i = 0; i < 64; i++) {
        const one = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) +
          ROUND[i] + w[i]) | 0;
        const two = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
        [a, b, c, d, e, f, g, h] = [(one + two) | 0, a, b, c, (d + one) | 0, e, f, g];
      }
      [a, b, c, d, e, f, g, h].forEach((x, i) => { state[i] = (state[i] + x) | 0; });
    }
    return [state[0], state[1]].map((x) => (x >>> 0).toString(16).padStart(8, "0")).join("");
  }

  const utf8 = (text) => new TextEncoder().encode(text);
  const asBytes = (array) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

  // ── The nets of the package that this page knows. ──

  const NETS = {
    conv: [
      ["conv1.weight", [10, 1, 5, 5]], ["conv1.bias", [10]],
      ["conv2.weight", [20, 10, 5, 5]], ["conv2.bias", [20]],
      ["fc1.weight", [50, 320]], ["fc1.bias", [50]],
      ["fc2.weight", [10, 50]], ["fc2.bias", [10]],
    ],
    fc: [
      ["fc1.weight", [200, 784]], ["fc1.bias", [200]],
      ["fc2.weight", [200, 200]], ["fc2.bias", [200]],
      ["fc3.weight", [10, 200]], ["fc3.bias", [10]],
    ],
  };
  const size = (shape) => shape.reduce((a, b) => a * b, 1);

  /** The tensors of a net with their place in θ and their fan-in; a bias has that of its weight. */
  function layout(model) {
    let start = 0;
    let fanIn = 1;
    return NETS[model].map(([name, shape]) => {
      const count = size(shape);
      if (shape.length > 1) fanIn = size(shape.slice(1));
      start += count;
      return { name, shape, start: start - count, count, bound: 1 / Math.sqrt(fanIn) };
    });
  }

  // ── The file. ──

  class FileError extends Error {}

  function refuse(condition, message) {
    if (condition) throw new FileError(message);
  }

  const ITEM = { F64: 8, F32: 4, F16: 2, BF16: 2, U8: 1 };
  const TORCH = { F64: "float64", F32: "float32", F16: "float16", BF16: "bfloat16", U8: "uint8" };

  /** Specification and tensors of a checkpoint; refuses what does not fit together. */
  function parse(bytes) {
    const isCompact = [0x53, 0x4e, 0x4e, 2].every((byte, i) => bytes[i] === byte);
    const { spec, text, tensors } = isCompact ? parseCompact(bytes) : parseSafetensors(bytes);
    const parts = [utf8(text)];
    for (const name of Object.keys(tensors).sort()) {
      const { dtype, shape, bytes: content } = tensors[name];
      const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(", ")})`;
      parts.push(utf8(`${name} torch.${TORCH[dtype]} ${tuple}`), content);
    }
    refuse(digest(...parts) !== spec.digest, "The file is damaged: its digest does not match.");
    return { spec, tensors };
  }

  /** The seed in a specification, which JSON.parse would round to a float64. */
  const seedOf = (text) => BigInt(/"seed":(\d+)/.exec(text)?.[1] ?? 0);

  function parseSafetensors(bytes) {
    refuse(bytes.length < 8, "The file is too short for a checkpoint.");
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const length = view.getUint32(0, true);
    refuse(view.getUint32(4, true) || length > 2 ** 20 || length > bytes.length - 8,
      "The file is no safetensors file, or it is damaged.");
    let header, text;
    try {
      header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(8, 8 + length)));
      text = header.__metadata__.subspace_nn;
      refuse(typeof text !== "string", "");
    } catch {
      throw new FileError("The file is no checkpoint of subspace-nn.");
    }
    const spec = { ...JSON.parse(text), seed: seedOf(text) };
    const body = bytes.subarray(8 + length);
    const tensors = {};
    for (const [name, entry] of Object.entries(header)) {
      if (name === "__metadata__") continue;
      const { dtype, shape, data_offsets: [from, to] } = entry;
      refuse(!(dtype in ITEM) || to > body.length || to - from !== size(shape) * ITEM[dtype],
        `The tensor ${name} does not fit into the file.`);
      tensors[name] = { dtype, shape, bytes: body.slice(from, to) };
    }
    return { spec, text: text.replace(/"digest":"[^"]*",/, ""), tensors };
  }

  /** Fields that a compact file leaves out. */
  const USUAL = { format: 2, omega: "coded", projection: "hashed/1", seed: 0, theta0_from: "seed/1" };

  function parseCompact(bytes) {
    const end = 6 + bytes[4] + 256 * bytes[5];
    const start = end + 32;
    refuse(!(bytes.length > start), "The file is too short for a compact checkpoint.");
    let own, given;
    try {
      own = new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(6, end));
      given = JSON.parse(own);
    } catch {
      throw new FileError("The file is damaged: its specification is not JSON.");
    }
    const hex = (at) => Array.from(bytes.subarray(at, at + 8), (x) => x.toString(16).padStart(2, "0")).join("");
    const fields = { ...USUAL, ...given, P: hex(end), architecture: hex(end + 8), theta0: hex(end + 24) };
    const seed = seedOf(own);
    const value = (name) => (name === "seed" ? seed.toString() : ascii(fields[name]));
    const text = `{${Object.keys(fields).sort().map((name) => `${ascii(name)}:${value(name)}`)}}`;
    const omega = bytes.slice(start);
    return {
      spec: { ...fields, seed, digest: hex(end + 16) }, text,
      tensors: { omega: { dtype: "U8", shape: [omega.length], bytes: omega } },
    };
  }

  /** JSON in ASCII, as the digest takes it. */
  function ascii(value) {
    return JSON.stringify(value).replace(/[\u007f-\uffff]/g,
      (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
  }

  function half(bits) {
    const exponent = (bits >> 10) & 31, fraction = bits & 1023, sign = bits >> 15 ? -1 : 1;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (exponent ? 2 ** (exponent - 25) * (1024 + fraction) : 2 ** -24 * fraction);
  }

  function brain(bits) {
    return new Float32Array(new Uint32Array([bits << 16]).buffer)[0];
  }

  /** A tensor's numbers as float32. */
  function numbers({ dtype, bytes }) {
    refuse(dtype === "F64", "This page reads nets of float32; the file holds float64.");
    if (dtype === "F32") return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    const words = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2);
    return Float32Array.from(words, dtype === "F16" ? half : brain);
  }

  /** A coded ω: a step of bfloat16 times whole numbers, which an adaptive range code holds. */
  function decoded(bytes, dim) {
    const levels = bytes[0] + 1;
    const step = bytes.length < 3 ? NaN : numbers({ dtype: "BF16", bytes: bytes.slice(1, 3) })[0];
    refuse(!(levels > 1 && step > 0 && step < Infinity && bytes.length <= 2 * dim + 8 && dim <= 2 ** 18),
      "The coded ω does not fit together.");
    let at = 3;
    const next = () => (at < bytes.length ? bytes[at++] : 0);
    const counts = new Array(levels).fill(1);
    let value = 0, range = 2 ** 32 - 1, sum = levels;
    for (let i = 0; i < 4; i++) value = 256 * value + next();
    return Float32Array.from({ length: dim }, () => {
      const unit = Math.floor(range / sum);
      const sought = Math.floor(value / unit);
      let symbol = 0, below_ = 0;
      while (symbol < levels - 1 && below_ + counts[symbol] <= sought) below_ += counts[symbol++];
      value -= unit * below_;
      range = unit * counts[symbol];
      counts[symbol] += 2;
      sum += 2;
      if (sum > 2 ** 16) {
        counts.forEach((n, i) => { counts[i] = (n + 1) >> 1; });
        sum = counts.reduce((a, b) => a + b, 0);
      }
      while (range < 2 ** 24) {
        value = (256 * value + next()) % 2 ** 32;
        range *= 256;
      }
      return step * (symbol - (levels >> 1));
    });
  }

  /** ω, decoded, or unpacked where the file holds it in blocks of int8 or int4. */
  function omegaOf(spec, tensor) {
    if (tensor.dtype !== "U8") return numbers(tensor);
    if (spec.omega === "coded") return decoded(tensor.bytes, spec.dim);
    const bits = { int8: 8, int4: 4 }[spec.omega];
    const block = bits === 8 ? 64 : 32;
    const blocks = Math.ceil(spec.dim / block);
    const expected = 2 * blocks + (bits === 8 ? spec.dim : Math.ceil(spec.dim / 2));
    refuse(tensor.bytes.length !== expected, "The packed ω has another length than its dim.");
    const scale = numbers({ dtype: "BF16", bytes: tensor.bytes.slice(0, 2 * blocks) });
    const codes = tensor.bytes.subarray(2 * blocks);
    return Float32Array.from({ length: spec.dim }, (_, k) => {
      const code = bits === 8 ? codes[k] : (codes[k >> 1] >> (4 * (k & 1))) & 15;
      const signed = code >= 2 ** (bits - 1) ? code - 2 ** bits : code;
      return scale[Math.floor(k / block)] * signed;
    });
  }

  function originOf(spec, tensors, entries) {
    const theta0 = new Float32Array(spec.D);
    if (spec.theta0_from === "file") {
      for (const { name, start } of entries) theta0.set(numbers(tensors[`theta0.${name}`]), start);
      return theta0;
    }
    const stream = key(spec.seed, "theta0");
    for (const { start, count, bound } of entries) {
      for (let i = start; i < start + count; i++) theta0[i] = bound * (2 * uniform(stream, i) - 1);
    }
    return theta0;
  }

  /** The standard deviation of each tensor's initial weights; a constant tensor takes that of all. */
  function sigmasOf(spec, theta0, entries) {
    if (spec.theta0_from !== "file") return entries.map(({ bound }) => bound / Math.sqrt(3));
    const sigmas = entries.map(({ start, count }) => {
      const values = theta0.subarray(start, start + count);
      const mean = values.reduce((sum, x) => sum + x, 0) / count;
      return Math.sqrt(values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / count);
    });
    const varying = entries.map(({ count }, i) => (sigmas[i] > 0 ? count : 0));
    const squares = sigmas.reduce((sum, sigma, i) => sum + varying[i] * sigma ** 2, 0);
    const all = varying.reduce((a, b) => a + b, 0);
    return sigmas.map((sigma) => sigma || (all ? Math.sqrt(squares / all) : 1));
  }

  /**
   * From the bytes of a file to a net: {spec, omega, theta0, theta, entries, model, checks}.
   * The checks are pairs of fingerprints, computed here and read from the file; all must agree.
   */
  function load(bytes) {
    const { spec, tensors } = parse(bytes);
    refuse(spec.format > 2, `This page reads files of one stage; the file is of format ${spec.format}.`);
    refuse(!Object.hasOwn(NETS, spec.model ?? ""),
      `This page knows the nets conv and fc; the file's is ${spec.model ?? "one of your own"}.`);
    refuse(spec.projection !== "hashed/1",
      `This page knows the projection hashed/1; the file's is ${spec.projection}.`);
    refuse(spec.scale === "learned", "This page does not read a learned scale.");
    refuse(spec.dtype, `This page reads nets of float32; the file's is of ${spec.dtype}.`);
    refuse(!["seed/1", "file"].includes(spec.theta0_from),
      `This page does not know where θ0 is from: ${spec.theta0_from}.`);
    const entries = layout(spec.model);
    const { D, dim } = spec;
    const last = entries[entries.length - 1];
    refuse(D !== last.start + last.count || !(dim >= 1 && dim <= D),
      "This page reads subspaces of all the weights of a net.");
    const omega = omegaOf(spec, tensors.omega);
    refuse(omega.length !== dim, "ω has another length than its dim.");
    const { index, sign, norm } = hashed(D, dim, spec.seed);
    const theta0 = originOf(spec, tensors, entries);

    const theta = new Float32Array(D);
    const m = Float32Array.from(norm);
    const sigmas = sigmasOf(spec, theta0, entries);
    entries.forEach(({ start, count }, number) => {
      const step = Math.fround(spec.scale === "none" ? 1 : sigmas[number] * Math.sqrt(D / dim));
      for (let i = start; i < start + count; i++) {
        const move = sign[i] * Math.fround(omega[index[i]] * m[index[i]]);
        theta[i] = theta0[i] + Math.fround(step * move);
      }
    });

    const sketch = key(0n, "sketch/omega");
    const w = Float64Array.from({ length: dim }, (_, k) => uniform(sketch, k) - 0.5);
    const Pw = Float64Array.from(index, (k, i) => sign[i] * (w[k] * norm[k]));
    const recipe = utf8(`('hashed', 1, ${D}, ${dim}, ${spec.seed})`);
    const architecture = JSON.stringify([entries.map((e) => [[e.name], e.shape]), []]);
    const checks = {
      P: [digest(recipe, asBytes(Pw)), spec.P],
      theta0: [digest(asBytes(Float64Array.from(theta0))), spec.theta0],
      architecture: [digest(utf8(architecture)), spec.architecture],
    };
    return { spec, omega, theta0, theta, entries, model: spec.model, checks, bytes: bytes.length };
  }

  // ── The nets' functions. ──

  /** A convolution with a 5 × 5 kernel, no padding, then 2 × 2 max pooling and ReLU. */
  function convolve(x, channels, side, weight, bias) {
    const wide = side - 4, half_ = wide / 2, out = new Float32Array(bias.length * half_ * half_);
    const map = new Float32Array(wide * wide);
    for (let o = 0; o < bias.length; o++) {
      map.fill(bias[o]);
      for (let c = 0; c < channels; c++) {
        for (let ky = 0; ky < 5; ky++) {
          for (let kx = 0; kx < 5; kx++) {
            const w = weight[((o * channels + c) * 5 + ky) * 5 + kx];
            for (let r = 0; r < wide; r++) {
              const from = (c * side + r + ky) * side + kx;
              for (let s = 0; s < wide; s++) map[r * wide + s] += w * x[from + s];
            }
          }
        }
      }
      for (let r = 0; r < half_; r++) {
        for (let s = 0; s < half_; s++) {
          const at = 2 * r * wide + 2 * s;
          out[(o * half_ + r) * half_ + s] =
            Math.max(0, map[at], map[at + 1], map[at + wide], map[at + wide + 1]);
        }
      }
    }
    return out;
  }

  function linear(x, weight, bias, relu) {
    return bias.map((b, o) => {
      let sum = b;
      for (let i = 0; i < x.length; i++) sum += weight[o * x.length + i] * x[i];
      return relu ? Math.max(0, sum) : sum;
    });
  }

  /** The ten logits of an image of 784 numbers from 0 to 1, with the weights θ (or others). */
  function logits(net, image, theta = net.theta) {
    const t = Object.fromEntries(
      net.entries.map(({ name, start, count }) => [name, theta.subarray(start, start + count)]));
    if (net.model === "fc") {
      const hidden = linear(linear(image, t["fc1.weight"], t["fc1.bias"], true),
        t["fc2.weight"], t["fc2.bias"], true);
      return linear(hidden, t["fc3.weight"], t["fc3.bias"], false);
    }
    let x = convolve(image, 1, 28, t["conv1.weight"], t["conv1.bias"]);
    x = convolve(x, 10, 12, t["conv2.weight"], t["conv2.bias"]);
    x = linear(x, t["fc1.weight"], t["fc1.bias"], true);
    return linear(x, t["fc2.weight"], t["fc2.bias"], false);
  }

  function softmax(values) {
    const top = Math.max(...values);
    const powers = Array.from(values, (x) => Math.exp(x - top));
    const sum = powers.reduce((a, b) => a + b, 0);
    return powers.map((x) => x / sum);
  }

  root.SubspaceNN = { FileError, key, word: (s, i) => { word(s, i); return [hi, lo]; }, digest, load, logits, softmax };
})(globalThis);
