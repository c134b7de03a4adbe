// Buttons for what can be left out, and the two runs side by side.

const escape = (text) =>
  String(text).replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);

const prose = (text) => escape(text).replace(/`([^`]+)`/g, "<code>$1</code>");

const MOST = 3; // shell lines of what was left out
const SILENCE = 2500; // milliseconds without an answer from Python, after which we say why that may be
const SILENT =
  "No answer from Python yet. If another cell is running, this one waits for it. " +
  "If the kernel was restarted, run the cells from the top again: Run ▸ Run All Above Selected Cell, then this one.";

const table = (r) => `
  <table class="claims">
    <tr><th scope="col">looked at</th><th scope="col">with everything</th><th scope="col">without ${escape(r.title)}</th></tr>
    ${r.rows
      .map(([question, whole, without]) => {
        const differs = whole !== without;
        return `<tr class="${differs ? "fails" : ""}"><td>${escape(question)}</td><td>${escape(whole)}</td>
          <td>${differs ? `<b title="differs">≠</b> ` : ""}${escape(without)}</td></tr>`;
      })
      .join("")}
  </table>`;

const more = (r) => (r.left_out.length > MOST ? `\n… and ${r.left_out.length - MOST} more` : "");

const result = (r) => `
  <p class="not-done">Not done, with <code>kernelkit run --without ${escape(r.name)} …</code></p>
  <div class="terminal"><pre>${escape(r.left_out.slice(0, MOST).join("\n"))}${more(r)}</pre></div>
  ${r.problem ? `<p class="problem"><b>It did not start.</b> The kernel refused ${escape(r.problem)}</p>` : table(r)}
  <p class="watch"><b>What it was for.</b> ${prose(r.was_for)}</p>`;

function render({ model, el }) {
  const root = document.createElement("div");
  root.className = "kk kk-without";
  root.innerHTML = `
    <p><code class="command"></code></p>
    <p id="leave-out">What do you expect to be different without …</p>
    <div class="choices" role="group" aria-labelledby="leave-out"></div>
    <p class="problem" role="alert" hidden></p>
    <div class="result" aria-live="polite"></div>`;
  el.append(root);
  const part = (name) => root.querySelector(`.${name}`);
  let waiting = 0;
  root.addEventListener("click", (event) => {
    const button = event.target.closest("[data-name]");
    if (!button || model.get("busy")) return;
    clearTimeout(waiting);
    waiting = setTimeout(() => problem(SILENT), SILENCE);
    try {
      model.send({ without: button.dataset.name });
    } catch {
      problem(SILENT);
    }
  });
  // The keys belong to the button that has the focus, not to the notebook around it; Shift-Enter still runs the next cell.
  root.addEventListener("keydown", (event) => {
    if (event.shiftKey || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key === "Enter" || event.key === " ") event.stopPropagation();
  });
  part("command").textContent = model.get("command");
  part("choices").innerHTML = model
    .get("choices")
    .map((c) => `<button type="button" data-name="${escape(c.name)}">${escape(c.title)}</button>`)
    .join("");

  function choices() {
    const busy = model.get("busy");
    const shown = model.get("result").name;
    for (const button of root.querySelectorAll("[data-name]")) {
      button.setAttribute("aria-disabled", Boolean(busy));
      button.setAttribute("aria-pressed", button.dataset.name === (busy || shown));
    }
    root.classList.toggle("busy", Boolean(busy));
  }

  function draw() {
    const r = model.get("result");
    const busy = model.get("busy");
    if (busy) part("result").innerHTML = `<p class="running">Running it twice, with everything and without, and looking at both …</p>`;
    else part("result").innerHTML = r.name && !model.get("problem") ? result(r) : "";
    choices();
  }

  function heard() {
    clearTimeout(waiting);
    problem(model.get("problem"));
    draw();
  }

  function problem(text) {
    part("problem").hidden = !text;
    part("problem").innerHTML = prose(text);
  }

  for (const name of ["result", "busy", "problem"]) model.on(`change:${name}`, heard);
  heard();
}

export default { render };
