"use strict";
(function () {
  const $ = (id) => document.getElementById(id);
  const data = JSON.parse($("data").textContent);
  const sound = JSON.parse($("sound").textContent);
  const C = data.colours;
  let printing = false;

  // Text goes into the page as text. Plotly reads a few tags in labels, so what comes from the corpus is escaped for it.
  const esc = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const spoken = (name) => String(name).replace(/\bnull:(?! )/, "null: ").replace("near_homophone", "near-homophone").replace(/_/g, " ");
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const show = (v, d = 3) => (v === null || v === undefined || Number.isNaN(v) ? "–" : Number(v).toPrecision(d).replace("-", "−"));
  const unique = (list) => [...new Set(list)];
  // The layer of this name is the state after the encoder's last norm.
  const layerName = (encoder, layer) => (Number(layer) === data.final[encoder] ? "final" : String(layer));
  function element(tag, text, attributes = {}) {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  }
  function options(select, values, chosen, label = spoken) {
    if (!select) return;
    select.replaceChildren(...values.map((v) => { const o = element("option", label(v)); o.value = v; return o; }));
    if (values.includes(chosen)) select.value = chosen;
    select.closest("label").hidden = values.length < 2;
  }
  function dark() {
    const theme = document.documentElement.dataset.theme;
    return !printing && (theme === "dark" || (theme === "auto" && matchMedia("(prefers-color-scheme: dark)").matches));
  }
  // On a dark ground the two darkest hues are lifted; hue order stays.
  const lifted = { "#4D4D4D": "#BDBDBD", "#0072B2": "#56A9E0", "#882255": "#C8538F", "#7A5C3E": "#B08A63", "#8A8A8A": "#A8A8A8", "#D55E00": "#F08A3C", "#009E73": "#2FC79B" };
  const colour = (hex) => (dark() ? lifted[hex] || hex : hex);
  const variantColour = (v) => colour(C.nulls[v] || C.variant[v] || C.variant.wav2sem);
  const faint = (hex, share) => hex + Math.round(share * 255).toString(16).padStart(2, "0");

  const pictureConfig = { displaylogo: false, responsive: true, showTips: false, displayModeBar: false };
  function axis(extra = {}) {
    return { gridcolor: css("--grid"), zerolinecolor: css("--line"), linecolor: css("--line"), color: css("--ink"), automargin: true, ...extra };
  }
  function layout(extra = {}) {
    return {
      paper_bgcolor: css("--ground"), plot_bgcolor: css("--ground"), font: { color: css("--ink"), family: "system-ui, sans-serif", size: 13 },
      margin: { l: 60, r: 16, t: 34, b: 46 }, hovermode: "closest", legend: { orientation: "h", y: 1, yanchor: "bottom", x: 0 },
      hoverlabel: { bgcolor: css("--raised"), bordercolor: css("--line"), font: { color: css("--ink") } }, ...extra,
    };
  }
  const redraws = [];
  function drawAll() { for (const draw of redraws) draw(); }

  // ---------------------------------------------------------------- headline
  function headlinePlot() {
    const box = $("headline-plot");
    const rows = data.summary.filter((r) => r.gain !== null);
    if (!rows.length) { box.closest("figure").hidden = true; return; }
    const parts = [["gain", "gain", data.headline.variant || "gain", "circle", variantColour("wav2sem")]];
    if (data.headline.null) parts.push(["null_gain", "null", spoken(data.headline.null), "square", variantColour("null")], ["net", "net", "net", "diamond", variantColour("net")]);
    const traces = parts.map(([column, prefix, name, symbol, hue], i) => ({
      type: "scatter", mode: "markers", name: esc(name), x: rows.map((r) => r[column]), y: rows.map((_, k) => k + (i - (parts.length - 1) / 2) * 0.22),
      marker: { color: hue, symbol, size: 10 },
      error_x: { type: "data", symmetric: false, array: rows.map((r) => (r[prefix + "_high"] === null ? 0 : r[prefix + "_high"] - r[column])), arrayminus: rows.map((r) => (r[prefix + "_low"] === null ? 0 : r[column] - r[prefix + "_low"])), color: hue, thickness: 1.6, width: 4 },
      text: rows.map((r) => `${esc(r.encoder)}, layer ${layerName(r.encoder, r.layer)}<br>${esc(name)} ${show(r[column])} [${show(r[prefix + "_low"])}, ${show(r[prefix + "_high"])}]`), hoverinfo: "text",
    }));
    box.style.height = 120 + 74 * rows.length + "px";
    Plotly.react(box, traces, layout({
      xaxis: axis({ title: { text: `change of the ${esc(data.headline.distance)} distance` }, zeroline: true, zerolinewidth: 2 }),
      yaxis: axis({ tickvals: rows.map((_, k) => k), ticktext: rows.map((r) => `${esc(r.encoder)}<br>layer ${layerName(r.encoder, r.layer)}`), range: [rows.length - 0.5, -0.5], zeroline: false }),
    }), pictureConfig);
  }
  redraws.push(headlinePlot);

  // ---------------------------------------------------------------- sound
  const player = $("player") || new Audio();
  let job = 0;
  const pause = (ms) => new Promise((done) => setTimeout(done, ms));
  async function ready(source) {
    if (player.getAttribute("src") !== source) { player.setAttribute("src", source); player.load(); }
    if (player.readyState < 1) await new Promise((done, failed) => {
      player.addEventListener("loadedmetadata", done, { once: true });
      player.addEventListener("error", () => failed(new Error("the sound cannot be decoded")), { once: true });
    });
  }
  async function span(mine, start, end) {
    player.currentTime = start;
    await player.play();
    // The element's own events come four times a second: too coarse for a syllable.
    await new Promise((done) => {
      const look = () => {
        if (mine !== job || player.ended || player.paused) return done();
        if (end !== null && player.currentTime >= end) { player.pause(); return done(); }
        setTimeout(look, 5);
      };
      look();
    });
  }
  async function play(utterance, spans) {
    const source = sound[utterance];
    if (!source) { status(`There is no sound for ${utterance}.`); return; }
    const mine = ++job;
    player.pause();
    try {
      await ready(source);
      for (let i = 0; i < spans.length && mine === job; i++) {
        if (i) await pause(350);
        if (mine === job) await span(mine, spans[i][0], spans[i][1]);
      }
    } catch (error) {
      if (mine === job && error.name !== "AbortError") status(`The sound did not play: ${error.message}.`);
    }
  }
  document.querySelectorAll("button.listen-to").forEach((button) => button.addEventListener("click", () => play(button.dataset.utterance, [[0, null]])));
  function status(text) { const line = $("map-status"); if (line) line.textContent = text; }

  // ---------------------------------------------------------------- maps
  const T = data.tokens, N = T.id.length;
  const state = { encoder: 0, method: "", colour: "type", view: "both", query: "", lasso: null, chosen: -1 };
  let sides = {};
  const webgl = (() => { try { const c = document.createElement("canvas"); const gl = c.getContext("webgl"); if (gl) gl.getExtension("WEBGL_lose_context")?.loseContext(); return !!gl; } catch { return false; } })();
  const encoders = unique((data.maps || []).map((m) => `${m.encoder}\u0000${m.layer}`));
  const relationOf = new Map((data.relations || []).flatMap(([a, b, r]) => [[a * 1e6 + b, r], [b * 1e6 + a, r]]));
  const frequency = new Map();
  for (let i = 0; i < N; i++) frequency.set(T.type[i], (frequency.get(T.type[i]) || 0) + 1);

  function relation(i) {
    if (state.chosen < 0) return "unrelated";
    const a = T.type[state.chosen], b = T.type[i];
    return a === b ? "same_type" : relationOf.get(a * 1e6 + b) || "unrelated";
  }
  function matches() {
    const wanted = state.query.toLowerCase().split(/[,|]/).map((q) => q.trim()).filter(Boolean);
    if (!wanted.length && !state.lasso) return null;
    const found = [];
    for (let i = 0; i < N; i++) {
      if (state.lasso && !state.lasso.has(i)) continue;
      if (wanted.length) {
        const word = T.word[i].toLowerCase(), phones = data.types[T.type[i]].toLowerCase();
        if (!wanted.some((q) => word.includes(q) || (" " + phones + " ").includes(" " + q + " "))) continue;
      }
      found.push(i);
    }
    return found;
  }
  // Category of each token, the categories' names, colours and shapes; beyond eight the rest are grey.
  function colouring(found) {
    if (state.colour === "relation") {
      const names = ["same_type", "near_homophone", "homophone", "synonym", "unrelated"];
      const shapes = ["circle", "diamond", "square", "triangle-up", "circle"];
      return { of: (i) => names.indexOf(relation(i)), names: names.map(spoken), hues: names.map((n) => colour(C.relation[n])), shapes, present: names.map((_, k) => k) };
    }
    const codes = T[state.colour] || T.type;
    const names = { type: data.labels, speaker: data.speakers, ...data.groups }[state.colour] || data.labels;
    const count = new Map();
    for (const i of found || T.id.keys()) count.set(codes[i], (count.get(codes[i]) || 0) + 1);
    let order = [...count.keys()].sort((a, b) => count.get(b) - count.get(a) || a - b);
    if (state.colour !== "type") order.sort((a, b) => (names[a] < names[b] ? -1 : 1));
    const few = order.length <= C.categorical.length ? order : order.slice(0, C.categorical.length - 1);
    const rank = new Map(few.map((code, k) => [code, k]));
    const rest = few.length;
    return {
      of: (i) => (rank.has(codes[i]) ? rank.get(codes[i]) : rest), names: [...few.map((c) => names[c]), "other"],
      hues: [...few.map((_, k) => colour(C.categorical[k])), colour(C.other)], shapes: [...few.map((_, k) => C.symbols[k]), "circle"],
      present: [...few.keys(), ...(order.length > few.length || (found && N > found.length) ? [rest] : [])],
    };
  }
  function hover(i) {
    const u = data.utterances[T.utterance[i]];
    return `<b>${esc(T.word[i])}</b> · ${esc(data.types[T.type[i]])}<br>${esc(u.id)} · ${esc(data.speakers[T.speaker[i]])}<br>${T.start[i].toFixed(3)}–${T.end[i].toFixed(3)} s`;
  }
  function mapFor(variant) {
    const [encoder, layer] = encoders[state.encoder].split("\u0000");
    const here = data.maps.filter((m) => m.encoder === encoder && String(m.layer) === layer && m.method === state.method);
    return variant === "without" ? here.find((m) => m.variant === "without") : here.find((m) => m.variant === data.headline.variant) || here.find((m) => m.variant !== "without");
  }
  function caption(map) {
    const p = Object.entries(map.parameters).filter(([k]) => k !== "library" && k !== "laid_onto").map(([k, v]) => `${k} ${Array.isArray(v) ? v.map((x) => show(x, 3)).join(", ") : v}`).join(", ");
    const trust = map.trustworthiness === null || map.trustworthiness === undefined ? "" : ` Trustworthiness ${show(map.trustworthiness)}, continuity ${show(map.continuity)}.`;
    return `${map.encoder}, layer ${layerName(map.encoder, map.layer)}, ${map.method.toUpperCase()}${p ? ` (${p})` : ""}.${map.parameters.laid_onto ? ` Laid onto “${map.parameters.laid_onto}”.` : ""}${trust}${data.synthetic ? " SYNTHETIC." : ""}`;
  }
  // Both maps in one frame: they are laid onto each other, so what stayed in its place is seen to.
  function frame() {
    const range = (name) => {
      let low = Infinity, high = -Infinity;
      for (const map of [mapFor("without"), mapFor("with")]) for (const v of map ? map[name] : []) if (v !== null) { if (v < low) low = v; if (v > high) high = v; }
      const margin = 0.04 * (high - low || 1);
      return [low - margin, high + margin];
    };
    return [range("x"), range("y")];
  }
  const texts = N ? Array.from({ length: N }, (_, i) => hover(i)) : [];
  function drawMaps() {
    if (!N || !$("map-without")) return;
    const found = matches(), paint = colouring(found);
    const category = Array.from({ length: N }, (_, i) => paint.of(i));
    const hues = category.map((k) => paint.hues[k]), shapes = category.map((k) => paint.shapes[k]);
    sides = {};
    for (const side of ["without", "with"]) {
      const map = mapFor(side), box = $("map-" + side), panel = box.closest(".panel");
      panel.hidden = !map || (state.view !== "both" && state.view !== side);
      if (panel.hidden) continue;
      sides[side] = map;
      $(`map-${side}-title`).textContent = map.variant === "without" ? "without" : "with " + map.variant;
      $(`map-${side}-caption`).textContent = caption(map);
      const size = N > 2000 ? 5 : 7;
      const trace = {
        type: webgl && data.webgl && !printing ? "scattergl" : "scatter", mode: "markers", x: map.x, y: map.y, text: texts, hoverinfo: "text",
        marker: { color: hues, symbol: shapes, size, opacity: 0.85, line: { width: 0 } }, selectedpoints: found,
        selected: { marker: { opacity: 0.95 } }, unselected: { marker: { opacity: 0.08 } },
      };
      const [xs, ys] = frame();
      const bare = { showgrid: false, showline: false, zeroline: false, showticklabels: false, ticks: "", automargin: false };
      Plotly.react(box, [trace], layout({
        margin: { l: 6, r: 40, t: 6, b: 6 }, showlegend: false, dragmode: "lasso", uirevision: `${state.encoder}${state.method}`,
        selectionrevision: 1, xaxis: axis({ ...bare, range: xs }), yaxis: axis({ ...bare, range: ys }), newselection: { line: { color: css("--ink") } },
        activeselection: { fillcolor: css("--accent"), opacity: 0.08 },
        modebar: { bgcolor: "rgba(0,0,0,0)", color: css("--soft"), activecolor: css("--accent"), orientation: "v" },
      }), { ...pictureConfig, displayModeBar: true, scrollZoom: true, modeBarButtonsToRemove: ["autoScale2d", "toImage"] });
      listen(side, box);
    }
    $("maps").classList.toggle("one", Object.keys(sides).length < 2);
    legend(paint);
    results(found);
    ring();
    $("map").dataset.points = N;
    $("map").dataset.found = found ? found.length : N;
  }
  function listen(side, box) {
    if (box.dataset.listening) return;
    box.dataset.listening = "yes";
    box.on("plotly_click", (event) => choose(event.points[0].pointIndex, $("play-on-click").checked));
    box.on("plotly_hover", (event) => ring(event.points[0].pointIndex));
    box.on("plotly_unhover", () => ring());
    box.on("plotly_relayout", () => ring());
    box.on("plotly_selected", (event) => {
      if (!event || !event.points) return;
      state.lasso = event.points.length ? new Set(event.points.map((p) => p.pointIndex)) : null;
      afterGesture();
    });
    box.on("plotly_deselect", () => { state.lasso = null; afterGesture(); });
    box.addEventListener("keydown", (event) => keys(event, side));
  }
  // The drawn outline is taken away once its points are kept, so that both maps show the same thing.
  function afterGesture() {
    setTimeout(() => {
      for (const side of Object.keys(sides)) $("map-" + side).layout.selections = [];
      drawMaps();
    }, 0);
  }
  function ring(index = state.chosen) {
    for (const side of Object.keys(sides)) {
      const box = $("map-" + side), full = box._fullLayout;
      let mark = box.querySelector(".ring");
      if (!mark) { mark = element("div", undefined, { class: "ring", "aria-hidden": "true" }); box.append(mark); }
      const x = index < 0 ? null : sides[side].x[index], y = index < 0 ? null : sides[side].y[index];
      mark.hidden = x === null || !full || !full.xaxis;
      mark.style.display = mark.hidden ? "none" : "block";
      if (mark.hidden) continue;
      mark.style.left = full.xaxis.l2p(x) + full.xaxis._offset + "px";
      mark.style.top = full.yaxis.l2p(y) + full.yaxis._offset + "px";
    }
  }
  const shapePaths = { circle: "M7 2a5 5 0 1 0 .01 0z", square: "M2.5 2.5h9v9h-9z", diamond: "M7 1l6 6-6 6-6-6z", "triangle-up": "M7 1.5l6 10.5H1z", "triangle-down": "M7 12.5L1 2h12z", cross: "M5 1h4v4h4v4H9v4H5V9H1V5h4z", x: "M3.5 1L7 4.5 10.5 1 13 3.5 9.5 7 13 10.5 10.5 13 7 9.5 3.5 13 1 10.5 4.5 7 1 3.5z", star: "M7 .8l1.8 4.2 4.6.4-3.5 3 1.1 4.5L7 10.5l-4 2.4 1.1-4.5-3.5-3 4.6-.4z" };
  function legend(paint) {
    const items = paint.present.map((k) => {
      const item = element("span", undefined, { class: "entry" });
      const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      svg.setAttribute("viewBox", "0 0 14 14");
      svg.setAttribute("aria-hidden", "true");
      const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
      path.setAttribute("d", shapePaths[paint.shapes[k]] || shapePaths.circle);
      path.setAttribute("fill", paint.hues[k]);
      svg.append(path);
      item.append(svg, document.createTextNode(paint.names[k]));
      return item;
    });
    $("map-legend").replaceChildren(...items);
  }
  function results(found) {
    const list = $("found");
    $("found-count").textContent = found ? `${found.length} of ${N} tokens found${found.length > 60 ? ", 60 listed" : ""}.` : `${N} tokens on the map. Search or select to list some.`;
    list.replaceChildren(...(found || []).slice(0, 60).map((i) => {
      const item = element("li"), button = element("button", `${T.word[i]} · ${data.types[T.type[i]]} · ${data.utterances[T.utterance[i]].id} · ${T.start[i].toFixed(2)} s`, { type: "button" });
      button.addEventListener("click", () => choose(i, $("play-on-click").checked));
      item.append(button);
      return item;
    }));
  }
  function choose(i, aloud) {
    state.chosen = i;
    const u = data.utterances[T.utterance[i]], card = $("token-card");
    const head = element("p");
    head.append(element("strong", T.word[i]), document.createTextNode(` · ${data.types[T.type[i]]} · token ${T.id[i]}`));
    const where = element("p", `${u.id} · speaker ${data.speakers[T.speaker[i]]} · ${T.start[i].toFixed(3)}–${T.end[i].toFixed(3)} s`);
    const line = element("p", undefined, { class: "transcript" });
    sentence(line, u.text, T.word[i]);
    card.replaceChildren(head, where, line, element("p", "", { id: "map-status" }));
    const heard = u.id in sound;
    $("play-syllable").disabled = $("play-sentence").disabled = !heard;
    if (!heard) status("No sound for this utterance.");
    if (state.colour === "relation") drawMaps(); else ring();
    if (aloud && heard) play(u.id, [[T.start[i], T.end[i]], [0, null]]);
  }
  // The transcript with the word marked where it is found as a word; always as text.
  function sentence(line, text, word) {
    const at = word ? text.toLowerCase().search(new RegExp(`(?<![\\p{L}'])${word.toLowerCase().replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}(?![\\p{L}'])`, "u")) : -1;
    if (at < 0) { line.append(document.createTextNode(text)); return; }
    line.append(document.createTextNode(text.slice(0, at)), element("mark", text.slice(at, at + word.length)), document.createTextNode(text.slice(at + word.length)));
  }
  function keys(event, side) {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (event.key === "Enter" && state.chosen >= 0) { choose(state.chosen, true); event.preventDefault(); return; }
    if (event.key === "Escape") { clearAll(); return; }
    if (!step || !sides[side]) return;
    event.preventDefault();
    const map = sides[side], among = matches() || [...Array(N).keys()];
    if (!among.length) return;
    if (state.chosen < 0 || map.x[state.chosen] === null) { choose(among[0], false); return; }
    const x = map.x[state.chosen], y = map.y[state.chosen];
    let best = -1, least = Infinity;
    for (const i of among) {
      if (i === state.chosen || map.x[i] === null) continue;
      const dx = map.x[i] - x, dy = map.y[i] - y, along = dx * step[0] + dy * step[1], across = Math.abs(dx * step[1] + dy * step[0]);
      if (along <= 0 || across > along) continue;
      if (along + across < least) { least = along + across; best = i; }
    }
    if (best >= 0) choose(best, false);
  }
  function clearAll() { state.query = ""; state.lasso = null; state.chosen = -1; $("map-search").value = ""; job++; player.pause(); afterGesture(); }
  function setupMaps() {
    if (!N || !$("map-encoder") || !encoders.length) return;
    options($("map-encoder"), encoders.map((_, k) => String(k)), "0", (k) => { const [e, l] = encoders[k].split("\u0000"); return `${e}, layer ${layerName(e, l)}`; });
    const methods = unique(data.maps.map((m) => m.method));
    state.method = methods[0];
    options($("map-method"), methods, methods[0], (m) => ({ umap: "UMAP", tsne: "t-SNE", pca: "PCA", pacmap: "PaCMAP" })[m] || m);
    for (const name of ["viseme", "onset_viseme"]) if (!T[name]) $("map-colour").querySelector(`[value="${name}"]`).remove();
    $("map-encoder").addEventListener("change", (e) => { state.encoder = Number(e.target.value); drawMaps(); });
    $("map-method").addEventListener("change", (e) => { state.method = e.target.value; drawMaps(); });
    $("map-colour").addEventListener("change", (e) => { state.colour = e.target.value; drawMaps(); });
    let waiting = 0;
    $("map-search").addEventListener("input", (e) => { state.query = e.target.value; clearTimeout(waiting); waiting = setTimeout(drawMaps, 120); });
    document.querySelectorAll(".toggle button").forEach((button) => button.addEventListener("click", () => {
      state.view = button.dataset.view;
      document.querySelectorAll(".toggle button").forEach((b) => b.setAttribute("aria-pressed", String(b === button)));
      drawMaps();
    }));
    $("play-syllable").addEventListener("click", () => { const i = state.chosen; play(data.utterances[T.utterance[i]].id, [[T.start[i], T.end[i]]]); });
    $("play-sentence").addEventListener("click", () => { const i = state.chosen; play(data.utterances[T.utterance[i]].id, [[0, null]]); });
    if (!mapFor("without") || !mapFor("with")) document.querySelector(".toggle").hidden = true;
    redraws.push(drawMaps);
  }
  setupMaps();

  // ---------------------------------------------------------------- layers
  const S = data.separation;
  const level = (name, i) => S.levels[name][S[name][i]];
  function rowsWhere(wanted) {
    const codes = Object.entries(wanted).map(([name, value]) => [S[name], S.levels[name].indexOf(value)]);
    const found = [];
    for (let i = 0; i < S.layer.length; i++) if (codes.every(([column, code]) => column[i] === code)) found.push(i);
    return found;
  }
  function grid(count) { const columns = Math.min(3, count), rows = Math.ceil(count / columns); return { columns, rows }; }
  function panelTitle(text, k) { const n = k ? k + 1 : ""; return { text: esc(text), xref: `x${n} domain`, yref: `y${n} domain`, x: 0.5, y: 1.02, yanchor: "bottom", showarrow: false, font: { size: 14 } }; }
  function table(box, head, rows) {
    const made = element("table"), top = element("tr"), body = element("tbody"), headPart = element("thead");
    head.forEach((name) => top.append(element("th", name, { scope: "col" })));
    headPart.append(top);
    for (const row of rows) { const line = element("tr"); row.forEach((cell) => line.append(element("td", cell))); body.append(line); }
    made.append(headPart, body);
    box.replaceChildren(made);
  }
  function layerCurves() {
    const wanted = { statistic: $("layers-statistic").value, distance: $("layers-distance").value, relation: $("layers-relation").value, split: $("layers-split").value };
    const found = rowsWhere(wanted), names = S.levels.encoder.filter((_, k) => found.some((i) => S.encoder[i] === k));
    const { columns, rows } = grid(Math.max(1, names.length)), traces = [], extra = {}, cells = [];
    const dashes = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
    const line = (i) => (level("null", i) ? `${level("variant", i)} − null:${level("null", i).replace(/^null:/, "")}` : level("variant", i));
    const lines = unique(found.map(line));
    names.forEach((encoder, k) => {
      const n = k ? k + 1 : "";
      for (const name of lines) {
        const here = found.filter((i) => level("encoder", i) === encoder && line(i) === name && S.estimate[i] !== null).sort((a, b) => S.layer[a] - S.layer[b]);
        if (!here.length) continue;
        const hue = variantColour(name.includes(" − ") ? name.split(" − ")[1] : name), x = here.map((i) => S.layer[i]);
        const band = here.filter((i) => S.ci_low[i] !== null);
        if (band.length > 1) traces.push({ type: "scatter", x: [...band.map((i) => S.layer[i]), ...band.map((i) => S.layer[i]).reverse()], y: [...band.map((i) => S.ci_high[i]), ...band.map((i) => S.ci_low[i]).reverse()], fill: "toself", fillcolor: faint(hue, 0.14), line: { width: 0 }, mode: "lines", hoverinfo: "skip", showlegend: false, legendgroup: name, xaxis: "x" + n, yaxis: "y" + n });
        traces.push({ type: "scatter", mode: "lines+markers", name: esc(spoken(name)), legendgroup: name, showlegend: k === 0, x, y: here.map((i) => S.estimate[i]), line: { color: hue, width: 2, dash: dashes[lines.indexOf(name) % dashes.length] }, marker: { color: hue, size: 6, symbol: C.symbols[lines.indexOf(name) % C.symbols.length] }, xaxis: "x" + n, yaxis: "y" + n, text: here.map((i) => `${esc(spoken(name))}, layer ${layerName(encoder, S.layer[i])}: ${show(S.estimate[i])} [${show(S.ci_low[i])}, ${show(S.ci_high[i])}]`), hoverinfo: "text" });
        for (const i of here) cells.push([encoder, layerName(encoder, S.layer[i]), spoken(name), show(S.estimate[i]), show(S.ci_low[i]), show(S.ci_high[i])]);
      }
      const step = S.layer.reduce((a, b) => Math.max(a, b), 0) > 14 ? 2 : 1, last = data.final[encoder];
      const at = last === undefined ? [] : [...Array(last).keys()].filter((v) => v % step === 0 && (step === 1 || v < last - 1)).concat(last);
      extra["xaxis" + n] = axis({ title: { text: "layer" }, ...(at.length ? { tickvals: at, ticktext: at.map((v) => layerName(encoder, v)) } : { dtick: step }) });
      extra["yaxis" + n] = axis(k % columns ? {} : { title: { text: esc(spoken(wanted.statistic)) } });
    });
    const box = $("layers-plot");
    box.style.height = 90 + 270 * rows + "px";
    Plotly.react(box, traces, layout({ ...extra, grid: { rows, columns, pattern: "independent", xgap: 0.16, ygap: 0.3 }, margin: { l: 60, r: 16, t: 84, b: 46 }, legend: { orientation: "h", y: 0.995, yref: "container", yanchor: "top", x: 0 }, annotations: names.map(panelTitle) }), pictureConfig);
    table($("layers-table"), ["encoder", "layer", "variant", "estimate", "low", "high"], cells);
  }
  if ($("layers-plot")) {
    for (const name of ["statistic", "distance", "relation", "split"]) options($("layers-" + name), S.levels[name], name === "statistic" ? "mean_distance" : data.headline[name]);
    const refresh = (changed) => {
      // Keep the other choices where rows exist for them; else take the first that has rows.
      const names = ["statistic", "distance", "relation", "split"], get = () => Object.fromEntries(names.map((n) => [n, $("layers-" + n).value]));
      if (!rowsWhere(get()).length) {
        const i = rowsWhere({ [changed]: $("layers-" + changed).value })[0];
        if (i !== undefined) for (const n of names) $("layers-" + n).value = level(n, i);
      }
      layerCurves();
    };
    for (const name of ["statistic", "distance", "relation", "split"]) $("layers-" + name).addEventListener("change", () => refresh(name));
    redraws.push(layerCurves);
  }

  // ---------------------------------------------------------------- distances
  function distributions() {
    const here = data.histograms.filter((h) => h.encoder === $("distances-encoder").value && h.distance === $("distances-distance").value);
    const variants = unique(["without", data.headline.variant, ...here.map((h) => h.variant)]).filter((v) => here.some((h) => h.variant === v)).slice(0, 3), splits = unique(here.map((h) => h.split));
    const dash = { same_type: "solid", near_homophone: "dash", homophone: "dashdot", synonym: "longdash", unrelated: "dot" };
    const traces = [], extra = {}, notes = [], shown = new Set();
    const low = Math.min(...here.map((h) => h.edges[0])), high = Math.max(...here.map((h) => h.edges[h.edges.length - 1]));
    variants.forEach((variant, r) => splits.forEach((split, c) => {
      const k = r * splits.length + c, n = k ? k + 1 : "";
      for (const h of here.filter((x) => x.variant === variant && x.split === split)) {
        const total = h.counts.reduce((a, b) => a + b, 0) || 1, hue = colour(C.relation[h.relation.split(":")[0]] || C.other);
        traces.push({ type: "scatter", mode: "lines", line: { shape: "hv", color: hue, width: 2, dash: dash[h.relation] || "solid" }, x: h.edges, y: [...h.counts.map((v, i) => v / total / (h.edges[i + 1] - h.edges[i])), 0], name: esc(spoken(h.relation)), legendgroup: h.relation, showlegend: !shown.has(h.relation), xaxis: "x" + n, yaxis: "y" + n, hovertemplate: `${esc(spoken(h.relation))}: %{x:.4g}<extra>${total} pairs</extra>` });
        shown.add(h.relation);
      }
      extra["xaxis" + n] = axis({ range: [low, high], title: { text: r === variants.length - 1 ? `${esc(h0(here))} distance` : "" } });
      extra["yaxis" + n] = axis({ rangemode: "tozero", title: { text: c ? "" : variant === "without" ? "without" : "with " + esc(variant) } });
      notes.push(panelTitle(r ? "" : spoken(split), k));
    }));
    const box = $("distances-plot");
    box.style.height = 90 + 230 * variants.length + "px";
    Plotly.react(box, traces, layout({ ...extra, grid: { rows: variants.length, columns: splits.length, pattern: "independent", xgap: 0.14, ygap: 0.22 }, margin: { l: 60, r: 16, t: 78, b: 46 }, legend: { orientation: "h", y: 0.995, yref: "container", yanchor: "top", x: 0 }, annotations: notes }), pictureConfig);
  }
  const h0 = (list) => (list.length ? list[0].distance : "");
  if ($("distances-plot")) {
    options($("distances-encoder"), unique(data.histograms.map((h) => h.encoder)), null, String);
    options($("distances-distance"), unique(data.histograms.map((h) => h.distance)), data.headline.distance, String);
    for (const id of ["distances-encoder", "distances-distance"]) $(id).addEventListener("change", distributions);
    redraws.push(distributions);
  }

  // ---------------------------------------------------------------- pairs
  const P = data.pairs;
  function pairRows() {
    const encoder = $("pairs-encoder").value, query = $("pairs-search").value.trim().toUpperCase(), rows = [];
    for (let i = 0; i < P.gain.length; i++) {
      if (P.encoder[i] !== encoder || P.gain[i] === null || !P.relation[i].startsWith("near_homophone")) continue;
      const said = [P.type_a, P.type_b, P.words_a, P.words_b].map((names) => ` ${names ? names[i] : ""} `.toUpperCase());
      if (query && !said.some((text) => text.includes(query))) continue;
      rows.push(i);
    }
    return rows;
  }
  const sideOf = (i, side) => P[`type_${side}`][i] + (P[`words_${side}`]?.[i] ? ` (${P[`words_${side}`][i]})` : "");
  function pairPlots() {
    const order = $("pairs-order").value, get = (name, i) => (P[name] ? P[name][i] : null), all = pairRows();
    // The forest shows the pairs with most token pairs: they carry the claim. The table below has all.
    const key = P[order] ? order : "gain";
    const shown = [...all].sort((a, b) => (get("n_token_pairs", b) || 0) - (get("n_token_pairs", a) || 0)).slice(0, 40).sort((a, b) => get(key, a) - get(key, b) || P.gain[a] - P.gain[b]);
    const y = shown.map((_, k) => k), labels = shown.map((i) => esc(P.label[i]));
    const words = shown.map((i) => `${esc(sideOf(i, "a"))} | ${esc(sideOf(i, "b"))}<br>${P.made_of ? esc(P.made_of[i]) + "<br>" : ""}without ${show(get("without", i))}, with ${show(get("with", i))}<br>gain ${show(P.gain[i])} [${show(get("ci_low", i))}, ${show(get("ci_high", i))}], ${get("n_token_pairs", i) ?? "?"} token pairs`);
    const traces = [{ type: "scatter", mode: "markers", name: "gain", x: shown.map((i) => P.gain[i]), y, text: words, hoverinfo: "text", marker: { color: variantColour("wav2sem"), size: 8 }, error_x: { type: "data", symmetric: false, array: shown.map((i) => (get("ci_high", i) ?? P.gain[i]) - P.gain[i]), arrayminus: shown.map((i) => P.gain[i] - (get("ci_low", i) ?? P.gain[i])), color: variantColour("wav2sem"), thickness: 1.4, width: 3 } }];
    if (P.net && shown.some((i) => P.net[i] !== null)) traces.push({ type: "scatter", mode: "markers", name: "net", x: shown.map((i) => P.net[i]), y, marker: { color: variantColour("net"), symbol: "diamond", size: 8 }, text: words, hoverinfo: "text" });
    const summary = data.summary.find((row) => row.encoder === $("pairs-encoder").value);
    if (summary && summary.null_gain !== null) traces.push({ type: "scatter", mode: "lines", name: `mean gain of ${data.headline.null.replace("null:", "")} vectors`, x: [summary.null_gain, summary.null_gain], y: [-0.8, shown.length - 0.2], line: { color: variantColour(data.headline.null), dash: "dash", width: 2 }, hoverinfo: "name" });
    const box = $("pairs-plot");
    box.style.height = 110 + 21 * shown.length + "px";
    Plotly.react(box, traces, layout({ xaxis: axis({ title: { text: `change of the ${esc(data.headline.distance)} distance` }, zeroline: true, zerolinewidth: 2, rangemode: "tozero" }), yaxis: axis({ tickvals: y, ticktext: labels, range: [-0.8, shown.length - 0.2], zeroline: false }), showlegend: true }), pictureConfig);
    $("pairs-caption").textContent = `${shown.length} of ${all.length} near-homophone pairs: those with most token pairs.${P.ci_low && shown.some((i) => P.ci_low[i] !== null) ? " Bars: intervals over speakers, for these words only." : ""}${data.synthetic ? " SYNTHETIC." : ""}`;
    heat(all, get);
    table($("pairs-table"), ["a", "b", "made of", "phone distance", "viseme distance", "without", "with", "gain", "low", "high", "net", "token pairs"], all.slice(0, 500).map((i) => [sideOf(i, "a"), sideOf(i, "b"), get("made_of", i) ?? "–", show(get("phone_distance", i)), show(get("viseme_distance", i)), show(get("without", i)), show(get("with", i)), show(P.gain[i]), show(get("ci_low", i)), show(get("ci_high", i)), show(get("net", i)), String(get("n_token_pairs", i) ?? "–")]));
  }
  function heat(all, get) {
    const box = $("heat-plot"), cells = new Map();
    if (!P.viseme_distance || !P.phone_distance || !all.length) { box.closest("figure").hidden = true; return; }
    const step = unique(all.map((i) => P.phone_distance[i])).length > 8 || unique(all.map((i) => P.viseme_distance[i])).length > 8 ? 0.1 : 0;
    const round = (v) => (step ? Math.round(v / step) * step : v).toFixed(2);
    for (const i of all) {
      if (P.viseme_distance[i] === null || P.phone_distance[i] === null) continue;
      const key = round(P.phone_distance[i]) + "|" + round(P.viseme_distance[i]), cell = cells.get(key) || [0, 0];
      cells.set(key, [cell[0] + P.gain[i], cell[1] + 1]);
    }
    const ys = unique([...cells.keys()].map((k) => k.split("|")[0])).sort(), xs = unique([...cells.keys()].map((k) => k.split("|")[1])).sort();
    const z = ys.map((y) => xs.map((x) => { const c = cells.get(y + "|" + x); return c ? c[0] / c[1] : null; }));
    const label = ys.map((y) => xs.map((x) => { const c = cells.get(y + "|" + x); return c ? `${show(c[0] / c[1])} (${c[1]})` : ""; }));
    const most = Math.max(...z.flat().filter((v) => v !== null).map(Math.abs)) || 1;
    box.style.height = 130 + 62 * ys.length + "px";
    const middle = dark() ? "#2b2f35" : "#f7f7f7";
    Plotly.react(box, [{ type: "heatmap", x: xs, y: ys, z, text: label, texttemplate: "%{text}", zmin: -most, zmax: most, colorscale: [[0, "#7f3b08"], [0.25, "#e08214"], [0.5, middle], [0.75, "#8073ac"], [1, "#2d004b"]], hoverongaps: false, hovertemplate: "phone distance %{y}, viseme distance %{x}: %{text}<extra></extra>", colorbar: { title: { text: "mean gain" }, outlinewidth: 0, thickness: 14 } }], layout({ xaxis: axis({ title: { text: "viseme distance" }, type: "category", showgrid: false }), yaxis: axis({ title: { text: "phone distance" }, type: "category", showgrid: false }) }), pictureConfig);
  }
  if ($("pairs-plot")) {
    options($("pairs-encoder"), unique(P.encoder), null, String);
    for (const id of ["pairs-encoder", "pairs-order"]) $(id).addEventListener("change", pairPlots);
    $("pairs-search").addEventListener("input", pairPlots);
    redraws.push(pairPlots);
  }

  // ---------------------------------------------------------------- nulls
  function nullPlots() {
    const here = data.nulls.filter((n) => n.draws && n.draws.length && (n.distance === undefined || n.distance === data.headline.distance)).filter((n) => n.layer === undefined || data.headline.layers[n.encoder] === undefined || n.layer === data.headline.layers[n.encoder]).slice(0, 12);
    const { columns, rows } = grid(Math.max(1, here.length)), traces = [], extra = {}, shapes = [];
    here.forEach((entry, k) => {
      const n = k ? k + 1 : "";
      traces.push({ type: "histogram", x: entry.draws, nbinsx: 24, marker: { color: colour(C.nulls[entry.null] || C.nulls["null:" + entry.null] || C.variant.null) }, opacity: 0.8, xaxis: "x" + n, yaxis: "y" + n, showlegend: false, hovertemplate: "%{x}: %{y} draws<extra></extra>" });
      shapes.push({ type: "line", xref: "x" + n, yref: `y${n} domain`, x0: entry.observed, x1: entry.observed, y0: 0, y1: 1, line: { color: variantColour("wav2sem"), width: 3 } });
      traces.push({ type: "scatter", mode: "markers", x: [entry.observed], y: [0], marker: { color: variantColour("wav2sem"), size: 9, symbol: "diamond" }, xaxis: "x" + n, yaxis: "y" + n, showlegend: false, hovertemplate: `observed ${show(entry.observed)}, p ${show(entry.p_value)}<extra></extra>` });
      extra["xaxis" + n] = axis({ title: { text: esc(`${spoken(entry.statistic || "gain")}; observed ${show(entry.observed)}${entry.p_value === null || entry.p_value === undefined ? "" : ", p " + show(entry.p_value)}`) } });
      extra["yaxis" + n] = axis(k % columns ? {} : { title: { text: "draws" } });
    });
    const box = $("nulls-plot");
    box.style.height = 60 + 240 * rows + "px";
    Plotly.react(box, traces, layout({ ...extra, shapes, bargap: 0.04, grid: { rows, columns, pattern: "independent", xgap: 0.16, ygap: 0.42 }, margin: { l: 60, r: 16, t: 40, b: 50 }, annotations: here.map((e, k) => panelTitle(`${e.encoder}, layer ${layerName(e.encoder, e.layer)}, null: ${spoken(e.null).replace(/^null: /, "")}`, k)) }), pictureConfig);
  }
  if ($("nulls-plot")) redraws.push(nullPlots);

  // ---------------------------------------------------------------- page
  $("copy").addEventListener("click", async () => {
    const text = $("command").textContent;
    try { await navigator.clipboard.writeText(text); } catch { getSelection().selectAllChildren($("command")); document.execCommand("copy"); }
    $("copy").textContent = "Copied";
    setTimeout(() => { $("copy").textContent = "Copy"; }, 1500);
  });
  $("theme").addEventListener("change", (event) => { document.documentElement.dataset.theme = event.target.value; drawAll(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  addEventListener("beforeprint", () => { printing = true; drawAll(); });
  addEventListener("afterprint", () => { printing = false; drawAll(); });
  addEventListener("resize", () => setTimeout(ring, 200));
  drawAll();
  document.documentElement.dataset.drawn = String(Math.round(performance.now()));
  document.documentElement.dataset.ready = "yes";
})();
