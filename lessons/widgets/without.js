// Buttons for what can be left out, and the two runs side by side.

const escape = (text) =>
  String(text).replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);

const prose = (text) => escape(text).replace(/`([^`]+)`/g, "<code>$1</code>");

const table = (r) => `
  <table class="claims">
    <tr><th></th><th>with everything</th><th>without ${escape(r.title)}</th></tr>
    ${r.rows
      .map(([question, whole, without]) => {
        const differs = whole !== without;
        return `<tr class="${differs ? "fails" : ""}"><td>${escape(question)}</td><td>${escape(whole)}</td>
          <td>${differs ? "<b>≠</b> " : ""}${escape(without)}</td></tr>`;
      })
      .join("")}
  </table>`;

const result = (r) => `
  <p class="command-line"><code>kernelkit run --without ${escape(r.name)} …</code></p>
  <p>Not done:</p>
  <div class="terminal"><pre>${escape(r.left_out.slice(0, 6).join("\n"))}${r.left_out.length > 6 ? `\n… and ${r.left_out.length - 6} more` : ""}</pre></div>
  ${r.problem ? `<p class="problem">It did not start. ${escape(r.problem)}</p>` : table(r)}
  <p class="watch"><b>What it was for.</b> ${escape(r.was_for)}</p>`;

function render({ model, el }) {
  const root = document.createElement("div");
  root.className = "kk kk-without";
  root.innerHTML = `<p>Leave out</p><div class="choices"></div><p class="problem" role="alert" hidden></p><div class="result" aria-live="polite"></div>`;
  el.append(root);
  const part = (name) => root.querySelector(`.${name}`);
  root.addEventListener("click", (event) => {
    const button = event.target.closest("[data-name]");
    if (button && !model.get("busy")) model.send({ without: button.dataset.name });
  });
  const choices = () => {
    const busy = model.get("busy");
    const shown = model.get("result").name;
    part("choices").innerHTML = model
      .get("choices")
      .map(
        (c) => `<button type="button" data-name="${escape(c.name)}" ${busy ? "disabled" : ""} aria-pressed="${c.name === shown}">
          ${escape(c.title)}${c.name === busy ? " …" : ""}</button>`,
      )
      .join("");
  };
  const draw = () => {
    const r = model.get("result");
    part("result").innerHTML = r.name ? result(r) : "";
    choices();
  };
  const problem = () => {
    part("problem").hidden = !model.get("problem");
    part("problem").innerHTML = prose(model.get("problem"));
  };
  model.on("change:result", draw);
  model.on("change:busy", choices);
  model.on("change:problem", problem);
  draw();
  problem();
}

export default { render };
