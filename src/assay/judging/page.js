"use strict";
// Shows one candidate after another and keeps what is said of each. Everything shown becomes text, never markup.

const sheet = JSON.parse(document.getElementById("data").textContent);
const { rubric, rows } = sheet;
const dimensions = rubric.dimensions;
const store = `assay-judging-${sheet.export}`;
let current = 0;
let focus = 0;
let unsaved = false;

function make(name, content, attributes = {}) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value != null && value !== false) element.setAttribute(key, value);
  }
  for (const part of Array.isArray(content) ? content : [content]) {
    if (part != null) element.append(part instanceof Node ? part : String(part));
  }
  return element;
}

// What was said ---------------------------------------------------------------------------------------------

const done = (row) => dimensions.every(({ name }) => row.scores[name] !== null);
const begun = (row) => row.comment !== "" || dimensions.some(({ name }) => row.scores[name] !== null);
const count = () => rows.filter(done).length;

function allowed({ scale: [low, high], integer }, value) {
  return typeof value === "number" && value >= low && value <= high && (!integer || Number.isInteger(value));
}

function answers() {
  return { schema: sheet.schema, export: sheet.export, rubric: { label: rubric.label, digest: rubric.digest }, rows };
}

function draft() {
  const said = rows.filter(begun).map(({ id, scores, comment }) => ({ id, scores, comment }));
  try {
    localStorage.setItem(store, JSON.stringify(said));
  } catch {
    // A browser that keeps nothing for local files: the page warns before it is closed.
  }
}

function take(said) {
  const byId = new Map(rows.map((row) => [row.id, row]));
  let taken = 0;
  for (const { id, scores, comment } of said) {
    const row = byId.get(id);
    if (!row) continue;
    for (const dimension of dimensions) {
      if (allowed(dimension, scores?.[dimension.name])) row.scores[dimension.name] = scores[dimension.name];
    }
    if (typeof comment === "string") row.comment = comment;
    taken += 1;
  }
  return taken;
}

function changed() {
  unsaved = true;
  draft();
  tell();
}

// What is shown ---------------------------------------------------------------------------------------------

const state = make("span", "", { role: "status", id: "state" });
const bar = make("progress", null, { max: rows.length, value: 0, "aria-label": "Judged" });
const shown = make("div", null, { id: "candidate", "aria-live": "polite" });
const form = make("form", null, { id: "form", onsubmit: (event) => event.preventDefault() });

function tell(message) {
  const text = `${current + 1} of ${rows.length} · ${count()} judged, ${rows.length - count()} to do`;
  state.textContent = message ? `${text} · ${message}` : `${text}${unsaved ? " · not saved" : ""}`;
  bar.value = count();
}

function block(title, text, style) {
  const body = text ? make("pre", text) : make("p", "Nothing: the answer is empty.", { class: "empty" });
  return make("section", [make("h2", title), body], { class: style });
}

function describe(row) {
  const origin = ["model", "prompt", "task"].filter((name) => row[name]).map((name) => `${name} ${row[name]}`);
  const parts = [block("Asked", row.input || "-"), block("Answer", row.text, "answer")];
  if (row.reference) parts.push(block("Reference", row.reference));
  if (origin.length) parts.push(block("From", origin.join(", ")));
  shown.replaceChildren(...parts);
}

const LEVELS = 10;
const byKey = ({ scale: [low, high], integer }) => integer && low >= 0 && high < LEVELS;

function levels(dimension, row, number) {
  const [low, high] = dimension.scale;
  const anchors = new Map(dimension.anchors.map(({ level, text }) => [level, text]));
  const found = [];
  for (let level = low; level <= high; level += 1) {
    const input = make("input", null, {
      type: "radio", name: dimension.name, value: level, checked: row.scores[dimension.name] === level,
      onchange: () => give(number, level),
    });
    found.push(make("label", [input, make("b", level), make("span", anchors.get(level) ?? "")], { class: "level" }));
  }
  return found;
}

function numberField(dimension, row, number) {
  const [low, high] = dimension.scale;
  const input = make("input", null, {
    type: "number", min: low, max: high, step: dimension.integer ? 1 : "any", name: dimension.name,
    value: row.scores[dimension.name],
    onchange: () => {
      const value = input.value === "" ? null : Number(input.value);
      if (value === null || allowed(dimension, value)) give(number, value);
      else tell(`${dimension.name}: ${dimension.integer ? "whole numbers" : "numbers"} from ${low} to ${high}`);
    },
  });
  const anchors = dimension.anchors.map(({ level, text }) => make("p", `${level}: ${text}`));
  return [...anchors, make("label", [input, `from ${low} to ${high}`], { class: "number" })];
}

function render() {
  const row = rows[current];
  describe(row);
  const sets = dimensions.map((dimension, number) => {
    const fields = byKey(dimension) ? levels(dimension, row, number) : numberField(dimension, row, number);
    const help = dimension.help ? make("p", dimension.help) : null;
    return make("fieldset", [make("legend", dimension.name), help, ...fields], { onfocusin: () => point(number) });
  });
  const comment = make("textarea", row.comment, {
    id: "comment", "aria-label": "Comment", placeholder: "Comment, if you like",
    oninput: () => { row.comment = comment.value; changed(); },
  });
  form.replaceChildren(...sets, make("section", comment));
  const open = dimensions.findIndex(({ name }) => row.scores[name] === null);
  point(open < 0 ? 0 : open);
  tell();
}

function point(number) {
  focus = number;
  const row = rows[current];
  form.querySelectorAll("fieldset").forEach((set, index) => {
    set.classList.toggle("current", index === focus);
    set.classList.toggle("done", row.scores[dimensions[index].name] !== null);
    if (index === focus) set.scrollIntoView({ block: "nearest" });
  });
}

function give(number, value) {
  const { name } = dimensions[number];
  rows[current].scores[name] = value;
  for (const input of form.querySelectorAll(`input[type=radio][name="${name}"]`)) {
    input.checked = Number(input.value) === value;
  }
  point(Math.min(number + 1, dimensions.length - 1));
  changed();
}

function go(number) {
  current = Math.max(0, Math.min(rows.length - 1, number));
  render();
  window.scrollTo(0, 0);
}

function goOpen() {
  const after = rows.findIndex((row, index) => index > current && !done(row));
  const first = after < 0 ? rows.findIndex((row) => !done(row)) : after;
  if (first < 0) tell("all are judged: save the answers");
  else go(first);
}

// Files -----------------------------------------------------------------------------------------------------

function save() {
  const url = URL.createObjectURL(new Blob([JSON.stringify(answers())], { type: "application/json" }));
  const link = make("a", "", { href: url, download: `answers-${sheet.export}.json` });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
  unsaved = false;
  tell("saved");
}

async function load(event) {
  const [file] = event.target.files;
  if (!file) return;
  try {
    const value = JSON.parse(await file.text());
    if (value.export !== sheet.export) throw new Error(`it is of the export ${value.export}`);
    const taken = take(value.rows);
    render();
    tell(`${taken} rows read`);
  } catch (error) {
    tell(`not read: ${error.message}`);
  }
  event.target.value = "";
}

// The page --------------------------------------------------------------------------------------------------

// A guide's paragraphs are filled anew; what is indented or listed keeps its lines.
function paragraphs(text) {
  const plain = (part) => !/\n(\s|[-*]\s|\d+\.\s)/.test(part);
  return text.split(/\n\s*\n/).map((part) => make("pre", plain(part) ? part.replaceAll("\n", " ") : part));
}

function guide() {
  const shownExamples = rubric.examples.flatMap((example, index) => [
    make("h3", `Example ${index + 1}`),
    make("p", example.input),
    make("pre", example.text),
    make("p", Object.entries(example.scores).map(([name, value]) => `${name} ${value}`).join(", ")),
    make("p", example.why),
  ]);
  const summary = make("summary", `Guide: ${rubric.label}`);
  return make("details", [summary, ...paragraphs(rubric.guide), ...shownExamples], { open: count() === 0 });
}

function keys() {
  const listed = [["0–9", "level"], ["↑ ↓", "dimension"], ["j k", "next, previous"], ["n", "next to do"], ["c", "comment"], ["s", "save"]];
  return make("p", listed.flatMap(([key, what]) => [make("kbd", key), ` ${what}  `]), { class: "keys" });
}

try {
  take(JSON.parse(localStorage.getItem(store) ?? "[]"));
} catch {
  // Nothing was kept.
}

document.getElementById("app").replaceChildren(
  make("header", [
    make("h1", `Judging by ${rubric.label}`), bar, state,
    make("button", "Previous", { type: "button", onclick: () => go(current - 1) }),
    make("button", "Next", { type: "button", onclick: () => go(current + 1) }),
    make("label", ["Open answers", make("input", null, { type: "file", accept: ".json", id: "open", onchange: load })], { class: "file" }),
    make("button", "Save answers", { type: "button", id: "save", class: "main", onclick: save }),
  ]),
  make("main", [make("div", [shown, guide()]), make("div", [form, keys()])]),
);

const actions = {
  j: () => go(current + 1), k: () => go(current - 1), n: goOpen, s: save,
  c: () => document.getElementById("comment").focus(),
  ArrowDown: () => point(Math.min(focus + 1, dimensions.length - 1)),
  ArrowUp: () => point(Math.max(focus - 1, 0)),
};

document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("textarea, input[type=number]");
  if (event.key === "Escape") return event.target.blur();
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const dimension = dimensions[focus];
  if (/^[0-9]$/.test(event.key) && byKey(dimension) && allowed(dimension, Number(event.key))) {
    event.preventDefault();
    give(focus, Number(event.key));
  } else if (Object.hasOwn(actions, event.key)) {
    event.preventDefault();
    actions[event.key]();
  }
});

window.addEventListener("beforeunload", (event) => {
  if (unsaved) event.preventDefault();
});

render();
