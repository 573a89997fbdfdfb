"use strict";
// Sorts the table of cells and browses the samples. Everything shown becomes text (textContent), never markup.

const MARKS = { right: ["✓", "right"], wrong: ["✗", "wrong"], measured: ["•", "plain"], unscored: ["–", "plain"] };
const words = (name) => String(name).replace("pass_at_", "pass@").replaceAll("_", " ");
const byId = (id) => document.getElementById(id);

function make(name, content, attributes = {}) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) if (value != null) element.setAttribute(key, value);
  for (const part of Array.isArray(content) ? content : [content]) {
    if (part != null) element.append(part instanceof Node ? part : String(part));
  }
  return element;
}

// The table of cells ---------------------------------------------------------------------------------------

function sortKey(row, column) {
  const value = row.cells[column].dataset.sort;
  return value === undefined || value === "" ? null : isNaN(value) ? value : Number(value);
}

function compare(left, right) {
  if (typeof left === "number" && typeof right === "number") return left - right;
  return String(left).localeCompare(String(right));
}

function sortBy(table, heading) {
  const column = heading.cellIndex;
  const down = heading.getAttribute("aria-sort") === "ascending";
  const keyed = [...table.tBodies[0].rows].map((row) => [sortKey(row, column), row]);
  const known = keyed.filter(([key]) => key !== null).sort(([a], [b]) => (down ? compare(b, a) : compare(a, b)));
  for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", down ? "descending" : "ascending");
  table.tBodies[0].append(...known.map(([, row]) => row), ...keyed.filter(([key]) => key === null).map(([, row]) => row));
}

for (const table of document.querySelectorAll("table.cells")) {
  table.tHead.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) sortBy(table, button.parentElement);
  });
}

// One sample -----------------------------------------------------------------------------------------------

const figure = (value) => (typeof value === "number" ? String(+value.toPrecision(4)).replace("-", "−") : String(value));
const seconds = (value) => (value == null ? null : value < 1 ? `${+(1000 * value).toPrecision(3)} ms` : `${+value.toPrecision(3)} s`);
const said = (value) => (value === true ? "yes" : value === false ? "no" : figure(value));
const block = (text, class_) => (text === "" ? make("p", "(empty)", { class: "note" }) : make("pre", visible(text), { class: class_, dir: "auto" }));

// Characters that hide or reorder what is around them are named instead of obeyed.
const CONTROL = /([\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069\ufeff])/;

function visible(text) {
  const named = (control) => `U+${control.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
  return text.split(CONTROL).map((piece, index) => (index % 2 ? make("span", named(piece), { class: "control" }) : piece));
}

function part(title, ...content) {
  const kept = content.flat().filter((each) => each != null);
  return kept.length ? [make("h4", title), ...kept] : [];
}

function facts(pairs) {
  const known = pairs.filter(([, value]) => value != null && value !== "");
  return make("dl", known.flatMap(([name, value]) => [make("dt", name), make("dd", value)]));
}

function prompt(entry) {
  if (entry.missing != null) return [make("p", `The prompt could not be rebuilt: ${entry.missing}`, { class: "note" })];
  if (entry.messages) return entry.messages.map((turn) => make("div", [make("span", turn.role), block(turn.content)], { class: `turn ${turn.role === "assistant" ? "assistant" : ""}` }));
  return entry.text == null ? [] : [block(entry.text)];
}

function table(headings, rows) {
  const cell = (name, [content, class_]) => make(name, content, { class: class_ || null });
  const head = make("thead", make("tr", headings.map((each) => cell("th", each))));
  const body = make("tbody", rows.map(([class_, cells]) => make("tr", cells.map((each) => cell("td", each)), { class: class_ })));
  return make("table", [head, body]);
}

function choices(entry) {
  const found = entry.completion && entry.completion.choices;
  if (!entry.choices || !found) return (entry.choices || []).length ? [make("ol", entry.choices.map((each) => make("li", visible(each))))] : [];
  const best = Math.max(...found.map(([logprob]) => logprob));
  const rows = entry.choices.map((text, index) => {
    const [logprob, tokens] = found[index] || [null, null];
    const note = [logprob === best ? "most likely" : null, (entry.gold || []).includes(index) ? "right answer" : null].filter(Boolean).join(", ");
    const number = (value) => [value == null ? "–" : figure(value), "number"];
    return [logprob === best ? "top" : null, [[visible(text)], number(logprob), number(tokens), number(tokens ? logprob / tokens : null), [note]]];
  });
  return [table([["choice"], ["log-likelihood", "number"], ["tokens", "number"], ["per token", "number"], [""]], rows)];
}

function scores(entry) {
  const given = (entry.completion || {}).text;
  const each = (score) => [
    make("p", score.revision ? `${score.scorer} (${score.revision})` : score.scorer, { class: "note" }),
    ...(score.error == null ? judged(score, given) : [make("p", "scorer error"), block(describe(score.error), "failure")]),
  ];
  return entry.scores.length ? entry.scores.flatMap(each) : [make("p", "Nothing scored this attempt.", { class: "note" })];
}

// The reason and what was judged take the whole width below the metrics: either may be long, or code.
function judged(score, given) {
  const values = Object.entries(score.metrics || {}).map(([name, value]) => [words(name), visible(said(value))]);
  return [
    facts(values),
    score.why ? make("p", visible(score.why), { class: "why" }) : null,
    ...(score.extracted == null ? [] : [make("p", score.extracted === given ? "Judged: the completion as it is" : "Judged:", { class: "note" })]),
    score.extracted == null || score.extracted === given ? null : block(score.extracted),
  ];
}

// What judges said: their words are anybody's, as answers are.
function judgements(entry) {
  return (entry.judgements || []).flatMap((one) => [
    make("p", visible(`${one.judge} (${one.kind}) by ${one.rubric}${(one.flags || []).map((flag) => `, ${words(flag)}`).join("")}`), { class: "note" }),
    facts(Object.entries(one.scores).map(([name, value]) => [visible(words(name)), figure(value)])),
    one.text ? make("p", visible(one.text), { class: "why", dir: "auto" }) : null,
  ]);
}

// What a program did when it was executed. All of its texts come from untrusted code.
const executionOf = (entry) => (entry.scores.find((score) => score.execution) || {}).execution;

function execution(entry) {
  const found = executionOf(entry);
  if (!found) return [];
  const failure = found.failure || {};
  const counted = `${found.tests_passed} of ${found.tests_total == null ? `${found.tests_run} that ran (how many there are is not known)` : found.tests_total}`;
  const output = (name) => (found[name] ? [make("p", found.output_cut ? `${name} (cut)` : name, { class: "note" }), block(found[name])] : []);
  return [
    facts([
      ["status", words(found.status)], ["tests passed", counted], ["ran out of", found.timeout && `${found.timeout} time`], ["signal", found.signal && visible(found.signal)],
      ["exit code", found.exit_code], ["CPU time", seconds(found.cpu_s)], ["wall time", seconds(found.wall_s)], ["peak memory", found.memory_mb == null ? null : `${found.memory_mb} MB`],
      ["code", `${words(found.strategy)}, ${found.found ? "found" : "not found"}`], ["tier", found.tier], ["forgeable", found.forgeable ? "yes: it could have decided its own outcome" : "no"],
      ["tried twice", found.retried ? "yes: out of time at first" : null], ["deterministic", found.deterministic == null ? null : said(found.deterministic)], ["program", found.program],
    ]),
    ...(failure.kind ? [make("p", failure.line == null ? "What failed" : `What failed, line ${failure.line} of the tests`, { class: "note" })] : []),
    failure.source ? block(failure.source, "failure") : null,
    failure.kind ? make("p", visible([failure.kind, failure.message].filter(Boolean).join(": ")), { class: "why" }) : null,
    ...(failure.got ? [make("p", "got", { class: "note" }), block(failure.got)] : []),
    ...output("stdout"),
    ...output("stderr"),
  ];
}

const describe = (error) => (typeof error === "object" ? [error.type, error.message].filter(Boolean).join(": ") : String(error));

function answer(entry) {
  const given = entry.completion;
  if (!given) return [];
  if (given.choices && given.choices.length && !given.text) return [];
  return [block(given.text, "answer")];
}

function detail(entry, name) {
  const given = entry.completion || {};
  const [mark, class_] = markOf(entry);
  return [
    make("h3", visible(entry.sample)),
    make("p", [make("span", `${mark} `, { class: `mark ${class_}` }), verdict(entry), make("span", `, ${name}`, { class: "note" })], { class: "verdict" }),
    ...part("Prompt", prompt(entry)),
    ...part("Choices", choices(entry)),
    ...part("Completion", answer(entry)),
    ...part("Error", entry.error ? block(describe(entry.error), "failure") : null),
    ...part("Target", entry.target ? block(entry.target) : null),
    ...part("Scores", scores(entry)),
    ...part("Judgements", judgements(entry)),
    ...part("Execution", execution(entry)),
    ...part("Attempt", facts([
      ["finished by", given.finish], ["latency", seconds(entry.latency_s)], ["first token", seconds(given.first_token_s)],
      ["tokens in", given.tokens_in], ["tokens out", given.tokens_out], ["tries", entry.tries], ["from the cache", entry.cached ? "yes" : null], ["seed", entry.seed],
      ["epoch", entry.epoch], ["index", entry.index], ["id", entry.attempt], ["demonstrations", entry.demos.join(", ") || "none"],
    ])),
  ];
}

const markOf = (entry) => (entry.outcome === "ok" || entry.result === "right" ? MARKS[entry.result] : ["!", "odd"]);

function verdict(entry) {
  const found = executionOf(entry);
  const wrong = found && found.status !== "failed" ? `wrong (${words(found.status)})` : "wrong";
  const result = { right: "right", wrong, measured: said(entry.value), unscored: "not scored" }[entry.result];
  return entry.outcome === "ok" ? result : `${words(entry.outcome)}, ${result}`;
}

// The browser of samples -----------------------------------------------------------------------------------

function browse() {
  const data = JSON.parse(byId("data").textContent);
  const names = new Map(data.cells.map((cell) => [cell.cell, cell]));
  const [form, list, sample] = [byId("filters"), byId("list"), byId("sample")];
  const haystacks = new Map();
  let [matching, chosen] = [[], -1];

  function haystack(entry) {
    if (!haystacks.has(entry)) {
      const turns = (entry.messages || []).map((turn) => turn.content);
      const texts = [entry.sample, entry.attempt, entry.text, entry.target, (entry.completion || {}).text, words((executionOf(entry) || {}).status || ""), ...turns, ...(entry.choices || []), ...(entry.judgements || []).map((one) => one.text)];
      haystacks.set(entry, texts.filter(Boolean).join("\n").toLowerCase());
    }
    return haystacks.get(entry);
  }

  function item(entry, index) {
    const [mark, class_] = markOf(entry);
    const content = [make("span", mark, { class: `mark ${class_}`, "aria-hidden": "true" }), make("b", visible(entry.sample)), make("small", `${verdict(entry)} · ${names.get(entry.cell).short}`)];
    const option = make("div", content, { class: "item", role: "option", id: `option-${index}`, "aria-selected": "false" });
    option.addEventListener("click", () => choose(index));
    return option;
  }

  function choose(index) {
    const previous = list.querySelector('[aria-selected="true"]');
    if (previous) previous.setAttribute("aria-selected", "false");
    chosen = matching.length ? Math.min(Math.max(index, 0), matching.length - 1) : -1;
    if (chosen < 0) {
      list.removeAttribute("aria-activedescendant");
      sample.replaceChildren();
      return;
    }
    const option = list.children[chosen];
    option.setAttribute("aria-selected", "true");
    list.setAttribute("aria-activedescendant", option.id);
    list.scrollTop += Math.min(0, option.offsetTop - list.offsetTop - list.scrollTop) + Math.max(0, option.offsetTop + option.offsetHeight - list.offsetTop - list.scrollTop - list.clientHeight);
    sample.replaceChildren(...detail(matching[chosen], names.get(matching[chosen].cell).name));
    sample.scrollTop = 0;
  }

  function filter() {
    const wanted = Object.fromEntries(new FormData(form));
    const text = wanted.text.trim().toLowerCase();
    matching = data.entries.filter((entry) =>
      (wanted.cell === "" || entry.cell === Number(wanted.cell)) &&
      (wanted.outcome === "" || entry.outcome === wanted.outcome) &&
      (wanted.result === "" || entry.result === wanted.result) &&
      (text === "" || haystack(entry).includes(text)));
    list.replaceChildren(...(matching.length ? matching.map(item) : [make("p", "No sample matches.", { class: "none" })]));
    byId("tally").textContent = `${matching.length} of ${data.entries.length}`;
    choose(0);
  }

  const STEPS = { j: 1, k: -1, ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity };

  // Letters work while the browser has the focus, or nothing has; arrows only in the list itself.
  function key(event) {
    const typing = event.target.closest("input, select, textarea");
    const ours = event.target === document.body || event.target.closest("#browser");
    if (typing || !ours || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/") {
      event.preventDefault();
      form.elements.text.focus();
    } else if (event.key in STEPS && (event.key.length === 1 || event.target === list)) {
      event.preventDefault();
      choose(chosen + STEPS[event.key]);
    }
  }

  document.addEventListener("keydown", key);
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  document.querySelector("#cells table.cells").addEventListener("click", (event) => {
    const link = event.target.closest("a[data-cell]");
    if (!link) return;
    form.reset();
    form.elements.cell.value = link.dataset.cell;
    filter();
  });
  filter();
}

if (byId("browser")) browse();
