// Draws a walk. The bar with the buttons is made once, so that a button keeps its place and its focus; the rest follows `page`.

const escape = (text) =>
  String(text).replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);

/** Text in which `words like this` are code. */
const prose = (text) => escape(text).replace(/`([^`]+)`/g, "<code>$1</code>");

const line = (op) => `
  <li class="${op.error ? "failed" : ""}">
    <code title="${escape(op.whole || op.shell)}"><span class="where ${escape(op.where)}"
      title="performed by ${escape(op.actor || "the engine")}">${escape(op.where)}#</span> ${escape(op.shell)}</code>
    <span class="time">${escape(op.error || op.time)}</span>
  </li>`;

const operations = ({ operations: main, more, legend }) => `
  <ol class="operations">${main.map(line).join("")}</ol>
  ${legend.length ? `<p class="legend">${legend.map((l) => `<code>${escape(l)}</code>`).join(" ")}</p>` : ""}
  ${more.length ? `<details><summary>and ${more.length} more</summary><ol class="operations">${more.map(line).join("")}</ol></details>` : ""}`;

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

const now = (page) => `
  <section class="card now" aria-label="what was done">
    <header>${page.shown ? `Step ${page.shown} of ${page.stages.length}, done` : "At the start"}</header>
    <h3>${escape(page.now.title)}</h3>
    <p class="sentence">${prose(page.now.sentence)}</p>
    ${page.shown ? operations(page.now) : LEGEND}
    ${page.now.why ? `<p class="why">${prose(page.now.why)}</p>` : ""}
  </section>`;

const coming = (page) => {
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
    ${operations(next)}
    <p class="watch"><b>Predict.</b> ${prose(next.watch)}</p>
  </section>`;
};

const picture = (p) => `
  <figure class="${escape(p.title.toLowerCase().replace(" ", "-"))}">
    <figcaption>
      <b>${escape(p.title)}</b>
      <span class="${p.new.length ? "news" : "same"}">${p.new.length ? escape(p.new.join(" · ")) : "as before"}</span>
    </figcaption>
    <div class="drawing">${p.svg}</div>
    <p class="how">by hand: <code title="in kernelkit shell">${escape(p.how)}</code></p>
  </figure>`;

const bars = (rows) =>
  rows
    .map((row) => {
      const share = row.total ? Math.round((100 * (row.current || 0)) / row.total) : /complete|exists/i.test(row.status) ? 100 : 0;
      return `<div class="pull"><code>${escape(row.id)}</code>
        <progress max="100" value="${share}"></progress><span>${escape(row.status)}</span></div>`;
    })
    .join("");

function render({ model, el }) {
  const root = document.createElement("div");
  root.className = "kk kk-walk";
  root.innerHTML = `
    <div class="bar">
      <code class="command"></code>
      <span class="buttons">
        <button type="button" data-do="back">Back</button>
        <button type="button" data-do="next" class="first">Next</button>
        <button type="button" data-do="all">Run all</button>
      </span>
    </div>
    <ol class="rail"></ol>
    <p class="problem" role="alert" hidden></p>
    <div class="pulling" hidden></div>
    <div class="cards" aria-live="polite"></div>
    <div class="pictures"></div>`;
  el.append(root);
  const part = (name) => root.querySelector(`.${name}`);
  const buttons = [...root.querySelectorAll("button[data-do]")];

  root.addEventListener("click", (event) => {
    const button = event.target.closest("[data-do]");
    if (button && !button.disabled) model.send({ do: button.dataset.do, to: Number(button.dataset.to) || 0 });
  });

  function draw() {
    const page = model.get("page");
    const last = page.stages.length;
    part("command").textContent = page.command;
    part("rail").innerHTML = page.stages
      .map((name, i) => {
        const number = i + 1;
        const state = number === page.shown ? "shown" : number <= page.done ? "done" : "waiting";
        const mark = number <= page.shown ? "✓" : number;
        return `<li class="${state}"><button type="button" data-do="go" data-to="${number}" ${number > page.done ? "disabled" : ""}
          ${state === "shown" ? 'aria-current="step"' : ""}><span class="dot">${mark}</span>${escape(name)}</button></li>`;
      })
      .join("");
    part("cards").innerHTML = now(page) + coming(page);
    part("pictures").innerHTML = page.pictures.map(picture).join("");
    root.dataset.shown = page.shown;
    root.dataset.done = page.done;
    enable();
  }

  function enable() {
    const page = model.get("page");
    const busy = model.get("busy");
    root.classList.toggle("busy", busy);
    for (const button of buttons)
      button.disabled = busy || (button.dataset.do === "back" ? page.shown === 0 : page.shown === page.stages.length);
  }

  function pulling() {
    const rows = model.get("pulling");
    part("pulling").hidden = !rows.length;
    part("pulling").innerHTML = bars(rows);
  }

  function problem() {
    part("problem").hidden = !model.get("problem");
    part("problem").innerHTML = prose(model.get("problem"));
  }

  model.on("change:page", draw);
  model.on("change:busy", enable);
  model.on("change:pulling", pulling);
  model.on("change:problem", problem);
  draw();
  pulling();
  problem();
}

export default { render };
