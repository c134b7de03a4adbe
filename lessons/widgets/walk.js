// Draws a walk. The bar with the buttons is made once, so that a button keeps its place and its focus; the rest follows `page`.

const escape = (text) =>
  String(text).replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);

/** Text in which `words like this` are code. */
const prose = (text) => escape(text).replace(/`([^`]+)`/g, "<code>$1</code>");

const SILENCE = 2500; // milliseconds without an answer from Python, after which we say why that may be
const SILENT =
  "No answer from Python yet. If another cell is running, this one waits for it. " +
  "If the kernel was restarted, run the cells from the top again: Run ▸ Run All Above Selected Cell, then this one.";

const line = (op) => `
  <li class="${op.error ? "failed" : ""}">
    <code title="${escape(op.whole || op.shell)}"><span class="where ${escape(op.where)}"
      title="performed by ${escape(op.actor || "the engine")}">${escape(op.where)}#</span> ${escape(op.shell)}</code>
    <span class="time">${escape(op.error || op.time)}</span>
  </li>`;

const list = (lines) => `<ol class="operations">${lines.map(line).join("")}</ol>`;

const legend = ({ legend: names }) =>
  names.length ? `<p class="legend">${names.map((l) => `<code>${escape(l)}</code>`).join(" ")}</p>` : "";

/** What is about to happen: what matters most in sight, the rest on request. */
const planned = (next) => `
  ${list(next.operations)}
  ${legend(next)}
  ${next.more.length ? `<details><summary>and ${next.more.length} more</summary>${list(next.more)}</details>` : ""}`;

/** What has happened: it was read before, so it is put away; not if something failed. */
const performed = (now) => {
  const all = [...now.operations, ...now.more];
  if (!all.length) return "";
  const failed = all.some((op) => op.error);
  return `<details ${failed ? "open" : ""}><summary>${all.length} operation${all.length > 1 ? "s" : ""}${now.took ? `, ${escape(now.took)}` : ""}</summary>
    ${list(now.operations)}${now.more.length ? list(now.more) : ""}${legend(now)}</details>`;
};

/** How to read the pictures; shown while nothing has happened yet. */
const LEGEND = `
  <ul class="key">
    <li><i class="host"></i>the practice host's</li>
    <li><i class="container"></i>the container's</li>
    <li><i class="layer"></i>read-only layers of the image</li>
    <li><i class="rule"></i>what is written: rules, and the read-write layer</li>
    <li><i class="absent"></i>not there yet, or shared</li>
    <li><i class="new"></i>changed by the last step; it also says “new” or “changed”</li>
  </ul>`;

/** In words, what the pictures show in orange. */
const changed = (page) => {
  if (!page.shown) return "";
  const news = page.pictures.filter((p) => p.new.length);
  if (!news.length) return `<p class="news">Nothing new: it was like this already.</p>`;
  const shown = (p) => p.new.slice(0, 4).join(" · ") + (p.new.length > 4 ? ` · and ${p.new.length - 4} more` : "");
  return `<ul class="changed" aria-label="changed in the kernel">${news
    .map((p) => `<li>changed in <b>${escape(p.title)}</b>: ${escape(shown(p))}</li>`)
    .join("")}</ul>`;
};

const answer = (question, guess) => {
  if (!question) return "";
  const right = question.options[question.answer];
  const said =
    guess === undefined || guess < 0
      ? `<b>${prose(question.ask)}</b> ${prose(right)}.`
      : guess === question.answer
        ? `<b class="right">✓ As you said: ${prose(right)}.</b>`
        : `<b class="wrong">✗ You said: ${prose(question.options[guess])}.</b> It is: ${prose(right)}.`;
  return `<p class="answer">${said} <span>${prose(question.why)}</span></p>`;
};

const ask = (question, guess) => `
  <fieldset class="guess">
    <legend><b>Predict.</b> ${prose(question.ask)}</legend>
    ${question.options
      .map((o, k) => `<button type="button" data-guess="${k}" aria-pressed="${k === guess}">${prose(o)}</button>`)
      .join("")}
  </fieldset>`;

const now = (page, guesses) => `
  <section class="card now" aria-label="what was done">
    <header>${page.shown ? `Step ${page.shown} of ${page.stages.length}, done` : "At the start"}</header>
    <h3>${escape(page.now.title)}</h3>
    ${page.shown ? "" : `<p class="sentence">${prose(page.now.sentence)}</p>${LEGEND}`}
    ${changed(page)}
    ${answer(page.now.question, guesses[page.shown - 1])}
    ${page.now.why ? `<p class="why">${prose(page.now.why)}</p>` : ""}
    ${performed(page.now)}
  </section>`;

const coming = (page, guesses) => {
  const next = page.coming;
  if (!next)
    return `
  <section class="card coming" aria-label="what comes next">
    <header>All steps done</header>
    <h3>It runs</h3>
    <p class="sentence">${prose(page.summary)}</p>
    <p class="why">Go <b>Back</b> to look at any step again, or read on: the next cells look at this container with ordinary tools.</p>
  </section>`;
  return `
  <section class="card coming" aria-label="what comes next">
    <header>${next.is_done ? "Next, already recorded" : "About to happen"}: step ${page.shown + 1}</header>
    <h3>${escape(next.title)}</h3>
    <p class="sentence">${prose(next.sentence)}</p>
    ${planned(next)}
    <p class="need"><b>Without it,</b> ${prose(next.need)}</p>
    ${ask(next.question, guesses[page.shown])}
  </section>`;
};

const picture = (p, page) => `
  <figure class="${escape(p.title.toLowerCase().replace(" ", "-"))}">
    <figcaption>
      <b>${escape(p.title)}</b>
      <span class="${p.new.length ? "news" : "same"}">${p.new.length ? escape(p.new.join(" · ")) : page.shown ? "as before" : "as it is now"}</span>
    </figcaption>
    <div class="drawing">${p.svg}</div>
    <p class="how">by hand: <code title="in kernelkit shell">${escape(p.how)}</code></p>
  </figure>`;

const bars = (rows) =>
  rows
    .map((row) => {
      const share = row.total ? Math.round((100 * (row.current || 0)) / row.total) : /complete|exists/i.test(row.status) ? 100 : 0;
      return `<div class="pull"><code>${escape(row.id)}</code>
        <progress max="100" value="${share}" aria-label="layer ${escape(row.id)}"></progress><span>${escape(row.status)}</span></div>`;
    })
    .join("");

function render({ model, el }) {
  const root = document.createElement("div");
  root.className = "kk kk-walk";
  root.innerHTML = `
    <div class="head">
      <div class="bar">
        <code class="command"></code>
        <span class="buttons" role="group" aria-label="steps; the arrow keys work, too">
          <button type="button" data-do="back">Back</button>
          <button type="button" data-do="next" class="first">Next</button>
          <button type="button" data-do="all">Run all</button>
          <button type="button" data-do="again">Start over</button>
        </span>
      </div>
      <ol class="rail"></ol>
    </div>
    <p class="problem" role="alert" hidden></p>
    <div class="pulling" hidden></div>
    <div class="cards" aria-live="polite"></div>
    <div class="pictures"></div>`;
  el.append(root);
  const part = (name) => root.querySelector(`.${name}`);
  const buttons = [...root.querySelectorAll("button[data-do]")];
  let waiting = 0;

  function send(what, to = 0) {
    clearTimeout(waiting);
    waiting = setTimeout(() => problem(SILENT), SILENCE);
    try {
      model.send({ do: what, to });
    } catch {
      problem(SILENT);
    }
  }

  function heard() {
    clearTimeout(waiting);
    problem(model.get("problem"));
    enable();
  }

  root.addEventListener("click", (event) => {
    const guess = event.target.closest("[data-guess]");
    if (guess) return predict(Number(guess.dataset.guess));
    const button = event.target.closest("[data-do]");
    if (button && button.getAttribute("aria-disabled") !== "true") send(button.dataset.do, Number(button.dataset.to) || 0);
  });

  // The keys belong to the button that has the focus, not to the notebook around it; Shift-Enter still runs the next cell.
  root.addEventListener("keydown", (event) => {
    if (event.shiftKey || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key === "Enter" || event.key === " ") event.stopPropagation();
    const turn = { ArrowRight: "next", ArrowLeft: "back" }[event.key];
    if (!turn || !event.target.closest(".head")) return;
    event.preventDefault();
    event.stopPropagation();
    root.querySelector(`[data-do="${turn}"]`).click();
  });

  function predict(option) {
    const guesses = [...model.get("guesses")];
    guesses[model.get("page").shown] = option;
    model.set("guesses", guesses);
    model.save_changes();
    for (const each of root.querySelectorAll("[data-guess]")) each.setAttribute("aria-pressed", Number(each.dataset.guess) === option);
  }

  function draw() {
    const page = model.get("page");
    const guesses = model.get("guesses");
    part("command").textContent = page.command;
    part("rail").innerHTML = page.stages
      .map((name, i) => {
        const number = i + 1;
        const state = number === page.shown ? "shown" : number <= page.done ? "done" : "waiting";
        const mark = number <= page.shown ? "✓" : number;
        const label = `step ${number}, ${name}: ${state === "waiting" ? "not done yet" : state === "shown" ? "shown" : "done"}`;
        return `<li class="${state}"><button type="button" data-do="go" data-to="${number}" ${number > page.done ? "disabled" : ""}
          aria-label="${escape(label)}" ${state === "shown" ? 'aria-current="step"' : ""}><span class="dot">${mark}</span>${escape(name)}</button></li>`;
      })
      .join("");
    part("cards").innerHTML = now(page, guesses) + coming(page, guesses);
    part("pictures").innerHTML = page.pictures.map((p) => picture(p, page)).join("");
    part("pictures").dataset.focus = page.focus;
    root.dataset.shown = page.shown;
    root.dataset.done = page.done;
    enable();
    settle();
  }

  // What is below should stay where it is: the cards take as much room as they ever needed at this width.
  let tallest = 0;
  let width = 0;
  function settle() {
    const cards = part("cards");
    if (cards.offsetWidth !== width) [width, tallest] = [cards.offsetWidth, 0];
    cards.style.minHeight = "";
    tallest = Math.max(tallest, cards.offsetHeight);
    cards.style.minHeight = `${tallest}px`;
  }

  // Not `disabled`: that would take the focus away from who steps through with the keyboard.
  function enable() {
    const page = model.get("page");
    const busy = model.get("busy");
    root.classList.toggle("busy", busy);
    for (const button of buttons) {
      const end = { back: page.shown === 0, again: page.done === 0 && !model.get("problem") };
      const off = busy || (end[button.dataset.do] ?? page.shown === page.stages.length);
      button.setAttribute("aria-disabled", off);
    }
  }

  function pulling() {
    const rows = model.get("pulling");
    part("pulling").hidden = !rows.length;
    part("pulling").innerHTML = bars(rows);
  }

  function problem(text) {
    part("problem").hidden = !text;
    part("problem").innerHTML = prose(text);
  }

  model.on("change:heard", heard);
  model.on("change:page", draw);
  model.on("change:busy", enable);
  model.on("change:pulling", pulling);
  model.on("change:problem", heard);
  draw();
  pulling();
  heard();
  // Styles and fonts come a moment later.
  const observer = new ResizeObserver(() => part("cards").offsetWidth !== width && settle());
  observer.observe(root);
  return () => observer.disconnect();
}

export default { render };
