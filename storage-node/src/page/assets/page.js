// The page of a Drystone node: asks the node for its status and history, and shows them. What the node says is only ever set as text,
// never as markup.
"use strict";

const STATUS_MS = 5000;
const HISTORY_MS = 60000;
const WORDS = { good: "All is well", note: "Note", warning: "Needs a look", bad: "Needs you" };
const SIGNS = { good: "✓", note: "i", warning: "!", bad: "✕" };
const LIMITS = {
  disk: "Disk space", "min-free": "Kept free on the disk", up: "Sending", down: "Receiving", month: "Traffic this month",
  today: "Traffic today", memory: "Memory", cpu: "Processor time", cores: "Processors", scrub: "Checking the disk",
};
const REASONS = {
  "in-use": "while the machine is in use", idle: "while the machine is idle", month: "the month's bytes are spread over its days",
  hours: "outside the weekly hours", pause: "paused", battery: "on battery", off: "turned off",
};
const SVG = "http://www.w3.org/2000/svg";
const LEFT = 60;

const at = (id) => document.getElementById(id);

/** A new element with attributes and children; text is text. */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function draw(name, attributes, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** Words in which `commands` stand between backticks. */
function words(text) {
  return text.split("`").map((part, index) => (index % 2 ? make("code", {}, part) : part));
}

/** Three digits and a decimal prefix, as the command line has them. */
function rounded(number) {
  let value = number;
  for (const prefix of ["", "k", "M", "G", "T"]) {
    if (value < 1000 || prefix === "T") {
      const digits = prefix === "" || value >= 100 ? 0 : value >= 10 ? 1 : 2;
      return `${value.toFixed(digits)} ${prefix}`;
    }
    value /= 1000;
  }
}

const size = (bytes) => `${rounded(bytes)}B`;

function amount(number, unit) {
  switch (unit) {
    case "bytes": return size(number);
    case "bytes-per-second": return `${size(number)}/s`;
    case "bits-per-second": return `${rounded(number)}bit/s`;
    case "percent": return `${number} %`;
    default: return String(number);
  }
}

function lasting(seconds) {
  const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const [unit, step] = units.find(([, step]) => seconds >= 2 * step) ?? ["second", 1];
  const count = Math.floor(seconds / step);
  return `${count} ${unit}${count === 1 ? "" : "s"}`;
}

const time = (milliseconds) =>
  new Date(milliseconds).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });

function health(severity, words) {
  const badge = at("health");
  badge.className = `badge ${severity}`;
  badge.textContent = `${SIGNS[severity]} ${words ?? WORDS[severity]}`;
}

function showNext(advice) {
  at("next").replaceChildren(
    ...advice.map((finding) => {
      const sign = make("strong", { class: finding.severity }, `${SIGNS[finding.severity]} ${finding.severity}`);
      const item = make("li", {}, sign, ...words(finding.words));
      if (finding.fix) item.append(make("span", { class: "fix" }, "→ ", ...words(finding.fix)));
      return item;
    }),
  );
}

/** The frame's rows: name, what holds and why, what is used, and the share of it if there is a limit. */
function frameRows({ frame, store }) {
  const limits = frame.limits
    .filter(({ effective, live }) => effective !== null || live > 0)
    .map(({ limit, unit, effective, why, live }) => {
      const allowed = effective === null ? "no limit" : amount(effective, unit);
      const because = REASONS[why] ? [allowed, make("span", { class: "fix" }, REASONS[why])] : [allowed];
      // Of what must stay free, more is better: a share would mislead.
      return [LIMITS[limit] ?? limit, because, amount(live, unit), limit === "min-free" ? 0 : live, effective ?? 0];
    });
  return [
    ...limits,
    ["Shards", [""], `${store.live_shards}, ${size(store.live_bytes)}`, 0, 0],
    ["Trash", [""], size(store.trash_bytes), 0, 0],
  ];
}

function showFrame(status) {
  at("frame").replaceChildren(
    ...frameRows(status).map(([name, allowed, used, value, max]) => {
      const share = make("td");
      if (max > 0 && value >= 0 && name !== LIMITS["min-free"]) {
        const percent = `${Math.round((100 * value) / max)} %`;
        share.append(make("meter", { min: 0, max, value: Math.min(value, max), "aria-label": `${name}: ${percent}`, title: percent }));
      }
      return make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, ...allowed), make("td", {}, used), share);
    }),
  );
  const { violations, network_hours: hours, month } = status.frame;
  const notes = [`Limits overstepped since the start: ${violations}.`];
  if (hours.hours) notes.push(`Hours: ${hours.hours}.`);
  if (month.limit !== null) notes.push(`The month's traffic begins anew on ${time(month.ends)}.`);
  at("frame-note").textContent = notes.join(" ");
}

function showControls(frame) {
  at("controls").hidden = false;
  at("pause").hidden = frame.pause !== null;
  at("resume").hidden = frame.pause === null;
}

function showLinks(links, now) {
  at("links").replaceChildren(
    ...links.map((link) => {
      const severity = link.connected ? "good" : "warning";
      const state = `${SIGNS[severity]} ${link.connected ? "linked" : "not linked"}`;
      const since = ` ${link.gateway}, for ${lasting(Math.max(0, now - link.since) / 1000)}`;
      const item = make("li", {}, make("strong", { class: severity }, state), since);
      if (link.trouble) item.append(make("span", { class: "fix" }, link.trouble));
      return item;
    }),
  );
}

const RANKS = {
  good: ["good", "in good standing"], warned: ["warning", "warned"], suspended: ["bad", "gets nothing new for now"],
  disqualified: ["bad", "not trusted any more"],
};
const FAULTS = {
  missing: "a shard was missing", corrupt: "a shard was wrong", breach: "the protocol was broken", late: "an answer was late",
  owned_up: "the node reported rot itself, which costs it nothing",
};

/** What the network thinks of the node; hidden until a gateway has said so. */
function showStanding(report) {
  at("standing-section").hidden = report === null;
  if (report === null) return;
  const [severity, rank] = RANKS[report.rank];
  const percent = (millionths) => `${(millionths / 10000).toFixed(2)} %`;
  const rows = [
    ["Reputation", [make("strong", { class: severity }, `${SIGNS[severity]} ${rank}`), report.reason]],
    ["Audits", [`${report.audits} passed; ${percent(report.lost)} of what was looked at was lost or wrong`]],
    ["Late answers", [percent(report.late)]],
    ["Connected", [`${percent(report.available)} of the week`]],
    ["Vetting", [report.wanting ? wanting(report.wanting) : "done: the node gets a full share of new data"]],
  ];
  for (const { at: when, fault, words: details } of report.evidence) {
    rows.push([time(when), [`${FAULTS[fault] ?? fault}: ${details}`]]);
  }
  at("standing").replaceChildren(...rows.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, ...value)]));
}

/** What a newcomer has still to show. */
function wanting({ audits, hours, bytes }) {
  const parts = [];
  if (audits > 0) parts.push(`${audits} more audits`);
  if (hours > 0) parts.push(`${lasting(hours * 3600)} more as a member`);
  if (bytes > 0) parts.push(`${size(bytes)} more to keep`);
  return `a newcomer gets a smaller share; still to show: ${parts.join(", ") || "nothing"}`;
}

function showStatus(status) {
  document.title = `${status.name} · Drystone node`;
  at("name").textContent = status.name;
  at("about").textContent = `${status.software}, running for ${lasting(status.uptime_seconds)}`;
  at("id").textContent = `Node ${status.id}`;
  health(status.advice[0]?.severity ?? "good");
  showNext(status.advice);
  showFrame(status);
  showControls(status.frame);
  showStanding(status.standing);
  showLinks(status.links, Date.now());
}

/** A chart's empty picture with its scale: the largest value above the zero line, and below it if there is anything. */
function picture(label, width, height, zero, up, down, steps, stepSeconds) {
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height + 18}`, role: "img", "aria-label": label });
  const scale = [[4, up], [zero, 0]];
  if (down > 0) scale.push([height, down]);
  for (const [y, value] of scale) {
    svg.append(
      draw("line", { class: y === zero ? "zero" : "axis", x1: LEFT, x2: width, y1: y, y2: y }),
      draw("text", { x: LEFT - 6, y: y + 4, "text-anchor": "end" }, size(value)),
    );
  }
  const last = steps.length - 1;
  for (const [index, anchor] of [[0, "start"], [Math.floor(last / 2), "middle"], [last, "end"]]) {
    const when = new Date(steps[index].at * 1000);
    const format = stepSeconds >= 3600 ? { month: "short", day: "numeric" } : { hour: "2-digit", minute: "2-digit" };
    svg.append(draw("text", { x: across(index, steps.length, width), y: height + 15, "text-anchor": anchor }, when.toLocaleString(undefined, format)));
  }
  return svg;
}

const across = (index, count, width) => LEFT + ((index + 0.5) * (width - LEFT)) / count;

function keptChart(steps, stepSeconds, wide) {
  const [height, count] = [120, steps.length];
  const most = Math.max(1000, ...steps.map((step) => step.live ?? 0));
  const y = (value) => height - (value / most) * (height - 4);
  const svg = picture(`Bytes kept for others; ${size(most)} at most`, wide, height, height, most, 0, steps, stepSeconds);
  const width = (wide - LEFT) / count;
  let run = [];
  const end = () => {
    if (run.length > 0) {
      const line = run.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ");
      const [first, last] = [run[0][0], run[run.length - 1][0]];
      svg.append(draw("polygon", { class: "area", points: `${first},${height} ${line} ${last},${height}` }));
      svg.append(draw("polyline", { class: "kept", points: run.length > 1 ? line : `${line} ${first + 1},${run[0][1]}` }));
    }
    run = [];
  };
  steps.forEach((step, index) => {
    if (step.live === null) {
      end();
      svg.append(draw("rect", { class: "gap", x: LEFT + index * width, y: height - 3, width, height: 3 }, draw("title", {}, "not running")));
    } else {
      run.push([across(index, count, wide), y(step.live)]);
    }
  });
  end();
  return svg;
}

function movedChart(steps, stepSeconds, wide) {
  const [height, zero] = [160, 80];
  const up = Math.max(1000, ...steps.map((step) => step.fetched));
  const down = Math.max(1000, ...steps.map((step) => step.stored));
  const svg = picture(`Bytes served, ${size(up)} at most in one step, and taken, ${size(down)} at most`, wide, height, zero, up, down, steps, stepSeconds);
  const width = (wide - LEFT) / steps.length;
  steps.forEach((step, index) => {
    const x = LEFT + index * width;
    const bar = (kind, value, most, reach) => {
      if (value === 0) return;
      const tall = Math.max(1, (value / most) * reach);
      const y = kind === "served" ? zero - tall : zero;
      svg.append(draw("rect", { class: kind, x, y, width: Math.max(0.8, width - 0.6), height: tall }, draw("title", {}, `${time(step.at * 1000)}: ${size(value)} ${kind}`)));
    };
    bar("served", step.fetched, up, zero - 4);
    bar("taken", step.stored, down, height - zero);
  });
  return svg;
}

/** The charts, drawn as wide as there is room, so that their words stay readable on a phone. */
function showCharts({ step_seconds: stepSeconds, steps }) {
  const wide = Math.max(260, at("kept").clientWidth);
  at("kept").replaceChildren(keptChart(steps, stepSeconds, wide));
  at("moved").replaceChildren(movedChart(steps, stepSeconds, wide));
}

function showHistory({ step_seconds: stepSeconds, steps }) {
  const sum = (field) => steps.reduce((sum, step) => sum + step[field], 0);
  const share = Math.min(100, (100 * sum("linked")) / (steps.length * stepSeconds));
  at("sums").textContent = `In this time ${size(sum("fetched"))} served, ${size(sum("stored"))} taken, linked ${share.toFixed(1)} % of it.`;
  const rows = steps.filter((step) => step.live !== null).reverse();
  at("steps").replaceChildren(
    ...rows.map((step) =>
      make("tr", {},
        make("th", { scope: "row" }, time(step.at * 1000)),
        make("td", {}, size(step.live)),
        make("td", {}, size(step.fetched)),
        make("td", {}, size(step.stored)),
        make("td", {}, `${Math.min(100, Math.round((100 * step.linked) / stepSeconds))} %`)),
    ),
  );
}

async function ask(path) {
  const answer = await fetch(path, { cache: "no-store" });
  if (!answer.ok) throw new Error(`${path} answered ${answer.status}`);
  return answer.json();
}

async function refreshStatus() {
  try {
    showStatus(await ask("/api/status"));
  } catch {
    health("bad", "The node does not answer");
    showNext([{ severity: "bad", words: "The node does not answer: it was stopped, or is starting.", fix: "start it: `drystone-node run --data DIR`, or `systemctl start drystone-node`" }]);
  }
}

/** The history that is shown. */
let shown = null;

async function refreshHistory() {
  const span = document.querySelector("#span input:checked").value;
  try {
    shown = await ask(`/api/history?span=${span}`);
    showCharts(shown);
    showHistory(shown);
  } catch {
    // The status says what is wrong.
  }
}

/** Asks for a change, with the page's own token. */
async function change(path, done) {
  const token = document.querySelector("meta[name=drystone-token]").content;
  try {
    const answer = await fetch(path, { method: "POST", headers: { "x-drystone-token": token } });
    at("said").textContent = answer.ok ? done : await answer.text();
  } catch {
    at("said").textContent = "The node does not answer.";
  }
  setTimeout(refreshStatus, STATUS_MS);
}

at("pause").addEventListener("click", () => change("/api/pause", "It pauses within five seconds."));
at("resume").addEventListener("click", () => change("/api/resume", "It goes on within five seconds."));
at("span").addEventListener("change", refreshHistory);
window.addEventListener("resize", () => shown && showCharts(shown));
refreshStatus();
refreshHistory();
setInterval(refreshStatus, STATUS_MS);
setInterval(refreshHistory, HISTORY_MS);
